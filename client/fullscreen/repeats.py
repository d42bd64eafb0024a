"""What happens again and again takes one line that counts: who comes and goes, a warning.

Pure. Only what came since the last message is folded, so that nothing is moved past what was
said; and a warning about somebody verified never is.
"""

from __future__ import annotations

from client import events
from client.events import Event
from i18n import _, plural
from protocol.dataclass import dataclass, replace
from protocol.names import nick_key


@dataclass(frozen=True)
class Repeat:
    """What is counted: ``key`` is of what, ``count`` how often. ``first``, ``last``: for who
    comes and goes, whether the first and the last of it was coming. ``came``, ``went``: how many
    did in a crowd."""

    key: tuple[str, ...]
    count: int = 1
    first: bool = False
    last: bool = False
    came: int = 0
    went: int = 0


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
        return _("{nick} has joined.") if repeat.first else _("{nick} has left.")
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
