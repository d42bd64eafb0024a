"""The keys, as ``/help keys`` lists them: texts are messages to translate when they are shown."""

from __future__ import annotations

from i18n import N_
from protocol.dataclass import dataclass

_BOTH = ("rich", "minimal")
_VIEW = ("rich",)


@dataclass(frozen=True)
class KeyLine:
    """One key, or several that belong together; ``where``: the renderers that have them."""

    names: str
    help: str
    where: tuple[str, ...] = _BOTH


KEYS = (
    KeyLine("Enter", N_("send the line")),
    KeyLine("Alt-Enter, Ctrl-J", N_("break the line")),
    KeyLine("Tab", N_("complete commands and names")),
    KeyLine("↑, ↓", N_("what you typed before")),
    KeyLine("Alt-1…9, Ctrl-N/P", N_("view 1 to 9; next, previous")),
    KeyLine("Alt-A, Alt-R", N_("what is new; last private")),
    KeyLine("Ctrl-R", N_("search what you typed")),
    KeyLine("Alt-S", N_("send again what was not sent")),
    KeyLine("Esc", N_("drop the lines that wait")),
    KeyLine("PgUp, PgDn", N_("older messages, newer ones"), _VIEW),
    KeyLine("Alt-P, Alt-N", N_("mentions; what /find found"), _VIEW),
    KeyLine("Alt-L", N_("a bare view, to copy from"), _VIEW),
    KeyLine("Ctrl-L", N_("draw everything again")),
    KeyLine("Ctrl-A, Ctrl-E", N_("to the line's start, its end")),
    KeyLine("Alt-B, Alt-F", N_("back, on by a word")),
    KeyLine("Ctrl-W, Ctrl-U, Ctrl-K", N_("cut a word, before, after")),
    KeyLine("Ctrl-Y", N_("put back what was cut")),
    KeyLine("Ctrl-C, Ctrl-D", N_("clear the line; or leave")),
    KeyLine("Ctrl-Z", N_("to the shell; fg comes back")),
    KeyLine("Ctrl-X Ctrl-X", N_("forget everything and leave")),
)
