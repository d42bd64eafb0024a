"""The local history's file: its format, what it survives, and what of a damaged one is found.

Read by ``docs/HISTORY.md`` alone, too, with nothing of the program's.
"""

from __future__ import annotations

import base64
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
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from client import events, history, history_file, history_records, wording
from client.history import Bounds, History, open_history
from client.history_file import HistoryFile, Reader, file_path, locked, read_header
from client.history_records import (
    COST,
    Damaged,
    Faults,
    Header,
    HistoryError,
    Keys,
    OtherVersion,
    Record,
    WrongPassphrase,
    decode_owner,
    encode_owner,
    faults,
    number_of,
    ranges,
)

PASSPHRASE = "open sésame"
SERVER = "localhost:1000"
NOON = datetime(2026, 1, 2, 12, 0, 0, 123_000, tzinfo=timezone.utc)
MANY = 10_000


@functools.cache
def keys() -> tuple[Keys, Header]:
    """Keys by the weakest scrypt that is taken, worked out once."""
    return Keys.fresh(PASSPHRASE, 15)


def record(text: str = "hello", **other: Any) -> Record:
    fields = {
        "time": NOON, "room": "default", "sender": "bob", "to": None, "text": text,
        "kind": "text", "private": False, "mine": False,
    }  # fmt: skip
    return Record(**{**fields, **other})


