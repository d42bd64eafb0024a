"""What the session does with lines that come back."""

from __future__ import annotations

from client import events
from protocol import frames
from protocol.frames import MemberLine
from tests.malicious import OTHER_LOG, Den, bundle


def refused_whisper() -> Den:
    """Alice has whispered to bob, and was refused; then bob left."""
    den = Den("alice", "bob")
    private = den.say_private("alice", "bob", "psst")
    den["alice"].hears(frames.Refused("rate_limited", private.frame.ref, retry_after=1.0))
    den.leave("bob")
    return den


def test_a_private_line_sent_again_reaches_the_same_keys() -> None:
    """They came back, as another member."""
    den = refused_whisper()
    den.join("bob")
    den["alice"].session.resend()
    (again,) = den["alice"].sent()
    assert isinstance(again, frames.Private) and again.wrap.to == den["bob"].id


def test_a_private_line_sent_again_never_reaches_the_nicknames_next_owner() -> None:
    """It was for somebody's keys; who has the nickname now has others."""
    den = refused_whisper()
    alice = den["alice"]
    other = MemberLine(den.new_id(), "bob", den.next(), bundle("eve"))
    den.log(alice, frames.Joined(den.seq, other))
    alice.session.resend()
    assert alice.sent() == []
    assert alice.handed_back() == [("psst", "rate_limited"), ("psst", "gone")]


def test_what_was_asked_of_a_server_that_is_gone_is_answered_all_the_same() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.session.rename("anna")
    alice.session.rooms()
    alice.session.lose()
    den.enter(alice, list(den.lines.values()), log=OTHER_LOG)
    assert [error.code for error in alice.all(events.Error)] == ["disconnected"] * 2
    assert alice.sent() == []
