"""Nicknames that would pass for somebody else's, or for the program."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import i18n
from client import events
from client.fullscreen.entry_text import EntryTexts
from client.output import lines as minimal
from client.output.text import ALARM, CAME, DID, INFO, WENT, EventText
from protocol import confusable_table, lookalikes, script_table
from protocol.errors import BadNick
from protocol.lookalikes import scripts_of, skeleton
from protocol.names import RESERVED, check_nick, nick_key, nick_looks
from tests.test_names import PEOPLE
from tests.test_translations import NOON, everything

ROOT = Path(__file__).parent.parent

ALIKE = {
    "case": ("alice", "ALICE"),
    "fullwidth": ("alice", "\uff41\uff4c\uff49\uff43\uff45"),
    "mathematical letters": ("bob", "\U0001d4eb\U0001d4f8\U0001d4eb"),
    "Cyrillic for Latin": ("ace", "\u0430\u0441\u0435"),
    "Cyrillic capitals for Latin ones": ("ACE", "\u0410\u0421\u0415"),
    "Cyrillic capitals for a Latin name": ("ace", "\u0410\u0421\u0415"),
    "Greek capitals for Latin ones": ("Zoe", "\u0396\u039f\u0395"),
    "Cherokee for Latin": ("PATE", "\u13e2\u13aa\u13a2\u13ac"),
    "one for l": ("bobl", "bob1"),
    "capital I for l": ("alice", "aIice"),
    "capital I for l, in another case": ("Alice", "aIice"),
    "capital I for one": ("bob1", "bobI"),
    "zero for O": ("Otto", "0tto"),
    "zero for o": ("bob", "b0b"),
    "rn for m": ("mia", "rnia"),
    "rn for a capital M": ("Mia", "rnia"),
    "a letter with a mark for two characters": ("\u00e9ve", "e\u0301ve"),
    "Hebrew for Latin": ("o", "\u05e1"),
    "Katakana for Han": ("\u5de5", "\u30a8"),
    "a full stop at the end": ("alice", "alice."),
    "underscores at the end": ("alice", "alice__"),
    "one and the other at the end": ("alice._", "alice_"),
    "vv for w": ("alicew", "alicevv"),
    "vv for w, in capitals": ("Wim", "VVIM"),
    "wv for vw": ("awv", "avw"),
    "a mark": ("zoe", "zo\u00eb"),
    "a dot below": ("alice", "al\u1ecbce"),
    "a macron": ("alice", "al\u012bce"),
    "a cedilla": ("alice", "ali\u00e7e"),
    "a stroke": ("lars", "\u0142ars"),
    "two marks and one": ("\u1ebfm", "\u00eam"),
    "a mark on a capital": ("Ilker", "\u0130lker"),
    "a mark in Greek": ("\u03b1\u03bd\u03bd\u03b1", "\u03ac\u03bd\u03bd\u03b1"),
    "a mark in Cyrillic": ("\u0438\u0433\u043e\u0440", "\u0439\u0433\u043e\u0440"),
    "a mark on a digit": ("bob2", "bob2\u0301"),
}

APART = {
    "capital I is no L among capitals": ("ALI", "ALL"),
    "i is no l": ("bobi", "bobl"),
    "a mark in Hiragana": ("\u304b", "\u304c"),
    "a mark in Katakana": ("\u30cf", "\u30d1"),
    "a mark in Hebrew": ("\u05d3\u05d5\u05d3", "\u05d3\u05b8\u05d5\u05d3"),
    "a mark on a letter like a Latin one": ("\u0627\u0645", "\u0623\u0645"),
    "a vowel in Devanagari": ("\u0930\u0935", "\u0930\u0935\u093f"),
    "v and w": ("vim", "wim"),
    "a dash at the end": ("alice", "alice-"),
    "an underscore within": ("alice", "al_ice"),
    "an underscore at the beginning": ("alice", "_alice"),
    "another number": ("alice-2", "alice-3"),
    "a number and none": ("alice", "alice-2"),
    "punctuation": ("al.ice", "al-ice"),
    "two people": ("anna", "hanna"),
    "u and v": ("uwe", "vwe"),
    "n and m": ("nia", "mia"),
    "g and q": ("gil", "qil"),
    "two Han": ("\u674e", "\u5b63"),
    "Cyrillic of its own": ("\u041e\u043b\u044c\u0433\u0430", "Olga"),
    "Greek of its own": ("\u039d\u03af\u03ba\u03bf\u03c2", "Nikos"),
}


@pytest.mark.parametrize(("one", "other"), ALIKE.values(), ids=ALIKE.keys())
def test_look_alikes_share_a_look(one: str, other: str) -> None:
    assert nick_looks(check_nick(one)) & nick_looks(check_nick(other))


@pytest.mark.parametrize(("one", "other"), APART.values(), ids=APART.keys())
def test_people_who_can_be_told_apart_share_none(one: str, other: str) -> None:
    assert not nick_looks(check_nick(one)) & nick_looks(check_nick(other))


def test_people_have_looks_of_their_own() -> None:
    looks = [nick_looks(nick) for nick in PEOPLE]
    assert len(frozenset().union(*looks)) == sum(map(len, looks))


MIXED = {
    "Japanese with Latin": ("\u5c71\u7530\u3055\u3093Tom", True),
    "Japanese with a sound mark and digits": ("\u30c8\u30fc\u30c82", True),
    "Chinese with Latin": ("\u674eLei", True),
    "Chinese with its sounds": ("\u674e\u3105Lei", True),
    "Korean with Han and Latin": ("\uae40\u91d1Kim", True),
    "Hindi with its digits": ("\u0930\u0935\u0967", True),
    "Armenian with Latin": ("alice\u0561", False),
    "Armenian with Latin's look": ("alic\u0585", False),
    "Cherokee with Latin": ("alice\u13a2", False),
    "Thai with Latin": ("\u0e2atom", False),
    "Hebrew with Latin": ("b\u05e1b", False),
    "Arabic digits with Latin": ("bob\u0663", False),
    "Japanese with Korean": ("\u3055\uae40", False),
    "Japanese with Cyrillic": ("\u3055\u0430", False),
    "Chinese sounds with Japanese": ("\u3105\u3055", False),
    "a sound mark of Japanese with Cyrillic": ("\u0430\u30fc", False),
    "a mark of Cyrillic on Latin": ("a\u0484", False),
    "fullwidth Latin with Thai": ("\uff41\u0e2a", False),
}


@pytest.mark.parametrize(("nick", "may"), MIXED.values(), ids=MIXED.keys())
def test_scripts_mix_as_far_as_people_write_them_together(nick: str, may: bool) -> None:
    """UTS #39, "highly restrictive"."""
    if may:
        assert check_nick(nick) == nick
        return
    with pytest.raises(BadNick):
        check_nick(nick)


