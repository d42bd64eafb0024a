"""What whoever runs a server may type into its terminal, and the answers.

Nothing of it is written anywhere but to that terminal, and no address is shown there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from i18n import N_, _, plural
from protocol import frames, limits
from protocol.names import nick_key
from server.auth import Token
from server.client_address import is_own_machine
from server.services import Services
from server.sessions import ServerSession

MINUTES, MINUTES_MOST = 10, 24 * 60  # that a kick lasts
_MINUTES = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True)
class AdminCommand:
    """One row: what is typed after ``name``, what it does, and whether it needs an argument."""

    name: str
    usage: str
    help: str
    needs: bool
    run: Callable[[AdminConsole, str], None]


class Presence(NamedTuple):
    """One who is here: nickname, rooms, the token that it came with, if any, and who it is."""

    nick: str
    rooms: tuple[str, ...]
    token_id: str
    is_lost: bool
    group: str
    sign: bytes
    fingerprint: bytes


class AdminConsole:
    """Answers typed lines by ``tell``; for the thread that reads them."""

    def __init__(self, services: Services, tell: Callable[[str], None]) -> None:
        self._services, self._tell = services, tell

    def take(self, line: str) -> None:
        """Do what a line says.  Never raises for anything that can be typed."""
        word, _blank, rest = line.strip().partition(" ")
        if not word:
            return
        row = _BY_NAME.get(word.casefold())
        if row is None:
            self._tell(_("There is no such command here: help lists them."))
        elif row.needs and not rest.strip():
            self._tell(_("Usage: {usage}. {help}").format(
                usage=f"{row.name} {row.usage}", help=_(row.help)
            ))
        else:
            row.run(self, rest.strip())

    def help(self, _rest: str) -> None:
        """List the commands."""
        rows = [(f"{row.name} {row.usage}".strip(), _(row.help)) for row in COMMANDS]
        rows.append(("q", _("Stop the server.")))
        widest = max(len(written) for written, _help in rows)
        self._tell("\n".join(f"{written:<{widest}}  {text}" for written, text in rows))

    def who(self, _rest: str) -> None:
        """List who is here, and where."""
        present, more = self._present()
        lines = [_described(each) for each in sorted(present, key=lambda it: nick_key(it.nick))]
        self._tell("\n".join(lines + _besides(more)) or _("Nobody is here."))

    def rooms(self, _rest: str) -> None:
        """List the rooms and how many are in each."""
        rooms, more = self._rooms()
        lines = [f"{room}  {count}" for room, count in rooms]
        self._tell("\n".join(lines + _besides(more)) or _("There are no rooms."))

    def tokens(self, _rest: str) -> None:
        """List the live tokens."""
        lines = []
        for token, left in self._services.tokens.remaining():
            words = [token.id, _whose(token), _("{count} s left").format(count=left)]
            if token.bound is not None:
                words.append(_("bound") if token.bound else _("to be bound"))
            lines.append("  ".join(words))
        self._tell("\n".join(lines) or _("There are no tokens."))

    def revoke(self, rest: str) -> None:
        """End a token, and throw out whoever came with it."""
        token_id = self._services.tokens.revoke(rest)
        if token_id is None:
            self._tell(_("There is no such token: tokens lists them."))
            return
        self._services.sessions.end_token(token_id)
        self._tell(_("The token is revoked."))

    def kick(self, rest: str) -> None:
        """Throw somebody out, and keep them out for a while."""
        nick, _blank, minutes = rest.partition(" ")
        minutes = minutes.strip() or str(MINUTES)
        if not _MINUTES.fullmatch(minutes) or int(minutes) > MINUTES_MOST:
            most = MINUTES_MOST
            self._tell(_("A kick lasts 1 to {most} minutes.").format(most=most))
            return
        meant = self._find(nick)
        if meant is None:
            self._tell(_("Nobody here has that nickname: who lists them."))
            return
        self._kick(meant, int(minutes))

    def _kick(self, meant: Presence, minutes: int) -> None:
        self._services.bans.add(meant.sign, minutes * 60.0)
        if not is_own_machine(meant.group) and self._is_alone(meant):
            self._services.bans.add(meant.group, minutes * 60.0)
            text = plural(
                "{nick} is out for {count} minute, and so is that address.",
                "{nick} is out for {count} minutes, and so is that address.",
                minutes,
            )
        else:  # behind one address there may be a whole office, or a proxy
            text = plural(
                "{nick} is out for {count} minute, but not the address, which others share.",
                "{nick} is out for {count} minutes, but not the address, which others share.",
                minutes,
            )
        self._throw_out(meant)
        self._tell(text.format(nick=meant.nick, count=minutes))

    def say(self, rest: str) -> None:
        """Say something to everybody who is connected."""
        text = rest[: limits.ANNOUNCEMENT_CHARS]
        count = self._announce(frames.Announcement(text).encode())
        told = plural("{count} member was told.", "{count} members were told.", count)
        self._tell(told.format(count=count))

    # What is there

    def _present(self) -> tuple[list[Presence], int]:
        """Who is to be listed, and how many there are besides."""
        return [_present(session) for session in self._services.sessions.live()], 0

    def _rooms(self) -> tuple[list[tuple[str, int]], int]:
        """Rooms, and how many are in each; likewise."""
        return [(line.room, line.count) for line in self._services.rooms.listing()], 0

    def _find(self, nick: str) -> Presence | None:
        """Who has this nickname."""
        present, _more = self._present()
        return next((each for each in present if nick_key(each.nick) == nick_key(nick)), None)

    def _is_alone(self, meant: Presence) -> bool:
        """Whether nobody else comes from that address, as far as is known."""
        present, more = self._present()
        here = [each for each in present if each.group == meant.group]
        return not more and all(each.fingerprint == meant.fingerprint for each in here)

    def _throw_out(self, meant: Presence) -> None:
        session = self._services.sessions.find(meant.fingerprint)
        if session is not None:
            self._services.sessions.end(session, reason="kicked")

    def _announce(self, frame: bytes) -> int:
        """Give it to everybody who is connected; how many those are."""
        count = 0
        for session in self._services.sessions.live():
            queue = session.queue
            if queue is not None:
                queue.reply(frame)
                queue.deliver()
                count += 1
        return count


def _present(session: ServerSession) -> Presence:
    return Presence(
        session.nick,
        tuple(room.name for room in session.rooms()),
        session.token_id or "",
        session.lost_at is not None,
        session.group,
        session.bundle.sign,
        session.bundle.fingerprint,
    )


def _besides(count: int) -> list[str]:
    return [_("… and {count} more").format(count=count)] if count else []


def _whose(token: Token) -> str:
    if token.inviter is None:
        return token.nick or ""
    return _("(invited by {nick})").format(nick=token.inviter.nick)


def _described(present: Presence) -> str:
    rooms = ", ".join(present.rooms) or "-"
    came = _("token {id}").format(id=present.token_id) if present.token_id else _("password")
    state = "  " + _("connection lost") if present.is_lost else ""
    return f"{present.nick}  {rooms}  {came}{state}"


COMMANDS = (
    AdminCommand("who", "", N_("List who is here, in which rooms, and how they came in."), False,
                 AdminConsole.who),
    AdminCommand("rooms", "", N_("List the rooms and how many are in each."), False,
                 AdminConsole.rooms),
    AdminCommand("tokens", "", N_("List the tokens that are valid."), False, AdminConsole.tokens),
    AdminCommand("revoke", "ID", N_("End a token, and throw out whoever came with it."), True,
                 AdminConsole.revoke),
    AdminCommand("kick", "NICK [MINUTES]",
                 N_("Throw somebody out, and keep that identity and address out (10 minutes)."),
                 True, AdminConsole.kick),
    AdminCommand("say", "TEXT", N_("Say something to everybody who is connected."), True,
                 AdminConsole.say),
    AdminCommand("help", "", N_("List these commands."), False, AdminConsole.help),
)  # fmt: skip
_BY_NAME = {row.name: row for row in COMMANDS}
