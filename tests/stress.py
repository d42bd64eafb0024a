"""Many clients at once against a real server: rooms entered and left, posts, private lines, cuts.

    python -m tests.stress [SEED [POSTS]] [--python PYTHON] [--tls]

The server is a process of its own, on ``PYTHON`` (by default this one): what is tried is whether
its threads get into each other's way, on CPython without the interpreter's lock above all.  What is
said and done follows from the seed; when each thing happens does not.

Again and again nothing more is said until all has come.  Then the logs of all members of a room
have to be equal as far as both were there, with nothing twice, nothing missing but what was sealed
before somebody came, and each answer right; and nothing may still wait for a wake-up: where one was
lost, what is waited for does not come within ``PATIENCE`` seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.members import Person, Secrets, address
from bench.servers import certificate, chat_server
from bench.wire import Channel, Loop, frame
from protocol import frames
from protocol.codec import LOG_ID
from protocol.link import ClientLink
from tests.wire import box, wrap

CLIENTS, ROOMS, ROOMS_OF_ONE = 48, 16, 4
PATIENCE = 20.0
_ROUND = 400  # posts at most from one moment at which all has come to the next
_UNANSWERED = 64  # requests of one client
# A third of the clients have so little room that their sockets are full again and again.
_SMALL_BYTES = 4096
_SIZES = (8, 40, 300, 3000)  # of what is posted, in bytes


class Stay:
    """A client's place in a room, as it knows it."""

    def __init__(self, entered: dict[str, Any]) -> None:
        self.at, self.room, self.log = entered["at"], entered["room"], entered["log"]
        self.id, self.joined = entered["id"], entered["seq"]
        self.to = self.change = self.joined
        self.number = 0  # of what was for this one alone
        self.accepted = 0  # the last own post's number
        self.leaving = False


class World:
    """What all have seen, and is compared: ``logs`` by log, and by number, who said what."""

    def __init__(self, seed: int, loop: Loop, server: Any) -> None:
        self.rng, self.loop, self.server = random.Random(seed), loop, server
        self.shared = Secrets()
        self.logs: dict[str, dict[int, tuple[Any, ...]]] = {}
        self.missing: list[tuple[str, int, int, int]] = []  # log, number, whose, since when there
        self.private: dict[str, tuple[int, int]] = {}  # accepted and still to come: to whom, where
        self.came: set[str] = set()  # private lines
        self.done: Counter[str] = Counter()
        self.clients = [Client(self, number) for number in range(CLIENTS)]

    def enter(self, log: str, seq: int, what: tuple[Any, ...]) -> None:
        """Somebody has got this entry: all others must get the same."""
        known = self.logs.setdefault(log, {}).setdefault(seq, what)
        assert known == what, f"two logs: {known} and {what}"

    def is_settled(self) -> bool:
        """Whether all has come."""
        ends: dict[str, int] = {}
        for client in self.clients:
            if not client.inside or client.unanswered:
                return False
            for stay in client.stays.values():
                ends[stay.log] = max(ends.get(stay.log, 0), stay.to, stay.accepted)
        if any(stay.to != ends[stay.log] for each in self.clients for stay in each.stays.values()):
            return False
        here = {(stay.at, stay.id) for each in self.clients for stay in each.stays.values()}
        self.private = {text: to for text, to in self.private.items() if to in here}
        return not self.private

    def settle(self) -> None:
        """Say nothing until all has come, and compare."""
        end = time.monotonic() + PATIENCE
        while not self.is_settled():
            assert time.monotonic() < end, "\n".join(["a lost wake-up:", *self.waiting()])
            self.loop.turn(0.05)
        for log, seq, who, joined in self.missing:
            found = self.logs.get(log, {}).get(seq)
            # Nobody may have it whose sender was cut off and came back as another member.
            if found is not None:
                assert found[0] == "posted" and found[1] != who, f"{seq} is missing: {found}"
                assert found[2] < joined, f"{seq} is missing: {found}"
        self.missing.clear()
        self.logs.clear()
        self.came.clear()
        for client in self.clients:
            client.confirm()

    def waiting(self) -> list[str]:
        """Who waits for what."""
        return [
            f"{each.nick}: inside {each.inside}, unanswered {list(each.unanswered)[:5]}, "
            f"{[(stay.room, stay.to, stay.accepted) for stay in each.stays.values()]}"
            for each in self.clients
        ] + [f"private: {self.private}"]

    def play(self, posts: int) -> None:
        """So many posts."""
        while self.done["posts"] < posts:
            until = self.done["posts"] + self.rng.randint(1, _ROUND)
            while self.done["posts"] < min(until, posts):
                client = self.rng.choice(self.clients)
                if client.inside and len(client.unanswered) < _UNANSWERED:
                    client.act()
                    self.loop.turn(0.0)
                else:
                    self.loop.turn(0.001)
            self.settle()
            self.done["compared"] += 1


