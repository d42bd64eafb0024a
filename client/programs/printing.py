"""Messages on standard output: as the plain view has them, raw, or as JSON; and its reader."""

from __future__ import annotations

import selectors
import stat
import sys
from collections.abc import Sequence
from datetime import datetime
from os import fstat

from client.events import Event, Message, Unreadable, Warning
from client.output import streams
from client.output.charset import Charset, terminal_encoding
from client.output.json import Json, speak_utf8
from client.output.line_prefix import LinePrefix
from client.output.lines import Minimal
from client.output.text import EventText
from protocol.safe_text import visible
from settings import environment


class Printer:
    """Prints messages at once.  ``form``: ``text``, safe for a terminal; ``raw``, the text alone
    as it was sent; ``json``.  Of several ``rooms`` a text says in which one it was said."""

    def __init__(self, form: str, rooms: Sequence[str]) -> None:
        streams.check()
        self._form = form
        if form != "text":
            speak_utf8(sys.stdout)
        encoding = sys.stdout.encoding or "utf-8"
        if sys.stdout.isatty():
            encoding = terminal_encoding(environment(), encoding)
        self._several = len(rooms) > 1
        self._plain = Minimal(LinePrefix(Charset(encoding)), names_rooms=self._several)

    def say(self, event: Event) -> None:
        """What there is to say of an event, on standard error."""
        text = words(event)
        if self._several and isinstance(event, Unreadable | Warning) and event.room is not None:
            text = f"[{visible(event.room)}] {text}"  # they do not name it themselves
        streams.say(text)

    def print(self, message: Message) -> None:
        """Write it, and let it go out.  Raises Unwritable and BrokenPipeError."""
        streams.write("".join(f"{line}\n" for line in self.lines(message, datetime.now())))
        streams.flush()

    def lines(self, message: Message, when: datetime) -> list[str]:
        """What is printed of a message that came at ``when``."""
        if self._form == "raw":
            return [message.text]
        if self._form == "json":
            return Json().lines(message, when)
        return self._plain.lines(message, when, None)


def words(event: Event) -> str:
    """What there is to say of an event."""
    rows = EventText(aligned=False).bare_rows(event)
    return "\n".join("".join(span.text for span in row.spans) for row in rows)


class OutputReader:
    """Whoever reads standard output, if that is a pipe."""

    def __init__(self) -> None:
        self._selector: selectors.BaseSelector | None = None
        poll = getattr(selectors, "PollSelector", None)
        try:
            fd = sys.stdout.fileno()
            if poll is not None and stat.S_ISFIFO(fstat(fd).st_mode):
                self._selector = poll()
                self._selector.register(fd, selectors.EVENT_READ)
        except (OSError, ValueError):
            self._selector = None

    @property
    def gone(self) -> bool:
        """Whether nobody reads it any more, as far as the system tells."""
        # There is nothing to read at this end: what is told of it can only be an error.
        return self._selector is not None and bool(self._selector.select(0))
