"""How many columns a terminal takes for what terminals disagree about, from cursor reports."""

from __future__ import annotations

from client.output.widths import width
from tools.terminals.terminal import Terminal

SAMPLES = {
    "heart ❤": "❤",
    "heart + VS16": "❤\ufe0f",
    "keycap 1": "1\ufe0f\u20e3",
    "emoji 😀": "😀",
    "emoji + VS15": "😀\ufe0e",
    "thumb + skin tone": "👍🏽",
    "family of three": "👨\u200d👩\u200d👧",
    "heart on fire": "❤\ufe0f\u200d🔥",
    "farmer + skin tone": "👩🏽\u200d🌾",
    "flag": "🇫🇷",
    "half a flag": "🇫",
    "emoji of Unicode 16": "\U0001fae9",
    "not assigned yet": "\U0001faff",
    "Thai ทำ": "ทำ",
    "Lao ຄຳ": "ຄຳ",
    "half-width ｶﾞ": "ｶ\uff9e",
    "Devanagari की": "की",
    "Tamil கொ": "கொ",
    "decomposed 한": "\u1112\u1161\u11ab",
    "accent e + U+0301": "e\u0301",
    "Persian, U+200C": "ی\u200cر",
    "number sign U+06DD": "\u06dd",
    "hexagram ䷀": "䷀",
    "㉈": "㉈",
    "☰": "☰",
}


def rows(name: str) -> dict[str, str]:
    """For each sample its columns, and those that the chat leaves for it, where they differ."""
    found = {}
    with Terminal(name, 80, 24) as terminal:
        for shown, text in SAMPLES.items():
            terminal.write(f"\x1b[H\x1b[2J{text}")
            column, _row = terminal.cursor()
            found[f"{shown} (room: {width(text)})"] = str(column - 1)
    return found
