"""The first line of the full-screen view: room or person, members, how safe it is, by which way,
and who one is."""

from __future__ import annotations

from client import messages
from client.fullscreen.columns import Piece, ScreenLine
from client.fullscreen.model import Model
from client.fullscreen.scrollback import Scrollback
from client.output.charset import Charset
from client.output.widths import cut, width
from client.output.wrapping import Span
from client.views import PersonTarget, RoomTarget
from i18n import _
from protocol.names import nick_key


def header(model: Model, columns: int, charset: Charset) -> ScreenLine:
    """As much as fits: on a narrow screen the rest gives way to the view and the nickname."""
    more = charset.shown("…")
    nick = cut(charset.name(model.nick), max(4, columns // 3), more)
    nick_at = columns - width(nick) - 1
    left = charset.shown(_fitting(model, charset.name(model.name), nick_at - 3))
    return (
        Piece(1, (Span(cut(left, max(1, nick_at - 2), more), "title"),)),
        Piece(nick_at, (Span(nick, f"nick:{nick_key(nick)}"),)),
    )


def _fitting(model: Model, name: str, columns: int) -> str:
    shown, log = model.views.shown, model.log
    if not model.nick or shown is None:  # not in yet
        return ""
    if isinstance(shown, PersonTarget):
        parts = _of_person(name, shown)
    else:
        parts = _of_room(name, shown, log)
    if model.proxy:
        through = _("through {proxy}").format(proxy=model.proxy)
        parts = [f"{parts[0]} · {through}", *parts]
    return next((part for part in parts if width(part) <= columns), name)


def _of_room(name: str, room: RoomTarget, log: Scrollback) -> list[str]:
    """What is said of a room, the longest first."""
    members = messages.members(log.others + 1)
    sealed = _("end-to-end")
    trust = [sealed]
    shorter: list[str] = []
    if log.others:
        counts = [
            (_("verified {count}"), log.verified),
            (_("known {count}"), log.known),
            (_("new {count}"), log.others - log.verified - log.known),
        ]
        people = ", ".join(text.format(count=count) for text, count in counts if count)
        trust = [f"{sealed}, {people}", people]
        shorter = [text.format(count=count) for text, count in counts[:1] if count]
    parts = [f"{name} · {members} · {words}" for words in trust]
    if room.guarded:
        secret = _("with a secret")
        parts = [f"{name} · {secret} · {members} · {words}" for words in trust] + parts
    parts += [f"{name} · {words}" for words in (trust[-1], *shorter, members)]
    return [*parts, name]


def _of_person(name: str, person: PersonTarget) -> list[str]:
    """What is said of a person that one talks to alone, the longest first."""
    standing = {"verified": _("verified"), "known": _("known"), "new": _("new, not verified")}
    if person.standing not in standing:
        away = _("not here now")
        return [f"{name} · {away}", name]
    how, alone, sealed = standing[person.standing], _("to one alone"), _("end-to-end")
    return [f"{name} · {alone} · {sealed}, {how}", f"{name} · {how}", name]
