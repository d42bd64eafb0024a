"""A table of sentences for codes: what happened, what to do next, in the language that is set.

Codes come over the wire or from this program; a code that is not known here gets a general
sentence, because a newer server may have more of them. Parameters may come from the server:
they are made visible and cut short.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from i18n import N_, _, plural
from protocol.safe_text import visible

_STEPS = (5, 10, 20, 30, 45)
_SHOWN_CHARS = 80  # of a parameter that came from elsewhere

Params = Mapping[str, object]

_REFUSALS: dict[str, str] = {
    "auth_failed": N_("The server did not accept the password or token; check it and try again."),
    "token_failed": N_(
        "The server did not accept the token, which may have expired or been revoked: ask whoever "
        "runs the server for a new one."
    ),
    "bad_version": N_(
        "The server speaks another version of the protocol; use the same version on both sides."
    ),
    "nick_taken": N_("Somebody here has that nickname already; choose another one."),
    "nick_taken_alike": N_(
        "That nickname looks like {nick}, which somebody here has already; choose another one."
    ),
    "nick_reserved": N_(
        "A token reserves that nickname, or one that looks like it; choose another one, or connect "
        "with that token."
    ),
    "nick_reserved_alike": N_(
        "That nickname looks like {nick}, which a token reserves; choose another one, or connect "
        "with that token."
    ),
    "nick_lost": N_(
        "Whoever has that nickname has lost the connection: it is free in {wait} unless they come "
        "back; try again then, or choose another one."
    ),
    "nick_lost_alike": N_(
        "That nickname looks like {nick}, and whoever has that one has lost the connection: it is "
        "free in {wait} unless they come back; try again then, or choose another one."
    ),
    "token_bound": N_(
        "That token is another identity's, which was the first to use it: connect with that "
        "identity's file (--identity), or ask whoever runs the server for a new one."
    ),
    "password_only": N_(
        "Only who came in with the password may ask for that; ask them, or whoever runs the server."
    ),
    "too_many_tokens": N_(
        "You, or all at your address together, have as many tokens as may live at once: wait until "
        "one ends, or ask whoever runs the server to revoke one."
    ),
    "taken_over": N_(
        "Somebody else has connected with your token and has your place; if that was not you, ask "
        "whoever runs the server to revoke it."
    ),
    "kicked": N_(
        "Whoever runs this server has shown you the door: you may come back in {wait}."
    ),
    "bad_nick": N_(
        "That is not a nickname: use 1 to 32 letters, digits, dots, dashes or underscores "
        "of one alphabet."
    ),
    "nick_pinned": N_("Your token fixes your nickname; connect with a password to choose one."),
    "bad_room": N_(
        "That is not a room name: use 1 to 64 letters, digits, dots, dashes or underscores."
    ),
    "room_full": N_("That room is full; try another room, or later."),
    "server_full": N_("The server is full; try again later."),
    "unavailable": N_("The server cannot do that just now; try again in {wait}."),
    "outcome_unknown": N_(
        "The server does not know whether that was done; look, and try again if it was not."
    ),
    "too_many_rooms": N_("You are in as many rooms as one may be in; leave one with /leave."),
    "rate_limited": N_("Too many at once; try again in {wait}."),
    "address_limited": N_(
        "Too many at once from your address, which others may share; try again in {wait}."
    ),
    "too_many_attempts": N_("Too many failed attempts from your address; try again in {wait}."),
    "too_long": N_("The message is longer than this server takes; make it shorter."),
    "stale": N_("The room had changed since that was written; send it again."),
    "gone": N_("That member is no longer here; /who shows who is."),
    "repeated": N_("The server has that already; nothing more needs to be done."),
    "timed_out": N_("The server heard nothing for too long; check the connection and try again."),
    "revoked": N_("Your token has been revoked; ask whoever runs the server for a new one."),
    "expired": N_("Your token has expired; ask whoever runs the server for a new one."),
    "malformed": N_("The server did not understand this client; use the same version on both."),
    "too_big": N_("That is larger than the server takes; send less at once."),
    "unknown_type": N_("The server does not know this request; use the same version on both."),
    "unexpected": N_("The server did not expect this request now; connect again if that persists."),
    "link_broken": N_(
        "The encrypted link was disturbed and has been cut; if that goes on, somebody may be "
        "tampering with it."
    ),
    "disconnected": N_("There is no connection just now; try again when it is back."),
    "internal": N_("The server failed at that; try again, and tell whoever runs it."),
}
_REFUSED = N_("The server refused that ({code}); try something else, or ask whoever runs it.")

_NOT_SENT: dict[str, str] = {
    "too_many": N_("too many lines wait already; send it again when some of them have gone"),
    "dropped": N_("you have dropped it; send it again if you want to"),
    "too_long": N_("it is longer than this server takes; make it shorter"),
    "disconnected": N_("the connection was lost; send it again when it is back"),
    "gone": N_("nobody here has that nickname; /who shows who is here"),
    "other_keys": N_(
        "that nickname has other keys now, so it may be somebody else; /query NICK writes to them"
    ),
    "no_secret": N_(
        "no room that has a secret is shared any more; write it anew if it may go without one"
    ),
    "left_room": N_("you are not in that room; go there and send it again"),
    "unverified": N_(
        "somebody who is not verified has come in since; look with /who and send it again"
    ),
    "stale": N_("the room had changed since; send it again"),
    "repeated": N_("the server has counted it already; send it again if it does not appear"),
    "unexpected": N_("the server did not expect it; connect again, and send it again"),
    "not_text": N_("it is not UTF-8 text; send it in that encoding"),
    "timed_out": N_("the server did not answer in time; if it does not appear, send it again"),
    "server_full": N_("the server is full; send it again later"),
    "unavailable": N_("the server cannot pass it on just now; send it again later"),
    "outcome_unknown": N_(
        "the server does not know whether the others got it; ask them before you send it again"
    ),
}
_NOT_TAKEN = N_("it was refused ({code}); change it, or send it again later")

_UNREADABLE: dict[str, str] = {
    "name": N_("it was signed under another nickname, so it may be forged; ask by another way"),
    "no_key": N_("its key has not arrived; ask for it to be sent again"),
    "secret": N_(
        "its sender uses another room secret; agree on one and give it with /room {room} SECRET"
    ),
    "replay": N_("it is an old message sent once more; you need not do anything"),
    "damaged": N_("it was damaged on the way; ask for it to be sent again"),
    "bounds": N_(
        "it is empty or longer than this server allows, which this program never sends; ask which "
        "one its sender uses"
    ),
}
_CLOSED_BOX = N_("for a reason that this version does not know ({code}); update this client")

# docs/THREATS.md says who can cause which. What a member can bring about alone must not say that
# the server lies, nor the other way round.
_WARNINGS: dict[str, str] = {
    "other_keys": N_("{nick} has other keys than before."),
    "other_keys_loud": N_(
        "ATTENTION: {nick} was verified and has other keys now, so this may be somebody else; "
        "say nothing secret before you have compared codes again with /verify."
    ),
    "old_run": N_(
        "{nick} comes with keys of an earlier start that is over, and gets nothing to read: the "
        "server shows them again, or an old copy of that identity is in use."
    ),
    "transcript": N_(
        "Either the server shows {nick} another room than you, or {nick} says so without cause: "
        "say nothing secret, and compare codes with /verify."
    ),
    "unverified_member": N_(
        "{nick} is here and has not been verified; compare codes with /verify."
    ),
    "replay": N_("An old message of {nick} was sent once more, and refused."),
    "forged": N_(
        "A message that came as one of {nick} is not signed by them, and was refused: the server "
        "has changed it, or they have sent it so."
    ),
    "bad_wrap": N_(
        "A key that came as one of {nick} does not open, so what they write may stay unreadable: "
        "the server has changed it, or they have sent it so."
    ),
    "bad_bundle": N_("The keys of {nick} cannot be used, so they cannot read you."),
    "unproven": N_(
        "What answered did not prove that it knows your password or token: that has been changed "
        "there, or the connection broke at that moment, or somebody in between is guessing."
    ),
    "renamed": N_(
        "The server has renamed you to {nick}, which you did not ask for, and everybody sees that "
        "name; /nick changes it, and whoever runs the server should know."
    ),
    "bad_roster": N_("The server's list of members contradicts itself; trust nobody unverified."),
}
_WARNED = N_("Something is not as it should be ({code}); compare codes with /verify.")

_DISCONNECTED: dict[str, str] = {
    "shutdown": N_("The server is shutting down; connect again when it is back."),
    "revoked": N_("Your token has been revoked; ask for a new one."),
    "expired": N_("Your token has expired; ask for a new one."),
    "taken_over": N_("Somebody else has connected with the same token and has this place now."),
    "kicked": N_("Whoever runs this server has shown you the door."),
    "replaced": N_("This client has connected from somewhere else; this connection ended."),
    "lost": N_("The connection was lost; connect again when the network is back."),
    "unproven": N_(
        "Several times within an hour what answered did not know your password or token; either "
        "that is no longer good there, or somebody is in between."
    ),
    "bad_version": _REFUSALS["bad_version"],
    "link_broken": _REFUSALS["link_broken"],
    "misnamed": N_(
        "The server calls you by a nickname that you did not ask for, so the connection was ended; "
        "ask whoever runs it."
    ),
    "no_room": N_(
        "The server let you in and did not say who is in the room; try again later, or ask whoever "
        "runs it."
    ),
    "no_answer": N_(
        "The server did not answer what was sent; try again later, or ask whoever runs it."
    ),
    "protocol": N_("The two sides did not understand each other; use the same version on both."),
}
_COMING_BACK: dict[str, str] = {
    "shutdown": N_("The server is shutting down; this client connects again when it is back."),
    "misnamed": N_(
        "The server calls you by a nickname that you did not ask for, so the connection was ended; "
        "connecting again."
    ),
    "no_room": N_("The server did not say in time who is in the room; connecting again."),
    "no_answer": N_("The server did not answer in time what was sent; connecting again."),
}
_WAITING: dict[str, str] = {
    "welcome": N_("The server is slow to answer: many may be trying to log in; still waiting."),
    "room": N_(
        "Waiting for the server to say who is in the room; what you type goes out after that."
    ),
    "answer": N_("The server has not answered what was sent yet; still waiting."),
    "place": N_("The server has not shown what was sent to the room yet; still waiting."),
}
_PAUSED: dict[str, str] = {
    "unproven": N_(
        "Several times within an hour what answered did not know your password or token: that "
        "may be no longer good there, or somebody is in between. /reconnect tries again, /quit "
        "leaves."
    ),
    "rebuffed": N_(
        "Several times in a row the server has let you in and then ended the connection. "
        "/reconnect tries again, /quit leaves."
    ),
}
_REBUFFED = N_(
    "Several times in a row the server has let this client in and then ended the connection: the "
    "next attempt is in {wait}."
)
_IN_CLEAR = N_(
    "What answers does not let this client in ({code}), which anybody in between could say; trying "
    "again."
)
_CUT = N_("The connection ended ({code}); connect again.")

_UNREACHABLE: dict[str, str] = {
    "refused": N_("Nobody listens at {server}; check address and port, and that it was started."),
    "timeout": N_("{server} did not answer in time; check the address, the port and any firewall."),
    "name": N_("The name in {server} is not known; check how it is spelt, or use the IP address."),
    "name_later": N_(
        "The name in {server} could not be looked up just now; check that this machine is on the "
        "network, and try again."
    ),
    "hung_up": N_(
        "{server} accepts connections and hangs up without a word: the server may be overloaded, "
        "or something else is there; try again later, or check the port."
    ),
    "not_websocket": N_(
        "What answers at {server} is not a chat server, or wants TLS; check port and path, or "
        "add --ssl."
    ),
    "not_upgraded": N_(
        "{server} answers as a web page does: something in between passes no WebSockets on, or it "
        "is not a chat server, or it wants TLS; check the port, try --ssl, or ask whoever runs "
        "what is in between."
    ),
    "onion": N_(
        "Only Tor can find {server}; start Tor and give its proxy, such as "
        "--proxy socks5h://127.0.0.1:9050."
    ),
    "proxy_name": N_(
        "The name of the proxy {proxy} is not known; check how it is spelt in --proxy or in the "
        "environment."
    ),
    "proxy_away": N_(
        "The proxy {proxy} cannot be reached; check its address and port, in --proxy or in the "
        "environment, and that it runs."
    ),
    "proxy_timeout": N_(
        "The proxy {proxy} did not answer in time; check its address and port, or try again later."
    ),
    "proxy_closed": N_(
        "The proxy {proxy} closed the connection to {server}; check its scheme and port, or ask "
        "whoever runs it whether it lets this through."
    ),
    "proxy_strange": N_(
        "What answers at {proxy} is not a proxy of the kind that was named; check port and scheme "
        "(http, https, socks5 or socks5h)."
    ),
    "proxy_not_tls": N_(
        "The proxy {proxy} does not speak TLS; write http:// in place of https:// before it."
    ),
    "proxy_tls": N_(
        "TLS with the proxy {proxy} ended before its certificate was seen; check that it speaks "
        "TLS 1.2 or newer."
    ),
    "proxy_certificate": N_(
        "The certificate of the proxy {proxy} cannot be trusted on this machine; check its name, "
        "or ask whoever runs it for the authority to install."
    ),
    "proxy_refused": N_(
        "The proxy {proxy} does not let this through to {server} ({status}); ask whoever runs it "
        "which ports are allowed: often it is 443 alone."
    ),
    "proxy_failed": N_(
        "The proxy {proxy} could not reach {server} ({status}); check that address and port."
    ),
    "proxy_login": N_(
        "The proxy {proxy} wants a user name and a password; give them as in "
        "http://user:password@host:port, best in a file with --proxy-file."
    ),
    "proxy_password": N_(
        "The proxy {proxy} did not accept the user name or password; check them and try again."
    ),
    "proxy_scheme": N_(
        "The proxy {proxy} takes no user name and password as this client gives them; leave them "
        "out, or ask whoever runs it for a way to log in with a plain password."
    ),
    "needs_tls": N_("{server} speaks TLS only; add --ssl, or --ssl-fingerprint from its banner."),
    "busy": N_("{server} takes no more connections now; try again in a while."),
    "network": N_("There is no way to {server}; check that this machine is on the network."),
    "self_signed": N_(
        "The certificate of {server} is self-signed; compare its fingerprint with the server's "
        "banner and give it with --ssl-fingerprint."
    ),
    "self_signed_shown": N_(
        "The certificate of {server} is self-signed; its SHA-256 is {fingerprint}: compare it with "
        "the server's banner, and if it is the same, give it with --ssl-fingerprint."
    ),
    "unknown_ca_shown": N_(
        "The certificate of {server} comes from an authority that is not known here; give that "
        "authority's file with --ssl-ca, or with --ssl-fingerprint its SHA-256, which is "
        "{fingerprint} here: compare it by a way that you trust."
    ),
    "unknown_ca": N_(
        "The certificate of {server} comes from an authority that is not known here; give that "
        "authority's file with --ssl-ca, or the fingerprint with --ssl-fingerprint."
    ),
    "wrong_host": N_(
        "The certificate of {server} is for another name; connect by the name that is in it, "
        "give that name with --tls-name, or the certificate's fingerprint with --ssl-fingerprint."
    ),
    "expired": N_(
        "The certificate of {server} is not valid today; have it renewed, or give its "
        "fingerprint with --ssl-fingerprint."
    ),
    "fingerprint": N_(
        "The certificate of {server} is not the one that you named; ask for its fingerprint by "
        "a way that you trust and give it with --ssl-fingerprint."
    ),
    "not_tls": N_("{server} does not speak TLS; leave out --ssl if you accept that."),
    "protocol": N_(
        "TLS with {server} ended before its certificate was seen; check that it speaks TLS 1.2 "
        "or newer, and that nothing in between breaks it."
    ),
}
_AWAY = N_("{server} cannot be reached ({code}); check address and port, then try again.")

_HISTORY: dict[str, str] = {
    "off": N_("No history is kept: start with --history (ENABLE_LOCAL_HISTORY) to keep one."),
    "closed": N_("The history is not open, so nothing can be shown; start again to open it."),
    "stopped": N_(
        "The history {path} cannot be written ({reason}): nothing is recorded until you start "
        "again; the chat goes on."
    ),
    "paused": N_(
        "The history {path} cannot be written ({reason}): messages are missing from it until there "
        "is room again; the chat goes on."
    ),
    "slow": N_(
        "The history {path} is written too slowly: messages are missing from it until the disk has "
        "caught up; the chat goes on."
    ),
    "removed": N_(
        "The history has been removed: nothing is recorded until you start again; the chat goes on."
    ),
    "foreign": N_(
        "{path} is another server's history: move it away to record this one's; nothing is "
        "recorded until then."
    ),
    "other_version": N_(
        "{path} is a history of another version of this program: use that one, or move it away."
    ),
    "wrong_passphrase": N_("That is not the passphrase of this server's history; try again."),
    "unreadable": N_("The history {path} cannot be used ({reason}); check disk and permissions."),
}
_IDENTITY: dict[str, str] = {
    "missing": N_("There is no identity at {path}: `identity new --identity FILE` makes one."),
    "exists": N_("{path} is there already, and was left alone: name another file."),
    "wrong_passphrase": N_("That is not the passphrase of {path}; try again."),
    "other_version": N_(
        "{path} is an identity of another version of this program: use that one, or make a new one."
    ),
    "foreign": N_("{path} belongs to another user, and is not used: name a file of your own."),
    "busy": N_("Another program holds {path} and does not let go of it; try again."),
    "unreadable": N_("The identity {path} cannot be used ({reason}); check disk and permissions."),
    "unwritable": N_(
        "The identity {path} cannot be written: whom you meet or verify is kept if there is room "
        "again before you leave."
    ),
    "removed": N_(
        "The identity {path} has been removed: whom you meet or verify from now on is not kept; "
        "the chat goes on."
    ),
    "changed": N_(
        "The identity {path} has another passphrase now: whom you meet or verify from now on is "
        "not kept; the chat goes on."
    ),
    "slow": N_("The disk was too slow: whom you met or verified last is missing from {path}."),
}
_NO_IDENTITY = N_("{path} is no identity, or is damaged: name another file, or make a new one.")
_NO_HISTORY = N_("{path} is no history, or its beginning is damaged: move it away or delete it.")


def refusal(code: str, params: Params | None = None) -> str:
    """The text of an ``error`` event, or why a client is not let in; ``params``: the refusal's."""
    # With a nickname: it is not that one which was refused, but one that looks like it.
    key = f"{code}_alike" if params and "nick" in params and f"{code}_alike" in _REFUSALS else code
    return _sentence(_REFUSALS, _REFUSED, key, params)


