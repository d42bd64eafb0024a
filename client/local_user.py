"""What the person at this client says and asks, by the thread that reads the input.

Each deed holds the session's lock for a moment, but for what takes one to compute; what comes of it
is shown as events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from client import refusals
from client.encryption import safety_numbers
from client.entrance import Entrance
from client.events import Error, Event, MemberList, Message, Notice, Tag
from client.open_room import OpenRoom
from client.outbox import MAX_HANDED_BACK, Line
from client.session import ClientSession
from client.views import PersonTarget, RoomTarget, View, is_person, room_target
from i18n import _
from protocol import frames
from protocol.dataclass import replace
from protocol.errors import BadNick, BadRoom
from protocol.frames import MemberLine
from protocol.names import check_nick, check_room
from protocol.safe_text import visible


class LocalUser:
    """Acts on one session.  Called by one thread at a time."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._tag: Tag = None  # of the line that is being acted on
        # The view that whoever types has seen to be shown, or has asked for; None: any that is.
        self._seen: View | None = session.views.shown
        self._meant: str | None = None  # view of who had written last when the line was begun
        self._is_asked = self._is_sure = False  # whether to leave the last room: by now, before

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
        """The room that is shown, or was shown last."""
        return self._session.room

    @property
    def person(self) -> str | None:
        """Whose view is shown, if it is a person's."""
        shown = self._session.views.shown
        return shown.nick if isinstance(shown, PersonTarget) else None

    @property
    def shown(self) -> View:
        """The view that is shown: lines without a word of where to go are for it.

        Whoever has seen it there and types for it never gets into another one that has taken its
        place since: see ``say``.
        """
        self._seen = shown = self._session.views.shown
        return shown

    @property
    def shown_key(self) -> str:
        """Its key."""
        return self.shown.key

    @property
    def is_connected(self) -> bool:
        """Whether lines can be sent now."""
        return self._session.rooms.live

    # Views

    def show(self, view: View) -> None:
        """Show another view, if it is still there."""
        with self._session.acting() as session:
            found = session.views.find(view.key)
            if found is not None:
                self._show(found)

    def show_number(self, number: int) -> None:
        """Show the view with this number, from 1 on."""
        with self._session.acting() as session:
            views = session.views.all()
            if 1 <= number <= len(views):
                self._show(views[number - 1])

    def show_next(self, step: int) -> None:
        """Show the view so many places further, round and round."""
        with self._session.acting() as session:
            views = session.views.all()
            keys = [view.key for view in views]
            place = keys.index(session.views.shown.key)
            self._show(views[(place + step) % len(views)])

    def show_last_private(self) -> None:
        """Show the view of whoever wrote privately last."""
        with self._session.acting() as session:
            found = session.views.find(session.views.writer or "")
            if found is None:
                session.show(self._tagged(refusals.nobody_wrote()))
            else:
                self._show(found)

    def query(self, nick: str | None) -> None:
        """Show the view of a member; without one, that of the room that was shown last."""
        with self._session.acting() as session:
            if nick is None:
                self._show(session.views.room)
                return
            found = self._find(nick)
            view: View | None = session.views.person(nick)
            if found is not None:
                view = found[0].meet(found[1])
            if view is None:
                session.show(self._tagged(refusals.nobody(nick)))
            else:
                self._show(view)

    def _show(self, view: View) -> None:
        """The lock is held."""
        views = self._session.views
        views.show(view)
        self._seen = views.shown
        self._session.show(*views.news())

    def _find(self, nick: str) -> tuple[OpenRoom, MemberLine] | None:
        """The other member who bears this nickname: in the room that is shown, or in another."""
        for stay in self._session.stays():
            member = stay.other(nick)
            if member is not None:
                return stay, member
        return None

    # Lines

    def say(
        self,
        text: str,
        kind: str = "text",
        to: str | None = None,
        room: str | None = None,
        bot: bool = False,
    ) -> None:
        """Post to the view that is shown, or was seen to be; ``kind`` is ``text`` or ``action``.

        ``to`` one member: to whoever bears the nickname now, and to nobody else later.  ``room``:
        to that room, if it is open, or to a member of it.  ``bot``: a program says so of itself.
        """
        with self._session.acting() as session:
            view = self._looked_at()
            entrance = None if room is None else session.rooms.find(room)
            if room is not None:
                gone = entrance is None
            else:
                gone = to is None and session.views.find(view.key) is None
            name = entrance.name if entrance is not None else room or session.room
            line = Line(name, text, kind, to=to, tag=self._tag, bot=bot)
            if gone:
                line.view = view.key
                session.show(*session.outbox.hand_back(line, "left_room"))
            elif to is None and room is None and isinstance(view, PersonTarget):
                line.to, line.view = view.nick, view.key
                self._post(line)
            else:
                if room is None and isinstance(view, RoomTarget):
                    line.room = view.room
                self._post(line, entrance)

    def _looked_at(self) -> View:
        """The view that lines are for.  Nobody else shows them another one: if the server does not
        lead there any more, they come back, until somebody says where they are to go."""
        session = self._session
        if self._seen is not None:
            return self._seen
        shown = session.views.shown
        entrance = session.rooms.by_key(shown.key)
        if entrance is None or not session.moves.is_leaving(entrance):
            self._seen = shown
        return shown

    def private(self, nick: str, text: str) -> None:
        """Post to one member."""
        self.say(text, to=nick)

    def begins_line(self) -> None:
        """Somebody begins to type a line."""
        self._meant = self._session.views.writer or ""

    def reply(self, text: str) -> None:
        """Post to whoever wrote privately last, until the line was begun if it was typed."""
        with self._session.acting() as session:
            meant = session.views.writer if self._meant is None else self._meant
            found = session.views.find(meant or "")
            if not isinstance(found, PersonTarget):
                session.show(self._tagged(refusals.nobody_wrote()))
                return
            line = Line(session.room, text, "text", to=found.nick, tag=self._tag, view=found.key)
            self._post(line)

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
            line, within = Line(message.room, text, "text", bot=True), None
            if message.private:
                line.to = message.sender
                stays = sorted(session.stays(), key=lambda stay: not stay.is_called(message.room))
                found = next(((x, y) for x in stays if (y := x.bearer(message.keys))), None)
                if found is None:
                    line.view = message.view or session.views.shown.key
                    session.show(*session.outbox.hand_back(line, "gone"))
                    return
                stay, member = found
                within = session.rooms.find(stay.name)
                line.to, line.target = member.nick, member.bundle.fingerprint
                line.view = stay.meet(member).key
            self._post(line, within)

    def resend(self, everything: bool = False) -> None:
        """Send again what was handed back in the view that is shown: the oldest line, or all."""
        with self._session.acting() as session:
            most = MAX_HANDED_BACK if everything else 1
            lines = session.outbox.take_back(session.views.shown.key, most)
            if not lines:
                session.show(Notice(_("There is no unsent line here.")))
            for line in lines:
                self._post(line)

    def drop(self) -> None:
        """Hand back the lines that wait because of the server's limit."""
        with self._session.acting() as session:
            session.show(*session.outbox.drop())

    def _post(self, line: Line, within: Entrance | None = None) -> None:
        """``within``: the room that it, or whoever it is for, is in.  The lock is held."""
        session = self._session
        line.typed = line.typed or session.views.shown.key
        entrance = within or session.rooms.find(line.room)
        if line.to is None:
            line.view = room_target(line.room).key
            line.guarded = line.guarded or (entrance is not None and entrance.guarded)
            reason = "left_room" if entrance is None else ""
        else:
            reason = self._address(line, within)
        if reason:
            line.view = line.view or session.views.shown.key
            session.show(*session.outbox.hand_back(line, reason))
            return
        session.show(*session.views.news(), *session.outbox.add(line))

    def _address(self, line: Line, within: Entrance | None) -> str:
        """Have ``line`` go to whoever bears the nickname now, and to nobody else later; in the view
        of a person, to nobody with another lasting key, and under a room's secret if there is any.

        Why not, if there is nobody.
        """
        stays = self._session.stays() if within is None else [within.stay] if within.stay else []
        nick = line.to or ""
        if line.view and is_person(line.view):
            stays = sorted(stays, key=lambda stay: not stay.encryption.has_secret)
            known = [(stay, stay.find_person(line.view, nick)) for stay in stays]
        else:
            known = [(stay, stay.other(nick)) for stay in stays]
        found = next(((stay, member) for stay, member in known if member is not None), None)
        if found is None:
            others = any(stay.other(nick) is not None for stay in stays)
            return "other_keys" if line.view and others else "gone"
        stay, member = found
        if line.target is not None and line.target != member.bundle.fingerprint:
            return "gone"
        if line.secret and not stay.encryption.has_secret:
            return "no_secret"
        line.to, line.room, line.target = member.nick, stay.name, member.bundle.fingerprint
        line.secret = stay.encryption.has_secret
        line.guarded, line.view = stay.is_verified(member), stay.meet(member).key
        return ""

    def refuse(self, text: str, reason: str) -> None:
        """Hand a line back that cannot be sent as it is."""
        with self._session.acting() as session:
            line = Line(session.room, text, "text", tag=self._tag, view=session.views.shown.key)
            session.show(*session.outbox.hand_back(line, reason))

    def forget_lines(self) -> None:
        """Nothing that was handed back can be sent again."""
        with self._session.acting() as session:
            session.outbox.forget()

    # Rooms and members

    def go(self, room: str, secret: str | None) -> None:
        """Show a room: if it is not open, the one that roams is left for it, after the lines that
        are under way there, or it is opened.

        Without a secret, the one that was given for it before is used.
        """
        self._open(room, secret, self._session.moves.go)

    def join(self, room: str, secret: str | None) -> None:
        """As ``go``; a room that is not open is opened beside the others, and stays."""
        self._open(room, secret, self._session.moves.join)

    def _open(
        self, room: str, secret: str | None, move: Callable[[str, Tag], list[Event]]
    ) -> None:
        session = self._session
        try:
            wanted = check_room(room)
        except BadRoom:
            self.emit(refusals.error("bad_room"))
            return
        if secret is not None:
            session.secrets.give(wanted, secret)  # takes a moment: without the lock
        with session.acting():
            entrance = session.rooms.find(wanted)
            if secret is not None and entrance is not None and entrance.stay is not None:
                entrance.stay.encryption.resalt(session.secrets.salt(wanted))
                text = _("What is said in {room} is sealed with that secret from now on.")
                session.show(Notice(text.format(room=visible(wanted)), entrance.stay.name))
                session.moves.refresh()
                if session.views.shown.key == entrance.key:
                    session.show(*session.views.news())
                    return
            session.show(*map(self._tagged, move(wanted, self._tag)))
            self._seen = session.views.shown

    def leave(self, room: str | None) -> bool:
        """Close a room, or the view of a person (shown, or ``@`` and the nickname); whether that is
        to leave the chat: the last room, for the second time in a row."""
        with self._session.acting() as session:
            named = session.views.person(room[1:]) if room and room.startswith("@") else None
            view = session.views.shown if room is None else named
            entrance = session.rooms.find(session.room if room is None else room)
            if isinstance(view, PersonTarget):
                session.views.close(view)
                session.show(*session.views.news())
            elif entrance is None:
                text = _("The room {room} is not open.").format(room=visible(room or ""))
                session.show(self._tagged(Error("not_open", text)))
            elif session.moves.is_last(entrance):
                if self._is_sure:
                    return True
                self._is_asked = True
                text = _("{room} is the last room: the same again leaves the chat.")
                session.show(Notice(text.format(room=visible(entrance.name)), entrance.name))
            else:
                session.moves.leave(entrance, self._tag)
                session.remind_kept_back()  # that may be what it waits for
        self._seen = None
        return False

    def begin(self) -> None:
        """Another line is acted on: what the one before has asked is sure with this one only."""
        self._is_sure, self._is_asked = self._is_asked, False

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
            at = next((stay.at for stay in session.stays_here()), 0)
            ref = session.ask(partial(frames.Nick, at=at, nick=wanted), self._tag)
            if ref is not None:
                session.own.ask(ref, wanted)

    def who(self) -> None:
        """Say who is in the room."""
        with self._session.acting() as session:
            here = session.here
            if here is None:
                session.show(self._tagged(self._not_entered()))
            else:
                session.show(MemberList(here.name, here.views()))

    def _not_entered(self) -> Error:
        """Why nothing can be said of the room that is shown."""
        session = self._session
        if not session.rooms.live:
            return refusals.error("disconnected")
        text = _("The server has not led into {room} yet; try again in a moment.")
        return Error("not_entered", text.format(room=visible(session.room)), room=session.room)

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
            shown, here = session.views.shown, session.here
            if nick is None and isinstance(shown, PersonTarget):
                nick = shown.nick
            found = None if nick is None else self._find(nick)
            stay = here if found is None else found[0]
            told: list[Event]
            if confirm and nick is not None:
                told = session.verification.confirm(stay, nick)
                told += [each.trust_summary() for each in session.stays() if each is not stay]
                told += session.judge_people()
            elif stay is None:
                told = [self._not_entered()]
            else:
                told = session.verification.show(stay, nick)
            session.show(*map(self._tagged, told))

    def invite(self, with_token: bool = False) -> None:
        """Make a link into this room; where one is alone, with a new secret if it has none.

        ``with_token``: one that opens the server, too, for one person; it comes with the answer.
        """
        with self._session.acting() as session:
            here = session.here
        if here is None:
            self.emit(self._not_entered())
            return
        secret, salt = session.secrets.secret(here.name), b""
        if not secret:
            secret = safety_numbers.new_secret()
            salt = safety_numbers.secret_salt(secret, here.name)  # takes a moment: without the lock
        with session.acting():
            # Whoever has gone to another room meanwhile wants no new secret for this one.
            if not salt or (session.here and session.here.is_called(here.name)):
                session.show(*self._invitation(here.name, secret, salt, with_token))

    def _invitation(self, room: str, secret: str, salt: bytes, with_token: bool) -> list[Event]:
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
            session.moves.refresh()
            session.show(*session.views.news())
        if not with_token:
            return session.invitations.plain(room)
        ref = session.ask(frames.Mint, self._tag)
        if ref is not None:
            session.invitations.await_token(ref, room, session.outbox.requests)
        return []

    # For completion

    def nicks(self) -> list[str]:
        """Who is in any of one's rooms; first those in the one that is shown."""
        with self._session.acting() as session:
            found = [member.nick for stay in session.stays() for member in stay.members()]
            return list(dict.fromkeys(found))

    def open_rooms(self) -> list[str]:
        """The rooms that are open."""
        return self._session.rooms.names()

    def known_rooms(self) -> list[str]:
        """Rooms that this client has heard of."""
        return sorted({*self._session.rooms.names(), *self._session.known_rooms})
