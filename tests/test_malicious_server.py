"""What a lying server can do: each lie is told to real clients, and is named or of no use.

``docs/THREATS.md`` lists these cases; ``tests/test_threats_doc.py`` compares the two.  Beneath
most of them lie tests of the room layer alone, in ``tests/test_room_encryption.py``.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from client import events
from client.encryption import envelope, safety_numbers
from client.encryption.envelope import Body
from client.encryption.sender_keys import ROOM_AUDIENCE, Context, SenderChain
from client.own_name import Misnamed
from protocol import codec, frames, keys
from protocol.errors import AuthFailed, ChatError, KeyUnusable, Unexpected
from protocol.frames import SERVER_FRAMES, Box, MemberLine, Wrap
from protocol.keys import WRAP_BYTES, Bundle
from protocol.limits import COUNTER_MAX, ROOM_MEMBERS
from protocol.link import ServerLink
from protocol.names import room_key
from tests.malicious import (
    AT,
    LOG,
    OTHER_LOG,
    PRS,
    ROOM,
    Den,
    Person,
    Said,
    bundle,
    connected,
    identity,
    prove,
    received,
    signed_by,
    stay,
    welcome,
)
from transport.websocket import WebSocket

scrypt = functools.cache(keys.scrypt)


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a tenth of a second is worked out once, with the same result as ever."""
    monkeypatch.setattr(safety_numbers, "scrypt", scrypt)


def place(sender: str, log: bytes = LOG) -> Context:
    return Context(room_key(ROOM), log, ROOM_AUDIENCE, identity(sender).fingerprint)


def opened_by(reader: str, said: Said, salt: bytes = b"") -> str | None:
    """The text, if the holder of these keys was given the key of ``said`` and can use it.

    What a server does that has made ``reader`` itself: it goes around the client.
    """
    where = place(said.sender.name)
    for wrap in said.wraps:
        info = where.wrap_info(identity(reader).fingerprint, wrap.epoch, wrap.n)
        try:
            chain = SenderChain(wrap.epoch, wrap.n, identity(reader).unwrap(wrap.wrapped, info))
        except KeyUnusable:
            continue
        plain = envelope.unseal(said.box.data, chain.at(said.box.n), where, salt)
        if plain is not None:
            return Body.decode(plain).text
    return None


def own(said: Said, seq: int) -> frames.OwnPosted:
    """What the sender of a line sees in its place."""
    return frames.OwnPosted(seq, said.ref)


def unloadable(name: str) -> Bundle:
    """A bundle whose RSA key does not load: an even modulus."""
    recipient = replace(bundle(name).recipient, rsa=b"\x80" + bytes(255))
    return signed_by(identity(name), recipient)


# Whom it says to be here


def test_bundles_swapped_at_the_start_change_the_code() -> None:
    """Alice is given keys of the server's own as Bob's, and has compared nothing yet."""
    den = Den("bob", "carol")
    false = replace(den.lines["bob"], bundle=bundle("mallory"))
    alice = MemberLine(3, "alice", 3, bundle("alice"))
    den.join("alice", [false, den.lines["carol"], alice])
    assert den["alice"].code_with("bob") != den["bob"].code_with("alice")
    assert den["alice"].code() != den["bob"].code() == den["carol"].code()

    said = den.say("alice", "for bob")
    assert opened_by("mallory", said) == "for bob"  # so codes have to be compared, or a secret set
    den.post(said)
    assert den["bob"].heard() == [] and ("bad_wrap", "alice") in den["bob"].warned()
    assert den["bob"].unreadable() == [("alice", "no_key")]
    assert den["carol"].heard() == [("alice", "for bob")]
    assert den["carol"].warned() == [("transcript", "alice")]

    den.post(den.say("bob", "the real one"))
    assert den["alice"].unreadable() == [("bob", "name")]
    assert den["alice"].warned() == [("bad_wrap", "bob"), ("forged", "bob")]
    den.talk("bob", "carol")


@pytest.mark.parametrize("verified", [False, True])
def test_bundles_swapped_later_are_announced(verified: bool) -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    if verified:
        alice.verifies("bob")
    before = alice.code()
    false = replace(den.lines["bob"], id=den.new_id(), bundle=bundle("mallory"))
    den.seq += 2
    den.log(alice, frames.Left(den.seq - 1, den["bob"].id), frames.Joined(den.seq, false))
    assert alice.warned() == [("other_keys", "bob")]
    assert alice.code() != before
    assert ("ATTENTION" in alice.all(events.Warning)[0].text) == verified


def test_a_bundle_swapped_between_comparing_and_confirming_is_not_verified() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.code_with("bob")
    false = replace(den.lines["bob"], id=den.new_id(), bundle=bundle("mallory"))
    den.seq += 2
    den.log(alice, frames.Left(den.seq - 1, den["bob"].id), frames.Joined(den.seq, false))
    alice.user.verify("bob", confirm=True)
    assert [event.code for event in alice.all(events.Error)] == ["not_compared"]
    assert alice.all(events.NickVerified) == []


def test_nicknames_swapped_between_bundles_are_named() -> None:
    """Bob and Carol stay who they are; Alice is shown each under the other's name."""
    den = Den("bob", "carol")
    bob, carol = den.lines["bob"], den.lines["carol"]
    swapped = [replace(bob, nick="carol"), replace(carol, nick="bob")]
    den.join("alice", [*swapped, MemberLine(3, "alice", 3, bundle("alice"))])
    alice = den["alice"]
    den.post(den.say("bob", "I am bob"))
    assert alice.unreadable() == [("carol", "name")] and alice.heard() == []
    assert alice.warned() == [("forged", "carol")]
    assert alice.code() != den["bob"].code() == den["carol"].code()
    den.talk("bob", "carol")


def test_nicknames_swapped_later_are_named() -> None:
    den = Den("alice", "bob", "carol")
    alice = den["alice"]
    alice.verifies("bob", "carol")
    den.seq += 3
    bob, carol = den["bob"].id, den["carol"].id
    den.log(
        alice,
        frames.Renamed(den.seq - 2, bob, "x"),
        frames.Renamed(den.seq - 1, carol, "bob"),
        frames.Renamed(den.seq, bob, "carol"),
    )
    assert alice.warned() == [("other_keys", "bob"), ("other_keys", "carol")]
    shown = [(event.old, event.nick) for event in alice.all(events.MemberRenamed)]
    assert shown == [("bob", "x"), ("carol", "bob"), ("x", "carol")]
    den.talk("bob", "carol")


def test_a_ghost_for_all_changes_the_code_and_is_announced() -> None:
    den = Den("alice", "bob")
    alice, bob = den["alice"], den["bob"]
    alice.verifies("bob")
    before = alice.code()
    assert before == bob.code()
    den.join("mallory")
    assert alice.warned() == [("unverified_member", "mallory")]
    assert [event.nick for event in alice.all(events.MemberJoined)] == ["bob", "mallory"]
    assert alice.members() == ["alice", "bob", "mallory"]
    assert before != alice.code() == bob.code()
    assert opened_by("mallory", den.say("bob", "hello all")) == "hello all"


