"""Other people's text, made safe for a terminal and for whoever is sent it."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.output.json import one_line
from protocol.safe_text import MARKS_IN_A_ROW, visible
from tests.test_names import FIXED, HOSTILE, TEXTS

HARMLESS = [
    "",
    "plain ASCII, with ~ and `\\e[31m` spelled out",
    "two\nlines",
    "«Ça coûte 5\u202f€ ?»\u00a0— naïve",
    "Tiếng Việt, also decomposed: Tie\u0302\u0301ng",
    "中文，日本語「ガ」、한국어",
    "שָׁלוֹם",
    "السلام عليكم، \u0600١٢",
    "می\u200cخواهم",
    "ه\u200dه",
    "क्\u200dष and क्\u200cष",
    "র\u200d\u09cd\u09afাব",
    "ശ്രീ ന\u0d4d\u200d",
    "ශ\u0dca\u200dරී",
    "กำลัง ที่นี่",
    "ကြွှေ့",
    "👨\u200d👩\u200d👧\u200d👦",
    "🏳\ufe0f\u200d🌈 ❤\ufe0f\u200d🔥 🙂\u200d↔\ufe0f",
    "🧑🏽\u200d🚀 👋🏿 🇺🇦",
    "1\ufe0f\u20e3 #\ufe0f\u20e3",
    "©\ufe0f ☁\ufe0e ‼\ufe0f",
    "box ┌─┐ and math ∀x∈ℝ",
    "\U0001fafe",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_hostile_text_is_shown_not_obeyed(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_windows_line_ends_are_line_ends() -> None:
    assert visible("a\r\nb\r\r\nc") == "a\nb␍\nc"


def _runs_of_marks(text: str) -> list[int]:
    """How many marks share a base, also where joiners are between them."""
    joined = text.replace("\u200c", "").replace("\u200d", "")
    kinds = "".join("M" if unicodedata.category(char)[0] == "M" else " " for char in joined)
    return [len(run) for run in kinds.split()]


@FIXED
@given(TEXTS)
def test_visible_text_has_nothing_to_obey(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    for char in shown:
        category = unicodedata.category(char)
        assert char == "\n" or category not in ("Cc", "Cs", "Co", "Zl", "Zp")
        assert category != "Cf" or char in "\u200c\u200d" or "\u0600" <= char <= "\u08e2"
        assert unicodedata.bidirectional(char) not in (
            *("LRE", "RLE", "LRO", "RLO", "PDF"),
            *("LRI", "RLI", "FSI", "PDI"),
        )
        assert char not in "\u061c\u200e\u200f\u034f\u115f\u1160\u3164\uffa0"
    assert unicodedata.category(f"{shown} "[0])[0] != "M"
    # A variation selector that stays counts with the mark of a keycap.
    assert max(_runs_of_marks(shown), default=0) <= MARKS_IN_A_ROW + 1


@FIXED
@given(TEXTS)
def test_what_is_escaped_is_safe_and_comes_back_as_it_was(text: str) -> None:
    line = one_line({"text": text})
    assert json.loads(line) == {"text": text}
    assert not any(_is_obeyed(char) for char in line)
    assert max(_runs_of_marks(line), default=0) <= MARKS_IN_A_ROW


def _is_obeyed(char: str) -> bool:
    category = unicodedata.category(char)
    controls = ("Cc", "Cs", "Co", "Zl", "Zp")
    hidden = category == "Cf" and unicodedata.bidirectional(char) != "AN"
    return category in controls or hidden or char in "\u034f\u115f\u1160\u3164\uffa0"


@FIXED
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_printable_ascii_is_never_touched(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("unit", ["\u0301", "\u0315\u0300", "\u094d\u200d", "\x1b", "é\r\n"])
def test_floods_take_linear_time(unit: str) -> None:
    """Quadratic work on this much would not come back within the timeout."""
    shown = visible(unit * 50_000)
    assert len(shown) <= 8 * 50_000 * len(unit)
