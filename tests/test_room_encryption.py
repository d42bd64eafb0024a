"""The room layer: what it seals and for whom, what it opens, and what it says of a lying server.

The server of these tests is the test itself: it hands the cores whatever it likes.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import itertools
import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet

from client.encryption import envelope, safety_numbers, sender_keys
from client.encryption.encryption import Encryption
from client.encryption.envelope import Body
from client.encryption.membership import Recent
from client.encryption.posts import OpenedPost, SealedPost, UndecryptablePost
from client.encryption.room_encryption import RoomEncryption
from client.encryption.roster import MemberSet, RosterEntry, RosterHistory
from client.encryption.sender_keys import (
    ROOM_AUDIENCE,
    Context,
    ReplayGuard,
    SenderChain,
    SenderKeys,
    member_audience,
)
from client.encryption.transcript import Claim, Transcript, TranscriptHash
from client.encryption.trust import Trust, TrustWarning
from protocol.errors import Gone, KeyUnusable, Malformed
from protocol.frames import Box, MemberLine, Wrap
from protocol.keys import Bundle, Identity, Recipient, labelled, to_text
from protocol.limits import EPOCH_POSTS
from tests.malicious import signed_by

LOG = b"log id, 16 bytes"

Result = tuple[OpenedPost | UndecryptablePost | None, list[TrustWarning]]


@functools.cache
def identity(name: str) -> Identity:
    """One identity for each name and run: making RSA keys is what takes time here."""
    return Identity()


def line(name: str, member: int, joined: int = 1, keys: str = "") -> MemberLine:
    return MemberLine(member, name, joined, identity(keys or name).bundle)


class Honest:
    """A room whose server does what it should; tests lie on top of it.

    ``beside`` is another room of the same people's clients.
    """

    def __init__(
        self,
        *names: str,
        secrets: dict[str, bytes] | None = None,
        name: str = "Den",
        log: bytes = LOG,
        beside: Honest | None = None,
    ) -> None:
        self.name, self.log = name, log
        self.seq = len(names)
        self.ids = {name: number for number, name in enumerate(names, 1)}
        self.members = [line(name, self.ids[name], self.ids[name]) for name in names]
        self.clients: dict[str, Encryption] = beside.clients if beside else {}
        self.cores: dict[str, RoomEncryption] = {}  # of those who are here
        self.secrets = secrets or {}
        for name in names:
            self.enter(name)

    def enter(self, name: str) -> list[TrustWarning]:
        return self.enter_log(name, self.log, self.members, self.seq)

    def enter_log(
        self, name: str, log: bytes, members: list[MemberLine], change: int
    ) -> list[TrustWarning]:
        """A new membership for ``name``, in the place of the one before."""
        client = self.clients.setdefault(name, Encryption(identity(name)))
        before, salt = self.cores.get(name), self.secrets.get(name, b"")
        guarded = before is not None and before.all_verified()
        core = client.enter(self.name, log, self.ids[name], members, change, salt, guarded)
        self.cores[name] = core
        return core.warnings

    def others(self, *names: str) -> list[RoomEncryption]:
        return [core for name, core in self.cores.items() if name not in names]

    def join(self, name: str) -> list[TrustWarning]:
        """``name`` comes (back) in, under a new id; what the others have to say."""
        self.seq += 1
        self.ids[name] = self.seq + 100
        newcomer = line(name, self.ids[name], self.seq)
        said = [core.joined(self.seq, newcomer) for core in self.others(name)]
        self.members.append(newcomer)
        self.enter(name)
        return list(itertools.chain(*said))

    def leave(self, name: str) -> RoomEncryption:
        self.seq += 1
        self.members = [member for member in self.members if member.id != self.ids[name]]
        core = self.cores.pop(name)
        for other in self.others():
            assert other.left(self.seq, self.ids[name]) == []
        return core

    def seal(self, name: str, text: str = "hello") -> SealedPost:
        return self.cores[name].seal("text", text)

    def wraps(self, name: str, sealed: SealedPost, but: Iterable[str] = ()) -> list[TrustWarning]:
        """Hand out the wraps of a post by ``name``."""
        found: list[TrustWarning] = []
        for wrap in sealed.wraps:
            for other, core in self.cores.items():
                if self.ids[other] == wrap.to and other not in but:
                    found += core.add_wrap(self.ids[name], wrap)
        return found

    def post(self, name: str, sealed: SealedPost, but: Iterable[str] = ()) -> dict[str, Result]:
        """Put a post into the log; what everyone but the sender makes of it."""
        self.seq += 1
        sender = self.ids[name]
        self.cores[name].own(self.seq, sealed.change, sealed.box.sig)
        return {
            other: core.open(self.seq, sender, sealed.change, sealed.box)
            for other, core in self.cores.items()
            if other != name and other not in but
        }

    def say(self, name: str, text: str = "hello") -> SealedPost:
        """An ordinary post; everybody opens it, and nobody finds anything."""
        sealed = self.seal(name, text)
        assert sealed.warnings == ()
        assert self.wraps(name, sealed) == []
        for result in self.post(name, sealed).values():
            assert result == (opened(name, text, sealed), [])
        return sealed

    def open(self, name: str, sender: str, sealed: SealedPost) -> Result:
        """Show ``name`` alone a post under the next number."""
        self.seq += 1
        return self.cores[name].open(self.seq, self.ids[sender], sealed.change, sealed.box)


def opened(name: str, text: str, sealed: SealedPost, verified: bool = False) -> OpenedPost:
    return OpenedPost(name, "text", text, sealed.id, verified)


def shut(name: str, reason: str, *codes: str) -> tuple[UndecryptablePost, list[TrustWarning]]:
    return UndecryptablePost(name, reason), [TrustWarning(code, name) for code in codes]


def broken(who: Identity) -> Bundle:
    """A bundle whose RSA key does not load: an even modulus."""
    return signed_by(who, replace(who.bundle.recipient, rsa=b"\x80" + bytes(255)))


# Who is sealed for


def test_a_post_is_opened_by_everybody_who_is_there() -> None:
    room = Honest("alice", "bob", "carol")
    for name in ("alice", "bob", "alice", "carol"):
        room.say(name, f"{name} says ü 漢 🙂\nand more")


def test_an_action_stays_an_action() -> None:
    room = Honest("alice", "bob")
    sealed = room.cores["alice"].seal("action", "waves")
    room.wraps("alice", sealed)
    post, _ = room.open("bob", "alice", sealed)
    assert post == OpenedPost("alice", "action", "waves", sealed.id, False)


def test_a_chain_is_wrapped_once_for_each_member_and_only_when_somebody_speaks() -> None:
    room = Honest("alice", "bob", "carol")
    assert {wrap.to for wrap in room.say("alice").wraps} == {2, 3}
    assert room.say("alice").wraps == ()
    room.join("dave")
    assert [wrap.to for wrap in room.say("alice").wraps] == [room.ids["dave"]]


def test_a_newcomer_gets_the_chain_at_its_next_number() -> None:
    room = Honest("alice", "bob")
    first = room.say("alice")
    room.join("carol")
    second = room.say("alice")
    assert (first.box.epoch, first.box.n) == (1, 0)
    assert [(wrap.epoch, wrap.n) for wrap in second.wraps] == [(1, 1)]
    assert room.open("carol", "alice", first)[0] == UndecryptablePost("alice", "replay")


def test_a_newcomer_cannot_open_what_was_said_before() -> None:
    """Even if the server plays it to it, with the wraps of all others."""
    room = Honest("alice", "bob")
    early = room.say("alice")
    room.join("carol")
    for wrap in early.wraps:
        stolen = replace(wrap, to=room.ids["carol"])
        assert room.cores["carol"].add_wrap(1, stolen) == [TrustWarning("bad_wrap", "alice")]
    post, _ = room.open("carol", "alice", early)
    assert isinstance(post, UndecryptablePost)
    room.say("alice", "and carol reads on")


def test_after_somebody_left_the_next_post_starts_an_epoch() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    gone = room.leave("carol")
    sealed = room.say("alice", "without carol")
    assert (sealed.box.epoch, sealed.box.n) == (2, 0)
    assert [wrap.to for wrap in sealed.wraps] == [2]
    gone.add_wrap(1, replace(sealed.wraps[0], to=3))
    post, _ = gone.open(room.seq + 1, 1, sealed.change, sealed.box)
    assert post == UndecryptablePost("alice", "name")  # it does not even know that change


def test_who_left_cannot_open_the_next_post_with_all_that_it_has() -> None:
    room = Honest("alice", "bob", "carol")
    first = room.say("alice")
    room.leave("carol")
    later = room.say("alice")
    keys = identity("carol")
    context = Context("den", LOG, ROOM_AUDIENCE, identity("alice").fingerprint)
    wrap = next(wrap for wrap in first.wraps if wrap.to == 3)
    ck = keys.unwrap(wrap.wrapped, context.wrap_info(keys.fingerprint, 1, 0))
    for n in range(3):
        for epoch in (1, 2):
            chain = replace(SenderChain(1, 0, ck).at(n), epoch=epoch)
            assert envelope.unseal(later.box.data, chain, context, b"") is None
    assert envelope.unseal(first.box.data, SenderChain(1, 0, ck), context, b"") is not None


def test_a_thousand_posts_start_an_epoch() -> None:
    room = Honest("alice", "bob")
    sealed = [room.seal("alice", str(number)) for number in range(1001)]
    assert [(post.box.epoch, post.box.n) for post in sealed[998:]] == [(1, 998), (1, 999), (2, 0)]
    room.wraps("alice", sealed[0])
    room.wraps("alice", sealed[1000])
    for number in (0, 999, 1000):  # nine hundred and ninety-nine steps in one go
        post, _ = room.open("bob", "alice", sealed[number])
        assert post == opened("alice", str(number), sealed[number])


def test_every_number_is_sealed_once() -> None:
    room = Honest("alice", "bob")
    seen = set()
    for step in range(12):
        post = room.seal("alice")
        assert (post.box.epoch, post.box.n) not in seen
        seen.add((post.box.epoch, post.box.n))
        if step == 3:
            room.join("carol")
        if step == 6:
            room.leave("carol")
        if step == 9:
            room.seq += 1
            room.enter("alice")


def test_epochs_go_on_after_a_new_join_in_another_log() -> None:
    """A server that restarts must not bring an epoch back."""
    room = Honest("alice", "bob")
    room.say("alice")
    alice = room.clients["alice"]
    for log in (b"another log id 1", b"another log id 2"):
        post = alice.enter("DEN", log, 1, room.members, 2).seal("text", "again")
        assert post.box.n == 0
    assert post.box.epoch == 3
    elsewhere = alice.enter("elsewhere", LOG, 1, room.members, 2)
    assert elsewhere.seal("text", "a room of its own").box.epoch == 1


def test_a_bundle_that_does_not_load_is_skipped_and_named_once() -> None:
    room = Honest("alice", "bob")
    bad = replace(line("mallory", 9, 3), bundle=broken(identity("mallory")))
    room.seq = 3
    for core in room.others():
        core.joined(3, bad)
    sealed = room.seal("alice")
    assert sealed.warnings == (TrustWarning("bad_bundle", "mallory"),)
    assert [wrap.to for wrap in sealed.wraps] == [2]
    room.wraps("alice", sealed)
    room.post("alice", sealed)
    assert room.seal("alice").warnings == ()
    with pytest.raises(KeyUnusable):
        room.cores["alice"].seal_private(9, bad.bundle.fingerprint, "text", "psst")


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff"])
def test_half_a_surrogate_is_not_sealed_and_uses_no_number(text: str) -> None:
    room = Honest("alice", "bob")
    core = room.cores["alice"]
    with pytest.raises(Malformed):
        core.seal("text", text)
    with pytest.raises(Malformed):
        core.seal_private(2, identity("bob").fingerprint, "text", text)
    with pytest.raises(Malformed):
        core.seal("shout", "no such kind")
    with pytest.raises(Malformed):
        core.seal("text", "x", post_id=b"short")
    sealed = room.say("alice")
    assert (sealed.box.epoch, sealed.box.n, len(sealed.wraps)) == (1, 0, 1)


def test_a_line_sealed_anew_keeps_its_id_and_takes_the_next_number() -> None:
    room = Honest("alice", "bob")
    first = room.seal("alice", "refused")
    room.wraps("alice", first)
    again = room.cores["alice"].seal("text", "refused", first.id)
    assert again.id == first.id
    assert again.box.n == first.box.n + 1
    assert room.open("bob", "alice", again)[0] == opened("alice", "refused", again)


# Private posts


def private(room: Honest, text: str = "psst") -> SealedPost:
    return room.cores["alice"].seal_private(2, identity("bob").fingerprint, "text", text)


def open_private(room: Honest, name: str, sealed: SealedPost, sender: int = 1) -> Result:
    core = room.cores[name]
    return core.open_private(sender, sealed.change, sealed.wraps[0], sealed.box)


def test_a_private_post_opens_for_its_member_alone() -> None:
    room = Honest("alice", "bob", "carol")
    sealed = private(room)
    assert open_private(room, "bob", sealed) == (opened("alice", "psst", sealed), [])
    stolen = replace(sealed, wraps=(replace(sealed.wraps[0], to=3),))
    assert open_private(room, "carol", stolen) == shut("alice", "name", "forged")


def test_each_private_post_has_a_chain_of_its_own() -> None:
    room = Honest("alice", "bob")
    posts = [private(room) for _ in range(3)]
    assert [(post.box.epoch, post.box.n) for post in posts] == [(1, 0), (2, 0), (3, 0)]
    assert room.say("alice").box.epoch == 1  # the room's numbers do not show that they were sent
    for post in posts:
        assert open_private(room, "bob", post)[0] == opened("alice", "psst", post)


def test_a_private_post_that_comes_again_is_not_shown_again() -> None:
    room = Honest("alice", "bob")
    posts = [private(room, str(number)) for number in range(3)]
    for post in posts:
        open_private(room, "bob", post)
    for post in posts:
        assert open_private(room, "bob", post) == (None, [])


def test_a_changed_copy_of_a_private_post_is_a_replay() -> None:
    room = Honest("alice", "bob")
    sealed = private(room)
    open_private(room, "bob", sealed)
    other = private(room)
    changed = replace(sealed, wraps=other.wraps)
    assert open_private(room, "bob", changed) == shut("alice", "replay", "replay")


def test_a_spoiled_copy_sent_ahead_does_not_hide_the_genuine_private_post() -> None:
    room = Honest("alice", "bob")
    sealed = private(room)
    wrap = replace(sealed.wraps[0], wrapped=bytes(1392))
    assert open_private(room, "bob", replace(sealed, wraps=(wrap,))) == shut(
        "alice", "no_key", "bad_wrap"
    )
    assert open_private(room, "bob", sealed) == (opened("alice", "psst", sealed), [])


def test_gone_means_refused_and_never_the_next_owner_of_the_nickname() -> None:
    room = Honest("alice", "bob")
    core = room.cores["alice"]
    bob, mallory = identity("bob").fingerprint, identity("mallory").fingerprint
    core.left(3, 2)
    core.joined(4, line("bob", 7, 4, keys="mallory"))
    for to, keys in ((2, bob), (7, bob), (2, mallory), (1, identity("alice").fingerprint)):
        with pytest.raises(Gone):
            core.seal_private(to, keys, "text", "psst")
    assert core.seal_private(7, mallory, "text", "as you wish").wraps[0].to == 7


def test_a_private_chain_is_no_chain_of_the_room() -> None:
    """And a private post is no public one."""
    room = Honest("alice", "bob")
    sealed = private(room)
    assert room.cores["bob"].add_wrap(1, sealed.wraps[0]) == [TrustWarning("bad_wrap", "alice")]
    assert room.open("bob", "alice", sealed) == shut("alice", "name", "forged")
    public = room.seal("alice")
    assert open_private(room, "bob", public) == shut("alice", "name", "forged")


def test_a_private_post_with_a_chain_of_another_number_stays_shut() -> None:
    room = Honest("alice", "bob")
    first, second = private(room), private(room)
    mixed = replace(second, wraps=first.wraps)
    assert open_private(room, "bob", mixed) == shut("alice", "no_key", "bad_wrap")


def test_a_private_post_under_a_forged_key_is_named() -> None:
    """The server can make wraps; without the sender's chain they open nothing."""
    room = Honest("alice", "bob")
    room.say("alice")
    sealed = private(room)
    audience = member_audience(2, identity("bob").fingerprint)
    context = Context("den", LOG, audience, identity("alice").fingerprint)
    forged = SenderChain(1, 0, bytes(32)).wrap(context, 2, identity("bob").bundle)
    assert open_private(room, "bob", replace(sealed, wraps=(forged,))) == shut(
        "alice", "no_key", "bad_wrap"
    )


