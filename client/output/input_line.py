"""The line being typed, below lines that scroll away: what to write so that both stay whole.

Pure: each method returns the text to write. A screen reader says what is written, so nothing is
written that stands there already, and nothing is moved or erased by sequences: a letter is that
letter, one taken back is a step back, a blank and a step back, and what changes within a row is
written over it. Other lines begin where only a prompt stands, or what has been entered;
what is half typed stays above them, and comes back below them with the next key. Where the
output is no terminal there is no such line (``InputLine`` itself).
"""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix

from client.input import modes
from client.input.editor import LineView
from client.input.terminal import Size
from client.output.clearing import wiped
from client.output.line_prefix import LinePrefix
from client.output.widths import JOINER, cluster_width, clusters, cut, fill, is_sure, width
from protocol.dataclass import dataclass
from protocol.safe_text import visible


class InputLine:
    """How a kind of output keeps the typed line. This one is a pipe or a file: nothing is typed
    there."""

    def set_modes(self) -> str:
        """What to write first."""
        return ""

    def reset_modes(self) -> str:
        """What to write last, after ``leave``."""
        return ""

    def leave(self, size: Size) -> str:
        """Go to the beginning of an empty row."""
        return ""

    def print_above(self, lines: Sequence[str], size: Size) -> str:
        """Write other lines."""
        return "".join(f"{line}\n" for line in lines)

    def update(self, prompt: str, view: LineView, size: Size) -> str:
        """Show what has changed in the typed line."""
        return ""

    def show_prompt(self, prompt: str, view: LineView, size: Size) -> str:
        """Show prompt and line again, if nothing of them stands where the cursor is."""
        return ""

    def repaint(self, prompt: str, view: LineView, size: Size) -> str:
        """Show prompt and line again, because somebody wants to read them."""
        return ""

    def exchange(self, prompt: str, view: LineView, size: Size) -> str:
        """Show another prompt and line in place of those that stand there."""
        return ""

    def clear_screen(self, size: Size) -> str:
        """Empty the screen and what has scrolled away, as far as that is possible."""
        return ""


@dataclass(frozen=True)
class _Echo:
    """What stands where the cursor is: the text before the cursor, and that behind it."""

    before: str
    behind: str = ""

    @property
    def text(self) -> str:
        return self.before + self.behind


