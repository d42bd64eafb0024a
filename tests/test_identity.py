"""An identity's file: what is in it, how it is sealed, and that no accident takes any of it."""

from __future__ import annotations

import base64
import errno
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from client import sealed_file
from client.encryption.encryption import Encryption
from client.encryption.room_encryption import RoomEncryption
from client.encryption.trust import TrustWarning
from client.identity import keeper as keeping
from client.identity import records, store
from client.identity.keeper import Keeper
from client.identity.records import FILE, Contents, Person, Sighting
from client.identity.store import AnothersIdentity, Busy, IdentityFile, create, delete
from client.sealed_file import FileUnusable, OtherVersion, WrongPassphrase
from protocol import keys
from protocol.frames import MemberLine
from protocol.keys import Identity
from tests.processes import ROOT

PASSPHRASE = "correct horse ü"
SERVER = "chat.example.org:1000"
TODAY = date(2026, 11, 30)
COST = 15


@pytest.fixture(autouse=True)
def one_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same results as ever, worked out once a run."""
    monkeypatch.setattr(sealed_file, "scrypt", _scrypt)


_scrypt = functools.lru_cache(keys.scrypt)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "me.identity"


@functools.cache
def sealed() -> bytes:
    """A file of an identity that knows nobody; to make one anew takes scrypt."""
    return FILE.fresh(PASSPHRASE, COST).seal(Contents.fresh().encode())


def made(path: Path) -> IdentityFile:
    """An identity in a file of its own, opened."""
    path.touch(0o600)
    path.write_bytes(sealed())
    return IdentityFile(path, PASSPHRASE)


def at(nick: str, day: date = TODAY, server: str = SERVER) -> Sighting:
    return Sighting(server, nick, day)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


# What is in it


def test_it_knows_whom_it_met() -> None:
    contents = Contents.fresh().met(key(1), 5, at("bob", TODAY - timedelta(9)))
    contents = contents.met(key(1), 7, at("bob")).met(key(1), 6, at("rob", server="other:1"))
    assert contents.people == (
        Person(key(1), False, 7, TODAY - timedelta(9), TODAY,
               (at("bob"), at("rob", server="other:1"))),
    )  # fmt: skip
    assert contents.called("BOB") == contents.people and contents.called("eve") == ()
    assert contents.verified(key(1), 7, at("bob")).person(key(1)) == replace(
        contents.people[0], verified=True, seen=(at("rob", server="other:1"), at("bob"))
    )
    assert contents.without(contents.people).people == ()


def test_it_comes_back_as_it_was() -> None:
    contents = Contents.fresh().started(TODAY).started(TODAY)
    contents = contents.met(key(1), 5, at("bob")).verified(key(2), 0, at("zoë"))
    assert Contents.decode(contents.encode()) == contents
    assert len(contents.encode()) == 4096, "its size tells nothing of a few people"


@pytest.mark.parametrize("nick", ["", "a b", "x" * 33, "\u202eevil", "server", "a\ud800"])
def test_no_name_that_no_server_gives_is_kept(nick: str) -> None:
    assert Contents.fresh().met(key(1), 5, at(nick)).people == ()
    (person,) = Contents.fresh().verified(key(1), 5, at(nick)).people
    assert person.verified and person.seen == ()


def test_it_is_bounded_and_the_verified_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PEOPLE", 4)
    contents = Contents.fresh().verified(key(9), 0, at("vera", TODAY - timedelta(99)))
    for number in range(6):
        contents = contents.met(key(number), 1, at("bob", TODAY + timedelta(number)))
    assert [person.sign for person in contents.people] == [key(9), key(3), key(4), key(5)]
    for number in range(40):
        contents = contents.met(key(5), 1, at(f"bob{number}"))
    person = contents.person(key(5))
    assert person is not None
    assert [one.nick for one in person.seen] == [f"bob{number}" for number in range(32, 40)]


def test_the_largest_file_is_read() -> None:
    contents = Contents.fresh()
    nicks = ["漢" * 30 + f"{number:02}" for number in range(records.SIGHTINGS)]
    seen = tuple(at(nick, server="s" * records.SERVER_CHARS) for nick in nicks)
    people = (Person(key(each), True, 2**53 - 1, TODAY, TODAY, seen) for each in range(1000))
    full = replace(contents, people=tuple(people))
    lock = FILE.of(sealed(), PASSPHRASE)
    file = lock.seal(full.encode())
    assert records.FILE_BYTES // 2 < len(file) <= records.FILE_BYTES
    assert Contents.decode(lock.open(file)) == full


def test_runs_grow_whatever_happens() -> None:
    first = Contents.fresh().started(TODAY)
    assert first.run == (TODAY - date(1970, 1, 1)).days * 1000
    assert first.started(TODAY).run == first.run + 1
    assert first.started(TODAY - timedelta(400)).run == first.run + 1, "a clock that went back"
    assert first.started(TODAY + timedelta(1)).run == first.run + 1000
    busy = replace(first, run=first.run + 500)
    restored = first.started(TODAY + timedelta(1))  # from a copy, a day later
    assert restored.run > busy.started(TODAY).run


def test_what_may_still_go_on_is_known() -> None:
    """Two at once; one ends; one is killed, and counts as over after two days without a sign."""
    one = Contents.fresh().started(TODAY)
    two = one.started(TODAY)
    assert (one.since, two.since) == (one.run, one.run)
    assert two.ended(one.run).since == two.run
    assert two.ended(one.run).ended(two.run).since == two.run
    later = two.started(TODAY + timedelta(2))
    assert later.since == one.run
    assert later.goes_on(two.run, TODAY + timedelta(2)).ended(one.run).since == two.run
    assert two.started(TODAY + timedelta(3)).since == two.started(TODAY + timedelta(3)).run
    assert two.goes_on(two.run, TODAY + timedelta(3)).started(TODAY + timedelta(3)).since == two.run
    many = functools.reduce(lambda found, _: found.started(TODAY), range(99), one)
    assert len(many.going) == records.GOING


WRONG: dict[str, Any] = {
    "sign": ["", "AAAA", 7, None], "run": [-1, "7", 2**53, True, None],
    "going": [[[1]], [["1", "2026-11-30"]], [[1, "30.11.2026"]], {}, None],
    "people": [[{}], [7], {}, None],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_what_is_no_identity_is_refused(name: str, value: Any) -> None:
    fields = json.loads(Contents.fresh().started(TODAY).encode())
    with pytest.raises(FileUnusable):
        Contents.decode(json.dumps({**fields, name: value}).encode())
    del fields[name]
    with pytest.raises(FileUnusable):
        Contents.decode(json.dumps(fields).encode())


PERSON: dict[str, Any] = {
    "sign": ["AAAA", 7], "verified": [1, "yes", None], "since": [-1, "7"], "first": ["x", 7],
    "last": [None],
    "seen": [[["s", "n"]], [[7, "n", "2026-11-30"]], [["s" * 301, "n", "2026-11-30"]],
             [["s", "n", "2026-11-30"]] * 9],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in PERSON.items() for v in vs])
def test_nor_is_a_person_that_is_none(name: str, value: Any) -> None:
    fields = json.loads(Contents.fresh().met(key(1), 5, at("bob")).encode())
    fields["people"][0][name] = value
    with pytest.raises(FileUnusable):
        Contents.decode(json.dumps(fields).encode())


# How it is sealed


def test_the_file_is_as_documented() -> None:
    """Read by docs/IDENTITY.md alone."""

    def labelled(*parts: bytes) -> bytes:
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)

    def raw(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    contents = Contents.fresh().started(TODAY).met(key(1), 5, at("bob"))
    text = FILE.of(sealed(), PASSPHRASE).seal(contents.encode()).decode("ascii")
    assert text.endswith("\n")
    *words, cost, salt, token, summed = text[:-1].split(" ")
    assert words == ["cmdchat", "identity", "1"] and cost == str(COST)
    head = " ".join([*words, cost, salt])
    before = f"{head} {token}".encode()
    assert raw(summed) == hashlib.sha256(labelled(b"cmdchat identity sum 1", before)).digest()
    stretched = hashlib.scrypt(
        PASSPHRASE.encode(), salt=raw(salt), n=2**COST, r=8, p=1, maxmem=2**27, dklen=32
    )
    info = labelled(b"cmdchat identity lock 1", head.encode())
    fernet = base64.urlsafe_b64encode(HKDF(SHA256(), 32, b"", info).derive(stretched))
    plain = Fernet(fernet).decrypt(token)
    assert raw(token)[1:9] == bytes(8), "no clock"
    assert len(plain) & (len(plain) - 1) == 0
    fields = json.loads(plain)
    assert raw(fields["sign"]) == contents.sign
    assert fields["people"][0]["seen"] == [[SERVER, "bob", "2026-11-30"]]


def test_new_files_use_a_strong_scrypt(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[int] = []

    def scrypt(_secret: bytes, _salt: bytes, cost: int) -> bytes:
        costs.append(cost)
        return bytes(32)

    monkeypatch.setattr(sealed_file, "scrypt", scrypt)
    create(path, Contents.fresh(), PASSPHRASE)
    assert costs == [17] and path.read_text().startswith("cmdchat identity 1 17 ")


def test_only_the_passphrase_opens_it() -> None:
    with pytest.raises(WrongPassphrase):
        FILE.of(sealed(), "another").open(sealed())
    decomposed = PASSPHRASE.replace("ü", "u\u0308")
    assert FILE.of(sealed(), decomposed).open(sealed())


@pytest.mark.parametrize("place", range(0, len(sealed()), 97))
def test_a_changed_byte_is_damage_and_no_wrong_passphrase(place: int) -> None:
    damaged = bytearray(sealed())
    damaged[place] ^= 1
    with pytest.raises(FileUnusable) as failed:
        FILE.of(sealed(), PASSPHRASE).open(bytes(damaged))
    assert not isinstance(failed.value, WrongPassphrase)


@pytest.mark.parametrize("data", [b"", b"x", sealed()[:-1], sealed() * 2, sealed()[:200]])
def test_what_is_no_file_of_ours(data: bytes) -> None:
    with pytest.raises(FileUnusable):
        FILE.of(data, PASSPHRASE)


def test_another_version_is_named() -> None:
    with pytest.raises(OtherVersion):
        FILE.of(sealed().replace(b"identity 1", b"identity 2", 1), PASSPHRASE)


@pytest.mark.parametrize("cost", [1, 14, 19, 30])
def test_a_scrypt_that_is_too_weak_or_a_trap_is_not_computed(cost: int) -> None:
    head, token = FILE.parts(sealed())
    words = head.split(b" ")
    words[3] = str(cost).encode()
    with pytest.raises(FileUnusable):
        FILE.of(FILE.summed(b" ".join([*words, token])), PASSPHRASE)


# The file


def test_a_new_one_is_for_nobody_else(path: Path) -> None:
    with mock.patch.object(sealed_file, "scrypt", lambda *_: bytes(32)):
        create(path, Contents.fresh(), PASSPHRASE, COST)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


def test_nothing_is_overwritten(path: Path) -> None:
    things: list[Callable[[], None]] = [
        path.touch, lambda: path.symlink_to("/dev/null"), path.mkdir,
    ]  # fmt: skip
    for thing in things:
        thing()
        with pytest.raises(FileExistsError):
            create(path, Contents.fresh(), PASSPHRASE, COST)
        path.rmdir() if path.is_dir() else path.unlink()


def test_others_are_shut_out_of_what_they_could_read(path: Path) -> None:
    made(path)
    path.chmod(0o644)
    IdentityFile(path, PASSPHRASE)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_another_users_is_not_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(path)
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(path).st_uid + 1)
    for deed in (lambda: IdentityFile(path, PASSPHRASE), lambda: file.change(lambda one: one)):
        with pytest.raises(AnothersIdentity):
            deed()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_only_an_ordinary_file_is_read(path: Path, kind: str) -> None:
    real = path.with_name("real")
    made(real)
    if kind == "link":
        path.symlink_to(real)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises((OSError, FileUnusable)):
        IdentityFile(path, PASSPHRASE)


def test_two_programs_lose_nothing(path: Path) -> None:
    one, other = made(path), IdentityFile(path, PASSPHRASE)
    one.change(lambda now: now.met(key(1), 5, at("bob")))
    other.change(lambda now: now.met(key(2), 5, at("carol")))
    assert {each.sign for each in other.contents.people} == {key(1), key(2)}
    one.change(lambda now: now.without(now.called("carol")))
    other.change(lambda now: now.met(key(3), 5, at("dave")))
    (bob, dave) = IdentityFile(path, PASSPHRASE).contents.people
    assert (bob.sign, dave.sign) == (key(1), key(3)), "nobody who was forgotten comes back"


def test_many_at_once_lose_nothing(path: Path) -> None:
    made(path)
    start = threading.Barrier(4)

    def add(first: int) -> None:
        file = IdentityFile(path, PASSPHRASE)
        start.wait()
        for number in range(first, first + 10):
            file.change(functools.partial(_meets, number))

    threads = [threading.Thread(target=add, args=(10 * each,)) for each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    people = IdentityFile(path, PASSPHRASE).contents.people
    assert {each.sign for each in people} == {key(number) for number in range(40)}


def _meets(number: int, contents: Contents) -> Contents:
    return contents.met(key(number), 1, at("bob"))


def test_a_lock_that_is_not_let_go_of_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = made(path)
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.05)
    with store._locked(path), pytest.raises(Busy):
        with store._locked(path, 0.05):
            pass
    assert file.change(lambda one: one) == file.contents


def test_a_full_disk_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(path)
    real = os.write
    for room in (0, 1, 1000):
        left = [room]

        def full(fd: int, data: bytes, left: list[int] = left) -> int:
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            part, left[0] = min(left[0], len(data)), 0
            return real(fd, data[:part])

        with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
            patched.setattr(os, "write", full)
            file.change(lambda now: now.met(key(1), 5, at("bob")))
        assert path.read_bytes() == sealed()
        assert not path.with_name(path.name + ".new").exists()
    file.change(lambda now: now.met(key(1), 5, at("bob")))
    assert IdentityFile(path, PASSPHRASE).contents.people


def test_a_folder_that_cannot_be_written_lets_it_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = made(path)
    real = os.open

    def read_only(name: Any, flags: int, *more: Any) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, flags, *more)

    monkeypatch.setattr(os, "open", read_only)
    assert IdentityFile(path, PASSPHRASE).contents == file.contents
    with pytest.raises(PermissionError):
        file.change(lambda now: now.started(TODAY))
    assert path.read_bytes() == sealed()


def test_what_is_gone_is_not_made_again(path: Path) -> None:
    file = made(path)
    delete(path)
    assert list(path.parent.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        file.change(lambda now: now.started(TODAY))
    assert not path.exists()


def test_another_passphrase(path: Path) -> None:
    file, other = made(path), IdentityFile(path, PASSPHRASE)
    file.change_passphrase("new one", COST)
    assert IdentityFile(path, "new one").contents == other.contents
    for deed in (lambda: IdentityFile(path, PASSPHRASE), lambda: other.change(lambda one: one)):
        with pytest.raises(WrongPassphrase):
            deed()
    file.change(lambda now: now.started(TODAY))


KILLED = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from datetime import date
from client.identity import records
from client.identity.store import IdentityFile
file = IdentityFile(Path({path!r}), {passphrase!r})
print("ready", flush=True)
while True:
    file.change(lambda now: now.started(date(2026, 11, 30)))
"""