# Secrets


def test_who_lacks_the_secret_neither_reads_nor_is_read() -> None:
    salt = bytes(range(32))
    room = Honest("alice", "bob", "carol", secrets={"alice": salt, "bob": salt})
    sealed = room.seal("alice")
    room.wraps("alice", sealed)
    posts = room.post("alice", sealed)
    assert posts == {
        "bob": (opened("alice", "hello", sealed), []),
        "carol": shut("alice", "secret"),
    }
    sealed = room.seal("carol")
    room.wraps("carol", sealed)
    posts = room.post("carol", sealed)
    assert posts == {name: shut("carol", "secret") for name in ("alice", "bob")}


def test_a_secret_covers_private_posts_too() -> None:
    room = Honest("alice", "bob", secrets={"alice": bytes(range(32))})
    sealed = private(room)
    assert open_private(room, "bob", sealed) == shut("alice", "secret")


def test_a_room_that_one_is_alone_in_can_be_given_a_secret() -> None:
    salt = bytes(range(32))
    room = Honest("alice", secrets={"bob": salt})
    room.say("alice", "to nobody")
    assert room.cores["alice"].guard(salt)
    room.join("bob")
    room.join("carol")
    sealed = room.seal("alice")
    room.wraps("alice", sealed)
    assert room.post("alice", sealed) == {
        "bob": (opened("alice", "hello", sealed), []),
        "carol": shut("alice", "secret"),
    }


def test_a_room_with_others_in_it_is_not_given_a_secret() -> None:
    room = Honest("alice", "bob")
    assert not room.cores["alice"].guard(bytes(range(32)))
    room.say("alice", "as before")


SECRET = bytes(range(32))


def test_a_room_can_be_given_a_secret_while_others_are_in_it() -> None:
    """One after the other; each is read by those who have it by then."""
    room = Honest("alice", "bob", "carol")
    for name in ("alice", "bob", "carol"):
        room.say(name)
    room.cores["alice"].resalt(SECRET)
    sealed = room.seal("alice")
    assert room.post("alice", sealed) == {
        "bob": shut("alice", "secret"),
        "carol": shut("alice", "secret"),
    }
    room.cores["bob"].resalt(SECRET)
    sealed = room.seal("bob")
    assert room.post("bob", sealed) == {
        "alice": (opened("bob", "hello", sealed), []),
        "carol": shut("bob", "secret"),
    }
    assert set(map(str, room.post("carol", room.seal("carol")).values())) == {
        str(shut("carol", "secret"))
    }
    room.cores["carol"].resalt(SECRET)
    for name in ("alice", "bob", "carol"):
        room.say(name, "all have it")


def test_who_is_given_the_secret_late_reads_what_comes_from_then_on() -> None:
    """Also what was sealed before, under chains of which nothing has opened yet."""
    room = Honest("alice", "bob", "carol", secrets={"alice": SECRET, "bob": SECRET})
    carol = room.cores["carol"]
    early = [room.seal("alice", str(number)) for number in range(3)]
    room.wraps("alice", early[0])
    assert room.post("alice", early[0])["carol"] == shut("alice", "secret")
    carol.resalt(SECRET)
    assert room.post("alice", early[1])["carol"] == (opened("alice", "1", early[1]), [])
    room.join("dave")
    assert room.post("alice", early[2])["carol"] == (opened("alice", "2", early[2]), [])
    assert room.post("carol", room.seal("carol"))["bob"] == shut("carol", "no_key")
    sealed = room.cores["alice"].seal_private(3, identity("carol").fingerprint, "text", "psst")
    assert open_private(room, "carol", sealed) == (opened("alice", "psst", sealed), [])


def test_no_number_is_sealed_twice_around_a_new_secret() -> None:
    room = Honest("alice", "bob")
    boxes = [room.seal("alice").box]
    for salt in (SECRET, b"", SECRET):
        room.cores["alice"].resalt(salt)
        boxes += [room.seal("alice").box, room.seal("alice").box]
    assert [(box.epoch, box.n) for box in boxes] == [(1, n) for n in range(7)]


def test_a_chain_that_somebody_has_opens_nothing_without_the_new_secret() -> None:
    room = Honest("alice", "bob")
    first = room.say("alice")
    room.cores["alice"].resalt(SECRET)
    later = room.seal("alice")
    keys = identity("bob")
    context = Context("den", LOG, ROOM_AUDIENCE, identity("alice").fingerprint)
    ck = keys.unwrap(first.wraps[0].wrapped, context.wrap_info(keys.fingerprint, 1, 0))
    chain = SenderChain(1, 0, ck).at(1)
    assert envelope.unseal(later.box.data, chain, context, b"") is None
    assert envelope.unseal(later.box.data, chain, context, SECRET) is not None


def test_what_was_under_way_under_the_former_secret_stays_shut_and_alarms_nobody() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    late = room.seal("alice", "late")
    room.cores["bob"].resalt(SECRET)
    assert room.post("alice", late)["bob"] == shut("alice", "secret")
    room.leave("carol")
    sealed = room.seal("alice", "and without carol")  # in another epoch, still without a secret
    room.wraps("alice", sealed)
    assert room.post("alice", sealed)["bob"] == shut("alice", "secret")
    room.cores["bob"].resalt(b"")
    room.say("alice", "bob has thought better of it")


def test_whoever_has_another_secret_than_a_new_one_alarms_nobody_with_a_new_key() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    room.cores["bob"].resalt(SECRET)
    assert open_private(room, "bob", private(room)) == shut("alice", "secret")
    room.leave("carol")
    sealed = room.seal("alice")
    room.wraps("alice", sealed)
    assert room.post("alice", sealed)["bob"] == shut("alice", "secret")


def test_who_has_taken_another_secret_raises_no_alarm_with_a_new_key() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    room.cores["alice"].resalt(SECRET)
    assert room.post("alice", room.seal("alice"))["bob"] == shut("alice", "secret")
    room.leave("carol")
    sealed = room.seal("alice")
    assert sealed.box.epoch == 2
    room.wraps("alice", sealed)
    assert room.post("alice", sealed)["bob"] == shut("alice", "secret")
    room.cores["alice"].resalt(b"")
    room.join("carol")
    room.say("alice")  # and of who has the same again, a wrong key is named
    room.leave("carol")
    forged = room.seal("alice")
    assert room.cores["bob"].add_wrap(1, forged_wrap(3, 0)) == []
    assert room.open("bob", "alice", forged) == shut("alice", "no_key", "bad_wrap")


# Several rooms at once

LAB = b"a log id of lab,"


def two_rooms(*names: str) -> tuple[Honest, Honest]:
    """The same people in two rooms at once."""
    den = Honest(*names)
    return den, Honest(*names, name="lab", log=LAB, beside=den)


def test_two_rooms_at_once_are_read_and_written_side_by_side() -> None:
    """Each has its epochs and numbers; what happens in one is nothing to the other."""
    den, lab = two_rooms("alice", "bob", "carol")
    for number in range(3):
        for room in (den, lab, lab):
            room.say("alice", str(number))
            room.say("bob")
    assert (den.say("alice").box.n, lab.say("alice").box.n) == (3, 6)
    den.leave("carol")
    later = den.say("alice"), lab.say("alice", "carol is still here")
    assert [(post.box.epoch, post.box.n) for post in later] == [(2, 0), (1, 7)]
    lab.seq += 1
    for core in lab.others():
        assert core.renamed(lab.seq, 1, "al") == []
    sealed = den.say("alice", "under its name of here")
    assert den.cores["bob"].find("al") is None and sealed.box.n == 1


@pytest.mark.parametrize("log", [LOG, LAB])
def test_a_post_of_one_room_does_not_open_in_another(log: bytes) -> None:
    """Not even if a server gives both the same log id, which is named."""
    den = Honest("alice", "bob")
    lab = Honest("alice", name="lab", log=log, beside=den)
    lab.ids["bob"] = 2
    roster = [*lab.members, line("bob", 2, 2)]
    named = [TrustWarning("bad_roster", None)] if log == LOG else []
    assert lab.enter_log("bob", log, roster, 2) == named
    sealed = den.seal("alice")
    den.wraps("alice", sealed)
    assert lab.cores["bob"].add_wrap(1, sealed.wraps[0]) == [TrustWarning("bad_wrap", "alice")]
    forged = shut("alice", "name", "forged")
    assert lab.cores["bob"].open(3, 1, sealed.change, sealed.box) == forged
    assert den.post("alice", sealed)["bob"] == (opened("alice", "hello", sealed), [])


