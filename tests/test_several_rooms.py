"""What the session does in several rooms at once: on the way in and out, and when it comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from client import events
from client.view_list import PEOPLE, ViewList
from client.views import room_target
from protocol import frames
from protocol.errors import Unexpected
from protocol.frames import MemberLine
from protocol.limits import ROOMS_OF_ONE
from tests.malicious import AT, LOG, OTHER_LOG, ROOM, Den, Person, bundle, welcome

LAB, LAB_AT = "lab", 2


def joined() -> Den:
    """Alice and bob in the den, and alice in the lab beside it, where bob is too."""
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.join(LAB, None)
    (asked,) = alice.sent()
    assert asked == frames.Enter(1, LAB)
    alice.hears(*den.entering(alice, ref=1, room=LAB, at=LAB_AT, log=OTHER_LOG))
    alice.hears(frames.Accepted(1))
    alice.forget()
    return den


def posts(person: Person) -> list[tuple[int, int]]:
    """Room and ref of each line that it has sent."""
    return [(each.at, each.ref) for each in person.sent() if isinstance(each, frames.Post)]


def privates(person: Person) -> list[frames.Private]:
    """The private lines that it has sent."""
    return [each for each in person.sent() if isinstance(each, frames.Private)]


def shown(person: Person) -> list[str | None]:
    return [event.room or event.to for event in person.all(events.Shown)]


def rooms(person: Person) -> list[str]:
    return person.session.rooms.names()


# In and out


def test_a_room_is_opened_beside_the_other_and_shown_at_once() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.join(LAB, None)
    assert shown(alice) == [LAB] and rooms(alice) == [ROOM, LAB]
    alice.user.say("for the lab")
    alice.user.say("for the den", room=ROOM)
    asked, *rest = alice.sent()
    assert asked == frames.Enter(1, LAB)
    assert [frame.kind for frame in rest] == ["keys", "post"]  # it does not wait for the lab
    alice.hears(*den.entering(alice, ref=1, room=LAB, at=LAB_AT, log=OTHER_LOG))
    assert posts(alice) == [(LAB_AT, 3)]
    assert [event.room for event in alice.all(events.RoomEntered)] == [LAB]


def test_each_line_goes_to_its_room_and_none_to_a_room_that_is_not_open() -> None:
    alice = joined()["alice"]
    alice.user.say("lab")
    alice.user.say("den", room=ROOM)
    alice.user.say("nowhere", room="attic")
    assert [at for at, _ref in posts(alice)] == [LAB_AT, AT]
    assert alice.handed_back() == [("nowhere", "left_room")]


def test_whoever_roams_is_in_the_old_room_until_the_new_one_is_entered() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.say("first")
    post = posts(alice)[0][1]
    alice.user.go(LAB, None)
    assert alice.sent() == [], "what was typed before is not answered yet"
    alice.hears(frames.Accepted(post, 3))
    assert alice.sent() == [frames.Enter(2, LAB, AT)]
    said = den.say("bob", "still here?")
    den.wraps(said)
    den.log(alice, frames.OwnPosted(den.next(), post), said.posted(den.next()))
    assert alice.heard() == [("bob", "still here?")]
    alice.hears(*den.entering(alice, ref=2, room=LAB, at=LAB_AT, log=OTHER_LOG))
    assert rooms(alice) == [LAB] and [left.room for left in alice.all(events.RoomLeft)] == [ROOM]
    den.log(alice, frames.Left(den.next(), den["bob"].id))  # it was under way
    alice.hears(frames.Accepted(2))
    with pytest.raises(Unexpected):
        den.log(alice, frames.Left(den.next(), 99))


def test_a_refused_move_leaves_one_where_one_was() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.go(LAB, None)
    alice.user.say("for the lab")
    alice.sent()
    alice.hears(frames.Refused("room_full", 1))
    assert rooms(alice) == [ROOM] and shown(alice) == [LAB, ROOM]
    assert alice.handed_back() == [("for the lab", "left_room")]
    (error,) = alice.all(events.Error)
    assert (error.code, error.room) == ("room_full", LAB)
    assert alice.user.shown.name == ROOM
    alice.user.say("for the den")
    assert [at for at, _ref in posts(alice)] == [AT]


def test_a_refused_move_and_back_leaves_one_where_one_was() -> None:
    """Back, before it was refused: nothing leads into a room in which one is."""
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.go(LAB, None)
    alice.user.go(ROOM, None)
    alice.user.say("for the den")
    alice.user.go("attic", None)
    assert alice.sent() == [frames.Enter(1, LAB, AT)]
    alice.hears(frames.Refused("room_full", 1))
    ((at, ref),) = posts(alice)
    assert at == AT and alice.handed_back() == [] and rooms(alice) == ["attic", ROOM]
    alice.hears(frames.Accepted(ref, den.seq + 1))
    assert alice.sent() == [frames.Enter(3, "attic", AT)]


def test_a_move_that_is_refused_after_a_loss_leaves_one_where_one_was() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.go(LAB, None)
    alice.user.say("for the lab")
    assert alice.sent() == [frames.Enter(1, LAB, AT)]
    alice.session.lose()
    alice, _stays = back(den)
    alice.hears(goes_on(den))
    assert alice.sent() == [frames.Enter(1, LAB, AT)]
    alice.hears(frames.Refused("room_full", 1))
    assert rooms(alice) == [ROOM] and alice.handed_back() == [("for the lab", "left_room")]
    assert alice.user.shown.name == ROOM
    alice.user.say("for the den")
    assert [at for at, _ref in posts(alice)] == [AT]


def test_to_another_room_and_back_each_line_in_its_own() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.go(LAB, None)
    alice.user.say("two")
    alice.user.go(ROOM, None)
    alice.user.say("three")
    assert alice.sent() == [frames.Enter(1, LAB, AT)]
    alice.hears(*den.entering(alice, ref=1, room=LAB, at=LAB_AT, log=OTHER_LOG), frames.Accepted(1))
    ((at, two),) = posts(alice)
    assert at == LAB_AT
    alice.hears(frames.Accepted(two, den.seq + 1))
    assert alice.sent() == [frames.Enter(3, ROOM, LAB_AT)]
    alice.hears(*den.entering(alice, ref=3, seq=den.next()), frames.Accepted(3))
    assert [at for at, _ref in posts(alice)] == [AT] and rooms(alice) == [ROOM]
    assert alice.handed_back() == []


def test_lines_before_and_after_a_way_there_and_back_keep_their_order() -> None:
    """There is no connection, so all of it waits; the same room is left and entered again."""
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.session.lose()
    alice.user.say("one")
    alice.user.go(LAB, None)
    alice.user.go(ROOM, None)
    alice.user.say("two")
    alice, stays = back(den)
    assert [stay.room for stay in stays] == [ROOM]
    alice.hears(goes_on(den))
    ((at, one),) = posts(alice)
    assert at == AT
    alice.hears(frames.Accepted(one, den.seq + 1))
    assert alice.sent() == [frames.Enter(2, LAB, AT)]
    alice.hears(*den.entering(alice, ref=2, room=LAB, at=LAB_AT, log=OTHER_LOG), frames.Accepted(2))
    assert alice.sent() == [frames.Enter(3, ROOM, LAB_AT)]
    alice.hears(*den.entering(alice, ref=3, seq=den.next()), frames.Accepted(3))
    ((at, _two),) = posts(alice)
    assert at == AT and alice.own() == ["one"] and alice.handed_back() == []


def test_a_room_is_left_after_its_lines_and_what_comes_of_it_then_is_nothing() -> None:
    den = joined()
    alice = den["alice"]
    alice.user.say("lab")
    ((_at, ref),) = posts(alice)
    alice.user.leave(None)
    assert alice.sent() == []
    alice.hears(frames.Accepted(ref, den.seq + 1))
    (leave,) = alice.sent()
    assert isinstance(leave, frames.Leave) and leave.at == LAB_AT
    assert alice.own() == ["lab"] and rooms(alice) == [ROOM] and alice.session.room == ROOM
    late = frames.Log(LAB_AT, 99, (frames.Left(99, den["bob"].id),))
    alice.hears(late, frames.Accepted(leave.ref))
    assert not alice.all(events.MemberLeft)
    with pytest.raises(Unexpected):
        alice.hears(late)


def test_the_last_room_is_left_by_leaving_the_chat_and_not_in_passing() -> None:
    alice = Den("alice")["alice"]
    sure = []
    for deed in ("leave", "say", "leave", "leave"):
        alice.user.begin()
        if deed == "leave":
            sure.append(alice.user.leave(None))
        else:
            alice.user.say("no")
    assert sure == [False, False, True]
    assert "last room" in alice.all(events.Notice)[0].text and rooms(alice) == [ROOM]


def test_no_more_rooms_than_one_may_be_in() -> None:
    den = Den("alice")
    alice = den["alice"]
    for number in range(ROOMS_OF_ONE):
        alice.user.join(f"room-{number}", None)
    assert len(rooms(alice)) == ROOMS_OF_ONE
    assert [error.code for error in alice.all(events.Error)] == ["too_many_rooms"]


def test_a_secret_is_given_to_an_open_room_where_it_stands() -> None:
    den = Den("alice", "bob", secrets={"bob": "strong"})
    alice, bob = den["alice"], den["bob"]
    den.post(den.say("bob", "for those who know"))
    assert alice.unreadable() == [("bob", "secret")]
    alice.user.go(ROOM, "strong")
    assert alice.sent() == [] and alice.session.views.room.guarded
    den.post(den.say("bob", "and now?"))
    den.post(den.say("alice", "yes"))
    assert alice.heard() == [("bob", "and now?")] and bob.heard() == [("alice", "yes")]


# Coming back


def back(den: Den, resumed: bool = True) -> tuple[Person, tuple[frames.Stay, ...]]:
    """Alice's connection is another one; what she has asked for."""
    alice = den["alice"]
    alice.session.lose()
    stays = alice.session.stays_to_join()
    alice.session.welcome(welcome("alice", resumed))
    return alice, stays


