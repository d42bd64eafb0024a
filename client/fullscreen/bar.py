"""The bar of views: where something is new, and which of them is shown.

Pure. It stands in the line below the header and takes none of its own; where there is one view,
there is none. Of what does not fit, that goes first which matters least: who is called, what is
new, and what is next to the shown one stay longest.
"""

from __future__ import annotations

from collections.abc import Sequence

from client.fullscreen.columns import Piece, ScreenLine, rule
from client.output.charset import Charset
from client.output.shown_views import ViewSummary, name_of
from client.output.text import one_line
from client.output.widths import cut, width
from client.output.wrapping import Span
from protocol.dataclass import dataclass

_NAMES = (24, 12, 8, 0)  # columns of a name, as there is room; 0: the number alone
_START, _GAP = 1, 2  # the first column, and those between two views
_OTHERS = 4  # the weight of a view in which nothing is new, and which is not next to the shown one


@dataclass(frozen=True)
class _Label:
    text: str
    style: str
    is_shown: bool


def bar(
    summaries: Sequence[ViewSummary], shown: str, columns: int, charset: Charset
) -> ScreenLine:
    """The views, of which the one with the key ``shown`` is; a plain line where there is one."""
    line = rule(columns, charset)
    if len(summaries) < 2:
        return line
    labels = _fitting(summaries, shown, columns - _START - 1, charset)
    pieces, at = [], _START
    for label in labels:
        if label.is_shown:
            pieces.append(Piece(at - 1, (Span("[", "title"),)))
            pieces.append(Piece(at + width(label.text), (Span("]", "title"),)))
        pieces.append(Piece(at, (Span(label.text, label.style),)))
        at += width(label.text) + _GAP
    stroke = charset.shown("─") * max(0, columns - at)
    ordered = sorted(pieces, key=lambda piece: piece.column)
    return (*ordered, Piece(at, (Span(stroke, "quiet"),))) if stroke else tuple(ordered)


def _fitting(
    summaries: Sequence[ViewSummary], shown: str, columns: int, charset: Charset
) -> list[_Label]:
    """As many as have room, in their order: all with the longest names that allow it, or else
    numbers for those that matter, then their names, then the same for the others."""
    for most in _NAMES[:-1]:
        labels = [_label(each, shown, most, charset) for each in summaries]
        if _width(labels) <= columns:
            return labels
    at = next((n for n, each in enumerate(summaries) if each.view.key == shown), 0)
    weights = {place: _weight(each, place - at) for place, each in enumerate(summaries)}
    places = sorted(weights, key=lambda place: (weights[place], place))
    matter = [place for place in places if weights[place] < _OTHERS]
    chosen: dict[int, _Label] = {}
    more = _Label(charset.shown("…"), "quiet", False)

    def choose(wanted: Sequence[int], most: int) -> None:
        for place in wanted:
            label = _label(summaries[place], shown, most, charset)
            if _width([*{**chosen, place: label}.values(), more]) > columns:
                return  # nor any that matters less
            chosen[place] = label

    for group in (matter, places[len(matter) :]):
        choose(sorted(group, key=lambda place: place != at), _NAMES[-1])
        choose([place for place in group if place in chosen], _NAMES[-2])
    labels = [chosen[place] for place in sorted(chosen)]
    return labels if len(labels) == len(summaries) else [*labels, more]


def _weight(summary: ViewSummary, distance: int) -> int:
    """The less, the longer a name stays; the one that is shown is named elsewhere, too."""
    if summary.mentions:
        return 0
    if summary.new:
        return 1
    return {0: 2, 1: 3, -1: 3}.get(distance, _OTHERS)


def _label(summary: ViewSummary, shown: str, most: int, charset: Charset) -> _Label:
    """One view: its number, its name, and how many call or are new."""
    is_shown = summary.view.key == shown
    name = cut(charset.name(one_line(name_of(summary.view))), most, charset.shown("…"))
    text = f"{summary.number} {name}" if most else str(summary.number)
    style = "title" if is_shown else "quiet"
    if summary.mentions:
        text, style = f"{text}!{summary.mentions}", "mention"
    elif summary.new:
        text, style = f"{text}+{summary.new}", "" if not is_shown else style
    return _Label(text, style, is_shown)


def _width(labels: Sequence[_Label]) -> int:
    return sum(width(label.text) + _GAP for label in labels) - _GAP