def not_sent(reason: str) -> str:
    """Why a line was handed back, as the end of "Not sent: …"."""
    return _sentence(_NOT_SENT, _NOT_TAKEN, reason)


def unreadable(reason: str, room: str) -> str:
    """Why a message in ``room`` cannot be read, as the end of "cannot be read: …"."""
    return _sentence(_UNREADABLE, _CLOSED_BOX, reason, {"room": room})


def shut_out(guarded: bool) -> str:
    """What is said of a line of one's own, where others in the room use another secret, or one at
    all; ``guarded``: this client has one there."""
    if guarded:
        return _("those who use another secret, or none, cannot read this")
    return _("those who have the room's secret cannot read this")


def warning(code: str, nick: str | None = None, loud: bool = False) -> str:
    """The text of a ``warning`` event; ``loud``: it is about somebody who was verified."""
    key = f"{code}_loud" if loud and f"{code}_loud" in _WARNINGS else code
    return _sentence(_WARNINGS, _WARNED, key, {"nick": _("somebody") if nick is None else nick})


def disconnected(reason: str) -> str:
    """Why the connection ended for good."""
    return _sentence(_DISCONNECTED, _CUT, reason)


def coming_back(reason: str) -> str:
    """Why the connection ended, where this client connects again by itself."""
    return _(_COMING_BACK[reason]) if reason in _COMING_BACK else disconnected(reason)