def goes_on(den: Den, at: int = AT) -> frames.Entered:
    room, log = (ROOM, LOG) if at == AT else (LAB, OTHER_LOG)
    return frames.Entered(at, room, log, den["alice"].id, den.seq, 0, True, 0)


def test_all_rooms_come_back_and_what_was_under_way_goes_again_in_its_order() -> None:
    den = joined()
    alice = den["alice"]
    alice.user.say("lab")
    alice.user.say("den", room=ROOM)
    sealed = alice.sent()
    alice, stays = back(den)
    assert stays == (frames.Stay(ROOM, LOG, 2, 0), frames.Stay(LAB, OTHER_LOG, 2, 0))
    assert alice.sent() == sealed
    alice.hears(goes_on(den), goes_on(den, LAB_AT))
    assert alice.events == [events.Reconnected(True)]


def test_a_room_that_fell_off_its_log_says_so_alone() -> None:
    den = joined()
    alice, _ = back(den)
    lines = tuple(den.lines.values())
    behind = frames.Entered(LAB_AT, LAB, OTHER_LOG, alice.id, 9, len(lines), False, 7, 1)
    alice.hears(goes_on(den), behind, frames.Roster(lines))
    assert [type(event) for event in alice.events] == [
        events.Reconnected, events.Missed, events.RoomEntered,
    ]  # fmt: skip
    assert [(event.room, event.count) for event in alice.all(events.Missed)] == [(LAB, 7)]


