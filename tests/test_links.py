"""Links in messages: whole over several rows, leading where they say, and nothing to obey."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import events
from client.input.terminal import Size
from client.output.links import LINK_MOST, links
from tests.test_rich_view import CORPUS, Sight, only_moves

FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=150)
OSC8 = re.compile(r"\x1b\]8;([^;\x1b]*);([\x21-\x7e]*)\x1b\\")
_CLUSTERS = [case["text"] for case in CORPUS] + ["https://", "http://a.b/", "cmdchat://h:1/r#s"]
_PIECES = st.sampled_from(
    [
        *_CLUSTERS, " ", "\n", "x", "%41", "%1b", "%0a", "%", ";", "(", ")", "é", "\u0301",
        "👨‍👩‍👧", "漢", ".",
    ]
)  # fmt: skip
TEXTS = st.lists(_PIECES, max_size=14).map("".join)


def found(text: str) -> list[str]:
    return [text[start:end] for start, end in links(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://example.org/a?b=c#d, or not", ["https://example.org/a?b=c#d"]),
        ("(https://en.wikipedia.org/wiki/Tmux_(software)).", ["https://en.wikipedia.org/wiki/Tmux_(software)"]),
        ("<http://a.b> \"HTTPS://c.d/\"", ["http://a.b", "HTTPS://c.d/"]),
        ("cmdchat://[::1]:1000/room#word", ["cmdchat://[::1]:1000/room#word"]),
        ("https://a.b/%C3%A9%20x。", ["https://a.b/%C3%A9%20x"]),
        ("ftp://a.b javascript://x file:///etc/passwd xhttp://a.b", []),
        ("https:// http://. https://!", []),
        ("https://a.b/%0d%0aX https://a.b/%1b https://a.b/%7f https://a.b/%", []),
        ("https://bank.exampleé https://bank.e\u0301 https://bank.example漢", []),
        ("https://a.b/" + "x" * (LINK_MOST - 12), ["https://a.b/" + "x" * (LINK_MOST - 12)]),
        ("https://a.b/" + "x" * (LINK_MOST - 11), []),
    ],
)  # fmt: skip
def test_what_is_a_link(text: str, expected: list[str]) -> None:
    assert found(text) == expected


def drawn_links(written: str) -> list[tuple[str, str, str]]:
    """Name, target and shown text of each piece of a link that was written."""
    pieces, end = [], 0
    opened: tuple[str, str] | None = None
    for match in OSC8.finditer(written):
        if opened is not None:
            shown = re.sub(r"\x1b\[[0-9;]*[mH]", "", written[end : match.start()])
            assert match[1] == match[2] == "", "a link begins inside another one"
            pieces.append((*opened, shown))
            opened = None
        else:
            opened = match[1], match[2]
        end = match.end()
    assert opened is None, "a link is not closed"
    return pieces


def whole(pieces: list[tuple[str, str, str]]) -> None:
    """Each link's pieces make its target, and one name is one target."""
    waiting: dict[str, str] = {}
    for name, target, shown in pieces:
        assert re.fullmatch(r"id=[0-9a-f]{12}", name)
        assert len(target) <= LINK_MOST
        waiting[target] = waiting.get(target, "") + shown
    for target, shown in waiting.items():
        assert shown == target * (len(shown) // len(target)), (target, shown)


def test_a_link_is_whole_over_several_rows() -> None:
    sight = Sight(40, 14, colours=16).joins()
    target = "https://example.org/" + "a" * 60
    sight.hears(f"look: {target}, alice!")
    pieces = drawn_links(sight.draws())
    assert len(pieces) >= 3 and {name for name, _target, _shown in pieces} == {pieces[0][0]}
    assert {piece[1] for piece in pieces} == {target}
    assert "".join(piece[2] for piece in pieces) == target
    assert "".join(sight.texts()).replace(" ", "") == f"look:{target},alice!"


def test_an_invite_link_is_one() -> None:
    sight = Sight(60, 14).joins()
    sight.takes(events.Invite("cmdchat://here:1000/default#secret", "default"))
    assert drawn_links(sight.draws())[0][1:] == ("cmdchat://here:1000/default#secret",) * 2


def test_a_nickname_is_no_link() -> None:
    sight = Sight(60, 14).joins()
    sight.hears("hello", "http://a.b")
    assert drawn_links(sight.draws()) == []


@FIXED
@given(TEXTS, st.integers(20, 90), st.booleans(), st.sampled_from(["text", "action"]))
def test_no_text_makes_a_link_that_leads_elsewhere(
    text: str, columns: int, private: bool, kind: str
) -> None:
    sight = Sight(columns, 400, colours=16).joins()
    sight.hears(f"alice {text}", private=private, to="alice" if private else None, kind=kind)
    frame = sight.view.frame(sight.typed, Size(columns, 400), sight.now)
    written = sight.canvas.change(frame)
    whole(drawn_links(written))
    assert only_moves(written), "nothing of the text is obeyed"
