"""Runs inside a real terminal, and writes to it what it is told: ``pane_writer.py SOCKET``.

Of each request it waits until the terminal has the size asked for, writes the text, and answers
where the cursor stands then, as the terminal reports it (CPR, ECMA-48 8.3.14): whoever reads the
answer knows that the terminal has dealt with all of the text.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import termios
import time

_LONG = 20.0  # seconds; against hanging only


def _raw(fd: int) -> None:
    settings = termios.tcgetattr(fd)
    settings[0] &= ~(termios.ICRNL | termios.IXON)
    settings[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    termios.tcsetattr(fd, termios.TCSANOW, settings)


def _wait_for_size(columns: int, rows: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
    until = time.monotonic() + _LONG
    while tuple(os.get_terminal_size(1)) != (columns, rows):
        if time.monotonic() > until:
            raise SystemExit(f"the size is {os.get_terminal_size(1)}")
        signal.sigtimedwait([signal.SIGWINCH], 0.05)  # some terminals set it twice


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data):]


def _cursor() -> tuple[int, int]:
    """Row and column, from 0."""
    _write(b"\x1b[6n")
    answer = b""
    while True:
        answer += os.read(0, 100)
        found = re.search(rb"\x1b\[(\d+);(\d+)R", answer)
        if found:
            return int(found[1]) - 1, int(found[2]) - 1


def main() -> None:
    """Serve until the other side hangs up."""
    signal.signal(signal.SIGWINCH, lambda *_: None)
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(sys.argv[1])
        _raw(0)
        with link.makefile("r", encoding="utf-8") as requests:
            for request in requests:
                wanted = json.loads(request)
                _wait_for_size(*wanted["size"])
                _write(wanted["text"].encode("utf-8", "surrogateescape"))
                link.sendall((json.dumps(_cursor()) + "\n").encode())


if __name__ == "__main__":
    main()