def test_another_session_hands_back_what_was_not_acknowledged_in_every_room() -> None:
    den = joined()
    alice = den["alice"]
    alice.user.say("lab")
    alice.user.say("den", room=ROOM)
    alice.session.lose()
    alice.user.say("typed meanwhile")
    alice, stays = back(den, resumed=False)
    assert [stay.room for stay in stays] == [ROOM, LAB]
    alice.hears(*den.entering(alice, log=b"another log id 2"))
    alice.hears(*den.entering(alice, room=LAB, at=3, log=b"another log id 3"))
    assert sorted(alice.handed_back()) == [
        ("den", "disconnected"), ("lab", "disconnected"), ("typed meanwhile", "disconnected"),
    ]  # fmt: skip
    assert [event.resumed for event in alice.all(events.Reconnected)] == [False]
    assert [event.room for event in alice.all(events.RoomEntered)] == [ROOM, LAB]


def test_a_move_whose_answer_was_lost_is_known_by_the_room_that_is_entered() -> None:
    den = Den("alice", "bob")
    den["alice"].user.go(LAB, None)
    alice, stays = back(den)
    assert [stay.room for stay in stays] == [ROOM]
    assert alice.sent()[-1:] == [frames.Enter(1, LAB, AT)]
    alice.forget()
    alice.hears(frames.Refused("gone", room=ROOM))
    alice.hears(*den.entering(alice, ref=1, room=LAB, at=LAB_AT, log=OTHER_LOG))
    alice.hears(frames.Accepted(1))
    assert rooms(alice) == [LAB] and not alice.all(events.Error)
    assert [event.room for event in alice.all(events.RoomLeft)] == [ROOM]


