"""Draws docs/parts.svg: packages as rows, threads as boxes, and the locks between them.

    python -m tools.parts_picture

What there is comes from the sources, what takes what from docs/DESIGN.md (``tools/parts.py``); the
tests say when the picture is older than they are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from tools import parts
from tools.source import ROOT, program

PICTURE = ROOT / "docs/parts.svg"
# From top to bottom, as imports and locks run.
TOP, BOTTOM = ("cmd_chat", "cli"), ("protocol", "settings", "i18n")
CLIENT = ("client", "client.fullscreen", "client.output", "client.input", "client.history",
          "client.connection", "client.encryption")  # fmt: skip

PAPER, BAND, INK, QUIET, FAINT = "#1d2027", "#262b34", "#d6d9df", "#8b949e", "#4a515c"
COLOURS = {"client": "#7fb2e5", "server": "#8fc98f", "transport": "#e0b06a"}
WIDTH, MARGIN, GAP, PAD = 1240, 16, 6, 12
TITLE, BOX, LINE, AFTER = 24, 34, 23, 8
BOX_WIDTH = 76
CLIENT_PART = 0.57  # of the width; its threads need more columns than the server's


@dataclass
class Row:
    """A package: where it is drawn, what is started and which locks are defined in it."""

    name: str
    left: float
    width: float
    threads: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    top: float = 0.0
    least: float = 0.0  # how high it is at least

    @property
    def height(self) -> float:
        """As high as its contents."""
        boxes = (BOX + AFTER) if self.threads else 0
        high = TITLE + boxes + len(self.locks) * LINE + (AFTER if self.locks else 0)
        return max(self.least, high)

    @property
    def boxes(self) -> float:
        """The top of its boxes."""
        return self.top + TITLE

    def line(self, lock: str) -> float:
        """The height at which a lock's line is drawn."""
        first = self.top + TITLE + ((BOX + AFTER) if self.threads else 0) + LINE * 0.72
        return first + self.locks.index(lock) * LINE