def test_the_table_of_scripts_has_what_it_should() -> None:
    """In order, and no run goes on as the one before."""
    runs = [run.split(":") for run in script_table.SCRIPTS.split()]
    starts = [int(start, 16) for start, _scripts in runs]
    assert script_table.UNICODE == confusable_table.UNICODE
    assert starts == sorted(set(starts)) and len(starts) > 400
    assert all(one[1] != other[1] for one, other in pairwise(runs))
    wanted = {
        "a": "Latn", "\u00df": "Latn", "\u03b1": "Grek", "\u0430": "Cyrl", "\u05d0": "Hebr",
        "\u4e00": "Hani", "\uac00": "Hang", "\u30fc": "Hira Kana", "1": "", "\0": "",
    }  # fmt: skip
    assert {char: scripts_of(char) for char in wanted} == {
        char: set(scripts.split()) for char, scripts in wanted.items()
    }


@pytest.mark.parametrize("nick", [*PEOPLE, "ſmith", "STRAßE", "I", "l1I", "ﬃ", "Ⴀ", "ʰa", "ǰ"])
def test_one_key_is_one_look(nick: str) -> None:
    """What was refused before is refused still, and looks are final."""
    for form in (nick.upper(), nick.lower(), unicodedata.normalize("NFKD", nick), nick_key(nick)):
        if nick_key(form) == nick_key(nick):
            assert nick_looks(form) & nick_looks(nick), form
    for look in nick_looks(nick):
        assert skeleton(look) == look


