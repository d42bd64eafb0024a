"""Every error that this program raises on purpose, in one tree.

The wire carries a code and a few parameters, never a sentence: each client makes the
sentence in its own language. ``close_code`` is the WebSocket close code (RFC 6455 7.4) used
when the error ends a connection.

    ChatError
      RemoteError      the peer broke the protocol; a third one closes the connection
        Malformed, TooBig, UnknownType, Unexpected
      LinkBroken       a record did not open, or came out of turn; always closes
      Refusal          the peer asked for something that it cannot have
        AuthFailed, BadVersion, BadNick, NickPinned, BadRoom, RoomFull, ServerFull,
        TooLong, Stale, Gone, Repeated, TooManyAttempts, TimedOut, TakenOver, TokenBound,
        TooManyRooms, Unavailable, OutcomeUnknown, NickTaken (NickReserved, NickLost),
        RateLimited (AddressLimited)
      KeyUnusable      key material that does not load or a wrap that does not open
"""

from __future__ import annotations

from typing import ClassVar


class ChatError(Exception):
    """Root of the tree.  ``params`` are the JSON-safe values that go with the code."""

    code: ClassVar[str] = "internal"
    close_code: ClassVar[int] = 1011

    def __init__(self, **params: int | float | str) -> None:
        super().__init__(self.code)
        self.params = params


class RemoteError(ChatError):
    """The peer sent something that the specification does not allow."""

    code, close_code = "malformed", 1008


class Malformed(RemoteError):
    """Not JSON, a field missing or of another type, text where a key should be."""


class TooBig(RemoteError):
    """Longer than a limit of the specification or of this server."""

    code, close_code = "too_big", 1009


class UnknownType(RemoteError):
    """A frame type that this version does not have."""

    code = "unknown_type"


class Unexpected(RemoteError):
    """A frame that exists, at a moment when it means nothing."""

    code = "unexpected"


class LinkBroken(ChatError):
    """A record that does not open or whose counter is not the next one."""

    code, close_code = "link_broken", 1008


class Refusal(ChatError):
    """Understood, and not granted."""

    code, close_code = "refused", 1008


class AuthFailed(Refusal):
    """The password or token was not proven; which of them, or why, is not said."""

    code = "auth_failed"


class BadVersion(Refusal):
    """The two sides speak different versions of the protocol."""

    code = "bad_version"


class NickTaken(Refusal):
    """Another live member has this nickname, or one that looks like it, which is ``nick`` then."""

    code = "nick_taken"


class NickReserved(NickTaken):
    """A token fixes this nickname, or one that looks like it (``nick``), for somebody."""

    code = "nick_reserved"


class NickLost(NickTaken):
    """Whoever has it is away; free in ``retry_after`` seconds unless they come back."""

    code = "nick_lost"


class TakenOver(Refusal):
    """Another identity has proven the same token since, and has the place."""

    code = "taken_over"


class TokenBound(Refusal):
    """The token is another identity's, which was the first to use it."""

    code = "token_bound"


class PasswordOnly(Refusal):
    """That is for those who came in with the password, and this one came with a token."""

    code = "password_only"


class TooManyTokens(Refusal):
    """This person, or its address, has asked for as many tokens as may live at once."""

    code = "too_many_tokens"


class Kicked(Refusal):
    """Whoever runs the server has shown this identity, or address, the door for a while."""

    code = "kicked"


class BadNick(Refusal):
    """Not a nickname by the rules of ``protocol.names``."""

    code = "bad_nick"


class NickPinned(Refusal):
    """A token fixes its nickname, and this is another one."""

    code = "nick_pinned"


class BadRoom(Refusal):
    """Not a room name by the rules of ``protocol.names``."""

    code = "bad_room"


class RoomFull(Refusal):
    """The room has as many members as wraps and rosters are bounded for."""

    code, close_code = "room_full", 1013


class TooManyRooms(Refusal):
    """The client is in as many rooms as one may be in at once."""

    code = "too_many_rooms"


class ServerFull(Refusal):
    """One of the server's tables is at its bound: connections, rooms, names."""

    code, close_code = "server_full", 1013


class Unavailable(Refusal):
    """What several servers share is away: it was not done; ``retry_after`` is in seconds."""

    code, close_code = "unavailable", 1013


class OutcomeUnknown(Refusal):
    """What several servers share went away in the midst of it: it was done, or it was not."""

    code, close_code = "outcome_unknown", 1013


class RateLimited(Refusal):
    """Too many in the window; ``retry_after`` is in seconds."""

    code = "rate_limited"


class AddressLimited(RateLimited):
    """Too many of one address together; ``retry_after`` is in seconds."""

    code = "address_limited"


class TooManyAttempts(Refusal):
    """Too many failed proofs from one address; ``retry_after`` is in seconds."""

    code = "too_many_attempts"


class TooLong(Refusal):
    """A text over ``MAX_MESSAGE_SIZE``; ``limit`` is in bytes of UTF-8."""

    code = "too_long"


class Stale(Refusal):
    """Sealed for a membership that is too far in the past: seal it anew."""

    code = "stale"


class Gone(Refusal):
    """The member that this was for is no longer there."""

    code = "gone"


class Repeated(Refusal):
    """A second wrap for one sender, epoch and recipient, or a number used before."""

    code = "repeated"


class TimedOut(Refusal):
    """The handshake did not finish within its deadline, or nothing was heard for too long."""

    code, close_code = "timed_out", 1008


class KeyUnusable(ChatError):
    """A public key that does not load, or a wrap that does not open.  Never told to the peer."""

    code = "key_unusable"