def test_a_ghost_cannot_read_a_room_with_a_secret_nor_write_in_it() -> None:
    den = Den("alice", "bob", secrets={"alice": "strong", "bob": "strong"})
    den.join("mallory")
    den.post(den.say("alice", "between us"))
    assert den["bob"].heard() == [("alice", "between us")]
    assert den["mallory"].unreadable() == [("alice", "secret")]
    den.post(den.say("mallory", "trust me"))
    for name in ("alice", "bob"):
        assert den[name].unreadable() == [("mallory", "secret")]
    private = den.say_private("alice", "mallory", "psst")
    den.private(den["mallory"], private)
    assert den["mallory"].unreadable()[1:] == [("alice", "secret")]
    den.talk("alice", "bob")


def test_a_ghost_for_one_sender_is_named_by_the_next_reader() -> None:
    """Alice alone is shown Mallory among the members, and seals for her."""
    den = Den("bob", "carol")
    ghost = MemberLine(9, "mallory", 1, bundle("mallory"))
    alice = MemberLine(3, "alice", 3, bundle("alice"))
    den.join("alice", [*den.lines.values(), ghost, alice])
    den.post(den.say("alice", "hello"))
    for name in ("bob", "carol"):
        assert den[name].heard() == [("alice", "hello")]
        assert den[name].warned() == [("transcript", "alice")]
    den.post(den.say("bob", "what is it"))
    assert den["alice"].warned() == [("transcript", "bob")]
    den.talk("bob", "carol", "alice")


def test_a_ghost_that_joins_for_one_sender_is_named() -> None:
    """Alice signs for a change of membership that the others have never seen."""
    den = Den("alice", "bob", "carol")
    ghost = MemberLine(den.new_id(), "mallory", den.next(), bundle("mallory"))
    den.log(den["alice"], frames.Joined(den.seq, ghost))
    den.post(den.say("alice", "hello"))
    for name in ("bob", "carol"):
        assert den[name].unreadable() == [("alice", "name")]
        assert den[name].warned() == [("transcript", "alice")]
    den.talk("bob", "carol")


def test_an_old_roster_for_a_newcomer_is_named() -> None:
    """Carol is not told that Dave has left, and seals for him."""
    den = Den("alice", "bob", "dave")
    dave = den.lines["dave"]
    den.leave("dave")
    carol = MemberLine(4, "carol", den.seq + 1, bundle("carol"))
    den.join("carol", [*den.lines.values(), dave, carol])
    said = den.say("carol", "hello")
    assert opened_by("dave", said) == "hello"
    den.post(said)
    assert den["alice"].warned() == den["bob"].warned() == [("transcript", "carol")]
    assert den["carol"].code() != den["alice"].code() == den["bob"].code()
    den.talk("alice", "bob", "carol")


def test_a_roster_of_the_past_for_somebody_who_comes_back_is_named() -> None:
    """A log that went back: Alice has seen more of it already."""
    den = Den("alice", "bob")
    past, number = list(den.lines.values()), den.seq
    den.join("carol")
    den["alice"].forget()
    den.enter(den["alice"], past, seq=number)
    assert ("bad_roster", None) in den["alice"].warned()
    den.talk("bob", "carol")


def doubled(lines: dict[str, MemberLine]) -> list[tuple[str | None, list[MemberLine]]]:
    """Rosters that cannot be, and who is named for it; Alice reads them."""
    alice, bob, carol = lines["alice"], lines["bob"], lines["carol"]
    return [
        (None, [bob, carol]),
        ("alice", [alice, alice, bob]),
        ("alice", [replace(alice, bundle=bundle("mallory")), bob]),
        ("bob", [alice, bob, bob]),
        ("BOB", [alice, bob, replace(carol, nick="BOB")]),
        ("carol", [alice, bob, replace(carol, bundle=bundle("bob"))]),
        ("bob", [alice, replace(bob, bundle=bundle("alice"))]),
        ("carol", [alice, bob, replace(carol, id=bob.id)]),
        ("bob", [alice, replace(bob, joined=99)]),
    ]


@pytest.mark.parametrize("case", range(9))
def test_a_roster_that_contradicts_itself_is_named(case: int) -> None:
    den = Den("alice", "bob", "carol")
    nick, roster = doubled(den.lines)[case]
    den["alice"].forget()
    den.enter(den["alice"], roster, log=OTHER_LOG)
    assert den["alice"].warned() == [("bad_roster", nick)]
    den.talk("bob", "carol")


def test_another_own_nickname_than_the_one_granted_is_named() -> None:
    """Alice would sign as Bob, without knowing it."""
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.forget()
    roster = [replace(den.lines["alice"], nick="bob"), replace(den.lines["bob"], nick="alice")]
    den.enter(alice, roster, log=OTHER_LOG)
    assert ("bad_roster", "bob") in alice.warned()
    assert alice.session.nick == "bob"  # what is shown as one's own is what is signed with


def test_other_keys_beside_a_persons_get_nothing_to_read() -> None:
    """The server has Mallory's keys, and Bob's name for them: his signing key."""
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.verifies("bob")
    mixed = replace(bundle("bob"), recipient=bundle("mallory").recipient)
    den.seq += 2
    joined = frames.Joined(den.seq, MemberLine(den.new_id(), "bob", den.seq, mixed))
    den.log(alice, frames.Left(den.seq - 1, den["bob"].id), joined)
    assert alice.warned() == [("bad_bundle", "bob")]
    alice.members()
    views = alice.all(events.MemberList)[-1].members
    assert [(one.nick, one.verified) for one in views] == [("alice", True), ("bob", False)]
    said = den.say("alice", "for nobody")
    assert said.wraps == () and opened_by("mallory", said) is None


def test_a_start_that_is_over_does_not_come_back() -> None:
    """Bob's signing key lasts; the server has the other keys of a start of his that is over."""
    den = Den("alice")
    alice = den["alice"]
    old = signed_by(identity("bob"), bundle("mallory").recipient, 7, 7)
    later = signed_by(identity("bob"), bundle("bob").recipient, 8, 8)
    for each in (later, old):
        member = MemberLine(den.new_id(), "bob", den.next(), each)
        den.log(alice, frames.Joined(den.seq, member))
        if each is later:
            den.log(alice, frames.Left(den.next(), member.id))
    assert alice.warned() == [("old_run", "bob")]
    said = den.say("alice", "for nobody")
    assert said.wraps == () and opened_by("mallory", said) is None


def test_a_bundle_that_does_not_load_stops_nobody() -> None:
    den = Den("alice", "bob")
    bad = MemberLine(den.new_id(), "mallory", den.next(), unloadable("mallory"))
    den.tell_all(frames.Joined(den.seq, bad))
    den.talk("alice", "bob")
    assert den["alice"].warned() == den["bob"].warned() == [("bad_bundle", "mallory")]
    den["alice"].user.private("mallory", "psst")
    assert den["alice"].handed_back() == [("psst", "gone")]
    assert den["alice"].sent() == []