def test_a_leave_whose_answer_was_lost_is_asked_again_and_the_room_stays_closed() -> None:
    den = joined()
    den["alice"].user.leave(LAB)
    alice, stays = back(den)
    assert [stay.room for stay in stays] == [ROOM]
    (leave,) = [each for each in alice.sent() if isinstance(each, frames.Leave)]
    alice.hears(goes_on(den))
    alice.hears(*den.entering(alice, ref=1, room=LAB, at=LAB_AT, log=OTHER_LOG, seq=9))
    alice.hears(frames.Log(LAB_AT, 9, ()), frames.Accepted(leave.ref))
    assert rooms(alice) == [ROOM]


def test_a_room_that_is_left_and_opened_again_meanwhile_is_entered_after_it_was_left() -> None:
    """Else what was to lead out of it would lead out of it once one is there again."""
    den = joined()
    alice = den["alice"]
    alice.session.lose()
    alice.user.leave(LAB)
    alice.user.join(LAB, None)
    alice, stays = back(den)
    assert [stay.room for stay in stays] == [ROOM]
    assert alice.sent() == [frames.Leave(2, LAB_AT)]
    alice.hears(goes_on(den))
    assert alice.sent() == [frames.Enter(3, LAB)]
    alice.hears(*den.entering(alice, ref=1, room=LAB, at=LAB_AT, log=OTHER_LOG, seq=9))
    alice.hears(frames.Accepted(2))
    alice.hears(*den.entering(alice, ref=3, room=LAB, at=LAB_AT, log=OTHER_LOG, seq=11))
    alice.hears(frames.Accepted(3), frames.Log(LAB_AT, 12, ()))
    assert [event.room for event in alice.all(events.RoomEntered)] == [LAB]


def test_a_room_that_the_session_is_not_in_any_more_is_closed_and_said() -> None:
    alice, _ = back(den := joined())
    alice.forget()
    alice.hears(goes_on(den), frames.Refused("gone", room=LAB))
    assert [(error.code, error.room) for error in alice.all(events.Error)] == [("gone", LAB)]
    assert rooms(alice) == [ROOM]


def test_a_room_into_which_too_many_come_is_asked_for_again_in_time() -> None:
    alice, _ = back(den := joined(), resumed=False)
    alice.hears(*den.entering(alice, log=b"another log id 2"))
    alice.hears(frames.Refused("rate_limited", retry_after=7.0, room=LAB))
    assert rooms(alice) == [ROOM, LAB] and not alice.sent()
    assert alice.session.paused_until() == 7.0
    alice.waits(7.0)
    (again,) = alice.sent()
    assert isinstance(again, frames.Enter) and (again.room, again.leave) == (LAB, None)
    alice.hears(*den.entering(alice, ref=again.ref, room=LAB, at=3, log=b"another log id 3"))
    assert [event.room for event in alice.all(events.RoomEntered)] == [ROOM, LAB]


