"""The local history's files: their format, what they survive, what of damaged ones is found.

Read by ``docs/HISTORY.md`` alone, too, with nothing of the program's.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import functools
import hashlib
import hmac
import json
import os
import random
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from client import events, messages, private_file, sealed_file
from client.app import _Client
from client.history import recorder as history
from client.history import records, store
from client.history.recorder import Recorder, Retention, open_history
from client.history.records import (
    Damaged,
    Faults,
    HistoryKeys,
    Record,
    RunCipher,
    number_of,
)
from client.history.store import PARTS, Reader, RunWriter, history_path, open_keys, run_paths
from client.sealed_file import COST, FileUnusable, OtherVersion, WrongPassphrase
from protocol.hosts import server_name
from protocol.keys import scrypt
from tests.transport_kit import LONG, until

PASSPHRASE = "open sésame"
SERVER = "localhost:1000"
NOON = datetime(2026, 1, 2, 12, 0, 0, 123_000, tzinfo=timezone.utc)
MANY = 10_000


@functools.cache
def keys() -> tuple[HistoryKeys, bytes]:
    """Keys, and their file by the weakest scrypt that is taken, worked out once."""
    keyring = HistoryKeys.fresh(SERVER)
    return keyring, keyring.seal(PASSPHRASE, 15)


@functools.cache
def run() -> RunCipher:
    """A file's header, and what seals its records."""
    return RunCipher.fresh(keys()[0])


def record(text: str = "hello", **other: Any) -> Record:
    fields = {
        "time": NOON, "room": "default", "sender": "bob", "to": None, "text": text,
        "kind": "text", "private": False, "mine": False,
    }  # fmt: skip
    return Record(**{**fields, **other})


@pytest.fixture(autouse=True)
def one_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same results as ever, worked out once a run."""
    monkeypatch.setattr(sealed_file, "scrypt", _scrypt)


_scrypt = functools.lru_cache(scrypt)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cmd-chat" / "history"


def begun(folder: Path) -> Path:
    """Where a history is, which is made if it is not there."""
    path = history_path(folder, SERVER)
    if not path.exists():
        store._make_folder(path)
        key_file = path / store.KEYS
        key_file.touch(0o600)
        key_file.write_bytes(keys()[1])
    return path


def made(folder: Path, *texts: str, most: int = MANY) -> RunWriter:
    """What adds to a history, after one run has recorded these texts."""
    recorder = RunWriter(begun(folder), keys()[0], most)
    for text in texts:
        recorder.append(record(text))
    return recorder


def files(folder: Path) -> list[Path]:
    """The runs' files, the oldest first."""
    return [path for _, path in run_paths(history_path(folder, SERVER))]


def only(folder: Path) -> Path:
    (path,) = files(folder)
    return path


def read(folder: Path) -> tuple[list[str], Faults]:
    """The texts that can be read, and what is wrong; the same from both ends."""
    reader, back = Reader(files(folder), keys()[0]), Reader(files(folder), keys()[0])
    texts = [one.text for one in reader.records()]
    assert sorted(one.text for one in back.last(MANY, lambda one: True)) == sorted(texts)
    assert back.faults == reader.faults
    return texts, reader.faults


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


# By the document alone


def labelled(label: str, *fields: bytes) -> bytes:
    return b"".join(len(one).to_bytes(4, "big") + one for one in (label.encode(), *fields))


