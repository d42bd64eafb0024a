"""Types on a Windows console, key by key as a keyboard does: runs under Windows' Python.

    python typist.py PORT COMMAND…

Starts the command on its own console, and obeys lines of JSON from 127.0.0.1:PORT: a list of
records, each [down, virtual key code, character, modifiers], to be put into the console's input.
When the command ends, it answers with a line: the exit status, and the console's input mode before
and after.
"""

from __future__ import annotations

import ctypes
import json
import socket
import struct
import subprocess
import sys
import threading
from typing import Any

_INPUT = 0xFFFFFFF6  # STD_INPUT_HANDLE


def _kernel() -> Any:
    if sys.platform != "win32":
        raise SystemExit("this runs under Windows")
    library = ctypes.WinDLL("kernel32")
    library.GetStdHandle.restype = ctypes.c_void_p
    return library


def _mode(kernel: Any, handle: Any) -> int:
    mode = ctypes.c_uint32()
    kernel.GetConsoleMode(handle, ctypes.byref(mode))
    return mode.value


def _obey(commands: Any, kernel: Any, handle: Any) -> None:
    for line in commands:
        records = json.loads(line)
        data = b"".join(
            struct.pack("<HxxiHHHHI", 1, down, 1, key, 0, ord(char), state)
            for down, key, char, state in records
        )
        count = ctypes.c_uint32()
        kernel.WriteConsoleInputW(handle, data, len(records), ctypes.byref(count))


def main(port: int, command: list[str]) -> None:
    """Type until the command ends."""
    kernel = _kernel()
    handle = ctypes.c_void_p(kernel.GetStdHandle(_INPUT))
    before = _mode(kernel, handle)
    line = socket.create_connection(("127.0.0.1", port))
    process = subprocess.Popen(command)
    arguments = (line.makefile(encoding="utf-8"), kernel, handle)
    threading.Thread(target=_obey, args=arguments, daemon=True).start()
    status = process.wait()
    line.sendall(json.dumps([status, before, _mode(kernel, handle)]).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