def waiting(what: str) -> str:
    """What a server that takes its time is waited for."""
    return _(_WAITING[what])


def paused(reason: str) -> str:
    """Why nothing more is tried before a person wants it."""
    return _(_PAUSED.get(reason, _PAUSED["rebuffed"]))


def rebuffed(delay: float) -> str:
    """Why the next attempt is so late, where there is nobody to ask."""
    return _(_REBUFFED).format(wait=seconds(delay))


def kept_out(code: str, params: Params | None = None, *, proven: bool) -> str:
    """Why a client that was in is not let in again, and tries on."""
    return refusal(code, params) if proven else _sentence({}, _IN_CLEAR, code)


def unreachable(reason: str, server: str, params: Params | None = None) -> str:
    """The exit sentence when the server cannot be reached; ``server`` is host and port.

    In ``params`` there may be ``fingerprint``, of the certificate that was shown, where a person
    may compare it; ``proxy``, host and port of that; ``status``, a proxy's answer.
    """
    given, shown = params or {}, f"{reason}_shown"
    code = shown if given.get("fingerprint") and shown in _UNREACHABLE else reason
    return _sentence(_UNREACHABLE, _AWAY, code, {"server": server, **given})


def identity(code: str, params: Params | None = None) -> str:
    """What there is to say about an identity's file; ``params`` has ``path`` and ``reason``."""
    values = {key: visible(str(value)).replace("\n", " ") for key, value in (params or {}).items()}
    return _(_IDENTITY.get(code, _NO_IDENTITY)).format_map(_Values(values))


