"""What a server may call a client, and what it is told of anything else."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest

from client import events
from client.own_name import Misnamed, OwnName
from protocol import frames
from protocol.link import ServerLink
from tests.malicious import (
    AT,
    LOG,
    OTHER_LOG,
    PRS,
    ROOM,
    Den,
    Person,
    connected,
    prove,
    stay,
    welcome,
)
from tests.processes import Client, Server
from transport.websocket import WebSocket

LIES = [
    "", "bob", "Alice", "alice2", "alice.", "server", "two words", "a" * 33, "al\x1bice", "\ud800",
    "аlice",  # with a Cyrillic letter
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=ascii)
def test_welcome_grants_the_nickname_that_was_asked_for(lie: str) -> None:
    person = Person("alice")
    person.session.stays_to_join()
    with pytest.raises(Misnamed):
        person.session.welcome(welcome(lie), "alice")
    assert person.session.nick == "alice"
    person.session.welcome(welcome("alice"), "alice")


def test_a_nickname_comes_back_in_its_composed_form() -> None:
    spelt = unicodedata.normalize("NFD", "zoë")
    own = OwnName(spelt)
    own.granted("zoë", spelt)
    assert own.nick == "zoë" != spelt


def test_letters_that_this_program_does_not_know_are_its_owners_business() -> None:
    """The server's Unicode may be newer; nobody else is given such a name here."""
    unknown = "a\U0010fffe"  # never a letter
    own = OwnName(unknown)
    own.granted(unknown, unknown)
    own.ask(1, unknown + "b")
    assert own.renamed(unknown + "b", 0) == 1
    with pytest.raises(Misnamed):
        own.renamed(unknown + "c", 1)


def test_a_nickname_tried_in_the_place_of_ones_own_may_be_granted() -> None:
    """It was taken meanwhile; where the old place is still there, so is the old name."""
    for granted in ("alice-2", "alice"):
        own = OwnName("alice")
        own.granted(granted, "alice-2")
        assert own.nick == granted
    with pytest.raises(Misnamed):
        OwnName("alice").granted("alice-3", "alice-2")


def test_a_token_brings_a_nickname_and_keeps_it() -> None:
    own = OwnName("")
    for lie in ("", "server", "two words"):
        with pytest.raises(Misnamed):
            own.granted(lie, "")
    own.granted("alice", "")
    with pytest.raises(Misnamed):
        own.granted("bob", "alice")
    own.granted("alice", "alice")


def test_what_was_asked_for_may_come_true_once_and_in_its_order() -> None:
    own = OwnName("alice")
    own.ask(1, "anna")
    own.ask(2, "anne")
    own.ask(3, "ann")
    own.refused(3)
    assert own.renamed("anne", 0) == 2
    assert own.renamed("anne", 2) == 2, "that is no change"
    for unasked in ("anna", "ann", "alice"):
        assert own.renamed(unasked, 2) is None


def test_each_room_tells_of_ones_renames_in_its_own_time() -> None:
    own = OwnName("alice")
    own.ask(1, "anna")
    own.ask(2, "anne")
    assert (own.renamed("anna", 0), own.renamed("anne", 1)) == (1, 2)
    assert own.renamed("anna", 0) == 1 and own.nick == "anne"  # in the other room
    assert own.renamed("anne", 1) == 2
    assert own.found("anna") == 1 and own.found("alice") == 0 and own.nick == "anne"
    assert own.found("mallory") is None
    own.begin()
    assert own.renamed("anna", 0) is None


def test_an_old_session_may_have_what_was_asked_for() -> None:
    """The connection broke before the log had told of it; a new session has nothing of that."""
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.rename("anna")
    alice.session.lose()
    alice.session.stays_to_join()
    alice.session.welcome(welcome("anna", resumed=True), "alice")
    alice.hears(frames.Entered(AT, ROOM, LOG, alice.id, den.seq, 0, True, 0))
    den.log(alice, frames.Renamed(den.next(), alice.id, "anna"))
    assert alice.warned() == [] and alice.session.nick == "anna"
    alice.user.rename("ann")
    den.lines["alice"] = replace(den.lines["alice"], nick="anna")
    den.enter(alice, log=OTHER_LOG)
    alice.session.lose()
    with pytest.raises(Misnamed):
        alice.session.welcome(welcome("ann"), "anna")


def test_a_rename_that_was_asked_for_is_no_lie() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.rename("anna")
    (asked,) = alice.sent()
    assert isinstance(asked, frames.Nick)
    alice.hears(frames.Accepted(asked.ref, den.next()))
    den.tell_all(frames.Renamed(den.seq, alice.id, "anna"))
    assert alice.warned() == [] and alice.session.nick == "anna"
    den.talk("bob")


def test_a_rename_after_a_refusal_is_one() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.rename("anna")
    (asked,) = alice.sent()
    assert isinstance(asked, frames.Nick)
    alice.hears(frames.Refused("nick_taken", asked.ref))
    den.tell_all(frames.Renamed(den.next(), alice.id, "anna"))
    assert alice.warned() == [("renamed", "anna")]


def test_a_rename_while_behind_is_told_as_well() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    roster = [replace(den.lines["alice"], nick="mallory"), den.lines["bob"]]
    alice.hears(*den.entering(alice, roster, seq=den.next()))
    assert [event.nick for event in alice.all(events.MemberRenamed)] == ["mallory"]
    assert alice.warned() == [("renamed", "mallory")]


@pytest.mark.parametrize("lie", ["", "server", "two words", "al\x1bice"], ids=ascii)
def test_nobody_is_renamed_to_what_is_no_nickname(lie: str) -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    with pytest.raises(Misnamed):
        den.log(alice, frames.Renamed(den.next(), alice.id, lie))
    assert alice.session.nick == "alice" and alice.all(events.MemberRenamed) == []


def test_a_false_welcome_ends_a_client_with_its_reason() -> None:
    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, PRS)
        peer.send(link.seal([welcome("bob").encode(), *stay()[1:]]))
        peer.receive(1.0)

    connection, shown = connected(script)
    assert (connection.outcome.kind, connection.outcome.reason) == ("lost", "misnamed")
    assert not connection.joined and shown == []


def test_an_honest_server_is_never_taken_for_a_liar() -> None:
    """Renames that are asked for, refused, and asked for again before their answers come."""
    with Server() as server, Client(server, "alice") as alice, Client(server, "bob"):
        alice.say("/nick anna", "/nick bob", "/nick server", "/nick anna", "/nick Anna", "/nick an")
        alice.next("renamed", nick="an")
        alice.say("done")
        alice.hears("done")
        assert alice.all("warning") == [] and len(alice.all("error")) == 2