def test_marks_are_each_rooms_own_and_outlive_its_membership() -> None:
    den, lab = two_rooms("alice", "bob")
    posts = [den.say("alice", str(number)) for number in range(3)]
    first = lab.say("alice", "below the marks of den")
    assert (first.box.epoch, first.box.n) == (1, 0)
    den.enter_log("bob", b"den's next log 1", den.members, 2)
    lab.say("alice", "nothing to this room")
    den.enter_log("bob", LOG, den.members, den.seq)
    again = den.cores["bob"].open(den.seq + 1, 1, posts[2].change, posts[2].box)
    assert again == shut("alice", "replay", "replay")
    den.enter("alice")
    assert (den.seal("alice").box.epoch, lab.seal("alice").box.epoch) == (2, 1)


def test_a_post_id_is_shown_once_whichever_the_room() -> None:
    den, lab = two_rooms("alice", "bob")
    sealed = den.say("alice")
    again = lab.cores["alice"].seal("text", "hello", sealed.id)
    lab.wraps("alice", again)
    assert lab.post("alice", again)["bob"] == shut("alice", "replay", "replay")


def test_a_private_post_goes_through_either_room_and_is_bound_to_that() -> None:
    den, lab = two_rooms("alice", "bob")
    posts = [private(room) for room in (den, lab)]
    assert [(post.box.epoch, post.box.n) for post in posts] == [(1, 0)] * 2
    forged = shut("alice", "name", "forged")
    for here, there, sealed in ((den, lab, posts[0]), (lab, den, posts[1])):
        assert open_private(there, "bob", sealed) == forged
        assert open_private(here, "bob", sealed) == (opened("alice", "psst", sealed), [])
        assert open_private(here, "bob", sealed) == (None, [])


def test_who_is_verified_in_one_room_is_so_in_all() -> None:
    den, lab = two_rooms("alice", "bob")
    bob = identity("bob").fingerprint
    den.cores["alice"].verify("bob", bob)
    assert lab.cores["alice"].all_verified() and lab.cores["alice"].is_verified(bob)
    assert den.clients["alice"].is_verified(bob)
    sealed = lab.seal("bob")
    lab.wraps("bob", sealed)
    assert lab.open("alice", "bob", sealed)[0] == opened("bob", "hello", sealed, True)
    lab.cores["alice"].left(9, 2)
    assert lab.cores["alice"].joined(10, line("bob", 9, 10, keys="mallory")) == [
        TrustWarning("other_keys", "bob", True),
    ]
    assert den.cores["alice"].all_verified() and not lab.cores["alice"].all_verified()


def test_a_verified_person_is_not_verified_under_anothers_name_in_any_room() -> None:
    """Whatever it is called in another room, and however late that one is entered."""
    den, lab = two_rooms("alice", "bob", "carol")
    core, other = den.cores["alice"], lab.cores["alice"]
    prints = {name: identity(name).fingerprint for name in ("bob", "carol")}
    for name, fingerprint in prints.items():
        core.verify(name, fingerprint)
    core.left(4, 2)
    assert core.renamed(5, 3, "bob") == [TrustWarning("other_keys", "bob", True)]
    other.left(4, 3)
    other.joined(5, line("carol", 7, 5))  # seen last under her own name
    assert not core.is_verified(prints["carol"]) and other.is_verified(prints["carol"])
    assert (core.standing(prints["carol"]), core.all_verified()) == ("new", False)
    den.seq = 5
    den.cores["carol"].left(4, 2)
    den.cores["carol"].renamed(5, 3, "bob")
    sealed = den.seal("carol")
    den.wraps("carol", sealed)
    assert den.open("alice", "carol", sealed)[0] == opened("bob", "hello", sealed, verified=False)


def test_known_is_said_of_a_nickname_and_not_of_another_one() -> None:
    den, lab = two_rooms("alice", "bob")
    bob = identity("bob").fingerprint
    core, other = den.cores["alice"], lab.cores["alice"]
    for place in (core, other):
        place.left(3, 2)
    for place in (core, other):
        place.joined(4, line("bob", 4, 4))
    core.joined(5, line("carol", 5, 5))
    core.left(6, 5)
    core.renamed(7, 4, "carol")
    assert core.standing(bob) == "new"
    assert other.standing(bob) == "known"


def test_to_be_met_in_several_rooms_at_once_makes_nobody_known() -> None:
    den, lab = two_rooms("alice", "bob")
    core, other = den.cores["alice"], lab.cores["alice"]
    bob = identity("bob").fingerprint
    assert (core.standing(bob), other.standing(bob)) == ("new", "new")
    other.left(3, 2)
    other.joined(4, line("bob", 4, 4))  # and never left den
    assert (core.standing(bob), other.standing(bob)) == ("new", "new")
    for place, seq in (core, 3), (other, 5):
        place.left(seq, {3: 2, 5: 4}[seq])
    core.joined(4, line("bob", 4, 4))  # from nowhere: it is back
    other.joined(6, line("bob", 6, 6))
    assert (core.standing(bob), other.standing(bob)) == ("known", "known")


@pytest.mark.parametrize("first", [True, False], ids=["here-before-me", "after-me"])
def test_who_is_met_again_in_a_room_that_is_joined_anew_is_known(first: bool) -> None:
    """As it is without a second room, whose members are still those of before the server ended."""
    den, lab = two_rooms("alice", "bob")
    bob = identity("bob").fingerprint
    me, him = line("alice", 1, 1), line("bob", 2, 2 if first else 3)
    there = [me, him] if first else [me]
    again = den.clients["alice"].enter("den", bytes(32), 1, there, 2)
    if not first:
        again.joined(3, line("bob", 2, 3))
    assert again.standing(bob) == "known"


def test_nicknames_that_keys_are_known_under_are_bounded() -> None:
    core = Honest("alice", "bob").cores["alice"]
    core.left(3, 2)
    core.joined(4, line("bob", 4, 4))
    for number in range(40):
        core.renamed(5 + number, 4, f"bob{number}")
    met = core._trust._met[identity("bob").fingerprint]
    assert len(met.known) == 16 and "bob39" in met.known


def test_whose_keys_turn_out_not_to_count_gets_nothing_more_in_any_room() -> None:
    """An earlier start that is over was still here when a later one told of it elsewhere."""
    den = Honest("alice", "dave")
    lab = Honest("alice", "dave", name="lab", log=LAB, beside=den)
    core, other = den.cores["alice"], lab.cores["alice"]
    core.joined(3, person("bob", 5, 5, 7, 3))
    assert {wrap.to for wrap in core.seal("text", "x").wraps} == {2, 7}
    other.joined(3, person("bob", 6, 6, 8, 3))
    assert core.seal("text", "x").wraps == ()
    warned = other.joined(4, person("bob", 5, 5, 9, 4, "bob5"))
    assert [warning.code for warning in warned] == ["old_run"]
    sealed = core.seal("text", "without it")
    assert (sealed.box.epoch, [wrap.to for wrap in sealed.wraps]) == (2, [2])
    assert {wrap.to for wrap in other.seal("text", "x").wraps} == {2, 8}


def test_marks_of_all_rooms_that_one_is_in_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no longer than that: a membership goes with whoever held it."""
    monkeypatch.setattr(sender_keys, "_MARKS", 1)
    den, lab = two_rooms("alice", "bob")
    den.join("carol")
    lab.join("dave")
    post = lab.say("alice")
    den.say("alice")
    den.say("carol")
    bob = lab.cores["bob"]
    assert bob.open(9, 1, post.change, post.box) == shut("alice", "replay", "replay")
    run, here = bob._run, ["alice", "bob", "dave"]
    assert run.fingerprints() == {identity(name).fingerprint for name in [*here, "carol"]}
    del den.cores["bob"]
    assert run.fingerprints() == {identity(name).fingerprint for name in here}


# Codes


def test_room_code_is_the_scrypt_of_the_specification() -> None:
    pairs = (("bob", b"B" * 32), ("alice", b"A" * 32))
    data = labelled("cmdchat room code 1", b"den", b"alice", b"A" * 32, b"bob", b"B" * 32)
    salt = labelled("cmdchat room code salt 1")
    raw = hashlib.scrypt(data, salt=salt, n=2**15, r=8, p=1, dklen=32, maxmem=2**26)
    number = str(int.from_bytes(raw, "big") % 10**30).zfill(30)
    code = safety_numbers.room_code("Den", pairs)
    assert code.replace(" ", "") == number
    assert [len(group) for group in code.split(" ")] == [5] * 6


def test_room_code_differs_when_anything_does() -> None:
    alice, bob = ("alice", b"A" * 32), ("bob", b"B" * 32)
    same = safety_numbers.room_code("den", (alice, bob))
    assert safety_numbers.room_code("DEN", (bob, alice)) == same
    others = [
        safety_numbers.room_code("other", (alice, bob)),
        safety_numbers.room_code("den", (alice, ("bob", b"C" * 32))),
        safety_numbers.room_code("den", (alice, ("bobby", b"B" * 32))),
        safety_numbers.room_code("den", (("bob", b"A" * 32), ("alice", b"B" * 32))),
        safety_numbers.room_code("den", (alice, bob, ("carol", b"C" * 32))),
    ]
    assert len({same, *others}) == 6


def test_secret_salt_is_the_scrypt_of_the_specification() -> None:
    salt = labelled("cmdchat room secret 1", b"den")
    raw = hashlib.scrypt("é".encode(), salt=salt, n=2**17, r=8, p=1, dklen=32, maxmem=2**28)
    # Composed or not, it is the same word.
    assert safety_numbers.secret_salt("e\u0301", "Den") == raw
    with pytest.raises(Malformed):
        safety_numbers.secret_salt("\ud800", "den")


def test_new_secrets_are_128_random_bits() -> None:
    found = {safety_numbers.new_secret() for _ in range(50)}
    assert len(found) == 50
    assert {len(base64.urlsafe_b64decode(secret + "==")) for secret in found} == {16}


def test_code_pairs_are_those_of_the_roster() -> None:
    room = Honest("alice", "bob", "carol")
    core = room.cores["alice"]
    print_of = {name: identity(name).fingerprint for name in ("alice", "bob", "carol")}
    assert dict(core.code_pairs()) == print_of
    assert dict(core.code_pairs("BOB")) == {name: print_of[name] for name in ("alice", "bob")}
    assert core.code_pairs("bob") == tuple(reversed(room.cores["bob"].code_pairs("alice")))
    with pytest.raises(Gone):
        core.code_pairs("dave")


# Trust


def test_verified_is_who_was_compared_and_stays_so_over_rooms_and_nicknames() -> None:
    room = Honest("alice", "bob", "carol")
    core = room.cores["alice"]
    bob = identity("bob").fingerprint
    core.verify("BOB", bob)
    assert core.is_verified(bob)
    assert not core.all_verified()
    core.verify("carol", identity("carol").fingerprint)
    assert core.all_verified()
    assert core.compared_as(line("Bob", 2)) is None
    assert core.renamed(4, 2, "robert") == []
    assert core.compared_as(line("robert", 2, keys="bob")) == "bob"
    assert core.compared_as(line("rob", 2, keys="dave")) is None  # verified as nobody
    assert core.compared_as(line("al", 1, keys="alice")) is None  # oneself
    two = [line("alice", 1), line("bob", 2)]
    assert room.clients["alice"].enter("elsewhere", LOG, 1, two, 9).all_verified()
    assert room.cores["bob"].is_verified(bob)  # oneself
    assert not room.cores["bob"].all_verified()


def test_posts_say_whether_their_sender_is_verified() -> None:
    room = Honest("alice", "bob")
    room.cores["bob"].verify("alice", identity("alice").fingerprint)
    sealed = room.seal("alice")
    room.wraps("alice", sealed)
    assert room.open("bob", "alice", sealed)[0] == opened("alice", "hello", sealed, True)


def test_keys_that_changed_since_the_code_was_shown_are_not_verified() -> None:
    room = Honest("alice", "bob")
    core = room.cores["alice"]
    core.left(3, 2)
    core.joined(4, line("bob", 7, 4, keys="mallory"))
    for nick in ("bob", "nobody"):
        with pytest.raises(Gone):
            core.verify(nick, identity("bob").fingerprint)
    assert not core.is_verified(identity("mallory").fingerprint)


def test_alone_in_a_room_nobody_is_verified() -> None:
    """Else whoever comes first would hand every line back."""
    assert not Honest("alice").cores["alice"].all_verified()


@pytest.mark.parametrize("verified", [False, True])
def test_a_nickname_with_other_keys_is_announced(verified: bool) -> None:
    """Whether it joins, is renamed to, or stands in the roster of a new join."""
    warning = TrustWarning("other_keys", "Bob", loud=verified)

    def after() -> Honest:
        room = Honest("alice", "bob", "carol")
        if verified:
            room.cores["alice"].verify("bob", identity("bob").fingerprint)
        room.cores["alice"].left(4, 2)
        return room

    def core() -> RoomEncryption:
        return after().cores["alice"]

    assert core().joined(5, line("Bob", 7, 5, keys="mallory")) == [warning]
    assert core().renamed(5, 3, "Bob") == [warning]
    again = [line("alice", 9), line("Bob", 8, keys="dave")]
    alice = after().clients["alice"]
    assert alice.enter("den", b"a new log, say 1", 9, again, 9).warnings == [warning]
    assert core().joined(5, line("Bob", 7, 5, keys="bob")) == []


def test_a_verified_nickname_stays_loud_when_its_keys_change_twice() -> None:
    core = Honest("alice", "bob").cores["alice"]
    core.verify("bob", identity("bob").fingerprint)
    core.left(3, 2)
    core.joined(4, line("bob", 7, 4, keys="mallory"))
    core.left(5, 7)
    assert core.joined(6, line("bob", 8, 6, keys="dave")) == [
        TrustWarning("other_keys", "bob", True)
    ]
    core.left(7, 8)
    assert core.joined(8, line("bob", 9, 8)) == []
    assert core.is_verified(identity("bob").fingerprint)


@functools.cache
def start(name: str, run: int, since: int) -> Bundle:
    """One start of somebody whose signing key lasts: its other keys are this start's own."""
    sign = identity(name)._sign
    return Identity(sign, run, since, identity(f"{name} {run}")._keys).bundle


