"""Attacks by somebody who has the password."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import second_crypto as crypto
from tests.attacks.kit import (
    DEFAULTS,
    LOST,
    Attackers,
    Honest,
    Measured,
    attack,
    beside,
    cpu,
    member,
    newcomer,
    real_client,
    target,
)
from tests.second_client import Client as Second
from tests.second_link import Refusal
from tests.second_socket import BINARY, PING, Ended, frame

# Coming and going


def rejoin(port: int, number: int, end: float) -> dict[str, float]:
    """Come in under other keys and go, as fast as it goes."""
    counts: Counter[str] = Counter()
    start = time.monotonic()
    for each in itertools.count():
        if time.monotonic() >= end:
            break
        client = newcomer(port, f"come-and-go-{number}-{each}")
        try:
            client.join()
        except Refusal as refused:
            counts[refused.code] += 1
            wait = min(refused.frame.get("retry_after") or 0.1, max(0.0, end - time.monotonic()))
            time.sleep(wait)
        except LOST:
            counts["cut"] += 1
        else:
            counts["joined"] += 1
            client.leave()
    took = time.monotonic() - start
    return {"joins a second": counts.pop("joined", 0) / took, **counts}


@attack("rejoin")
def run_rejoin(program: Path, seconds: float) -> Measured:
    """One connection comes and goes under other keys and names, as fast as it can"""
    with target(program) as server:
        address = (server.host, server.port)
        with real_client(program, address, "reader") as reader:
            honest = Honest(server.port)
            honest.talk(0.5)
            calm = honest.talk(min(seconds, 4.0))
            reader.forget()
            before = cpu(reader.process.pid)
            received = sum(each.socket.received for each in honest.members)
            attackers = Attackers(rejoin, server.port, 1, seconds)
            under = honest.talk(seconds)
            (result,) = attackers.results()
            received = sum(each.socket.received for each in honest.members) - received
            reader.say("/who")
            reader.next("members")
            events = Counter(each["event"] for each in reader.events)
            used = cpu(reader.process.pid) - before
            honest.leave()
    return {
        "the attacker": result,
        "honest, calm": calm.figures,
        "honest, attacked": under.figures,
        "to each member": f"{received / len(honest.members) / seconds / 1000:.0f} kB/s",
        "a real client's events": dict(events),
        "its CPU": f"{used / seconds:.0%} of a core",
    }


class Far:
    """A TCP relay that holds back what passes, for ``delay`` seconds in each direction."""

    def __init__(self, port: int, delay: float) -> None:
        self._port, self._delay = port, delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *words: Any) -> None:
        threading.Thread(target=work, args=words, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                held: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                self._start(self._take, source, held)
                self._start(self._give, sink, held)

    def _take(self, source: socket.socket, held: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        data = b"more"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            held.put((time.monotonic() + self._delay, data))

    def _give(self, sink: socket.socket, held: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        while True:
            when, data = held.get()
            time.sleep(max(0.0, when - time.monotonic()))
            with contextlib.suppress(OSError):
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)

    def close(self) -> None:
        self._listener.close()


@contextmanager
def far(port: int, delay: float) -> Iterator[Far]:
    relay = Far(port, delay)
    try:
        yield relay
    finally:
        relay.close()


@attack("rejoin-far")
def run_rejoin_far(program: Path, seconds: float) -> Measured:
    """The same, with two real clients whose round trips take 400 ms; lines within 10 s"""
    wanted, pause, most = 8, max(0.5, seconds / 8), 10.0
    with target(program, **DEFAULTS) as server, far(server.port, 0.2) as relay:
        with (
            real_client(program, relay.address, "alice") as alice,
            real_client(program, relay.address, "bob") as bob,
        ):
            alice.meets("bob")
            attackers = Attackers(rejoin, server.port, 1, wanted * pause + most)
            time.sleep(1.0)
            said: dict[str, float] = {}
            for number in range(wanted):
                speaker = (alice, bob)[number % 2]
                said[text := f"line {number}"] = time.monotonic()
                speaker.say(text)
                _drain((alice, bob), pause)
            arrived: dict[str, float] = {}
            end = time.monotonic() + most
            while time.monotonic() < end and len(arrived) < wanted:
                _drain((alice, bob), 0.1)
                for client in (alice, bob):
                    for text in client.texts(self_=False):
                        arrived.setdefault(text, time.monotonic())
            (result,) = attackers.results()
            _drain((alice, bob), 1.0)
            events = [each for client in (alice, bob) for each in client.events]
            errors = Counter(each["code"] for each in events if each["event"] == "error")
            kinds = ("not_sent", "disconnected", "reconnected")
            told = Counter(each["event"] for each in events if each["event"] in kinds)
    return {
        "the attacker": result,
        "lines that arrived within 10 s": f"{len(arrived)} of {wanted}",
        "errors told to the two": dict(errors) or "none",
        "lost connections and lines handed back": dict(told) or "none",
    }


def _drain(clients: tuple[Any, ...], seconds: float) -> None:
    """Take what clients tell, for so long."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for client in clients:
            client._read(time.monotonic() + min(left, 0.02))


