"""What whoever runs a server may type into its terminal, and the answers.

Nothing of it is written anywhere but to that terminal, and no address is shown there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from i18n import N_, _, plural
from protocol import frames, limits
from protocol.names import nick_key
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
        present = sorted(self._services.sessions.live(), key=lambda session: nick_key(session.nick))
        self._tell("\n".join(map(_described, present)) or _("Nobody is here."))

    def rooms(self, _rest: str) -> None:
        """List the rooms and how many are in each."""
        lines = [f"{line.room}  {line.count}" for line in self._services.rooms.listing()]
        self._tell("\n".join(lines) or _("There are no rooms."))

    def tokens(self, _rest: str) -> None:
        """List the live tokens."""
        lines = []
        for token, left in self._services.tokens.remaining():
            words = [token.id, token.nick, _("{count} s left").format(count=left)]
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
        present = self._services.sessions.live()
        meant = [each for each in present if nick_key(each.nick) == nick_key(nick)]
        if not meant:
            self._tell(_("Nobody here has that nickname: who lists them."))
            return
        self._kick(meant[0], [each for each in present if each is not meant[0]], int(minutes))

    def _kick(self, session: ServerSession, others: list[ServerSession], minutes: int) -> None:
        self._services.bans.add(session.bundle.sign, minutes * 60.0)
        alone = not any(other.group == session.group for other in others)
        if alone and not session.is_local:
            self._services.bans.add(session.group, minutes * 60.0)
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
        self._services.sessions.end(session, reason="kicked")
        self._tell(text.format(nick=session.nick, count=minutes))

    def say(self, rest: str) -> None:
        """Say something to everybody who is connected."""
        text = rest[: limits.ANNOUNCEMENT_CHARS]
        encoded = frames.Announcement(text).encode()
        count = 0
        for session in self._services.sessions.live():
            queue = session.queue
            if queue is not None:
                queue.reply(encoded)
                queue.deliver()
                count += 1
        told = plural("{count} member was told.", "{count} members were told.", count)
        self._tell(told.format(count=count))


def _described(session: ServerSession) -> str:
    room = "-" if session.room is None else session.room.name
    came = _("token {id}").format(id=session.token_id) if session.token_id else _("password")
    state = "" if session.lost_at is None else "  " + _("connection lost")
    return f"{session.nick}  {room}  {came}{state}"


COMMANDS = (
    AdminCommand("who", "", N_("List who is here, in which room, and how they came in."), False,
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
