"""Names that people may have, and names that would deceive them."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import names
from protocol.errors import BadNick, BadRoom
from protocol.names import RESERVED, check_nick, check_room, nick_key, room_key
from protocol.safe_text import visible

CORPUS = json.loads((Path(__file__).parent / "corpus" / "hostile_text.json").read_text("utf-8"))
HOSTILE = [pytest.param(case["text"], case["shown"], id=case["why"]) for case in CORPUS]

FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=100)
# What the rules look at, often enough next to each other to meet.
TRICKY = "".join(case["text"] for case in CORPUS) + "aé1#<>◌\n\r🏽♂©\u20e3\u0915\u0628\u09b0\u200c"
TEXTS = st.text(st.sampled_from(sorted(set(TRICKY))), max_size=12) | st.text(
    st.characters(codec=None), max_size=12
)

PEOPLE = [
    "alice",
    "A",
    "x" * 32,
    "Jean-Luc_2.0",
    "NAME-9",
    "-._a",
    "Łukasz",
    "Đặng",
    "Müller",
    "Νίκος",
    "Ольга",
    "Ґудзь",
    "李雷",
    "やまだ-ガ",
    "김철수",
    "علي",
    "דָּוִד",
    "अर्जुन",
    "স্নেহা",
    "สมชาย",
    "ကြွှေ့",
    "Գայանե",
    "alice李",
    "٣",
    "servers",
    "youri",
]

NOBODY = {
    "empty": "",
    "too long": "x" * 33,
    "a space": "a b",
    "a space at the end": "a ",
    "no-break space": "a\u00a0b",
    "tab": "a\tb",
    "line feed": "a\nb",
    "punctuation alone": "._-",
    "other punctuation": "a:b",
    "a mention": "@a",
    "a command": "/a",
    "the action's sign": "*",
    "the arrow": "→",
    "the column's line": "a│b",
    "angle brackets": "<b>",
    "a mark first": "\u0301a",
    "a mark on punctuation": "a-\u0335",
    "too many marks": "a" + "\u0316" * 6,
    "an enclosing mark": "a\u20dd",
    "emoji": "😀",
    "a symbol": "a€",
    "a superscript": "a²",
    "a circled digit": "①",
    "a roman numeral": "Ⅳ",
    "spaces in its compatible form": "\ufdfa",
    "a mark first in its compatible form": "\uff9ea",
    "a fullwidth full stop": "a．b",
    "variation selector": "a\ufe0f",
    "plane 14 selector": "葛\U000e0100",
    "grapheme joiner": "a\u034fb",
    "Hangul filler": "\u3164",
    "halfwidth Hangul filler": "a\uffa0",
    "Khmer vowel without a shape": "\u1780\u17b4",
    "Mongolian selector": "\u1820\u180b",
    "joiner": "علی\u200cرضا",
    "soft hyphen": "al\u00adice",
    "right-to-left override": "a\u202eb",
    "direction mark": "a\u200f",
    "lone surrogate": "a\ud800",
    "private use": "a\ue000",
    "unassigned": "a\u0378",
    "Latin with Cyrillic": "\u0430lice",
    "Latin with Greek": "\u03b1lice",
    "Greek with Cyrillic": "\u03b1\u0430",
    "fullwidth Latin with Cyrillic": "\uff41\u0430",
    "mathematical Latin with Cyrillic": "\U0001d41a\u0430",
    "micro sign with Latin": "\u00b5torrent",
    "a Latin letter as a mark on Cyrillic": "\u0430\u0363",
    "server": "server",
    "server in capitals": "SERVER",
    "server, fullwidth": "\uff33\uff45\uff52\uff56\uff45\uff52",
    "server with a long s": "\u017ferver",
    "system in dashes": "-system-",
    "the program": "cmd_chat",
}


@pytest.mark.parametrize("nick", PEOPLE)
def test_people_have_their_names(nick: str) -> None:
    assert check_nick(nick) == unicodedata.normalize("NFC", nick)
    assert check_room(nick) == unicodedata.normalize("NFC", nick)


@pytest.mark.parametrize("nick", NOBODY.values(), ids=NOBODY.keys())
def test_deceptive_nicknames_are_refused(nick: str) -> None:
    with pytest.raises(BadNick):
        check_nick(nick)


def test_what_is_far_too_long_is_not_even_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Composing sorts marks, in quadratic time: a megabyte of them would take an hour."""
    composed: list[str] = []

    def recording_normalize(form: str, text: str) -> str:
        composed.append(text)
        return text

    with monkeypatch.context() as patch:
        patch.setattr(unicodedata, "normalize", recording_normalize)
        with pytest.raises(BadNick):
            check_nick("a" + "\u0301\u0316" * 64)
        with pytest.raises(BadRoom):
            check_room("a" + "\u0301\u0316" * 128)
    assert composed == []


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_hostile_text_is_no_name(text: str, shown: str) -> None:
    with pytest.raises(BadNick):
        check_nick(text)
    with pytest.raises(BadNick):
        check_nick("a" + text)
    with pytest.raises(BadRoom):
        check_room(text)


