"""What scripts wait for: ``send`` from start to exit, ``tail``, and many lines through a pipe.

    python -m bench.programs

Each beside what ``connect`` takes for the same in the same run, in turns.
"""

from __future__ import annotations

import json
import os
import selectors
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from bench import tables
from bench.load import median_ratio, percentile
from bench.servers import PASSWORD, ROOT, Process, chat_server, environment

RUNS = 20
SEND_TARGET = 1.3  # times the time to ``connected``
A_SECOND, MESSAGES, TAIL_TARGET = 20.0, 400, 20.0  # milliseconds, p99
LINES, LINES_TARGET, LINES_RUNS = 10_000, 2000.0, 3  # a second
_LONG = 60.0  # seconds; against hanging only


def program(server: Process, command: str, nick: str, *words: str) -> subprocess.Popen[bytes]:
    """One of the program's commands, with pipes; all that it needs is in its environment."""
    known = {"CLIENT_SERVER": "127.0.0.1", "CLIENT_PORT": str(server.port),
             "CLIENT_USERNAME": nick, "CLIENT_PASSWORD": PASSWORD}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "cmd_chat.py", command, *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment(known), cwd=ROOT, bufsize=0,
    )  # fmt: skip


class Reader:
    """Lines of several programs, each with the moment at which it came."""

    def __init__(self, *programs: subprocess.Popen[bytes]) -> None:
        self._selector = selectors.DefaultSelector()
        self.lines: list[list[tuple[float, bytes]]] = [[] for _ in programs]
        self._rest = [b"" for _ in programs]
        for place, each in enumerate(programs):
            assert each.stdout is not None
            self._selector.register(each.stdout, selectors.EVENT_READ, place)

    def read(self, seconds: float) -> None:
        """Take up what comes within so many seconds, the first of it alone."""
        for key, _mask in self._selector.select(max(0.0, seconds)):
            data, now = os.read(key.fd, 1 << 20), time.monotonic()
            assert data, "a program has ended"
            *lines, self._rest[key.data] = (self._rest[key.data] + data).split(b"\n")
            self.lines[key.data] += [(now, line) for line in lines]

    def rest(self, until: float) -> None:
        """Take up what comes until then."""
        while (left := until - time.monotonic()) > 0:
            self.read(left)

    def wait(self, done: Callable[[], bool]) -> None:
        """Take up what comes until ``done``."""
        end = time.monotonic() + _LONG
        while not done():
            assert time.monotonic() < end, "it takes too long"
            self.read(end - time.monotonic())


def entered(reader: Reader, place: int) -> None:
    """Wait until a ``connect --renderer json`` is in."""
    reader.wait(lambda: any(b'"connected"' in line for _, line in reader.lines[place]))


def end(*programs: subprocess.Popen[bytes]) -> None:
    """End them now."""
    for each in programs:
        each.kill()
        each.wait()
        for pipe in (each.stdin, each.stdout):
            if pipe is not None:
                pipe.close()


def send(server: Process, number: int) -> float:
    """Milliseconds from the start of ``send`` to its end."""
    start = time.monotonic()
    sending = program(server, "send", f"send{number}", "hello")
    status = sending.wait(_LONG)
    took = time.monotonic() - start
    end(sending)
    assert status == 0
    return took * 1000


def connect(server: Process, number: int) -> float:
    """Milliseconds from the start of ``connect`` to ``connected``."""
    start = time.monotonic()
    client = program(server, "connect", f"connect{number}", "--renderer", "json")
    entered(Reader(client), 0)
    took = time.monotonic() - start
    end(client)
    return took * 1000