# What it says that members do


def test_an_invented_rejoined_gains_nothing() -> None:
    """Bob is given the key again, under the keys that he had, and from the next number on."""
    den = Den("alice", "bob", "carol")
    first = den.say("alice", "before")
    den.post(first)
    den.log(den["alice"], frames.Rejoined(den.next(), den["bob"].id))
    said = den.say("alice", "after")
    assert [(wrap.to, wrap.n) for wrap in said.wraps] == [(den["bob"].id, first.box.n + 1)]
    assert opened_by("mallory", said) is None
    # What it does show is that Alice has seen another history.
    den.post(said)
    assert den["carol"].unreadable() == [("alice", "name")]
    assert den["carol"].warned() == [("transcript", "alice")]
    den.talk("bob", "carol")


def test_an_invented_rejoined_for_all_gains_nothing() -> None:
    den = Den("alice", "bob", "carol")
    den.talk("alice", "bob", "carol")
    for person in (den["alice"], den["carol"]):
        den.log(person, frames.Rejoined(den.seq + 1, den["bob"].id))
    den.next()
    said = den.say("alice", "after")
    assert [wrap.to for wrap in said.wraps] == [den["bob"].id]
    den.post(said)
    assert den["carol"].heard()[-1] == ("alice", "after")
    den.talk("alice", "carol")


@pytest.mark.parametrize(
    "nick", ["аlice", "al\u200bice", "alice\u202e", "server", "a b", "", "aIice", "b0b", "ВОВ"]
)
def test_a_rename_to_a_look_alike_is_named(nick: str) -> None:
    """The first has a Cyrillic letter; the last three are nicknames, but look like members'."""
    den = Den("alice", "bob", "carol")
    before = den["bob"].code()
    renamed = frames.Renamed(den.next(), den["carol"].id, nick)
    for name in ("alice", "bob"):
        den.log(den[name], renamed)
        assert den[name].warned() == [("bad_roster", nick)]
    assert den["bob"].code() != before
    den.talk("alice", "bob")


def test_a_ghost_under_a_look_alike_nickname_is_named() -> None:
    """To who is there, and to who comes in and finds both; a server that keeps the rules lets
    neither happen."""
    den = Den("alice", "bob")
    den.join("aIice")
    for name in ("alice", "bob"):
        assert den[name].warned() == [("bad_roster", "aIice")]
    late = den.join("carol")
    assert late.warned() == [("bad_roster", "aIice")]
    den.talk("alice", "bob", "carol")


def test_a_rename_of_ones_own_is_shown() -> None:
    den = Den("alice", "bob")
    den.tell_all(frames.Renamed(den.next(), den["alice"].id, "mallory"))
    for person in (den["alice"], den["bob"]):
        assert [(event.old, event.nick) for event in person.all(events.MemberRenamed)] == [
            ("alice", "mallory")
        ]
    assert den["alice"].session.nick == "mallory"
    assert den["alice"].warned() == [("renamed", "mallory")]
    den.talk("alice", "bob")


def changes_that_cannot_be(den: Den) -> list[tuple[str | None, frames.Frame]]:
    alice, bob, carol = (den.lines[name] for name in ("alice", "bob", "carol"))
    newcomer = MemberLine(9, "dave", 4, bundle("dave"))
    return [
        (None, frames.Left(4, 99)),
        ("alice", frames.Left(4, alice.id)),
        ("bob", frames.Left(3, bob.id)),
        (None, frames.Renamed(4, 99, "x")),
        ("bob", frames.Renamed(4, bob.id, "CAROL")),
        ("alice", frames.Renamed(4, alice.id, "bob")),
        ("bob", frames.Renamed(2, bob.id, "robert")),
        (None, frames.Rejoined(4, 99)),
        ("alice", frames.Rejoined(4, alice.id)),
        ("dave", frames.Joined(4, replace(newcomer, id=bob.id))),
        ("carol", frames.Joined(4, replace(newcomer, nick="carol"))),
        ("dave", frames.Joined(4, replace(newcomer, bundle=carol.bundle))),
        ("dave", frames.Joined(3, newcomer)),
    ]


@pytest.mark.parametrize("case", range(13))
def test_a_change_that_cannot_be_is_named_and_not_shown(case: int) -> None:
    den = Den("alice", "bob", "carol")
    alice = den["alice"]
    alice.forget()
    nick, entry = changes_that_cannot_be(den)[case]
    den.log(alice, entry)
    assert alice.warned() == [("bad_roster", nick)]
    assert len(alice.events) == 1, "nobody came, went or was renamed"
    assert alice.session.nick == "alice"
    assert alice.members() == ["alice", "bob", "carol"]
    den.talk("bob", "carol")


# What it does with lines


def test_a_post_replayed_under_a_new_number_is_named() -> None:
    den = Den("alice", "bob", "carol")
    said = den.say("alice", "pay 100")
    den.post(said)
    den.log(den["bob"], said.posted(den.next()))
    den.log(den["bob"], said.posted(den.seq))
    assert den["bob"].heard() == [("alice", "pay 100")]
    assert den["bob"].unreadable() == [("alice", "replay")] * 2
    assert den["bob"].warned() == [("replay", "alice")] * 2
    den.talk("alice", "bob", "carol")
    assert ("transcript", "carol") in den["bob"].warned()  # she was not shown it twice


def test_a_post_replayed_after_a_new_join_meets_the_marks() -> None:
    """The whole of an old log, to somebody who comes back: keys, posts and all."""
    den = Den("alice", "bob")
    said = den.say("alice", "pay 100")
    den.post(said)
    roster = list(den.lines.values())
    den["bob"].forget()
    den.next()
    den.enter(den["bob"], roster)
    den.wraps(said)
    den.log(den["bob"], said.posted(den.next()))
    assert den["bob"].heard() == []
    assert len(den["bob"].unreadable()) == 1
    assert ("bad_wrap", "alice") in den["bob"].warned()


def test_a_post_replayed_to_its_sender_is_named() -> None:
    den = Den("alice", "bob")
    said = den.say("alice", "pay 100")
    den.post(said)
    den.log(den["alice"], said.posted(den.next()))
    assert den["alice"].own() == ["pay 100"] and den["alice"].heard() == []
    assert den["alice"].warned() == [("replay", "alice")]
    den.talk("bob", "alice")


def test_a_wrap_replayed_never_rewinds() -> None:
    den = Den("alice", "bob", "carol")
    first = den.say("alice", "one")
    den.post(first)
    den.talk("alice", "bob", "carol")
    for _ in range(3):
        den.key(den["bob"], den["alice"].id, first.wrap_for(den["bob"]))
    den.log(den["bob"], first.posted(den.next()))
    assert den["bob"].unreadable() == [("alice", "replay")]
    assert [text for _, text in den["bob"].heard()].count("one") == 1
    den.talk("alice", "bob", "carol")


