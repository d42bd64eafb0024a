"""A Windows console: its modes, waiting for its keys and for ``stop`` at once, its records.

``WindowsConsole`` is to Windows what ``terminal.RawTerminal`` and ``waiting.Waiter`` are to POSIX.
"""

from __future__ import annotations

import atexit
import ctypes
import sys
from ctypes import byref, c_uint32, c_void_p
from typing import Any, TextIO

from client.input.windows_keys import RECORD_BYTES

# Microsoft: SetConsoleMode. Mouse input would take the selection away from who reads.
_PROCESSED, _LINE, _ECHO, _WINDOW, _MOUSE, _VT_INPUT = 0x1, 0x2, 0x4, 0x8, 0x10, 0x200
_RECORDS = 1024  # in one call
_FOREVER, _FIRST, _SECOND = 0xFFFFFFFF, 0, 1  # WaitForMultipleObjects


def kernel32() -> Any:
    """The system's library, with the argument types that handles need."""
    if sys.platform != "win32":
        raise OSError("there is no Windows console here")
    library = ctypes.WinDLL("kernel32")
    library.CreateEventW.restype = c_void_p
    for name in ("SetEvent", "CloseHandle"):
        getattr(library, name).argtypes = [c_void_p]
    return library


def handle_of(file: TextIO) -> int:
    """The console's handle behind a standard stream."""
    if sys.platform != "win32":
        raise OSError("there is no Windows console here")
    import msvcrt

    return msvcrt.get_osfhandle(file.fileno())


def takes_sequences(file: TextIO) -> bool:
    """Have the console obey escape sequences; False if it cannot (the legacy console).

    colorama would stand in for the colours there, but not for the second screen.
    """
    if sys.platform != "win32":
        return True
    from colorama import AnsiToWin32

    return not AnsiToWin32(file).convert


class WindowsConsole:
    """The console's input behind ``handle``, set to give each key as it is pressed.

    ``library`` is ``kernel32()``. ``restore`` may be called any number of times, and is also
    called when the interpreter ends. ``stop`` may be called by any thread and by a signal handler.
    """

    def __init__(self, handle: int, library: Any) -> None:
        self._handle, self._kernel = handle, library
        self._before: int | None = None
        self._wake = library.CreateEventW(None, True, False, None)
        self.stopped = False

    def seize(self) -> None:
        """Ctrl-C comes as a key, and sequences where the console makes them."""
        mode = c_uint32()
        known = self._kernel.GetConsoleMode(c_void_p(self._handle), byref(mode))
        if self._before is not None or not known:
            return
        self._before = mode.value
        atexit.register(self.restore)
        ours = mode.value & ~(_PROCESSED | _LINE | _ECHO | _MOUSE) | _WINDOW
        if not self._set(ours | _VT_INPUT):
            self._set(ours)

    def restore(self) -> None:
        """Set everything as it was. What has been typed and not read is dropped: a shell would
        take the rest of a message for commands."""
        if self._before is None:
            return
        before, self._before = self._before, None
        atexit.unregister(self.restore)
        self._kernel.FlushConsoleInputBuffer(c_void_p(self._handle))
        self._set(before)

    def _set(self, mode: int) -> bool:
        return bool(self._kernel.SetConsoleMode(c_void_p(self._handle), c_uint32(mode)))

    def wait(self, timeout: float | None = None) -> bool | None:
        """True: there are records, False: the time (in seconds) is over, None: stopped."""
        handles = (c_void_p * 2)(self._wake, self._handle)
        milliseconds = _FOREVER if timeout is None else int(timeout * 1000)
        which = self._kernel.WaitForMultipleObjects(2, handles, False, c_uint32(milliseconds))
        if self.stopped or which == _FIRST:
            return None
        return bool(which == _SECOND)

    def read(self) -> bytes:
        """The records that are there, as ``windows_keys.parse`` takes them; waits for one.

        Empty when the console has gone.
        """
        buffer = ctypes.create_string_buffer(_RECORDS * RECORD_BYTES)
        count = c_uint32()
        done = self._kernel.ReadConsoleInputW(
            c_void_p(self._handle), buffer, c_uint32(_RECORDS), byref(count)
        )
        return buffer.raw[: count.value * RECORD_BYTES] if done else b""

    def stop(self) -> None:
        self.stopped = True
        self._kernel.SetEvent(self._wake)

    def close(self) -> None:
        self.stop()