@pytest.mark.parametrize("anew", [False, True])
def test_moves_there_and_back_lead_through_each_room_in_turn(anew: bool) -> None:
    """Each waits for the one before, which must not be asked for again behind them."""
    den = Den("alice", "bob")
    alice = den["alice"]
    for room in (LAB, ROOM, LAB):
        alice.user.go(room, None)
    moves = alice.sent()
    if anew:
        back(den, resumed=False)
        alice.hears(*den.entering(alice, log=b"another log id 2"))
        moves = alice.sent()
    at = AT
    for number, room in enumerate((LAB, ROOM, LAB), LAB_AT):
        (move,) = [each for each in moves if isinstance(each, frames.Enter)]
        assert (move.room, move.leave) == (room, at)
        at, log = number, b"another log id %d" % (number + 1)
        alice.hears(*den.entering(alice, ref=move.ref, room=room, at=at, log=log))
        alice.hears(frames.Accepted(move.ref))
        moves = alice.sent()
    assert rooms(alice) == [LAB]


def test_a_refused_move_there_and_back_leaves_one_where_one_was() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    for room in (LAB, ROOM, LAB):
        alice.user.go(room, None)
    alice.sent()
    alice.hears(frames.Refused("room_full", 1))
    (again,) = alice.sent()
    assert isinstance(again, frames.Enter) and (again.room, again.leave) == (LAB, AT)
    alice.hears(frames.Refused("room_full", again.ref))
    assert rooms(alice) == [ROOM] and not alice.sent()


def test_a_room_that_was_never_entered_is_asked_for_on_the_next_connection() -> None:
    den = Den("alice", "bob")
    den["alice"].user.join(LAB, None)
    alice, stays = back(den, resumed=False)
    assert [stay.room for stay in stays] == [ROOM] and alice.sent() == []
    alice.hears(*den.entering(alice, log=b"another log id 2"))
    assert [each.room for each in alice.sent() if isinstance(each, frames.Enter)] == [LAB]


# Lies


def lies(den: Den) -> dict[str, list[frames.Frame]]:
    lines = tuple(den.lines.values())
    me, third = den["alice"].id, b"another log id 9"
    roster = frames.Roster(lines)

    def entered(at: int, room: str, log: bytes, **more: object) -> frames.Entered:
        frame = frames.Entered(at, room, log, me, den.seq, len(lines), False, 0)
        return replace(frame, **more)  # type: ignore[arg-type]

    left = frames.Left(den.seq + 1, den["bob"].id)
    return {
        "a log of a room that one is not in": [frames.Log(9, den.seq + 1, (left,))],
        "a room that nobody asked for": [entered(9, "attic", third)],
        "an old answer": [entered(9, "attic", third, ref=1)],
        "the number of another room": [entered(AT, LAB, OTHER_LOG)],
        "the log of another room": [entered(LAB_AT, LAB, LOG)],
        "a room of another name": [entered(LAB_AT, ROOM, OTHER_LOG)],
        "something of another room before the roster": [
            entered(LAB_AT, LAB, OTHER_LOG), frames.Log(AT, den.seq + 1, (left,)), roster,
        ],
        "the way into two rooms at once": [
            entered(LAB_AT, LAB, OTHER_LOG), entered(AT, ROOM, LOG), roster, roster,
        ],
        "a roster too many": [entered(LAB_AT, LAB, OTHER_LOG), roster, roster],
        "a room that goes on though it never ended": [
            entered(LAB_AT, LAB, OTHER_LOG, resumed=True, members=0)
        ],
        "a refused room that is not waited for": [frames.Refused("room_full", room=LAB)],
    }  # fmt: skip


