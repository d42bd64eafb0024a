"""Which of the keys that came at once nobody has pressed. Pure.

A terminal puts brackets around a paste, but some let text through that closes them, some know no
brackets, and some connections break off inside of them. What is pasted must not be sent because
it has line ends. Times are in seconds, of any monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable

from client.input.key_sequences import KeyPress

STRAY = "paste-end"  # the name of a closing bracket that closes nothing
_HOLD = 0.02  # a single key so soon behind a paste waits so long for what else comes
_BURST = 0.2  # the next part of a paste without brackets comes so soon
_CAREFUL = 1.0  # after a paste that broke off, an Enter within that time asks
_LINE_ENDS = ("enter", "newline", "escape-enter")


class PasteDetector:
    """Decides about one read after another. ``ask``: several lines in one read without brackets
    are a paste; ``trust``: they never are, nor what comes right behind a paste."""

    def __init__(self, ask: bool, trust: bool) -> None:
        self._ask, self._trust = ask and not trust, trust
        self._ended = float("-inf")  # when the last paste, or what belongs to it, ended
        self._within = _HOLD  # what comes so soon after that belongs to it
        self._broken = False  # it did not end by itself
        self._held: list[KeyPress] = []  # behind it, and perhaps pressed
        self._read_at = float("-inf")
        self.deadline: float | None = None  # when they are, if nothing comes

    def broke_off(self, now: float) -> None:
        """A paste has ended because nothing more came, or because somebody wanted it."""
        self._ended, self._broken = now, True

    def handled(self, now: float) -> None:
        """What was read last has been dealt with, which may have taken its time."""
        if self._ended == self._read_at:
            self._ended = now

    def expire(self, now: float) -> list[KeyPress]:
        """The keys that waited, if nothing has come until ``deadline``."""
        if self.deadline is None or now < self.deadline:
            return []
        held, self._held, self.deadline = self._held, [], None
        return held

    def keys(self, read: list[KeyPress], now: float) -> list[KeyPress]:
        """The keys of one read, with ``paste-asks`` in place of those that nobody pressed."""
        self._read_at = now
        if not read:
            self.deadline = now + _HOLD if self._held else None
            return []
        held, self._held, self.deadline = self._held, [], None
        if held and _size(read) == 0 and STRAY not in _names(read):
            return held + read
        names = [key.name for key in read]
        behind = len(names) - names[::-1].index("paste") if "paste" in names else 0
        goes_on = bool(held) or self._goes_on(now)
        if self._may_be_pressed(read[behind:], goes_on or behind > 0, held):
            self._held, self.deadline = read[behind:], now + _HOLD
            read = read[:behind]
        keys = self._told(held + read, goes_on)
        self._remember(keys, now)
        return keys

    def _goes_on(self, now: float) -> bool:
        """Whether what comes now belongs to the paste that was before it."""
        since = now - self._ended
        return since < _CAREFUL if self._broken else not self._trust and since < self._within

    def _may_be_pressed(self, read: list[KeyPress], behind: bool, held: list[KeyPress]) -> bool:
        """Whether these, so soon behind a paste, wait for what else comes."""
        alone = _size(read) == 1 and STRAY not in _names(read) and not held
        return alone and behind and not self._broken and not self._trust

    def _told(self, read: list[KeyPress], goes_on: bool) -> list[KeyPress]:
        names = [key.name for key in read]
        first, last = len(read), len(read)
        if goes_on or self._ask and _lines(read) > 1:
            first = 0
        elif STRAY in names:
            first, last = 0, len(names) - names[::-1].index(STRAY)
        elif "paste" in names and not self._trust:
            first = names.index("paste") + 1
        rest = [key for key in read[last:] if key.name != STRAY]
        return [*read[:first], *_joined(read[first:last]), *rest]

    def _remember(self, keys: list[KeyPress], now: float) -> None:
        names = _names(keys)
        if "paste-asks" in names:
            self._ended, self._within, self._broken = now, _BURST, False
        elif "paste" in names:
            if now - self._ended >= (_CAREFUL if self._broken else self._within):
                self._within, self._broken = _HOLD, False
            self._ended = now


def _names(read: Iterable[KeyPress]) -> set[str]:
    return {key.name for key in read}


def _size(read: Iterable[KeyPress]) -> int:
    """How many characters and line ends are among the keys."""
    return sum(len(key.text) + (key.name in _LINE_ENDS) for key in read)


def _lines(read: list[KeyPress]) -> int:
    """How many lines with text the keys make, as far as there are no brackets."""
    lines, empty = 0, True
    for key in read:
        if key.name == "paste":
            return 0
        if key.name == "text":
            lines, empty = lines + empty, False
        elif key.name in _LINE_ENDS:
            empty = True
    return lines


def _joined(read: list[KeyPress]) -> list[KeyPress]:
    """Pasted keys: their text as one, and those that are no text behind it."""
    text, others = "", []
    for key in read:
        if key.name in ("text", "paste"):
            text += key.text
        elif key.name in _LINE_ENDS:
            text += "\n"
        elif key.name == "tab":
            text += "\t"
        elif key.name != STRAY:
            others.append(key)
    if not text:
        return others
    pressed = any(key.name in _LINE_ENDS for key in read)
    first = KeyPress("paste-asks", text.removesuffix("\n")) if pressed else KeyPress("paste", text)
    return [first, *others]