@pytest.fixture(autouse=True)
def one_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same results as ever, worked out once a run."""
    monkeypatch.setattr(history_records, "_master", _master)


_master = functools.lru_cache(history_records._master)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cmd-chat" / "history"


def made(folder: Path, *texts: str, most: int = MANY) -> HistoryFile:
    """A file with records of these texts."""
    path = file_path(folder, SERVER)
    if not path.exists():
        HistoryFile.create(path, *keys(), SERVER)
    file = HistoryFile(path, keys()[0])
    for text in texts:
        file.append(record(text), most)
    return file


def read(path: Path) -> tuple[list[str], Faults]:
    """The texts that can be read, and what is wrong; the same from both ends."""
    reader, back = Reader(path, keys()[0]), Reader(path, keys()[0])
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


def test_a_file_is_what_the_document_says(folder: Path) -> None:
    file = made(folder, "first", "второй\nline", "x" * 300)
    head, *rest = file.path.read_text("ascii").split("\n")
    assert rest.pop() == ""
    magic, words = head[:17], head[18:].split(" ")
    assert (magic, len(words)) == ("cmdchat history 1", 6)
    file_id, cost, salt, first, check, total = words
    secret = "open sésame".encode()
    master = hashlib.scrypt(
        secret, salt=base64.urlsafe_b64decode(salt + "=="), n=2 ** int(cost), r=8, p=1,
        maxmem=2**28, dklen=32,
    )  # fmt: skip
    bound = f"cmdchat history 1 {file_id} {cost} {salt}".encode()
    checked = bound + b" " + first.encode()
    assert base64.urlsafe_b64decode(check + "=") == hkdf(
        master, labelled("cmdchat history check 1", checked)
    )
    summed = checked + b" " + check.encode()
    assert base64.urlsafe_b64decode(total + "=") == hashlib.sha256(
        labelled("cmdchat history sum 1", summed)
    ).digest()
    found = []
    for place, line in enumerate(rest):
        number, token = line.split(" ")
        assert int(number) == place
        info = labelled("cmdchat history record 1", bound, place.to_bytes(8, "big"))
        fernet = Fernet(base64.urlsafe_b64encode(hkdf(master, info)))
        plain = fernet.decrypt(token)
        assert fernet.extract_timestamp(token) == 0
        assert len(plain) >= 64 and len(plain).bit_count() == 1
        found.append(json.loads(plain))
    assert found[0] == {"server": SERVER}
    assert [one.pop("text") for one in found[1:]] == ["first", "второй\nline", "x" * 300]
    rest_of_it = {"time": 1767355200123, "room": "default", "from": "bob", "to": None,
                  "kind": "text", "private": False, "self": False}  # fmt: skip
    assert found[1:] == [rest_of_it] * 3
    hashed = hashlib.sha256(labelled("cmdchat history file 1", SERVER.encode())).hexdigest()
    assert file.path.name == hashed[:32] + ".history"


def test_new_files_use_a_strong_scrypt() -> None:
    assert COST >= 17 and COST in history_records.COSTS
    assert min(history_records.COSTS) == 15


@pytest.mark.parametrize(
    ("host", "server"),
    [("LocalHost.", "localhost:7"), ("::1", "[::1]:7"), ("0:0::1", "[::1]:7"),
     ("10.0.0.1", "10.0.0.1:7")],
)  # fmt: skip
def test_a_server_has_one_history_however_it_is_written(host: str, server: str) -> None:
    assert history_file.server_name(host, 7) == server


def test_one_passphrase_on_two_keyboards() -> None:
    header = replace(keys()[1])
    assert Keys.unlock("open se\u0301same", header).bound == header.bound
    with pytest.raises(WrongPassphrase):
        Keys.unlock("open sesame", header)


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
    number, plain = keys()[0].open(keys()[0].seal(7, one.encode()))
    assert (number, Record.decode(plain)) == (7, one)


def test_a_text_that_is_too_long_or_no_text_is_recorded_all_the_same() -> None:
    assert Record.decode(record("x" * 2_000_000).encode()).text == "x" * 100_000 + "…"
    assert Record.decode(record("a\ud800b").encode()).text == "a?b"
    assert len(keys()[0].seal(1, record("\x01" * 100_000).encode())) < history_records.LINE_BYTES
    assert Record.decode(record(time=NOON.replace(year=1969)).encode()).time.year == 1970


def test_sizes_say_little() -> None:
    sizes = {len(keys()[0].seal(1, record("x" * count).encode())) for count in range(1000)}
    assert len(sizes) <= 5


# Whatever stands in a file: a result, or one of the errors that are meant for it


def open_anything(line: bytes) -> None:
    try:
        _number, plain = keys()[0].open(line)
        decode_anything(plain)
    except Damaged:
        pass
    assert (number_of(line) or 0) >= 0


def decode_anything(plain: bytes) -> None:
    for decode in (Record.decode, decode_owner):
        try:
            decode(plain)
        except Damaged:
            pass


def decode_header(line: bytes) -> None:
    try:
        assert Header.decode(line).encode() == line
    except HistoryError:
        pass


FIELDS: Any = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(["x", "\ud800", True, 0, -1, 1e300, 10**30, None, [], {}])
        for name in ("time", "room", "from", "to", "text", "kind", "private", "self", "server")
    },
)


@given(st.binary(max_size=300))
@settings(max_examples=100)
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    open_anything(data)
    open_anything(b"1 " + base64.urlsafe_b64encode(data) + b"\n")
    decode_anything(data)
    decode_header(data)
    decode_header(b"cmdchat history 1 " + data + b"\n")


@given(FIELDS)
@settings(max_examples=100)
def test_any_fields_are_refused_or_read(value: Any) -> None:
    decode_anything(json.dumps([value]).encode())
    decode_anything(json.dumps(value).encode())
    decode_anything(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@given(st.integers(0, 2**32), st.integers(1, 3))
@settings(max_examples=100)
def test_a_record_or_header_with_changed_bytes_is_refused(seed: int, count: int) -> None:
    chosen = random.Random(seed)
    whole = keys()[0].seal(12, record("hello").encode())
    for original in (whole, keys()[1].encode()):
        data = bytearray(original)
        for _time in range(count):
            place = chosen.randrange(len(data))
            data[place : place + chosen.randrange(2)] = bytes([chosen.randrange(256)])
        if bytes(data) != original:
            with pytest.raises(HistoryError):
                keys()[0].open(bytes(data)) if original is whole else Header.decode(bytes(data))


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_the_smallest_change_of_any_letter_is_found() -> None:
    """Each letter of a line stands for itself alone."""
    for size in (10, 100):  # without and with bits that the last letter does not use
        line = keys()[0].seal(1, record("x" * size).encode()).decode()
        for place in range(2, len(line) - 1):
            if line[place] != "=":
                other = _LETTERS[_LETTERS.index(line[place]) ^ 1]
                with pytest.raises(Damaged):
                    keys()[0].open((line[:place] + other + line[place + 1 :]).encode())


def test_a_header_of_another_version_is_named_as_such() -> None:
    line = keys()[1].encode()
    for other in (b"2", b"12"):
        with pytest.raises(OtherVersion):
            Header.decode(line.replace(b"history 1", b"history " + other))


@pytest.mark.parametrize("cost", [1, 14, 19, 99])
def test_a_scrypt_that_is_too_weak_or_a_trap_is_not_computed(cost: int) -> None:
    header = replace(keys()[1], cost=cost)
    with pytest.raises(HistoryError) as caught:
        Header.decode(header.encode())
    assert not isinstance(caught.value, (WrongPassphrase, OtherVersion))


def test_another_beginning_than_the_one_that_was_trimmed_to_is_refused() -> None:
    header = replace(keys()[1], first=5)
    assert not keys()[0].fit(Header.decode(header.encode()))


# What is wrong with a file


@pytest.mark.parametrize(
    ("found", "claimed", "first", "missing", "changed", "moved"),
    [
        ([1, 2, 3], [], 1, [], [], []),
        ([1, 4, 5, 9], [], 1, [(2, 3), (6, 8)], [], []),
        ([3, 4], [], 1, [(1, 2)], [], []),
        ([3, 4], [], None, [], [], []),
        ([1, 3], [2], 1, [], [(2, 2)], []),
        ([1, 9], [4, 5], 1, [(2, 3), (6, 8)], [(4, 5)], []),
        ([1, 3, 2, 4], [], 1, [], [], [(2, 2)]),
        ([1, 2, 2, 3], [], 1, [], [], [(2, 2)]),
        ([2, 3, 4], [], 3, [], [], [(2, 2)]),
        ([], [], 1, [], [], []),
        ([], [10**15], 1, [], [(10**15, 10**15)], []),
    ],
)
def test_faults_by_number(
    found: list[int], claimed: list[int], first: int | None, missing: Any, changed: Any, moved: Any
) -> None:
    told = faults(found, claimed, first)
    assert tuple(map(list, (told.missing, told.changed, told.moved))) == (missing, changed, moved)
    assert bool(told) == bool(missing or changed or moved)


def test_ranges() -> None:
    assert ranges([3, 1, 2, 7, 2]) == [(1, 3), (7, 7)]


def damaged(folder: Path, change: Any) -> tuple[list[str], Faults]:
    """A file with six records after its lines have been changed."""
    file = made(folder, *"abcdef")
    found = lines(file.path)
    change(found)
    file.path.write_bytes(b"".join(found))
    return read(file.path)


def test_a_changed_record_is_named_and_the_rest_is_read(folder: Path) -> None:
    def change(found: list[bytes]) -> None:
        found[4] = found[4].replace(found[4][40:41], b"A" if found[4][40:41] != b"A" else b"B", 1)

    texts, told = damaged(folder, change)
    assert (texts, told) == (list("abdef"), Faults(changed=((3, 3),)))


@pytest.mark.parametrize(
    "junk", [b"\n", b"junk\n", b"3 x\n", b"\xff\x00\n", b"3\n", b"x" * 10**7 + b"\n"]
)
def test_junk_in_the_place_of_a_record_is_named(folder: Path, junk: bytes) -> None:
    texts, told = damaged(folder, lambda found: found.__setitem__(4, junk))
    assert (texts, told) == (list("abdef"), Faults(changed=((3, 3),)))


def test_missing_moved_and_repeated_records_are_named(folder: Path) -> None:
    assert damaged(folder, lambda found: found.__delitem__(slice(4, 6))) == (
        list("abef"), Faults(missing=((3, 4),)),
    )  # fmt: skip
    file_path(folder, SERVER).unlink()
    assert damaged(folder, lambda found: found.insert(3, found.pop(5))) == (
        list("adbcef"), Faults(moved=((2, 3),)),
    )  # fmt: skip
    file_path(folder, SERVER).unlink()
    texts, told = damaged(folder, lambda found: found.append(found[4]))
    assert (sorted(texts), told) == (list("abcdef"), Faults(moved=((3, 3),)))


def test_a_record_of_another_file_is_named(folder: Path) -> None:
    other_keys = Keys(bytes(32), keys()[1])
    foreign = other_keys.seal(3, record("foreign").encode())
    same_key = Keys(keys()[0]._master, replace(keys()[1], id=bytes(16)))
    for line in (foreign, same_key.seal(3, record("foreign").encode())):
        texts, told = damaged(folder, lambda found, line=line: found.__setitem__(4, line))
        assert (texts, told) == (list("abdef"), Faults(changed=((3, 3),)))
        file_path(folder, SERVER).unlink()


def test_a_record_under_another_number_is_named(folder: Path) -> None:
    texts, told = damaged(
        folder, lambda found: found.__setitem__(4, b"9" + found[4][1:])
    )
    assert (texts, told) == (list("abdef"), Faults(missing=((3, 3),), changed=((9, 9),)))


def test_a_tail_cut_off_at_a_records_end_is_not_found(folder: Path) -> None:
    assert damaged(folder, lambda found: found.__delitem__(slice(5, None))) == (
        list("abc"), Faults(),
    )  # fmt: skip


def test_the_record_that_says_whose_file_it_is_can_be_missing_or_changed(folder: Path) -> None:
    _texts, told = damaged(folder, lambda found: found.__delitem__(1))
    assert told == Faults(missing=((0, 0),))
    file_path(folder, SERVER).unlink()
    _texts, told = damaged(folder, lambda found: found.__setitem__(1, b"0 AAAA\n"))
    assert told == Faults(changed=((0, 0),))


@given(st.integers(0, 2**32))
@settings(max_examples=30)
def test_whatever_happens_to_a_file_it_is_read_as_far_as_it_goes(seed: int) -> None:
    chosen = random.Random(seed)
    found = list(_whole())
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
    try:
        texts, _told = read(path)
    except HistoryError:
        assert b"".join(found).partition(b"\n")[0] != _whole()[0].rstrip(b"\n")
        return
    assert set(texts) <= set("abcdef")
    HistoryFile(path, keys()[0]).settle(SERVER, MANY, None)
    HistoryFile(path, keys()[0]).append(record("more"), MANY)
    assert "more" in read(path)[0] and not read(path)[1].torn


@functools.cache
def _whole() -> tuple[bytes, ...]:
    key, header = keys()
    plains = [encode_owner(SERVER), *(record(text).encode() for text in "abcdef")]
    return header.encode(), *(key.seal(number, plain) for number, plain in enumerate(plains))


@functools.cache
def _scratch() -> Path:
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="cmdchat-history-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "scratch.history"


# Killed at any byte


def test_a_file_cut_at_any_byte_loses_the_last_record_at_most(folder: Path) -> None:
    file = made(folder, "a", "b")
    whole = file.path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    for size in range(ends[1], len(whole) + 1):
        file.path.write_bytes(whole[:size])
        kept = sum(end <= size for end in ends) - 2
        torn = size not in ends
        if torn and size % 13 not in (0, 1):  # looking is cheap, writing less so
            reader = Reader(file.path, keys()[0])
            assert [one.text for one in reader.records()] == list("ab")[:kept]
            assert reader.faults == Faults(torn=True)
            continue
        again = HistoryFile(file.path, keys()[0])
        again.settle(SERVER, MANY, None)
        assert again.torn == torn
        again.append(record("next"), MANY)
        assert read(file.path) == ([*list("ab")[:kept], "next"], Faults())


def test_what_another_client_left_torn_is_cut_off_and_said(folder: Path) -> None:
    file = made(folder, "a")
    with open(file.path, "ab") as other:
        other.write(b"2 gAAAA")
    assert read(file.path) == (["a"], Faults(torn=True))
    file.append(record("b"), MANY)
    assert file.torn == 1
    assert read(file.path) == (["a", "b"], Faults())


# Permissions, links, disks


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_nobody_else_may_look_whatever_the_umask(folder: Path) -> None:
    file = made(folder, "a", "b", "c", most=1)
    file.settle(SERVER, 1, None)
    key, header = Keys.fresh("other", 15)
    history_file.reseal(file.path, keys()[0], key, header)
    assert modes(folder) == {0o600}
    parts = (folder, folder.parent, folder.parent.parent)
    assert {stat.S_IMODE(path.stat().st_mode) for path in parts} == {0o700}


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
    made(folder, "a", "b")
    assert opened and set(opened) == {0o600}


def test_a_folder_and_file_that_others_may_look_into_are_closed(folder: Path) -> None:
    file = made(folder, "a")
    folder.chmod(0o755)
    file.path.chmod(0o644)
    open_history(folder, "localhost", 1000, PASSPHRASE, Bounds(MANY)).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes(folder) == {0o600}


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def watched(name: str) -> Any:
        real = getattr(os, name)

        def call(*words: Any) -> Any:
            called.append(name)
            return real(*words)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, watched(name))
    made(folder, "a")
    assert called == ["fsync", "replace"]


def test_no_link_is_followed(folder: Path, tmp_path: Path) -> None:
    file = made(folder, "a")
    target = tmp_path / "target"
    file.path.rename(target)
    file.path.symlink_to(target)
    before = target.read_bytes()
    with pytest.raises(OSError):
        file.append(record(), MANY)
    file.path.unlink()
    os.mkfifo(file.path)
    with pytest.raises(HistoryError):
        read_header(file.path)
    assert target.read_bytes() == before


def test_a_wrong_passphrase_changes_nothing(folder: Path) -> None:
    file = made(folder, "a")
    with open(file.path, "ab") as torn:
        torn.write(b"2 gAA")
    file.path.chmod(0o644)

    def state() -> list[tuple[str, int, int, bytes]]:
        paths = [folder, *sorted(folder.iterdir())]
        return [
            (path.name, path.stat().st_mtime_ns, path.stat().st_mode,
             b"" if path.is_dir() else path.read_bytes())
            for path in paths
        ]  # fmt: skip

    before = state()
    with pytest.raises(WrongPassphrase):
        open_history(folder, "localhost", 1000, "open", Bounds(1))
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


def recorder(folder: Path, most: int = MANY, days: int = 0) -> tuple[History, Screen, Any]:
    """An opened history, what it says, and where to put events."""
    file, bounds = made(folder), Bounds(most, days)
    file.settle(SERVER, most, bounds.oldest(datetime.now(timezone.utc)))
    opened, screen = History(file.path, file, bounds, []), Screen()
    return opened, screen, opened.before(screen.shown.append)


def test_a_full_disk_is_said_once_and_ends_nothing(folder: Path) -> None:
    opened, screen, take = recorder(folder)
    take(message("a"))
    path = file_path(folder, SERVER)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        take(message("b" * 500))
        take(message("c"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.stat().st_size == size  # not half a record more
    assert [type(event).__name__ for event in screen.shown] == [
        "Message", "Warning", "Message", "Message",
    ]  # fmt: skip
    (sentence,) = screen.warnings
    assert os.strerror(errno.EFBIG) in sentence and "\n" not in sentence
    opened.look_back("default", 9, "")  # reading goes on
    shown = screen.shown[-1]
    assert isinstance(shown, events.History) and [one.text for one in shown.messages] == ["a"]
    take(message("d"))  # there is room again
    take(message("e"))
    assert len(screen.warnings) == 2
    assert screen.warnings[1] == (
        "The history is written again; 2 messages of meanwhile are missing from it."
    )
    opened.look_back("default", 9, "")
    shown = screen.shown[-1]
    assert isinstance(shown, events.History)
    assert [one.text for one in shown.messages] == ["a", "d", "e"]


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    opened = open_history(blocked / "history", "localhost", 1000, PASSPHRASE, Bounds(MANY), 15)
    (sentence,) = opened.said
    assert os.strerror(errno.ENOTDIR) in sentence
    screen = Screen()
    opened.before(screen.shown.append)(message("a"))
    opened.look_back("default", 9, "")
    assert [type(event).__name__ for event in screen.shown] == ["Message", "Error"]
    assert opened.delete() is False


def test_what_is_no_history_stays_as_it_is(folder: Path) -> None:
    file = made(folder, "a")
    for data in (b"", b"something else\n", b"x" * 10_000, keys()[1].encode()[:-9]):
        file.path.write_bytes(data)
        opened = open_history(folder, "localhost", 1000, PASSPHRASE, Bounds(MANY), 15)
        (sentence,) = opened.said
        assert str(file.path) in sentence
        opened.before(lambda event: None)(message("a"))
        assert file.path.read_bytes() == data


def test_another_servers_file_is_not_written_to(folder: Path) -> None:
    file = made(folder, "a")
    other = file_path(folder, "elsewhere:7")
    file.path.rename(other)
    before = other.read_bytes()
    opened = open_history(folder, "elsewhere", 7, PASSPHRASE, Bounds(MANY))
    assert [wording.history("foreign", {"path": other})] == opened.said
    opened.before(lambda event: None)(message("a"))
    assert other.read_bytes() == before


# Several at once


def test_two_clients_take_turns_in_one_file(folder: Path) -> None:
    one, other = made(folder), made(folder)
    for number in range(6):
        (one, other)[number // 2 % 2].append(record(str(number)), MANY)
    assert read(one.path) == (list("012345"), Faults())




def test_two_processes_at_once_record_all_of_it(folder: Path) -> None:
    made(folder)
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, timezone;"
        "from client.history_file import *; from client.history_records import *;"
        "key = Keys(bytes.fromhex(sys.argv[2]), read_header(Path(sys.argv[1])));"
        "file, now = HistoryFile(Path(sys.argv[1]), key), datetime.now(timezone.utc);"
        "print('ready', flush=True); sys.stdin.read();"
        "[file.append(Record(now, '', '', None, f'{sys.argv[3]} {n}', 'text', False, False), 80)"
        " for n in range(150)]"
    )
    path = file_path(folder, SERVER)
    master = keys()[0]._master.hex()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), master, name],
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
    texts, told = read(path)
    assert told == Faults() and 80 <= len(texts) <= 100
    assert number_of(lines(path)[-1]) == 300  # each has its own number, trimmed or not
    for name in "ab":
        numbers = [int(text[2:]) for text in texts if text[0] == name]
        assert numbers == list(range(150 - len(numbers), 150))


def test_whoever_waits_too_long_for_the_lock_goes_on_without(folder: Path) -> None:
    file = made(folder, "a")
    with locked(folder):
        with pytest.raises(history_file.Busy):
            with locked(folder, 0.05):
                pass
        assert read(file.path) == (["a"], Faults())  # reading waits for nobody
    file.append(record("b"), MANY)


def test_a_lock_that_was_removed_while_waiting_is_no_lock(folder: Path) -> None:
    made(folder, "a")
    inside = threading.Event()
    leave = threading.Event()

    def hold() -> None:
        with locked(folder):
            inside.set()
            leave.wait()
            (folder / "lock").unlink()

    def wait() -> None:
        with locked(folder):
            entered.append((folder / "lock").exists())

    entered: list[bool] = []
    threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join()
    assert entered == [True]


def test_a_file_that_another_trims_is_gone_on_with(folder: Path) -> None:
    one = made(folder, *"abcdef")
    other = HistoryFile(one.path, keys()[0])
    other.settle(SERVER, 2, None)
    one.append(record("g"), MANY)
    other.append(record("h"), MANY)
    assert read(one.path) == (list("efgh"), Faults())
    assert [number_of(line) for line in lines(one.path)[1:]] == [0, 5, 6, 7, 8]


def test_a_passphrase_that_another_changes_ends_the_recording(folder: Path) -> None:
    opened, screen, take = recorder(folder)
    take(message("a"))
    path = file_path(folder, SERVER)
    key, header = Keys.fresh("other", 15)
    history_file.reseal(path, keys()[0], key, header)
    take(message("b"))
    take(message("c"))
    assert screen.warnings == [wording.history("replaced")]
    assert [one.text for one in Reader(path, key).records()] == ["a"]
    opened.look_back("default", 9, "")
    assert isinstance(screen.shown[-1], events.Error)


def test_a_file_that_is_removed_does_not_come_back(folder: Path) -> None:
    opened, screen, take = recorder(folder)
    other, _screen, _take = recorder(folder)
    assert other.delete() is True
    take(message("a"))
    take(message("b"))
    assert screen.warnings == [wording.history("removed")]
    assert not folder.exists()
    assert opened.delete() is True


# Bounds


def test_it_is_trimmed_at_the_start_and_once_it_is_well_over(folder: Path) -> None:
    file = made(folder, *map(str, range(12)), most=8)
    assert len(read(file.path)[0]) == 9  # 8 and a quarter more would be 11: trimmed at that
    again = HistoryFile(file.path, keys()[0])
    again.settle(SERVER, 4, None)
    assert read(file.path) == (["8", "9", "10", "11"], Faults())
    assert Reader(file.path, keys()[0]).owner is None
    again.append(record("12"), 4)
    assert read(file.path)[0] == ["8", "9", "10", "11", "12"]


def test_a_small_bound_is_kept_too(folder: Path) -> None:
    file = made(folder, *"abcd", most=1)
    assert read(file.path) == (["d"], Faults())


def test_what_is_too_old_goes_at_the_start(folder: Path) -> None:
    now = datetime.now(timezone.utc)
    file = made(folder)
    for days, text in ((40, "old"), (31, "older"), (29, "young"), (0, "new")):
        file.append(record(text, time=now - timedelta(days=days)), MANY)
    opened = open_history(folder, "localhost", 1000, PASSPHRASE, Bounds(MANY, 30))
    assert opened.said == []
    assert read(file.path) == (["young", "new"], Faults())
    recorder(folder)
    assert read(file.path) == (["young", "new"], Faults())


def test_everything_may_be_too_old(folder: Path) -> None:
    file = made(folder)
    for text in "ab":
        file.append(record(text, time=NOON.replace(year=2000)), MANY)
    _opened, _screen, take = recorder(folder, days=1)
    assert read(file.path) == ([], Faults())
    take(message("c"))
    assert read(file.path) == (["c"], Faults())
    assert number_of(lines(file.path)[-1]) == 3


def test_a_damaged_file_is_trimmed_as_well(folder: Path) -> None:
    file = made(folder, *"abcdef")
    found = lines(file.path)
    found[5] = b"junk\n"
    found[4] = b"3 AAAA\n"
    file.path.write_bytes(b"".join(found))
    again = HistoryFile(file.path, keys()[0])
    again.settle(SERVER, 3, None)
    assert read(file.path) == (["e", "f"], Faults())
    again.append(record("g"), MANY)
    assert read(file.path) == (["e", "f", "g"], Faults())


def test_a_disk_that_is_full_keeps_what_should_be_trimmed(folder: Path) -> None:
    file = made(folder, *"abcdef")
    new = file.path.with_name(file.path.name + ".new")
    new.mkdir()
    again = HistoryFile(file.path, keys()[0])
    again.settle(SERVER, 2, None)
    assert read(file.path)[0] == list("abcdef")
    new.rmdir()
    new.write_bytes(b"left by a program that was killed")
    again.settle(SERVER, 2, None)
    assert read(file.path)[0] == list("ef") and not new.exists()


# Looking back


def looked_back(folder: Path, count: int, text: str, room: str = "default") -> list[str]:
    opened, screen, _take = recorder(folder)
    opened.look_back(room, count, text)
    (shown,) = screen.shown
    assert isinstance(shown, events.History)
    return [one.text for one in shown.messages]


def test_looking_back_shows_this_room_and_private_messages(folder: Path) -> None:
    _opened, screen, take = recorder(folder)
    take(message("one"))
    take(message("Straße", room="Default"))
    take(message("elsewhere", room="other"))
    take(message("psst", room="other", private=True, to="alice"))
    take(message("three", mine=True, sender="alice", kind="action"))
    take(events.Notice("no message"))
    assert looked_back(folder, 9, "") == ["one", "Straße", "psst", "three"]
    assert looked_back(folder, 2, "") == ["psst", "three"]
    assert looked_back(folder, 9, "STRASSE") == ["Straße"]
    assert looked_back(folder, 1, "e") == ["three"]
    assert looked_back(folder, 9, "", "OTHER") == ["elsewhere", "psst"]
    assert looked_back(folder, 9, "nothing") == []


def test_looking_back_opens_no_more_than_it_shows(folder: Path) -> None:
    file = made(folder, *"abcdef")
    found = lines(file.path)
    found[2] = b"1 AAAA\n"
    file.path.write_bytes(b"".join(found))
    reader = Reader(file.path, keys()[0])
    assert [one.text for one in reader.last(2, lambda one: True)] == ["e", "f"]
    assert reader.faults == Faults()
    opened, screen, _take = recorder(folder)
    opened.look_back("default", 9, "")
    assert screen.warnings == [wording.history_records("changed", [(1, 1)])]


def test_what_was_recorded_is_an_event_with_the_contracts_keys(folder: Path) -> None:
    opened, screen, take = recorder(folder)
    take(message("psst", private=True, to="alice"))
    opened.look_back("default", 1, "")
    (view,) = screen.shown[-1].fields()["messages"]
    assert datetime.fromisoformat(view.pop("time").replace("Z", "+00:00")) <= datetime.now(
        timezone.utc
    )
    assert view == {"room": "default", "from": "bob", "to": "alice", "text": "psst",
                    "kind": "text", "private": True, "self": False}  # fmt: skip


def test_once_closed_nothing_is_recorded_or_shown(folder: Path) -> None:
    opened, screen, take = recorder(folder)
    take(message("a"))
    opened.close()
    take(message("b"))
    opened.look_back("default", 9, "")
    assert read(file_path(folder, SERVER))[0] == ["a"]
    last = screen.shown[-1]
    assert isinstance(last, events.Error) and last.code == "no_history"
    assert not any(isinstance(value, Keys) for value in vars(opened).values())


def test_deleting_waits_for_nobody_who_hangs(folder: Path) -> None:
    opened, _screen, take = recorder(folder)
    take(message("a"))
    with opened._lock, locked(folder):
        assert opened.delete() is True
    assert not file_path(folder, SERVER).exists()
    take(message("b"))
    assert not file_path(folder, SERVER).exists()


def test_what_is_deleted_is_not_brought_back_by_who_is_trimming_it(folder: Path) -> None:
    path = made(folder, *"abc").path
    with pytest.raises(FileNotFoundError):
        with locked(folder), history_file._replacing(path) as fd:
            os.write(fd, path.read_bytes())
            history_file.delete(path, 0.01)
    assert not folder.exists()


# Another passphrase


def test_another_passphrase_keeps_all_that_can_be_read(folder: Path) -> None:
    file = made(folder, *"abcd")
    file.settle(SERVER, 3, None)
    found = lines(file.path)
    found[3] = b"3 AAAA\n"
    file.path.write_bytes(b"".join(found) + b"5 torn")
    key, header = Keys.fresh("other", 15)
    history_file.reseal(file.path, keys()[0], key, header)
    with pytest.raises(WrongPassphrase):
        Keys.unlock(PASSPHRASE, read_header(file.path))
    assert read_header(file.path).salt != keys()[1].salt
    reader = Reader(file.path, Keys.unlock("other", read_header(file.path)))
    assert [one.text for one in reader.records()] == ["b", "d"]
    assert reader.owner == SERVER
    assert reader.faults == Faults(changed=((3, 3),))


def test_a_passphrase_that_cannot_be_changed_leaves_the_old_one(folder: Path) -> None:
    file = made(folder, *"abcd")
    before = file.path.read_bytes()
    key, header = Keys.fresh("other", 15)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with pytest.raises(OSError):
            history_file.reseal(file.path, keys()[0], key, header)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.path.read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"lock", file.path.name}


def test_a_history_that_begins_at_two_places_at_once_is_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking for a file and making one, another client has made it."""
    keys()  # made before, by the genuine one
    real = Keys.fresh

    def late(passphrase: str, cost: int) -> tuple[Keys, Header]:
        made(folder, "a")
        return real(passphrase, cost)

    monkeypatch.setattr(Keys, "fresh", late)
    opened = open_history(folder, "localhost", 1000, PASSPHRASE, Bounds(MANY), 15)
    assert opened.said == []
    opened.before(lambda event: None)(message("b"))
    assert read(file_path(folder, SERVER)) == (["a", "b"], Faults())


def test_whether_a_server_has_one(folder: Path) -> None:
    assert history.is_new(folder, "localhost", 1000)
    made(folder)
    assert not history.is_new(folder, "LOCALHOST", 1000)
    assert history.is_new(folder, "localhost", 1001)


def test_the_sentences_are_whole() -> None:
    for code in wording._HISTORY:
        sentence = wording.history(code, {"path": "/p", "reason": "r"})
        assert sentence.endswith(".") and "{" not in sentence and "?" not in sentence
    many = wording.history_records("missing", [(n, n + 1) for n in range(0, 99, 3)])
    assert many.endswith("27–28, ….")