def test_a_kill_in_the_middle_of_writing_leaves_a_whole_file(path: Path) -> None:
    file = made(path)
    code = KILLED.format(root=str(ROOT), path=str(path), passphrase=PASSPHRASE)
    last = file.contents.run
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as killed:
            assert killed.stdout is not None and killed.stdout.readline() == b"ready\n"
            end = time.monotonic() + 20
            while IdentityFile(path, PASSPHRASE).contents.run == last:
                assert time.monotonic() < end
            killed.send_signal(signal.SIGKILL)
        found = IdentityFile(path, PASSPHRASE).contents
        assert found.run > last and found.sign == file.contents.sign
        last = found.run
    file.change(lambda now: now.started(TODAY))  # what a kill has left is in nobody's way
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


# What a client adds to it


@pytest.fixture
def open_keepers(path: Path) -> Iterator[list[Keeper]]:
    """Those of a test, which end with it."""
    kept: list[Keeper] = []
    yield kept
    for keeper in kept:
        keeper.close()


def opened(path: Path, kept: list[Keeper]) -> Keeper:
    if not path.exists():
        made(path)
    keeper = keeping.open_identity(path, PASSPHRASE, SERVER)
    kept.append(keeper)
    return keeper


@functools.cache
def someone(name: str, run: int = 0, since: int = 0) -> Identity:
    sign = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    return Identity(sign, run, since)


