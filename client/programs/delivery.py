"""What becomes of texts that are sent: events in, counts and sentences out.  Pure."""

from __future__ import annotations

from client import events, messages
from client.outbox import Line
from i18n import _, plural
from protocol.safe_text import visible
from settings.exit_status import ExitStatus

# Reasons of ``NotSent`` that say nothing of what the server has.
_CUT_OFF = ("disconnected", "timed_out")


# Whoever was not let in knows that nothing was sent.
_SAY_ENOUGH = (ExitStatus.UNREACHABLE, ExitStatus.REFUSED)


class Delivery:
    """The lines of one run of ``send``, to a room or ``to`` one member."""

    def __init__(self, room: str, to: str | None) -> None:
        self._room, self._to = room, to
        self._lines: dict[int, Line] = {}  # key: number; posted, and not settled
        self._settled = 0  # the number of the line that the next event is about
        self.taken = self.refused = self.unknown = 0
        self.unsent: list[Line] = []  # handed back before anything of them went out

    @property
    def pending(self) -> bool:
        """Whether anything has yet to be settled."""
        return bool(self._lines)

    def line(self, text: str) -> Line:
        """A line to be posted."""
        return Line(self._room, text, "text", to=self._to)

    def posted(self, line: Line) -> None:
        """It has been posted, and will be settled by an event."""
        self._lines[line.number] = line

    def again(self) -> list[Line]:
        """The lines of which nothing went out, to be posted once more: there is a room again."""
        lines, self.unsent = self.unsent, []
        return lines

    def take(self, event: events.Event) -> str:
        """Note what an event says; a sentence if there is something to say of it."""
        if isinstance(event, events.Settled):
            self._settled = event.ref
        elif isinstance(event, events.Message) and event.mine:
            self.taken += self._lines.pop(self._settled, None) is not None
        elif isinstance(event, events.NotSent):
            line = self._lines.pop(self._settled, None)
            return "" if line is None else self._not_sent(line, event.reason)
        return ""

    def _not_sent(self, line: Line, reason: str) -> str:
        if reason in _CUT_OFF and line.seq is not None:  # accepted, and not seen in its place
            self.taken += 1
            return ""
        if reason == "repeated" or (reason in _CUT_OFF and line.encoded):
            self.unknown += 1
            return ""
        if reason in _CUT_OFF:
            self.unsent.append(line)
            return ""
        self.refused += 1
        if reason == "gone":
            text = _("Nobody in {room} is called {nick}: nothing was sent.")
            return text.format(room=self._room, nick=visible(self._to or ""))
        return _("Not sent: {reason}.").format(reason=messages.not_sent(reason))

    def verdict(self, ended: int) -> tuple[int, list[str]]:
        """The exit status, and what there is to say; ``ended``: how the visit did."""
        said = []
        if self.unknown:
            said.append(_unknown(self.unknown))
        if (count := len(self.unsent)) and ended not in _SAY_ENOUGH:
            text = plural("{count} line was not sent.", "{count} lines were not sent.", count)
            said.append(text.format(count=count))
        if self.unknown or (self.unsent and ended == ExitStatus.LEFT):
            return ExitStatus.LOST, said
        if ended == ExitStatus.LEFT and self.refused:
            return ExitStatus.REFUSED, said
        return ended, said


def _unknown(count: int) -> str:
    text = plural(
        "The server did not answer, so it is not known whether the message has arrived: look there "
        "before you send it again.",
        "The server did not answer, so it is not known whether {count} messages have arrived: look "
        "there before you send them again.",
        count,
    )
    return text.format(count=count)
