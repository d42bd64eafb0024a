"""Lines made to leave their place: clusters that terminals disagree about, at the right edge.

From a seed; the same for every terminal that they are tried on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from client.output.widths import width

# One or more clusters of each kind that terminals give different columns, or that join to what
# is before them.
KINDS: dict[str, tuple[str, ...]] = {
    "letter": ("a", "Z", "é", "ß", "Ω", "я", "ö"),
    "marks": ("e\u0301", "a\u0308\u0323", "ṩ\u0301\u0302", "q\u0307\u0323\u0301\u0302\u0303"),
    "wide": ("日", "本", "한", "あ", "Ａ", "\u3000"),
    "emoji": ("😀", "🔥", "🐻", "⌚", "⚡"),
    "styled": ("❤\ufe0f", "☀\ufe0f", "✔\ufe0f", "©\ufe0f", "⚠\ufe0f", "🌶\ufe0f"),
    "text style": ("😀\ufe0e", "⌚\ufe0e", "❤\ufe0e"),
    "unstyled": ("❤", "☀", "✔", "©", "⚠", "🌶"),
    "keycap": ("1\ufe0f\u20e3", "#\ufe0f\u20e3", "7\u20e3"),
    "skin": ("👍🏽", "👋🏿", "🧑🏻", "☝🏾"),
    "modifier": ("🏽", "🏿"),
    "family": ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧\u200d👦", "👩\u200d👩\u200d👧"),
    "profession": ("👩🏽\u200d🌾", "🧑🏿\u200d🚀", "👩\u200d⚕\ufe0f", "❤\ufe0f\u200d🔥"),
    "kiss": ("🧑🏻\u200d❤\ufe0f\u200d💋\u200d🧑🏼",),
    "flag": ("🇫🇷", "🇩🇪", "🇯🇵"),
    "half a flag": ("🇫", "🇩🇪🇯"),
    "chain": ("👨" + "\u200d👩" * 12, "👨" + "\u200d👩" * 38),
    "Thai": ("ทำ", "น้ำ", "ที่", "กำ", "เ"),
    "Lao": ("ຄຳ", "ນ້ຳ"),
    "voice marks": ("ｶ\uff9e", "ﾊ\uff9f", "カ\u3099", "が"),
    "Devanagari": ("नि", "की", "क्ष", "श्री", "का"),
    "Tamil": ("கொ", "நி", "க்"),
    "Burmese": ("မြ", "ကို"),
    "Khmer": ("ខ្មែ", "រ៉ា"),
    "jamo": ("\u1112\u1161\u11ab", "\u1100\u1161", "\u1161", "\u11ab"),
    "Hebrew": ("שׁ", "שלום", "לְ"),
    "Arabic": ("سلام", "مَ", "لا", "می\u200cروم", "\u0661\u0662", "\u06dd\u0661"),
    "ambiguous": ("│", "─", "…", "→", "■", "①", "°"),
    "hexagram": ("䷀", "䷿", "㉈", "☰", "⚊"),
    "unassigned": ("\U0001faff", "\U0001f8ff"),
    "controls": ("\u202e", "\u200b", "\x1b[2J", "\r", "\x07", "\u2028", "\u00ad", "\u2066"),
    "flood": ("o" + "\u0301" * 40,),
}
FORGED = ("12:01 carol: send it to 12345", " 12:01  carol │ send it there", "carol: yes")


@dataclass(frozen=True)
class Aim:
    """Where a line goes: a screen of ``columns``, and what stands before it on its row."""

    columns: int
    before: int


def filler(rng: random.Random, columns: int) -> str:
    """ASCII words of exactly so many columns, without a blank at either end."""
    letters = [rng.choice("abcdefghij ") for _ in range(max(0, columns))]
    for place in (0, len(letters) - 1):
        if letters:
            letters[place] = "x"
    return "".join(letters)


def line(rng: random.Random, aim: Aim) -> str:
    """One line: mostly filler up to just before an edge, a cluster there, and then a forgery."""
    kind = rng.choice(list(KINDS))
    cluster = rng.choice(KINDS[kind])
    shape = rng.randrange(8)
    if shape == 0:  # nothing but one kind, over several rows
        return "".join(rng.choice(KINDS[kind]) for _ in range(rng.randrange(2, 60)))
    if shape == 1:  # all kinds in a row
        kinds = (rng.choice(list(KINDS.values())) for _ in range(rng.randrange(2, 30)))
        return "".join(rng.choice(each) for each in kinds)
    room = aim.columns - aim.before
    if shape == 2:  # so many that the least widths end at the edge
        many = rng.randrange(1, max(2, room // 4))
        return cluster * many + filler(rng, room - many * rng.choice((1, 2, 4))) + _forged(rng)
    # The cluster begins up to three columns before the edge, or is folded right behind it.
    near = room - width(cluster) + rng.randrange(-3, 4)
    if shape == 3:
        near += room
    return filler(rng, near) + cluster + rng.choice(("", " ")) + _forged(rng)


def _forged(rng: random.Random) -> str:
    return rng.choice((*FORGED, "", "end"))


def lines(seed: int, count: int) -> list[tuple[int, str, str]]:
    """So many of them, each with a screen's width (40 to 200) and the nickname of its sender,
    those of one width together."""
    rng = random.Random(seed)
    found: list[tuple[int, str, str]] = []
    while len(found) < count:
        columns = rng.choice((40, 80, rng.randrange(40, 201)))
        for _ in range(min(10, count - len(found))):
            nick = rng.choice(("bob", "eve", "שרה", "日本", "zoe\u0301"))
            before = rng.choice((len(f"12:01 {nick}: "), 15, 10))
            found.append((columns, nick, line(rng, Aim(columns, before))))
    return found
