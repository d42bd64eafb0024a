"""What the fuzzers share: how a valid input is spoilt, from a few bytes that say how.

A ``recipe`` is bytes: every four of them are one edit.  Hypothesis draws recipes and shrinks
them, and ``random`` draws them by the thousand; the same recipe always does the same.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

SOAK = int(os.environ.get("CMD_CHAT_SOAK") or 0)
SEED = int(os.environ.get("CMD_CHAT_SEED") or 1)

# What parsers stumble over; in one list, since what one of them reads another one passes on.
PIECES: tuple[bytes, ...] = (
    b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b":", b",", b"[]", b"{}", b"null", b"true", b'""',
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"-1", b"0.5", b"1.0", b"9007199254740992",
    b"9" * 400, b"9" * 5000, b"\\ud800", b"\\u0000", b"\\x", b"\xed\xa0\x80", b"\xff", b"\xc3",
    b"\x00", b"\x1b[2J", b"\x7f", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\t", b" ",
    b" " * 300, b"%", b"%ff", b"%00", b"%ed%a0%80", b"+", b"&", b"=", b"==", b"-_", b"/", b"?",
    b"#", b"$", b"`", b"export ", b"A" * 64, b"x" * 3000, b"[" * 2000, b'{"a":' * 500,
    b'"type":"log",', b'"type":', b'"ref":1,', b'"ref":1,"ref":1,', b'"entries":[{}],',
    b"HTTP/1.1", b"HTTP/9.9", b"\r\nContent-Length: 5", b"\r\nTransfer-Encoding: chunked",
    b"\r\nUpgrade: websocket", b"\r\n continued", b"0\r\n\r\n", b"fffffffff\r\n",
    "\u202e".encode(), "\u0130".encode(), "\u017f".encode(), "e\u0301".encode(),
    "\ufdfa".encode(), "🙂".encode(), "\u0665".encode(), "\u2028".encode(),
)  # fmt: skip

# In place of any value of a JSON text.
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, 1.5, -0.0, 2**53 - 1, 2**53, 10**400, 1e308, "", "x", "\u0000",
    "\ud800", "é", "seen", "log", "password", "A" * 22, "A" * 43, "A" * 342, "_" * 1856, "x" * 5000,
    [], {}, [[]], [{}], {"type": "seen"}, {"a": {"a": {"a": 1}}}, [0] * 300, ["A"] * 1030,
)  # fmt: skip


def edits(recipe: bytes) -> Iterator[tuple[int, int, int]]:
    """What to do, where (as a share of 65,536) and with what."""
    for start in range(0, len(recipe) - 3, 4):
        what, high, low, how = recipe[start : start + 4]
        yield what, high << 8 | low, how


def spoil(raw: bytes, recipe: bytes, others: Sequence[bytes] = ()) -> bytes:
    """``raw`` after the edits of ``recipe``; pieces of ``others`` may come into it."""
    for what, where, how in edits(recipe):
        at = where * (len(raw) + 1) >> 16
        span = min(len(raw) - at, how if how < 64 else (how - 63) ** 2)
        raw = _EDITS[what % len(_EDITS)](raw, at, span, how, others)
    return raw


def _flip(raw: bytes, at: int, span: int, how: int, others: Sequence[bytes]) -> bytes:
    return raw[:at] + bytes((raw[at] ^ (1 << how % 8),)) + raw[at + 1 :] if at < len(raw) else raw


def _cut(raw: bytes, at: int, span: int, how: int, others: Sequence[bytes]) -> bytes:
    return raw[:at] + raw[at + span :]


def _end(raw: bytes, at: int, span: int, how: int, others: Sequence[bytes]) -> bytes:
    return raw[:at]


def _twice(raw: bytes, at: int, span: int, how: int, others: Sequence[bytes]) -> bytes:
    return raw[:at] + raw[at : at + span] * 2 + raw[at + span :]


def _many(raw: bytes, at: int, span: int, how: int, others: Sequence[bytes]) -> bytes:
    return raw[:at] + raw[at : at + 3] * how + raw[at:]


def _insert(raw: bytes, at: int, span: int, how: int, others: Sequence[bytes]) -> bytes:
    return raw[:at] + PIECES[how % len(PIECES)] + raw[at:]


def _replace(raw: bytes, at: int, span: int, how: int, others: Sequence[bytes]) -> bytes:
    return raw[:at] + PIECES[how % len(PIECES)] + raw[at + 1 + how % 4 :]


def _splice(raw: bytes, at: int, span: int, how: int, others: Sequence[bytes]) -> bytes:
    if not others:
        return raw[:at]
    other = others[how % len(others)]
    return raw[:at] + other[at * len(other) // (len(raw) + 1) :]


_Edit = Callable[[bytes, int, int, int, Sequence[bytes]], bytes]
_EDITS: tuple[_Edit, ...] = (_flip, _cut, _end, _twice, _many, _insert, _replace, _splice)


def spoil_json(raw: bytes, recipe: bytes) -> bytes:
    """The JSON text ``raw`` with other values, fewer keys or more of them; still JSON."""
    value = json.loads(raw)
    for what, where, how in edits(recipe):
        places = list(_places(value))
        if not places:
            return json.dumps(ODD[how % len(ODD)]).encode()
        holder, key = places[where * len(places) >> 16]
        odd = copy.deepcopy(ODD[how % len(ODD)])  # the next edit may be inside it
        if what % 4 == 0:
            del holder[key]
        elif what % 4 == 1 and isinstance(holder, dict):
            holder[str(odd)[:40]] = holder[key]
        elif what % 4 == 2 and isinstance(holder[key], str) and how % 2:
            holder[key] = holder[key][: how // 2] + str(odd)[:80]
        else:
            holder[key] = odd
    return json.dumps(value, ensure_ascii=bool(len(recipe) % 2)).encode("utf-8", "surrogatepass")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each value inside ``value``, by what holds it and under which key."""
    if not isinstance(value, (dict, list)):
        return
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)
