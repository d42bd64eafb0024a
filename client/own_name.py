"""One's own nickname: what was asked for, and what a server may make of it."""

from __future__ import annotations

import unicodedata

from protocol.errors import BadNick, ChatError
from protocol.names import check_nick

MOST_ASKED = 256  # names of which it is remembered that they were asked for


class Misnamed(ChatError):
    """The server calls this client by a name that it never asked for, or that nobody can have."""

    code = "misnamed"


class OwnName:
    """The nickname that one has, and those that were asked for, by ``ref``.

    It is one for all rooms, but each tells of it in its own log: where two renames follow each
    other, one room may still tell of the first when another has told of both.  So each room keeps
    the ref of the last one that it has told of, from ``found`` or ``renamed``.

    Not thread-safe: the session's lock covers it.  ``nick`` is empty until a token has brought
    one; ``current`` is the ref that has brought it.
    """

    def __init__(self, wanted: str) -> None:
        self.nick = wanted
        self.current = 0  # 0: it was granted
        self._asked: dict[int, str] = {}  # key: ref, of a request that was not refused
        self._first = wanted  # as it was granted

    def ask(self, ref: int, nick: str) -> None:
        """Another one was asked for."""
        self._asked[ref] = nick
        if len(self._asked) > MOST_ASKED:
            del self._asked[next(iter(self._asked))]

    def refused(self, ref: int) -> None:
        """It is not going to be had."""
        self._asked.pop(ref, None)

    def begin(self) -> None:
        """This is a new session: what an old one has asked for is nothing to it."""
        self._asked.clear()
        self.current, self._first = 0, self.nick

    def granted(self, nick: str, wanted: str | None) -> None:
        """`welcome` says ``nick``; `confirm` had said ``wanted``.  Raises Misnamed.

        It may also be the one that an old session has, or has asked for: where that goes on,
        what `confirm` says does not count.
        """
        coming = [each for ref, each in self._asked.items() if ref > self.current]
        known = {self.nick if wanted is None else wanted, self.nick, *coming} - {""}
        if (_composed(nick) not in map(_composed, known)) if known else not _permitted(nick):
            raise Misnamed()
        self.nick = nick
        self._first = self._first or nick

    def checked(self, nick: str) -> str:
        """``nick`` in NFC, as the log says it of oneself.

        Raises Misnamed for what nobody can be called by (``protocol.names``).  Letters that this
        program does not know yet are its owner's business, if they were asked for.
        """
        found = _composed(nick)
        if found not in self._asked.values() and not _permitted(found):
            raise Misnamed()
        return found

    def found(self, nick: str) -> int | None:
        """A roster has ``nick`` for oneself: the ref of what it comes from, None if it was never
        asked for, and is not known.  Raises Misnamed."""
        nick = self.checked(nick)
        refs = [ref for ref, each in self._asked.items() if each == nick]
        if nick == self.nick:
            return self.current
        if not refs:
            return 0 if nick == self._first else self._take(nick, None)
        return self._take(nick, refs[-1])

    def renamed(self, nick: str, since: int) -> int | None:
        """A log that has told of ``since`` last says that one is ``nick`` now; its ref, None if
        that was not asked for.  Raises Misnamed."""
        nick = self.checked(nick)
        found = next((ref for ref, each in self._asked.items() if ref > since and each == nick), 0)
        if found:
            return self._take(nick, found)
        return since if nick == self.nick else self._take(nick, None)

    def _take(self, nick: str, ref: int | None) -> int | None:
        if ref is None:
            self.nick = nick
        elif ref >= self.current:
            self.nick, self.current = nick, ref
        return ref


def _composed(nick: str) -> str:
    """In NFC, as a server grants it."""
    return unicodedata.normalize("NFC", nick)


def _permitted(nick: str) -> bool:
    try:
        check_nick(nick)
    except BadNick:
        return False
    return True