def hkdf(master: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, one block."""
    extracted = hmac.digest(bytes(32), master, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_files_are_what_the_document_says(folder: Path) -> None:
    made(folder, "first", "второй\nline", "x" * 300)
    path = history_path(folder, SERVER)
    hashed = hashlib.sha256(labelled("cmdchat history file 1", SERVER.encode())).hexdigest()
    assert path.name == hashed[:32]
    line = (path / "keys").read_text("ascii")
    assert line.startswith("cmdchat history keys 2 ") and line.endswith("\n")
    cost, salt, sealed, total = line[23:-1].split(" ")
    scrypted = hashlib.scrypt(
        "open sésame".encode(), salt=base64url(salt), n=2 ** int(cost), r=8, p=1,
        maxmem=2**28, dklen=32,
    )  # fmt: skip
    before = f"cmdchat history keys 2 {cost} {salt}"
    lock = hkdf(scrypted, labelled("cmdchat history lock 2", before.encode()))
    opened = Fernet(base64.urlsafe_b64encode(lock)).decrypt(sealed)
    held = json.loads(opened)
    assert held.pop("server") == SERVER and len(opened).bit_count() == 1
    (masters,) = held.values()
    summed = labelled("cmdchat history sum 2", f"{before} {sealed}".encode())
    assert base64url(total) == hashlib.sha256(summed).digest()

    head, *rest = only(folder).read_text("ascii").split("\n")
    assert rest.pop() == "" and head.startswith("cmdchat history run 2 ")
    run_id, place = head[22:].split(" ")
    assert only(folder).name == f"000001-{base64url(run_id)[:8].hex()}.run"
    found = []
    for count, line in enumerate(rest, 1):
        number, token = line.split(" ")
        assert int(number) == count
        info = labelled("cmdchat history record 2", head.encode(), count.to_bytes(8, "big"))
        master = base64url(masters[int(place)])
        fernet = Fernet(base64.urlsafe_b64encode(hkdf(master, info)))
        plain = fernet.decrypt(token)
        assert fernet.extract_timestamp(token) == 0
        assert len(plain) >= 64 and len(plain).bit_count() == 1
        found.append(json.loads(plain))
    assert [one.pop("text") for one in found] == ["first", "второй\nline", "x" * 300]
    rest_of_it = {"time": 1767355200123, "room": "default", "from": "bob", "to": None,
                  "kind": "text", "private": False, "self": False}  # fmt: skip
    assert found == [rest_of_it] * 3


def test_new_files_use_a_strong_scrypt() -> None:
    assert COST >= 17 and COST in sealed_file.COSTS
    assert min(sealed_file.COSTS) == 15


@pytest.mark.parametrize(
    ("host", "server"),
    [("LocalHost.", "localhost:7"), ("::1", "[::1]:7"), ("0:0::1", "[::1]:7"),
     ("10.0.0.1", "10.0.0.1:7")],
)  # fmt: skip
def test_a_server_has_one_history_however_it_is_written(host: str, server: str) -> None:
    assert server_name(host, 7) == server


def test_one_passphrase_on_two_keyboards() -> None:
    assert HistoryKeys.open(keys()[1], "open se\u0301same") == keys()[0]
    with pytest.raises(WrongPassphrase):
        HistoryKeys.open(keys()[1], "open sesame")


def test_the_keys_are_shown_nowhere() -> None:
    assert "masters" not in repr(keys()[0])


# Records


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(
    texts, texts, st.none() | texts, st.booleans(), st.datetimes(datetime(1970, 1, 1)),
)  # fmt: skip
@settings(max_examples=50)
def test_a_record_comes_back(
    text: str, room: str, to: str | None, flag: bool, when: datetime
) -> None:
    when = when.replace(tzinfo=timezone.utc, microsecond=when.microsecond // 1000 * 1000)
    one = record(text, room=room, to=to, private=flag, mine=not flag, time=min(when, NOON))
    assert run().open(run().seal(7, one)) == (7, one)


def test_a_text_that_is_too_long_or_no_text_is_recorded_all_the_same() -> None:
    assert Record.decode(record("x" * 2_000_000).encode()).text == "x" * 100_000 + "…"
    assert Record.decode(record("a\ud800b").encode()).text == "a?b"
    assert len(run().seal(1, record("\x01" * 100_000))) < records.LINE_BYTES
    assert Record.decode(record(time=NOON.replace(year=1969)).encode()).time.year == 1970


def test_sizes_say_little() -> None:
    sizes = {len(run().seal(1, record("x" * count))) for count in range(1000)}
    assert len(sizes) <= 5


# Whatever stands in a file: a result, or one of the errors that are meant for it


def open_anything(line: bytes) -> None:
    with contextlib.suppress(Damaged):
        run().open(line)
    with contextlib.suppress(Damaged):
        assert RunCipher.of_header(keys()[0], line).header == line
    with contextlib.suppress(FileUnusable):
        HistoryKeys.open(line, PASSPHRASE)
    assert (number_of(line) or 1) >= 1


def decode_anything(plain: bytes) -> None:
    with contextlib.suppress(Damaged):
        Record.decode(plain)
    with contextlib.suppress(Damaged):
        HistoryKeys._read(records._fields(plain))


FIELDS: Any = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(["x", "\ud800", True, 0, -1, 1e300, 10**30, None, [], {}])
        for name in (
            "time",
            "room",
            "from",
            "to",
            "text",
            "kind",
            "private",
            "self",
            "server",
            "masters",
        )
    },
)


@given(st.binary(max_size=300))
@settings(max_examples=100)
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    open_anything(data)
    open_anything(b"1 " + base64.urlsafe_b64encode(data) + b"\n")
    decode_anything(data)
    open_anything(b"cmdchat history keys 2 " + data + b"\n")
    open_anything(b"cmdchat history run 2 " + data + b"\n")


@given(FIELDS)
@settings(max_examples=100)
def test_any_fields_are_refused_or_read(value: Any) -> None:
    decode_anything(json.dumps([value]).encode())
    decode_anything(json.dumps(value).encode())
    decode_anything(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@given(st.integers(0, 2**32), st.integers(1, 3))
@settings(max_examples=100)
def test_any_changed_bytes_are_found(seed: int, count: int) -> None:
    chosen = random.Random(seed)
    record_line = run().seal(12, record("hello"))
    for original in (record_line, run().header, keys()[1]):
        data = bytearray(original)
        for _time in range(count):
            place = chosen.randrange(len(data))
            data[place : place + chosen.randrange(2)] = bytes([chosen.randrange(256)])
        if bytes(data) != original:
            with pytest.raises(FileUnusable):
                if original == record_line:
                    run().open(bytes(data))
                elif original == keys()[1]:
                    HistoryKeys.open(bytes(data), PASSPHRASE)
                else:
                    RunCipher.of_header(keys()[0], bytes(data)).open(record_line)


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_the_smallest_change_of_any_letter_is_found() -> None:
    """Each letter of a line stands for itself alone."""
    for size in (10, 100):  # without and with bits that the last letter does not use
        line = run().seal(1, record("x" * size)).decode()
        for place in range(2, len(line) - 1):
            if line[place] != "=":
                other = _LETTERS[_LETTERS.index(line[place]) ^ 1]
                with pytest.raises(Damaged):
                    run().open((line[:place] + other + line[place + 1 :]).encode())


def test_a_key_file_of_another_version_is_named_as_such() -> None:
    for other in (b"keys 3", b"keys 12", b"1"):  # the last is how the first version began
        with pytest.raises(OtherVersion):
            HistoryKeys.open(keys()[1].replace(b"keys 2", other), PASSPHRASE)


@pytest.mark.parametrize("cost", [1, 14, 19, 99])
def test_a_scrypt_that_is_too_weak_or_a_trap_is_not_computed(cost: int) -> None:
    line = keys()[1].rsplit(b" ", 1)[0].replace(b" 15 ", b" %d " % cost)
    with pytest.raises(FileUnusable) as caught:
        HistoryKeys.open(records.KEY_FILE.summed(line), PASSPHRASE)
    assert not isinstance(caught.value, (WrongPassphrase, OtherVersion))


# What is wrong with a file


def damaged(folder: Path, change: Any) -> tuple[list[str], Faults]:
    """A run of six records after its lines have been changed; the first is its header."""
    made(folder, *"abcdef")
    path = only(folder)
    found = lines(path)
    change(found)
    path.write_bytes(b"".join(found))
    result = read(folder)
    path.unlink()
    return result


def test_a_changed_record_is_counted_and_the_rest_is_read(folder: Path) -> None:
    def change(found: list[bytes]) -> None:
        found[3] = found[3].replace(found[3][40:41], b"A" if found[3][40:41] != b"A" else b"B", 1)

    assert damaged(folder, change) == (list("abdef"), Faults(changed=1))


@pytest.mark.parametrize(
    "junk", [b"\n", b"junk\n", b"3 x\n", b"\xff\x00\n", b"3\n", b"x" * 10**7 + b"\n"]
)
def test_junk_in_the_place_of_a_record_is_counted(folder: Path, junk: bytes) -> None:
    told = damaged(folder, lambda found: found.__setitem__(3, junk))
    assert told == (list("abdef"), Faults(changed=1))


@pytest.mark.parametrize(
    ("change", "texts", "told"),
    [
        (lambda found: found.__delitem__(slice(3, 5)), "abef", Faults(missing=2)),
        (lambda found: found.__delitem__(1), "bcdef", Faults(missing=1)),
        (lambda found: found.insert(2, found.pop(4)), "adbcef", Faults(moved=2)),
        (lambda found: found.insert(4, found.pop(2)), "acdbef", Faults(moved=1)),
        (lambda found: found.append(found[3]), "abcdef", Faults(moved=1)),
        (lambda found: found.__setitem__(3, b"9" + found[3][1:]), "abdef",
         Faults(missing=3, changed=1)),
        (lambda found: found.__setitem__(slice(2, 5), [b"junk\n"]), "aef",
         Faults(missing=2, changed=1)),
        (lambda found: found.insert(3, b"junk\n"), "abcdef", Faults(changed=1)),
        (lambda found: found.__setitem__(6, found[6][:-5]), "abcde", Faults(torn=1)),
        (lambda found: found.__setitem__(0, b"cmdchat history run 2 x 0\n"), "",
         Faults(changed=6)),
        (lambda found: found.__delitem__(0), "", Faults(changed=5)),
        # A tail that was cut off at a record's end is not found.
        (lambda found: found.__delitem__(slice(4, None)), "abc", Faults()),
    ],
)  # fmt: skip
def test_what_is_missing_changed_moved_or_torn_is_counted(
    folder: Path, change: Any, texts: str, told: Faults
) -> None:
    assert damaged(folder, change) == (list(texts), told)


def test_a_record_of_another_run_or_history_is_counted(folder: Path) -> None:
    other = RunCipher.fresh(HistoryKeys.fresh(SERVER))
    for foreign in (run(), other, RunCipher(HistoryKeys.fresh(SERVER), run().id, 0)):
        line = foreign.seal(3, record("foreign"))
        told = damaged(folder, lambda found, line=line: found.__setitem__(3, line))
        assert told == (list("abdef"), Faults(changed=1))


def test_what_is_read_in_part_is_judged_in_part(folder: Path) -> None:
    made(folder, *"abcdef")
    path = only(folder)
    found = lines(path)
    del found[2], found[4]
    path.write_bytes(b"".join(found))
    for count, missing in ((1, 0), (2, 1), (3, 1), (9, 2)):
        reader = Reader(files(folder), keys()[0])
        assert [one.text for one in reader.last(count, lambda _: True)] == list("acdf")[-count:]
        assert reader.faults == Faults(missing=missing)


@given(st.integers(0, 2**32))
@settings(max_examples=30)
def test_whatever_happens_to_a_file_it_is_read_as_far_as_it_goes(seed: int) -> None:
    chosen = random.Random(seed)
    found = [run().header, *(run().seal(place, record(text)) for place, text in WHOLE)]
    for _time in range(chosen.randrange(1, 4)):
        place = chosen.randrange(len(found))
        what = chosen.randrange(6)
        if what == 0:
            del found[place]
        elif what == 1:
            found.insert(place, chosen.randbytes(chosen.randrange(40)))
        elif what == 2:
            found.insert(place, found[chosen.randrange(len(found))])
        elif what == 3:
            found[place] = found[place][: chosen.randrange(len(found[place]) + 1)]
        elif what == 4:
            chosen.shuffle(found)
        else:
            found[place] = b"%d" % chosen.randrange(10**16) + found[place]
        if not found:
            return
    path = _scratch()
    path.write_bytes(b"".join(found))
    reader, back = Reader([path], keys()[0]), Reader([path], keys()[0])
    texts = [one.text for one in reader.records()]
    assert set(texts) <= set("abcdef")
    assert sorted(one.text for one in back.last(MANY, lambda one: True)) == sorted(texts)
    assert back.faults == reader.faults


WHOLE = list(enumerate("abcdef", 1))


@functools.cache
def _scratch() -> Path:
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="cmdchat-history-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "scratch"


# Killed at any byte


def test_a_file_cut_at_any_byte_loses_the_last_record_at_most(folder: Path) -> None:
    made(folder, "a", "b")
    path = only(folder)
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    for size in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:size])
        reader = Reader([path], keys()[0])
        assert [one.text for one in reader.records()] == list("ab")[
            : sum(e <= size for e in ends) - 1
        ]
        assert reader.faults == Faults(torn=int(size not in ends))


def test_after_a_kill_the_next_run_goes_on_beside_it(folder: Path) -> None:
    made(folder, "a")
    with open(only(folder), "ab") as killed:
        killed.write(b"2 gAAAA")
    made(folder, "b")
    assert read(folder) == (["a", "b"], Faults(torn=1))


# Permissions, links, disks


def modes(path: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()}


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_nobody_else_may_look_whatever_the_umask(folder: Path) -> None:
    open_history(folder, "localhost", 1000, PASSPHRASE, Retention(MANY), 15).close()
    path = history_path(folder, SERVER)
    store.change_passphrase(path, open_keys(path, PASSPHRASE), "other")
    made(folder, "a", "b", "c", most=1)
    assert modes(path) == {0o600}
    parts = (path, folder, folder.parent, folder.parent.parent)
    assert {stat.S_IMODE(each.stat().st_mode) for each in parts} == {0o700}


@pytest.mark.usefixtures("no_umask")
def test_a_file_is_never_readable_for_others_not_even_while_it_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    real = os.open

    def watched(path: Any, flags: int, mode: int = 0o777, **other: Any) -> int:
        fd = real(path, flags, mode, **other)
        opened.append(stat.S_IMODE(os.fstat(fd).st_mode))
        return fd

    monkeypatch.setattr(os, "open", watched)
    store.create(history_path(folder, SERVER), keys()[0], PASSPHRASE, 15)
    made(folder, "a", "b")
    assert len(opened) == 3 and set(opened) == {0o600}


def test_a_folder_and_files_that_others_may_look_into_are_closed(folder: Path) -> None:
    made(folder, "a")
    path = history_path(folder, SERVER)
    for each in (folder, path):
        each.chmod(0o755)
    for each in path.iterdir():
        each.chmod(0o644)
    open_history(folder, "localhost", 1000, PASSPHRASE, Retention(MANY)).close()
    assert {stat.S_IMODE(each.stat().st_mode) for each in (folder, path)} == {0o700}
    assert modes(path) == {0o600}


@pytest.mark.parametrize("links", [True, False])
def test_keys_are_on_the_disk_before_they_take_their_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Also on a file system that has no links."""
    called: list[str] = []

    def watched(name: str, works: bool = True) -> Any:
        real = getattr(os, name)

        def call(*words: Any, **other: Any) -> Any:
            called.append(name)
            if not works:
                raise PermissionError(errno.EPERM, "no links here")
            return real(*words, **other)

        return call

    for name, works in (("fsync", True), ("link", links), ("rename", True), ("replace", True)):
        monkeypatch.setattr(os, name, watched(name, works))
    path = history_path(folder, SERVER)
    store.create(path, keys()[0], PASSPHRASE, 15)
    assert called == ["fsync", "link"] + ["rename"] * (not links)
    with pytest.raises(FileExistsError):
        store.create(path, HistoryKeys.fresh(SERVER), PASSPHRASE, 15)
    assert open_keys(path, PASSPHRASE) == keys()[0]
    called.clear()
    store.change_passphrase(path, keys()[0], "other")
    assert called == ["fsync", "replace"]
    assert [each.name for each in path.iterdir()] == ["keys"]


def test_no_link_is_followed(folder: Path, tmp_path: Path) -> None:
    recorder = made(folder, "a")
    target = tmp_path / "target"
    path = only(folder)
    path.rename(target)
    path.symlink_to(target)
    before = target.read_bytes()
    with pytest.raises(OSError):
        recorder.append(record())
    with pytest.raises(OSError):
        read(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileUnusable):
        read(folder)
    key_file = history_path(folder, SERVER) / "keys"
    key_file.unlink()
    key_file.symlink_to(target)
    with pytest.raises(OSError):
        open_keys(key_file.parent, PASSPHRASE)
    assert target.read_bytes() == before


def test_a_wrong_passphrase_changes_nothing(folder: Path) -> None:
    made(folder, "a", "b")
    only(folder).chmod(0o644)

    def state() -> list[tuple[str, int, int, bytes]]:
        paths = [folder, *sorted(folder.rglob("*"))]
        return [
            (path.name, path.stat().st_mtime_ns, path.stat().st_mode,
             b"" if path.is_dir() else path.read_bytes())
            for path in paths
        ]  # fmt: skip

    before = state()
    with pytest.raises(WrongPassphrase):
        open_history(folder, "localhost", 1000, "open", Retention(1))
    assert state() == before


class Screen:
    """What a history says while somebody chats."""

    def __init__(self) -> None:
        self.shown: list[events.Event] = []

    @property
    def warnings(self) -> list[str]:
        return [event.text for event in self.shown if isinstance(event, events.Warning)]


def message(text: str, **other: Any) -> events.Message:
    fields: dict[str, Any] = {
        "room": "default", "sender": "bob", "text": text, "seq": 1, "mine": False,
        "private": False, "verified": False, "kind": "text",
    }  # fmt: skip
    return events.Message(**{**fields, **other})


@pytest.fixture(autouse=True)
def all_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every history that a test opens ends with it."""
    runs: list[Recorder] = []
    real = Recorder.__init__

    def noted(self: Recorder, *words: Any) -> None:
        real(self, *words)
        runs.append(self)

    monkeypatch.setattr(Recorder, "__init__", noted)
    yield
    for run in runs:
        run.close()


def opened(folder: Path, most: int = MANY) -> tuple[Recorder, Screen, Any]:
    """A history of one run, what it says, and where to put events, which are settled then."""
    begun(folder)
    run, screen = open_history(folder, "localhost", 1000, PASSPHRASE, Retention(most)), Screen()
    assert run.said == []
    take = run.before(screen.shown.append)

    def put(event: events.Event) -> None:
        take(event)
        settled(run)

    return run, screen, put


def settled(run: Recorder) -> None:
    """Wait until all that is in the queue has been done."""
    done = threading.Event()
    with run._changed:
        if run._closed:
            return
        run._put(done.set)
    assert done.wait(LONG)


def look_back(run: Recorder, screen: Screen, count: int = 9, text: str = "") -> list[str]:
    """The texts that are shown."""
    run.look_back("default", count, text)
    settled(run)
    shown = [event for event in screen.shown if isinstance(event, events.HistoryList)][-1]
    return [one.text for one in shown.messages]


def test_no_more_look_backs_wait_than_a_few(folder: Path) -> None:
    """A pipe that brings more has to wait, until one is answered or none will be."""
    run, screen, put = opened(folder)
    put(message("a"))
    disk, client = threading.Event(), SimpleNamespace(_history=run)

    def ready(_seconds: float) -> bool:
        return True

    def hang() -> None:
        disk.wait(LONG)

    def has_capacity() -> bool:
        return _Client._has_capacity(cast(Any, client))

    client._session = SimpleNamespace(wait_capacity=ready)
    client._console = SimpleNamespace(screen=SimpleNamespace(await_room=ready))
    with run._changed:
        run._put(hang)
    for _ in range(history.QUEUE_SEARCHES):
        assert has_capacity()
        run.look_back("default", 9, "")
    assert not has_capacity()
    disk.set()
    settled(run)
    assert has_capacity() and len(screen.shown) == 1 + history.QUEUE_SEARCHES
    disk.clear()
    with run._changed:
        run._put(hang)
    for _ in range(history.QUEUE_SEARCHES):
        run.look_back("default", 9, "")
    assert not run.wait_capacity(0.0) and run.close() == 0 and run.wait_capacity(0.0)
    disk.set()


def test_a_full_disk_is_said_once_and_ends_nothing(folder: Path) -> None:
    run, screen, put = opened(folder)
    put(message("a"))
    path = only(folder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        put(message("b" * 500))
        put(message("c"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.stat().st_size == size  # not half a record more
    assert [type(event).__name__ for event in screen.shown] == [
        "Message", "Message", "Warning", "Message",
    ]  # fmt: skip
    (sentence,) = screen.warnings
    assert os.strerror(errno.EFBIG) in sentence and "\n" not in sentence
    assert look_back(run, screen) == ["a"]  # reading goes on
    put(message("d"))  # there is room again
    put(message("e"))
    assert screen.warnings[1:] == [
        "The history is being written again; 2 messages from the meantime are missing."
    ]
    assert look_back(run, screen) == ["a", "d", "e"]
    assert run.close() == 0


def test_a_disk_that_is_full_at_the_first_record_leaves_no_file(folder: Path) -> None:
    _run, screen, put = opened(folder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        put(message("a"))
        put(message("b"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(folder) == [] and len(screen.warnings) == 1
    put(message("c"))
    assert read(folder) == (["c"], Faults())


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    run = open_history(blocked / "history", "localhost", 1000, PASSPHRASE, Retention(MANY), 15)
    (sentence,) = run.said
    assert os.strerror(errno.ENOTDIR) in sentence
    screen = Screen()
    run.before(screen.shown.append)(message("a"))
    run.look_back("default", 9, "")
    assert [type(event).__name__ for event in screen.shown] == ["Message", "Error"]
    assert run.delete() is False
    assert run.close() == 0


def test_what_is_no_history_stays_as_it_is(folder: Path) -> None:
    made(folder, "a")
    path = history_path(folder, SERVER)
    for data in (b"", b"something else\n", b"x" * 200_000, keys()[1][:-9]):
        (path / "keys").write_bytes(data)
        run = open_history(folder, "localhost", 1000, PASSPHRASE, Retention(MANY), 15)
        (sentence,) = run.said
        assert str(path) in sentence
        run.before(lambda event: None)(message("a"))
        assert (path / "keys").read_bytes() == data and len(lines(only(folder))) == 2


def test_another_servers_history_is_not_written_to(folder: Path) -> None:
    made(folder, "a")
    other = history_path(folder, "elsewhere:7")
    history_path(folder, SERVER).rename(other)
    run = open_history(folder, "elsewhere", 7, PASSPHRASE, Retention(MANY))
    assert [messages.history("foreign", {"path": other})] == run.said
    run.before(lambda event: None)(message("a"))
    assert len(list(other.iterdir())) == 2


# A disk that hangs


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that takes nothing until this is set."""
    works = threading.Event()
    real = private_file.write

    def write(fd: int, data: bytes) -> None:
        assert works.wait(LONG)
        real(fd, data)

    monkeypatch.setattr(store, "write", write)
    yield works
    works.set()


def test_a_disk_that_hangs_holds_nobody_up(folder: Path, disk: threading.Event) -> None:
    run, screen, _put = opened(folder)
    take = run.before(screen.shown.append)
    for number in range(history.QUEUE_RECORDS + 3):
        take(message(str(number)))
    run.look_back("default", 1, "")
    assert screen.warnings == [messages.history("slow", {"path": history_path(folder, SERVER)})]
    assert len(screen.shown) == history.QUEUE_RECORDS + 4
    disk.set()
    settled(run)
    shown = [event for event in screen.shown if isinstance(event, events.HistoryList)]
    assert [one.text for one in shown[0].messages] == [str(history.QUEUE_RECORDS - 1)]
    assert screen.warnings[1:] == [messages.history_resumed(3)]
    assert len(read(folder)[0]) == history.QUEUE_RECORDS


def test_what_the_disk_has_no_time_for_is_counted(
    folder: Path, disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_CLOSE_SECONDS", 0.01)
    run, screen, _put = opened(folder)
    take = run.before(screen.shown.append)
    for text in "abc":
        take(message(text))
    assert run.close() == 3
    assert messages.history_lost(3).count("3") == 1


def test_the_end_waits_for_the_disk(folder: Path, disk: threading.Event) -> None:
    run, screen, _put = opened(folder)
    run.before(screen.shown.append)(message("a"))
    ended: list[int] = []
    end = threading.Thread(target=lambda: ended.append(run.close()))
    end.start()
    disk.set()
    end.join(LONG)
    assert ended == [0] and read(folder) == (["a"], Faults())


# Several at once


def test_each_run_has_a_file_and_all_are_read_by_time(folder: Path) -> None:
    runs = [made(folder), made(folder)]
    for number in range(6):
        one = record(str(number), time=NOON + timedelta(minutes=number))
        runs[number // 2 % 2].append(one)
    assert [path.name[:7] for path in files(folder)] == ["000001-", "000002-"]
    assert read(folder) == (list("012345"), Faults())
    reader = Reader(files(folder), keys()[0])
    assert [one.text for one in reader.last(3, lambda _: True)] == list("345")


def test_a_run_keeps_its_order_whatever_its_clock_does(folder: Path) -> None:
    recorder = made(folder)
    for text, minute in (("a", 5), ("b", 0), ("c", 9)):
        recorder.append(record(text, time=NOON + timedelta(minutes=minute)))
    assert read(folder) == (list("abc"), Faults())


def test_two_processes_at_once_record_all_of_it(folder: Path) -> None:
    path = begun(folder)
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, timezone;"
        "from client.history.store import *; from client.history.records import *;"
        "keyring = open_keys(Path(sys.argv[1]), sys.argv[2]);"
        "recorder, now = RunWriter(Path(sys.argv[1]), keyring, 80), datetime.now(timezone.utc);"
        "print('ready', flush=True); sys.stdin.read();"
        "[recorder.append(Record(now, '', '', None, f'{sys.argv[3]} {n}', 'text', False, False))"
        " for n in range(150)]"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), PASSPHRASE, name],
            cwd=Path(__file__).parent.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for name in "ab"
    ]  # fmt: skip
    try:
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.close()
        assert [writer.wait(60) for writer in writers] == [0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            assert writer.stdout is not None
            writer.stdout.close()
    texts, told = read(folder)
    assert told == Faults() and 80 <= len(texts) <= 80 + 4 * (80 // PARTS)
    for name in "ab":  # the last ones of each, without a gap
        numbers = [int(text[2:]) for text in texts if text[0] == name]
        assert numbers == list(range(150 - len(numbers), 150))


def test_a_file_that_another_program_removes_to_make_room_is_followed_by_the_next(
    folder: Path,
) -> None:
    recorder = made(folder, "a")
    made(folder, *"bcdefg", most=2)
    assert "a" not in read(folder)[0]
    recorder.append(record("h"))
    assert read(folder)[0][-1] == "h" and read(folder)[1] == Faults()


def test_a_passphrase_that_another_changes_leaves_this_run_as_it_is(folder: Path) -> None:
    run, screen, put = opened(folder)
    put(message("a"))
    path = history_path(folder, SERVER)
    store.change_passphrase(path, keys()[0], "other")
    put(message("b"))
    assert screen.warnings == [] and look_back(run, screen) == ["a", "b"]
    keyring = open_keys(path, "other")
    RunWriter(path, keyring, MANY).append(record("c"))
    texts = {one.text for one in Reader(files(folder), keyring).records()}
    assert texts == {"a", "b", "c"}
    old = Reader(files(folder), keys()[0])
    assert {one.text for one in old.records()} == {"a", "b"}  # not what came later
    assert old.faults == Faults(changed=1)


def test_a_history_that_is_removed_does_not_come_back(folder: Path) -> None:
    run, screen, put = opened(folder)
    put(message("a"))
    other, _screen, _put = opened(folder)
    assert other.delete() is True
    put(message("b"))
    put(message("c"))
    assert screen.warnings == [messages.history("removed")]
    assert not folder.exists()
    assert run.delete() is True


# Bounds


def test_whole_files_go_once_there_is_enough_without_them(folder: Path) -> None:
    made(folder, *map(str, range(100)), most=16)  # two in a file
    texts, told = read(folder)
    assert texts == [str(number) for number in range(82, 100)] and told == Faults()
    assert [number for number, _ in run_paths(history_path(folder, SERVER))] == list(range(42, 51))
    run, _screen, put = opened(folder, most=5)
    assert read(folder)[0] == [str(number) for number in range(94, 100)]
    put(message("more"))
    assert len(read(folder)[0]) == 7  # without the oldest file there would be four of before
    assert run.close() == 0


def test_a_small_bound_is_kept_too(folder: Path) -> None:
    made(folder, *"abcd", most=1)
    assert read(folder) == (["c", "d"], Faults())
    made(folder, *"e", most=1)
    assert read(folder) == (["d", "e"], Faults())


def test_a_file_that_cannot_be_read_or_removed_is_left(folder: Path) -> None:
    made(folder, *"ab", most=8)
    first = files(folder)[0]
    first.unlink()
    first.mkdir()
    made(folder, *"cdef", most=2)
    assert first.is_dir() and len(files(folder)) == 4


def days_old(folder: Path, *ages: float | None) -> None:
    """A run for each age in days, the oldest run first; None: with a clock of the year 2000."""
    for number, age in enumerate(ages):
        time = NOW - timedelta(days=age) if age is not None else NOON.replace(year=2000)
        made(folder).append(record(str(number), time=time))


NOW = datetime(2031, 6, 1, tzinfo=timezone.utc)


def kept(folder: Path, now: datetime = NOW, days: int = 30) -> list[int]:
    path = history_path(folder, SERVER)
    store.forget(path, keys()[0], round(now.timestamp() * 1000), days)
    return [number - 1 for number, _ in run_paths(path)]


def test_runs_that_are_too_old_go(folder: Path) -> None:
    days_old(folder, 99, 40, 31, 29, 1)
    assert kept(folder) == [2, 3, 4]  # by the last run's time it is a day earlier
    days_old(folder, 0)
    assert kept(folder)[:2] == [3, 4]


def test_a_clock_that_is_wrong_for_one_run_makes_nothing_too_old(folder: Path) -> None:
    days_old(folder, 20, 10, 1)
    assert kept(folder, NOW.replace(year=2099)) == [0, 1, 2]
    days_old(folder, -25_000)  # that run has recorded something
    assert kept(folder) == [0, 1, 2, 3]
    days_old(folder, None, 0)
    assert kept(folder) == [0, 1, 2, 3, 4, 5]
    assert kept(folder, NOON.replace(year=2000)) == [0, 1, 2, 3, 4, 5]


def test_what_has_no_credible_time_goes_with_what_came_after_it(folder: Path) -> None:
    days_old(folder, None, 99, -25_000, 50, None, 20, 0)
    damaged = files(folder)[3]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert kept(folder) == [2, 3, 4, 5, 6]
    days_old(folder, 0)
    assert kept(folder, NOW + timedelta(days=60)) == [2, 3, 4, 5, 6, 7]


def test_an_empty_history_has_nothing_that_is_too_old(folder: Path) -> None:
    begun(folder)
    assert kept(folder) == []
    bounds = Retention(MANY, 30)
    run = open_history(folder, "localhost", 1000, PASSPHRASE, bounds)
    assert run.said == []
    run.close()


# Looking back


def test_looking_back_shows_this_room_and_private_messages(folder: Path) -> None:
    run, screen, put = opened(folder)
    put(message("one"))
    put(message("Straße", room="Default"))
    put(message("elsewhere", room="other"))
    put(message("psst", room="other", private=True, to="alice"))
    put(message("three", mine=True, sender="alice", kind="action"))
    put(events.Notice("no message"))
    assert look_back(run, screen) == ["one", "Straße", "psst", "three"]
    assert look_back(run, screen, 2) == ["psst", "three"]
    assert look_back(run, screen, 9, "STRASSE") == ["Straße"]
    assert look_back(run, screen, 1, "e") == ["three"]
    assert look_back(run, screen, 9, "nothing") == []
    run.look_back("OTHER", 9, "")
    settled(run)
    shown = screen.shown[-1]
    assert isinstance(shown, events.HistoryList)
    assert [one.text for one in shown.messages] == ["elsewhere", "psst"]


def test_looking_back_in_a_persons_view_shows_what_is_between_the_two(folder: Path) -> None:
    run, screen, put = opened(folder)
    put(message("to the room"))
    put(message("psst", room="other", private=True, to="alice"))
    put(message("from carol", sender="carol", private=True, to="alice"))
    put(message("yes?", mine=True, sender="alice", private=True, to="Bob"))
    run.look_back("default", 9, "", nick="bob")
    settled(run)
    shown = screen.shown[-1]
    assert isinstance(shown, events.HistoryList)
    assert [one.text for one in shown.messages] == ["psst", "yes?"]


def test_looking_back_opens_no_more_than_it_shows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minutes in (0, 10):
        recorder = made(folder)
        for number in range(6):
            when = NOON + timedelta(minutes=minutes + number)
            recorder.append(record(f"{minutes + number}", time=when))
    opened_lines: list[bytes] = []
    real = RunCipher.open

    def counted(self: RunCipher, line: bytes) -> tuple[int, Record]:
        opened_lines.append(line)
        return real(self, line)

    monkeypatch.setattr(RunCipher, "open", counted)
    reader = Reader(files(folder), keys()[0])
    assert [one.text for one in reader.last(2, lambda one: True)] == ["14", "15"]
    assert len(opened_lines) <= 4  # those, and the last one of the other run


def test_what_is_wrong_is_said_where_it_is_read(folder: Path) -> None:
    made(folder, *"abcdef")
    found = lines(only(folder))
    only(folder).write_bytes(b"".join([found[0], b"1 AAAA\n", *found[2:], b"7 torn"]))
    run, screen, _put = opened(folder)
    assert look_back(run, screen, 2) == ["e", "f"]
    assert screen.warnings == []
    assert look_back(run, screen) == list("bcdef")
    assert screen.warnings == [messages.history_records("changed", 1)]


def test_what_was_recorded_is_an_event_with_the_contracts_keys(folder: Path) -> None:
    run, screen, put = opened(folder)
    put(message("psst", private=True, to="alice"))
    look_back(run, screen)
    (view,) = screen.shown[-1].fields()["messages"]
    assert datetime.fromisoformat(view.pop("time").replace("Z", "+00:00")) <= datetime.now(
        timezone.utc
    )
    assert view == {"room": "default", "from": "bob", "to": "alice", "text": "psst",
                    "kind": "text", "private": True, "self": False}  # fmt: skip


def test_once_closed_nothing_is_recorded_or_shown(folder: Path) -> None:
    run, screen, put = opened(folder)
    put(message("a"))
    run.close()
    put(message("b"))
    run.look_back("default", 9, "")
    assert read(folder)[0] == ["a"]
    last = screen.shown[-1]
    assert isinstance(last, events.Error) and last.code == "no_history"
    assert not any(isinstance(value, (HistoryKeys, RunWriter)) for value in vars(run).values())


def test_deleting_waits_for_no_disk_that_hangs(folder: Path, disk: threading.Event) -> None:
    run, screen, _put = opened(folder)
    run.before(screen.shown.append)(message("a"))
    until(lambda: files(folder))  # it is about to be written
    assert run.delete() is True
    assert not folder.exists()


def test_deleting_leaves_other_histories(folder: Path) -> None:
    made(folder, "a")
    other = history_path(folder, "elsewhere:7")
    store.create(other, HistoryKeys.fresh("elsewhere:7"), PASSPHRASE, 15)
    assert sorted(store.history_paths(folder)) == sorted([other, begun(folder)])
    assert history.delete_history(folder, "localhost", 1000) is True
    assert store.history_paths(folder) == [other]
    assert history.delete_history(folder, "localhost", 1000) is True  # there is none


# Another passphrase


def test_another_passphrase_opens_all_that_was_there(folder: Path) -> None:
    made(folder, *"ab")
    path = history_path(folder, SERVER)
    before = only(folder).read_bytes()
    store.change_passphrase(path, keys()[0], "other")
    assert only(folder).read_bytes() == before
    with pytest.raises(WrongPassphrase):
        open_keys(path, PASSPHRASE)
    keyring = open_keys(path, "other")
    assert keyring.server == SERVER and len(keyring.masters) == 2
    assert [one.text for one in Reader(files(folder), keyring).records()] == ["a", "b"]


def test_a_thousand_passphrases_are_enough() -> None:
    keyring = HistoryKeys(SERVER, tuple(bytes([n % 256]) * 32 for n in range(1000)))
    data = keyring.seal(PASSPHRASE, 15)
    assert len(data) <= records.KEY_FILE_BYTES
    assert HistoryKeys.open(data, PASSPHRASE) == keyring
    with pytest.raises(FileUnusable):
        keyring.renewed()
    assert RunCipher.of_header(keyring, RunCipher(keyring, bytes(16), 999).header).id == bytes(16)


def test_a_passphrase_that_cannot_be_changed_leaves_the_old_one(folder: Path) -> None:
    made(folder, *"abcd")
    path = history_path(folder, SERVER)
    before = {each.name: each.read_bytes() for each in path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, limits[1]))
    try:
        with pytest.raises(OSError):
            store.change_passphrase(path, keys()[0], "other")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {each.name: each.read_bytes() for each in path.iterdir()} == before


def test_a_history_that_begins_at_two_places_at_once_is_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking for one and making it, another client has made it."""
    real = HistoryKeys.fresh

    def late(server: str) -> HistoryKeys:
        made(folder, "a")
        return real(server)

    keys()  # made before, by the genuine one
    monkeypatch.setattr(HistoryKeys, "fresh", late)
    run = open_history(folder, "localhost", 1000, PASSPHRASE, Retention(MANY), 15)
    assert run.said == []
    run.before(lambda event: None)(message("b"))
    settled(run)
    assert read(folder) == (["a", "b"], Faults())


def test_whether_a_server_has_one(folder: Path) -> None:
    assert history.is_new(folder, "localhost", 1000)
    made(folder)
    assert not history.is_new(folder, "LOCALHOST", 1000)
    assert history.is_new(folder, "localhost", 1001)


def test_the_sentences_are_whole() -> None:
    for code in messages._HISTORY:
        sentence = messages.history(code, {"path": "/p", "reason": "r"})
        assert sentence.endswith(".") and "{" not in sentence and "?" not in sentence
    for code in ("missing", "changed", "moved", "torn"):
        assert messages.history_records(code, 1).startswith("1 record of the history ")
        assert messages.history_records(code, 7).startswith("7 records of the history ")
