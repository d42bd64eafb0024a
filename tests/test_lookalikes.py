"""Nicknames that would pass for somebody else's, or for the program."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

import i18n
from client import events
from client.console import body, minimal
from client.console.layout import Layout
from protocol import confusables, skeletons
from protocol.errors import BadNick
from protocol.names import RESERVED, check_nick, nick_key, nick_looks
from protocol.skeletons import skeleton
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
}

APART = {
    "capital I is no L among capitals": ("ALI", "ALL"),
    "i is no l": ("bobi", "bobl"),
    "a mark": ("zoe", "zo\u00eb"),
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


@pytest.mark.parametrize("nick", [*PEOPLE, "ſmith", "STRAßE", "I", "l1I", "ﬃ", "Ⴀ", "ʰa", "ǰ"])
def test_one_key_is_one_look(nick: str) -> None:
    """What was refused before is refused still, and looks are final."""
    for form in (nick.upper(), nick.lower(), unicodedata.normalize("NFKD", nick), nick_key(nick)):
        if nick_key(form) == nick_key(nick):
            assert nick_looks(form) & nick_looks(nick), form
    for look in nick_looks(nick):
        assert skeleton(look) == look


def test_the_table_has_what_it_should() -> None:
    """Each character once, and what ``skeletons`` knows of it without reading it."""
    pairs = [line.split("\t") for line in confusables.LOOK_LIKE.splitlines()]
    table = {char: seen for seen, chars in pairs for char in chars}
    assert confusables.UNICODE == "17.0"
    assert len(table) == sum(len(chars) for _seen, chars in pairs) > 1500
    assert {char: seen for char, seen in table.items() if char.isascii()} == skeletons.ASCII
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
        "print('protocol.confusables' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str(read)


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
    bodies = body.Bodies(Layout())
    marks = {
        found.mark.text
        for event in everything()
        if not isinstance(event, events.Message) and (found := bodies.body(event)) is not None
    }
    assert marks == {body.INFO, body.CAME, body.WENT, body.ALARM}
    for mark in (*marks, body.DID):
        with pytest.raises(BadNick):
            check_nick(mark)


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_reserved_words_are_no_nicknames(word: str) -> None:
    for nick in (word, word.upper(), f"-{word}."):
        with pytest.raises(BadNick):
            check_nick(nick)


@pytest.mark.parametrize(
    "nick",
    ["err0r", "systern", "warn-ing", "\u0435\u0433\u0433\u043e\u0433", "cmd.chat", "\uff25rror"],
)
def test_what_looks_like_a_reserved_word_is_none_either(nick: str) -> None:
    with pytest.raises(BadNick):
        check_nick(nick)
