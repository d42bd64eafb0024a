"""A client's session against a server that says anything that is a frame, at any time.

The frames are well-formed and their numbers near the right ones, so that they come far; the
person goes on talking meanwhile.  Each frame is taken or ends the connection with a ChatError:
nothing else is ever raised, and the session works in the next stay.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from typing import Any

import pytest

from protocol import codec, frames
from protocol.errors import ChatError
from protocol.frames import LOG_ENTRIES, SERVER_FRAMES
from tests import test_frames as frame_tests
from tests.fuzzing import SEED, SOAK
from tests.malicious import LOG, OTHER_LOG, ROOM, Den, Person, bundle, welcome

HISTORIES = SOAK or 25
STEPS = 30
CODES = (
    "stale", "gone", "too_long", "rate_limited", "nick_taken", "nick_lost", "nick_reserved",
    "taken_over", "room_full", "repeated", "internal", "later", "",
)  # fmt: skip


class Liar:
    """A server that has heard of the rules."""

    def __init__(self, den: Den, person: Person, chance: random.Random) -> None:
        self.den, self.person, self.chance = den, person, chance
        self.heard: list[frames.Frame] = []
        self.logs = 0
        self.said: Counter[str] = Counter()

    def value(self, owner: str, field: str, kind: str) -> Any:
        """Something that may stand in this field, near what is right."""
        chance, den = self.chance, self.den
        if kind == "int" or kind == "int | None":
            if field in ("seq", "to", "change", "joined"):
                return max(0, den.seq + chance.choice((-2, -1, 0, 0, 1, 1, 1, 2, 70)))
            return chance.choice((0, 1, 1, 2, 2, 3, 4, 5, 2**53 - 1))
        if kind == "float" or kind == "float | None":
            return chance.choice((0.0, 0.5, 30.0, 1e9))
        if kind == "bool":
            return chance.random() < 0.5
        if field == "code" or field == "reason":
            return chance.choice(CODES)
        if field == "room":
            return chance.choice((ROOM, ROOM, "other", "third", "", "\u202e", "\ud800"))
        if field == "nick":
            return chance.choice(("alice", "bob", "carol", "you", "", "\x1b[2J", "\ud800"))
        if field == "log":
            return chance.choice((LOG, LOG, OTHER_LOG))
        if kind == "keys.Bundle":
            return bundle(chance.choice(("alice", "bob", "eve")))
        if kind.startswith("tuple"):
            return self.many(kind)
        if kind in ("Box", "Wrap", "MemberLine"):
            return self.frame(getattr(frames, kind))
        return getattr(frame_tests.example(getattr(frames, owner)), field)

    def many(self, kind: str) -> tuple[Any, ...]:
        if "MemberLine" in kind and self.chance.random() < 0.6:
            return tuple(self.den.lines.values())
        inner: dict[str, list[type[frames.Frame]]] = {
            "MemberLine": [frames.MemberLine],
            "RoomLine": [frames.RoomLine],
            "Frame": list(LOG_ENTRIES.values()),
        }
        kinds = next(found for name, found in inner.items() if name in kind)
        return tuple(
            self.frame(self.chance.choice(kinds)) for _ in range(self.chance.randrange(4))
        )

    def frame(self, kind: type[frames.Frame]) -> Any:
        """A frame of this kind, or one that the person itself has sealed."""
        genuine = [each for each in self.heard if isinstance(each, (frames.Post, frames.Private))]
        if kind is frames.Box and genuine and self.chance.random() < 0.7:
            return self.chance.choice(genuine).box
        fields = {
            field.name: None if "None" in str(field.type) and self.chance.random() < 0.4
            else self.value(kind.__name__, field.name, str(field.type))
            for field in dataclasses.fields(kind)  # type: ignore[arg-type]  # each is one
        }  # fmt: skip
        return kind(**fields)

    def come_in(self) -> None:
        """The connection has ended; the next one begins as it should, in the room asked for."""
        session = self.person.session
        session.lose()
        stays = session.stays_to_join()
        session.welcome(welcome(session.nick))
        self.logs += 1
        for at, stay in enumerate(stays, 1):
            log = f"log {self.logs:06} {at:05}".encode()
            self.person.hears(*self.den.entering(self.person, room=stay.room, at=at, log=log))

    def step(self) -> None:
        """The person does something, or the server says something; an end is a new stay."""
        session, user, chance = self.person.session, self.person.user, self.chance
        way = chance.randrange(10)
        if way == 0:
            user.say(f"line {chance.randrange(100)}")
        elif way == 1:
            user.private(chance.choice(("bob", "carol", "x")), "psst")
        elif way == 2:
            chance.choice(
                (user.rooms, user.who, user.resend, lambda: user.rename("anna"),
                 lambda: user.go("other", None), lambda: user.join("third", None),
                 lambda: user.leave("other"), lambda: user.go(ROOM, None),
                 lambda: user.query("bob"), lambda: user.reply("psst"), session.lose,
                 self.come_in)
            )()  # fmt: skip
        else:
            kind = chance.choice(list(SERVER_FRAMES.values()))
            self.said[kind.__name__] += 1
            if chance.random() < 0.3:
                self.den.next()
            spelt = json.dumps(self.frame(kind).to_object()).encode()  # \ud800 by its number
            session.receive(frames.from_object(codec.parse(spelt), SERVER_FRAMES))
        self.heard += self.person.sent()


def history(number: int) -> Liar:
    """One history; its number and the seed say all of it."""
    chance = random.Random(f"{SEED}.{number}")
    den = Den("alice", "bob")
    said = den.say("bob", "hello")
    liar = Liar(den, den["alice"], chance)
    den.post(said)
    for _ in range(STEPS):
        try:
            liar.step()
        except ChatError:
            liar.come_in()
    return liar


@pytest.mark.timeout(0 if SOAK else 60)
@pytest.mark.soak
def test_whatever_a_server_says() -> None:
    """Random histories; afterwards the person comes in anew, and is read and reads."""
    said: Counter[str] = Counter()
    for number in range(HISTORIES):
        liar = history(number)
        said += liar.said
        person, den = liar.person, liar.den
        person.session.give_up("disconnected")
        if person.session.room == ROOM:
            person.forget()
            den.people = {"alice": person, "bob": den["bob"]}
            for each in den.people.values():
                den.enter(each, log=f"the next log {number % 1000:03}".encode())
            den.post(den.say("bob", "still there?"))
            assert person.heard()[-1:] == [("bob", "still there?")], person.events
    assert len(said) == len(SERVER_FRAMES)
    if SOAK:
        print(f"\n{HISTORIES} histories, seed {SEED}: {dict(said)}")
