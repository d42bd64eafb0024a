"""Lines typed on a Windows console."""

from __future__ import annotations

from time import monotonic

from client.input.editor import LineEditor
from client.input.keyboard import END, Clock, Display, KeyInput
from client.input.keys import PASTE_CHARS, KeyDecoder
from client.input.windows import WindowsConsole
from client.input.windows_keys import KeyRecord, WindowsKeys, parse

_PASTE_TIME = 0.02  # seconds in which the next part of a paste comes
_PASTE_RECORDS = 2 * PASTE_CHARS  # each character goes down and up; more are another read


class ConsoleInput(KeyInput):
    """Lines typed on a Windows console that has been seized."""

    def __init__(
        self,
        console: WindowsConsole,
        editor: LineEditor,
        display: Display,
        decoder: KeyDecoder,
        clock: Clock = monotonic,
    ) -> None:
        super().__init__(editor, display, decoder, clock)
        self._console = console
        self._keys = WindowsKeys()

    def next_line(self) -> str | None:
        while self._waiting():
            ready = self._console.wait(self._patience())
            if ready is None:
                break
            if not ready:
                self._expire()
            elif not self._read():
                self.ended = END
        return self._next(self._console.stopped)

    def _read(self) -> bool:
        """Take the keys that are there; False if the console has gone.

        A key that somebody presses comes alone. Behind several at once more are waited for, so
        that a paste stays whole.
        """
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

    def stop(self) -> None:
        self._console.stop()

    def close(self) -> None:
        self._console.close()
