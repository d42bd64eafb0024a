"""Posts read straight off a record must be what JSON makes of it, and nothing else may be."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import frames, limits, wire_json
from protocol.codec import parse_record
from protocol.errors import LinkBroken, RemoteError
from protocol.frames import Box, Post
from protocol.posts import read_posts
from protocol.records import Opener, Sealer

COUNTS = st.one_of(
    st.sampled_from([0, 1, 9, 10, 10**15 - 1, 10**15, limits.COUNTER_MAX]), st.integers(0, 2**53)
)
TOKENS = st.binary(max_size=60).map(base64.urlsafe_b64encode)
BOXES = st.builds(Box, COUNTS, COUNTS, TOKENS, st.binary(min_size=64, max_size=64))
POSTS = st.builds(Post, COUNTS, COUNTS, COUNTS, BOXES)
POST = Post(3, 1, 2, Box(1, 7, b"gAAA_-==", bytes(range(64)))).encode()


def as_json(raw: bytes) -> list[frames.Frame] | None:
    """What the general way makes of it; None for what it refuses, or is not all posts."""
    try:
        found = [frames.from_object(each, frames.CLIENT_FRAMES) for each in parse_record(raw)]
    except RemoteError:
        return None
    return found if all(isinstance(each, Post) for each in found) else None


@settings(max_examples=100, deadline=None)
@given(st.lists(POSTS, min_size=1, max_size=4), st.integers(0, 20))
def test_they_are_what_json_makes_of_them(posts: list[Post], padding: int) -> None:
    raw = b"[%s]%s" % (b",".join(each.encode() for each in posts), b" " * padding)
    found = read_posts(b"12345678" + raw, 8)
    if found is None:  # only for numbers that may be too large
        assert max(max(x.ref, x.at, x.change, x.box.epoch, x.box.n) for x in posts) >= 10**15
        return
    assert found == posts and as_json(raw) == posts
    for post in found:
        assert post.box.written == post.box.encode()
        plain = Box(post.box.epoch, post.box.n, post.box.data, post.box.sig)
        assert plain.written is None
        assert wire_json.posted(5, 6, post.box) == wire_json.posted(5, 6, plain)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_changed_is_read_as_json_or_not_at_all(data: st.DataObject) -> None:
    """What is read here is never anything that JSON would have refused, or read otherwise."""
    raw = bytearray(b"[%s,%s]  " % (POST, POST))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        with_ = data.draw(
            st.sampled_from([b"", b'"', b",", b"0", b"1", b"x", b"}", b" ", b"]", b"\n"])
        )
        raw[at : at + data.draw(st.integers(0, 2))] = with_
    found = read_posts(bytes(raw), 0)
    assert found is None or found == as_json(bytes(raw))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"[]", id="no post"),
        pytest.param(b"[%s" % POST, id="no end"),
        pytest.param(b"[%s,]" % POST, id="a comma too much"),
        pytest.param(b"[%s]x" % POST, id="something after it"),
        pytest.param(b"[%s][%s]" % (POST, POST), id="two lists"),
        pytest.param(b"[%s]" % POST.replace(b'"ref":3', b'"ref":03'), id="a zero before a number"),
        pytest.param(b"[%s]" % POST.replace(b'"ref":3', b'"ref":-3'), id="less than nothing"),
        pytest.param(b"[%s]" % POST.replace(b'"ref":3', b'"ref":9%s' % (b"0" * 16)), id="too much"),
        pytest.param(b"[%s]" % POST.replace(b"gAAA", b"g+AA"), id="a letter of no token"),
        pytest.param(b"[%s]" % POST.replace(b'Pw"', b'Px"'), id="no canonical signature"),
        pytest.param(b"[%s]" % POST.replace(b'Pw"', b'P"'), id="a short signature"),
        pytest.param(b"[%s]" % b",".join([POST] * (limits.FRAMES_IN_RECORD + 1)), id="too many"),
    ],
)
def test_what_is_wrong_is_left_to_who_refuses_it(raw: bytes) -> None:
    assert read_posts(raw, 0) is None
    assert not as_json(raw)


def test_what_is_written_otherwise_is_left_to_json() -> None:
    otherwise = POST.replace(b'"ref":3,', b'"ref": 3,')
    later = POST.replace(b'"box"', b'"later":1,"box"')
    for raw in (otherwise, later, b'{"type":"bye","reason":"x"}', POST + b"," + otherwise):
        assert read_posts(b"[%s]" % raw, 0) is None
        opened = Opener(bytes(32)).open_posts(Sealer(bytes(32)).seal([raw]))
        found = [frames.from_object(each, frames.CLIENT_FRAMES) for each in opened]
        assert [type(each).__name__ for each in found] == [
            "Bye" if b"bye" in raw else "Post"
        ] * len(found)


def test_a_record_of_posts_is_opened_as_such_and_in_its_turn() -> None:
    sealer, opener = Sealer(bytes(32)), Opener(bytes(32))
    first, second = sealer.seal([POST]), sealer.seal([POST, POST])
    assert opener.open_posts(first) == as_json(b"[%s]" % POST)
    assert len(opener.open_posts(second)) == 2
    with pytest.raises(LinkBroken):
        opener.open_posts(second)