@pytest.mark.parametrize("lie", lies(joined()))
def test_a_lie_about_rooms_ends_the_connection(lie: str) -> None:
    den = joined()
    with pytest.raises(Unexpected):
        den["alice"].hears(*lies(den)[lie])
    assert not den["alice"].all(events.MemberLeft) and rooms(den["alice"]) == [ROOM, LAB]


def test_a_room_goes_on_only_with_its_session_and_only_once() -> None:
    den = joined()
    alice, _ = back(den, resumed=False)
    with pytest.raises(Unexpected):
        alice.hears(goes_on(den))
    alice, _ = back(den)
    alice.hears(goes_on(den))
    with pytest.raises(Unexpected):
        alice.hears(goes_on(den))


def test_a_session_that_goes_on_leads_to_no_other_member_of_a_room() -> None:
    den = joined()
    alice, _ = back(den)
    lines = tuple(den.lines.values())
    with pytest.raises(Unexpected):
        alice.hears(frames.Entered(LAB_AT, LAB, OTHER_LOG, 99, 9, len(lines), False, 7))


def test_a_line_of_one_room_has_no_place_in_another() -> None:
    den = joined()
    alice = den["alice"]
    alice.user.say("for the lab")
    ((_at, ref),) = posts(alice)
    with pytest.raises(Unexpected):
        den.log(alice, frames.OwnPosted(den.next(), ref))
    assert alice.own() == []


def test_what_was_sealed_for_one_room_opens_in_no_other() -> None:
    """The same people are there, with the same numbers."""
    den = joined()
    alice = den["alice"]
    said = den.say("bob", "for the den")
    private = den.say_private("bob", "alice", "through the den")
    wrap = said.wrap_for(alice)
    alice.hears(
        frames.KeyFor(LAB_AT, 1, den["bob"].id, wrap),
        frames.Log(LAB_AT, den.seq + 1, (said.posted(den.seq + 1),)),
        replace(private.frame_for(2), at=LAB_AT),
    )
    assert alice.heard() == []
    assert {event.room for event in alice.all(events.Unreadable)} == {LAB}
    assert [code for code, _nick in alice.warned()] == ["bad_wrap", "forged", "forged"]
    den.wraps(said)
    den.log(alice, said.posted(den.next()))
    den.private(alice, private)
    assert alice.heard() == [("bob", "for the den"), ("bob", "through the den")]


# Views of people


def test_private_messages_are_in_the_view_of_whoever_wrote_them() -> None:
    den = Den("alice", "bob", "carol")
    alice = den["alice"]
    seen: list[events.Event] = []
    alice.session._emit = seen.append
    den.private(alice, den.say_private("bob", "alice", "psst"))
    views, message = (event for event in seen if isinstance(event, events.Views | events.Message))
    assert isinstance(views, events.Views)
    assert [view.name for view in views.views] == [ROOM, "@bob"] and views.shown.name == ROOM
    assert isinstance(message, events.Message) and message.view == views.views[1].key
    alice.user.reply("yes?")
    (answer,) = alice.sent()
    assert isinstance(answer, frames.Private) and answer.wrap.to == den["bob"].id
    alice.user.show_last_private()
    assert alice.user.shown.name == "@bob"
    alice.user.say("nobody else hears this")
    assert [frame.kind for frame in alice.sent()] == ["private"]
    alice.user.query(None)
    assert alice.user.shown == room_target(ROOM)


def test_an_answer_is_for_whoever_had_written_when_it_was_begun() -> None:
    den = Den("alice", "bob", "mallory")
    alice = den["alice"]
    den.private(alice, den.say_private("bob", "alice", "what is the code?"))
    alice.user.begins_line()
    den.private(alice, den.say_private("mallory", "alice", "hi"))
    alice.user.reply("4711")
    (answer,) = alice.sent()
    assert isinstance(answer, frames.Private) and answer.wrap.to == den["bob"].id
    alice.user.begins_line()
    alice.user.reply("hi")
    alice.hears(frames.Accepted(answer.ref))
    (answer,) = alice.sent()
    assert isinstance(answer, frames.Private) and answer.wrap.to == den["mallory"].id