def test_a_wrap_for_another_member_is_named() -> None:
    den = Den("alice", "bob", "carol")
    said = den.say("alice", "hello")
    den.key(den["bob"], den["alice"].id, replace(said.wrap_for(den["carol"]), to=den["bob"].id))
    assert den["bob"].warned() == [("bad_wrap", "alice")]
    den.post(said)
    den.talk("alice", "bob", "carol")


def wrong_wraps(den: Den, said: Said) -> list[tuple[int, Wrap]]:
    """Keys for Bob that Alice did not make so; some open, and to a chain of the server's."""
    genuine = said.wrap_for(den["bob"])
    own = SenderChain(1, 0, bytes(32)).wrap(place("alice"), den["bob"].id, bundle("bob"))
    return [
        (den["alice"].id, replace(genuine, wrapped=bytes(WRAP_BYTES))),
        (den["alice"].id, replace(genuine, epoch=2)),
        (den["alice"].id, replace(genuine, n=1)),
        (den["alice"].id, replace(genuine, n=COUNTER_MAX)),
        (den["alice"].id, replace(genuine, epoch=COUNTER_MAX)),
        (den["alice"].id, replace(genuine, to=den["carol"].id)),
        (den["carol"].id, genuine),
        (den["bob"].id, genuine),
        (99, genuine),
        (den["alice"].id, own),
    ]


@pytest.mark.parametrize("case", range(10))
@pytest.mark.parametrize("before", [True, False])
def test_a_wrong_wrap_is_named_and_blinds_nobody(case: int, before: bool) -> None:
    """Whether it comes before the genuine one or after it."""
    den = Den("alice", "bob", "carol")
    bob, alice = den["bob"], den["alice"]
    said = den.say("alice", "hello")
    sender, wrap = wrong_wraps(den, said)[case]
    if before:
        den.key(bob, sender, wrap)
        den.key(bob, alice.id, said.wrap_for(bob))
    else:
        den.key(bob, alice.id, said.wrap_for(bob))
        den.key(bob, sender, wrap)
    assert [code for code, _ in bob.warned()] == ["bad_wrap"]
    den.post(said)
    assert bob.heard() == [("alice", "hello")]
    den.talk("alice", "bob", "carol")


def test_a_wrong_wrap_instead_of_the_genuine_one_opens_nothing() -> None:
    den = Den("alice", "bob", "carol")
    said = den.say("alice", "hello")
    den.key(den["bob"], den["alice"].id, wrong_wraps(den, said)[-1][1])
    den.wraps(said, to=["carol"])
    den.next()
    for name in ("bob", "carol"):
        den.log(den[name], said.posted(den.seq))
    den.accept(said, den.seq)
    assert den["bob"].unreadable() == [("alice", "secret")]  # a wrong key looks like a wrong secret
    den.talk("bob", "carol")


def test_a_key_withheld_is_named_as_such() -> None:
    den = Den("alice", "bob", "carol")
    said = den.say("alice", "hello")
    den.wraps(said, to=["carol"])
    seq = den.next()
    den.accept(said, seq)
    for name in ("bob", "carol"):
        den.log(den[name], said.posted(seq))
    assert den["bob"].unreadable() == [("alice", "no_key")]
    assert den["carol"].heard() == [("alice", "hello")]
    den.talk("bob", "carol")


def test_posts_of_one_sender_in_another_order_are_replays() -> None:
    den = Den("alice", "bob")
    first, second = den.say("alice", "one"), den.say("alice", "two")
    den.wraps(first)
    for said in (second, first):
        den.log(den["bob"], said.posted(den.next()))
    assert den["bob"].heard() == [("alice", "two")]
    assert den["bob"].unreadable() == [("alice", "replay")]
    assert den["bob"].warned() == [("replay", "alice")]
    den.talk("bob", "alice")


def test_posts_in_another_order_for_one_are_named_with_the_next() -> None:
    """Two members are given two orders."""
    den = Den("alice", "bob", "carol")
    one, two = den.say("alice", "yes or no?"), den.say("bob", "no")
    den.wraps(one)
    den.wraps(two)
    first, second = den.next(), den.next()
    for name in ("alice", "carol"):
        den.log(den[name], one.posted(first) if name == "carol" else own(one, first))
        den.log(den[name], two.posted(second))
    den.log(den["bob"], own(two, first))
    den.log(den["bob"], one.posted(second))
    assert [den[name].warned() for name in ("alice", "bob", "carol")] == [[], [], []]
    den.post(den.say("bob", "next"))
    assert den["alice"].warned() == den["carol"].warned() == [("transcript", "bob")]
    den.talk("alice", "bob", "carol")


def test_a_post_dropped_for_one_is_named_with_the_next() -> None:
    den = Den("alice", "bob", "carol")
    den.talk("alice", "bob", "carol")
    den.post(den.say("alice", "do not come"), to=["bob"])
    den.post(den.say("bob", "I see"))
    assert den["carol"].heard()[-1] == ("bob", "I see")
    assert den["carol"].warned() == [("transcript", "bob")]
    assert den["alice"].warned() == []
    den.talk("alice", "bob", "carol")


CHANGES = ["joined", "left", "renamed", "rejoined"]
BUT_CAROL = ["alice", "bob", "dave"]


def happens(den: Den, change: str) -> None:
    """A change that everybody is told of; the last one is the server's own invention.

    The member that is said to have lost its keys hears nothing of it, or is led to believe it.
    """
    if change == "joined":
        den.join("eve")
    elif change == "left":
        den.leave("dave")
    elif change == "renamed":
        den.tell_all(frames.Renamed(den.next(), den["dave"].id, f"dave{den.seq}"))
    else:
        restarts(den, "dave")


def restarts(den: Den, name: str) -> None:
    """``name`` is said to have lost its place; for it, that is a new stay."""
    den.next()
    for other in den.people.values():
        if other.name != name:
            den.log(other, frames.Rejoined(den.seq, den[name].id))
    den.lines[name] = replace(den.lines[name], joined=den.seq)
    den.enter(den[name])


def drop(den: Den) -> None:
    """Carol is not given a line of Alice's; all others are."""
    den.talk(*den.people)
    den.post(den.say("alice", "do not come"), to=BUT_CAROL)


