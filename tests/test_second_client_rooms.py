"""Rooms side by side, by a client that was written from docs/PROTOCOL.md alone.

Answers are lost here by cutting the connection, with nothing read, once somebody else has seen that
the server took what was asked for.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from protocol import limits as protocol_limits
from server import limits
from tests import second_crypto as crypto
from tests.module_server import server_fixture  # noqa: F401
from tests.processes import Client, Relay, Server
from tests.second_client import Client as Second
from tests.second_link import Refusal
from tests.second_room import Unreadable
from tests.two_clients import (  # noqa: F401
    Join,
    Make,
    join_fixture,
    make_fixture,
    real,
    room_fixture,
)

Frame = dict[str, Any]


def names(client: Second) -> list[str]:
    """The rooms that it is in."""
    return sorted(room.name for room in client.rooms.whole)


def of(client: Second, name: str) -> Any:
    """The room of that name."""
    return client.rooms.open[crypto.name_key(name)]


# Two at once


def test_each_line_is_heard_where_it_was_said(server: Server, join: Join, room: str) -> None:
    """By whoever is there, and nobody else; each room has its own code."""
    lab = f"{room}-lab"
    anna = join(server, "anna-21", rooms=[lab])
    ben, cleo = join(server, "ben-21"), join(server, "cleo-21", room=lab)
    assert names(anna) == sorted([room, lab])
    assert anna.next("joined", room=of(anna, room)) == "ben-21"
    assert anna.next("joined", room=of(anna, lab)) == "cleo-21"
    for number in range(3):
        anna.say(f"den {number}", room=of(anna, room))
        anna.say(f"lab {number}", room=of(anna, lab))
        ben.say(f"ben {number}"), cleo.say(f"cleo {number}")
        ben.hears("anna-21", f"den {number}"), cleo.hears("anna-21", f"lab {number}")
        anna.hears("anna-21", f"den {number}", room=of(anna, room))
        anna.hears("anna-21", f"lab {number}", room=of(anna, lab))
        anna.hears("ben-21", f"ben {number}", room=of(anna, room))
        anna.hears("cleo-21", f"cleo {number}", room=of(anna, lab))
        ben.hears("ben-21", f"ben {number}"), cleo.hears("cleo-21", f"cleo {number}")
    assert of(anna, room).code() == ben.room.code() != of(anna, lab).code() == cleo.room.code()
    assert not any(each.of("unreadable") or each.of("post") for each in (anna, ben, cleo))


def test_one_room_has_a_secret(server: Server, join: Join, room: str) -> None:
    """It guards that one only, and what is said in the other is read without."""
    anna = join(server, "anna-22", rooms=[f"{room}-open"], secret="three little words")
    ben = join(server, "ben-22", rooms=[f"{room}-open"])
    anna.next("joined"), anna.next("joined")
    anna.say("for some"), anna.say("for all", room=of(anna, f"{room}-open"))
    assert ben.next("unreadable") == Unreadable("anna-22", "secret")
    ben.hears("anna-22", "for all")


def test_private_posts_go_through_either_room(server: Server, join: Join, room: str) -> None:
    """And are sealed in that one's context: moved to the other, they do not open."""
    lab = f"{room}-lab"
    anna, ben = join(server, "anna-23", rooms=[lab]), join(server, "ben-23", rooms=[lab])
    anna.next("joined"), anna.next("joined")
    for name in (room, lab):
        assert anna.tell("ben-23", f"through {name}", of(anna, name))["type"] == "accepted"
        ben.hears("anna-23", f"through {name}", private=True, room=of(ben, name))
    wrap, box = of(anna, room).seal_for("ben-23", "moved")
    wrap["to"] = of(anna, lab).named("ben-23").id
    fields = {"at": of(anna, lab).at, "change": of(anna, lab).change, "wrap": wrap, "box": box}
    assert anna.answer(anna.request("private", **fields))["type"] == "accepted"
    assert ben.next("unreadable", room=of(ben, lab)) == Unreadable("anna-23", "name")
    assert ben.leave_room(of(ben, room))["type"] == "accepted"
    anna.next("left", room=of(anna, room))
    assert anna.tell("ben-23", "through what is left")["type"] == "accepted"
    ben.hears("anna-23", "through what is left", private=True)


