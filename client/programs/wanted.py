"""Which messages are meant: by whom, to whom, and whether a regular expression matches."""

from __future__ import annotations

import re
import signal
import sys
from types import FrameType

from client.events import Message
from client.output import streams
from i18n import _
from protocol.names import nick_key

MATCH_SECONDS = 1.0


class TooSlow(Exception):
    """A match was broken off, since it had taken ``MATCH_SECONDS``."""


class Wanted:
    """Messages of others: of ``sender``, where that is set; only ``private`` ones; that
    ``pattern`` matches."""

    def __init__(
        self, sender: str | None, pattern: re.Pattern[str] | None = None, private: bool = False
    ) -> None:
        self._sender = None if sender is None else nick_key(sender)
        self._pattern, self._private = pattern, private

    def is_from(self, nick: str) -> bool:
        """Whether what ``nick`` says is asked for."""
        return self._sender is None or nick_key(nick) == self._sender

    def takes(self, message: Message) -> bool:
        """Whether it is one; a match that takes too long is none, and that is said.  For the main
        thread."""
        if message.mine or not self.is_from(message.sender):
            return False
        if self._private and not message.private:
            return False
        try:
            return self._pattern is None or matches(self._pattern, message.text)
        except TooSlow:
            text = _("The pattern took too long on a message of {nick}, which counts as no match.")
            streams.say(text.format(nick=message.sender))
            return False


def matches(pattern: re.Pattern[str], text: str, seconds: float = MATCH_SECONDS) -> bool:
    """Whether it does so anywhere in ``text``.  Raises TooSlow.  For the main thread.

    What others send may take a pattern for ever, and ``re`` has no limit; but it does let signals
    be handled. Windows has no such signal, and so no limit.
    """
    if sys.platform == "win32":
        return pattern.search(text) is not None
    before = signal.signal(signal.SIGALRM, _break_off)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            return pattern.search(text) is not None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)


def _break_off(_number: int, _frame: FrameType | None) -> None:
    raise TooSlow