def person(name: str, run: int, since: int, id: int, seq: int, nick: str = "") -> MemberLine:
    return MemberLine(id, nick or name, seq, start(name, run, since))


def test_the_next_start_of_a_person_is_no_news_and_stays_verified() -> None:
    core = Honest("alice", "carol").cores["alice"]
    assert core.joined(3, person("bob", 5, 5, 7, 3)) == []
    core.verify("bob", start("bob", 5, 5).fingerprint)
    core.left(4, 7)
    assert core.joined(5, person("bob", 6, 6, 8, 5)) == []
    assert core.is_verified(start("bob", 6, 6).fingerprint)
    assert {wrap.to for wrap in core.seal("text", "x").wraps} == {2, 8}


def test_an_old_bundle_comes_back_to_nothing() -> None:
    """The server plays a start again that is over; whoever has its keys now reads nothing."""
    room = Honest("alice", "bob")
    core = room.cores["alice"]
    core.joined(3, person("carol", 5, 5, 7, 3))
    core.verify("carol", start("carol", 5, 5).fingerprint)
    core.left(4, 7)
    core.joined(5, person("carol", 6, 6, 8, 5))
    core.left(6, 8)
    old = start("carol", 5, 5).fingerprint
    assert core.joined(7, person("carol", 5, 5, 9, 7)) == [TrustWarning("old_run", "carol", True)]
    assert not core.is_verified(old) and core.standing(old) == "new"
    sealed = core.seal("text", "x")
    assert (sealed.warnings, [wrap.to for wrap in sealed.wraps]) == ((), [2])
    with pytest.raises(KeyUnusable):
        core.seal_private(9, old, "text", "psst")
    with pytest.raises(Gone):
        core.verify("carol", old)
    assert core.open(8, 9, 7, Box(1, 0, b"", bytes(64))) == shut("carol", "name", "forged")
    assert core.renamed(9, 9, "caro") == [] and not core.is_verified(old)
    # In the roster it is all the same: everybody has to count the same members.
    assert [entry.id for entry in core.members()] == [1, 2, 9]


def test_two_starts_at_once_are_both_there() -> None:
    core = Honest("alice").cores["alice"]
    assert core.joined(2, person("bob", 5, 5, 7, 2)) == []
    core.verify("bob", start("bob", 5, 5).fingerprint)
    assert core.joined(3, person("bob", 6, 5, 8, 3, "bob2")) == []
    core.left(4, 7)
    assert core.joined(5, person("bob", 5, 5, 9, 5)) == [], "its later start says that it goes on"
    assert {wrap.to for wrap in core.seal("text", "x").wraps} == {8, 9}
    assert core.all_verified()


def test_what_is_in_the_room_stays_good_there() -> None:
    core = Honest("alice").cores["alice"]
    core.joined(2, person("bob", 5, 5, 7, 2))
    core.joined(3, person("bob", 6, 6, 8, 3, "bob2"))
    assert core.renamed(4, 7, "bobby") == []
    assert {wrap.to for wrap in core.seal("text", "x").wraps} == {7, 8}


def test_other_keys_beside_a_persons_are_nobodys() -> None:
    """Bob is verified; the server puts keys of its own beside his."""
    core = Honest("alice", "dave").cores["alice"]
    core.joined(3, person("bob", 5, 5, 7, 3))
    core.verify("bob", start("bob", 5, 5).fingerprint)
    core.left(4, 7)
    false = replace(start("bob", 5, 5), recipient=identity("mallory").bundle.recipient)
    warned = core.joined(5, MemberLine(8, "bob", 5, false))
    assert warned == [TrustWarning("bad_bundle", "bob")]
    assert not core.is_verified(false.fingerprint)
    assert {wrap.to for wrap in core.seal("text", "x").wraps} == {2}


def test_being_there_makes_nobody_known_in_a_verified_place() -> None:
    core = Honest("alice", "bob").cores["alice"]
    core.verify("bob", identity("bob").fingerprint)
    core.left(3, 2)
    false = identity("mallory").fingerprint
    for seq in (4, 6, 8):
        joined = core.joined(seq, line("bob", seq, seq, keys="mallory"))
        assert joined == [TrustWarning("other_keys", "bob", True)]
        assert core.standing(false) == "new"
        core.left(seq + 1, seq)
    core.joined(10, line("bob", 10, 10, keys="mallory"))
    core.verify("bob", false)
    assert core.is_verified(false)
    core.left(11, 10)
    assert core.joined(12, line("bob", 12, 12)) == [TrustWarning("other_keys", "bob", True)]


def test_a_verified_person_is_not_verified_as_another_one() -> None:
    core = Honest("alice", "bob", "carol").cores["alice"]
    for name in ("bob", "carol"):
        core.verify(name, identity(name).fingerprint)
    core.left(4, 2)
    assert core.renamed(5, 3, "bob") == [TrustWarning("other_keys", "bob", True)]
    assert not core.is_verified(identity("carol").fingerprint)
    core.renamed(6, 3, "carol")
    assert core.is_verified(identity("carol").fingerprint)


def test_known_is_who_had_the_nickname_before() -> None:
    core = Honest("alice", "bob").cores["alice"]
    prints = {name: identity(name).fingerprint for name in ("alice", "bob", "carol")}
    assert core.standing(prints["alice"]) == "verified"
    assert core.standing(prints["bob"]) == "new"
    core.left(3, 2)
    core.joined(4, line("bob", 4, 4))
    assert core.standing(prints["bob"]) == "known"
    core.renamed(5, 4, "bobby")
    assert core.standing(prints["bob"]) == "known"
    assert core.joined(6, line("bob", 6, 6, keys="carol")) == [TrustWarning("other_keys", "bob")]
    assert core.standing(prints["carol"]) == "new"
    assert core.standing(bytes(32)) == "new"


def test_an_unverified_member_among_verified_ones_is_announced() -> None:
    room = Honest("alice", "bob")
    core = room.cores["alice"]
    assert core.joined(3, line("carol", 3, 3)) == []
    core.left(4, 3)
    core.verify("bob", identity("bob").fingerprint)
    newcomer = [TrustWarning("unverified_member", "carol")]
    assert core.joined(5, line("carol", 5, 5)) == newcomer
    assert core.joined(6, line("dave", 6, 6)) == []  # it was not so any more
    core.left(7, 5)
    core.left(8, 6)
    members = [line("alice", 9), line("bob", 10), line("carol", 11)]
    alice = room.clients["alice"]
    assert alice.enter("other", b"a new log, say 2", 9, members, 9).warnings == []
    again = alice.enter("den", b"a new log, say 3", 9, members, 9, guarded=core.all_verified())
    assert again.warnings == newcomer


def test_who_was_there_before_the_server_restarted_is_not_announced_again() -> None:
    """Until something is said to the verified alone; and only who did not leave by themselves."""
    core = Honest("alice", "bob").cores["alice"]
    alice = Encryption(identity("alice"))
    newcomer = [TrustWarning("unverified_member", "carol")]
    members = [line("alice", 1), line("bob", 2)]

    def enter(log: bytes) -> RoomEncryption:
        return alice.enter("den", log.ljust(16), 1, members, 2, guarded=core.all_verified())

    core = enter(b"first")
    core.verify("bob", identity("bob").fingerprint)
    assert core.joined(3, line("carol", 3, 3)) == newcomer
    for log in (b"second", b"third"):  # nobody was back before the next one
        core = enter(log)
    assert core.joined(3, line("dave", 3, 3)) == [TrustWarning("unverified_member", "dave")]
    core.left(4, 3)
    assert core.joined(5, line("carol", 5, 5)) == []
    core.left(6, 5)
    assert core.joined(7, line("carol", 7, 7)) == newcomer
    core = enter(b"fourth")
    core.seal("text", "to you alone")
    assert core.joined(3, line("carol", 3, 3)) == newcomer
    core = enter(b"fifth")
    assert newcomer[0] in core.joined(3, line("carol", 3, 3, keys="mallory"))
    stranger = [TrustWarning("unverified_member", "eve")]
    for seq in (3, 5):  # fell behind: the log went on, and she has left and come in it
        core = enter(b"sixth")
        assert core.joined(seq, line("eve", seq, seq)) == stranger


def test_what_is_known_of_nicknames_is_bounded_but_for_the_verified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("client.encryption.trust._REMEMBERED", 3)
    trust = Trust(identity("alice").bundle)
    trust.verify(RosterEntry(line("bob", 2)))
    trust.meet(RosterEntry(line("bob", 2)))
    for number in (0, 1, 0, 2):
        trust.meet(RosterEntry(line(f"dave{number}", 5, keys="dave")))
    assert trust.meet(RosterEntry(line("dave0", 6, keys="carol"))) == [
        TrustWarning("other_keys", "dave0")
    ]
    assert trust.meet(RosterEntry(line("dave1", 6, keys="carol"))) == []  # forgotten
    assert trust.meet(RosterEntry(line("bob", 6, keys="carol"))) == [
        TrustWarning("other_keys", "bob", True)
    ]


# The roster


def test_keys_are_checked_once_for_all_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """But never on the word of others that only look like them."""
    checked: list[bytes] = []
    is_signed = Bundle._is_signed

    def counted(self: Bundle, signature: bytes, message: bytes) -> bool:
        checked.append(self.fingerprint)
        return is_signed(self, signature, message)

    monkeypatch.setattr(Bundle, "_is_signed", counted)
    alice, bob = Encryption(identity("alice")), identity("bob").bundle

    def enter(room: str, signature: bytes = bob.sig) -> RoomEncryption:
        again = Bundle(bob.recipient, bob.sign, bob.run, bob.since, signature)
        members = [line("alice", 1), MemberLine(2, "bob", 2, again)]
        return alice.enter(room, room.encode().ljust(16), 1, members, 9)

    rooms = [enter("one"), enter("two"), enter("three")]
    assert checked == [bob.fingerprint] and not any(room.warnings for room in rooms)
    forged = enter("four", bytes(64))
    assert TrustWarning("bad_bundle", "bob") in forged.warnings
    assert checked == [bob.fingerprint] * 2



def enter_with(*members: MemberLine, me: int = 1, change: int = 9) -> list[TrustWarning]:
    return Encryption(identity("alice")).enter("den", LOG, me, members, change).warnings


def test_an_honest_roster_says_nothing() -> None:
    assert enter_with(line("alice", 1), line("bob", 2)) == []