class Picture:
    """All rows, and a column for each thread."""

    def __init__(self) -> None:
        self.takers = parts.takers()
        self.started = _started()
        whole = WIDTH - 2 * MARGIN
        part = whole * CLIENT_PART - GAP / 2
        left = [Row(name, MARGIN, part) for name in self._client_packages()]
        right = Row("server", MARGIN + part + GAP, whole - part - GAP)
        above = [Row(name, MARGIN, whole) for name in TOP]
        below = [Row(name, MARGIN, whole) for name in BOTTOM]
        transport = Row("transport", MARGIN, whole)
        self.rows = [*above, *left, right, transport, *below]
        self._fill()
        y = self._stack(above, float(MARGIN))
        right.top = y
        under = self._stack(left, y)
        right.least = under - GAP - y
        self.height = self._stack([transport, *below], max(under, y + right.height + GAP))
        self.middle = right.left - GAP / 2
        self.columns = {**self._columns(MARGIN, part, "client"),
                        **self._columns(right.left, right.width, "server")}  # fmt: skip

    def _client_packages(self) -> list[str]:
        found = {module.package for module in program() if module.side == "client"}
        return [*(name for name in CLIENT if name in found), *sorted(found - set(CLIENT))]

    def _fill(self) -> None:
        rows = {row.name: row for row in self.rows}
        for thread, (package, _file) in self.started.items():
            rows[_row(package)].threads.append(thread)
        defined = {lock.name: lock for lock in parts.locks()}
        packages = {module.path: module.package for module in program()}
        for name in parts.lock_order():
            rows[_row(packages[defined[name].place])].locks.append(name)

    @staticmethod
    def _stack(rows: Iterable[Row], y: float) -> float:
        for row in rows:
            row.top = y
            y += row.height + GAP
        return y

    def _columns(self, left: float, width: float, side: str) -> dict[str, float]:
        """The middle of each thread's column: two share one that meet in no row."""
        columns: list[list[tuple[float, float]]] = []
        place: dict[str, int] = {}
        threads = [name for name, (package, _) in self.started.items() if self.side(name) == side]
        for name in sorted(threads, key=lambda each: not self.takers.get(each)):
            top, bottom = self._passes(name)
            free = (
                number
                for number, taken in enumerate(columns)
                if all(bottom < first or top > last for first, last in taken)
            )
            place[name] = next(free, len(columns))
            if place[name] == len(columns):
                columns.append([])
            columns[place[name]].append((top, bottom))
        step = (width - 2 * PAD) / len(columns)
        return {name: left + PAD + step * (number + 0.5) for name, number in place.items()}

    def side(self, thread: str) -> str:
        """``client`` or ``server``; what the transport starts is the client's."""
        return "server" if _row(self.started[thread][0]) == "server" else "client"

    def row_of(self, lock: str) -> Row:
        """The package that defines it."""
        return next(row for row in self.rows if lock in row.locks)

    def box(self, thread: str) -> float:
        """The top of its box."""
        return next(row for row in self.rows if thread in row.threads).boxes

    def reach(self, thread: str) -> tuple[float, float]:
        """From where to where its line goes, box and all."""
        lines = [self.row_of(lock).line(lock) for lock in self.takers.get(thread, ())]
        box = self.box(thread)
        return min([box, *lines]), max([box + BOX, *lines])

    def _passes(self, thread: str) -> tuple[float, float]:
        """The top of the first and the bottom of the last row that its line is in."""
        rows = [self.row_of(lock) for lock in self.takers.get(thread, ())]
        rows.append(next(row for row in self.rows if thread in row.threads))
        return min(row.top for row in rows), max(row.top + row.height for row in rows)

    # Drawing

    def svg(self) -> str:
        """The picture."""
        height = self.height + 30
        body = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
            f'viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="The packages of the '
            'program, the threads that they start, and the locks between them">',
            f'<rect width="100%" height="100%" rx="10" fill="{PAPER}"/>',
            "<g font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" "
            'font-size="12">',
        ]
        for draw in (self._bands, self._lifelines, self._titles, self._locks, self._network):
            body += draw()
        body += self._boxes()
        body.append(_text(MARGIN + PAD, self.height + 12, _LEGEND, QUIET))
        return "\n".join([*body, "</g>", "</svg>", ""])

    def _bands(self) -> Iterator[str]:
        for row in self.rows:
            yield (
                f'<rect x="{row.left:.1f}" y="{row.top:.1f}" width="{row.width:.1f}" '
                f'height="{row.height:.1f}" rx="5" fill="{BAND}"/>'
            )

    def _titles(self) -> Iterator[str]:
        roles = _roles()
        for row in self.rows:
            colour = COLOURS.get(row.name.partition(".")[0], INK)
            name = row.name if row.name != "cmd_chat" else "cmd_chat.py"
            yield _text(row.left + PAD, row.top + 16, name, colour, bold=True, halo=True)
            room = int((row.width - 2 * PAD) / 6.6) - len(name) - 3
            at, y = row.left + PAD + (len(name) + 2) * 7.3, row.top + 16
            yield _text(at, y, _cut(roles[row.name], room), QUIET, size=11, halo=True)

    def _lifelines(self) -> Iterator[str]:
        for thread, x in self.columns.items():
            top, bottom = self.reach(thread)
            yield _stroke(x, top, x, bottom, FAINT, 'stroke-dasharray="2 3"')

    def _locks(self) -> Iterator[str]:
        for name in parts.lock_order():
            row = self.row_of(name)
            colour = COLOURS[row.name.partition(".")[0]]
            taking = [each for each, taken in self.takers.items() if name in taken]
            for side in ("client", "server"):  # of what both have, each has its own
                xs = sorted(self.columns[each] for each in taking if self.side(each) == side)
                if xs:
                    yield from _lock(name, row.line(name), xs, colour)

    def _network(self) -> Iterator[str]:
        """Between the two sides, where the transport is."""
        row, x = next(row for row in self.rows if row.name == "transport"), self.middle
        y, colour = (row.line(row.locks[0]) + row.line(row.locks[-1])) / 2, COLOURS[row.name]
        yield _stroke(x - 26, y, x + 26, y, colour)
        for end, inner in ((x - 30, x - 22), (x + 30, x + 22)):
            points = f"{end:.1f},{y:.1f} {inner:.1f},{y - 4:.1f} {inner:.1f},{y + 4:.1f}"
            yield f'<polygon points="{points}" fill="{colour}"/>'
        yield _text(x, y - 9, "network", QUIET, middle=True, size=11)

    def _boxes(self) -> Iterator[str]:
        for thread, x in self.columns.items():
            package, file = self.started[thread]
            y, colour = self.box(thread), COLOURS[package.partition(".")[0]]
            yield (
                f'<rect x="{x - BOX_WIDTH / 2:.1f}" y="{y:.1f}" width="{BOX_WIDTH}" '
                f'height="{BOX}" rx="5" fill="{PAPER}" stroke="{colour}"/>'
            )
            name = thread.partition(" ")[0]
            yield _text(x, y + 15, name, colour, middle=True, bold=True, size=_fitting(name, 11.5))
            yield _text(x, y + 28, file, QUIET, middle=True, size=_fitting(file, 9))