def test_a_nickname_is_of_all_rooms(server: Server, join: Join, room: str) -> None:
    """Each tells it in its own log, and what is said is signed as each has it."""
    lab = f"{room}-lab"
    anna = join(server, "anna-24", rooms=[lab])
    ben, cleo = join(server, "ben-24"), join(server, "cleo-24", room=lab)
    anna.next("joined"), anna.next("joined")
    anna.post("before", room=of(anna, room)), anna.post("before", room=of(anna, lab))
    anna.show(lab)
    answer = anna.rename("hanna-24")
    assert answer["type"] == "accepted"
    for other, name in ((ben, room), (cleo, lab)):
        other.hears("anna-24", "before")
        assert other.next("renamed") == ("anna-24", "hanna-24")
        anna.next("renamed", room=of(anna, name))
        anna.say("after", room=of(anna, name))
        other.hears("hanna-24", "after")
    assert answer["seq"] == of(anna, lab).change  # the place in the log of the one that was named
    assert ben.of("unreadable") == cleo.of("unreadable") == []


# With a real client


def test_with_a_real_client_in_two_rooms(server: Server, join: Join, room: str) -> None:
    lab = f"{room}-lab"
    cleo = join(server, "cleo-29", room=lab)
    with real(server, room, "--room", lab) as anna:
        assert cleo.next("joined") == anna.nick
        ben = join(server, "ben-29", rooms=[lab])
        assert of(ben, lab).nicks == [anna.nick, "ben-29", "cleo-29"]
        anna.next("joined", nick="ben-29"), anna.next("joined", nick="ben-29")
        cleo.next("joined")
        for name in (room, lab):
            ben.say(f"to the {name}", room=of(ben, name))
            anna.next("message", room=name, text=f"to the {name}")
            anna.say(f"/room {name}", f"from the {name}", f"/msg ben-29 psst in the {name}")
            ben.hears("ben-29", f"to the {name}", room=of(ben, name))
            ben.hears(anna.nick, f"from the {name}", room=of(ben, name))
            # One after the other, so through one room: the first.
            ben.hears(anna.nick, f"psst in the {name}", private=True, room=of(ben, room))
            ben.tell(anna.nick, f"hush in the {name}", of(ben, name))
            anna.next("message", text=f"hush in the {name}", private=True)
        cleo.hears("ben-29", f"to the {lab}"), cleo.hears(anna.nick, f"from the {lab}")
        anna.say(f"/nick {anna.nick}-2")
        for name in (room, lab):
            renamed = ben.next("renamed", room=of(ben, name))
            assert renamed == (anna.nick, f"{anna.nick}-2")
        # Until she has heard of it there, what she says in a room is said by the old one.
        anna.wait_for(lambda: len(anna.all("renamed", nick=f"{anna.nick}-2")) == 2)
        anna.say("said anew")
        ben.hears(f"{anna.nick}-2", "said anew", room=of(ben, lab))
        anna.say(f"/leave {room}")
        assert ben.next("left", room=of(ben, room)) == f"{anna.nick}-2"
        anna.say("/msg ben-29 through what is left")
        ben.hears(f"{anna.nick}-2", "through what is left", private=True, room=of(ben, lab))
        assert ben.of("unreadable") == cleo.of("unreadable") == []


def test_a_real_client_comes_back_to_two_rooms(server: Server, join: Join, room: str) -> None:
    """In place in both, while nobody there sees it go."""
    lab = f"{room}-lab"
    ben = join(server, "ben-30", rooms=[lab])
    with Relay(server.port) as relay:
        with Client(relay.address, "anna-30", "--room", room, "--room", lab) as anna:
            ben.next("joined"), ben.next("joined")
            relay.cut(closed=True)
            for name in (room, lab):
                ben.say(f"meanwhile in the {name}", room=of(ben, name))
            anna.say(f"/room {room}", "said to nobody yet", f"/room {lab}", "nor this")
            relay.open()
            anna.next("reconnected")
            for name in (room, lab):
                anna.hears(f"meanwhile in the {name}", room=name, self_=False)
                ben.hears("ben-30", f"meanwhile in the {name}", room=of(ben, name))
            ben.hears("anna-30", "said to nobody yet", room=of(ben, room))
            ben.hears("anna-30", "nor this", room=of(ben, lab))
            assert ben.of("left") == ben.of("rejoined") == anna.all("missed") == []