def history(code: str, params: Params | None = None) -> str:
    """What there is to say about the local history; ``params`` has ``path`` and ``reason``."""
    # Whole, however long: a file has to be found.
    values = {key: visible(str(value)).replace("\n", " ") for key, value in (params or {}).items()}
    return _(_HISTORY.get(code, _NO_HISTORY)).format_map(_Values(values))


def history_resumed(missing: int) -> str:
    """The history is written again; so many messages of meanwhile are not in it."""
    text = plural(
        "The history is being written again; {count} message from the meantime is missing.",
        "The history is being written again; {count} messages from the meantime are missing.",
        missing,
    )
    return text.format(count=missing)


def history_lost(count: int) -> str:
    """So many messages had not been written when the chat ended."""
    text = plural(
        "The disk was too slow: the last message is missing from the history.",
        "The disk was too slow: the last {count} messages are missing from the history.",
        count,
    )
    return text.format(count=count)


def history_records(code: str, count: int) -> str:
    """So many records are missing, changed, moved or torn."""
    text = {
        "missing": plural(
            "{count} record of the history is missing.",
            "{count} records of the history are missing.",
            count,
        ),
        "changed": plural(
            "{count} record of the history was changed, or comes from elsewhere.",
            "{count} records of the history were changed, or come from elsewhere.",
            count,
        ),
        "moved": plural(
            "{count} record of the history is not in its place.",
            "{count} records of the history are not in their place.",
            count,
        ),
        "torn": plural(
            "{count} record of the history was not written to its end.",
            "{count} records of the history were not written to their end.",
            count,
        ),
    }[code]
    return text.format(count=count)