@pytest.mark.parametrize("room", ["x" * 64, "чат-room", "server", "you"])
def test_rooms_may_be_longer_mixed_and_any_word(room: str) -> None:
    assert check_room(room) == room


@pytest.mark.parametrize("room", ["", "x" * 65, "..", "a/b", "a b", "\u3164", "a\u200b"])
def test_bad_rooms_are_refused(room: str) -> None:
    with pytest.raises(BadRoom):
        check_room(room)


def test_names_come_back_composed() -> None:
    assert check_nick("Zoe\u0308") == "Zo\u00eb"
    assert check_room("\u1112\u1161\u11ab" * 64) == "\ud55c" * 64  # its length is the NFC form's


def test_reserved_words_are_canonical() -> None:
    assert RESERVED == {nick_key(word) for word in RESERVED}
    assert all(word.isalnum() for word in RESERVED)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice", "aLICE"),
        ("alice", "\uff21\uff2c\uff29\uff23\uff25"),
        ("strasse", "STRAßE"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("o\ufb03ce", "office"),
        ("\u01f0", "J\u030c"),
        ("Zoë", "ZOE\u0308"),
        ("\uff76\uff9e", "ガ"),
    ],
)
def test_alike_names_share_a_key(one: str, other: str) -> None:
    assert nick_key(one) == nick_key(other)
    assert room_key(one) == room_key(other)


def test_different_names_have_different_keys() -> None:
    assert len({nick_key(nick) for nick in PEOPLE}) == len(PEOPLE)


@FIXED
@given(st.text(st.characters(categories=("L", "M", "Nd")), max_size=4))
def test_keys_of_good_names_are_good_names_and_final(text: str) -> None:
    try:
        room = check_room("a" + text)
    except BadRoom:
        return
    key = room_key(room)
    assert room_key(key) == key == room_key("a" + text)
    check_room(key)


@FIXED
@given(TEXTS)
def test_an_accepted_name_is_shown_as_it_is(text: str) -> None:
    for name in (text, "a" + text):
        try:
            accepted = check_nick(name)
        except BadNick:
            continue
        assert visible(accepted) == accepted
        assert 1 <= len(accepted) <= 32 and accepted.isprintable() and " " not in accepted
        assert check_nick(accepted) == accepted


@settings(derandomize=True, database=None, deadline=None, max_examples=400)
@given(st.text("aZ09._- /@\x00\x7f~[", max_size=6))
def test_ascii_is_judged_as_all_else(name: str) -> None:
    shape = names._shape(name)
    assert (names._checked(name, 5) == name) == (
        len(name) <= 5 and names._WELL_FORMED.fullmatch(shape) is not None
    )