class DumbInputLine(InputLine):
    """A terminal that goes on, back to the beginning of a row, and one step back."""

    def __init__(self, prefix: LinePrefix | None = None, keypad: bool = False) -> None:
        self._prefix = prefix or LinePrefix()
        self._shown: _Echo | None = None  # None: the cursor is on an empty row
        self._typed = ""  # what the line was when it was last looked at
        self._bare = False  # the prompt is left out
        self._entered = False  # what is shown has been entered: it may be written over

    def leave(self, size: Size) -> str:
        shown, self._shown = self._shown, None
        if shown is None:
            return ""
        entered, self._entered = self._entered, False
        return "\n" if entered or not _one_row(shown, size) else _blanked(shown)

    def print_above(self, lines: Sequence[str], size: Size) -> str:
        if not lines:
            return ""
        shown, self._shown = self._shown, None
        text = "".join(f"{line}\n" for line in lines)
        if shown is None:
            return text
        covers = None if self._typed and not self._entered else _cover(shown, lines[0], size)
        self._entered = False
        if covers is None:
            return "\n" + text
        return f"\r{lines[0]}{covers}\n" + "".join(f"{line}\n" for line in lines[1:])

    def update(self, prompt: str, view: LineView, size: Size) -> str:
        prompt = f"{view.prompt}> " if view.prompt else prompt
        typed, self._typed = self._typed, view.question or view.prompt + view.text
        if view.entered:
            return self._enter(typed, prompt, size)
        if self._shown is None or self._entered:
            if not self._typed:
                return ""
            self._bare = self._shown is None and not typed and not view.question
            return self._paint(prompt, view, size)
        return self._edit(self._picture(prompt, view, size), size)

    def show_prompt(self, prompt: str, view: LineView, size: Size) -> str:
        self._bare = False
        return self._paint(prompt, view, size) if self._shown is None else ""

    def repaint(self, prompt: str, view: LineView, size: Size) -> str:
        self._bare = False
        return self._paint(prompt, view, size)

    def exchange(self, prompt: str, view: LineView, size: Size) -> str:
        left = self.leave(size)
        self._typed = view.question or view.prompt + view.text
        return left + self.repaint(f"{view.prompt}> " if view.prompt else prompt, view, size)

    def _enter(self, typed: str, prompt: str, size: Size) -> str:
        """Enter was pressed: what was typed stands there until something is written over it."""
        shown, self._typed = self._shown, ""
        if shown is None or self._entered or not typed:
            return self.repaint(prompt, LineView(), size)
        self._entered = True
        if _one_row(shown, size):
            self._shown = _Echo("", shown.text)
            return "\r"
        self._shown, self._entered = None, False
        return "\n"

    def _paint(self, prompt: str, view: LineView, size: Size) -> str:
        """Show the line on a row of its own."""
        fresh = "" if self._shown is None else "\n"
        self._entered = False
        picture = self._shown = self._picture(prompt, view, size)
        return fresh + picture.text + _back(picture)

    def _picture(self, prompt: str, view: LineView, size: Size) -> _Echo:
        if view.question:
            return _Echo(self._echo(f"{view.question} "))
        before = self._echo(view.text[: view.cursor], "" if self._bare else prompt)
        picture = _Echo(before, self._echo(view.text[view.cursor :], before)[len(before) :])
        if not picture.behind or _one_row(picture, size):
            return picture
        # There is no way back to a row above: the part of the line around the cursor is shown.
        most = max(2, size.columns - 1)
        behind = cut(picture.behind, most // 2, "").rstrip(JOINER)
        return _Echo(_end(picture.before, most - width(behind)), behind)

    def _echo(self, text: str, before: str = "") -> str:
        """A text as it is shown, behind what is shown ``before`` it."""
        shown = self._prefix.shown(visible(text).replace("\n", "␊"), before)
        return before + shown.rstrip(JOINER)  # or tmux drops what is written next

    def _edit(self, new: _Echo, size: Size) -> str:
        """Make of what is shown what is to be shown."""
        old, self._shown = self._shown or _Echo(""), new
        if new == old:
            return ""
        if not new.behind and not old.behind and new.before.startswith(old.before):
            return new.before[len(old.before) :]
        if _one_row(old, size) and _one_row(new, size):
            return _rewritten(old, new, size)
        if _is_end_taken_back(old, new, size.columns):
            return "\b \b" * width(old.before[len(new.before) :])
        return f"\n{new.text}{_back(new)}"


class AnsiInputLine(DumbInputLine):
    """The same on a terminal that knows ECMA-48: it is asked to mark pastes, and can be wiped.

    ``filled``: as in ``clearing.wiped``. ``keypad``: its keys are told from others.
    """

    def __init__(
        self, prefix: LinePrefix | None = None, filled: bool = False, keypad: bool = False
    ) -> None:
        super().__init__(prefix)
        self._filled = filled
        self._keypad = keypad

    def set_modes(self) -> str:
        return (modes.KEYPAD_OWN if self._keypad else "") + modes.PASTE_ON

    def reset_modes(self) -> str:
        return (modes.KEYPAD_PLAIN if self._keypad else "") + modes.PASTE_OFF

    def clear_screen(self, size: Size) -> str:
        self._shown, self._entered = None, False
        return wiped(size.rows, self._filled)


def _one_row(picture: _Echo, size: Size) -> bool:
    """Whether it stands on one row, on every terminal. The last column does not count: on some
    the cursor would already be on the next row."""
    return width(picture.text) < size.columns


def _least(text: str) -> int:
    """The columns that a text takes at least."""
    return sum(cluster_width(cluster) for cluster in clusters(text) if is_sure(cluster))


def _cover(shown: _Echo, line: str, size: Size) -> str | None:
    """The blanks behind ``line`` that make it cover what is shown; None where it cannot."""
    blanks = max(0, width(shown.text) - _least(line))
    fits = width(line) + blanks < size.columns
    return " " * blanks if fits and _one_row(shown, size) else None


def _blanked(shown: _Echo) -> str:
    return f"\r{' ' * width(shown.text)}\r"


def _back(picture: _Echo) -> str:
    """What leads from the end of a picture that was just written to its cursor."""
    if is_sure(picture.behind):
        return "\b" * width(picture.behind)
    return "\r" + picture.before  # only the terminal knows how wide it is: it is written again


def _rewritten(old: _Echo, new: _Echo, size: Size) -> str:
    """What makes one row another one; neither is longer than a row."""
    kept = len(commonprefix([old.text, new.text]))
    if new.text == old.text:
        return _moved(old, len(new.before)) or "\r" + new.before
    gone, come = old.text[kept:], new.text[kept:]
    blanks = max(0, width(gone) - _least(come))
    start = _moved(old, kept)
    if is_sure(gone) and start is not None and width(new.text) + blanks < size.columns:
        return start + come + " " * blanks + "\b" * blanks + _back(new)
    return _blanked(old) + new.text + _back(new)


def _moved(picture: _Echo, place: int) -> str | None:
    """What moves the cursor to that place in the text: back step by step, on by writing it
    again. None where only the terminal knows how many steps that are."""
    over = picture.before[place:]
    if not over:
        return picture.text[len(picture.before) : place]
    return "\b" * width(over) if is_sure(over) else None


def _is_end_taken_back(old: _Echo, new: _Echo, columns: int) -> bool:
    """Whether only the end is missing now, all of it on the row where the cursor is."""
    if new.behind or old.behind or not old.before.startswith(new.before):
        return False
    gone = width(old.before[len(new.before) :])
    *_rows, last = fill(clusters(old.before), columns)  # as the terminal has wrapped it
    return is_sure(old.before) and gone <= width(last) < columns


def _end(text: str, columns: int) -> str:
    """As much of a text's end as fits."""
    kept, taken = "", 0
    for cluster in reversed(list(clusters(text))):
        taken += cluster_width(cluster)
        if taken > columns:
            break
        kept = cluster + kept
    return kept