# Places


def _come_and_be_lost(
    port: int, rooms: Callable[[int], str], most: int, end: float
) -> Counter[str]:
    counts: Counter[str] = Counter()
    for each in range(most):
        if time.monotonic() >= end:
            break
        client = newcomer(port, f"ghost-{os.getpid()}-{each}", room=rooms(each))
        try:
            client.join()
            counts["places taken"] += 1
        except Refusal as refused:
            counts[refused.code] += 1
        except LOST:
            counts["cut"] += 1
        if hasattr(client, "socket"):
            client.socket.cut()
    return counts


@attack("full-room")
def run_full_room(program: Path, seconds: float) -> Measured:
    """256 logins into the room where all begin, each cut at once; then somebody honest comes"""
    with target(program) as server:
        end = time.monotonic() + max(seconds, 20.0)
        taken = _come_and_be_lost(server.port, lambda each: "default", 256, end)
        return {"the attacker": dict(taken), "honest login": _login(server.port)}


@attack("many-rooms")
def run_many_rooms(program: Path, seconds: float) -> Measured:
    """Logins into rooms of their own, each cut at once, by three processes; then somebody honest"""
    with target(program) as server:
        attackers = Attackers(_many_rooms, server.port, 3, seconds * 4)
        time.sleep(seconds * 4 - 1.0)
        login = _login(server.port)
        return {"the attackers": attackers.results(), "honest login": login}


def _many_rooms(port: int, number: int, end: float) -> dict[str, int]:
    return dict(_come_and_be_lost(port, lambda each: f"room-{number}-{each}", 3000, end))


def _login(port: int) -> str:
    start = time.monotonic()
    try:
        client = newcomer(port, "honest", source="127.1.0.2").join()
    except Refusal as refused:
        return f"refused: {refused.code}"
    except LOST as error:
        return f"lost: {type(error).__name__}"
    client.leave()
    return f"in after {time.monotonic() - start:.2f} s"


# Posts and keys


@attack("shared-budget")
def run_shared_budget(program: Path, seconds: float) -> Measured:
    """11 identities of one address post all they may; then a twelfth says its first line"""
    with target(program, **DEFAULTS) as server:
        counts: Counter[str] = Counter()
        for number in range(11):
            hostile = member(server.port, f"hostile-{number}")
            for each in range(10):
                answer = hostile.answer(hostile.post(f"{each}"))
                counts[str(answer.get("code", answer["type"]))] += 1
            hostile.leave()
        honest = member(server.port, "honest")
        answer = honest.answer(honest.post("hello"))
        honest.leave()
    return {"the attacker": dict(counts), "the first line": answer.get("code", answer["type"])}


@attack("epochs")
def run_epochs(program: Path, seconds: float) -> Measured:
    """Keys of ever new epochs for a fellow member, with no post"""
    with target(program, **DEFAULTS) as server:
        fellow = member(server.port, "fellow")
        hostile = member(server.port, "hostile")
        fellow.next("joined")
        refused, last = "never", 0
        with contextlib.suppress(Ended):
            for last in range(1, 101):
                hostile.room._own = None
                wraps, _ = hostile.room.seal("never sent", "text", 10_000)
                hostile.send({"type": "keys", "at": hostile.room.at, "wraps": wraps})
                hostile.beat()
                while hostile.hear(time.monotonic() + 0.02):
                    pass
                found = hostile.of("refused")
                if found and refused == "never":
                    refused = f"{found[0]['code']} at {last}, ref: {found[0].get('ref')}"
            while fellow.hear(time.monotonic() + 0.3):
                pass
        fellow.leave()
        hostile.leave()
    return {"refused": refused, "epochs until the end": last, "goodbye": hostile.goodbye}