def member(who: Identity, nick: str, id: int, seq: int) -> MemberLine:
    return MemberLine(id, nick, seq, who.bundle)


def room_of(keeper: Keeper, *members: MemberLine) -> tuple[RoomEncryption, list[TrustWarning]]:
    own = MemberLine(1, "alice", 1, keeper.identity.bundle)
    client = Encryption(keeper.identity, keeper)
    core = client.enter("den", os.urandom(16), 1, [own, *members], 9)
    return core, core.warnings


def test_only_the_signing_key_lasts(path: Path, open_keepers: list[Keeper]) -> None:
    first, second = opened(path, open_keepers), opened(path, open_keepers)
    one, two = first.identity.bundle, second.identity.bundle
    assert one.sign == two.sign and one.recipient != two.recipient
    assert two.run == one.run + 1 and one.since == two.since == one.run
    assert one.is_genuine and two.is_genuine


def test_who_was_verified_is_verified_after_a_restart_of_both(
    path: Path, open_keepers: list[Keeper]
) -> None:
    first = opened(path, open_keepers)
    bob = someone("bob", 5, 5)
    core, _ = room_of(first, member(bob, "bob", 2, 2))
    core.verify("bob", bob.fingerprint)
    assert first.close() == ""
    again, warned = room_of(opened(path, open_keepers), member(someone("bob", 6, 6), "bob", 2, 2))
    assert warned == [] and again.all_verified()
    now = someone("bob", 6, 6)
    assert again.renamed(10, 2, "rob") == []
    assert again.compared_as(member(now, "rob", 2, 2)) == "bob"
    assert again.compared_as(member(now, "BOB", 2, 2)) is None
    old, stranger = again.joined(11, member(bob, "bob2", 3, 11))
    assert old == TrustWarning("old_run", "bob2", True)
    assert stranger == TrustWarning("unverified_member", "bob2")


