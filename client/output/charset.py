"""What characters a terminal can show, and what stands for those that it cannot."""

from __future__ import annotations

from collections.abc import Mapping

# Ours, and the pictures by which ``visible`` shows controls.
_PLAIN = str.maketrans(
    {
        "│": "|", "─": "-", "┃": "#", "…": "...", "»": ">", "→": ">", "←": "<", "↓": "v",
        "↑": "^", "·": "-",
        "◌": "o", "×": "x", "␊": " / ", "␡": "^?", "‘": "'", "’": "'", "“": '"', "”": '"',
        "–": "-", "—": "-",
    }
    | {chr(0x2400 + code): "^" + chr(0x40 + code) for code in range(0x20) if code != 10}
)  # fmt: skip


class Charset:
    """Turns text into what ``encoding`` has; an ``encoding`` of UTF-8 has everything."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self._encoding = encoding
        self.full = is_utf8(encoding)

    def shown(self, text: str) -> str:
        """The text as this terminal can show it, ``?`` for each character that is lost."""
        if self.full or text.isascii():
            return text
        known = text.translate(_PLAIN)
        return known.encode(self._encoding, "replace").decode(self._encoding)

    def name(self, text: str) -> str:
        """The same for what names people and rooms, with its number for each character that is
        lost: of nicknames of question marks nobody could tell one from another."""
        if self.full or text.isascii():
            return text
        return "".join(
            f"<U+{ord(char):04X}>" if char != "?" == self.shown(char) else self.shown(char)
            for char in text
        )


def is_utf8(encoding: str) -> bool:
    """Whether a codec's name, however spelt, is UTF-8's."""
    return encoding.lower().replace("-", "").replace("_", "") in ("utf8", "utf8sig")


def terminal_encoding(environ: Mapping[str, str], stream: str | None) -> str:
    """What the terminal understands: the stream's encoding, unless the locale says ASCII.

    Python writes UTF-8 in the locales C and POSIX (PEP 538, PEP 540). It is right where these
    mean only that nothing was set; ``LC_ALL=C`` is somebody's wish.
    """
    wish = environ.get("LC_ALL", "")
    if wish in ("C", "POSIX"):
        return "ascii"
    return stream or "utf-8"
