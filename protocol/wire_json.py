"""Frames written straight as JSON, for what a server sends by the thousand: as their ``encode``
would have it, without an object in between."""

from __future__ import annotations

from collections.abc import Sequence

from protocol import keys
from protocol.codec import encode
from protocol.frames import Box, Private, Wrap


def accepted(ref: int, seq: int) -> bytes:
    """As ``Accepted.encode``: every post is answered so."""
    return b'{"type":"accepted","ref":%d,"seq":%d}' % (ref, seq)


def posted(sender: int, change: int, box: Box) -> bytes:
    """As ``Posted.encode``, without its number: all after ``{"type":"posted","seq":1``."""
    return b',"from":%d,"change":%d,"box":%s}' % (sender, change, box.written or _written(box))


def _written(box: Box) -> bytes:
    # A token has no letters that JSON would write otherwise (``_read_token``).
    return b'{"epoch":%d,"n":%d,"data":"%s","sig":"%s"}' % (
        box.epoch,
        box.n,
        box.data,
        keys.to_text(box.sig).encode(),
    )


def member(member_id: int, nick: str, joined: int, bundle: bytes) -> bytes:
    """As ``MemberLine.encode``, from a bundle that is encoded already."""
    return b'{"id":%d,"nick":%s,"joined":%d,"bundle":%s}' % (
        member_id,
        encode(nick),
        joined,
        bundle,
    )


def key_for(sender: int, wrap: Wrap) -> bytes:
    """As ``KeyFor.encode``, without what comes before ``,"from"``."""
    return b',"from":%d,"wrap":%s}' % (sender, wrap.encode())


def private_for(sender: int, private: Private) -> bytes:
    """As ``PrivateFor.encode``, likewise."""
    return b',"from":%d,"change":%d,"wrap":%s,"box":%s}' % (
        sender,
        private.change,
        private.wrap.encode(),
        private.box.encode(),
    )


def log(at: int, to: int, entries: Sequence[bytes]) -> bytes:
    """A ``log`` frame from entries that are encoded already: what the broadcaster sends."""
    return b'{"type":"log","at":%d,"to":%d,"entries":[%s]}' % (at, to, b",".join(entries))
