"""What goes over a connection to the engine (RESP 2): commands packed, and replies read.

https://redis.io/docs/latest/develop/reference/protocol-spec/

Replies are read here rather than by redis-py, whose parser calls itself for each value: that takes
1.6 times as long (docs/PERFORMANCE.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Arg = bytes | str | int
Reply = Any  # bytes, int, None, a list of these, or an EngineError where one stood

_DOLLAR, _STAR, _COLON, _PLUS, _MINUS = b"$*:+-"
_RECEIVED = 64 * 1024
# More than the engine says at once of anything that it is asked for; what claims more is not one.
LINE_BYTES = 1024
VALUE_BYTES = 64 * 1024 * 1024
ITEMS = 1_000_000
DEPTH = 8
_WORD_CHARS = 32


class BadResp(ValueError):
    """What came is no reply, or one without bounds."""


class HungUp(OSError):
    """The connection ended before its reply did."""


class EngineError(Exception):
    """What the engine says of one command that it refused; ``word`` is the first of its text.

    The rest is not kept: it holds arguments.
    """

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def pack(*args: Arg) -> bytes:
    """One command as it goes over the wire (RESP: an array of bulk strings)."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        if isinstance(arg, str):
            arg = arg.encode()
        elif isinstance(arg, int):
            arg = b"%d" % arg
        parts.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(parts)


class ReplyReader:
    """Replies out of what ``receive`` gives, which takes a number of bytes at most and waits."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._data, self._at = b"", 0  # what has come, and how far it was read

    def read(self) -> Reply:
        """The next reply.  Raises BadResp, or HungUp and OSError as ``receive`` does."""
        # One loop, since a call for each value is most of what a library takes here.
        data, at = self._data, self._at
        outer: list[tuple[list[Reply], int]] = []  # arrays around the one that is being read
        items: list[Reply] = []
        left = 1
        while True:
            end = data.find(b"\r\n", at)
            if end < 0:
                data, at = self._more(data, at, len(data) - at + 1), 0
                if len(data) > LINE_BYTES and b"\r\n" not in data[:LINE_BYTES]:
                    raise BadResp
                continue
            kind = data[at]
            if kind == _DOLLAR:
                size = _number(data[at + 1 : end], VALUE_BYTES)
                at = end + 2
                if size < 0:
                    items.append(None)
                else:
                    if len(data) < at + size + 2:
                        data, at = self._more(data, at, size + 2), 0
                    items.append(data[at : at + size])
                    at += size + 2
            elif kind == _STAR:
                count = _number(data[at + 1 : end], ITEMS)
                at = end + 2
                if count > 0:
                    if len(outer) >= DEPTH:
                        raise BadResp
                    outer.append((items, left))
                    items, left = [], count
                    continue
                items.append([] if count == 0 else None)
            else:
                items.append(_simple(kind, data[at + 1 : end]))
                at = end + 2
            left -= 1
            while not left:
                if not outer:
                    self._data, self._at = (data, at) if at < len(data) else (b"", 0)
                    return items[0]
                array = items
                items, left = outer.pop()
                items.append(array)
                left -= 1

    def _more(self, data: bytes, at: int, least: int) -> bytes:
        """What there is from ``at`` on, and so much more that it is ``least`` bytes at least."""
        pieces, have = [data[at:]], len(data) - at
        while have < least:
            piece = self._receive(_RECEIVED)
            if not piece:
                raise HungUp
            pieces.append(piece)
            have += len(piece)
        return b"".join(pieces)


def _number(digits: bytes, most: int) -> int:
    """A length; -1 where there is nothing."""
    if digits.isdigit() and len(digits) <= 9 and (number := int(digits)) <= most:
        return number
    if digits == b"-1":
        return -1
    raise BadResp


def _simple(kind: int, line: bytes) -> Reply:
    if kind == _COLON:
        if len(line) > 20 or not line.removeprefix(b"-").isdigit():
            raise BadResp
        return int(line)
    if kind == _PLUS:
        return line
    if kind == _MINUS:
        word = line.decode("utf-8", "replace").partition(" ")[0][:_WORD_CHARS]
        return EngineError(word if word.isupper() and word.isalpha() else "ERR")
    raise BadResp
