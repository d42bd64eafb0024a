"""Where lines come from: what all sources of lines promise, and the one that has none."""

from __future__ import annotations

END, QUIT, STOPPED = "end", "quit", "stopped"


class LineSource:
    """A source of lines; this one is standard input that is closed. ``ended`` tells why there are
    no more: ``end`` of the input, ``quit`` (Ctrl-C or Ctrl-D on an empty line), ``stopped``; empty
    until then.

    ``next_line`` is called by one thread, the main one. Nothing here polls.
    """

    def __init__(self, ended: str = END) -> None:
        self.ended = ended

    def next_line(self) -> str | None:
        """Wait for a line, which comes without its line end; None when there are no more."""
        return None

    def finish(self) -> None:
        """Let ``next_line`` give what has been piped in already, and then end, waiting for nothing
        more; what is half typed is nothing. May be called by any thread."""
        self.stop()

    def stop(self) -> None:
        """Let ``next_line`` return None at once, and for good. May be called by any thread and by a
        signal handler."""

    def close(self) -> None:
        """Release what was needed for waiting. Called by the thread that reads."""