@pytest.mark.parametrize("speaker", ["alice", "bob"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_post_dropped_just_before_a_change_is_named_with_the_next(
    change: str, speaker: str
) -> None:
    den = Den("alice", "bob", "carol", "dave")
    drop(den)
    happens(den, change)
    den.forget()
    den.post(den.say(speaker, "where are you?"))
    assert den["carol"].warned() == [("transcript", speaker)]
    assert [name for name, person in den.people.items() if person.warned()] == ["carol"]
    assert den["carol"].heard() == [(speaker, "where are you?")]


def test_a_change_after_every_line_hides_no_dropped_post(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it and after it, and who lacks it speaks first."""
    monkeypatch.setattr("client.encryption.roster.CHANGES_BEHIND", 3)
    den = Den("alice", "bob", "carol", "dave")
    for name in [*den.people] * 4:
        happens(den, "renamed")
        den.post(den.say(name, "as always"))
    drop(den)
    for name in ("carol", "carol", "alice"):
        assert den["carol"].warned() == []
        happens(den, "renamed")
        den.post(den.say(name, "as always"))
    assert den["carol"].warned() == [("transcript", "alice")]


def test_any_number_of_invented_changes_hides_no_dropped_post() -> None:
    den = Den("alice", "bob", "carol", "dave")
    drop(den)
    for _ in range(100):
        happens(den, "renamed")
    den.post(den.say("bob", "where are you?"))
    assert den["carol"].warned() == [("transcript", "bob")]


def test_a_change_invented_for_its_sender_hides_no_dropped_post() -> None:
    """Alice's line is accepted under a membership that there is for her alone."""
    den = Den("alice", "bob", "carol")
    den.log(den["alice"], frames.Rejoined(den.next(), den["bob"].id))
    den.post(den.say("alice", "help"), to=[])
    den.join("dave")
    den.post(den.say("alice", "are you there?"))
    assert den["bob"].warned() == den["carol"].warned() == [("transcript", "alice")]
    assert den["dave"].warned() == []


def test_a_dropped_telling_line_is_told_of_by_the_next() -> None:
    """The line that would have told Carol is dropped for her as well, and so on."""
    den = Den("alice", "bob", "carol", "dave")
    drop(den)
    for name in ("bob", "alice", "dave"):
        happens(den, "renamed")
        den.post(den.say(name, "where is she?"), to=BUT_CAROL)
    happens(den, "renamed")
    den.post(den.say("alice", "where are you?"))
    assert den["carol"].warned() == [("transcript", "alice")]


@pytest.mark.parametrize("anew", [["carol"], ["alice", "bob"]])
def test_a_dropped_post_is_not_noticed_where_one_side_starts_anew(anew: list[str]) -> None:
    """The limit of the comparison: the one who lacks it, or all who saw it. They are shown that."""
    den = Den("alice", "bob", "carol")
    den.talk("alice", "bob", "carol")
    den.post(den.say("alice", "do not come"), to=["bob"])
    den.forget()
    for name in anew:
        restarts(den, name)
        assert len(den[name].all(events.RoomEntered)) == 1
    den.talk("alice", "bob", "carol")
    assert not any(person.warned() for person in den.people.values())
    assert ("alice", "do not come") not in den["carol"].heard()


def test_a_dropped_post_is_not_noticed_once_too_much_was_said_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limit of the memory, small here: those who saw it are silent for very many changes, and
    under each of them somebody else says something."""
    monkeypatch.setattr("client.encryption.roster.CHANGES_BEHIND", 3)
    noticed = []
    for lines in (5, 6):
        den = Den("alice", "bob", "carol", "dave")
        drop(den)
        for _ in range(lines):
            happens(den, "renamed")
            den.post(den.say("carol", "is nobody here?"))
        happens(den, "renamed")
        for name in ("alice", "bob"):
            den.post(den.say(name, "we are"))
        noticed.append(bool(den["carol"].warned()))
    assert noticed == [True, False]


def test_a_dropped_private_post_is_not_noticed() -> None:
    """Private ones are in no transcript, and their epochs may have gaps."""
    den = Den("alice", "bob")
    den.say_private("alice", "bob", "lost")
    den.private(den["bob"], den.say_private("alice", "bob", "psst"))
    den.talk("bob")
    assert den["bob"].heard() == [("alice", "psst")]
    assert den["bob"].warned() == den["alice"].warned() == []


def test_a_line_that_is_accepted_and_dropped_is_named_with_the_next() -> None:
    """To its sender it looks sent; nobody else gets it."""
    den = Den("alice", "bob", "carol")
    den.post(den.say("alice", "help"), to=[])
    assert den["alice"].own() == ["help"]
    den.post(den.say("alice", "are you there?"))
    for name in ("bob", "carol"):
        assert ("transcript", "alice") in den[name].warned()
    den.post(den.say("bob", "what?"))
    assert ("transcript", "bob") in den["alice"].warned()
    den.talk("alice", "bob", "carol")


def test_a_line_that_is_accepted_and_never_placed_stays_on_its_way() -> None:
    den = Den("alice", "bob")
    said = den.say("alice", "help")
    den["alice"].hears(frames.Accepted(said.ref, den.next()))
    assert den["alice"].own() == []
    assert not den["alice"].session.wait_answered(0)


def test_a_fork_is_named_as_soon_as_one_post_crosses() -> None:
    """Alice and Bob are in one world, Carol and Dave in another."""
    den = Den("alice", "bob", "carol", "dave")
    den.post(den.say("alice", "here"), to=["bob"])
    den.post(den.say("carol", "there"), to=["dave"])
    den.post(den.say("bob", "here too"), to=["alice"])
    assert not any(person.warned() for person in den.people.values())
    den.post(den.say("dave", "hello"), to=["alice"])
    assert ("transcript", "dave") in den["alice"].warned()
    den.talk("alice", "bob", "carol", "dave")


def forgeries(said: Said) -> list[Box]:
    """Boxes of the server's own making, from a genuine one."""
    box, data = said.box, said.box.data
    other_letter = b"B" if data[20:21] == b"A" else b"A"
    other = identity("mallory").sign(
        envelope.signed(place("alice"), "alice", said.change, box.epoch, box.n, data)
    )
    return [
        replace(box, sig=bytes(64)),
        replace(box, sig=other),
        replace(box, data=data[:20] + other_letter + data[21:]),
        replace(box, data=b""),
        replace(box, n=box.n + 1),
        replace(box, epoch=box.epoch + 1),
        replace(box, n=COUNTER_MAX),
        replace(box, epoch=COUNTER_MAX, n=COUNTER_MAX),
        replace(box, epoch=0),
    ]


@pytest.mark.parametrize("case", range(9))
def test_a_forged_box_is_named_and_takes_nothing_away(case: int) -> None:
    """Far-away numbers too: the genuine post behind it is read."""
    den = Den("alice", "bob", "carol")
    said = den.say("alice", "hello")
    den.wraps(said)
    for name in ("bob", "carol"):
        den.log(den[name], said.posted(den.seq + 1, box=forgeries(said)[case]))
        assert den[name].unreadable() == [("alice", "name")]
        assert den[name].warned() == [("forged", "alice")]
    den.next()
    den.post(said)
    assert den["bob"].heard() == den["carol"].heard() == [("alice", "hello")]
    den.talk("alice", "bob", "carol")


def test_a_post_moved_to_another_change_is_named() -> None:
    den = Den("alice", "bob")
    said = den.say("alice", "only for us")
    den.join("carol")
    den.wraps(said)
    for change in (den.seq, 1, 0, 99):
        den.log(den["bob"], said._replace(change=change).posted(den.next()))
    assert den["bob"].unreadable() == [("alice", "name")] * 4
    assert den["bob"].heard() == []


def test_another_members_box_as_ones_own_is_named() -> None:
    den = Den("alice", "bob", "carol")
    said = den.say("alice", "I owe you")
    den.wraps(said)
    den.log(den["bob"], said.posted(den.next(), sender=den["carol"].id))
    den.log(den["bob"], said.posted(den.next(), sender=den["bob"].id))
    den.log(den["bob"], said.posted(den.next(), sender=99))
    assert den["bob"].heard() == []
    assert den["bob"].unreadable() == [("carol", "name"), ("bob", "name"), ("#99", "name")]
    assert den["bob"].warned() == [("forged", "carol"), ("forged", "bob"), ("forged", "#99")]
    den.talk("bob", "carol")


def test_a_post_of_another_room_or_log_is_named() -> None:
    """The very same people, members and numbers, in another log."""
    den = Den("alice", "bob")
    said = den.say("alice", "in the first log")
    roster = list(den.lines.values())
    for person in (den["alice"], den["bob"]):
        den.enter(person, roster, log=OTHER_LOG)
    den.wraps(said)
    den.log(den["bob"], said.posted(den.next()))
    assert den["bob"].heard() == []
    assert den["bob"].warned() == [("bad_wrap", "alice"), ("forged", "alice")]


def test_own_posted_for_an_unknown_line_shows_nothing() -> None:
    den = Den("alice", "bob")
    said = den.say("alice", "once")
    den.post(said)
    for ref in (said.ref, said.ref, 99, COUNTER_MAX):
        den.log(den["alice"], frames.OwnPosted(den.next(), ref))
    assert den["alice"].own() == ["once"]
    den.talk("alice", "bob")


def test_own_posted_for_another_line_is_named_by_the_others() -> None:
    """Alice's two lines change places for her alone."""
    den = Den("alice", "bob")
    one, two = den.say("alice", "one"), den.say("alice", "two")
    den.wraps(one)
    for said in (one, two):
        den.log(den["bob"], said.posted(den.next()))
    for seq, said in ((den.seq - 1, two), (den.seq, one)):
        den["alice"].hears(frames.Accepted(said.ref, seq))
        den.log(den["alice"], frames.OwnPosted(seq, said.ref))
    assert den["alice"].own() == ["two", "one"]
    den.post(den.say("bob", "next"))
    assert den["alice"].warned() == [("transcript", "bob")]
    den.talk("alice", "bob")


def test_own_posted_for_a_private_line_is_refused() -> None:
    den = Den("alice", "bob")
    private = den.say_private("alice", "bob", "psst")
    with pytest.raises(Unexpected):
        den.log(den["alice"], frames.OwnPosted(den.next(), private.frame.ref))


def test_stale_again_and_again_seals_no_number_twice() -> None:
    den = Den("alice", "bob")
    said = den.say("alice", "again")
    numbers = [(said.box.epoch, said.box.n)]
    for _ in range(5):
        den["alice"].hears(frames.Refused("stale", said.ref))
        den["alice"].waits(10)
        again = den.taken(den["alice"], "again")
        numbers.append((again.box.epoch, again.box.n))
        said = again._replace(wraps=(*said.wraps, *again.wraps))
    assert len(set(numbers)) == 6
    den.post(said)
    assert den["bob"].heard() == [("alice", "again")]


def test_stale_without_end_gives_the_line_back() -> None:
    """Each sealing waits longer than the one before."""
    den = Den("alice", "bob")
    alice = den["alice"]
    said = den.say("alice", "again")
    pauses = []
    for _ in range(7):
        alice.hears(frames.Refused("stale", said.ref))
        pause = (alice.session.paused_until() or alice.now) - alice.now
        if pause:
            alice.waits(pause * 0.9)
            assert alice.sent() == []
            alice.waits(pause * 0.2)
        said = den.taken(alice, "again")
        pauses.append(pause)
    assert pauses == sorted(pauses) and 5.0 < sum(pauses) < 7.0
    alice.hears(frames.Refused("stale", said.ref))
    assert alice.handed_back() == [("again", "stale")]
    assert alice.session.paused_until() is None


def test_a_line_sealed_for_the_verified_is_not_sealed_anew_for_a_ghost() -> None:
    """The server refuses it, brings somebody in, and would have it sealed again."""
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.verifies("bob")
    said = den.say("alice", "only for bob")
    den.join("mallory")
    alice.hears(frames.Refused("stale", said.ref))
    assert alice.handed_back() == [("only for bob", "unverified")]
    assert alice.sent() == []


def test_refusals_and_answers_to_nothing_do_no_harm() -> None:
    den = Den("alice", "bob")
    den["alice"].hears(
        frames.Accepted(99, 5),
        frames.Accepted(COUNTER_MAX),
        frames.Refused("no\x1b[2Jsuch", 99, 1e9, COUNTER_MAX),
        frames.Refused("stale", 99),
        frames.RoomLines(99, (frames.RoomLine("x" * 128, COUNTER_MAX),), COUNTER_MAX),
        frames.Taken(COUNTER_MAX),
    )
    assert "\x1b" not in den["alice"].all(events.Error)[0].text
    den.talk("alice", "bob")


# Private lines


def test_a_private_post_replayed_is_shown_once() -> None:
    den = Den("alice", "bob")
    private = den.say_private("alice", "bob", "psst")
    den["alice"].hears(frames.Accepted(private.frame.ref))
    for _ in range(3):
        den.private(den["bob"], private)
    assert den["bob"].heard() == [("alice", "psst")]
    den.next()
    den.enter(den["bob"], list(den.lines.values()))
    den.private(den["bob"], private)
    assert den["bob"].heard() == [("alice", "psst")]
    assert len(den["bob"].unreadable()) == 1
    den.log(den["alice"], frames.Rejoined(den.seq, den["bob"].id))
    den.talk("bob", "alice")


def test_a_private_post_for_another_member_stays_shut_and_is_named() -> None:
    den = Den("alice", "bob", "carol")
    private = den.say_private("alice", "bob", "psst")
    sent = private.frame
    carol = den["carol"]
    den.private(carol, private)
    moved = replace(sent, wrap=replace(sent.wrap, to=carol.id))
    den.private(carol, private._replace(frame=moved))
    den.private(den["bob"], private, sender=carol.id)
    assert carol.heard() == den["bob"].heard() == []
    assert carol.unreadable() == [("alice", "name")] * 2
    assert carol.warned() == [("forged", "alice")] * 2
    assert den["bob"].warned() == [("forged", "carol")]
    den.private(den["bob"], private)
    assert den["bob"].heard() == [("alice", "psst")]
    den.talk("alice", "bob", "carol")


def test_a_private_post_is_no_public_one() -> None:
    den = Den("alice", "bob", "carol")
    private = den.say_private("alice", "bob", "psst").frame
    posted = frames.Posted(den.next(), den["alice"].id, private.change, private.box)
    for name in ("bob", "carol"):
        den.key(den[name], den["alice"].id, replace(private.wrap, to=den[name].id))
        den.log(den[name], posted)
        assert den[name].heard() == []
        assert den[name].warned() == [("bad_wrap", "alice"), ("forged", "alice")]
    den.talk("alice", "bob", "carol")


def test_a_public_post_is_no_private_one() -> None:
    den = Den("alice", "bob")
    said = den.say("alice", "to all")
    wrap = said.wrap_for(den["bob"])
    den["bob"].hears(frames.PrivateFor(AT, 1, den["alice"].id, said.change, wrap, said.box))
    assert den["bob"].heard() == []
    assert den["bob"].warned() == [("forged", "alice")]


def test_a_private_line_never_goes_to_the_next_owner_of_a_nickname() -> None:
    """Refused as stale after Bob's place was taken by somebody else."""
    den = Den("alice", "bob")
    alice, bob = den["alice"], den["bob"]
    private = den.say_private("alice", "bob", "psst")
    den.seq += 2
    false = MemberLine(den.new_id(), "bob", den.seq, bundle("mallory"))
    den.log(alice, frames.Left(den.seq - 1, bob.id), frames.Joined(den.seq, false))
    alice.hears(frames.Refused("stale", private.frame.ref))
    assert alice.handed_back() == [("psst", "gone")]
    assert alice.sent() == []
    assert alice.warned() == [("other_keys", "bob")]


# Where it says that one is


def entered(den: Den, name: str, **changes: object) -> frames.Entered:
    """What an honest server says after falling behind, but for ``changes``."""
    genuine = frames.Entered(AT, ROOM, LOG, den[name].id, den.seq, len(den.lines), False, 1)
    return replace(genuine, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"log": OTHER_LOG},
        {"id": 99},
        {"room": "elsewhere"},
        {"ref": 99},
        {"resumed": True},
        {"members": 0},
        {"members": ROOM_MEMBERS + 1},
        {"members": COUNTER_MAX},
    ],
)
def test_a_stay_that_was_not_asked_for_is_refused(changes: dict[str, object]) -> None:
    """The client ends such a connection: in another room its secret would not count."""
    den = Den("alice", "bob")
    den["alice"].forget()
    with pytest.raises(Unexpected):
        den["alice"].hears(entered(den, "alice", **changes))
    assert den["alice"].events == []


def test_falling_behind_is_followed_and_shown() -> None:
    """What the cases before this one differ from."""
    den = Den("alice", "bob")
    den["alice"].forget()
    den.next()
    den["alice"].hears(entered(den, "alice"), frames.Roster(tuple(den.lines.values())))
    assert [event.count for event in den["alice"].all(events.Missed)] == [1]
    assert den["alice"].warned() == []


@pytest.mark.parametrize("first", [True, False])
def test_another_room_than_the_one_asked_for_is_not_entered(first: bool) -> None:
    """There, what is typed would be sealed without this room's secret."""
    den = Den("alice", "bob", secrets={"alice": "strong", "bob": "strong"})
    person = Person("alice", "strong") if first else den["alice"]
    person.id = den["alice"].id
    with pytest.raises(Unexpected):
        den.let_in(person)
        person.hears(*den.entering(person, log=OTHER_LOG, room="den2"))
    person.user.say("for those who know the secret")
    assert person.sent() == []
    assert person.all(events.RoomEntered) == []


def test_another_room_than_the_one_switched_to_is_not_entered() -> None:
    den = Den("alice", "bob")
    alice = den["alice"]
    alice.user.go("vault", "strong")
    alice.user.say("for those who know the secret")
    (asked,) = alice.sent()
    assert isinstance(asked, frames.Enter) and asked.room == "vault"
    stay = den.entering(alice, log=OTHER_LOG, ref=asked.ref, room="vau1t", at=2)
    with pytest.raises(Unexpected):
        alice.hears(*stay)
    assert alice.sent() == []
    alice.hears(*den.entering(alice, log=OTHER_LOG, ref=asked.ref, room="VAULT", at=2))
    said = den.taken(alice, "for those who know the secret")
    assert opened_by("bob", said) is None


@pytest.mark.parametrize(("log", "member"), [(OTHER_LOG, None), (LOG, 99)])
def test_a_resumption_elsewhere_is_refused(log: bytes, member: int | None) -> None:
    den = Den("alice", "bob")
    den["alice"].user.say("under way")
    sealed = den["alice"].sent()
    with pytest.raises(Unexpected):
        den.resumed(den["alice"], log, member)
    assert den["alice"].sent() == sealed  # what it has, or may have, got already
    den.resumed(den["alice"])
    assert den["alice"].sent() == sealed


def test_a_resumption_that_plays_the_log_again_is_named() -> None:
    den = Den("alice", "bob")
    said = den.say("bob", "hello")
    den.post(said)
    alice = den["alice"]
    den.resumed(alice)
    den.log(alice, frames.Joined(2, den.lines["bob"]), said.posted(den.seq))
    assert alice.heard() == [("bob", "hello")]
    assert alice.unreadable() == [("bob", "replay")]
    assert alice.warned() == [("bad_roster", "bob"), ("replay", "bob")]
    den.talk("alice", "bob")


def test_lines_under_way_are_not_sent_to_another_log() -> None:
    """The server says that it has started anew: they come back to who typed them."""
    den = Den("alice", "bob")
    den.say("alice", "one")
    den["alice"].session.lose()
    den["alice"].user.say("two")
    den.enter(den["alice"], list(den.lines.values()), log=OTHER_LOG)
    assert den["alice"].handed_back() == [("one", "disconnected"), ("two", "disconnected")]
    assert den["alice"].sent() == []


# Frames out of order, and frames too large


def strange_frames(den: Den) -> list[Sequence[frames.Frame]]:
    lines = tuple(den.lines.values())
    stay = entered(den, "alice", members=3)
    wrap = Wrap(1, 1, 0, bytes(WRAP_BYTES))
    return [
        [frames.Roster(lines)],
        [stay, stay],
        [stay, frames.Log(AT, 9, ())],
        [stay, frames.Roster(lines), frames.Roster(lines)],
        [welcome("alice")],
        [frames.Bye("quit")],
        [frames.Roster(())],
        [stay, frames.Roster(lines), frames.KeyFor(AT, 1, 2, wrap),
         frames.Log(AT, 9, ())],
    ]


@pytest.mark.parametrize("case", range(8))
def test_frames_in_the_wrong_order_end_the_connection(case: int) -> None:
    den = Den("alice", "bob")
    with pytest.raises(ChatError):
        den["alice"].hears(*strange_frames(den)[case])
    den.enter(den["alice"], list(den.lines.values()), log=OTHER_LOG)  # and it can come back


@pytest.mark.parametrize("case", range(5))
def test_frames_before_the_room_end_the_connection(case: int) -> None:
    person = Person("alice")
    box = Box(1, 0, b"gAAAA", bytes(64))
    wrap = Wrap(1, 1, 0, bytes(WRAP_BYTES))
    early: list[frames.Frame] = [
        frames.Log(AT, 1, ()),
        frames.KeyFor(AT, 1, 1, wrap),
        frames.PrivateFor(AT, 1, 1, 1, wrap, box),
        frames.Roster(()),
        frames.Entered(AT, ROOM, LOG, 1, 1, 0, True, 0),
    ]
    with pytest.raises(ChatError):
        person.hears(early[case])
    assert person.events == []


@pytest.mark.parametrize(
    "text",
    [
        f'{{"type":"log","at":1,"to":1,"entries":[{",".join(["{}"] * 5000)}]}}',
        '{"type":"log","at":1,"to":1,"entries":[{"type":"log","at":1,"to":1,"entries":[]}]}',
        '{"type":"log","at":1,"to":-1,"entries":[]}',
        '{"type":"log","at":1,"to":1e3,"entries":[]}',
        '{"type":"log","at":1,"to":9007199254740992,"entries":[]}',
        '{"type":"log","at":1,"to":true,"entries":[]}',
        '{"type":"log","at":1,"to":1,"to":2,"entries":[]}',
        '{"type":"log","at":1,"to":1,"entries":[{"type":"left","seq":1,"id":"1"}]}',
        f'{{"type":"roster","members":[{",".join(["{}"] * 300)}]}}',
        f'{{"type":"refused","code":"{"x" * 33}"}}',
        '{"type":"accepted","ref":NaN}',
        "[" * 100_000,
        "[]",
        "null",
        "",
    ],
    ids=lambda text: text[:40],
)
def test_frames_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ChatError):
        frames.from_object(codec.parse(text.encode()), SERVER_FRAMES)