_LEGEND = (
    "box: a thread, and the file that starts it · line: a lock, and the threads that take it; "
    "who holds one takes only those below"
)


def _row(package: str) -> str:
    """The row that a package is drawn in: all of the server's are one."""
    return "server" if package.startswith("server.") else package


def _started() -> Mapping[str, tuple[str, str]]:
    """For each thread the package and the file that start it, in the table's order."""
    packages = {module.path: module.package for module in program()}
    code = {thread.name: thread.place for thread in reversed(parts.threads())}
    found = {}
    for row in parts.rows("Threads"):
        side = re.split(r"\W", row[1])[0]
        for name in parts.named(row[0]):
            if name == "main":
                found[f"main ({side})"] = (side, "the system")
                continue
            place = code.get(name, code[""])
            found[name] = (packages[place], place.rpartition("/")[2].removesuffix(".py"))
    return found


def _roles() -> dict[str, str]:
    """What each package says it is for: the first sentence of its docstring."""
    found = {}
    for module in program():
        if module.path.endswith("__init__.py") or module.path == "cmd_chat.py":
            said = (ast.get_docstring(module.tree) or "").partition("\n\n")[0]
            said = " ".join(said.replace("``", "").split())
            found[module.package] = re.split(r"\.\s", re.sub(r"^[\w -]+: ", "", said))[0]
    return found


def _fitting(text: str, size: float) -> float:
    """The size in which it fits into a box."""
    return round(min(size, (BOX_WIDTH - 6) / 0.605 / len(text)), 1)


def _cut(text: str, room: int) -> str:
    """As much of it as there is room for, if possible up to a comma."""
    text = text.rstrip(".:")
    while len(text) > room:
        before = re.match(r"(.+)[,;:]", text)
        text = before[1] if before else text.rpartition(" ")[0]
    return text


def _lock(name: str, y: float, xs: list[float], colour: str) -> Iterator[str]:
    yield _text(xs[0] + 7, y - 5, name, INK, size=10.5, halo=True)
    if len(xs) > 1:
        yield _stroke(xs[0], y, xs[-1], y, colour)
    for x in xs:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'


def _text(
    x: float, y: float, text: str, colour: str,
    *, size: float = 12, bold: bool = False, middle: bool = False, halo: bool = False,
) -> str:  # fmt: skip
    more = ' font-weight="bold"' if bold else ""
    more += ' text-anchor="middle"' if middle else ""
    if halo:
        more += f' paint-order="stroke" stroke="{BAND}" stroke-width="4"'
    if size != 12:
        more += f' font-size="{size}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{more}>{escape(text)}</text>'


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="1.3" {more}/>'


def main() -> None:
    """Write it."""
    PICTURE.write_text(Picture().svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