@pytest.mark.parametrize(
    ("members", "nick"),
    [
        ([line("bob", 2)], None),
        ([line("alice", 1, keys="mallory"), line("bob", 2)], "alice"),
        ([line("alice", 1), line("alice", 1)], "alice"),
        ([line("alice", 1, joined=10)], "alice"),
        ([line("alice", 1), line("Alice", 2, keys="bob")], "Alice"),
        ([line("alice", 1), line("bob", 2, keys="alice")], "bob"),
        ([line("alice", 1), line("bob", 2), line("BOB", 3, keys="dave")], "BOB"),
        ([line("alice", 1), line("bob", 2), line("dave", 3, keys="bob")], "dave"),
        ([line("alice", 1), line("bob", 2), line("dave", 2)], "dave"),
        ([line("alice", 1), line("bob", 2, joined=10)], "bob"),
        ([line("alice", 1), line("a\u200blice", 2, keys="bob")], "a\u200blice"),
    ],
    ids=[
        "without me",
        "my keys are others",
        "me twice",
        "me from the future",
        "my nickname twice",
        "my keys twice",
        "a nickname twice",
        "keys twice",
        "an id twice",
        "somebody from the future",
        "a nickname that nobody may have",
    ],
)
def test_a_roster_that_cannot_be_is_named(members: list[MemberLine], nick: str | None) -> None:
    assert enter_with(*members) == [TrustWarning("bad_roster", nick)]


def test_a_member_that_contradicts_the_roster_gets_no_keys() -> None:
    members = [line("alice", 1), line("bob", 2), line("dave", 3, keys="bob")]
    core = Encryption(identity("alice")).enter("den", LOG, 1, members, 3)
    assert [wrap.to for wrap in core.seal("text", "x").wraps] == [2]


def test_a_room_that_is_over_full_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.encryption.roster.ROOM_MEMBERS", 2)
    full = [TrustWarning("bad_roster", "carol")]
    assert enter_with(line("alice", 1), line("bob", 2), line("carol", 3)) == full
    core = Honest("alice", "bob").cores["alice"]
    assert core.joined(3, line("carol", 3, 3)) == full


def test_a_log_never_goes_back() -> None:
    """Not even in a new join: a server that plays an old log is named."""
    room = Honest("alice", "bob")
    room.cores["alice"].joined(7, line("carol", 3, 7))
    assert room.enter_log("alice", LOG, room.members, 7) == [TrustWarning("bad_roster", None)]
    assert room.enter_log("alice", LOG, room.members, 8) == []
    assert room.enter_log("alice", b"another log id 1", room.members, 2) == []


def test_which_logs_went_where_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.encryption.run_state._LOGS", 2)
    room = Honest("alice")
    for number in (1, 2, 3):
        assert room.enter_log("alice", bytes([number]) * 16, room.members, 5) == []
    assert room.enter_log("alice", bytes([1]) * 16, room.members, 5) == []  # forgotten
    assert room.enter_log("alice", bytes([3]) * 16, room.members, 5) != []


@pytest.mark.parametrize(
    ("change", "nick"),
    [
        (lambda core: core.left(4, 99), None),
        (lambda core: core.left(4, 1), "alice"),
        (lambda core: core.left(3, 2), "bob"),
        (lambda core: core.renamed(4, 99, "x"), None),
        (lambda core: core.renamed(4, 2, "CAROL"), "bob"),
        (lambda core: core.renamed(3, 2, "robert"), "bob"),
        (lambda core: core.rejoined(4, 99), None),
        (lambda core: core.rejoined(4, 1), "alice"),
        (lambda core: core.rejoined(3, 2), "bob"),
        (lambda core: core.joined(4, line("dave", 2, 4)), "dave"),
        (lambda core: core.joined(4, line("bob", 9, 4, keys="dave")), "bob"),
        (lambda core: core.joined(4, line("dave", 9, 4, keys="bob")), "dave"),
        (lambda core: core.joined(3, line("dave", 9, 3)), "dave"),
    ],
)
def test_a_change_that_cannot_be_is_named_and_changes_nobody(change, nick) -> None:  # type: ignore[no-untyped-def]
    core = Honest("alice", "bob", "carol").cores["alice"]
    before = core.members()
    assert change(core) == [TrustWarning("bad_roster", nick)]
    assert core.members() == before
    assert core.find("bob") == before[1]


def test_a_post_for_a_change_that_cannot_be_is_still_read() -> None:
    """The server lies to Bob about it: that is said, and stops nobody."""
    room = Honest("alice", "bob", "carol")
    room.cores["alice"].joined(4, line("dave", 4, 4))
    assert room.cores["bob"].joined(4, line("carol", 4, 4)) == [TrustWarning("bad_roster", "carol")]
    sealed = room.seal("alice")
    room.wraps("alice", sealed)
    room.seq = 4
    post, warnings = room.open("bob", "alice", sealed)
    assert post == opened("alice", "hello", sealed)
    assert warnings == [TrustWarning("transcript", "alice")]


def test_ones_own_nickname_with_other_keys_is_announced() -> None:
    """The present one, and one that was given up."""
    for nick, changes in (("alice", ["al"]), ("al", ["al", "ally"])):
        core = Honest("alice", "bob").cores["alice"]
        for seq, own in enumerate(changes, 3):
            core.renamed(seq, 1, own)
        newcomer = line(nick, 9, 9, keys="mallory")
        assert core.joined(9, newcomer) == [TrustWarning("other_keys", nick)]


def test_the_keys_of_who_left_are_forgotten() -> None:
    room = Honest("alice", "bob", "carol")
    core = room.cores["alice"]
    bad = broken(identity("mallory"))
    core.joined(4, MemberLine(9, "mallory", 4, bad))
    core.seal("text", "x")
    context = Context("den", LOG, ROOM_AUDIENCE, identity("bob").fingerprint)
    wrap = SenderChain.start(1).wrap(context, 1, identity("alice").bundle)
    core.add_wrap(2, wrap)
    assert (set(core._room.sender_keys), core._room.unusable) == ({2}, {9})
    core.left(5, 2)
    core.left(6, 9)
    assert (core._room.sender_keys, core._room.unusable) == ({}, set())
    assert core._room.chain is None


def test_the_id_of_somebody_who_left_is_not_given_again() -> None:
    core = Honest("alice", "bob").cores["alice"]
    core.left(3, 2)
    assert core.joined(4, line("dave", 2, 4)) == [TrustWarning("bad_roster", "dave")]


def test_a_new_nickname_of_ones_own_is_signed_from_then_on() -> None:
    room = Honest("alice", "bob")
    room.seq += 1
    for core in room.others():
        assert core.renamed(room.seq, 1, "Al") == []
    sealed = room.seal("alice")
    room.wraps("alice", sealed)
    assert room.open("bob", "alice", sealed)[0] == opened("Al", "hello", sealed)


def test_a_post_is_judged_by_the_roster_that_its_sender_had() -> None:
    """It was sealed before a renaming and arrives after it."""
    room = Honest("alice", "bob")
    sealed = room.seal("alice")
    room.wraps("alice", sealed)
    room.seq += 1
    room.cores["bob"].renamed(room.seq, 1, "al")
    assert room.open("bob", "alice", sealed) == (opened("alice", "hello", sealed), [])


def test_rosters_of_the_last_64_changes_are_remembered() -> None:
    room = Honest("alice", "bob")
    first, second = room.seal("alice", "1"), room.seal("alice", "2")
    room.wraps("alice", first)
    for number in range(64):
        room.cores["bob"].renamed(3 + number, 2, f"bob{number}")
    room.seq = 70
    assert room.open("bob", "alice", first)[0] == opened("alice", "1", first)
    room.seq += 1
    room.cores["bob"].renamed(room.seq, 2, "bob")
    assert room.open("bob", "alice", second)[0] == UndecryptablePost("alice", "name")


def test_rejoined_gets_the_chain_again_and_only_forwards() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    core = room.cores["alice"]
    numbers = []
    for _ in range(5):  # a server may invent it as often as it likes
        room.seq += 1
        for each in room.others("bob"):
            assert each.rejoined(room.seq, 2) == []
        sealed = room.seal("alice")
        assert [wrap.to for wrap in sealed.wraps] == [2]
        assert sealed.wraps[0].n == sealed.box.n
        numbers.append((sealed.box.epoch, sealed.box.n))
    assert numbers == [(1, n) for n in range(1, 6)]
    assert core.find("bob") == replace(line("bob", 2), joined=room.seq)


def test_who_rejoined_reads_on() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    room.say("bob")
    room.seq += 1
    for core in room.others("bob"):
        core.rejoined(room.seq, 2)
    assert room.enter("bob") == []
    room.say("alice")
    assert room.say("bob").box.epoch == 2


# What a lying server tries


def test_swapped_keys_change_the_codes_and_open_nothing() -> None:
    """Alice is shown Mallory's keys as Bob's."""
    room = Honest("alice", "bob")
    members = [line("alice", 1, 1), line("bob", 2, 2, keys="mallory")]
    alice = Encryption(identity("alice")).enter("den", LOG, 1, members, 2)
    bob = room.cores["bob"]
    assert set(alice.code_pairs()) != set(bob.code_pairs())
    sealed = alice.seal("text", "to bob")
    assert bob.add_wrap(1, sealed.wraps[0]) == [TrustWarning("bad_wrap", "alice")]
    assert bob.open(3, 1, sealed.change, sealed.box) == shut("alice", "no_key")
    genuine = room.seal("bob")
    assert alice.open(3, 2, genuine.change, genuine.box) == shut("bob", "name", "forged")


def test_nicknames_swapped_between_keys_are_named() -> None:
    """Bob and Carol stay who they are and are shown to Alice under each other's names."""
    room = Honest("alice", "bob", "carol")
    swapped = [line("alice", 1), line("carol", 2, keys="bob"), line("bob", 3, keys="carol")]
    alice = Encryption(identity("alice")).enter("den", LOG, 1, swapped, 3)
    sealed = room.seal("bob")
    assert alice.open(4, 2, sealed.change, sealed.box) == shut("carol", "name", "forged")
    assert set(alice.code_pairs()) != set(room.cores["bob"].code_pairs())


def test_nicknames_swapped_later_are_named_too() -> None:
    room = Honest("alice", "bob", "carol")
    alice = room.cores["alice"]
    alice.verify("bob", identity("bob").fingerprint)
    alice.renamed(4, 2, "robert")
    assert alice.renamed(5, 3, "bob") == [TrustWarning("other_keys", "bob", loud=True)]
    with pytest.raises(Gone):
        alice.seal_private(3, identity("bob").fingerprint, "text", "for bob")


def test_a_ghost_for_all_changes_the_code() -> None:
    room = Honest("alice", "bob")
    before = room.cores["alice"].code_pairs()
    room.join("mallory")
    assert set(room.cores["alice"].code_pairs()) > set(before)


def test_a_ghost_for_one_is_named_when_that_one_speaks() -> None:
    """Alice is shown Mallory among the members, and seals for her; Bob finds out."""
    room = Honest("alice", "bob")
    members = [*room.members, line("mallory", 9, 1)]
    alice = Encryption(identity("alice")).enter("den", LOG, 1, members, 2)
    bob = room.cores["bob"]
    for number in range(2):
        sealed = alice.seal("text", str(number))
        for wrap in sealed.wraps:
            if wrap.to == 2:
                bob.add_wrap(1, wrap)
        post, warnings = bob.open(3 + number, 1, sealed.change, sealed.box)
        assert post == opened("alice", str(number), sealed)
        assert warnings == [TrustWarning("transcript", "alice")] * (not number)  # once


def test_a_ghost_that_joins_for_one_alone_is_named() -> None:
    """The sender names a change that there was for nobody else: its own word, signed."""
    room = Honest("alice", "bob")
    room.say("alice")
    room.cores["alice"].joined(7, line("mallory", 9, 7))
    sealed = room.seal("alice")
    bob = room.cores["bob"]
    assert bob.open(8, 1, sealed.change, sealed.box) == shut("alice", "name", "transcript")
    again = room.seal("alice")
    assert bob.open(9, 1, again.change, again.box) == shut("alice", "name")
    forged = replace(again.box, sig=bytes(64))
    assert bob.open(10, 1, again.change, forged) == shut("alice", "name", "forged")


def test_an_old_roster_for_a_newcomer_is_named() -> None:
    """Carol is not told that Dave left, and would seal for him."""
    room = Honest("alice", "bob", "dave")
    old = list(room.members)
    room.leave("dave")
    room.join("carol")
    for name in room.cores:
        members = [*old, room.members[-1]] if name == "carol" else room.members
        room.enter_log(name, b"the same log, 2x", members, room.seq)
    sealed = room.cores["carol"].seal("text", "hello")
    assert 3 in {wrap.to for wrap in sealed.wraps}
    room.wraps("carol", sealed)
    _, warnings = room.open("alice", "carol", sealed)
    assert warnings == [TrustWarning("transcript", "carol")]


