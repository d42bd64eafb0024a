"""Real terminals to draw on without a screen: tmux and GNU screen, and what they then show."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

WRITER = Path(__file__).parent / "pane_writer.py"
LONG = 20.0  # seconds; against hanging only


class Pane:
    """A terminal of ``columns`` x ``rows`` in which ``pane_writer`` runs."""

    def __init__(self) -> None:
        self.columns, self.rows = 80, 24
        self._stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="cmdchat-pane-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        path = str(self.folder / "writer")
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(path)
            door.listen()
            door.settimeout(LONG)
            self._start([sys.executable, "-B", "-S", str(WRITER), path])
            self._link = self._stack.enter_context(door.accept()[0])
        self._link.settimeout(LONG)
        self._answers = self._stack.enter_context(self._link.makefile("r", encoding="utf-8"))

    def environment(self) -> dict[str, str]:
        """Of a person with a UTF-8 locale."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}

    def draw(self, text: str) -> tuple[int, int]:
        """Write a text; where the cursor stands after it (row and column, from 0)."""
        request = {"size": (self.columns, self.rows), "text": text}
        self._link.sendall((json.dumps(request) + "\n").encode())
        row, column = json.loads(self._answers.readline())
        return row, column

    def close(self) -> None:
        """End it."""
        self._stop()
        self._stack.close()

    # What each kind does itself.

    def _start(self, command: list[str]) -> None:
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError

    def resize(self, columns: int, rows: int) -> None:
        """Give it another size, which it has with the next ``draw``."""
        raise NotImplementedError

    def shown(self) -> list[str]:
        """Its rows, without the blanks at their ends."""
        raise NotImplementedError


class Tmux(Pane):
    """tmux, asked through its control mode (tmux(1), CONTROL MODE)."""

    def _start(self, command: list[str]) -> None:
        base = ["tmux", "-u", "-f", "/dev/null", "-S", str(self.folder / "tmux")]
        self._base = base
        self._tmux("new-session", "-d", "-x", "80", "-y", "24", " ".join(command))
        self._tmux("set", "-g", "window-size", "manual")
        self._control = subprocess.Popen(
            [*base, "-C", "attach", "-f", "no-output"], env=self.environment(),
            encoding="utf-8", errors="replace", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._answer()

    def _tmux(self, *words: str) -> None:
        subprocess.run([*self._base, *words], env=self.environment(), check=True)

    def _answer(self) -> list[str]:
        """The lines of the next answer; what comes between answers is about other things."""
        assert self._control.stdout is not None
        lines: list[str] | None = None
        for line in self._control.stdout:
            if lines is None:
                lines = [] if line.startswith("%begin ") else None
            elif line.startswith(("%end ", "%error ")):
                assert line.startswith("%end "), lines
                return lines
            else:
                lines.append(line.rstrip("\n"))
        raise AssertionError("tmux has ended")

    def _ask(self, command: str) -> list[str]:
        assert self._control.stdin is not None
        self._control.stdin.write(command + "\n")
        self._control.stdin.flush()
        return self._answer()

    def resize(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._ask(f"resize-window -x {columns} -y {rows}")

    def shown(self) -> list[str]:
        return [line.rstrip(" ") for line in self._ask("capture-pane -p")]

    def _stop(self) -> None:
        with suppress(OSError, subprocess.CalledProcessError):
            self._tmux("kill-server")
        self._control.communicate(timeout=LONG)


class Screen(Pane):
    """GNU screen, attached to a terminal of ours. What it shows is copied with its copy mode:
    its hardcopies have the low byte of each character."""

    def _start(self, command: list[str]) -> None:
        config = self.folder / "screenrc"
        self._copy = self.folder / "copy"
        config.write_text(f"bufferfile {self._copy}\nstartup_message off\nvbell off\nmsgwait 0\n")
        sockets = self.folder / "sockets"
        sockets.mkdir(mode=0o700)
        pid, self._master = pty.fork()
        if pid == 0:
            environ = {**self.environment(), "SCREENDIR": str(sockets)}
            os.execvpe("screen", ["screen", "-U", "-c", str(config), *command], environ)
        self._pid = pid
        self.resize(80, 24)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        with suppress(OSError):  # how a terminal ends
            while os.read(self._master, 65536):
                pass

    def resize(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def shown(self) -> list[str]:
        self._copy.unlink(missing_ok=True)
        # Into copy mode; from the upper left corner to the lower right one; written to a file.
        os.write(self._master, b"\x01[H0 L$ \x01>")
        until = time.monotonic() + LONG
        text, same = b"", 0
        # Rows that were folded are one line: there it is whole when it no longer grows.
        while text.count(b"\n") < self.rows - 1 and same < 20:
            assert time.monotonic() < until, text
            time.sleep(0.0005)
            before = text
            with suppress(FileNotFoundError):
                text = self._copy.read_bytes()
            same = same + 1 if text and text == before else 0
        return [line.rstrip(" ") for line in text.decode("utf-8", "replace").split("\n")]

    def _stop(self) -> None:
        os.write(self._master, b"\x01:quit\r")
        os.waitpid(self._pid, 0)
        os.close(self._master)


PANES = {"tmux": Tmux, "GNU screen": Screen}
