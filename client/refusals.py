"""What a refusal is told with: its code, and its parameters as far as they can be believed."""

from __future__ import annotations

from client import events, messages
from i18n import _
from protocol import frames
from protocol.errors import BadNick
from protocol.names import check_nick
from protocol.safe_text import visible


def error(code: str, tag: events.Tag = None) -> events.Error:
    """What is refused on this side, or has come to nothing, under the server's code for it."""
    return events.Error(code, messages.refusal(code), tag)


def nobody(nick: str) -> events.Error:
    """No member has this nickname."""
    return events.Error("gone", _("Nobody here is called {nick}.").format(nick=visible(nick)))


def nobody_wrote() -> events.Error:
    """There is nobody to answer."""
    return events.Error("no_private", _("Nobody has written to you alone yet."))


def refused(
    frame: frames.Refused, tag: events.Tag = None, room: str | None = None
) -> events.Error:
    """What the server has refused, and which is no line; ``room``: that it was about."""
    return events.Error(frame.code, messages.refusal(frame.code, params(frame)), tag, room)


def params(refused: frames.Refused) -> dict[str, int | float | str]:
    """The parameters that ``messages`` takes; a nickname only if it can be somebody's."""
    given = {"retry_after": refused.retry_after, "limit": refused.limit, "nick": refused.nick}
    found = {name: value for name, value in given.items() if value is not None}
    if refused.nick is not None:
        try:
            found["nick"] = check_nick(refused.nick)
        except BadNick:
            del found["nick"]
    return found