def test_a_post_dropped_for_one_is_named_with_the_next() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    room.say("bob")
    dropped = room.seal("alice", "not for carol")
    room.post("alice", dropped, but=["carol"])
    sealed = room.seal("bob", "next")
    posts = room.post("bob", sealed)
    assert posts["alice"] == (opened("bob", "next", sealed), [])
    assert posts["carol"] == (opened("bob", "next", sealed), [TrustWarning("transcript", "bob")])
    sealed = room.seal("bob", "and again")
    assert room.post("bob", sealed)["carol"] == (opened("bob", "and again", sealed), [])  # once


def change(room: Honest, what: str) -> None:
    """A change of membership that all are told of alike."""
    if what == "joined":
        room.join("eve")
    elif what == "left":
        room.leave("dave")
    else:
        room.seq += 1
        renamed = [core.renamed(room.seq, 2, f"bob{room.seq}") for core in room.others()]
        assert not any(renamed)


@pytest.mark.parametrize("what", ["joined", "left", "renamed"])
def test_a_post_dropped_just_before_a_change_is_named_with_the_next(what: str) -> None:
    room = Honest("alice", "bob", "carol", "dave")
    room.say("alice")
    room.post("alice", room.seal("alice", "not for carol"), but=["carol"])
    change(room, what)
    for text, found in (("next", [TrustWarning("transcript", "alice")]), ("and again", [])):  # once
        sealed = room.seal("alice", text)
        room.wraps("alice", sealed)
        posts = room.post("alice", sealed)
        assert posts.pop("carol") == (opened("alice", text, sealed), found)
        assert all(warnings == [] for _, warnings in posts.values())


def test_a_private_post_tells_its_reader_too() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    room.post("alice", room.seal("alice", "not for carol"), but=["carol"])
    change(room, "renamed")
    for _ in range(2):  # one that only Bob was told does not count as told
        sealed = room.cores["alice"].seal_private(2, identity("bob").fingerprint, "text", "psst")
        assert open_private(room, "bob", sealed)[1] == []
    sealed = room.cores["alice"].seal_private(3, identity("carol").fingerprint, "text", "psst")
    assert open_private(room, "carol", sealed)[1] == [TrustWarning("transcript", "alice")]


def test_a_change_that_only_the_sender_knows_hides_no_post_under_it() -> None:
    """It is invented for Alice alone; what she says there is accepted and dropped."""
    room = Honest("alice", "bob")
    room.say("alice")
    room.seq += 1
    room.cores["alice"].rejoined(room.seq, 2)
    room.post("alice", room.seal("alice", "lost"), but=["bob"])
    change(room, "renamed")
    warnings = []
    for _ in range(3):
        sealed = room.seal("alice")
        room.wraps("alice", sealed)
        warnings += room.post("alice", sealed)["bob"][1]
    assert warnings == [TrustWarning("transcript", "alice")]


def test_a_line_that_was_refused_has_told_nothing() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    room.post("alice", room.seal("alice", "not for carol"), but=["carol"])
    for _ in range(3):
        change(room, "renamed")
        refused = room.seal("alice")
        room.wraps("alice", refused)
    sealed = room.cores["alice"].seal("text", "at last", refused.id)
    posts = room.post("alice", sealed)
    assert posts["carol"] == (
        opened("alice", "at last", sealed),
        [TrustWarning("transcript", "alice")],
    )


def test_posts_on_their_way_are_bounded_and_what_is_forgotten_is_told_again() -> None:
    room = Honest("alice", "bob")
    room.say("bob")
    membership = room.cores["alice"]._room
    first, *others = [room.seal("alice") for _ in range(65)]
    assert len(membership._sealed) == 64
    for sealed, acknowledged in ((first, 0), (others[0], 1)):
        room.seq += 1
        room.cores["alice"].own(room.seq, sealed.change, sealed.box.sig)
        assert membership.history.now.transcript.acknowledged == acknowledged
    assert len(membership._sealed) == 63


def test_who_came_later_is_told_nothing_of_before() -> None:
    room = Honest("alice", "bob")
    room.say("alice")
    room.join("carol")
    assert room.cores["alice"]._room.history.unacknowledged() is not None
    room.say("alice")
    room.say("bob")


def test_a_senders_word_of_the_past_is_judged_by_what_the_reader_was_shown() -> None:
    """Box by box: ``seen`` and ``before`` differ, then each other change once."""
    room = Honest("alice", "bob")
    change(room, "renamed")
    change(room, "renamed")
    bob = room.cores["bob"]
    said = [([3, 1], 1), ([3, 2], 0), ([2, 1], 1), ([1, 1], 0)]  # he came in at change 2
    for epoch, (before, named) in enumerate(said, 1):
        wrong = {"seen": [0, PAST[2]], "before": [*before, PAST[2]]}
        plain = padded(json.dumps(body(id=to_text(bytes([epoch]) * 16), **wrong)))
        wrap, box = member_box("alice", epoch, 0, plain, 4)
        bob.add_wrap(1, wrap)
        post, warnings = bob.open(4 + epoch, 1, 4, box)
        assert isinstance(post, OpenedPost)
        assert warnings == [TrustWarning("transcript", "alice")] * named


def test_posts_in_another_order_for_one_are_named_with_the_next() -> None:
    room = Honest("alice", "bob", "carol", "dave")
    for name in ("alice", "bob", "dave"):
        room.say(name)
    one, two = room.seal("alice", "one"), room.seal("bob", "two")
    room.seq += 1
    carol = room.cores["carol"]
    carol.open(room.seq, 2, two.change, two.box)
    carol.open(room.seq + 1, 1, one.change, one.box)
    room.seq -= 1
    room.post("alice", one, but=["carol"])
    room.post("bob", two, but=["carol"])
    sealed = room.seal("dave", "next")
    posts = room.post("dave", sealed)
    assert posts["alice"] == (opened("dave", "next", sealed), [])
    assert posts["carol"] == (opened("dave", "next", sealed), [TrustWarning("transcript", "dave")])


def test_one_senders_posts_in_another_order_are_replays() -> None:
    room = Honest("alice", "bob")
    one, two = room.seal("alice", "one"), room.seal("alice", "two")
    room.wraps("alice", one)
    assert room.open("bob", "alice", two) == (opened("alice", "two", two), [])
    assert room.open("bob", "alice", one) == shut("alice", "replay", "replay")


def test_a_replay_under_a_new_number_is_named_and_opens_nothing() -> None:
    room = Honest("alice", "bob", "carol")
    sealed = room.say("alice")
    assert room.open("bob", "alice", sealed) == shut("alice", "replay", "replay")
    assert room.open("alice", "alice", sealed) == shut("alice", "replay", "replay")


def test_an_entry_under_an_old_number_is_a_replay_and_is_not_counted() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    sealed = room.seal("alice", "late")
    bob = room.cores["bob"]
    assert bob.open(room.seq, 1, sealed.change, sealed.box) == shut("alice", "replay", "replay")
    bob.own(room.seq, sealed.change, sealed.box.sig)
    for seq in (1, 2):  # and one old number does not bring the next ones back
        assert bob.open(seq, 1, sealed.change, sealed.box) == shut("alice", "replay", "replay")
    posts = room.post("alice", sealed)
    assert posts["bob"] == (opened("alice", "late", sealed), [])
    room.say("bob")


def test_a_whole_log_played_again_to_somebody_who_comes_back_meets_the_marks() -> None:
    room = Honest("alice", "bob")
    sealed = room.say("alice")
    assert room.enter_log("bob", LOG, room.members, 2) == [TrustWarning("bad_roster", None)]
    bob = room.cores["bob"]
    assert bob.add_wrap(1, sealed.wraps[0]) == [TrustWarning("bad_wrap", "alice")]
    assert bob.open(3, 1, sealed.change, sealed.box) == shut("alice", "replay", "replay")


def test_a_wrap_that_comes_again_changes_nothing() -> None:
    room = Honest("alice", "bob")
    first = room.say("alice")
    room.say("alice")
    assert room.wraps("alice", first) == []  # a resume may bring it again
    room.say("alice")


def test_a_wrap_never_rewinds_a_chain() -> None:
    """The sender's own chain at an older number, wrapped anew."""
    room = Honest("alice", "bob")
    context = Context("den", LOG, ROOM_AUDIENCE, identity("alice").fingerprint)
    first = room.say("alice")
    bob = room.cores["bob"]
    old = identity("bob").unwrap(
        first.wraps[0].wrapped, context.wrap_info(identity("bob").fingerprint, 1, 0)
    )
    again = SenderChain(1, 0, old).wrap(context, 2, identity("bob").bundle)
    assert bob.add_wrap(1, again) == [TrustWarning("bad_wrap", "alice")]
    ahead = SenderChain(1, 0, old).at(5).wrap(context, 2, identity("bob").bundle)
    assert bob.add_wrap(1, ahead) == []  # it is that chain, and adds nothing
    for _ in range(3):
        room.say("alice")


def another(letter: bytes) -> bytes:
    """A letter of base64 that is not the one given."""
    return b"B" if letter == b"A" else b"A"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda box: replace(box, sig=bytes([box.sig[0] ^ 1]) + box.sig[1:]),
        lambda box: replace(box, data=box.data[:20] + another(box.data[20:21]) + box.data[21:]),
        lambda box: replace(box, data=box.data + b"="),
        lambda box: replace(box, n=box.n + 1),
        lambda box: replace(box, epoch=box.epoch + 1),
        lambda box: replace(box, epoch=0),
    ],
)
def test_a_forged_box_stays_shut_and_takes_nothing(spoil) -> None:  # type: ignore[no-untyped-def]
    room = Honest("alice", "bob")
    room.say("alice")
    sealed = room.seal("alice", "genuine")
    forged = replace(sealed, box=spoil(sealed.box))
    assert forged != sealed
    # Everybody is given it, so nobody's transcript differs.
    assert room.post("alice", forged) == {"bob": shut("alice", "name", "forged")}
    assert room.post("alice", sealed) == {"bob": (opened("alice", "genuine", sealed), [])}


def test_a_box_is_bound_to_room_log_and_change() -> None:
    room = Honest("alice", "bob")
    room.cores["bob"].renamed(3, 2, "bobby")
    sealed = room.seal("alice")
    bob = room.cores["bob"]
    assert bob.open(4, 1, 3, sealed.box) == shut("alice", "name", "forged")
    for name, log in (("other", LOG), ("den", b"another log id 1")):
        core = Encryption(identity("bob")).enter(name, log, 2, room.members, 2)
        assert core.add_wrap(1, sealed.wraps[0]) == [TrustWarning("bad_wrap", "alice")]
        assert core.open(4, 1, 2, sealed.box) == shut("alice", "name", "forged")


def test_another_members_box_passed_off_as_ones_own_is_named() -> None:
    room = Honest("alice", "bob", "carol")
    sealed = room.seal("alice")
    room.wraps("alice", sealed)
    assert room.open("carol", "bob", sealed) == shut("bob", "name", "forged")
    assert room.open("carol", "alice", sealed) == (opened("alice", "hello", sealed), [])


def test_a_post_of_nobody_is_named_by_its_id() -> None:
    room = Honest("alice", "bob")
    sealed = room.seal("alice")
    bob = room.cores["bob"]
    assert bob.open(3, 77, sealed.change, sealed.box) == shut("#77", "name", "forged")
    assert bob.open(4, 77, 999, sealed.box) == shut("#77", "name", "forged")
    assert bob.add_wrap(77, sealed.wraps[0]) == [TrustWarning("bad_wrap", None)]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda wrap: replace(wrap, wrapped=bytes(1392)),
        lambda wrap: replace(wrap, wrapped=b""),
        lambda wrap: replace(wrap, to=1),
        lambda wrap: replace(wrap, n=wrap.n + 1),
        lambda wrap: replace(wrap, n=1000),
        lambda wrap: replace(wrap, epoch=wrap.epoch + 1),
        lambda wrap: replace(wrap, epoch=0),
    ],
)
def test_a_wrong_wrap_is_named_and_takes_nothing(spoil) -> None:  # type: ignore[no-untyped-def]
    room = Honest("alice", "bob")
    sealed = room.seal("alice")
    wrong = spoil(sealed.wraps[0])
    assert room.cores["bob"].add_wrap(1, wrong) == [TrustWarning("bad_wrap", "alice")]
    room.wraps("alice", sealed)
    assert room.post("alice", sealed) == {"bob": (opened("alice", "hello", sealed), [])}


