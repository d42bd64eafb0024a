"""People who come, go, move, talk and lose their connections in several rooms at once, at random.

By the client that was written from docs/PROTOCOL.md alone, which ends at whatever that document
does not have.  Nothing may be unreadable or warned of, no answer be lost, and in the end all who
are in a room see the same.  With CMD_CHAT_SOAK there are as many histories, from CMD_CHAT_SEED.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from functools import partial
from typing import Any

import pytest

from protocol import limits as protocol_limits
from tests.fuzzing import SEED, SOAK
from tests.second_client import Client as Second
from tests.second_crypto import name_key
from tests.second_room import Room
from tests.two_clients import Join, Make, join_fixture, make_fixture, room_fixture  # noqa: F401

ROOMS = ("den", "lab", "attic", "cellar")
NICKS = ("anna", "ben", "cleo", "dora")
STEPS = 80
LOST = (OSError, EOFError)


class Person:
    """A client that does something at random, and waits for nothing."""

    def __init__(self, client: Second, chance: random.Random) -> None:
        self.client, self._chance = client, chance
        self.is_away = False
        self.did: Counter[str] = Counter()

    def step(self) -> None:
        deeds = {"say": 8, "tell": 4, "read": 8, "enter": 3, "leave": 3, "move": 2, "rename": 1,
                 "again": 1, "cut": 2}  # fmt: skip
        deed = self._chance.choices([*deeds], [*deeds.values()])[0]
        if self.is_away:
            deed = "back"
        elif not self._rooms() and deed != "cut":
            deed = "read"  # it is on its way from its only room
        if getattr(self, f"_{deed}")() is not False:
            self.did[deed] += 1

    def _rooms(self) -> list[Room]:
        """Those that it is in, and does not leave."""
        staying = {each["at"] for each in self.client.rooms.positions()}
        return [room for room in self.client.rooms.whole if room.at in staying]

    def _room(self) -> Room:
        return self._chance.choice(self._rooms())

    def _say(self) -> None:
        for _ in range(self._chance.choice((1, 1, 3))):
            self.client.post(f"line {self.client.last_ref}", room=self._room())

    def _tell(self) -> bool:
        room = self._room()
        others = [nick for nick in room.nicks if nick != room.own_nick]
        if not others:
            return False
        wrap, box = room.seal_for(self._chance.choice(others), "psst")
        self.client.request("private", at=room.at, change=room.change, wrap=wrap, box=box)
        return True

    def _read(self) -> None:
        for _ in range(self._chance.randrange(1, 5)):
            self.client.hear(time.monotonic() + self._chance.choice((0.0, 0.0, 0.01)))

    def _enter(self) -> None:
        self.client.request("enter", room=self._chance.choice(ROOMS))

    def _leave(self) -> bool:
        rooms = self._rooms()
        if len(rooms) < 2:
            return False  # a client never leaves the last one
        self.client.request("leave", at=self._chance.choice(rooms).at)
        return True

    def _move(self) -> None:
        leave = self._room().at
        self.client.request("enter", room=self._chance.choice(ROOMS), leave=leave)

    def _again(self) -> bool:
        """Leave a room and enter it again, without waiting."""
        if len(self._rooms()) < 2:
            return False
        room = self._room()
        self.client.request("leave", at=room.at)
        self.client.request("enter", room=room.name)
        return True

    def _rename(self) -> None:
        nick = f"{self.client.nick.partition('-')[0]}-{self.client.last_ref + 1}"
        self.client._nicks[self.client.last_ref + 1] = nick
        self.client.request("nick", at=self._room().at, nick=nick)

    def _cut(self) -> None:
        self.client.socket.cut()
        self.is_away = True

    def _back(self) -> None:
        self.client.resume()
        assert self.client.resumed or not self.client.answers, "the session was there, and known"
        self.is_away = False

    def settle(self) -> None:
        """Until everything is answered, and all that was on its way is there."""
        if self.is_away:
            self._back()
        self.client.read(lambda: not self.client._open and self.client.rooms.arrived, "answers")

    def sees(self) -> dict[bytes, tuple[Any, ...]]:
        """Of each room: its number and log, the last change, and everybody in it."""
        return {
            name_key(room.name): (
                room.at, room.log_id, room.change,
                sorted((each.id, each.nick, each.fingerprint) for each in room.members.values()),
            )
            for room in self.client.rooms.whole
        }  # fmt: skip


def has_all(client: Second, last: dict[Any, Any]) -> bool:
    """Whether it has come to the ends of the logs of its rooms."""
    return all(room.seq >= last[room.key]._seq for room in client.rooms.whole)


def history(make: Make, join: Join, seed: int) -> Counter[str]:
    chance = random.Random(seed)
    server = make(max_messages_per_window=100_000)
    people = []
    for nick in NICKS:
        first, *rooms = chance.sample(ROOMS, chance.randrange(1, 4))
        people.append(Person(join(server, nick, room=first, rooms=rooms), chance))
    for _ in range(STEPS):
        chance.choice(people).step()
    for _ in range(2):  # what one's answers bring the others
        for person in people:
            person.settle()
    last = {name_key(room.name): room for room in server._services.rooms._rooms.values()}
    for person in people:
        person.client.read(partial(has_all, person.client, last), "the ends of the logs")
    seen: dict[bytes, tuple[Any, ...]] = {}
    for person in people:
        for key, what in person.sees().items():
            assert seen.setdefault(key, what) == what
        assert person.client.of("unreadable") == [], person.did
        codes = {each["code"] for each in person.client.of("refused")}
        assert codes <= {"stale", "gone"}, codes
        nick = person.client.nick
        assert {room.own_nick for room in person.client.rooms.whole} == {nick}
    inside = {key: {each[0] for each in what[3]} for key, what in seen.items()}
    assert inside == {
        name_key(room.name): set(room._members) for room in server._services.rooms._rooms.values()
    }
    return sum((person.did for person in people), Counter())


@pytest.mark.timeout(0 if SOAK else 60)
@pytest.mark.soak
@pytest.mark.parametrize("entries", [4096, 6], ids=["as it is", "short logs"])
def test_histories(
    make: Make, join: Join, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    monkeypatch.setattr(protocol_limits, "LOG_ENTRIES", entries)
    did: Counter[str] = Counter()
    for number in range(SOAK or 4):
        try:
            did += history(make, join, SEED + number)
        except BaseException:
            print(f"history {SEED + number}")
            raise
    assert set(did) >= {"say", "tell", "enter", "leave", "move", "rename", "again", "cut", "back"}
    if SOAK:
        print(did)
