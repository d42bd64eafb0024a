"""What the session does with lines that come back."""

from __future__ import annotations

import threading

import pytest

from client import events, open_room, session
from client.outbox import MAX_QUEUED, Line
from protocol import frames
from protocol.errors import Unexpected
from protocol.frames import MemberLine
from tests.malicious import AT, OTHER_LOG, Den, Said, bundle, welcome


def refused_whisper() -> Den:
    """Alice has whispered to bob, and was refused; then bob left."""
    den = Den("alice", "bob")
    private = den.say_private("alice", "bob", "psst")
    den["alice"].hears(frames.Refused("too_long", private.frame.ref))
    den.leave("bob")
    return den


def test_a_private_line_sent_again_reaches_the_same_keys() -> None:
    """They came back, as another member."""
    den = refused_whisper()
    den.join("bob")
    den["alice"].user.resend()
    (again,) = den["alice"].sent()
    assert isinstance(again, frames.Private) and again.wrap.to == den["bob"].id


def test_a_private_line_sent_again_never_reaches_the_nicknames_next_owner() -> None:
    """It was for somebody's keys; who has the nickname now has others."""
    den = refused_whisper()
    alice = den["alice"]
    other = MemberLine(den.new_id(), "bob", den.next(), bundle("eve"))
    den.log(alice, frames.Joined(den.seq, other))
    alice.user.resend()
    assert alice.sent() == []
    assert alice.handed_back() == [("psst", "too_long"), ("psst", "other_keys")]


@pytest.mark.parametrize(
    ("nick", "told"),
    [("bob", "looks like bob, which"), ("e\u0301ve", "looks like \u00e9ve, which"),
     (None, "has that nickname"), ("", "has that nickname"), ("server", "has that nickname"),
     ("b\x1b[2Jb", "has that nickname"), ("bob; call 555", "has that nickname")],
)  # fmt: skip
def test_whom_a_nickname_resembles_is_only_said_if_it_can_be_one(
    nick: str | None, told: str
) -> None:
    alice = Den("alice", "bob")["alice"]
    alice.user.rename("b0b")
    (asked,) = alice.sent()
    assert isinstance(asked, frames.Nick)
    alice.hears(frames.Refused("nick_taken", asked.ref, nick=nick))
    (error,) = alice.all(events.Error)
    assert error.code == "nick_taken" and told in error.text


def test_what_was_asked_of_a_server_that_is_gone_is_answered_all_the_same() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.rename("anna")
    alice.user.rooms()
    alice.session.lose()
    den.enter(alice, list(den.lines.values()), log=OTHER_LOG)
    assert [error.code for error in alice.all(events.Error)] == ["disconnected"] * 2
    assert alice.sent() == []


def test_lines_that_have_to_be_sealed_anew_keep_their_order() -> None:
    """What was typed after them waits, and goes out after them."""
    den = Den("alice", "bob")
    alice = den["alice"]
    first, second = (den.say("alice", text) for text in ("one", "two"))
    den.join("carol")
    alice.user.say("three")
    assert alice.sent() == []  # it could be taken before the others
    alice.hears(frames.Refused("stale", first.ref))
    assert alice.sent() == []  # so could this one
    alice.hears(frames.Refused("stale", second.ref))
    refs = [frame.ref for frame in alice.sent() if isinstance(frame, frames.Post)]
    assert len(refs) == 3
    for seq, ref in enumerate(refs, den.seq + 1):
        alice.hears(frames.Accepted(ref, seq), frames.Log(AT, seq, (frames.OwnPosted(seq, ref),)))
    assert alice.own() == ["one", "two", "three"]


def test_lines_that_are_sealed_anew_more_than_once_keep_their_order() -> None:
    """An answer comes before the change that it is about: so the first try may be in vain."""
    den = Den("alice", "bob")
    alice = den["alice"]
    first, second = (den.say("alice", text) for text in ("one", "two"))
    alice.hears(frames.Refused("stale", first.ref))
    (again,) = alice.sent()
    assert isinstance(again, frames.Post)
    den.join("carol")
    alice.hears(frames.Refused("stale", second.ref))
    assert alice.sent() == []
    alice.hears(frames.Refused("stale", again.ref))
    assert alice.sent() == []  # a second time: it waits a moment, and the other one with it
    alice.waits(0.1)
    refs = [frame.ref for frame in alice.sent() if isinstance(frame, frames.Post)]
    for seq, ref in enumerate(refs, den.seq + 1):
        alice.hears(frames.Accepted(ref, seq), frames.Log(AT, seq, (frames.OwnPosted(seq, ref),)))
    assert alice.own() == ["one", "two"]


def test_lines_that_wait_to_be_sealed_anew_are_handed_back_in_order() -> None:
    """With those that are still under way, and those that were never sealed."""
    den = Den("alice", "bob")
    alice = den["alice"]
    first, _ = (den.say("alice", text) for text in ("one", "two"))
    den.join("carol")
    alice.hears(frames.Refused("stale", first.ref))
    alice.user.say("three")
    alice.session.give_up("disconnected")
    assert [text for text, _ in alice.handed_back()] == ["one", "two", "three"]