def test_a_view_belongs_to_a_key_and_not_to_a_nickname() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.query("bob")
    den.seq += 2
    other = MemberLine(den.new_id(), "bob", den.seq, bundle("mallory"))
    den.log(alice, frames.Left(den.seq - 1, den["bob"].id), frames.Joined(den.seq, other))
    alice.user.say("for the bob I know")
    assert alice.sent() == [] and alice.handed_back() == [("for the bob I know", "other_keys")]
    alice.user.query("bob")
    alice.user.say("for this one")
    (private,) = alice.sent()
    assert isinstance(private, frames.Private) and private.wrap.to == other.id
    assert len({view.key for view in alice.session.views.all()}) == 3


def test_a_private_line_takes_whichever_room_is_shared_when_it_goes() -> None:
    den = joined()
    alice = den["alice"]
    den.log(alice, frames.Left(den.next(), den["bob"].id))
    alice.user.private("bob", "through the lab")
    (private,) = alice.sent()
    assert isinstance(private, frames.Private) and private.at == LAB_AT


def beside_a_secret() -> Den:
    """Alice and bob in the den, and in the lab, which has a secret."""
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.session.secrets.give(LAB, "of the lab")
    alice.user.join(LAB, None)
    alice.sent()
    alice.hears(*den.entering(alice, ref=1, room=LAB, at=LAB_AT, log=OTHER_LOG))
    alice.hears(frames.Accepted(1))
    alice.forget()
    return den


def test_a_private_line_under_a_rooms_secret_goes_under_none_but_that() -> None:
    """A server that has put somebody of its own into both rooms lets them leave the lab."""
    den = beside_a_secret()
    alice = den["alice"]
    alice.user.private("bob", "psst")
    (first,) = privates(alice)
    alice.hears(frames.Refused("stale", first.ref))
    (second,) = privates(alice)
    assert (first.at, second.at) == (LAB_AT, LAB_AT)
    left = frames.Left(den.next(), den["bob"].id)
    alice.hears(frames.Log(LAB_AT, den.seq, (left,)), frames.Refused("stale", second.ref))
    alice.waits(1.0)
    assert privates(alice) == [] and alice.handed_back() == [("psst", "no_secret")]
    alice.user.query("bob")
    alice.user.resend()
    assert privates(alice) == [] and alice.handed_back()[1:] == [("psst", "no_secret")]
    alice.user.say("anew")
    assert [each.at for each in privates(alice)] == [AT]


def test_what_is_said_in_the_view_of_a_person_is_under_a_secret_where_there_is_any() -> None:
    alice = beside_a_secret()["alice"]
    alice.user.show_number(1)
    alice.user.private("bob", "as one sees, in the den")
    alice.user.query("bob")
    alice.user.say("in the view")
    (first,) = privates(alice)
    alice.hears(frames.Accepted(first.ref))
    (second,) = privates(alice)
    assert (first.at, second.at) == (AT, LAB_AT)


def test_the_view_of_a_person_is_closed_and_shows_the_room_again() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.query("bob")
    assert not alice.user.leave(None)
    assert shown(alice) == ["bob", ROOM] and len(alice.session.views.all()) == 1


def test_the_view_of_a_person_is_closed_by_its_name_and_no_room_is() -> None:
    den = joined()
    alice = den["alice"]
    alice.user.query("bob")
    alice.user.query(None)
    alice.forget()
    assert not alice.user.leave("@carol")
    assert [error.code for error in alice.all(events.Error)] == ["not_open"]
    assert not alice.user.leave("@BOB")
    assert rooms(alice) == [ROOM, LAB] and shown(alice) == [] and alice.sent() == []
    assert len(alice.session.views.all()) == 2


def test_views_are_shown_by_number_and_one_after_the_other() -> None:
    alice = joined()["alice"]
    alice.user.show_number(1)
    alice.user.show_number(7)
    alice.user.show_next(1)
    alice.user.show_next(1)
    alice.user.show_next(-1)
    assert shown(alice) == [ROOM, LAB, ROOM, LAB]