# To and fro


def test_a_room_beside_another_and_no_more(server: Server, join: Join, room: str) -> None:
    """Nothing comes of a room that was left; it is another stay when it is entered again."""
    anna, ben = join(server, "anna-25"), join(server, "ben-25")
    anna.next("joined")
    first = anna.room.id
    lab = f"{room}-lab"
    assert anna.enter(lab)["type"] == "accepted" and names(anna) == sorted([room, lab])
    assert anna.enter(room.upper())["type"] == "accepted"  # nothing happens
    assert len(anna.of("entered")) == 2 and names(anna) == sorted([room, lab])
    number = of(anna, room).at
    assert anna.leave_room(of(anna, room))["type"] == "accepted" and names(anna) == [lab]
    assert ben.next("left") == "anna-25"
    ben.say("alone?"), ben.say("yes")
    anna.beat(answer=True)
    anna.next("taken")
    assert anna.of("post") == []
    assert anna.enter(room)["type"] == "accepted"
    assert (of(anna, room).at, of(anna, room).id != first) == (number, True)
    assert ben.next("joined") == "anna-25"
    ben.say("welcome"), anna.hears("ben-25", "welcome")


def test_a_move_is_one_step(server: Server, join: Join, room: str) -> None:
    anna, ben = join(server, "anna-26"), join(server, "ben-26")
    assert anna.move("two words")["code"] == "bad_room" and names(anna) == [room]
    assert anna.move(room)["type"] == "accepted" and names(anna) == [room]
    ben.say("still here"), anna.hears("ben-26", "still here")
    assert anna.move(f"{room}-lab")["type"] == "accepted" and names(anna) == [f"{room}-lab"]
    assert ben.next("left") == "anna-26"


def test_what_is_no_room_of_ones_own(server: Server, join: Join, room: str) -> None:
    """Is `gone`; keys and positions are passed over, since one may have left just now."""
    anna, ben = join(server, "anna-27", rooms=[f"{room}-lab"]), join(server, "ben-27")
    anna.next("joined")
    wraps, box = anna.room.seal("nowhere", "text", 10_000)
    other = 10**9
    fields = {"change": anna.room.change, "box": box}
    wrap, sealed = anna.room.seal_for("ben-27", "nowhere")
    refs = [
        anna.request("post", at=other, **fields),
        anna.request("private", at=other, change=anna.room.change, wrap=wrap, box=sealed),
        anna.request("nick", at=other, nick="hanna-27"),
        anna.request("leave", at=other),
        anna.request("enter", room=f"{room}-new", leave=other),
    ]
    assert [anna.answer(ref).get("code") for ref in refs] == ["gone"] * len(refs)
    nowhere = [{"at": other, "seq": 1, "number": 1}] * 16
    anna.send({"type": "keys", "at": other, "wraps": wraps}, {"type": "seen", "positions": nowhere})
    anna.beat(answer=True)
    anna.next("taken")
    anna.leave_room(of(anna, f"{room}-lab"))
    refs.append(anna.request("leave", at=anna.room.at))  # the last one
    assert anna.answer(refs[-1])["code"] == "unexpected"
    assert len(anna.of("refused")) == len(refs) and names(anna) == [room]
    assert ben.of("renamed") == ben.of("left") == []


def test_sixteen_rooms_and_not_one_more(server: Server, join: Join, room: str) -> None:
    anna = join(server, "anna-28", rooms=[f"{room}-{number}" for number in range(15)])
    assert len(anna.rooms.whole) == 16
    assert anna.enter(f"{room}-more")["code"] == "too_many_rooms"
    assert anna.enter(f"{room}-7")["type"] == "accepted"  # it is in there
    assert anna.move(f"{room}-more")["type"] == "accepted"
    assert len(anna.rooms.whole) == 16 and f"{room}-7" not in names(anna)
    anna.leave_room(of(anna, room))
    assert anna.enter(room)["type"] == "accepted"
    anna.beat(answer=True)
    anna.next("taken")