# On the link: the whole client against a server on a real socket

def endless(nick: str = "alice", seconds: float = 1e9) -> bytes:
    changes = {"heartbeat_interval": seconds, "heartbeat_timeout": seconds}
    return replace(welcome(nick), **changes).encode()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "record",
    [
        [],
        [b"{}"],
        [b"[]"],
        [b"null"],
        [b'{"type":"welcome"}'],
        [b'{"type":"taken","ref":1}'],
        [b'{"type":"nothing that there is"}'],
        [json.dumps({**json.loads(endless()), "nick": "\ud800"}).encode()],
        [b"[" * 50_000],
        [endless(), b'{"type":"log","at":1,"to":1,"entries":[]}'],
        [endless(), b'{"type":"roster","members":[]}'],
        [endless(), b'{"type":"bye","reason":"\\ud800"}'],
    ],
    ids=range(12),
)
def test_a_welcome_that_is_none_ends_the_client(record: list[bytes]) -> None:
    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, PRS)
        peer.send(link.seal(record))
        received(peer)

    connection, shown = connected(script)
    assert connection.outcome.kind in ("unreachable", "lost") and not connection.joined
    assert connection.outcome.reason != "internal"
    assert not [event for event in shown if isinstance(event, events.Connected)]


def records_of_a_liar(link: ServerLink, case: int) -> list[str | bytes]:
    """What comes after an honest welcome."""
    good = link.seal([frames.Taken(0).encode()])
    cases: list[list[str | bytes]] = [
        [good, good],
        [link.seal([]), good],
        [b"\x80"],
        ["{}"],
        ["\ud7ff" * 100],
        [base64.urlsafe_b64encode(good).decode()],
        [good[:40] + bytes((good[40] ^ 1,)) + good[41:]],
        [good, link.seal([b"[" * 100_000])],
        [good, link.seal([b'{"type":"welcome"}'])],
        [good, link.seal([b"null"])],
        [good, link.seal([b'{"type":"entered"}'] * 2000)],
        ["x" * (2 << 20)],
        [b"x" * (2 << 20)],
    ]
    return cases[case]