def test_while_a_rooms_secret_is_still_being_stretched_nothing_else_waits() -> None:
    """Whoever types, and whoever looks whether the server answers, need the session's lock."""
    asked, made = threading.Event(), threading.Event()

    def salt() -> bytes:
        asked.set()
        assert made.wait(20)
        return b"salt" * 8

    den = Den("alice", "bob")
    alice = den["alice"]
    alice.session.secrets.give("den", "hunter2", salt)
    alice.session.lose()
    alice.session.stays_to_join()
    alice.session.welcome(welcome("alice"))
    thread = threading.Thread(target=alice.hears, args=den.entering(alice, seq=den.next()))
    thread.start()
    try:
        assert asked.wait(20)
        assert alice.session._lock.acquire(timeout=10)
        alice.session._lock.release()
    finally:
        made.set()
        thread.join(20)
    assert not thread.is_alive()
    assert alice.session.rooms.live


def test_a_room_that_is_wanted_while_another_one_is_being_entered() -> None:
    """After a lost connection, between what the handshake asks for and its answer."""
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.session.lose()
    assert [stay.room for stay in alice.session.stays_to_join()] == ["den"]
    alice.user.go("attic", None)
    alice.user.say("for the attic")
    alice.session.welcome(welcome("alice"))
    alice.hears(*den.entering(alice, seq=den.next()))
    (enter,) = alice.sent()
    assert isinstance(enter, frames.Enter) and enter.room == alice.session.room == "attic"
    assert enter.leave == AT and alice.handed_back() == []


def test_an_answer_that_comes_after_falling_behind_shows_the_line() -> None:
    """Its place in the log has been passed over, so nothing else would."""
    den = Den("alice", "bob")
    alice = den["alice"]
    said = den.say("alice", "hello")
    seq = den.next()
    alice.hears(*den.entering(alice, seq=den.next()))
    assert alice.own() == []
    alice.hears(frames.Accepted(said.ref, seq))
    assert alice.own() == ["hello"]
    assert alice.session.wait_answered(0)


def answered_at_once() -> tuple[Den, Said]:
    """A post, a whisper and a post that is refused: all answered before the log has the first."""
    den = Den("alice", "bob")
    alice = den["alice"]
    first = den.say("alice", "one")
    whisper = den.say_private("alice", "bob", "two")
    third = den.say("alice", "three")
    alice.hears(
        frames.Accepted(first.ref, den.seq + 1),
        frames.Accepted(whisper.frame.ref),
        frames.Refused("too_long", third.ref),
    )
    assert alice.own() == [] and alice.handed_back() == []
    return den, first


def test_own_lines_are_shown_in_the_order_in_which_they_were_typed() -> None:
    """Whichever way their answers come: one that is in no log waits for those before it."""
    den, first = answered_at_once()
    alice = den["alice"]
    seq = den.next()
    alice.hears(frames.Log(AT, seq, (frames.OwnPosted(seq, first.ref),)))
    shown = [each for each in alice.events if isinstance(each, events.Message | events.NotSent)]
    assert [each.text for each in shown] == ["one", "two", "three"]
    assert isinstance(shown[2], events.NotSent) and alice.session.wait_answered(0)


def test_what_was_answered_is_told_when_the_place_is_lost() -> None:
    """Nothing more comes of the old log: each line ends as it was answered."""
    den, _ = answered_at_once()
    alice = den["alice"]
    den.enter(alice, list(den.lines.values()), log=OTHER_LOG)
    assert alice.own() == ["one", "two"]
    assert alice.handed_back() == [("three", "too_long")]


def test_what_was_answered_is_told_when_the_chat_ends() -> None:
    """The whisper has reached bob, the third line nobody; whether the first was shown to anybody,
    only a server knows that has not said so."""
    den, _ = answered_at_once()
    alice = den["alice"]
    assert alice.session.give_up("disconnected") == 1
    assert alice.own() == ["two"]
    assert alice.handed_back() == [("three", "too_long"), ("one", "timed_out")]
    assert alice.session.outbox.refused == 2


def test_a_refused_line_that_the_log_has_all_the_same_is_a_lie() -> None:
    den, first = answered_at_once()
    alice = den["alice"]
    seq = den.next()
    third = first.ref + 2
    lie = frames.Log(AT, seq, (frames.OwnPosted(seq, third),))
    with pytest.raises(Unexpected):
        alice.hears(lie)


def test_every_frame_of_a_servers_has_a_handler() -> None:
    """Those of the log, too.  `welcome` and `bye` are the connection's own."""
    assert session.HANDLERS.keys() == {*frames.SERVER_FRAMES.values()} - {
        frames.Welcome,
        frames.Bye,
    }
    alone = {frames.KeyFor, frames.PrivateFor}
    assert open_room.HANDLERS.keys() == {*frames.LOG_ENTRIES.values(), *alone}