@attack("long-text")
def run_long_text(program: Path, seconds: float) -> Measured:
    """A text of six times the largest size, and an empty one: what a real client shows"""
    with target(program) as server:
        hostile = member(server.port, "hostile")
        with real_client(program, (server.host, server.port), "reader") as reader:
            hostile.next("joined")
            shown = {}
            for name, text in (("60,000 letters", "x" * 60_000), ("nothing", "")):
                answer = hostile.answer(hostile.post_box(*hostile.room.seal(text, "text", 10**6)))
                hostile.say("after it")
                reader.next("message", text="after it")
                texts = [len(each["text"]) for each in reader.all("message")][:-1]
                reasons = [each["reason"] for each in reader.all("unreadable")]
                shown[name] = f"{answer['type']}; shown: {texts}, unreadable: {reasons}"
                reader.forget()
        hostile.leave()
    return dict(shown)


@attack("false-alarm")
def run_false_alarm(program: Path, seconds: float) -> Measured:
    """A member who lies about what it was shown, and gives keys that do not open"""
    with target(program) as server:
        hostile = member(server.port, "hostile")
        with real_client(program, (server.host, server.port), "reader") as reader:
            hostile.next("joined")
            hostile.say("hello")
            body = {**hostile.room._last.body, "seen": [1, crypto.to_text(bytes(32))]}
            body["id"] = crypto.to_text(os.urandom(16))
            hostile.answer(hostile.post_box([], hostile.room.box_of(body)))
            for epoch in range(2, 22):
                wrap = {"to": hostile.room.named("reader").id, "epoch": epoch, "n": 0,
                        "wrapped": crypto.to_text(os.urandom(1392))}  # fmt: skip
                hostile.send({"type": "keys", "at": hostile.room.at, "wraps": [wrap]})
            hostile.say("after it")
            reader.next("message", text="after it")
            told = [each["text"] for each in reader.all("warning")]
        hostile.leave()
    return {"warnings": len(told), "in words": sorted(set(told))}


@attack("push-off")
def run_push_off(program: Path, seconds: float) -> Measured:
    """Seven members send private posts of full size to one who does not read for some seconds"""
    with target(program) as server:
        frozen = member(server.port, "frozen", holds=4096, source="127.1.0.1")
        friend = member(server.port, "friend", source="127.1.0.2")
        counts: Counter[str] = Counter()
        for number in range(7):
            hostile = member(server.port, f"hostile-{number}")
            for _ in range(9):
                answer = hostile.tell("frozen", "x" * 10_000)
                counts[str(answer.get("code", answer["type"]))] += 1
            hostile.leave()
        friend.say("do you hear me?")
        with contextlib.suppress(*LOST):
            frozen.read(lambda: any(each.nick == "friend" for each in frozen.of("post")), "it", 5.0)
        heard = any(each.nick == "friend" for each in frozen.of("post"))
        missed = [each["missed"] for each in frozen.of("entered")[1:]]
        frozen.leave()
        friend.leave()
    return {
        "private posts": dict(counts),
        "pushed off its place": f"{len(missed)} times, missed {missed}",
        "the friend's line": "heard" if heard else "lost",
    }


@attack("look-alikes")
def run_look_alikes(program: Path, seconds: float) -> Measured:
    """Nicknames that look like a member's"""
    names = ("alicewm02.", "alicewm02_", "alicevvm02", "al\u1ecbcewm02", "al\u012bcewm02",
             "ali\u00e7ewm02", "ALICEWM02", "al\u0456cewm02", "alicewrn02", "a1icewm02",
             "alice\u0585wm02")  # fmt: skip
    with target(program) as server:
        alice = member(server.port, "alicewm02")
        found = {}
        for name in names:
            other = newcomer(server.port, name)
            try:
                other.join().leave()
                found[name] = "let in"
            except Refusal as refused:
                found[name] = refused.code
        alice.leave()
    return {name: what for name, what in found.items()}