@pytest.mark.parametrize("case", range(13))
def test_records_that_are_none_end_the_connection(case: int) -> None:
    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, PRS)
        peer.send(link.seal(stay()))
        for record in records_of_a_liar(link, case):
            peer.send(record)
        while True:
            received(peer)

    connection, shown = connected(script)
    assert connection.joined and connection.outcome.kind == "lost"
    assert connection.outcome.reason != "internal"
    assert [type(event).__name__ for event in shown] == ["Connected"]


def test_frames_of_a_later_version_are_passed_over() -> None:
    def script(peer: WebSocket, link: ServerLink) -> None:
        prove(peer, link, PRS)
        peer.send(link.seal([*stay(), b'{"type":"news"}']))
        peer.send(link.seal([b'{"type":"news"}', frames.Bye("shutdown").encode()]))

    connection, _ = connected(script)
    assert connection.joined and connection.outcome.reason == "shutdown"


def test_without_the_password_a_server_learns_nothing_and_is_not_believed() -> None:
    """It gets one record that it cannot open, and nothing that it seals is taken."""
    seen: list[str | bytes] = []

    def script(peer: WebSocket, link: ServerLink) -> None:
        peer.send(link.greeting())
        hello = received(peer)
        link.receive_hello(hello)
        peer.send(link.key(bytes(32)))
        confirm = received(peer)
        seen.extend((hello, confirm))
        with pytest.raises(AuthFailed):
            link.receive_confirm(confirm)
        peer.send(link.seal(stay()))
        received(peer)

    connection, shown = connected(script)
    assert connection.outcome.kind == "unreachable" and shown == []
    hello, confirm = seen
    assert set(json.loads(hello)) == {
        "type", "version", "nonce", "proof", "rsa", "kem", "share",
    }  # fmt: skip
    assert isinstance(confirm, bytes)
    assert confirm.startswith(b"\x80" + bytes(8))  # a Fernet token, whose clock says 0


def test_a_refusal_in_clear_is_not_taken_for_the_servers_word() -> None:
    """It ends a first attempt; a client that was in already tries again."""

    def script(peer: WebSocket, link: ServerLink) -> None:
        peer.send(frames.Refused("auth_failed").encode().decode())
        received(peer)

    connection, shown = connected(script)
    assert (connection.outcome.kind, connection.joined, shown) == ("refused", False, [])


def test_names_that_are_no_text_end_the_connection() -> None:
    """One's own nickname is said in the next handshake, so it has to be text."""
    den = Den("alice", "bob")
    entry = '{"type":"renamed","seq":9,"id":1,"nick":"\\ud800"}'
    broken = f'{{"type":"log","at":1,"to":9,"entries":[{entry}]}}'
    frame = frames.from_object(codec.parse(broken.encode()), SERVER_FRAMES)
    with pytest.raises(Misnamed):
        den["alice"].session.receive(frame)
    assert den["alice"].session.nick == "alice"
    den["bob"].session.receive(frame)
    assert ("bad_roster", "\ud800") in den["bob"].warned()
