"""The full-screen view: from the model to the lines of the screen.

Pure but for what it remembers of itself: how far up somebody has paged in each view and what was
looked for there, how wide the names' column is, and the lines of entries that it has drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from client import commands
from client.fullscreen.bar import bar
from client.fullscreen.bare import BareView
from client.fullscreen.columns import (
    BAR,
    CALLING_BAR,
    PRIVATE_BAR,
    Columns,
    Piece,
    ScreenLine,
    entry_lines,
    rule,
)
from client.fullscreen.finder import Finder, line_found
from client.fullscreen.header import header, of_model
from client.fullscreen.last import Last
from client.fullscreen.model import Model
from client.fullscreen.own_lines import rows_of, state_of
from client.fullscreen.prompt import Prompt, prompt
from client.fullscreen.scroll import Scroll, Viewport, place_of
from client.fullscreen.scrollback import REFUSED, ScrollbackEntry
from client.input.editor import LineView
from client.input.terminal import Size
from client.output.charset import Charset
from client.output.finding import THIS_HIT, Query
from client.output.line_prefix import LinePrefix
from client.output.widths import width
from client.output.wrapping import Row, Span, wrap
from i18n import _, current, plural
from protocol.dataclass import dataclass, replace

_LEAST = Size(20, 6)  # a smaller screen shows the beginning of one of this size
_MEASURED = 3  # screens of entries whose names decide how wide their column is
# Screens, or at least lines, that a message may fill; of a longer one the first screen is shown.
_HIGHEST, _HIGHEST_LINES = 3, 40
_NOTE_LINES = 2  # that say how many more there are, on a narrow screen
_KEPT = 400  # entries whose lines are kept
_ATTEMPTS = 3  # to reveal a hit: with other names, the names' column may be another


@dataclass(frozen=True)
class ScreenFrame:
    """A whole screen: its lines, and where the cursor stands. From ``foot`` on they change with
    the line being typed; ``ticks``: they change with the time alone."""

    size: Size
    lines: list[ScreenLine]
    row: int
    column: int
    foot: int
    ticks: bool


class _Spot:
    """Where somebody is in one view: how far up, what is looked for, and from where that was."""

    def __init__(self, scroll: Scroll) -> None:
        self.scroll = scroll
        self.finder = Finder()
        self.follows = False  # what is looked at stays on the screen
        self.left: tuple[int | None, bool] = (None, False)


class View:
    """Draws ``model``. ``show``: how many messages at once, 0 for as many as fit."""

    def __init__(self, model: Model, show: int = 0, charset: Charset | None = None) -> None:
        self._model, self._show = model, show
        self._charset = charset or Charset()
        self._places: dict[str, _Spot] = {}  # key: that of a view
        self._columns = Columns(80)
        self._now = datetime.min
        self._rows = 1  # for entries, the last time
        self._kept: dict[object, list[ScreenLine]] = {}
        self._hint = ""
        # What is drawn again each time and nearly always the same.
        self._header, self._bar, self._prompted = Last(header), Last(bar), Last(prompt)

    @property
    def _at(self) -> _Spot:
        """The place in the view that is shown."""
        key = self._model.log.key
        if key not in self._places:
            logs = self._model.scrollbacks
            self._places = {each: at for each, at in self._places.items() if logs.has(each)}
            self._places[key] = _Spot(Scroll(self._lines_of, self._show))
        return self._places[key]

    def entered(self) -> None:
        """A line was entered, whose answer is at the end: go there, but know from where."""
        self._at.left = self._at.scroll.foot, self._at.finder.is_open
        self.to_end()

    def find(self, text: str | None) -> None:
        """Look for ``text``, upwards from what was seen before that was entered. None: for the
        next older hit, if there was a search, or from there for the same as last time."""
        entries, (foot, was_open) = self._model.log.entries(), self._at.left
        at = self._at.finder.place(entries)
        if text is None and was_open and at is not None:
            self._at.finder.go_on()
            self._at.finder.step(entries, -1, at, at)
        else:
            self._open(None if text is None else Query(text))
            self._at.finder.start(entries, place_of(entries, foot))
        self._at.follows = True

    def step(self, step: int) -> None:
        """Look at the next older hit (-1) or newer one (1); of mentions, if there is no search."""
        entries = self._model.log.entries()
        at = self._at.finder.place(entries) if self._at.follows else None
        last = len(self._at.scroll.seen(entries)) - 1
        seen = len(self._at.scroll.viewport(entries, self._rows).entries)
        first = last - seen + 1
        if at is not None:
            first = last = at
        elif not self._at.finder.is_open:
            self._kept.clear()
            self._at.finder.open(None)
            first = last + 1 if step < 0 else first
        self._at.finder.step(entries, step, first, last)
        self._at.follows = True

    def forget(self) -> None:
        """Keep nothing of what was shown or looked for."""
        self._kept.clear()
        for drawn in (self._header, self._bar, self._prompted):
            drawn.forget()
        for place in self._places.values():
            place.finder.forget()

    def page(self, step: int, by_lines: bool = False) -> None:
        """Go a page up (-1) or down (1), or so many lines."""
        self._at.follows = False
        self._at.scroll.page(step, self._model.log.entries(), self._rows, by_lines)
        self._model.log.at_end = self._at.scroll.at_end
        self._model.looked()

    def to_end(self) -> None:
        """Show the newest entries again; a search is over."""
        self._at.finder.close()
        self._at.follows = False
        self._at.scroll.to_end()
        self._model.log.at_end = True
        self._model.looked()

    def bare(self, size: Size) -> BareView:
        """What is seen, and all before it, without frame and columns."""
        entries = self._at.scroll.seen(self._model.log.entries())
        return BareView(entries, LinePrefix(self._charset), size)

    def frame(self, typed: LineView, size: Size, now: datetime) -> ScreenFrame:
        """The whole screen."""
        size = Size(max(size.columns, _LEAST.columns), max(size.rows, _LEAST.rows))
        entries = self._model.log.entries()
        self._now = now
        self._measure(entries, size)
        typing = self._prompt(typed, size)
        self._rows = size.rows - 3 - len(typing.lines)
        if self._at.follows:
            self._follow(entries, size)
        seen = self._at.scroll.viewport(entries, self._rows)
        self._model.log.at_end = self._at.scroll.at_end
        found = self._at.finder.said(entries, size.columns)
        self._hint = self._hinted(seen, now, found)
        above = [
            self._header(of_model(self._model), size.columns, self._charset, current()),
            self._bar(self._model.summaries, self._model.log.key, size.columns, self._charset),
            *[()] * (self._rows - len(seen.lines)),
            *seen.lines,
        ]
        return self._with_foot(above, typed, typing, size, self._model.connection.counts_down)

    def retyped(self, frame: ScreenFrame, typed: LineView) -> ScreenFrame | None:
        """The same screen with another typed line; None if everything has to move for it."""
        typing = self._prompt(typed, frame.size)
        if len(frame.lines) != frame.foot + 1 + len(typing.lines):
            return None
        return self._with_foot(frame.lines[: frame.foot], typed, typing, frame.size, frame.ticks)

    def _prompt(self, typed: LineView, size: Size) -> Prompt:
        return self._prompted(self._model.name, typed, size.columns, size.rows, self._charset)

    def _with_foot(
        self, above: list[ScreenLine], typed: LineView, typing: Prompt, size: Size, ticks: bool
    ) -> ScreenFrame:
        hint = self._charset.shown(self._hint or commands.usage(typed.text))
        beside = hint and typing.free + width(hint) + 4 <= size.columns
        foot = [rule(size.columns, self._charset, "" if beside else hint), *typing.lines]
        if beside:
            at = size.columns - 1 - width(hint)
            foot[1] = (*foot[1], Piece(at, (Span(hint, "quiet"),)))
        row = len(above) + 1 + typing.row
        return ScreenFrame(size, [*above, *foot], row, typing.column, len(above), ticks)

    def _hinted(self, place: Viewport, now: datetime, found: str) -> str:
        """What stands at the right of the typed line: what was found, what is wrong, what is
        above, what below."""
        parts = [found] if found else []
        if wrong := self._model.connection.hint(now):
            parts.append(wrong)
        if place.above and not found:
            parts.append(_("↑ {count} more").format(count=place.above))
        if not place.end:
            more = _("↓ {count} more") if place.below else _("↓ more")
            parts.append(more.format(count=place.below))
        if place.calls:
            parts.append(_("{count} @you").format(count=place.calls))
        return " · ".join(parts)

    def _open(self, query: Query | None) -> None:
        """Begin a search; None: the last one."""
        self._kept.clear()
        if query is None:
            self._at.finder.repeat()
        else:
            self._at.finder.open(query)

    def _follow(self, entries: Sequence[ScrollbackEntry], size: Size) -> None:
        """Let the hit that is looked at be on the screen, moving nothing if it is."""
        place = self._at.finder.place(entries)
        if place is None:
            return
        self._at.scroll.stay(entries)
        for _attempt in range(_ATTEMPTS):
            if line_found(self._at.scroll.viewport(entries, self._rows).lines) is not None:
                return
            line = line_found(self._lines_of(entries, place)) or 0
            self._at.scroll.reveal(entries, place, line, self._rows)
            self._measure(entries, size)

    def _measure(self, entries: Sequence[ScrollbackEntry], size: Size) -> None:
        """Make the names' column as wide as those need who are seen, or were a moment ago."""
        near = self._at.scroll.near(entries, _MEASURED * size.rows)
        names = {entry.content.mark.text for entry in near}
        widest = max((width(self._charset.name(name)) for name in names), default=0)
        self._columns = Columns(size.columns).widened(widest)

    def _lines_of(self, entries: Sequence[ScrollbackEntry], place: int) -> list[ScreenLine]:
        """The lines of one entry, with what stands above it: a new day, and "new"."""
        entry, finder = entries[place], self._at.finder
        # Each line on the screen asks, and of nearly none there is anything to say.
        state = state_of(entry, self._model.connection.takes_lines) if entry.state else ""
        look = finder.look(entry) if finder.is_open else ""
        key = (entry.number, self._columns, state, look)
        lines = self._kept.get(key)
        if lines is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            mark, rows = finder.marked(entry, rows_of(entry, state), look)
            clock = f"{entry.when:%H:%M}"
            lines = entry_lines(clock, mark, rows, self._columns, self._charset, _bar(entry))
            self._kept[key] = lines
        is_whole = look == THIS_HIT or not entry.counts
        if not is_whole and len(lines) > max(_HIGHEST * self._rows, _HIGHEST_LINES):
            kept = int(bool(state))
            if entry.state == REFUSED:
                kept = len(wrap(rows_of(entry, state)[-1], self._columns.text))
            lines = self._folded(lines, kept)
        is_first = entry.number == self._model.log.first_new
        if is_first or (place and entries[place - 1].day != entry.day):
            return [*self._rules_above(entries, place), *lines]
        return lines

    def _folded(self, lines: list[ScreenLine], kept: int) -> list[ScreenLine]:
        """The beginning of a message that would fill screen after screen, and so many lines of
        its end, where it is said what has become of it."""
        shown = max(1, self._rows - _NOTE_LINES - kept)
        rest = lines[len(lines) - kept:]
        more = len(lines) - shown - len(rest)
        text = plural("… {count} more line, Alt-L", "… {count} more lines, Alt-L", more)
        note = Span(self._charset.shown(text.format(count=f"{more:,}")), "quiet")
        bar = next(piece for piece in lines[1] if piece.column == self._columns.bar_at)
        notes = wrap(Row((note,), 2), self._columns.text)
        said = [(bar, Piece(self._columns.text_at, tuple(spans))) for spans in notes]
        return [*lines[:shown], *said, *rest]

    def _rules_above(self, entries: Sequence[ScrollbackEntry], place: int) -> list[ScreenLine]:
        entry, rules = entries[place], []
        if place and entries[place - 1].day != entry.day:
            rules.append(rule(self._columns.columns, self._charset, entry.day.isoformat()))
        if entry.number == self._model.log.first_new:
            rules.append(rule(self._columns.columns, self._charset, _("new"), "title"))
        return rules


def _bar(entry: ScrollbackEntry) -> Span:
    if entry.content.private:
        return PRIVATE_BAR
    return CALLING_BAR if entry.calls else BAR


def cropped(frame: ScreenFrame, size: Size) -> ScreenFrame:
    """The part of a frame that a screen smaller than the least one has."""
    if frame.size == size:
        return frame
    first = max(0, frame.row + 1 - size.rows)
    lines = frame.lines[first : first + size.rows]
    column = min(frame.column, size.columns - 1)
    return replace(frame, size=size, lines=lines, row=frame.row - first, column=column)