def delays(server: Process) -> tuple[list[float], list[float]]:
    """Milliseconds from a line's writing to a ``connect`` until a ``tail`` has printed it, and
    until another ``connect`` has, in the same room."""
    tail = program(server, "tail", "tail", "--raw")
    listener = program(server, "connect", "listener", "--renderer", "json")
    sender = program(server, "connect", "sender", "--renderer", "json", "--input", "text")
    reader = Reader(tail, listener, sender)
    assert sender.stdin is not None
    try:
        entered(reader, 1)
        entered(reader, 2)
        while not reader.lines[0]:  # it does not say when it is in
            sender.stdin.write(b"first\n")
            reader.rest(time.monotonic() + 0.2)
        reader.rest(time.monotonic() + 0.5)
        written, start = [], time.monotonic()
        for number in range(MESSAGES):
            reader.rest(start + number / A_SECOND)
            written.append(time.monotonic())
            sender.stdin.write(b"m%d\n" % number)
        last = b"m%d" % (MESSAGES - 1)
        reader.wait(lambda: any(line == last for _, line in reader.lines[0]))
        reader.wait(lambda: any(b'"%s"' % last in line for _, line in reader.lines[1]))
        raw = dict((line, when) for when, line in reader.lines[0])
        told = {json.loads(line).get("text", "").encode(): when for when, line in reader.lines[1]}
    finally:
        end(tail, listener, sender)
    names = [b"m%d" % number for number in range(MESSAGES)]
    both = ([found[name] - at for name, at in zip(names, written, strict=True)]
            for found in (raw, told))  # fmt: skip
    first, second = ([each * 1000 for each in found] for found in both)
    return first, second


def lines(server: Process, form: str, number: int) -> float:
    """Lines a second through ``--input`` ``form``, from the first one's writing until all have
    their places in the log, which are in order."""
    sender = program(server, "connect", f"{form}{number}", "--renderer", "json", "--input", form)
    reader = Reader(sender)
    entered(reader, 0)
    assert sender.stdin is not None
    start = time.monotonic()
    feeder = os.fork()
    if not feeder:  # a thread would take turns with whoever reads
        sender.stdin.write(b"".join(b"line %d\n" % each for each in range(LINES)))
        os._exit(0)
    sender.stdin.close()
    last = b'"line %d"' % (LINES - 1)
    reader.wait(lambda: last in reader.lines[0][-1][1])
    took = reader.lines[0][-1][0] - start
    os.waitpid(feeder, 0)
    found = [json.loads(line) for _, line in reader.lines[0]]
    texts = [event["text"] for event in found if event["event"] == "message"]
    assert texts == [f"line {each}" for each in range(LINES)]
    end(sender)
    return LINES / took


def main() -> None:
    """Measure and print."""
    rows = []
    with chat_server() as server:
        pairs = [(send(server, each), connect(server, each)) for each in range(RUNS)]
        sent, entering = ([pair[place] for pair in pairs] for place in (0, 1))
        ratio = median_ratio(sent, entering)
        rows.append(["send, start to exit", f"{statistics.median(sent):.0f} ms",
                     f"{statistics.median(entering):.0f} ms", f"{ratio:.2f}",
                     tables.target(ratio, SEND_TARGET)])  # fmt: skip
    with chat_server() as server:
        tail, other = delays(server)
        for share in (0.5, 0.99):
            own, beside = percentile(tail, share), percentile(other, share)
            goal = tables.target(own, TAIL_TARGET) if share == 0.99 else ""
            rows.append([f"tail at {A_SECOND:g} a second, p{share * 100:g}", f"{own:.1f} ms",
                         f"{beside:.1f} ms", f"{own / beside:.2f}", goal])  # fmt: skip
    with chat_server() as server:
        rates = [[lines(server, form, each) for form in ("text", "lines")]
                 for each in range(LINES_RUNS)]  # fmt: skip
        text, typed = ([each[place] for each in rates] for place in (0, 1))
        reached = "yes" if statistics.median(text) >= LINES_TARGET else "NO"
        rows.append([f"--input text, {LINES:,} lines", f"{statistics.median(text):,.0f}/s",
                     f"{statistics.median(typed):,.0f}/s", f"{median_ratio(text, typed):.2f}",
                     f">= {LINES_TARGET:g} {reached}"])  # fmt: skip
    head = ("", "", "connect", "ratio", "target")
    tables.show("Programs, and connect beside them", head, rows)


if __name__ == "__main__":
    main()
