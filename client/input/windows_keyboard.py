"""Lines typed on a Windows console."""

from __future__ import annotations

from time import monotonic

from client.input.editor import LineEditor
from client.input.keyboard import Clock, Display, KeyInput
from client.input.keys import PASTE_CHARS, KeyDecoder
from client.input.windows import WindowsConsole
from client.input.windows_keys import KeyRecord, WindowsKeys, parse

_PASTE_TIME = 0.02  # seconds in which the next part of a paste comes
_PASTE_RECORDS = 2 * PASTE_CHARS  # each character goes down and up; more are another read


class ConsoleInput(KeyInput):
    """Lines typed on a Windows console in raw mode."""

    def __init__(
        self,
        console: WindowsConsole,
        editor: LineEditor,
        display: Display,
        decoder: KeyDecoder,
        clock: Clock = monotonic,
    ) -> None:
        super().__init__(console, editor, display, decoder, clock)
        self._console = console
        self._keys = WindowsKeys()

    def _read(self) -> bool:
        """A key that somebody presses comes alone. Behind several at once more are waited for, so
        that a paste stays whole."""
        keys: list[KeyRecord] = []
        while data := self._console.read():
            for record in parse(data):
                if isinstance(record, KeyRecord):
                    keys.append(record)
                else:
                    self._display.redraw()
            several = sum(key.down and key.char != "\0" for key in keys) > 1
            if not several or len(keys) > _PASTE_RECORDS or not self._console.wait(_PASTE_TIME):
                break
        self._feed(self._keys.feed(keys))
        return bool(data)