def forged_wrap(epoch: int, n: int, ck: bytes = bytes(32)) -> Wrap:
    """A chain of Alice's for Bob that Alice did not make: the server needs no secret for it."""
    context = Context("den", LOG, ROOM_AUDIENCE, identity("alice").fingerprint)
    return SenderChain(epoch, n, ck).wrap(context, 2, identity("bob").bundle)


@pytest.mark.parametrize("number", [(0, 0), (1, 1000)])
def test_a_wrap_of_a_number_that_there_is_not_is_named(number: tuple[int, int]) -> None:
    core = Honest("alice", "bob").cores["bob"]
    assert core.add_wrap(1, forged_wrap(*number)) == [TrustWarning("bad_wrap", "alice")]


def test_nobody_gets_a_chain_of_ones_own() -> None:
    core = Honest("alice", "bob").cores["bob"]
    context = Context("den", LOG, ROOM_AUDIENCE, identity("bob").fingerprint)
    wrap = SenderChain.start(1).wrap(context, 2, identity("bob").bundle)
    assert core.add_wrap(2, wrap) == [TrustWarning("bad_wrap", "bob")]


@pytest.mark.parametrize("ahead", [True, False])
def test_a_forged_key_beside_the_genuine_one_is_named_and_blinds_nobody(ahead: bool) -> None:
    room = Honest("alice", "bob")
    bob = room.cores["bob"]
    sealed = room.seal("alice")
    wraps = [sealed.wraps[0], forged_wrap(1, 0)]
    found = [bob.add_wrap(1, wrap) for wrap in (wraps[::-1] if ahead else wraps)]
    assert found == [[], [TrustWarning("bad_wrap", "alice")]]
    assert room.post("alice", sealed) == {"bob": (opened("alice", "hello", sealed), [])}
    room.say("alice")


def test_a_forged_key_alone_opens_nothing_and_is_named() -> None:
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    room.leave("carol")
    sealed = room.seal("alice")  # its wrap is held back
    assert room.cores["bob"].add_wrap(1, forged_wrap(2, 0)) == []
    assert room.open("bob", "alice", sealed) == shut("alice", "no_key", "bad_wrap")


def test_far_away_numbers_blind_nobody() -> None:
    room = Honest("alice", "bob")
    room.say("alice")
    bob = room.cores["bob"]
    for epoch in range(2**53 - 40, 2**53):  # more than are kept
        assert bob.add_wrap(1, forged_wrap(epoch, 999, bytes([epoch % 256]) * 32)) == []
    sealed = room.seal("alice")
    far = replace(sealed.box, epoch=2**53 - 1, n=999)
    assert bob.open(room.seq + 1, 1, sealed.change, far) == shut("alice", "name", "forged")
    room.seq += 1
    room.cores["alice"].own(room.seq, sealed.change, far.sig)
    for _ in range(2):
        room.say("alice")
    room.join("carol")
    room.say("alice")
    room.leave("carol")
    assert room.say("alice").box.epoch == 2


def test_whoever_was_never_given_the_chain_takes_nothing_along() -> None:
    """Comings and goings between two posts cost no epoch, nor do those who lost their keys."""
    room = Honest("alice", "bob")
    assert room.say("alice").box.epoch == 1
    for _ in range(3):
        room.join("carol")
        room.leave("carol")
    assert room.say("alice").box.epoch == 1
    room.join("carol")
    assert room.say("alice").box.epoch == 1
    room.seq += 1
    for name in ("alice", "bob"):
        assert room.cores[name].rejoined(room.seq, room.ids["carol"]) == []
    room.leave("carol")  # she lacked it when she left, and may well have kept it
    assert room.say("alice").box.epoch == 2


def member_box(name: str, epoch: int, n: int, plain: bytes, change: int) -> tuple[Wrap, Box]:
    """A box that its sender signs, whatever is in it: a hostile member, with Bob reading."""
    context = Context("den", LOG, ROOM_AUDIENCE, identity(name).fingerprint)
    chain = SenderChain(epoch, n, b"k" * 32)
    data = envelope.seal(plain, chain, context, b"")
    sig = identity(name).sign(envelope.signed(context, name, change, epoch, n, data))
    return chain.wrap(context, 2, identity("bob").bundle), Box(epoch, n, data, sig)


def test_a_hostile_members_far_away_number_harms_only_itself() -> None:
    room = Honest("alice", "bob")
    bob = room.cores["bob"]
    _, box = member_box("alice", 1, 1000, bytes(64), 2)
    bob.add_wrap(1, forged_wrap(1, 0, b"k" * 32))
    assert bob.open(3, 1, 2, box) == shut("alice", "damaged")
    _, box = member_box("alice", 0, 0, bytes(64), 2)
    assert bob.open(4, 1, 2, box) == shut("alice", "damaged")


def body(**changes: object) -> dict[str, object]:
    seen = Transcript(LOG, 2, Honest("alice", "bob").cores["bob"].code_pairs()).seen()
    fields = {"id": to_text(b"i" * 16), "kind": "text", "text": "hi"}
    return {**fields, "seen": [seen.count, to_text(seen.hash)], **changes}


def padded(text: str) -> bytes:
    return text.encode().ljust(envelope.padded_size(len(text.encode())))


PAST = [1, 4096, to_text(bytes(32))]  # of a change before Bob came: nothing that he could judge

BAD_BODIES = {
    "not JSON": padded("{"),
    "not UTF-8": b"\xff" * 64,
    "no object": padded("[]"),
    "not padded": json.dumps(body()).encode(),
    "padded too little": b"{}".ljust(32),
    "empty": b"",
    "a key twice": padded(json.dumps(body())[:-1] + ',"text":"other"}'),
    "deep": padded("[" * 100_000),
    "no id": padded(json.dumps(body(id=None))),
    "short id": padded(json.dumps(body(id=to_text(b"i" * 15)))),
    "no kind": padded(json.dumps(body(kind=None))),
    "unknown kind": padded(json.dumps(body(kind="shout"))),
    "list as kind": padded(json.dumps(body(kind=["text"]))),
    "no text": padded(json.dumps(body(text=7))),
    "half a surrogate": padded(json.dumps(body(text="\ud800"))),
    "no seen": padded(json.dumps(body(seen=None))),
    "seen of one": padded(json.dumps(body(seen=[0]))),
    "true as seen": padded(json.dumps(body(seen=[True, to_text(bytes(32))]))),
    "negative seen": padded(json.dumps(body(seen=[-1, to_text(bytes(32))]))),
    "seen too many": padded(json.dumps(body(seen=[4097, to_text(bytes(32))]))),
    "seen hash short": padded(json.dumps(body(seen=[0, to_text(bytes(31))]))),
    "seen hash no text": padded(json.dumps(body(seen=[0, 0]))),
    "before no list": padded(json.dumps(body(before={}))),
    "before empty": padded(json.dumps(body(before=[]))),
    "before of two": padded(json.dumps(body(before=[1, 1]))),
    "before of four": padded(json.dumps(body(before=[*PAST, 1]))),
    "before negative": padded(json.dumps(body(before=[-1, *PAST[1:]]))),
    "before of true": padded(json.dumps(body(before=[True, *PAST[1:]]))),
    "before with a fraction": padded(json.dumps(body(before=[1.0, *PAST[1:]]))),
    "before of now": padded(json.dumps(body(before=[2, *PAST[1:]]))),
    "before of later": padded(json.dumps(body(before=[3, *PAST[1:]]))),
    "before too large": padded(json.dumps(body(before=[2**53, *PAST[1:]]))),
    "before of nothing": padded(json.dumps(body(before=[1, 0, PAST[2]]))),
    "before too many": padded(json.dumps(body(before=[1, 4097, PAST[2]]))),
    "before hash short": padded(json.dumps(body(before=[1, 1, to_text(bytes(31))]))),
    "before hash no text": padded(json.dumps(body(before=[1, 1, 0]))),
}


