"""The first line of the full-screen view: room or person, members, how safe it is, by which way,
and who one is."""

from __future__ import annotations

from typing import NamedTuple

from client import messages
from client.fullscreen.columns import Piece, ScreenLine
from client.fullscreen.model import Model
from client.output.charset import Charset
from client.output.widths import cut, width
from client.output.wrapping import Span
from client.views import PersonTarget, RoomTarget, View
from i18n import _
from protocol.names import nick_key


class Headed(NamedTuple):
    """What it is made of: of ``shown`` the ``name``, and how many ``others`` are in a room, of whom
    so many are verified or known; ``nick`` is empty before one is in."""

    nick: str
    name: str
    proxy: str
    shown: View | None
    guarded: bool
    standing: str
    others: int
    verified: int
    known: int


def of_model(model: Model) -> Headed:
    """What ``header`` shows of it."""
    shown, log = model.views.shown, model.log
    guarded = isinstance(shown, RoomTarget) and shown.guarded
    standing = shown.standing if isinstance(shown, PersonTarget) else ""
    counts = (log.others, log.verified, log.known)
    return Headed(model.nick, model.name, model.proxy, shown, guarded, standing, *counts)


def header(of: Headed, columns: int, charset: Charset, _language: str) -> ScreenLine:
    """As much as fits: on a narrow screen the rest gives way to the view and the nickname."""
    more = charset.shown("…")
    nick = cut(charset.name(of.nick), max(4, columns // 3), more)
    nick_at = columns - width(nick) - 1
    left = charset.shown(_fitting(of, charset.name(of.name), nick_at - 3))
    return (
        Piece(1, (Span(cut(left, max(1, nick_at - 2), more), "title"),)),
        Piece(nick_at, (Span(nick, f"nick:{nick_key(nick)}"),)),
    )


def _fitting(of: Headed, name: str, columns: int) -> str:
    if not of.nick or of.shown is None:  # not in yet
        return ""
    parts = _of_person(name, of) if isinstance(of.shown, PersonTarget) else _of_room(name, of)
    if of.proxy:
        through = _("through {proxy}").format(proxy=of.proxy)
        parts = [f"{parts[0]} · {through}", *parts]
    return next((part for part in parts if width(part) <= columns), name)


def _of_room(name: str, of: Headed) -> list[str]:
    """What is said of a room, the longest first."""
    members = messages.members(of.others + 1)
    sealed = _("end-to-end")
    trust = [sealed]
    shorter: list[str] = []
    if of.others:
        counts = [
            (_("verified {count}"), of.verified),
            (_("known {count}"), of.known),
            (_("new {count}"), of.others - of.verified - of.known),
        ]
        people = ", ".join(text.format(count=count) for text, count in counts if count)
        trust = [f"{sealed}, {people}", people]
        shorter = [text.format(count=count) for text, count in counts[:1] if count]
    parts = [f"{name} · {members} · {words}" for words in trust]
    if of.guarded:
        secret = _("with a secret")
        parts = [f"{name} · {secret} · {members} · {words}" for words in trust] + parts
    parts += [f"{name} · {words}" for words in (trust[-1], *shorter, members)]
    return [*parts, name]


def _of_person(name: str, of: Headed) -> list[str]:
    """What is said of a person that one talks to alone, the longest first."""
    standing = {"verified": _("verified"), "known": _("known"), "new": _("new, not verified")}
    if of.standing not in standing:
        away = _("not here now")
        return [f"{name} · {away}", name]
    how, alone, sealed = standing[of.standing], _("to one alone"), _("end-to-end")
    return [f"{name} · {alone} · {sealed}, {how}", f"{name} · {how}", name]