def test_whom_it_met_is_known_and_others_in_a_verified_place_are_loud(
    path: Path, open_keepers: list[Keeper]
) -> None:
    first = opened(path, open_keepers)
    bob, carol, mallory = someone("bob", 5, 5), someone("carol", 5, 5), someone("mallory", 5, 5)
    core, _ = room_of(first, member(bob, "bob", 2, 2), member(carol, "carol", 3, 3))
    assert core.standing(carol.fingerprint) == "new"
    core.verify("bob", bob.fingerprint)
    assert first.close() == ""
    for _ in range(2):  # being there does not make anybody known
        keeper = opened(path, open_keepers)
        members = (member(mallory, "bob", 2, 2), member(carol, "carol", 3, 3))
        again, warned = room_of(keeper, *members)
        assert warned == [TrustWarning("other_keys", "bob", True)]
        assert again.standing(mallory.fingerprint) == "new"
        assert again.standing(carol.fingerprint) == "known"
        assert keeper.close() == ""
    keeper = opened(path, open_keepers)
    again, warned = room_of(keeper, member(mallory, "carol", 2, 2))
    assert warned == [TrustWarning("other_keys", "carol", False)]
    assert again.standing(mallory.fingerprint) == "new"


def test_a_nickname_stays_with_whoever_was_verified_as_it(
    path: Path, open_keepers: list[Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob was seen as ``zoe`` before Zoe was verified as that: it does not make it his."""
    zoe, bob = someone("zoe", 5, 5), someone("bob", 5, 5)
    first = opened(path, open_keepers)
    core, _ = room_of(first, member(bob, "bob", 2, 2))
    core.verify("bob", bob.fingerprint)
    core.renamed(10, 2, "zoe")
    core.renamed(11, 2, "bob")
    core.joined(12, member(zoe, "zoe", 3, 12))
    core.verify("zoe", zoe.fingerprint)
    assert first.close() == ""
    tomorrow = mock.Mock(today=lambda: date.today() + timedelta(1))
    monkeypatch.setattr(keeping, "date", tomorrow)
    second = opened(path, open_keepers)
    room_of(second, member(bob, "bob", 2, 2))
    assert second.close() == ""
    again, warned = room_of(opened(path, open_keepers), member(bob, "zoe", 2, 2))
    assert warned == [TrustWarning("other_keys", "zoe", True)]
    assert again.standing(bob.fingerprint) == "new"


def test_what_others_call_a_verified_person_takes_no_place_from_its_nickname(
    path: Path, open_keepers: list[Keeper]
) -> None:
    bob, mallory = someone("bob", 5, 5), someone("mallory", 5, 5)
    first = opened(path, open_keepers)
    core, _ = room_of(first, member(bob, "bob", 2, 2))
    core.verify("bob", bob.fingerprint)
    for number in range(2 * records.SIGHTINGS):
        core.renamed(10 + number, 2, f"bob{number}")
    assert first.close() == ""
    again, warned = room_of(opened(path, open_keepers), member(mallory, "bob", 2, 2))
    assert warned == [TrustWarning("other_keys", "bob", True)]


def test_two_programs_give_a_nickname_to_one_verified_person() -> None:
    bob, alice = key(1), key(2)
    contents = Contents.fresh().verified(alice, 1, at("alice")).verified(bob, 1, at("bob"))
    contents = contents.met(bob, 1, at("Alice"))  # by a program that began before
    assert [each.sign for each in contents.called("alice")] == [alice]
    assert [each.sign for each in contents.called("bob")] == [bob]


def test_nicknames_are_of_one_server_and_people_of_all(
    path: Path, open_keepers: list[Keeper]
) -> None:
    first = opened(path, open_keepers)
    bob, mallory = someone("bob", 5, 5), someone("mallory", 5, 5)
    core, _ = room_of(first, member(bob, "bob", 2, 2))
    core.verify("bob", bob.fingerprint)
    first.close()
    elsewhere = keeping.open_identity(path, PASSPHRASE, "elsewhere:1")
    open_keepers.append(elsewhere)
    members = (member(mallory, "bob", 2, 2), member(bob, "robert", 3, 3))
    again, warned = room_of(elsewhere, *members)
    assert warned == []
    assert again.is_verified(bob.fingerprint) and not again.is_verified(mallory.fingerprint)


def test_keys_for_one_run_are_kept_only_if_they_were_verified(
    path: Path, open_keepers: list[Keeper]
) -> None:
    keeper = opened(path, open_keepers)
    guest, friend = someone("guest"), someone("friend")
    core, _ = room_of(keeper, member(guest, "guest", 2, 2), member(friend, "friend", 3, 3))
    core.verify("friend", friend.fingerprint)
    keeper.close()
    people = IdentityFile(path, PASSPHRASE).contents.people
    assert [(each.sign, each.verified) for each in people] == [(friend.bundle.sign, True)]


def test_nobody_is_one_of_their_own_people(path: Path, open_keepers: list[Keeper]) -> None:
    here, there = opened(path, open_keepers), opened(path, open_keepers)
    core, _ = room_of(here, member(there.identity, "alice2", 2, 2))
    assert core.is_verified(there.identity.fingerprint)
    core.verify("alice2", there.identity.fingerprint)
    here.close()
    assert IdentityFile(path, PASSPHRASE).contents.people == ()


def test_a_start_is_over_once_it_is_closed(path: Path, open_keepers: list[Keeper]) -> None:
    first, second = opened(path, open_keepers), opened(path, open_keepers)
    assert first.close() == ""
    assert opened(path, open_keepers).identity.bundle.since == second.identity.bundle.run


def test_nothing_is_written_for_whom_is_known(path: Path, open_keepers: list[Keeper]) -> None:
    keeper = opened(path, open_keepers)
    bundle = someone("bob", 5, 5).bundle
    keeper.met(bundle, "bob")
    keeper.close()
    again = opened(path, open_keepers)
    with mock.patch.object(again, "_put") as put:
        again.met(bundle, "bob")
        again.met(bundle, "Bob")
    assert put.call_count == 1, "the other spelling alone"


class Told:
    """What a keeper says, waited for."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, code: str) -> None:
        with self._changed:
            self.codes.append(code)
            self._changed.notify_all()

    def waits(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.codes) >= count, 20)


def test_what_is_removed_does_not_come_back_by_a_writing_that_had_begun(path: Path) -> None:
    file = made(path)
    reached, removed = threading.Event(), threading.Event()
    ended: list[BaseException] = []

    def slow(contents: Contents) -> Contents:
        reached.set()
        assert removed.wait(20)
        return contents.met(key(1), 1, at("bob"))

    def work() -> None:
        try:
            file.change(slow)
        except FileNotFoundError as error:
            ended.append(error)

    writer = threading.Thread(target=work)
    writer.start()
    assert reached.wait(20)
    assert keeping.removed(path)
    removed.set()
    writer.join(20)
    assert ended and list(path.parent.iterdir()) == []


def test_the_lock_is_removed_when_nobody_holds_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows removes no file that is open."""
    made(path)
    unlink, lock = os.unlink, path.with_name(f"{path.name}.lock")

    def as_windows_does(name: Path) -> None:
        if name == lock:
            with store._locked(path, 0.0):
                pass
        unlink(name)

    monkeypatch.setattr(os, "unlink", as_windows_does)
    delete(path)
    assert list(path.parent.iterdir()) == []


def test_a_crowd_keeps_no_verification_and_no_end_from_the_file(
    path: Path, open_keepers: list[Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "QUEUE_STEPS", 2)
    keeper = opened(path, open_keepers)
    with store._locked(path):  # the disk, or another program, takes its time
        for number in range(10):
            keeper.met(someone(f"dave{number}", 5, 5).bundle, f"dave{number}")
        keeper.verified(someone("bob", 5, 5).bundle, "bob")
    assert keeper.close() == ""
    contents = IdentityFile(path, PASSPHRASE).contents
    assert [each.sign for each in contents.called("bob") if each.verified]
    assert contents.going == ()


def test_a_full_disk_is_said_once_and_nothing_is_lost(
    path: Path, open_keepers: list[Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, told = opened(path, open_keepers), Told()
    keeper.tell(told)
    monkeypatch.setattr(keeping, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(keeping, "RETRY_SECONDS", 0.01)
    with monkeypatch.context() as full:
        full.setattr(store, "write", mock.Mock(side_effect=OSError(errno.ENOSPC, "full")))
        keeper.verified(someone("bob", 5, 5).bundle, "bob")
        told.waits(1)
        keeper.met(someone("carol", 5, 5).bundle, "carol")
    assert keeper.close() == ""
    people = IdentityFile(path, PASSPHRASE).contents.people
    assert {person.verified for person in people} == {True, False}
    assert told.codes == ["unwritable"]


def test_a_disk_that_stays_full_is_said_at_the_end(
    path: Path, open_keepers: list[Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = opened(path, open_keepers)
    monkeypatch.setattr(store, "write", mock.Mock(side_effect=OSError(errno.ENOSPC, "full")))
    keeper.met(someone("carol", 5, 5).bundle, "carol")
    assert keeper.close() == "unwritable"


def test_a_disk_that_hangs_holds_nobody_up(
    path: Path, open_keepers: list[Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, hangs = opened(path, open_keepers), threading.Event()
    monkeypatch.setattr(keeping, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(os, "fsync", lambda _fd: hangs.wait(20))
    keeper.met(someone("carol", 5, 5).bundle, "carol")
    assert keeper.close() == "slow"
    hangs.set()


@pytest.mark.parametrize("code", ["removed", "changed"])
def test_what_is_gone_or_shut_is_said_and_left(
    path: Path, open_keepers: list[Keeper], code: str
) -> None:
    keeper, told = opened(path, open_keepers), Told()
    keeper.tell(told)
    if code == "removed":
        delete(path)
    else:
        IdentityFile(path, PASSPHRASE).change_passphrase("another", COST)
    before = path.read_bytes() if path.exists() else None
    keeper.met(someone("carol", 5, 5).bundle, "carol")
    told.waits(1)
    keeper.met(someone("dave", 5, 5).bundle, "dave")
    assert keeper.close() == "" and told.codes == [code]
    assert (path.read_bytes() if path.exists() else None) == before


def test_it_can_be_removed_at_once(path: Path, open_keepers: list[Keeper]) -> None:
    keeper = opened(path, open_keepers)
    keeper.met(someone("carol", 5, 5).bundle, "carol")
    assert keeper.delete()
    keeper.met(someone("dave", 5, 5).bundle, "dave")
    assert keeper.close() == ""
    assert list(path.parent.iterdir()) == []