def crowded(wait: float) -> str:
    """What is waited for, for so many seconds, where many come into one room at once."""
    text = _("Many people are coming and going in that room just now: it is your turn in {wait}.")
    return text.format(wait=seconds(wait))


def announced(text: str) -> str:
    """What whoever runs the server has said to everybody; it may say anything."""
    shown = visible(" ".join(text.split()))
    return _("The server says: {text}").format(text=shown)


def invited(left: float) -> str:
    """For whom a link with a token is, which lives for so many seconds."""
    hours = max(1, int(left // 3600))
    if hours < 48:
        time = plural("{count} hour", "{count} hours", hours).format(count=hours)
    else:
        time = plural("{count} day", "{count} days", hours // 24).format(count=hours // 24)
    text = _(
        "Without any password it lets in whoever uses it first, and nobody else, for {time}. They "
        "come back by it only with an identity that lasts (--identity)."
    )
    return text.format(time=time)


def members(count: int) -> str:
    """So many members."""
    return plural("{count} member", "{count} members", count).format(count=count)


def crowd(joined: int, left: int) -> str:
    """So many came and went."""
    came = plural("{count} joined", "{count} joined", joined).format(count=joined)
    went = plural("{count} left", "{count} left", left).format(count=left)
    changes = [text for text, count in ((came, joined), (went, left)) if count]
    return _("Many at once: {changes}.").format(changes=", ".join(changes))


def lines_waiting(count: int, left: float) -> str:
    """How many lines wait because of the server's limit, and for how many seconds."""
    text = plural(
        "{count} line waits; next in {wait}; Esc drops it",
        "{count} lines wait; next in {wait}; Esc drops them",
        count,
    )
    return text.format(count=count, wait=seconds(left))


def about(left: float) -> int:
    """Seconds that are left, rounded up to one of a few steps: a screen reader says a countdown
    each time that it is another one."""
    for step in _STEPS:
        if left <= step:
            return step
    return math.ceil(left / 60) * 60


def seconds(amount: object) -> str:
    """A time to wait, in whole seconds, never less than it is; any value is allowed."""
    if isinstance(amount, (int, float)) and math.isfinite(amount):
        count = max(1, math.ceil(amount))
        return plural("{count} second", "{count} seconds", count).format(count=count)
    return _("a while")


class _Values(dict[str, str]):
    """Values for a sentence; one that is missing leaves a mark instead of raising."""

    def __missing__(self, key: str) -> str:
        return "?"


def _sentence(
    table: Mapping[str, str], general: str, code: str, params: Params | None = None
) -> str:
    given = dict(params or {})
    values = _Values({key: _shown(value) for key, value in given.items()})
    values["wait"] = seconds(given.get("retry_after"))
    values["code"] = _shown(code)
    return _(table.get(code, general)).format_map(values)


def _shown(value: object) -> str:
    text = visible(str(value)).replace("\n", " ")
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