# The server's limit


def limited(limit: int = 2, window: float = 60.0) -> Den:
    """Alice's server takes so many lines in a window, and said so when it let her in."""
    den = Den("alice", "bob")
    den["alice"].session.outbox.pacing.allow(limit, window)
    return den


def accept(den: Den, *said: Said) -> None:
    for each in said:
        seq = den.next()
        den["alice"].hears(
            frames.Accepted(each.ref, seq), frames.Log(AT, seq, (frames.OwnPosted(seq, each.ref),))
        )


def waits(den: Den) -> list[tuple[int, float]]:
    return [(each.lines, each.seconds) for each in den["alice"].all(events.LinesWaiting)]


def test_lines_beyond_the_limit_are_not_sent_and_go_when_their_time_has_come() -> None:
    den = limited()
    alice = den["alice"]
    first, second = den.say("alice", "one"), den.say("alice", "two")
    alice.user.say("three")
    alice.user.say("four")
    assert alice.sent() == [] and waits(den) == []  # it may be that an answer is all it needs
    accept(den, first, second)
    assert alice.sent() == [] and waits(den) == [(2, 60.0)]
    assert alice.session.paused_until() == alice.now + 60.0
    alice.now += 60.0
    alice.session.go_on()
    assert len(alice.sent()) == 2 and waits(den)[-1] == (0, 0.0)
    assert alice.own() == ["one", "two"] and alice.handed_back() == []


@pytest.mark.parametrize("kept", [True, False])
def test_who_leaves_a_room_is_told_of_lines_that_have_to_go_before(kept: bool) -> None:
    den = limited(1)
    alice = den["alice"]
    accept(den, den.say("alice", "one"))
    alice.user.join("lab", None)
    if kept:
        alice.user.say("two")
    alice.forget()
    alice.user.leave("lab" if kept else "den")
    assert waits(den) == ([(1, 60.0)] if kept else [])


@pytest.mark.parametrize("code", ["rate_limited", "address_limited"])
def test_a_line_that_is_over_the_limit_all_the_same_goes_again_in_its_place(code: str) -> None:
    """Others of the same address may have used it up."""
    den = limited(10)
    alice = den["alice"]
    first = den.say("alice", "one")
    alice.user.say("two")
    (second,) = alice.sent()
    assert isinstance(second, frames.Post)
    alice.hears(
        frames.Refused(code, first.ref, retry_after=4.0),
        frames.Refused(code, second.ref, retry_after=4.0),
    )
    assert alice.handed_back() == [] and waits(den)[-1] == (2, 4.0)
    alice.now += 4.0
    alice.session.go_on()
    again = alice.sent()
    assert [type(each) for each in again] == [frames.Post, frames.Post]
    assert waits(den)[-1] == (0, 0.0)


def test_a_line_that_is_over_the_limit_without_end_is_handed_back() -> None:
    """Each time it waits longer than before, whatever the server says of it."""
    den = limited(1000)
    alice = den["alice"]
    said, pauses = den.say("alice", "one"), []
    while True:
        alice.hears(frames.Refused("rate_limited", said.ref, retry_after=0.0))
        if alice.handed_back():
            break
        pauses.append(round((alice.session.paused_until() or alice.now) - alice.now, 6))
        alice.waits(pauses[-1] + 0.001)
        said = den.taken(alice, "one")
    assert alice.handed_back() == [("one", "rate_limited")]
    assert pauses == sorted(pauses) and len(pauses) == 20 and 300.0 < sum(pauses) < 900.0


def test_lines_that_wait_can_be_dropped_and_had_back_the_oldest_first() -> None:
    den = limited(1)
    alice = den["alice"]
    accept(den, den.say("alice", "one"))
    for text in ("two", "three", "four"):
        alice.user.say(text)
    alice.user.drop()
    dropped = [("two", "dropped"), ("three", "dropped"), ("four", "dropped")]
    assert alice.handed_back() == dropped and waits(den)[-1] == (0, 0.0)
    alice.user.drop()  # Esc is pressed for nothing, too
    assert alice.handed_back() == dropped
    alice.user.resend()
    assert waits(den)[-1][0] == 1
    alice.user.resend(everything=True)
    assert waits(den)[-1][0] == 3
    texts = [line.text for line in alice.session.outbox.queued if isinstance(line, Line)]
    assert texts == ["two", "three", "four"]


def test_more_lines_than_may_wait_are_handed_back() -> None:
    den = limited(1)
    alice = den["alice"]
    accept(den, den.say("alice", "one"))
    for number in range(MAX_QUEUED + 1):
        alice.user.say(str(number))
    assert alice.handed_back() == [(str(MAX_QUEUED), "too_many")]
    assert not alice.session.wait_capacity(0)