# Coming back


def test_both_rooms_go_on(server: Server, join: Join, room: str) -> None:
    """With what was said meanwhile in each, and what was not answered is sent again."""
    lab = f"{room}-lab"
    anna = join(server, "anna-31", rooms=[lab])
    ben, cleo = join(server, "ben-31"), join(server, "cleo-31", room=lab)
    anna.next("joined"), anna.next("joined")
    anna.post("cut off", room=of(anna, room)), anna.post("cut off, too", room=of(anna, lab))
    anna.socket.cut()
    ben.hears("anna-31", "cut off"), cleo.hears("anna-31", "cut off, too")
    ben.say("in the den"), cleo.say("in the lab"), cleo.tell("anna-31", "for you")
    anna.resume()
    assert anna.resumed and sorted(each["room"] for each in anna.of("resumed")) == names(anna)
    den, there = of(anna, room), of(anna, lab)
    anna.hears("anna-31", "cut off", room=den), anna.hears("ben-31", "in the den", room=den)
    anna.hears("anna-31", "cut off, too", room=there)
    anna.hears("cleo-31", "in the lab", room=there)
    anna.hears("cleo-31", "for you", private=True, room=there)
    anna.read(lambda: not anna._open)
    anna.say("back", room=of(anna, room)), anna.say("back, too", room=of(anna, lab))
    ben.hears("ben-31", "in the den"), ben.hears("anna-31", "back")
    cleo.hears("cleo-31", "in the lab"), cleo.hears("anna-31", "back, too")
    assert ben.of("left") == cleo.of("left") == anna.of("handed back") == []


def test_what_never_reached_the_server_is_said_with_its_keys(
    server: Server, join: Join, room: str
) -> None:
    """The wraps have no answer of their own, and go with the post that needs them."""
    anna, ben = join(server, "anna-32", rooms=[f"{room}-lab"]), join(server, "ben-32")
    anna.next("joined")
    anna.link._sending = bytes(32)  # so it does not open there
    anna.post("lost"), anna.post("and found")
    anna.ended()
    anna.socket.cut()
    anna.resume()
    assert anna.resumed
    anna.read(lambda: not anna._open)
    ben.hears("anna-32", "lost"), ben.hears("anna-32", "and found")
    assert anna.of("handed back") == []


def test_a_room_that_fell_off_its_log_says_so_alone(
    make: Make, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol_limits, "LOG_ENTRIES", 20)
    server = make(max_messages_per_window=10_000)
    anna = join(server, "anna", room="busy", rooms=["calm"])
    ben, cleo = join(server, "ben", room="busy"), join(server, "cleo", room="calm")
    anna.next("joined"), anna.next("joined")
    busy, calm = of(anna, "busy"), of(anna, "calm")
    before = busy.at, busy.log_id, busy.id
    anna.socket.cut()
    cleo.say("quiet here")
    for number in range(30):
        ben.say(str(number))
    anna.resume()
    assert anna.resumed and names(anna) == ["busy", "calm"]
    assert [each["room"] for each in anna.of("resumed")] == ["calm"]
    last = anna.of("entered")[-1]
    assert (last["room"], last["missed"], last.get("ref")) == ("busy", 30, None)
    assert (busy.at, busy.log_id, busy.id) == before
    assert ben.next("rejoined") == "anna"
    anna.hears("cleo", "quiet here", room=calm)
    ben.say("keys?"), anna.hears("ben", "keys?", room=busy)
    anna.say("yes", room=busy)
    ben.next("post", lambda post: post.text == "yes")
    assert cleo.of("rejoined") == anna.of("unreadable") == []


def test_an_enter_whose_answer_was_lost(server: Server, join: Join, room: str) -> None:
    """Leads there all the same; the answer comes when it is asked for again."""
    lab = f"{room}-lab"
    anna, ben = join(server, "anna-33"), join(server, "ben-33", room=lab)
    ref = anna.request("enter", room=lab)
    assert ben.next("joined") == "anna-33"
    anna.socket.cut()
    ben.say("psst"), ben.tell("anna-33", "for you alone")
    anna.resume()
    assert anna.answer(ref)["type"] == "accepted" and names(anna) == sorted([room, lab])
    entered = anna.of("entered")[-1]
    assert (entered["room"], entered["ref"], entered["missed"]) == (lab, ref, 2)
    assert [each["room"] for each in anna.of("resumed")] == [room]
    assert ben.next("rejoined") == "anna-33"
    ben.say("here?"), anna.hears("ben-33", "here?", room=of(anna, lab))
    assert ben.of("left") == []


