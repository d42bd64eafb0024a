"""One's own nickname: what was asked for, and what a server may make of it."""

from __future__ import annotations

import unicodedata

from protocol.errors import BadNick, ChatError
from protocol.names import check_nick


class Misnamed(ChatError):
    """The server calls this client by a name that it never asked for, or that nobody can have."""

    code = "misnamed"


class OwnName:
    """The nickname that one has, and those that are under way to the server.

    Not thread-safe: the session's lock covers it.  ``nick`` is empty until a token has brought
    one.
    """

    def __init__(self, wanted: str) -> None:
        self.nick = wanted
        self._asked: dict[int, str] = {}  # key: ref of a request that may still come true

    def ask(self, ref: int, nick: str) -> None:
        """Another one was asked for."""
        self._asked[ref] = nick

    def refused(self, ref: int) -> None:
        """It is not going to be had."""
        self._asked.pop(ref, None)

    def forget(self) -> None:
        """This is a new session: what an old one has asked for is nothing to it."""
        self._asked.clear()

    def granted(self, nick: str, wanted: str | None) -> None:
        """`welcome` says ``nick``; `confirm` had said ``wanted``.  Raises Misnamed.

        It may also be the one that an old session has, or has asked for: where that goes on,
        what `confirm` says does not count.
        """
        known = {self.nick if wanted is None else wanted, self.nick, *self._asked.values()} - {""}
        if (_composed(nick) not in map(_composed, known)) if known else not _permitted(nick):
            raise Misnamed()
        self.nick = nick

    def checked(self, nick: str) -> str:
        """``nick`` in NFC, as the log says it of oneself.

        Raises Misnamed for what nobody can be called by (``protocol.names``).  Letters that this
        program does not know yet are its owner's business, if they were asked for.
        """
        found = _composed(nick)
        if found not in self._asked.values() and not _permitted(found):
            raise Misnamed()
        return found

    def renamed(self, nick: str) -> bool:
        """The log says that one is ``nick`` now; whether that was asked for.  Raises Misnamed."""
        self.nick, before = self.checked(nick), self.nick
        found = next((ref for ref, each in self._asked.items() if each == self.nick), None)
        if found is None:
            return self.nick == before
        self._asked = {ref: each for ref, each in self._asked.items() if ref > found}
        return True


def _composed(nick: str) -> str:
    """In NFC, as a server grants it."""
    return unicodedata.normalize("NFC", nick)


def _permitted(nick: str) -> bool:
    try:
        check_nick(nick)
    except BadNick:
        return False
    return True
