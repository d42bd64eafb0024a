"""What the person at this client says and asks, by the thread that reads the input.

Each deed holds the session's lock for a moment, but for what takes one to compute; what comes of it
is shown as events.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from client import refusals
from client.encryption import safety_numbers
from client.events import Error, Event, Invite, MemberList, Message, Notice, Tag
from client.outbox import MAX_HANDED_BACK, Line, Switch
from client.session import ClientSession
from i18n import _
from protocol import frames
from protocol.errors import BadNick, BadRoom
from protocol.hosts import is_loopback
from protocol.names import check_nick, check_room, room_key
from protocol.safe_text import visible


class LocalUser:
    """Acts on one session.  Called by one thread at a time."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._tag: Tag = None  # of the line that is being acted on

    @contextmanager
    def answering(self, tag: Tag) -> Iterator[None]:
        """What comes of the lines, requests and errors in here is told with ``tag``."""
        self._tag = tag
        try:
            yield
        finally:
            self._tag = None

    @property
    def tag(self) -> Tag:
        """Of the line that is being acted on, for what will be told of it later."""
        return self._tag

    def emit(self, event: Event) -> None:
        """Show an event that has to do with nothing here."""
        self._session.emit(self._tagged(event))

    def reject(self, error: Error) -> None:
        """Tell why an input is no line at all; it counts as one that was refused."""
        with self._session.acting() as session:
            session.outbox.refused += 1
            session.show(self._tagged(error))

    def _tagged(self, event: Event) -> Event:
        if self._tag is None or not isinstance(event, Error):
            return event
        return replace(event, id=self._tag)

    @property
    def room(self) -> str:
        """The room that is shown."""
        return self._session.room

    @property
    def is_connected(self) -> bool:
        """Whether lines can be sent now."""
        return self._session.entrance.live

    # Lines

    def say(
        self,
        text: str,
        kind: str = "text",
        to: str | None = None,
        room: str | None = None,
        bot: bool = False,
    ) -> None:
        """Post to the room that is shown; ``kind`` is ``text`` or ``action``.

        ``to`` one member: to whoever bears the nickname now, and to nobody else later.  ``room``:
        only if that is the one.  ``bot``: a program says so of itself.
        """
        with self._session.acting() as session:
            line = Line(room or session.room, text, kind, to=to, tag=self._tag, bot=bot)
            if room is None or room_key(room) == room_key(session.room):
                self._post(line)
            else:
                session.show(*session.outbox.hand_back(line, "left_room"))

    def private(self, nick: str, text: str) -> None:
        """Post to one member."""
        self.say(text, to=nick)

    def post(self, line: Line) -> None:
        """Post a line that the caller keeps, to see how far it comes.

        Again, it is for nobody whom it was not for the first time.
        """
        with self._session.acting():
            self._post(line)

    def answer(self, message: Message, text: str) -> None:
        """Post what a program says to a message, to where that came from: to its room, or to
        nobody but its sender, by the keys that it was signed with."""
        with self._session.acting() as session:
            line = Line(message.room, text, "text", bot=True)
            if message.private:
                line.room, line.to = session.room, message.sender
                found = None if session.here is None else session.here.bearer(message.keys)
                if found is None:
                    session.show(*session.outbox.hand_back(line, "gone"))
                    return
                line.to, line.target = found.nick, (found.id, found.bundle.fingerprint)
            self._post(line)

    def resend(self, everything: bool = False) -> None:
        """Send again what was handed back in the room that is shown: the oldest line, or all."""
        with self._session.acting() as session:
            lines = session.outbox.take_back(session.room, MAX_HANDED_BACK if everything else 1)
            if not lines:
                session.show(Notice(_("There is no unsent line in this room.")))
            for line in lines:
                self._post(line)

    def drop(self) -> None:
        """Hand back the lines that wait because of the server's limit."""
        with self._session.acting() as session:
            session.show(*session.outbox.drop())

    def _post(self, line: Line) -> None:
        """The lock is held."""
        session = self._session
        if line.to is None:
            here = session.here
            line.guarded = line.guarded or here is not None and here.encryption.all_verified()
        elif session.here is None or not session.here.address(line):
            session.show(*session.outbox.hand_back(line, "gone"))
            return
        session.show(*session.outbox.add(line))

    def refuse(self, text: str, reason: str) -> None:
        """Hand a line back that cannot be sent as it is."""
        with self._session.acting() as session:
            line = Line(session.room, text, "text", tag=self._tag)
            session.show(*session.outbox.hand_back(line, reason))

    def forget_lines(self) -> None:
        """Nothing that was handed back can be sent again."""
        with self._session.acting() as session:
            session.outbox.forget()

    # Rooms and members

    def switch(self, room: str, secret: str | None) -> None:
        """Go to another room, after the lines that are under way.

        Without a secret, the one that was given for it before is used.
        """
        session = self._session
        try:
            wanted = check_room(room)
        except BadRoom:
            self.emit(refusals.error("bad_room"))
            return
        if secret is not None:
            session.secrets.give(wanted, secret)
        with session.acting():
            if room_key(wanted) == room_key(session.room):
                session.show(Notice(_("You are in this room already.")))
            else:
                session.outbox.queued.append(Switch(wanted, self._tag))
                session.room = wanted

    def rooms(self) -> None:
        """Ask which rooms there are."""
        with self._session.acting() as session:
            session.ask(frames.ListRooms, self._tag)

    def rename(self, nick: str) -> None:
        """Ask for another nickname."""
        session = self._session
        try:
            wanted = check_nick(nick)
        except BadNick:
            self.emit(refusals.error("bad_nick"))
            return
        with session.acting():
            ref = session.ask(partial(frames.Nick, nick=wanted), self._tag)
            if ref is not None:
                session.own.ask(ref, wanted)

    def who(self) -> None:
        """Say who is in the room."""
        with self._session.acting() as session:
            here = session.here
            if here is None:
                session.show(self._tagged(refusals.error("disconnected")))
            else:
                session.show(MemberList(here.name, here.views()))

    def ignore(self, nick: str | None) -> None:
        """Show nothing more that this nickname says; without one, say who is ignored."""
        with self._session.acting() as session:
            if nick is not None:
                session.ignored.add(nick)
            nicks = str(session.ignored)
            text = _("Ignored: {nicks}.").format(nicks=nicks) if nicks else _("Nobody is ignored.")
            session.show(Notice(text))

    def unignore(self, nick: str) -> None:
        """Show again what this nickname says from now on."""
        with self._session.acting() as session:
            if session.ignored.remove(nick):
                text = _("{nick} is no longer ignored.")
            else:
                text = _("{nick} is not ignored.")
            session.show(Notice(text.format(nick=visible(nick))))

    def verify(self, nick: str | None, confirm: bool) -> None:
        """Show the digits to compare, or take it that they were equal."""
        with self._session.acting() as session:
            if confirm and nick is not None:
                found = session.verification.confirm(session.here, nick)
            else:
                found = session.verification.show(session.here, nick)
            session.show(*map(self._tagged, found))

    def invite(self) -> None:
        """Make a link into this room; where one is alone, with a new secret if it has none."""
        with self._session.acting() as session:
            here = session.here
        if here is None:
            self.emit(refusals.error("disconnected"))
            return
        secret, salt = session.secrets.secret(here.name), b""
        if not secret:
            secret = safety_numbers.new_secret()
            salt = safety_numbers.secret_salt(secret, here.name)  # takes a moment: without the lock
        with session.acting():
            # Whoever has gone to another room meanwhile wants no new secret for this one.
            if not salt or (session.here and session.here.is_called(here.name)):
                session.show(*self._invitation(here.name, secret, salt))

    def _invitation(self, room: str, secret: str, salt: bytes) -> list[Event]:
        """``salt`` is that of a secret which the room has not got yet.  The lock is held."""
        session, here = self._session, self._session.here
        if salt:
            if here is None or not here.encryption.guard(salt):
                text = _(
                    "This room has no secret, and others are here: agree on one, and let "
                    "everybody go to a new room with /room NAME SECRET."
                )
                return [Notice(text)]
            session.secrets.give(room, secret, salt)
        found: list[Event] = [Invite(replace(session.address, room=room, secret=secret).link())]
        if is_loopback(session.address.host):
            text = _("The link names this machine: from another one, use its address instead.")
            found.append(Notice(text))
        return found

    # For completion

    def nicks(self) -> list[str]:
        """Who is in the room."""
        with self._session.acting() as session:
            here = session.here
            return [] if here is None else [member.nick for member in here.members()]

    def known_rooms(self) -> list[str]:
        """Rooms that this client has heard of."""
        with self._session.acting() as session:
            here = session.here
            return sorted({session.room if here is None else here.name, *session.known_rooms})
