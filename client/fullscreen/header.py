"""The first line of the full-screen view: room, members, how safe it is, by which way, and who one
is."""

from __future__ import annotations

from client import messages
from client.fullscreen.columns import Piece, ScreenLine
from client.fullscreen.model import Model
from client.output.charset import Charset
from client.output.widths import cut, width
from client.output.wrapping import Span
from i18n import _
from protocol.names import nick_key


def header(model: Model, columns: int, charset: Charset) -> ScreenLine:
    """As much as fits: on a narrow screen the rest gives way to the room and the nickname."""
    more = charset.shown("…")
    nick = cut(charset.name(model.nick), max(4, columns // 3), more)
    nick_at = columns - width(nick) - 1
    left = charset.shown(_fitting(model, charset.name(model.room), nick_at - 3))
    return (
        Piece(1, (Span(cut(left, max(1, nick_at - 2), more), "title"),)),
        Piece(nick_at, (Span(nick, f"nick:{nick_key(nick)}"),)),
    )


def _fitting(model: Model, room: str, columns: int) -> str:
    if not model.room:  # not in one yet
        return ""
    members = messages.members(model.others + 1)
    sealed = _("end-to-end")
    trust = [sealed]
    shorter: list[str] = []
    if model.others:
        counts = [
            (_("verified {count}"), model.verified),
            (_("known {count}"), model.known),
            (_("new {count}"), model.others - model.verified - model.known),
        ]
        people = ", ".join(text.format(count=count) for text, count in counts if count)
        trust = [f"{sealed}, {people}", people]
        shorter = [text.format(count=count) for text, count in counts[:1] if count]
    parts = [f"{room} · {members} · {words}" for words in trust]
    if model.proxy:
        through = _("through {proxy}").format(proxy=model.proxy)
        parts = [f"{part} · {through}" for part in parts] + parts
    parts += [f"{room} · {words}" for words in (trust[-1], *shorter, members)]
    parts.append(room)
    return next((part for part in parts if width(part) <= columns), room)
