"""Nicknames that would pass for somebody else's, and the words that the client speaks under."""

from __future__ import annotations

import ast
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
from i18n import _
from protocol import confusables, names, skeletons
from protocol.errors import BadNick, BadRoom
from protocol.names import RESERVED, check_nick, check_room, nick_key, nick_looks
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


# The words that the client uses for itself

EXTRA = {"cmdchat", "notice", "server", "system"}  # in no line, but somebody would be believed


@pytest.fixture
def english_afterwards() -> Iterator[None]:
    yield
    i18n.use("en")


def notices() -> set[str]:
    """The sentences that the session may show by themselves."""
    tree = ast.parse((ROOT / "client/session.py").read_text(encoding="utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "_"
        and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    }  # fmt: skip


def speakers() -> Iterator[str]:
    """What stands before a colon where a message has its nickname, and whom ``you`` calls.

    Without those that have a number or a name in them, and so are no word of the client's.
    """
    yield _("you")
    renderer = minimal.Minimal()
    for event in [*everything(), *(events.Notice(_(text)) for text in notices())]:
        if isinstance(event, events.Message):
            continue
        for line in renderer.lines(event, NOON, None):
            found = re.match(r"\d\d:\d\d ([^\s:：]+)\s?(?::(?:\s|$)|：)", line)
            if found and not re.search(r"\d|bob", found[1]):
                yield found[1]


def bare(word: str) -> str:
    return re.sub("[._-]", "", nick_key(word))


def is_name(word: str) -> bool:
    try:
        return len(check_room(word)) <= 32
    except BadRoom:
        return False


def test_reserved_words_are_those_that_the_client_speaks_under(english_afterwards: None) -> None:
    """In every language: nobody can be called what a line of the client's begins with."""
    spoken = set()
    for code in i18n.LANGUAGES:
        i18n.use(code)
        spoken |= {bare(word) for word in speakers() if is_name(word)}
    assert {"error", "warning", "you", "fehler", "警告"} <= spoken
    assert RESERVED == spoken | EXTRA


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
    ["err0r", "y0u", "systern", "warn-ing", "Fеhlеr", "\u0435\u0433\u0433\u043e\u0433", "Оши6ка"],
)
def test_what_looks_like_a_reserved_word_is_none_either(nick: str) -> None:
    with pytest.raises(BadNick):
        check_nick(nick)


def test_an_ascii_name_never_looks_like_a_reserved_word_in_other_letters() -> None:
    """So those need not be looked at, and the table is not read for them."""
    others = [look for word in RESERVED if not word.isascii() for look in nick_looks(word)]
    assert others and not any(look.isascii() for look in others)
    assert names.RESERVED_ASCII == {word for word in RESERVED if word.isascii()}
