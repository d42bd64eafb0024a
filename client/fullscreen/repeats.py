"""What happens again and again takes one line that counts: who comes and goes, a warning.

Pure. Only what came since the last message is folded, so that nothing is moved past what was
said; and a warning about somebody verified never is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from client import events
from client.events import Event
from client.fullscreen.scrollback import Repeat, ScrollbackEntry
from i18n import _, plural
from protocol.names import nick_key

_LOOKED_AT = 200  # entries, from the last one upwards


def repeat_of(event: Event) -> Repeat | None:
    """How an event counts; None if it stands for itself."""
    if isinstance(event, (events.MemberJoined, events.MemberLeft)):
        came = isinstance(event, events.MemberJoined)
        return Repeat(("presence", nick_key(event.nick)), 1, came, came)
    if isinstance(event, events.Crowd):
        return Repeat(("crowd",), came=event.joined, went=event.left)
    if isinstance(event, events.Warning) and not event.verified:
        return Repeat(("warning", event.code, event.nick or "", event.text))
    return None


def earlier(entries: Sequence[ScrollbackEntry], repeat: Repeat) -> ScrollbackEntry | None:
    """The entry that this goes on, if there is one since the last message."""
    for entry in entries[: -_LOOKED_AT - 1 : -1]:
        if entry.counts:
            return None
        if entry.repeat is not None and entry.repeat.key == repeat.key:
            # Who comes twice without having left is somebody else.
            alternates = repeat.key[0] != "presence" or entry.repeat.last != repeat.last
            return entry if alternates else None
    return None


def gone_on(before: Repeat, now: Repeat) -> Repeat:
    """Both together."""
    return replace(
        before, count=before.count + 1, last=now.last, came=before.came + now.came,
        went=before.went + now.went,
    )  # fmt: skip


def presence(repeat: Repeat) -> str:
    """The sentence about who comes and goes, with ``{nick}`` in it."""
    times = repeat.count // 2
    if repeat.count == 1:
        return _("{nick} joined") if repeat.first else _("{nick} left")
    if repeat.count == 2:
        return _("{nick} came and left") if repeat.first else _("{nick} left and came back")
    if repeat.first and not repeat.last:
        text = plural(
            "{nick} came and left, {count} time", "{nick} came and left, {count} times", times
        )
    elif repeat.first:
        text = plural(
            "{nick} joined; came and left {count} time before",
            "{nick} joined; came and left {count} times before",
            times,
        )
    elif repeat.last:
        text = plural(
            "{nick} left and came back, {count} time",
            "{nick} left and came back, {count} times",
            times,
        )
    else:
        text = plural(
            "{nick} left; had left and come back {count} time before",
            "{nick} left; had left and come back {count} times before",
            times,
        )
    return text.replace("{count}", str(times))


def times(count: int) -> str:
    """What stands behind a sentence that was said so often."""
    return plural("({count} time)", "({count} times)", count).format(count=count)