@pytest.mark.parametrize("plain", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_the_specification_does_not_allow_is_damaged(plain: bytes) -> None:
    room = Honest("alice", "bob")
    wrap, box = member_box("alice", 1, 0, plain, 2)
    bob = room.cores["bob"]
    bob.add_wrap(1, wrap)
    assert bob.open(3, 1, 2, box) == shut("alice", "damaged")
    fine = body(later="unknown keys are fine", before=PAST)
    _, good = member_box("alice", 1, 0, padded(json.dumps(fine)), 2)
    post = bob.open(4, 1, 2, good)
    assert post == (OpenedPost("alice", "text", "hi", b"i" * 16, False), [])


def test_a_genuine_box_that_does_not_open_under_a_proven_chain_has_another_secret() -> None:
    room = Honest("alice", "bob")
    bob = room.cores["bob"]
    wrap, box = member_box("alice", 1, 0, padded(json.dumps(body())), 2)
    bob.add_wrap(1, wrap)
    assert isinstance(bob.open(3, 1, 2, box)[0], OpenedPost)
    _, box = member_box("alice", 1, 1, padded(json.dumps(body())), 2)  # under another key
    assert bob.open(4, 1, 2, box) == shut("alice", "secret")


def test_a_post_id_is_shown_once() -> None:
    room = Honest("alice", "bob")
    first = room.say("alice")
    again = room.cores["alice"].seal("text", "the same", first.id)
    assert room.post("alice", again) == {"bob": shut("alice", "replay", "replay")}
    room.say("alice")


def test_a_member_that_wraps_different_keys_is_read_by_some_only() -> None:
    """At worst unreadable: what it cannot do is be read differently."""
    room = Honest("alice", "bob", "carol")
    room.say("alice")
    room.leave("carol")
    room.join("dave")
    sealed = room.seal("alice")
    assert room.cores["bob"].add_wrap(1, forged_wrap(2, 0, b"x" * 32)) == []
    room.wraps("alice", sealed, but=["bob"])
    posts = room.post("alice", sealed)
    assert posts["dave"] == (opened("alice", "hello", sealed), [])
    assert posts["bob"] == shut("alice", "no_key", "bad_wrap")


def test_without_its_wrap_a_post_is_shown_as_unreadable() -> None:
    room = Honest("alice", "bob", "carol")
    sealed = room.seal("alice")
    room.wraps("alice", sealed, but=["carol"])
    posts = room.post("alice", sealed)
    assert posts == {
        "bob": (opened("alice", "hello", sealed), []),
        "carol": shut("alice", "no_key"),
    }


def test_a_roster_that_gives_me_other_keys_does_not_make_me_use_them() -> None:
    members = [line("alice", 1, keys="mallory"), line("bob", 2)]
    core = Encryption(identity("alice")).enter("den", LOG, 1, members, 2)
    bob = Honest("alice", "bob").cores["bob"]
    sealed = core.seal("text", "still me")
    bob.add_wrap(1, sealed.wraps[0])
    assert bob.open(3, 1, 2, sealed.box) == (opened("alice", "still me", sealed), [])


def test_names_with_half_surrogates_do_not_stop_anything() -> None:
    core = Honest("alice", "bob").cores["alice"]
    assert core.joined(3, line("\ud800", 3, 3, keys="carol")) == [
        TrustWarning("bad_roster", "\ud800")
    ]
    assert len(core.seal("text", "x").wraps) == 2
    assert safety_numbers.room_code("den", core.code_pairs())


# Chains, boxes and transcripts, against the specification


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block of SHA-256, written out."""
    prk = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(prk, info + b"\1", "sha256")


def eight(value: int) -> bytes:
    return value.to_bytes(8, "big")


def test_keys_are_derived_as_specified() -> None:
    context = Context("den", LOG, ROOM_AUDIENCE, b"F" * 32)
    fields = (b"den", LOG, labelled("cmdchat audience room 1"), b"F" * 32)
    ck, salt = b"c" * 32, b"s" * 32
    for used in (b"", salt):
        info = labelled("cmdchat message key 1", *fields, eight(3), eight(7))
        raw = SenderChain(3, 7, ck).message_key(context, used)
        assert raw == hkdf(ck, used, info)
    step = labelled("cmdchat chain step 1")
    assert SenderChain(3, 7, ck).at(9).ck == hkdf(hkdf(ck, b"", step), b"", step)
    assert SenderChain(3, 7, ck).at(7) == SenderChain(3, 7, ck)
    assert context.wrap_info(b"R" * 32, 3, 7) == labelled(
        "cmdchat chain wrap 1", *fields, b"R" * 32, eight(3), eight(7)
    )
    assert envelope.signed(context, "alice", 5, 3, 7, b"token") == labelled(
        "cmdchat post 1", *fields, b"alice", eight(5), eight(3), eight(7), b"token"
    )
    assert member_audience(9, b"R" * 32) == labelled(
        "cmdchat audience member 1", eight(9), b"R" * 32
    )


def test_what_is_ready_for_the_next_post_opens_that_one_alone() -> None:
    """One that was passed over, one under another secret, one that was damaged on its way."""
    room = Honest("alice", "bob", secrets={"alice": SECRET, "bob": SECRET})
    bob = room.cores["bob"]

    def said(text: str) -> SealedPost:
        return room.seal("alice", text)

    def opens(sealed: SealedPost) -> str:
        room.seq += 1
        post, _ = bob.open(room.seq, 1, sealed.change, sealed.box)
        return post.text if isinstance(post, OpenedPost) else post.reason

    first = said("first")
    assert not bob.add_wrap(1, first.wraps[0])
    assert [opens(first), opens(said("second"))] == ["first", "second"]
    for length in (1, 2, 5):
        said("never comes")
        texts = [f"after {length}: {number}" for number in range(length)]
        assert [opens(said(text)) for text in texts] == texts
    many = [f"number {number}" for number in range(20)]
    assert [opens(said(text)) for text in many] == many
    bob.resalt(b"")
    assert opens(said("sixth")) == "secret"
    bob.resalt(SECRET)
    assert [opens(said("seventh")), opens(said("eighth"))] == ["seventh", "eighth"]


def test_a_box_is_a_fernet_token_over_padded_json_without_a_time() -> None:
    room = Honest("alice", "bob")
    sealed = room.seal("alice", "ü")
    context = Context("den", LOG, ROOM_AUDIENCE, identity("alice").fingerprint)
    keys = identity("bob")
    wrap = sealed.wraps[0]
    ck = keys.unwrap(wrap.wrapped, context.wrap_info(keys.fingerprint, 1, 0))
    fernet = Fernet(base64.urlsafe_b64encode(SenderChain(1, 0, ck).message_key(context, b"")))
    assert fernet.extract_timestamp(sealed.box.data) == 0
    plain = fernet.decrypt(sealed.box.data)
    assert len(plain) == 128
    fields = json.loads(plain)
    assert fields["text"] == "ü"
    assert fields["kind"] == "text"
    assert fields["id"] == to_text(sealed.id)
    start = Transcript(LOG, 2, room.cores["bob"].code_pairs()).seen()
    assert fields["seen"] == [0, to_text(start.hash)]
    assert b"\\u" not in plain


@pytest.mark.parametrize(
    ("size", "wanted"), [(0, 64), (1, 64), (64, 64), (65, 128), (128, 128), (129, 256)]
)
def test_plaintexts_are_padded_to_powers_of_two(size: int, wanted: int) -> None:
    assert envelope.padded_size(size) == wanted


def test_texts_of_one_bucket_cannot_be_told_apart_by_their_size() -> None:
    room = Honest("alice", "bob")
    sizes = {len(room.seal("alice", "x" * size).box.data) for size in range(128 - 112)}
    assert len(sizes) == 1
    assert len(room.seal("alice", "x" * 200).box.data) > max(sizes)


def test_a_body_reads_back() -> None:
    written = Body(b"i" * 16, "action", '"\n\\ ü', TranscriptHash(7, b"h" * 32))
    assert Body.decode(written.encode()) == written
    past = replace(written, before=Claim(3, TranscriptHash(4096, b"p" * 32)))
    assert Body.decode(past.encode()) == past
    absent = padded(json.dumps(body(before=None)))
    assert Body.decode(absent).before is None
    marked = replace(written, bot=True)
    assert Body.decode(marked.encode()) == marked and b'"bot"' not in written.encode()


def test_an_ordinary_text_stays_in_its_bucket_with_all_that_is_told() -> None:
    """300 characters, and the largest numbers that there are."""
    text = "x" * 300
    most = TranscriptHash(4096, b"h" * 32)
    for before in (None, Claim(2**53 - 1, most)):
        assert len(Body(b"i" * 16, "action", text, most, before).encode()) == 512


def test_the_transcript_is_hashed_as_specified() -> None:
    pairs = (("bob", b"B" * 32), ("alice", b"A" * 32))
    transcript = Transcript(LOG, 9, pairs)
    fields = (LOG, eight(9), b"alice", b"A" * 32, b"bob", b"B" * 32)
    start = hashlib.sha256(labelled("cmdchat room transcript 1", *fields)).digest()
    assert transcript.seen() == TranscriptHash(0, start)
    transcript.add(b"s" * 64)
    label = "cmdchat room transcript step 1"
    step = hashlib.sha256(labelled(label, start, b"s" * 64)).digest()
    assert transcript.seen() == TranscriptHash(1, step)
    assert transcript.agrees(TranscriptHash(0, start))
    assert transcript.agrees(TranscriptHash(1, step))
    assert not transcript.agrees(TranscriptHash(0, step))
    assert not transcript.agrees(TranscriptHash(2, step))


def test_the_transcript_stops_at_4096_posts_on_all_sides() -> None:
    transcript = Transcript(LOG, 1, ())
    for number in range(4096):
        transcript.add(number.to_bytes(64, "big"))
    full = transcript.seen()
    transcript.add(b"s" * 64)
    assert transcript.seen() == full
    assert full.count == 4096
    assert transcript.agrees(full)


def test_a_keyring_keeps_contradicting_keys_for_the_box_to_decide() -> None:
    right, wrong = SenderChain(1, 2, b"r" * 32), SenderChain(1, 2, b"w" * 32)
    ring = SenderKeys()
    assert ring.offer(wrong)
    assert not ring.offer(right)
    assert ring.offer(right.at(5))  # one that follows from another adds nothing
    assert ring.reaching(1, 7) == [wrong, right]
    assert ring.reaching(1, 1) == []
    ring.offer(SenderChain(2, 0, b"n" * 32))
    ring.prove(right.at(7), Context("den", LOG, ROOM_AUDIENCE, b"s" * 32), b"")
    assert ring.reaching(1, 8) == [right.at(8)]
    assert ring.reaching(1, 7) == []
    assert ring.reaching(2, 0) == [SenderChain(2, 0, b"n" * 32)]
    assert not ring.offer(wrong)
    assert ring.reaching(1, 9) == [right.at(8)]  # what opened a box needs no rival


def test_what_is_made_ready_is_bounded_and_ends_with_the_epoch() -> None:
    ring, at = SenderKeys(), SenderChain(1, 0, b"f" * 32)
    context = Context("den", LOG, ROOM_AUDIENCE, b"s" * 32)
    ahead = []
    ring.offer(at)
    for number in range(EPOCH_POSTS):
        (chain,) = ring.reaching(1, number)
        chain = chain.at(number)
        assert chain.n == number
        ring.opener(chain, context, b"")
        ring.prove(chain, context, b"")
        ahead.append(len(ring._ready))
    assert ahead[:11] == [1, 2, 1, 4, 3, 2, 1, 4, 3, 2, 1] and max(ahead) == 4
    assert ahead[-3:] == [2, 1, 0] and ring.proven is not None and ring.proven.n == EPOCH_POSTS
    assert ring.proven.agrees(at)


def test_a_flood_of_keys_is_bounded_and_never_pushes_out_a_proven_one() -> None:
    ring = SenderKeys()
    first = SenderChain(1, 0, b"f" * 32)
    ring.offer(first)
    ring.prove(first, Context("den", LOG, ROOM_AUDIENCE, b"s" * 32), b"")
    for epoch in range(2, 100):
        ring.offer(SenderChain(epoch, 0, b"x" * 32))
    held = [epoch for epoch in range(200) if ring.reaching(epoch, 999)]
    assert held == [1, *range(100 - 16, 100)]


def test_chains_are_not_printed() -> None:
    assert "ck" not in repr(SenderChain.start(1))


def test_marks_are_bounded_and_keep_those_who_are_present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_keys, "_MARKS", 3)
    guard = ReplayGuard()

    def context(number: int) -> Context:
        return Context("den", LOG, ROOM_AUDIENCE, bytes([number]) * 32)

    for number in (0, 1, 2, 1, 3):  # the second was heard again since the third
        guard.move(context(number), 1, 5, lambda: {bytes(32)})
    assert [guard.passed(context(number), 1, 5) for number in range(4)] == [True, True, False, True]
    assert not guard.passed(context(0), 1, 6)
    assert guard.passed(context(0), 1, 4)
    assert not guard.passed(replace(context(0), room="other"), 1, 5)
    assert not guard.passed(replace(context(0), audience=b"other"), 1, 5)
    assert guard.passed(replace(context(0), log_id=b"another log id 1"), 1, 5)


def test_recent_forgets_the_oldest() -> None:
    recent = Recent(2)
    assert [recent.add(value) for value in (1, 2, 1, 3, 1)] == [True, True, False, True, True]


def test_the_roster_history_knows_who_could_still_be_heard() -> None:
    def roster(*names: str) -> MemberSet:
        return MemberSet(
            {number: RosterEntry(line(name, number)) for number, name in enumerate(names)}
        )

    history = RosterHistory(LOG, 1, roster("alice", "bob"))
    history.move(2, roster("alice"))
    assert history.fingerprints() == {identity(name).fingerprint for name in ("alice", "bob")}
    for change in range(3, 67):
        history.move(change, roster("alice"))
    assert history.fingerprints() == {identity("alice").fingerprint}
    assert history.entry(1) is None
    assert history.get(1) is None
    assert history.get(2) is not None


def empty_history(last: int) -> RosterHistory:
    """Somebody who came in at change 1, and all changes since."""
    history = RosterHistory(LOG, 1, MemberSet({}))
    for number in range(2, last + 1):
        history.move(number, MemberSet({}))
    return history


def speak(history: RosterHistory, number: int) -> TranscriptHash:
    """A post under ``number``, and what is said of it afterwards."""
    version = history.get(number)
    assert version is not None
    version.transcript.add(number.to_bytes(64, "big"))
    return version.transcript.seen()


def test_the_oldest_change_is_told_first_and_each_once() -> None:
    history = empty_history(5)
    assert history.unacknowledged() is None
    seen = {number: speak(history, number) for number in (4, 2, 5)}
    for number in (2, 4):
        assert history.unacknowledged() == Claim(number, seen[number])
        history.acknowledge(number, seen[number])
    assert history.unacknowledged() is None  # of the present one, `seen` tells
    late = speak(history, 2)
    history.acknowledge(2, TranscriptHash(2, bytes(32)))  # somebody was shown something else
    assert history.unacknowledged() == Claim(2, late)
    history.acknowledge(2, late)
    history.acknowledge(2, seen[2])  # an older word takes nothing back
    assert history.unacknowledged() is None
    history.acknowledge(99, seen[2])
    history.move(6, MemberSet({}))
    assert history.unacknowledged() == Claim(5, seen[5])


def test_what_was_said_is_remembered_over_any_number_of_empty_changes() -> None:
    history = empty_history(2)
    seen = speak(history, 2)
    for number in range(3, 500):
        history.move(number, MemberSet({}))
    assert history.get(2) is None
    assert history.unacknowledged() == Claim(2, seen)
    assert history.agrees(2, seen) and not history.agrees(2, TranscriptHash(1, bytes(32)))
    assert not history.agrees(3, seen), "nobody said anything there"
    assert not history.agrees(1, seen)
    assert history.agrees(0, seen), "before one's own coming: who knows"
    assert len(history._transcripts) == 66


def test_the_longer_memory_is_of_64_changes_under_which_something_was_said() -> None:
    history = empty_history(1)
    seen = {1: speak(history, 1)}
    for number in range(2, 130):
        history.move(number, MemberSet({}))
        seen[number] = speak(history, number)
    assert history.unacknowledged() == Claim(1, seen[1])
    assert not history.agrees(1, TranscriptHash(1, bytes(32)))
    history.move(130, MemberSet({}))
    assert history.unacknowledged() == Claim(2, seen[2])
    assert history.agrees(1, TranscriptHash(1, bytes(32))), "forgotten"
    assert not history.agrees(2, TranscriptHash(1, bytes(32)))
    assert len(history._transcripts) == 129


def test_keys_of_the_wrong_size_are_as_unusable_as_others() -> None:
    core = Honest("alice", "bob").cores["alice"]
    small = Bundle(Recipient(b"", b""), b"", 0, 0, b"")
    bad = [TrustWarning("bad_bundle", "carol")]
    assert core.joined(3, MemberLine(3, "carol", 3, small)) == bad
    sealed = core.seal("text", "x")
    assert sealed.warnings == () and [wrap.to for wrap in sealed.wraps] == [2]
    assert core.open(4, 3, 3, Box(1, 0, b"", bytes(64))) == shut("carol", "name", "forged")
