"""Being let in: from the server's `key` to `welcome`, under one nickname or another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from client import events, messages
from client.connection.circuit_breakers import Guesses
from client.connection.handshake import PendingLogin
from client.connection.outcome import AdmissionRefused
from client.session import ClientSession
from protocol import frames, limits
from transport import Closed

_NAMES_TO_TRY = range(2, 10)
_LONGEST_BASE = limits.NICK_CHARS - 2
_LONGEST_NICK_WAIT = 300.0  # in all, for a nickname whose holder is away
TAKEN = ("nick_taken", "nick_lost", "nick_reserved")


class LoggedIn(NamedTuple):
    """A connection on which `welcome` has come; ``rest`` are the values after it in its record."""

    pending: PendingLogin
    welcome: frames.Welcome
    rest: Sequence[Any]


class Login:
    """Shows what this client knows, and is let in.  ``sleep`` waits, or until it is stirred.

    ``may_wait``: a nickname whose holder is away is waited for.  ``guesses`` counts what was shown
    to nobody who knows it.
    """

    def __init__(
        self,
        session: ClientSession,
        emit: Callable[[events.Event], None],
        tell: Callable[[str], None],
        guesses: Guesses,
        sleep: Callable[[float], None],
        leaving: threading.Event,
        may_wait: bool,
    ) -> None:
        self._session, self._emit, self._tell = session, emit, tell
        self._guesses, self._sleep, self._leaving = guesses, sleep, leaving
        self._nick_wait = _LONGEST_NICK_WAIT if may_wait else 0.0  # that is left
        self.proven = False  # the last connection, by its server's first record

    def enter(self, begin: Callable[[], PendingLogin], first: bool) -> LoggedIn:
        """Be let in on a connection that ``begin`` makes; waits for a nickname whose holder is
        away, if it may.  ``first``: no room was ever entered.  Raises ChatError."""
        while True:
            try:
                return self._enter_as_somebody(begin, first)
            except AdmissionRefused as refused:
                if not first or not self._await_nick(refused):
                    raise

    def _await_nick(self, refused: AdmissionRefused) -> bool:
        """Whether it has waited for the nickname, and is to try again."""
        refusal = refused.refusal
        delay = refusal.retry_after or 0.0
        if refusal.code != "nick_lost" or not refused.proven or not 0 < delay <= self._nick_wait:
            return False
        self._nick_wait -= delay
        self._emit(events.NickAwaited(self._session.nick, delay))
        self._tell("waiting")
        self._sleep(delay)
        return not self._leaving.is_set()

    def _enter_as_somebody(self, begin: Callable[[], PendingLogin], first: bool) -> LoggedIn:
        """Tries other nicknames if its own was taken while it was away."""
        wanted = self._session.nick
        names = [wanted]
        if not first:
            names += [f"{wanted[:_LONGEST_BASE]}-{number}" for number in _NAMES_TO_TRY]
        for name in names:
            try:
                return self.prove(begin(), name, first)
            except AdmissionRefused as refused:
                if not refused.proven or refused.refusal.code not in TAKEN or first:
                    raise
                taken = refused
        raise taken

    def prove(
        self, pending: PendingLogin, nick: str, first: bool, seconds: float | None = None
    ) -> LoggedIn:
        """Show what this client knows, and get `welcome` and what is with it.

        ``seconds``: wait no longer than that.  Raises ChatError, with the connection ended.
        """
        if pending.is_stale:
            pending.drop()
            raise Closed()
        proven = shown = False
        try:
            confirm = pending.confirm(nick, self._session.stays_to_join())
            self._guesses.begin()
            shown = True
            values = pending.prove(confirm, seconds)
            proven = self.proven = True  # whoever sealed this knows what we know
            self._guesses.proven()
            welcome, rest = pending.welcome(
                values, seconds, lambda wait: self._on_crowd(wait, first)
            )
        except BaseException:
            pending.drop()
            if not first and shown and not proven and not self._leaving.is_set():
                self._emit(events.Warning("unproven", None, messages.warning("unproven")))
            raise
        pending.allow(welcome.max_payload_size)
        return LoggedIn(pending, welcome, rest)

    def _on_crowd(self, wait: frames.Wait, first: bool) -> None:
        self._emit(events.Notice(messages.crowded(wait.seconds)))
        if first:  # there is no screen yet
            self._tell("waiting")
