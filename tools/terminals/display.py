"""An X server without a screen, its picture, and its keyboard."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_HEAD = struct.Struct(">25I")  # XWDFileHeader, of which Xvfb writes version 7
_STEADY = 0.08  # seconds for which a picture must not change before it is taken


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels; ``right`` and ``bottom`` are outside of it."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Pixels:
    """A picture: ``height`` rows of ``width`` pixels, each four bytes (blue, green, red, 0)."""

    width: int
    height: int
    data: bytes

    def row(self, y: int, left: int = 0, right: int | None = None) -> bytes:
        end = self.width if right is None else right
        return self.data[4 * (y * self.width + left): 4 * (y * self.width + end)]

    def crop(self, box: Box) -> Pixels:
        """The part within ``box``."""
        rows = (self.row(y, box.left, box.right) for y in range(box.top, box.bottom))
        return Pixels(box.right - box.left, box.bottom - box.top, b"".join(rows))

    def painted(self, boxes: Iterable[Box]) -> Pixels:
        """The same picture with ``boxes`` in black: what is compared when they may differ."""
        data = bytearray(self.data)
        for box in boxes:
            blank = bytes(4 * (box.right - box.left))
            for y in range(box.top, box.bottom):
                start = 4 * (y * self.width + box.left)
                data[start: start + len(blank)] = blank
        return Pixels(self.width, self.height, bytes(data))

    def difference(self, other: Pixels) -> Box | None:
        """The smallest box around all pixels that differ; None if none does."""
        rows = [y for y in range(self.height) if self.row(y) != other.row(y)]
        if not rows:
            return None
        left, right = self.width, 0
        for y in rows:
            mine, theirs = self.row(y), other.row(y)
            columns = [
                x for x in range(self.width)
                if mine[4 * x: 4 * x + 3] != theirs[4 * x: 4 * x + 3]
            ]  # fmt: skip
            left = min(left, *columns, self.width)
            right = max(right, *(x + 1 for x in columns), 0)
        return Box(left, rows[0], right, rows[-1] + 1)

    def save(self, path: str | Path) -> None:
        """Write a PNG, with ImageMagick."""
        size = f"{self.width}x{self.height}"
        subprocess.run(
            ["convert", "-size", size, "-depth", "8", "bgra:-", "-alpha", "off", f"png:{path}"],
            input=self.data, check=True,
        )  # fmt: skip


class Display:
    """One X server. A context manager: leaving it ends the server."""

    def __init__(self, width: int = 2400, height: int = 1200) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="xvfb-")
        read, write = os.pipe()
        screen = f"{width}x{height}x24"
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", screen, "-nolisten", "tcp",
             "-nocursor", "-fbdir", self._folder.name],
            pass_fds=[write], stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(write)
        with os.fdopen(read) as numbers:
            self.name = ":" + numbers.readline().strip()
        self._file = open(Path(self._folder.name) / "Xvfb_screen0", "rb")  # noqa: SIM115
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def close(self) -> None:
        self._server.terminate()
        self._server.wait()
        self._map.close()
        self._file.close()
        self._folder.cleanup()

    def environment(self) -> dict[str, str]:
        """For programs that are to appear on it."""
        return {**os.environ, "DISPLAY": self.name}

    def now(self, width: int, height: int) -> Pixels:
        """What is to be seen just now in the upper left corner."""
        head = _HEAD.unpack_from(self._map)
        size, whole, colours = head[0], head[12], head[19]
        start = size + 12 * colours
        rows = (
            self._map[start + y * whole: start + y * whole + 4 * width] for y in range(height)
        )
        return Pixels(width, height, b"".join(rows))

    def steady(self, width: int, height: int, seconds: float = 5.0) -> Pixels:
        """What is to be seen there once it has stopped changing."""
        end = time.monotonic() + seconds
        seen, since = self.now(width, height), time.monotonic()
        while time.monotonic() < min(end, since + _STEADY):
            time.sleep(_STEADY / 8)
            again = self.now(width, height)
            if again.data != seen.data:
                seen, since = again, time.monotonic()
        return seen

    def xdotool(self, *arguments: str) -> str:
        """Run xdotool with these arguments; what it says."""
        done = subprocess.run(
            ["xdotool", *arguments], env=self.environment(), stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        return done.stdout