def test_a_leave_whose_answer_was_lost(server: Server, join: Join, room: str) -> None:
    lab = f"{room}-lab"
    anna, ben = join(server, "anna-34", rooms=[lab]), join(server, "ben-34", room=lab)
    anna.next("joined")
    ref = anna.request("leave", at=of(anna, lab).at)
    assert ben.next("left") == "anna-34"
    anna.socket.cut()
    anna.resume()
    assert anna.answer(ref)["type"] == "accepted" and names(anna) == [room]
    assert [(each["code"], each["room"]) for each in anna.of("refused")] == [("gone", lab)]
    assert anna.say("alone")["type"] == "accepted"


def test_a_move_whose_answer_was_lost(server: Server, join: Join, room: str) -> None:
    """One is in the new room, though nothing but the old one was named."""
    lab = f"{room}-lab"
    anna, ben = join(server, "anna-35"), join(server, "ben-35")
    cleo = join(server, "cleo-35", room=lab)
    anna.next("joined")
    ref = anna.request("enter", room=lab, leave=anna.room.at)
    assert (ben.next("left"), cleo.next("joined")) == ("anna-35", "anna-35")
    anna.socket.cut()
    anna.resume()
    assert anna.resumed and anna.answer(ref)["type"] == "accepted" and names(anna) == [lab]
    assert cleo.next("rejoined") == "anna-35"
    cleo.say("hello"), anna.hears("cleo-35", "hello")
    assert cleo.of("left") == []


def test_a_room_left_and_entered_again_without_an_answer(
    server: Server, join: Join, room: str
) -> None:
    """It is another stay under the same name and number, and the old `leave` ends only the old."""
    lab = f"{room}-lab"
    anna, ben = join(server, "anna-36", rooms=[lab]), join(server, "ben-36", room=lab)
    anna.next("joined")
    old = of(anna, lab)
    left = anna.request("leave", at=old.at)
    again = anna.request("enter", room=lab)
    assert (ben.next("left"), ben.next("joined")) == ("anna-36", "anna-36")
    anna.socket.cut()
    anna.resume()
    assert anna.answer(left)["type"] == anna.answer(again)["type"] == "accepted"
    assert names(anna) == sorted([room, lab])
    assert of(anna, lab).at == old.at and of(anna, lab).id != old.id
    assert ben.next("rejoined") == "anna-36"
    ben.say("hello"), anna.hears("ben-36", "hello", room=of(anna, lab))
    anna.say("hi", room=of(anna, lab)), ben.next("post", lambda post: post.nick == "anna-36")


def test_a_roster_that_did_not_come_whole(server: Server, join: Join, room: str) -> None:
    """That room is named without a place, and begun anew; the other one goes on."""
    lab = f"{room}-lab"
    anna, ben = join(server, "anna-37", rooms=[lab]), join(server, "ben-37", room=lab)
    anna.next("joined")
    anna.socket.cut()
    of(anna, lab)._missing = 1
    anna.resume()
    assert anna.resumed and names(anna) == sorted([room, lab])
    assert [each["room"] for each in anna.of("resumed")] == [room]
    assert ben.next("rejoined") == "anna-37"
    ben.say("again"), anna.hears("ben-37", "again", room=of(anna, lab))


def test_without_any_place_there_is_another_session(
    server: Server, join: Join, room: str
) -> None:
    lab = f"{room}-lab"
    anna, ben = join(server, "anna-38", rooms=[lab]), join(server, "ben-38", room=lab)
    anna.socket.cut()
    anna.join()
    assert not anna.resumed and names(anna) == sorted([room, lab])
    assert (ben.next("left"), ben.next("joined")) == ("anna-38", "anna-38")
    ben.say("again"), anna.hears("ben-38", "again", room=of(anna, lab))


