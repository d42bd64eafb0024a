"""Replies of the engine, read from bytes that come in any pieces; and what is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from server.cluster import resp
from server.cluster.resp import BadResp, EngineError, HungUp, ReplyReader

SAID: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b"+\r\n", b""),
    (b":0\r\n", 0),
    (b":-12\r\n", -12),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"$0\r\n\r\n", b""),
    (b"$4\r\n\r\n*1\r\n", b"\r\n*1"),
    (b"*0\r\n", []),
    (b"*1\r\n*0\r\n", [[]]),
    (b"*3\r\n:1\r\n*2\r\n$1\r\na\r\n*1\r\n$-1\r\n$2\r\nbc\r\n", [1, [b"a", [None]], b"bc"]),
    (b"*2\r\n*1\r\n*1\r\n+x\r\n*0\r\n", [[[b"x"]], []]),
]


def reader(data: bytes, size: int) -> ReplyReader:
    """One that gets ``data`` in pieces of ``size`` bytes, and then the end."""
    pieces: Iterator[bytes] = (data[at : at + size] for at in range(0, len(data), size))
    return ReplyReader(lambda most: next(pieces, b"")[:most])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_replies_are_read_whatever_they_come_in(size: int) -> None:
    """One after another, and then the connection is over."""
    replies = reader(b"".join(raw for raw, _reply in SAID), size)
    for _raw, reply in SAID:
        assert replies.read() == reply
    with pytest.raises(HungUp):
        replies.read()


def test_an_error_is_a_word() -> None:
    replies = reader(b"*2\r\n-WRONGTYPE of secret\r\n-what is this?\r\n", 5)
    wrong, other = replies.read()
    assert isinstance(wrong, EngineError) and isinstance(other, EngineError)
    assert (wrong.word, other.word) == ("WRONGTYPE", "ERR")


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("said", [
    b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"%1\r\n+a\r\n", b":x\r\n", b":\r\n", b":1_0\r\n",
    b":" + b"9" * 21 + b"\r\n", b"$x\r\n", b"$-2\r\n", b"$+1\r\na\r\n", b"$ 1\r\na\r\n", b"$\r\n",
    b"$99999999999\r\n", b"*99999999\r\n", b"*-2\r\n", b"*1\r\n" * 20, b"+" + b"a" * 70_000,
])  # fmt: skip
def test_what_is_no_reply_is_an_error(said: bytes, size: int) -> None:
    """And nothing is asked for that would not fit."""
    with pytest.raises(BadResp):
        reader(said, size).read()


def test_a_large_reply_is_put_together_once() -> None:
    """As many pieces as it has, and no more copies than that."""
    large = b"x" * 3_000_000
    values = b"".join(b"$%d\r\n%s\r\n" % (len(large), large) for _ in range(2))
    assert reader(b"*2\r\n" + values, 65536).read() == [large, large]


def test_what_is_too_large_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp, "VALUE_BYTES", 10)
    assert reader(b"$10\r\n0123456789\r\n", 100).read() == b"0123456789"
    with pytest.raises(BadResp):
        reader(b"$11\r\n", 100).read()
