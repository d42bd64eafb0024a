"""Posts read straight off an opened record, as nearly all records are: written as our own client
writes them, with every field in its place and nothing else.

To read one as JSON, look at each field and encode it anew takes three times as long, and a server
does hardly anything else with a post (docs/PERFORMANCE.md).  Whatever is written otherwise is no
error here: ``codec.parse_record`` and ``frames.from_object`` read it, and have the last word.
"""

from __future__ import annotations

import re

from protocol import keys, limits
from protocol.frames import Box, Post

# Of at most 15 digits, so none is above COUNTER_MAX; none begins with a zero but zero itself.
_COUNT = rb"(0|[1-9][0-9]{0,14})"
# 64 bytes are 86 letters, of which the last one stands for two bits: see ``keys.from_text``.
_SIGNATURE = rb"([0-9A-Za-z_-]{85}[AQgw])"
_POST = re.compile(
    rb'\{"type":"post","ref":%(count)s,"at":%(count)s,"change":%(count)s,"box":'
    rb'(\{"epoch":%(count)s,"n":%(count)s,"data":"([0-9A-Za-z_=-]*)","sig":"%(sig)s"\})\}'
    % {b"count": _COUNT, b"sig": _SIGNATURE}
)
_match = _POST.match


def read_posts(raw: bytes, at: int) -> list[Post] | None:
    """The posts of which the list at ``at`` consists; None if that is not all there is to ``raw``.

    Of each the box is ``written``, too.  Raises nothing.
    """
    posts: list[Post] = []
    if raw[at : at + 1] != b"[":
        return None
    while (found := _match(raw, at + 1)) is not None:
        ref, room, change, written, epoch, n, data, sig = found.groups()
        box = Box(int(epoch), int(n), data, keys.from_canonical(sig))
        box.__dict__["written"] = written
        posts.append(Post(int(ref), int(room), int(change), box))
        at = found.end()
        after = raw[at : at + 1]
        if after != b",":
            break
    else:
        return None
    if after != b"]" or raw[at + 1 :].strip(b" ") or len(posts) > limits.FRAMES_IN_RECORD:
        return None
    return posts