def test_a_line_never_gets_into_another_view_than_the_one_that_was_seen() -> None:
    """The room that was shown is closed by the server just before Enter is pressed."""
    alice, _ = back(den := joined())
    assert alice.user.shown.name == LAB
    alice.hears(goes_on(den), frames.Refused("gone", room=LAB))
    alice.user.say("for the lab")
    assert alice.sent() == [] and alice.handed_back() == [("for the lab", "left_room")]
    assert alice.user.shown.name == ROOM
    alice.user.say("for the den")
    assert [at for at, _ref in posts(alice)] == [AT]


def test_lines_that_nobody_sees_typed_go_to_no_other_room_than_they_were_for() -> None:
    """They come from a pipe, whose writer may know nothing yet of what the server has closed."""
    alice, _ = back(den := joined())
    alice.hears(goes_on(den), frames.Refused("gone", room=LAB))
    alice.user.say("for the lab")
    alice.user.say("for the den", room=ROOM)
    alice.user.say("for the lab, too")
    assert [at for at, _ref in posts(alice)] == [AT]
    assert [text for text, _ in alice.handed_back()] == ["for the lab", "for the lab, too"]
    alice.user.go(ROOM, None)
    alice.user.say("for the den")
    assert [at for at, _ref in posts(alice)] == [AT]


def test_after_a_room_was_left_lines_go_to_the_one_that_is_shown_then_and_to_no_third() -> None:
    den = joined()
    alice = den["alice"]
    alice.user.join("attic", None)
    alice.hears(*den.entering(alice, ref=2, room="attic", at=3, log=b"log of the attic"))
    alice.hears(frames.Accepted(2))
    alice.user.leave(None)
    alice.user.say("for the lab")
    assert [at for at, _ref in posts(alice)] == [LAB_AT]
    back(den)
    alice.hears(goes_on(den), frames.Refused("gone", room=LAB))
    alice.user.say("for the lab, too")
    assert [text for text, _ in alice.handed_back()][-1:] == ["for the lab, too"]


def test_views_of_people_have_a_bound_and_the_unread_go_last() -> None:
    views = ViewList(ROOM)
    for number in range(PEOPLE):
        views.meet(f"p{number}", bytes([number]), "new", wrote=number == 0)
    views.show(views.all()[2])  # of p1
    views.meet("another", b"another", "new")
    names = [view.name for view in views.all()]
    assert len(names) == 1 + PEOPLE
    assert "@p0" in names and "@p1" in names and "@p2" not in names


def test_views_are_told_again_when_only_what_there_is_to_see_of_them_has_changed() -> None:
    views = ViewList(ROOM)
    views.start(ROOM)
    views.meet("bob", b"bob", "new")
    assert len(views.news()) == 1 and views.news() == []
    changes: list[Callable[[], object]] = [
        partial(views.take_rooms, [room_target(ROOM, guarded=True)]),
        partial(views.meet, "rob", b"bob", "new"),
        partial(views.meet, "rob", b"bob", "known"),
        partial(views.judge, {}),
    ]
    for change in changes:
        change()
        assert [type(each) for each in views.news()] == [events.Views] and views.news() == []


def test_nobody_is_renamed_twice_in_the_eyes_of_others_rooms() -> None:
    """One's own rename comes once in each room, each in its own time."""
    den = joined()
    alice = den["alice"]
    alice.user.rename("anna")
    (asked,) = alice.sent()
    assert isinstance(asked, frames.Nick)
    alice.hears(frames.Accepted(asked.ref, den.seq + 1))
    assert alice.session.outbox.empty and alice.session.awaited().what == "place"
    for at in (LAB_AT, AT):
        alice.hears(frames.Log(at, den.seq + 1, (frames.Renamed(den.seq + 1, alice.id, "anna"),)))
    assert [(each.room, each.own) for each in alice.all(events.MemberRenamed)] == [
        (LAB, True), (ROOM, True),
    ]  # fmt: skip
    assert alice.warned() == [] and alice.session.nick == "anna"
