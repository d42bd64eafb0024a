"""Attacks on a real client by a server that has the password, or by somebody in between."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.attacks.host import WELCOME, Gone, Liar, Visit
from tests.attacks.kit import Measured, attack, cpu, identity, prs, real_client, target
from tests.processes import Client

PATIENCE = 40.0  # longer than a client should let anybody keep it waiting


def _meet(
    program: Path, lie: Callable[[Visit], None], seconds: float, *, last: str = "",
    until: str = "",
) -> Measured:  # fmt: skip
    """What a real client tells, and costs, while it is lied to for some seconds."""
    with Liar(prs(), lie) as liar:
        address = ("127.0.0.1", liar.port)
        with real_client(program, address, "alice", joined=False) as client:
            start = time.monotonic()
            client.say("a line")
            _watch(client, start + seconds, until)
            watched, used = time.monotonic() - start, _cpu(client)
            told = Counter(each["event"] for each in client.events)
            codes = [each["code"] for each in client.events if "code" in each]
            quit_after = "had ended"
            if client.process.poll() is None:
                begun = time.monotonic()
                client.say("/quit")
                client.end_input()
                _watch(client, begun + 10.0, "")
                took = time.monotonic() - begun
                ended = client.process.poll() is not None
                quit_after = f"after {took:.1f} s" if ended else "not obeyed within 10 s"
            status = client.process.poll()
            words = client.errors if status is not None else ""
    return {
        "watched for": f"{watched:.0f} s",
        "connections": len(liar.visits),
        "its CPU": f"{used / watched:.0%} of a core",
        "events": dict(told) or "none",
        "codes": dict(Counter(codes)) or "none",
        "/quit": quit_after,
        "exit status": "none" if status is None else status,
        **({"said at the end": words.strip()} if words else {}),
    }


def _watch(client: Client, end: float, until: str) -> None:
    """Take what it tells, until its end, or an event, or the deadline."""
    while time.monotonic() < end and client.process.poll() is None:
        client._read(min(end, time.monotonic() + 0.1))
        if until and client.all(until):
            return


def _cpu(client: Client) -> float:
    return cpu(client.process.pid) if client.process.poll() is None else float("nan")


def _listen(visit: Visit) -> None:
    while True:
        visit.message()


@attack("endless-roster")
def run_endless_roster(program: Path, seconds: float) -> Measured:
    """200 members are announced, one comes, and `taken` each second keeps the connection alive"""

    def lie(visit: Visit) -> None:
        visit.welcome(members=200)
        while True:
            time.sleep(1.0)
            visit.send({"type": "taken", "ref": 0})

    return _meet(program, lie, PATIENCE, until="disconnected")


@attack("no-room")
def run_no_room(program: Path, seconds: float) -> Measured:
    """`welcome` alone, and then `taken` each second"""

    def lie(visit: Visit) -> None:
        confirm = visit.confirm()
        visit.send({**WELCOME, "nick": confirm["nick"]})
        while True:
            time.sleep(1.0)
            visit.send({"type": "taken", "ref": 0})

    return _meet(program, lie, PATIENCE, until="disconnected")


@attack("goodbyes")
def run_goodbyes(program: Path, seconds: float) -> Measured:
    """Let in and said goodbye to, again and again, for 30 s"""

    def lie(visit: Visit) -> None:
        visit.welcome()
        time.sleep(0.05)
        visit.send({"type": "bye", "reason": "protocol"})
        _listen(visit)

    return _meet(program, lie, 30.0)


@attack("stale")
def run_stale(program: Path, seconds: float) -> Measured:
    """Each post is refused as stale; how often one line is sealed"""
    sealed = Counter[str]()

    def lie(visit: Visit) -> None:
        visit.welcome()
        while True:
            for frame in visit.open(visit.message()):
                if frame["type"] == "post":
                    sealed["times"] += 1
                    visit.send({"type": "refused", "code": "stale", "ref": frame["ref"]})

    found = _meet(program, lie, 15.0, until="not_sent")
    return {"sealed": f"{sealed['times']} times", **found}


@attack("unknown-entry")
def run_unknown_entry(program: Path, seconds: float) -> Measured:
    """A log entry of unknown kind, beside one of a member that leaves"""

    def lie(visit: Visit) -> None:
        mallory = {"id": 2, "nick": "mallory", "joined": 2, "bundle": identity().bundle}
        ghost = {"type": "joined", "seq": 2, "member": mallory}
        visit.welcome()
        visit.send({"type": "log", "at": 1, "to": 2, "entries": [ghost]})
        entries = [{"type": "zork", "seq": 3}, {"type": "left", "seq": 4, "id": 2}]
        visit.send({"type": "log", "at": 1, "to": 4, "entries": entries})
        _listen(visit)

    return _meet(program, lie, 6.0, until="disconnected")


@attack("renaming")
def run_renaming(program: Path, seconds: float) -> Measured:
    """`welcome` grants another nickname than the one asked for, one that nobody can have"""

    def lie(visit: Visit) -> None:
        visit.welcome(nick="server")
        _listen(visit)

    return _meet(program, lie, 6.0, until="disconnected")


@attack("between")
def run_between(program: Path, seconds: float) -> Measured:
    """Somebody in between lets one connection pass, and tries a password on each of the next two"""
    guesses = 0
    with target(program) as server:
        listener = socket.create_server(("127.0.0.1", 0))

        def relay(sock: socket.socket) -> None:
            """Pass on what comes, and cut it a moment after the first record of the server's."""
            far = socket.create_connection(("127.0.0.1", server.port))

            def pump(source: socket.socket, sink: socket.socket) -> None:
                try:
                    while data := source.recv(65536):
                        sink.sendall(data)
                except OSError:
                    pass

            for pair in ((sock, far), (far, sock)):
                threading.Thread(target=pump, args=pair, daemon=True).start()
            time.sleep(0.8)
            for each in (sock, far):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)  # which wakes who reads it
                each.close()

        def accept() -> None:
            nonlocal guesses
            number = 0
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                number += 1
                if number % 3 == 1:  # the first one, too: a client that never was in ends
                    relay(sock)
                    continue
                with sock:
                    try:
                        visit = Visit(sock, bytes(32))
                        guesses += bool(visit.first)
                    except (Gone, ValueError):
                        pass

        threading.Thread(target=accept, daemon=True).start()
        address = ("127.0.0.1", listener.getsockname()[1])
        with real_client(program, address, "alice", joined=False) as client:
            _watch(client, time.monotonic() + PATIENCE, "")
            ended = client.process.poll()
            said = Counter(each["event"] for each in client.events)
        listener.close()
    return {
        "guesses": f"{guesses} in {PATIENCE:.0f} s",
        "events": dict(said),
        "exit status": "still there" if ended is None else ended,
        "said at the end": client.errors.strip() or "nothing",
    }