class Connection(Channel):
    """One connection of a client."""

    def __init__(self, client: Client, source: str, receive_bytes: int) -> None:
        self._client = client
        server, loop = client.world.server, client.world.loop
        super().__init__(loop, server.port, server.tls, "/", source, receive_bytes)

    def message(self, message: str | bytes) -> None:
        self._client.take(message)


class Client:
    """Somebody with an identity, over many connections."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.nick = world, f"user{number}"
        self._number = number
        self._identity = Person(world.shared.keys)
        self._ref = 0
        self.unanswered: dict[int, dict[str, Any]] = {}  # by ref, in order
        self._said: dict[int, tuple[int, str]] = {}  # own posts: change and text
        self.stays: dict[int, Stay] = {}  # by the room's number
        self._connect()

    # Coming in, and coming back

    def _connect(self) -> None:
        self.inside = False
        self._step: Callable[[Any], None] = self._greeted
        shared = self.world.shared
        self._link = ClientLink(self._identity, shared.credentials, shared.keys)
        small = _SMALL_BYTES if self._number % 3 == 0 else 0
        self._connection = Connection(self, address(self._number), small)

    def cut(self) -> None:
        """The connection is lost, and another one made at once."""
        self.world.done["cuts"] += 1
        self._connection.close()
        self._connect()

    def take(self, message: str | bytes) -> None:
        """What has come."""
        self._step(message)

    def _greeted(self, message: str) -> None:
        self._connection.write(frame(self._link.receive_greeting(message)))
        self._step = self._given_key

    def _given_key(self, message: str) -> None:
        stays = [
            frames.Stay(stay.room, LOG_ID.read(stay.log), stay.to, stay.number)
            for stay in self.stays.values()
        ]
        first = [frames.Stay(f"room{self._number % ROOMS}")]
        confirm = self._link.receive_key(message, self.nick, stays or first)
        self._connection.write(frame(confirm))
        self._step = self._record

    def _record(self, message: bytes) -> None:
        for value in self._link.open(message):
            getattr(self, f"_on_{value['type']}")(value)

    def _on_welcome(self, welcome: dict[str, Any]) -> None:
        self.world.done["resumed" if welcome["resumed"] else "let in"] += 1
        assert welcome["resumed"] or not self.stays, "the session is gone"
        self.inside = True
        if self.unanswered:
            self._write(*map(encoded, self.unanswered.values()))

    def _on_entered(self, entered: dict[str, Any]) -> None:
        if entered["resumed"]:
            return
        old = self.stays.get(entered["at"])
        if old is not None:  # it has fallen behind, which may not be far
            self.world.done["fallen behind"] += 1
            assert entered.get("missed", 0) <= entered["seq"] - old.to, entered
        stay = self.stays[entered["at"]] = Stay(entered)
        stay.number = old.number if old is not None else 0

    def _on_roster(self, roster: dict[str, Any]) -> None:
        """Who is there is known by the log."""

    _on_wait = _on_taken = _on_roster

    # What it does

    def act(self) -> None:
        """Something, by chance."""
        rng, here = self.world.rng, [each for each in self.stays.values() if not each.leaving]
        chance = rng.random()
        if chance < 0.015:
            self.cut()
        elif chance < 0.05:
            self._enter(here)
        elif chance < 0.065 and len(here) > 1:
            self._leave(rng.choice(here))
        elif here and chance < 0.17:
            self._say_private(rng.choice(here))
        elif here:
            self._post(rng.choice(here), rng.randint(1, 6))

    def _post(self, stay: Stay, count: int) -> None:
        self.world.done["posts"] += count
        self._ask(*({"type": "post", "at": stay.at, **self._sealed(stay)} for _ in range(count)))

    def _say_private(self, stay: Stay) -> None:
        others = [
            there.id
            for each in self.world.clients
            if each is not self and (there := each.stays.get(stay.at)) is not None
        ]
        if others:
            self.world.done["private lines"] += 1
            wrapped = wrap(self.world.rng.choice(others)).to_object()
            self._ask({"type": "private", "at": stay.at, "wrap": wrapped, **self._sealed(stay)})

    def _enter(self, here: list[Stay]) -> None:
        rng = self.world.rng
        asked: dict[str, Any] = {"type": "enter", "room": f"room{rng.randrange(ROOMS)}"}
        if len(here) >= ROOMS_OF_ONE or (here and rng.random() < 0.5):
            asked["leave"] = rng.choice(here).at
            self.stays[asked["leave"]].leaving = True
        self.world.done["rooms entered"] += 1
        self._ask(asked)

    def _leave(self, stay: Stay) -> None:
        stay.leaving = True
        self.world.done["rooms left"] += 1
        self._ask({"type": "leave", "at": stay.at})

    def confirm(self) -> None:
        """``seen``: the server may forget what all have."""
        places = [frames.Position(each.at, each.to, each.number) for each in self.stays.values()]
        self._write(frames.Seen(tuple(places)).encode())

    def _sealed(self, stay: Stay) -> dict[str, Any]:
        size = self.world.rng.choice(_SIZES)
        text = f"{self._number}-{self._ref}-{self.world.rng.getrandbits(32)}".ljust(size, "=")
        return {"change": stay.change, "box": box(text.encode()).to_object()}

    def _ask(self, *requests: dict[str, Any]) -> None:
        found = []
        for request in requests:
            self._ref += 1
            asked = self.unanswered[self._ref] = request | {"ref": self._ref}
            if request["type"] == "post":
                self._said[self._ref] = (request["change"], request["box"]["data"])
            found.append(encoded(asked))
        self._write(*found)

    def _write(self, *found: bytes) -> None:
        self._connection.write(frame(self._link.seal(found)))

    # What it is answered

    def _on_accepted(self, accepted: dict[str, Any]) -> None:
        asked = self.unanswered.pop(accepted["ref"], None)
        assert asked is not None, f"answered twice: {accepted}"
        if asked["type"] == "post" and asked["at"] in self.stays:
            stay = self.stays[asked["at"]]
            stay.accepted = max(stay.accepted, accepted["seq"])
        elif asked["type"] == "private" and asked["box"]["data"] not in self.world.came:
            self.world.private[asked["box"]["data"]] = (asked["at"], asked["wrap"]["to"])
        elif asked["type"] == "leave":
            del self.stays[asked["at"]]
        elif asked["type"] == "enter" and "leave" in asked:
            if self.stays[asked["leave"]].room != asked["room"]:
                del self.stays[asked["leave"]]
            else:
                self.stays[asked["leave"]].leaving = False

    def _on_refused(self, refused: dict[str, Any]) -> None:
        if "room" in refused:  # it was left, and the connection lost before this one heard of it
            assert refused["code"] == "gone" and self._is_leaving(refused["room"]), refused
            return
        asked = self.unanswered.pop(refused["ref"])
        allowed = {
            "post": ("stale", "gone"),
            "private": ("stale", "gone", "rate_limited"),
            "enter": ("gone", "rate_limited", "too_many_rooms"),
            "leave": ("gone", "unexpected"),
        }
        assert refused["code"] in allowed[asked["type"]], (asked, refused)
        self.world.done[f"refused as {refused['code']}"] += 1
        self._said.pop(refused["ref"], None)
        for stay in self.stays.values():
            if stay.at in (asked.get("leave"), asked["at"] if asked["type"] == "leave" else 0):
                stay.leaving = False

    def _is_leaving(self, room: str) -> bool:
        return any(stay.leaving for stay in self.stays.values() if stay.room == room)

    # What it hears

    def _on_log(self, log: dict[str, Any]) -> None:
        stay = self.stays[log["at"]]
        at = stay.to
        for entry in log["entries"]:
            seq = entry["seq"]
            assert seq > at, f"{self.nick} has got {seq} after {at}"
            self._pass_over(stay, at, seq)
            self.world.enter(stay.log, seq, self._read(stay, entry))
            at = seq
        self._pass_over(stay, at, log["to"] + 1)
        stay.to = log["to"]
        self.world.done["entries"] += len(log["entries"])

    def _pass_over(self, stay: Stay, at: int, end: int) -> None:
        """What lies between was not for this one: it is asked later, when all is known, why."""
        for seq in range(at + 1, end):
            self.world.missing.append((stay.log, seq, stay.id, stay.joined))

    def _read(self, stay: Stay, entry: dict[str, Any]) -> tuple[Any, ...]:
        kind = entry["type"]
        if kind == "posted":
            return ("posted", entry["from"], entry["change"], entry["box"]["data"])
        if kind == "own_posted":
            return ("posted", stay.id, *self._said.pop(entry["ref"]))
        stay.change = entry["seq"]
        return (kind, entry["member"]["id"] if kind == "joined" else entry["id"])

    def _on_private_for(self, private: dict[str, Any]) -> None:
        stay, text = self.stays[private["at"]], private["box"]["data"]
        assert private["number"] > stay.number, f"twice, or out of order: {private}"
        assert text not in self.world.came, f"twice: {private}"
        stay.number = private["number"]
        self.world.came.add(text)
        self.world.private.pop(text, None)


def encoded(value: dict[str, Any]) -> bytes:
    """A frame as JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def run(seed: int, posts: int, python: str = sys.executable, tls: bool = False) -> Counter[str]:
    """Play so many posts; what was done.  Raises AssertionError for what must not be."""
    with contextlib.ExitStack() as stack:
        cert = stack.enter_context(certificate()) if tls else None
        server = stack.enter_context(chat_server(cert, python=python))
        loop = Loop()
        stack.callback(loop.close)
        world = World(seed, loop, server)
        world.settle()
        world.play(posts)
    return world.done


def main() -> None:
    """Play, and print what was done."""
    parser = argparse.ArgumentParser(description="Many clients at once against a real server.")
    parser.add_argument("seed", type=int, nargs="?", default=secrets.randbelow(1 << 32))
    parser.add_argument("posts", type=int, nargs="?", default=20_000)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--tls", action="store_true")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    began = time.monotonic()
    done = run(asked.seed, asked.posts, asked.python, asked.tls)
    print(f"{time.monotonic() - began:.1f} s", dict(sorted(done.items())))


if __name__ == "__main__":
    main()
