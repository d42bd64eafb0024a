"""The handshake, from dialling to the server's `key`, apart from what a session has to do with it.

Up to the server's `key` this client has shown nothing, and any thread may go so far; with
`confirm` it shows that it knows the password, and may take the place of its own older connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from client.connection.outcome import AdmissionRefused
from protocol import frames, limits
from protocol.errors import TimedOut, Unexpected
from protocol.frames import Stay
from protocol.keys import Identity, RecipientKeys
from protocol.link import ClientLink, Credentials, refusal_in_clear
from transport import Closed
from transport.stream import Stream
from transport.websocket import WebSocket

ATTEMPT_SECONDS = 10.0  # until the server's greeting
# Then for `key`, and for `welcome`: longer than a server may let one wait for its turn
# (docs/PROTOCOL.md, States), or one that is busy with guessers would pass for one that is down.
ANSWER_SECONDS = 75.0
_STALE_SECONDS = 8.0  # a server waits ten for `confirm`
QUIET_SECONDS = 5.0  # of that, before the user is told what is waited for
# Until `welcome` has told how large a message can be, and whatever a server may tell.
_FIRST_RECORD, _LARGEST_RECORD = 2 * limits.RECORD_BYTES, 8 * 1024 * 1024

Dial = Callable[[Callable[[Stream], None]], WebSocket]


class PendingLogin:
    """A connection on which the server's `key` has come, and nothing has been shown yet."""

    def __init__(
        self, peer: WebSocket, link: ClientLink, key: str | bytes, answer: Callable[..., Any]
    ) -> None:
        self.peer, self.link = peer, link
        self.nick = ""  # that was asked for
        self.came = time.monotonic()
        self._key, self._answer = key, answer

    @property
    def is_stale(self) -> bool:
        """Whether the server may have hung up: proving anything to it would look like a guess."""
        return time.monotonic() - self.came > _STALE_SECONDS

    def confirm(self, nick: str, stays: Sequence[Stay]) -> bytes:
        """The record that proves what this client knows, and says what rooms it wants to be in.

        Raises ChatError for a wrong `key`.
        """
        self.nick = nick
        return self.link.receive_key(self._key, nick, stays)

    def prove(self, confirm: bytes, seconds: float | None = None) -> Sequence[Any]:
        """Send it; the frames of the server's first record, as JSON has them, which prove it.

        ``seconds``: wait no longer than that.  Raises AdmissionRefused, in clear, and ChatError.
        """
        self.peer.allow(_FIRST_RECORD)
        self.peer.send(confirm)
        return self.more(seconds)

    def more(self, seconds: float | None = None) -> Sequence[Any]:
        """The frames of the next record.  Raises as ``prove``."""
        values = self.link.open(self._answer(self.peer, seconds))
        if not values:
            raise Unexpected()
        return values

    def welcome(
        self,
        values: Sequence[Any],
        seconds: float | None = None,
        on_wait: Callable[[frames.Wait], None] = lambda _wait: None,
    ) -> tuple[frames.Welcome, Sequence[Any]]:
        """`welcome`, which is the first of ``values`` as ``prove`` returns them, and the rest.

        ``on_wait`` is told where the server first lets one wait for a crowd; ``seconds`` as in
        ``prove``.  Raises AdmissionRefused, and ChatError.
        """
        frame = frames.from_object(values[0], frames.SERVER_FRAMES)
        if isinstance(frame, frames.Wait):  # once
            on_wait(frame)
            values = self.more(seconds or ANSWER_SECONDS)
            frame = frames.from_object(values[0], frames.SERVER_FRAMES)
        if isinstance(frame, frames.Refused):
            raise AdmissionRefused(frame, proven=True)
        if not isinstance(frame, frames.Welcome):
            raise Unexpected()
        return frame, values[1:]

    def allow(self, size: int) -> None:
        """Take messages as large as the server says, within reason."""
        self.peer.allow(min(max(size, _FIRST_RECORD), _LARGEST_RECORD))

    def drop(self) -> None:
        """End it at once."""
        self.peer.abort()
        self.peer.finish(0.0)


class ClientHandshake:
    """Begins logins.  ``on_slow`` is told when the server is; ``leaving`` ends what waits for it.

    ``dial`` as ``ClientConnection`` has it; ``ticket`` is the newest that the server has given.
    """

    def __init__(
        self,
        dial: Dial,
        identity: Identity,
        credentials: Callable[[], Credentials],
        make_keys: Callable[[], RecipientKeys],
        ticket: Callable[[], bytes | None],
        leaving: threading.Event,
        clock: Callable[[], float],
        on_slow: Callable[[], None],
    ) -> None:
        self._dial, self._identity, self._credentials = dial, identity, credentials
        self._make_keys, self._ticket, self._leaving = make_keys, ticket, leaving
        self._clock, self._on_slow = clock, on_slow

    def begin(
        self,
        opened: Callable[[Stream], None],
        aside: bool = False,
        dialled: Callable[[WebSocket], None] = lambda _peer: None,
    ) -> PendingLogin:
        """Dial, and go as far as `key`; ``aside``: nobody is told that it takes long.

        Each stream is given to ``opened`` first: aborting them ends it.  ``dialled`` gets what has
        come of it.  Raises ChatError.
        """
        peer = self._dial(opened)
        dialled(peer)
        try:
            greeting = self._receive_by(peer, self._clock() + ATTEMPT_SECONDS)
            link = ClientLink(
                self._identity, self._credentials(), self._make_keys(), self._ticket()
            )
            peer.send(link.receive_greeting(greeting))
            key = self._answer(peer, ANSWER_SECONDS if aside else None)
        except BaseException:
            peer.finish(0.0)
            raise
        return PendingLogin(peer, link, key, self._answer)

    def _answer(self, peer: WebSocket, seconds: float | None = None) -> str | bytes:
        """The next message of the handshake, of a server that may be busy with others."""
        now = self._clock()
        if seconds is not None:
            return self._receive_by(peer, now + seconds)
        try:
            return self._receive_by(peer, now + QUIET_SECONDS)
        except TimedOut:
            self._on_slow()
        return self._receive_by(peer, now + ANSWER_SECONDS)

    def _receive_by(self, peer: WebSocket, deadline: float) -> str | bytes:
        """The next message of the handshake.  Raises AdmissionRefused for a refusal in clear."""
        while (left := deadline - self._clock()) > 0:
            if self._leaving.is_set():
                raise Closed()
            message = peer.receive(left)
            if message is not None:
                refusal = refusal_in_clear(message)
                if refusal is not None:
                    raise AdmissionRefused(refusal, proven=False)
                return message
        raise TimedOut()
