"""Frames: what one says comes back from it, and everything else is refused, never coerced."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol import frames, keys, limits, wire_json
from protocol.codec import parse, parse_record
from protocol.errors import BadVersion, ChatError, Malformed, TooBig, UnknownType
from protocol.frames import (
    CLEAR_FRAMES,
    CLIENT_FRAMES,
    LOG_ENTRIES,
    SERVER_FRAMES,
    Frame,
    decode_clear,
    from_object,
)
from protocol.names import check_room, room_key
from protocol.records import Sealer

FEW = settings(derandomize=True, database=None, deadline=None, max_examples=8)
SOME_MORE = settings(FEW, max_examples=60)
MANY = settings(FEW, max_examples=150)

# One strategy for each type of field

count = st.integers(0, limits.COUNTER_MAX)
flag = st.booleans()
seconds = st.floats(0, 1e9)
letters = st.characters(exclude_categories=["Cs"])
nick, room, code = (st.text(letters, max_size=most) for most in (64, 128, 32))


def raw(size: int) -> SearchStrategy[bytes]:
    """Bytes whose ends vary: hypothesis is slow at long ones, and the middle says nothing."""
    ends = st.tuples(st.binary(min_size=3, max_size=3), st.binary(min_size=3, max_size=3))
    return ends.map(lambda pair: pair[0] + bytes(size - 6) + pair[1])


KEY = Fernet.generate_key()
token = st.binary(max_size=40).map(lambda text: Fernet(KEY).encrypt_at_time(text, 0))
nonce, share, digest, signature = raw(16), raw(32), raw(32), raw(64)
wrapped = raw(keys.WRAP_BYTES)
recipient = st.builds(keys.Recipient, raw(keys.RSA_BYTES), raw(keys.KEM_BYTES))
bundle = st.builds(keys.Bundle, recipient, raw(32), st.integers(9, 2**53 - 1), st.integers(0, 9),
                   signature)  # fmt: skip
box = st.builds(frames.Box, count, count, token, signature)
wrap = st.builds(frames.Wrap, count, count, count, wrapped)
member = st.builds(frames.MemberLine, count, nick, count, bundle)
room_line = st.builds(frames.RoomLine, room, count)
position = st.builds(frames.Position, count, count, count)
stay = st.builds(frames.Stay, room) | st.builds(frames.Stay, room, nonce, count, count)
stays = st.lists(stay, min_size=1, max_size=3, unique_by=lambda stay: room_key(stay.room)).map(
    tuple
)
maybe = st.none()


def some(items: SearchStrategy[Any]) -> SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=3).map(tuple)


SAMPLES: dict[type[Frame], SearchStrategy[Any]] = {
    kind: st.builds(kind, *arguments)
    for kind, arguments in {
        frames.Greeting: (count, nonce),
        frames.Hello: (
            count, nonce, code, raw(256), raw(1216), share, maybe | digest, maybe | digest,
        ),
        frames.Key: (wrapped, share),
        frames.Refused: (
            code, maybe | count, maybe | seconds, maybe | count, maybe | nick, maybe | room,
        ),
        frames.Confirm: (nick, stays, bundle, signature),
        frames.Post: (count, count, count, box),
        frames.Keys: (count, some(wrap)),
        frames.Private: (count, count, count, wrap, box),
        frames.Nick: (count, count, nick),
        frames.Enter: (count, room, maybe | count),
        frames.Leave: (count, count),
        frames.ListRooms: (count,),
        frames.Mint: (count,),
        frames.Minted: (count, raw(12), raw(32), seconds),
        frames.Seen: (some(position), maybe | st.booleans()),
        frames.Taken: (count,),
        frames.Bye: (code,),
        frames.Welcome: (
            nick, flag, seconds, seconds, count, count, count, seconds, maybe | nonce,
        ),
        frames.Wait: (seconds,),
        frames.Announcement: (st.text(max_size=1000),),
        frames.Entered: (count, room, nonce, count, count, count, flag, count, maybe | count),
        frames.Roster: (some(member),),
        frames.Accepted: (count, maybe | count),
        frames.RoomLines: (count, some(room_line), count),
        frames.KeyFor: (count, count, count, wrap),
        frames.PrivateFor: (count, count, count, count, wrap, box),
        frames.Posted: (count, count, count, box),
        frames.OwnPosted: (count, count),
        frames.Joined: (count, member),
        frames.Left: (count, count),
        frames.Renamed: (count, count, nick),
        frames.Rejoined: (count, count),
    }.items()
}  # fmt: skip
ENTRIES = st.one_of([SAMPLES[kind] for kind in LOG_ENTRIES.values()])
SAMPLES[frames.Log] = st.builds(frames.Log, count, count, some(ENTRIES))
TABLES = {
    "clear": CLEAR_FRAMES, "client": CLIENT_FRAMES, "server": SERVER_FRAMES, "log": LOG_ENTRIES,
}  # fmt: skip
ALL = {**CLEAR_FRAMES, **CLIENT_FRAMES, **SERVER_FRAMES, **LOG_ENTRIES}
KINDS = pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)


def table_of(kind: type[Frame]) -> dict[str, type[Frame]]:
    return next(table for table in TABLES.values() if kind in table.values())


def test_every_kind_has_a_sample() -> None:
    assert set(SAMPLES) == set(ALL.values())


def test_what_a_client_asks_for_is_a_request() -> None:
    """Each of its frames with a ``ref``, and no other."""
    for kind in CLIENT_FRAMES.values():
        names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        assert issubclass(kind, frames.Request) == ("ref" in names), kind


def test_types_are_unique() -> None:
    for table in TABLES.values():
        assert all(kind.kind == name for name, kind in table.items())
    assert set(CLEAR_FRAMES) & set(CLIENT_FRAMES) == set()


@KINDS
def test_a_frame_comes_back(kind: type[Frame]) -> None:
    @FEW
    @given(SAMPLES[kind])
    def comes_back(frame: Frame) -> None:
        encoded = frame.encode()
        assert from_object(parse(encoded), table_of(kind)) == frame
        assert kind.from_object(frame.to_object()) == frame
        assert json.loads(encoded)["type"] == kind.kind

    comes_back()


@given(st.lists(ENTRIES, max_size=4), count, count)
@FEW
def test_a_log_from_encoded_entries_is_the_same_frame(
    entries: list[Frame], at: int, to: int
) -> None:
    encoded = wire_json.log(at, to, [entry.encode() for entry in entries])
    assert from_object(parse(encoded), SERVER_FRAMES) == frames.Log(at, to, tuple(entries))
    assert encoded == frames.Log(at, to, tuple(entries)).encode()


@pytest.mark.parametrize("kind", [CLEAR_FRAMES["greeting"], CLEAR_FRAMES["hello"]])
def test_a_clear_frame_comes_back_from_its_text(kind: type[Frame]) -> None:
    frame = example(kind)
    assert decode_clear(frame.encode().decode()) == frame


def test_json_is_utf8_without_spaces() -> None:
    encoded = '{"type":"nick","ref":1,"at":2,"nick":"zoë漢"}'
    assert frames.Nick(1, 2, "zoë漢").encode() == encoded.encode()


def test_absent_keys_are_left_out() -> None:
    assert frames.Seen(()).encode() == b'{"type":"seen","positions":[]}'
    assert frames.Stay("den").encode() == b'{"room":"den"}'
    assert frames.Posted(1, 2, 3, SOME_BOX).to_object()["from"] == 2


# What is refused

SOME_BUNDLE = keys.Bundle(keys.Recipient(b"\1" * 256, b"\2" * 1216), b"\3" * 32, 9, 8, b"\6" * 64)
SOME_BOX = frames.Box(1, 0, Fernet(KEY).encrypt_at_time(b"", 0), b"\4" * 64)
SOME_WRAP = frames.Wrap(2, 1, 0, b"\5" * keys.WRAP_BYTES)
SOME_MEMBER = frames.MemberLine(1, "alice", 1, SOME_BUNDLE)
SOME_STAY = frames.Stay("den", b"\6" * 16, 7, 7)
SOME: dict[str, Any] = {
    "int": 7, "int | None": 7, "str": "text", "str | None": "text", "float": 1.5,
    "float | None": 1.5, "bool": True, "bool | None": True,
    "Box": SOME_BOX, "Wrap": SOME_WRAP, "MemberLine": SOME_MEMBER, "keys.Bundle": SOME_BUNDLE,
    "tuple[Wrap, ...]": (SOME_WRAP,), "tuple[MemberLine, ...]": (SOME_MEMBER,),
    "tuple[RoomLine, ...]": (frames.RoomLine("den", 1),),
    "tuple[Stay, ...]": (SOME_STAY,), "tuple[Position, ...]": (frames.Position(1, 7, 2),),
    "tuple[Frame, ...]": (frames.Left(1, 1),),
}  # fmt: skip
SIZES = {
    "nonce": 16, "share": 32, "token": 32, "ticket": 32, "rsa": 256, "kem": 1216,
    "wrapped": keys.WRAP_BYTES, "sig": 64, "log": 16, "id": 12, "secret": 32,
}  # fmt: skip


def example(kind: type[Frame]) -> Frame:
    """One frame with all keys; made from the types of its fields."""
    if kind is frames.Box:
        return SOME_BOX
    found = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # each is a dataclass
        value = SOME.get(str(field.type))
        if value is None:  # a welcome brings a ticket, a hello shows its hash
            name = "nonce" if (kind, field.name) == (frames.Welcome, "ticket") else field.name
            value = b"\6" * SIZES[name]
        found[field.name] = value
    return kind(**found)


EVERY: list[type[Frame]] = [
    *SAMPLES, frames.Box, frames.Wrap, frames.MemberLine, frames.RoomLine, frames.Stay,
    frames.Position,
]  # fmt: skip
KEYS = [
    pytest.param(kind, key, optional, id=f"{kind.__name__}.{key}")
    for kind in EVERY
    for _, key, _, optional in kind._layout()
]
WRONG: dict[type, list[Any]] = {
    int: [True, False, 7.0, 7.5, "7", -1, 2**53, 10**400, [7], {}],
    float: [True, "1.5", -0.1, 1e10, 10**400, float("inf"), float("nan"), [], {}],
    bool: [0, 1, "true", [], {}],
    str: [7, 1.5, True, ["text"], {}, "x" * 5000],
    list: [{}, "list", 7, True, [7], [None], [[]]],
    dict: [[], "object", 7, True, {}],
}


@pytest.mark.parametrize(("kind", "key", "optional"), KEYS)
def test_each_key_has_its_type(kind: type[Frame], key: str, optional: bool) -> None:
    good = example(kind).to_object()
    assert kind.from_object(good) == example(kind)
    wrong = [value for value in WRONG[type(good[key])] if kind is not frames.Box or key != "data"
             or value != "x" * 5000]  # fmt: skip
    for value in wrong if optional else [*wrong, None]:
        with pytest.raises(Malformed):
            kind.from_object({**good, key: value})
    del good[key]
    if optional:
        assert getattr(kind.from_object(good), key) is None
        assert kind.from_object({**good, key: None}) == kind.from_object(good)
    else:
        with pytest.raises(Malformed):
            kind.from_object(good)


RAW_KEYS = [
    pytest.param(kind, key, id=f"{kind.__name__}.{key}")
    for kind in EVERY
    for name, key, _, _ in kind._layout()
    if isinstance(getattr(example(kind), name), bytes) and (kind, key) != (frames.Box, "data")
]


def spellings(text: str) -> list[str]:
    """Other ways to write the same or nearly the same bytes."""
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = {2: 16, 3: 4}.get(len(text) % 4, 0)
    found = [text[:-1], text + "A", text + "=", text + "==", text + "\n", " " + text, "",
             "+" + text[1:], "/" + text[1:], "é" + text[1:], "\ud800" + text[1:], text[:-4]]
    if spare:
        found.append(text[:-1] + last[last.index(text[-1]) | 1])
    return [other for other in found if other != text]


@pytest.mark.parametrize(("kind", "key"), RAW_KEYS)
def test_binary_fields_have_one_spelling_and_one_size(kind: type[Frame], key: str) -> None:
    good = example(kind).to_object()
    for text in spellings(good[key]):
        with pytest.raises(Malformed):
            kind.from_object({**good, key: text})


@pytest.mark.parametrize("name", ["rsa", "kem", "sign", "sig"])
def test_bundles_are_as_strict(name: str) -> None:
    good: dict[str, Any] = SOME_BUNDLE.to_fields()
    wrong: list[Any] = [*spellings(good[name]), None, 7, True, []]
    for value in wrong:
        with pytest.raises(Malformed):
            frames.MemberLine.from_object(
                {**SOME_MEMBER.to_object(), "bundle": {**good, name: value}}
            )
    with pytest.raises(Malformed):
        keys.Bundle.from_fields({key: good[key] for key in good if key != name})


@pytest.mark.parametrize(
    "data", ["é", "\ud800", 7, None, True, ["gAAAA"], "gAA\x01", 'g"', "g\\", "g A", "gA+/", "g\n"]
)
def test_tokens_are_letters_of_base64url(data: object) -> None:
    """Whatever JSON spells longer than it is would be larger for those who get it."""
    with pytest.raises(Malformed):
        frames.Box.from_object({**SOME_BOX.to_object(), "data": data})


@pytest.mark.parametrize(
    ("kind", "key", "most"),
    [(frames.Keys, "wraps", 256), (frames.Roster, "members", 256),
     (frames.RoomLines, "rooms", 512), (frames.Log, "entries", 4096),
     (frames.Seen, "positions", 16)],
)  # fmt: skip
def test_lists_are_bounded(kind: type[Frame], key: str, most: int) -> None:
    good = example(kind).to_object()
    full = good[key] * most
    assert len(getattr(kind.from_object({**good, key: full}), key)) == most
    with pytest.raises(Malformed):
        kind.from_object({**good, key: [*full, full[0]]})


def confirm(*stays: Any) -> frames.Confirm:
    found = [each.to_object() if isinstance(each, frames.Stay) else each for each in stays]
    return frames.Confirm.from_object({**example(frames.Confirm).to_object(), "stays": found})


def test_a_client_names_up_to_sixteen_rooms_and_none_twice() -> None:
    most = [replace(SOME_STAY, room=f"den-{number}") for number in range(16)]
    assert confirm(*most).stays == tuple(most)
    for wrong in ([], [*most, frames.Stay("den")], [most[0], frames.Stay("den-0")],
                  [frames.Stay("Stra\u00dfe"), most[3], frames.Stay("STRASSE")]):  # fmt: skip
        with pytest.raises(Malformed):
            confirm(*wrong)


@pytest.mark.parametrize("key", ["log", "seq", "number"])
def test_where_a_room_goes_on_is_said_wholly_or_not_at_all(key: str) -> None:
    whole = SOME_STAY.to_object()
    for half in ({name: whole[name] for name in whole if name != key},
                 {"room": "den", key: whole[key]}, {**whole, key: None}):  # fmt: skip
        with pytest.raises(Malformed):
            confirm(half)


def test_the_largest_first_record_is_let_in() -> None:
    """Sixteen rooms with the longest names that there may be, and the longest numbers."""
    places = [
        frames.Stay(f"{number:x}" + "\U00020000" * 63, b"\6" * 16, 2**53 - 1, 2**53 - 1)
        for number in range(16)
    ]
    largest = replace(example(frames.Confirm), nick="\U00020000" * 32, stays=tuple(places))  # type: ignore[type-var]
    assert [check_room(stay.room) for stay in places] == [stay.room for stay in places]
    assert len(Sealer(bytes(32)).seal([largest.encode()])) <= limits.HANDSHAKE_BYTES


@pytest.mark.parametrize(
    ("kind", "key", "most"),
    [(frames.Nick, "nick", 64), (frames.Enter, "room", 128), (frames.Bye, "reason", 32)],
)
def test_texts_are_bounded(kind: type[Frame], key: str, most: int) -> None:
    good = example(kind).to_object()
    assert getattr(kind.from_object({**good, key: "漢" * most}), key) == "漢" * most
    with pytest.raises(Malformed):
        kind.from_object({**good, key: "x" * (most + 1)})


@KINDS
def test_unknown_keys_are_ignored(kind: type[Frame]) -> None:
    frame = example(kind)
    more = {**frame.to_object(), "later": {"a": [1]}, "": None, "kind": "x"}
    assert from_object(more, table_of(kind)) == frame


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_unknown_types_and_those_of_another_table(table: dict[str, type[Frame]]) -> None:
    others = {name for name in ALL if name not in table}
    for name in others | {"", "later", "Seen", "\ud800", "__class__"}:
        with pytest.raises(UnknownType):
            from_object({"type": name}, table)


@pytest.mark.parametrize("value", [None, 7, "seen", [], ["seen"], {}, {"type": None},
                                   {"type": 7}, {"type": ["seen"]}, {"type": {}}])  # fmt: skip
def test_what_is_no_frame(value: object) -> None:
    with pytest.raises(Malformed):
        from_object(value, CLIENT_FRAMES)


def test_unknown_log_entries_are_not_skipped() -> None:
    with pytest.raises(BadVersion):
        from_object(
            {"type": "log", "at": 1, "to": 1, "entries": [{"type": "later"}]}, SERVER_FRAMES
        )


# JSON

DEEP = 100_000
BAD_JSON: dict[str, bytes] = {
    "empty": b"",
    "spaces": b"   ",
    "cut": b'{"type":"seen"',
    "two values": b"{}{}",
    "duplicate key": b'{"a":1,"a":1}',
    "duplicate key, deep": b'{"a":[{"b":{"c":1,"c":2}}]}',
    "duplicate key, spelt otherwise": b'{"a":1,"\\u0061":1}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "-Infinity": b"[-Infinity]",
    "not UTF-8": b'{"a":"\xff"}',
    "surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "overlong": b'{"a":"\xc0\xaf"}',
    "deep list": b"[" * DEEP,
    "deep list, closed": b"[" * DEEP + b"]" * DEEP,
    "deep object": b'{"a":' * DEEP,
    "endless number": b"1" * 100_000,
    "single quotes": b"{'a':1}",
    "comment": b"{}//",
    "trailing comma": b"[1,]",
    "control character": b'["\n"]',
    "leading zero": b"[01]",
    "plus": b"[+1]",
    "hexadecimal": b"[0x1]",
}


@pytest.mark.parametrize("raw", BAD_JSON.values(), ids=BAD_JSON)
def test_bad_json(raw: bytes) -> None:
    for read in (parse, parse_record):
        with pytest.raises(Malformed):
            read(raw)
    if len(raw) <= limits.HANDSHAKE_BYTES:
        with pytest.raises(Malformed):
            decode_clear(raw.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\r", " \t\n\r"])
def test_spaces_of_json_may_stand_around_a_value(space: str) -> None:
    assert parse(f"{space}[1]{space}".encode()) == [1]
    assert parse(f"{space}7".encode()) == 7


@pytest.mark.parametrize("space", ["\v", "\f", "\0", "\x1c", "\x85", "\xa0", "\u2003", "\ufeff"])
def test_other_spaces_may_not(space: str) -> None:
    for text in (f"{space}[1]", f"[1]{space}", f" {space}[1]", f"[1] {space}"):
        with pytest.raises(Malformed):
            parse(text.encode())


def test_huge_exponents_are_no_numbers_of_ours() -> None:
    value = parse(b'{"type":"refused","code":"c","retry_after":1e999}')
    with pytest.raises(Malformed):
        from_object(value, SERVER_FRAMES)


@pytest.mark.parametrize("text", ["\ud800", '{"type":"\ud800"}', '{"a":"x\udfff"}'])
def test_half_surrogates_are_no_text(text: str) -> None:
    with pytest.raises(Malformed):
        decode_clear(text)


def test_clear_frames_are_bounded_in_bytes() -> None:
    frame = example(frames.Greeting).to_object()
    empty = len(json.dumps({**frame, "later": ""}, separators=(",", ":")))

    def padded(filling: str) -> str:
        return json.dumps({**frame, "later": filling}, separators=(",", ":"), ensure_ascii=False)

    room = limits.HANDSHAKE_BYTES - empty
    assert isinstance(decode_clear(padded("x" * room)), frames.Greeting)
    for filling in ("x" * (room + 1), "é" * (room // 2 + 1), "漢" * room, "x" * 10**6):
        with pytest.raises(TooBig) as caught:
            decode_clear(padded(filling))
        assert caught.value.params == {"limit": limits.HANDSHAKE_BYTES}


def test_size_is_looked_at_before_anything_else() -> None:
    with pytest.raises(TooBig):
        decode_clear("[" * (limits.HANDSHAKE_BYTES + 1))


def test_a_record_holds_a_bounded_list() -> None:
    assert parse_record(b"[]" + b" " * 200) == []
    assert parse_record(b'[{"type":"later"},7]') == [{"type": "later"}, 7]
    full = b"[" + b",".join([b"7"] * limits.FRAMES_IN_RECORD) + b"]"
    assert len(parse_record(full)) == limits.FRAMES_IN_RECORD
    for raw in (b"{}", b"7", b'"[]"', b"null", full[:-1] + b",7]"):
        with pytest.raises(Malformed):
            parse_record(raw)


# An object, or a ChatError

scalars: SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, 1, -1, 7, 2**53, 10**400, 1.5, -0.0, float("inf"), float("nan"), "",
     "x", "é", "\ud800", "A" * 22, "A" * 43, "seen", "log", "posted", [], {}]
) | st.text(st.characters(), max_size=4)  # fmt: skip
lists = st.lists(scalars, max_size=3)
objects = st.dictionaries(
    st.sampled_from(["type", "seq", "ref", "nick", "entries", "box", "later"]),
    scalars | lists, max_size=4,
)  # fmt: skip
json_values = scalars | lists | objects | st.lists(objects, max_size=2)


@st.composite
def spoilt(draw: Callable[[SearchStrategy[Any]], Any]) -> Any:
    """A good frame with something else in one place."""
    value = example(draw(st.sampled_from(list(SAMPLES)))).to_object()
    inside = value
    while True:
        key = draw(st.sampled_from(sorted(inside)))
        if not isinstance(inside[key], dict) or draw(st.booleans()):
            break
        inside[key] = inside = dict(inside[key])
    inside[key] = draw(json_values)
    return value


def harmless(read: Callable[[], Any]) -> None:
    try:
        read()
    except ChatError as error:
        assert type(error) in (BadVersion, Malformed, TooBig, UnknownType)


@SOME_MORE
@given(json_values | spoilt())
def test_any_json_is_a_frame_or_refused(value: Any) -> None:
    for table in TABLES.values():
        harmless(lambda table=table: from_object(value, table))  # type: ignore[misc]
    text = json.dumps(value)
    harmless(lambda: decode_clear(text))
    harmless(lambda: parse_record(f"[{text}]".encode()))


MISFITS: list[Any] = [None, True, -1, 2**53, 1.0, "1", "", [], {}, [{}], "é", "A" * 86, "_" * 86]
WRITTEN_OUT = [frames.Posted, frames.Log]


@pytest.mark.parametrize("kind", WRITTEN_OUT)
def test_what_is_read_by_hand_is_as_the_codec_has_it(kind: type[Frame]) -> None:
    sealed = frames.Box(1, 2, KEY, bytes(64))
    posted = frames.Posted(3, 4, 5, sealed)
    whole = (posted if kind is frames.Posted else frames.Log(6, 7, (posted,))).to_object()

    def outcome(read: Callable[[Any], Frame], value: Any) -> object:
        try:
            return read(value)
        except ChatError as error:
            return type(error)

    def changed(value: Any) -> list[Any]:
        if isinstance(value, list):
            return [*MISFITS, [], *([each] for each in changed(value[0]))]
        if not isinstance(value, dict):
            return [value, *MISFITS]
        without = [{key: value[key] for key in value if key != gone} for gone in value]
        more = [{**value, key: each} for key in value for each in changed(value[key])]
        return [value, {**value, "more": 1}, *MISFITS, *without, *more]

    generic = Frame.__dict__["from_object"].__get__(None, kind)
    for value in changed(whole):
        assert outcome(kind.from_object, value) == outcome(generic, value), value


@MANY
@given(st.binary(max_size=60) | st.text('{}[]",:0123456789truefalsnie-+.\\ud8 ', max_size=60).map(
    lambda text: text.encode()))  # fmt: skip
def test_any_bytes_are_json_or_refused(raw: bytes) -> None:
    harmless(lambda: parse_record(raw))
    harmless(lambda: from_object(parse(raw), CLIENT_FRAMES))


@MANY
@given(st.text(st.characters(), max_size=60) | st.text('{}[]",:0123456789typ ', max_size=60))
def test_any_text_is_a_clear_frame_or_refused(text: str) -> None:
    harmless(lambda: decode_clear(text))


@MANY
@given(st.sampled_from(list(CLEAR_FRAMES.values())), st.data())
def test_any_change_of_a_clear_frame_is_a_frame_or_refused(
    kind: type[Frame], data: st.DataObject
) -> None:
    text = example(kind).encode().decode()
    at = data.draw(st.integers(0, len(text) - 1))
    harmless(lambda: decode_clear(text[:at] + data.draw(st.characters()) + text[at + 1 :]))
