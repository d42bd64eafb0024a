"""Whom this person does not want to read, by nickname, for one run of the program."""

from __future__ import annotations

from protocol.names import nick_key
from protocol.safe_text import visible


class Ignored:
    """A set of nicknames, which are told as they were typed.

    Not thread-safe: the session's lock covers it.
    """

    def __init__(self) -> None:
        self._nicks: dict[str, str] = {}  # key: nick key; the nickname as it was typed

    def __bool__(self) -> bool:
        return bool(self._nicks)

    def __contains__(self, nick: str) -> bool:
        return nick_key(nick) in self._nicks

    def __str__(self) -> str:
        return ", ".join(self._nicks.values())

    def add(self, nick: str) -> None:
        """Show nothing more of ``nick``."""
        self._nicks[nick_key(nick)] = visible(nick)

    def remove(self, nick: str) -> bool:
        """Whether ``nick`` was ignored until now."""
        return self._nicks.pop(nick_key(nick), None) is not None

    def renamed(self, before: str, after: str) -> None:
        """Whoever was ``before`` is ``after`` now."""
        if self.remove(before):
            self.add(after)
