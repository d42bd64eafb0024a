"""The values in a script's answer: each has the type and size that it should, or is a BadReply."""

from __future__ import annotations

import re

from protocol.codec import parse
from protocol.errors import Malformed
from protocol.limits import COUNTER_MAX, LOG_ID_BYTES

_DIGITS = re.compile(rb"[0-9]{1,16}")
_HEX = re.compile(r"(?:[0-9a-f]{2})+")


class BadReply(Exception):
    """An answer that no script of ours gives."""


def some(value: object, least: int = 1) -> list[object]:
    """A list of so many at least.  Raises BadReply, as all of these."""
    if not isinstance(value, (list, tuple)) or len(value) < least:
        raise BadReply()
    return list(value)


def fixed(value: object, length: int) -> list[object]:
    """A list of so many."""
    items = some(value, length)
    if len(items) != length:
        raise BadReply()
    return items


def rows(value: object, length: int) -> list[list[object]]:
    """Rows of so many columns, from a flat list."""
    items = some(value, 0)
    if len(items) % length:
        raise BadReply()
    return [items[start : start + length] for start in range(0, len(items), length)]


def raw(value: object) -> bytes:
    """Bytes."""
    if not isinstance(value, bytes):
        raise BadReply()
    return value


def text(value: object) -> str:
    """UTF-8."""
    try:
        return raw(value).decode()
    except UnicodeDecodeError:
        raise BadReply() from None


def number(value: object) -> int:
    """A number, which the engine gives as such or in decimal digits."""
    if isinstance(value, bytes) and _DIGITS.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or not 0 <= value <= COUNTER_MAX:
        raise BadReply()
    return value


def flag(value: object) -> bool:
    """0 or 1."""
    found = number(value)
    if found > 1:
        raise BadReply()
    return bool(found)


def time(value: object) -> int | None:
    """Milliseconds, or None where there is ""."""
    return None if value == b"" else number(value)


def hexadecimal(value: object) -> str:
    """Bytes in hex."""
    found = text(value)
    if not _HEX.fullmatch(found):
        raise BadReply()
    return found


def log_id(value: object) -> str:
    """A log id in hex."""
    found = hexadecimal(value)
    if len(found) != 2 * LOG_ID_BYTES:
        raise BadReply()
    return found


def pair(value: object) -> tuple[int, int]:
    """Two numbers with a colon between."""
    first, second = fixed(raw(value).split(b":"), 2)
    return number(first), number(second)


def nick(value: object) -> str:
    """A nickname in JSON."""
    try:
        found = parse(raw(value))
    except Malformed:
        raise BadReply() from None
    if not isinstance(found, str):
        raise BadReply()
    return found