# Floods


def _fragments(client: Second, _: int) -> bytes:
    """A part of a message of single bytes."""
    return frame(0, b"x", last=False) * 2000


def _slow_fragments(client: Second, number: int) -> bytes:
    time.sleep(0.1)  # with 8 members 0.55 MB/s in all
    return _fragments(client, number)[: 7 * 980]


def _sealed(*frames: Any, times: int = 1) -> Callable[[Second, int], bytes]:
    """Records with these frames; each is a new one."""

    def make(client: Second, _: int) -> bytes:
        return b"".join(frame(BINARY, client.link.seal(*frames)) for _ in range(times))

    return make


def _lists() -> bytes:
    return b'{"type":"seen","positions":[],"x":[' + b",".join([b"[]"] * 250_000) + b"]}"


def _keys(client: Second, number: int) -> bytes:
    wrap = {"epoch": 1, "n": 0, "wrapped": crypto.to_text(bytes(1392))}
    wraps = [{"to": 10**9 + number * 256 + each, **wrap} for each in range(256)]
    keys = {"type": "keys", "at": client.room.at, "wraps": wraps}
    return frame(BINARY, client.link.seal(keys))


def _positions(client: Second, _: int) -> bytes:
    seen = {"type": "seen", "positions": [{"at": client.room.at, **client.room.position}] * 16}
    return frame(BINARY, client.link.seal(*[seen] * 400))


FLOODS: dict[str, tuple[str, int, Callable[[Second, int], bytes]]] = {
    "fragments": ("messages in fragments of one byte", 8, _fragments),
    "slow-fragments": ("the same, 0.55 MB/s in all", 8, _slow_fragments),
    "lists": ("`seen` with 250,000 empty lists in a key that nobody knows", 8, _sealed(_lists())),
    "lists-of-one": ("the same by one member", 1, _sealed(_lists())),
    "seen": ("1,024 `seen` in a record", 8, _sealed(*[b'{"type":"seen","positions":[]}'] * 1024)),
    "positions": ("400 `seen` with 16 positions in a record", 8, _positions),
    "empty-records": ("records that hold nothing", 8, _sealed(times=200)),
    "pings": ("WebSocket pings", 8, lambda client, _: frame(PING, b"") * 500),
    "pings-of-one": ("the same by one member", 1, lambda client, _: frame(PING, b"") * 500),
    "keys": ("keys for nobody, 256 in a frame, by one member", 1, _keys),
    "repeats": ("requests that are refused, and come again", 1,
                _sealed(*[{"type": "nick", "ref": 1, "at": 1, "nick": "a b"}] * 100)),
}  # fmt: skip


def _flood(make: Callable[[Second, int], bytes]) -> Callable[[int, int, float], Any]:
    def work(port: int, number: int, end: float) -> dict[str, float]:
        sent = again = 0
        start = time.monotonic()
        while time.monotonic() < end:
            client = newcomer(port, f"flood-{number}-{again}", room="elsewhere")
            try:
                client.join()
                if make in (_fragments, _slow_fragments):
                    client.socket.send_frame(BINARY, b"x", last=False)
                for each in itertools.count():
                    if time.monotonic() >= end:
                        break
                    raw = make(client, each)
                    client.socket.send_raw(raw)
                    sent += len(raw)
                    client.socket.skip()
            except LOST:
                pass
            again += 1
            if hasattr(client, "socket"):
                client.socket.cut()
            time.sleep(0.05)
        return {"MB/s": sent / 1e6 / (time.monotonic() - start), "connections": again}

    return work


def _register(name: str, what: str, count: int, make: Callable[[Second, int], bytes]) -> None:
    def run(program: Path, seconds: float) -> Measured:
        return beside(program, _flood(make), count, seconds)

    run.__doc__ = f"{count} x {what}" if count > 1 else what[0].upper() + what[1:]
    attack(name)(run)


for _name, (_what, _count, _make) in FLOODS.items():
    _register(_name, _what, _count, _make)