def test_too_late_for_both(make: Make, join: Join) -> None:
    """Both are entered anew; what was not answered is handed back, and epochs go on."""
    server = make(heartbeat_interval=0.2, heartbeat_timeout=0.6)
    anna = join(server, "anna", room="den", rooms=["lab"])
    ben = join(server, "ben", room="den", rooms=["lab"])
    anna.next("joined"), anna.next("joined")
    for name in ("den", "lab"):
        anna.say("one", room=of(anna, name)), ben.hears("anna", "one", room=of(ben, name))
    anna.socket.cut()
    ben.next("left"), ben.next("left")
    ref = anna.last_ref + 1
    with pytest.raises(Exception):  # noqa: B017, PT011  # however the network says it
        anna.post("lost", room=of(anna, "lab"))
    anna.resume()
    assert not anna.resumed and names(anna) == ["den", "lab"] and anna.of("handed back") == [ref]
    for name in ("den", "lab"):
        anna.say(f"back in the {name}", room=of(anna, name))
        ben.hears("anna", f"back in the {name}", room=of(ben, name))
        assert of(anna, name)._own.epoch == 2
    assert ben.of("unreadable") == []


def test_a_session_that_nobody_has_heard_of_does_not_go_on(make: Make, join: Join) -> None:
    """Its `welcome` was lost, and what is not answered was for the one before."""
    server = make(heartbeat_interval=0.2, heartbeat_timeout=0.8)
    anna = join(server, "anna", room="den", rooms=["lab"])
    ben = join(server, "ben", room="den", rooms=["lab"])
    anna.next("joined"), anna.next("joined")
    anna.socket.cut()
    with pytest.raises(Exception):  # noqa: B017, PT011  # however the network says it
        anna.post("for those who were there")
    ben.next("left"), ben.next("left")
    anna.prove(resume=True)
    ben.next("joined"), ben.next("joined")
    anna.socket.cut()
    anna.resume()
    assert not anna.resumed and anna.of("handed back") == [anna.last_ref]
    ben.next("left"), ben.next("joined")
    assert names(anna) == ["den", "lab"] and anna.say("hello")["type"] == "accepted"
    ben.hears("anna", "hello")


# Ways in that are shut


def test_one_room_is_full_and_the_others_are_not(
    make: Make, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol_limits, "ROOM_MEMBERS", 1)
    server = make()
    join(server, "ben", room="lab")
    anna = join(server, "anna", room="den", rooms=["two words", "lab", "attic"])
    assert names(anna) == ["attic", "den"]
    assert [(each["code"], each["room"]) for each in anna.of("refused")] == [
        ("bad_room", "two words"), ("room_full", "lab"),
    ]  # fmt: skip
    assert anna.say("hm")["type"] == "accepted"


def test_where_no_room_lets_in_the_first_one_is_why(
    make: Make, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol_limits, "ROOM_MEMBERS", 1)
    server = make()
    join(server, "ben", room="lab")
    with pytest.raises(Refusal, match="room_full") as refused:
        join(server, "anna", room="lab", rooms=["two words"])
    assert not refused.value.clear and refused.value.frame.get("room") is None


def test_rooms_that_change_too_often_are_waited_for_together(
    make: Make, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what would take too long is refused, with the time when it might be done."""
    monkeypatch.setattr(limits, "CHANGE_BURST", 1.0)
    monkeypatch.setattr(limits, "CHANGE_WAIT_TOLD", 0.001)
    monkeypatch.setattr(limits, "CHANGES_A_SECOND", 2.0)
    monkeypatch.setattr(limits, "CHANGE_PATIENCE", 1.2)
    server = make()
    rooms = [f"room-{number}" for number in range(4)]
    ben = join(server, "ben", room="room-0", rooms=rooms[1:])
    began = time.monotonic()
    anna = join(server, "anna", room="room-0", rooms=rooms[1:])
    assert time.monotonic() - began < 4.0
    refused = {each["room"]: each for each in anna.of("refused")}
    assert sorted([*names(anna), *refused]) == rooms
    assert all(each["code"] == "rate_limited" and each["retry_after"] for each in refused.values())
    assert len(anna.of("wait")) <= 1
    assert {each.room for each in ben.events if each.kind == "joined"} <= set(names(anna))