def test_the_table_has_what_it_should() -> None:
    """Each character once, and what ``lookalikes`` knows of it without reading it."""
    pairs = [line.split("\t") for line in confusable_table.LOOK_LIKE.splitlines()]
    table = {char: seen for seen, chars in pairs for char in chars}
    assert confusable_table.UNICODE == "17.0"
    assert len(table) == sum(len(chars) for _seen, chars in pairs) > 1500
    assert {char: seen for char, seen in table.items() if char.isascii()} == lookalikes.ASCII
    assert table["\u0430"] == "a" and table["\u03bf"] == "o" and table["\u04bb"] == "h"
    for char, seen in table.items():
        assert unicodedata.normalize("NFD", char) == char
        assert seen != char


@pytest.mark.parametrize(
    ("nick", "read"), [("alice", False), ("алиса", True)], ids=["ASCII", "others"]
)
def test_the_table_is_read_only_when_it_is_needed(nick: str, read: bool) -> None:
    """A client and a server of people with ASCII names never do."""
    code = (
        "import sys, server.app, client.app\n"
        "from protocol.names import check_nick, nick_looks\n"
        f"nick_looks(check_nick({nick!r}))\n"
        "tables = {'protocol.confusable_table', 'protocol.script_table'}\n"
        "print(tables <= sys.modules.keys())\n"
        "print(tables & sys.modules.keys() != set())"
    )
    run = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [str(read)] * 2


# The lines of the client's own, and the names of people


@pytest.fixture
def english_afterwards() -> Iterator[None]:
    yield
    i18n.use("en")


@pytest.mark.parametrize("code", i18n.LANGUAGES)
def test_no_nickname_makes_a_line_of_the_programs(english_afterwards: None, code: str) -> None:
    """What the minimal renderer writes first is a mark where it is not somebody's nickname."""
    i18n.use(code)
    for event in everything():
        lines = minimal.Minimal().lines(event, NOON, None)
        if not lines:  # not every attempt to connect is worth one
            continue
        first = lines[0]
        found = re.fullmatch(r"▌ \d\d:\d\d (\S+) .*", first)
        assert found, first
        if isinstance(event, events.Message) and event.kind == "text" and not event.private:
            assert found[1] == f"{event.sender}:"
            continue
        with pytest.raises(BadNick):
            check_nick(found[1])


@pytest.mark.parametrize("nick", ["Sina", "Du", "Ti", "Zu", "Viga", "Ordes", "Notice", "You", "나"])
def test_words_of_the_catalogues_are_nicknames(nick: str) -> None:
    assert check_nick(nick) == nick


def test_marks_are_no_nicknames() -> None:
    """What stands in the full screen's column of nicknames, besides them."""
    texts = EntryTexts(EventText())
    marks = {
        found.mark.text
        for event in everything()
        if not isinstance(event, events.Message) and (found := texts.content(event)) is not None
    }
    assert marks == {INFO, CAME, WENT, ALARM}
    for mark in (*marks, DID):
        with pytest.raises(BadNick):
            check_nick(mark)


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_reserved_words_are_no_nicknames(word: str) -> None:
    for nick in (word, word.upper(), f"-{word}."):
        with pytest.raises(BadNick):
            check_nick(nick)


@pytest.mark.parametrize(
    "nick",
    ["err0r", "systern", "warn-ing", "\u0435\u0433\u0433\u043e\u0433", "cmd.chat", "\uff25rror",
     "s\u00e9rver", "vvarning"],
)
def test_what_looks_like_a_reserved_word_is_none_either(nick: str) -> None:
    with pytest.raises(BadNick):
        check_nick(nick)
