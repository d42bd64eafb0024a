"""What this client knows: its room, its lines under way, and what to do about each frame.

Actions come from the input thread, frames from the reader thread; one lock covers all state.
Nothing here touches the network: frames to send are put into ``outgoing``, and ``on_outgoing``
says so.  Everything that is to be seen is emitted as an event, in order.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import i18n
from client import events, messages, refusals
from client.background import compute
from client.connection.deadlines import NOTHING, Awaited
from client.encryption import safety_numbers
from client.encryption.posts import OpenedPost
from client.encryption.room_encryption import RoomEncryption
from client.encryption.transcript import Pair
from client.encryption.trust import TrustWarning
from client.events import CodeView, MemberView
from client.outbox import MAX_IN_FLIGHT, Line, Outbox, Request, Switch
from client.own_name import OwnName
from i18n import _
from protocol import frames
from protocol.errors import BadNick, BadRoom, Gone, KeyUnusable, Malformed, Unexpected
from protocol.hosts import is_loopback
from protocol.invite import InviteLink
from protocol.keys import Identity
from protocol.limits import ROOM_MEMBERS
from protocol.names import check_nick, check_room, nick_key, room_key
from protocol.safe_text import carried, visible

HANDED_BACK = 100  # lines that were not sent, which can be sent again
CODES_AT_ONCE = 8  # of members, beside the room's own: each takes a tenth of a second
WAITING_LINES = 1000  # typed while nothing can be sent; one more has to wait its turn to be read

Emit = Callable[[events.Event], None]


@dataclass
class _Arrival:
    """``entered`` has come, and not yet the whole roster."""

    entered: frames.Entered
    lines: list[frames.MemberLine]


class Session:
    """One client's state; also ``client.commands.Actions`` for typed lines.

    ``address`` is what invite links say of the server; ``look_back`` shows what was recorded of
    a room: so many messages with a text in them.  None: nothing is recorded.  ``proxy`` is the
    host of the one that all goes through.
    """

    def __init__(
        self,
        identity: Identity,
        address: InviteLink,
        nick: str,
        room: str,
        emit: Emit,
        on_outgoing: Callable[[], None],
        on_quit: Callable[[], None],
        on_reconnect: Callable[[], None] = lambda: None,
        on_panic: Callable[[bool], None] = lambda _delete: None,
        look_back: Callable[[str, int, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        proxy: str | None = None,
    ) -> None:
        self._lock = threading.Lock()  # guards all below
        self._changed = threading.Condition(self._lock)
        self._address, self._own, self._room = address, OwnName(nick), room
        self._proxy = proxy
        self._shown_room = room
        self._emit, self._on_outgoing, self._on_quit = emit, on_outgoing, on_quit
        self._on_reconnect, self._on_panic, self._look_back = on_reconnect, on_panic, look_back
        self._sealing = RoomEncryption(identity)
        self._secrets: dict[str, tuple[str, bytes]] = {}  # key: room key; the secret, its salt
        self._outbox = Outbox()
        self._clock = clock
        self._switching = False
        self._asked = room  # what the last handshake asked for
        self._switching_to = ""
        self._arrival: _Arrival | None = None
        self._compared: dict[str, bytes] = {}  # key: nick key; whose code was shown, for `ok`
        self._computing = False
        self._last_ref = 0
        self._last_line = 0
        self._handed_back: deque[Line] = deque(maxlen=HANDED_BACK)
        self._ignored: dict[str, str] = {}  # key: nick key; the nickname as it was typed
        self._awaited = 0  # the number in the log of what was accepted last
        self._log: bytes | None = None
        self._seq = 0
        self._number = 0
        self._id = 0
        self._live = False
        self._heard_rooms: tuple[str, ...] = ()
        self.outgoing: deque[bytes] = deque()
        self.refused = 0  # lines handed back

    # What the connection asks and tells

    @property
    def nick(self) -> str:
        """The nickname as granted, or as wanted."""
        return self._own.nick

    @property
    def room(self) -> str:
        """The room that is shown."""
        return self._shown_room

    def room_to_join(self) -> str:
        """What a handshake asks for: the room that is shown.  Another one is not entered."""
        with self._lock:
            self._asked = self._shown_room
            return self._asked

    def resume_point(self) -> tuple[bytes, int, int] | None:
        """Log id, last number, last number for oneself alone; None before the first room."""
        with self._lock:
            return None if self._log is None else (self._log, self._seq, self._number)

    def seen(self, answer: bool = False) -> bytes:
        """The heartbeat frame, encoded; with ``answer`` the server's is asked for."""
        with self._lock:
            return frames.Seen(self._seq, self._number, answer or None).encode()

    def welcome(self, welcome: frames.Welcome, wanted: str | None = None) -> None:
        """The server has let this client in, who asked to be ``wanted``.

        Raises Misnamed for another nickname than that.
        """
        with self._lock:
            self._sealing.most = welcome.max_message_size
            self._own.granted(welcome.nick, wanted)

    def lose(self) -> None:
        """The connection is gone: nothing can be sent until there is another."""
        with self._lock:
            self._live = False
            self._arrival = None
            self.outgoing.clear()

    def receive(self, frame: frames.Frame) -> None:
        """Take one frame of the server's.  Raises ChatError for what no server may send."""
        with self._lock:
            self._receive_locked(frame)
            self._advance_locked()
            self._changed.notify_all()
        self._on_outgoing()

    def paused_until(self) -> float | None:
        """When ``go_on`` has something to do, by the clock; None if nothing waits for that."""
        with self._lock:
            return self._outbox.paused_until(self._clock()) if self._live else None

    def go_on(self) -> None:
        """Seal the lines whose pause is over."""
        with self._lock:
            self._advance_locked()
        self._on_outgoing()

    def awaited(self) -> Awaited:
        """What the server owes: the way into a room, an answer, or a line's place in the log."""
        with self._lock:
            if self._arrival is not None or not self._live:
                return Awaited("room", len(self._arrival.lines) if self._arrival else 0)
            oldest = self._outbox.unanswered()
            if oldest is not None:
                return Awaited("answer", oldest)
            placed = not self._outbox.unplaced and self._seq >= self._awaited
            return NOTHING if placed else Awaited("place", self._seq)

    def wait_answered(self, seconds: float) -> bool:
        """Whether each line was accepted or refused, each command answered, within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(self._answered_locked, seconds)

    def _answered_locked(self) -> bool:
        return self._outbox.empty and not self._computing and self._seq >= self._awaited

    def wait_capacity(self, seconds: float) -> bool:
        """Whether another line can be taken within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self._outbox.queued) < WAITING_LINES, seconds
            )

    def give_up(self, reason: str) -> int:
        """Hand back what no server has acknowledged; how many lines that were."""
        with self._lock:
            self._conclude_answered_locked(everything=True)
            lines = self._outbox.give_up(unplaced=True)
            for line in lines:
                self._hand_back_locked(line, reason if line.seq is None else "timed_out")
            return len(lines)

    # Actions, from the input thread

    def say(self, text: str, kind: str = "text") -> None:
        """Post to the room that is shown."""
        with self._lock:
            guarded = self._sealing.all_verified()
            self._enqueue_locked(Line(self._shown_room, text, kind, guarded))
        self._on_outgoing()

    def private(self, nick: str, text: str) -> None:
        """Post to one member: to whoever bears the nickname now, and to nobody else later."""
        with self._lock:
            self._to_member_locked(Line(self._shown_room, text, "text", False, nick))
        self._on_outgoing()

    def _to_member_locked(self, line: Line) -> None:
        """For whoever bears the nickname now, unless the line was somebody else's already."""
        found = self._find_locked(line.to or "")
        if found is None or found.id == self._id or not _is_meant(line, found):
            self._hand_back_locked(line, "gone")
            return
        line.to, line.target = found.nick, (found.id, found.bundle.fingerprint)
        line.guarded = self._sealing.is_verified(found.bundle.fingerprint)
        self._enqueue_locked(line)

    def resend(self) -> None:
        """Send again what was handed back last in the room that is shown."""
        with self._lock:
            room = room_key(self._shown_room)
            here = [line for line in self._handed_back if room_key(line.room) == room]
            if not here:
                self._emit(events.Notice(_("There is no line here that was not sent.")))
                return
            back = here[-1]
            self._handed_back.remove(back)
            guarded = self._sealing.all_verified()
            line = Line(
                back.room, back.text, back.kind, guarded, back.to, back.target, number=back.number
            )
            if line.to is None:
                self._enqueue_locked(line)
            else:
                self._to_member_locked(line)
        self._on_outgoing()

    def ignore(self, nick: str | None) -> None:
        """Show nothing more that this nickname says; without one, say who is ignored."""
        with self._lock:
            if nick is not None:
                self._ignored[nick_key(nick)] = visible(nick)
            if self._ignored:
                text = _("Ignored: {nicks}.").format(nicks=", ".join(self._ignored.values()))
            else:
                text = _("Nobody is ignored.")
            self._emit(events.Notice(text))

    def unignore(self, nick: str) -> None:
        """Show again what this nickname says from now on."""
        with self._lock:
            found = self._ignored.pop(nick_key(nick), None)
            if found is None:
                text = _("{nick} is not ignored.")
            else:
                text = _("{nick} is not ignored any more.")
            self._emit(events.Notice(text.format(nick=visible(nick))))

    def refuse(self, text: str, reason: str) -> None:
        """Hand a line back that cannot be sent as it is."""
        with self._lock:
            self._hand_back_locked(Line(self._shown_room, text, "text", False), reason)

    def rename(self, nick: str) -> None:
        """Ask for another nickname."""
        try:
            wanted = check_nick(nick)
        except BadNick:
            self._error("bad_nick")
            return
        with self._lock:
            ref = self._request_locked("nick", lambda ref: frames.Nick(ref, wanted))
            if ref is not None:
                self._own.ask(ref, wanted)
        self._on_outgoing()

    def switch(self, room: str, secret: str | None) -> None:
        """Go to another room, after the lines that are under way."""
        try:
            wanted = check_room(room)
        except BadRoom:
            self._error("bad_room")
            return
        if secret is not None:
            self.set_secret(wanted, secret)
        with self._lock:
            if room_key(wanted) == room_key(self._shown_room):
                self._emit(events.Notice(_("You are in this room already.")))
                return
            self._outbox.queued.append(Switch(wanted))
            self._shown_room = wanted
            self._advance_locked()
        self._on_outgoing()

    def set_secret(self, room: str, secret: str, salt: bytes | None = None) -> None:
        """From the next time that ``room`` is entered, its messages need ``secret``.

        Takes a moment (scrypt), without the lock, unless its ``secret_salt`` is there.
        """
        salt = safety_numbers.secret_salt(secret, room) if salt is None else salt
        with self._lock:
            self._secrets[room_key(room)] = (secret, salt)

    def rooms(self) -> None:
        """Ask which rooms there are."""
        with self._lock:
            self._request_locked("rooms", frames.ListRooms)
        self._on_outgoing()

    def who(self) -> None:
        """Say who is in the room."""
        with self._lock:
            if self._log is None:  # in no room yet
                self._error_locked("disconnected")
                return
            self._emit(events.MemberList(self._room, self._views_locked()))

    def verify(self, nick: str | None, confirm: bool) -> None:
        """Show the digits to compare, or take it that they were equal."""
        with self._lock:
            if confirm and nick is not None:
                self._confirm_locked(nick)
                return
            if self._computing:
                return  # the answer is on its way
            try:
                pairs = self._sealing.code_pairs()
                shown = self._others_locked() if nick is None else [self._named_locked(nick)]
                wanted = [
                    (member, self._sealing.code_pairs(member.nick))
                    for member in shown
                    if nick is not None or len(shown) <= CODES_AT_ONCE
                ]
            except Gone:
                self._emit(events.Error("gone", messages.refusal("gone")))
                return
            self._computing = True
            room = self._room
        # scrypt takes a tenth of a second: neither the typing nor the drawing waits for it.
        compute(lambda: self._compute_codes(room, pairs, wanted, shown), name="scrypt")

    def invite(self) -> None:
        """Make a link into this room; where one is alone, with a new secret if it has none."""
        with self._lock:
            if self._log is None:  # in no room yet
                self._error_locked("disconnected")
                return
            room = self._room
            secret = self._secrets.get(room_key(room), ("", b""))[0]
        if not secret:
            secret = safety_numbers.new_secret()
            salt = safety_numbers.secret_salt(secret, room)  # takes a moment: without the lock
            with self._lock:
                if room_key(self._room) != room_key(room):
                    return
                if not self._sealing.guard(salt):
                    text = _(
                        "This room has no secret, and others are here: agree on one, and let "
                        "everybody go to a new room with /room NAME SECRET."
                    )
                    self._emit(events.Notice(text))
                    return
                self._secrets[room_key(room)] = (secret, salt)
        with self._lock:
            self._emit(events.Invite(replace(self._address, room=room, secret=secret).link()))
            if is_loopback(self._address.host):
                text = _("The link names this machine: from another one, use its address instead.")
                self._emit(events.Notice(text))

    def language(self, code: str) -> None:
        """Speak another language from now on."""
        wanted = i18n.match(code)
        if wanted is None or wanted not in i18n.available():
            known = ", ".join(f"{each} {i18n.LANGUAGES[each]}" for each in i18n.available())
            text = _("The languages are: {languages}.").format(languages=known)
            self.emit(events.Error("bad_language", text))
            return
        i18n.use(wanted)
        text = _("The language is {language} now.").format(language=i18n.LANGUAGES[wanted])
        self.emit(events.Notice(text))

    def history(self, count: int, text: str) -> None:
        """Show what was recorded of the room that is shown."""
        if self._look_back is None:
            self.emit(events.Error("no_history", messages.history("off")))
        else:
            self._look_back(self._shown_room, count, text)

    def clear(self) -> None:
        """Forget what was shown."""
        with self._lock:
            self._handed_back.clear()
            self._emit(events.Cleared())

    def reconnect(self) -> None:
        """Try now to get a connection, also beside one that seems to be well."""
        with self._lock:
            if self._live:
                text = _("Trying another connection; the one that there is stays until then.")
                self._emit(events.Notice(text))
        self._on_reconnect()

    def panic(self, delete: bool) -> None:
        """Forget everything and leave.  Without the lock: somebody may wait while holding it."""
        self._on_panic(delete)

    def quit(self) -> None:
        """Leave."""
        self._on_quit()

    def emit(self, event: events.Event) -> None:
        """Show an event in its place among the others."""
        with self._lock:
            self._emit(event)

    def _ignores_locked(self, sender: int, nick: str) -> bool:
        """Whether ``sender`` is ignored, under the present name or the one it signed with."""
        if not self._ignored:
            return False
        member = self._member_locked(sender)
        return nick_key(nick if member is None else member.nick) in self._ignored

    # Lines: the lock is held

    def _enqueue_locked(self, line: Line) -> None:
        if self._is_too_long_locked(line):
            self._hand_back_locked(line, "too_long")
        elif len(self._outbox.queued) >= WAITING_LINES:
            self._hand_back_locked(line, "disconnected")
        else:
            self._outbox.add(line)
            self._number_locked(line)
            self._emit(events.Sending(line.number, line.room, line.text, line.kind, line.to))
            self._advance_locked()

    def _is_too_long_locked(self, line: Line) -> bool:
        most = self._sealing.most
        # As it will be sent: a control takes a byte, and its picture three.
        return most is not None and len(carried(line.text).encode()) > most

    def _number_locked(self, line: Line) -> None:
        if line.number == 0:
            self._last_line += 1
            line.number = self._last_line

    def _advance_locked(self) -> None:
        """Seal and send what can be: lines in order, a switch when all before it is answered.

        What is under way was all sealed for one membership. If it is refused as stale, nothing
        that was said later has passed it by.
        """
        waiting = self._outbox.queued
        while self._live and waiting and not self._switching:
            head = waiting[0]
            if isinstance(head, Switch):
                if self._outbox.in_flight:
                    return
                waiting.popleft()
                if room_key(head.room) == room_key(self._room):
                    continue  # the way in led there, or the way out was refused
                self._switching, self._switching_to = True, head.room
                self._request_locked("switch", lambda ref, to=head.room: frames.Enter(ref, to))  # type: ignore[misc]
            elif len(self._outbox.in_flight) >= MAX_IN_FLIGHT:
                return
            elif self._outbox.behind(self._sealing.change):
                return
            elif self._outbox.paused_until(self._clock()) is not None:
                return
            else:
                waiting.popleft()
                self._seal_locked(head)

    def _seal_locked(self, line: Line) -> None:
        reason = self._why_not_locked(line)
        if reason is not None:
            self._hand_back_locked(line, reason)
            return
        try:
            text = carried(line.text)
            if line.target is None:
                sealed = self._sealing.seal(line.kind, text, line.post_id)
            else:
                sealed = self._sealing.seal_private(*line.target, line.kind, text, line.post_id)
        except (Gone, KeyUnusable):
            self._hand_back_locked(line, "gone")
            return
        except Malformed:
            self._hand_back_locked(line, "not_text")
            return
        self._warn_locked(sealed.warnings)
        line.seal(self._next_ref_locked(), sealed)
        self._outbox.in_flight[line.ref] = line
        self.outgoing.extend(line.encoded)

    def _why_not_locked(self, line: Line) -> str | None:
        """Why ``line`` is not to be sealed now, though it was wanted when it was typed."""
        if room_key(line.room) != room_key(self._room):
            return "left_room"
        if self._is_too_long_locked(line):
            return "too_long"
        verified = (
            self._sealing.all_verified()
            if line.target is None
            else self._sealing.is_verified(line.target[1])
        )
        return "unverified" if line.guarded and not verified else None

    def _hand_back_locked(
        self, line: Line, reason: str, retry_after: float | None = None
    ) -> None:
        self.refused += 1
        self._number_locked(line)
        self._handed_back.append(line)
        self._emit(events.Settled(line.number))
        self._emit(events.NotSent(line.room, line.text, reason, retry_after))

    def _request_locked(self, kind: str, make: Callable[[int], frames.Frame]) -> int | None:
        """The ``ref`` under which the server was asked; None if there is none to ask."""
        if not self._live:
            self._error_locked("disconnected")
            return None
        ref = self._next_ref_locked()
        request = Request(kind, make(ref).encode())
        self._outbox.requests[ref] = request
        self.outgoing.append(request.encoded)
        return ref

    def _next_ref_locked(self) -> int:
        self._last_ref += 1
        return self._last_ref

    # Frames: the lock is held

    def _receive_locked(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.Log):
            self._on_log_locked(frame)
        elif isinstance(frame, frames.Accepted):
            self._on_accepted_locked(frame)
        elif isinstance(frame, frames.Refused):
            self._on_refused_locked(frame)
        elif isinstance(frame, frames.KeyFor):
            self._number = frame.number
            self._warn_locked(self._sealing.add_wrap(frame.sender, frame.wrap))
        elif isinstance(frame, frames.PrivateFor):
            self._on_private_locked(frame)
        elif isinstance(frame, frames.Entered):
            self._on_entered_locked(frame)
        elif isinstance(frame, frames.Roster):
            self._on_roster_locked(frame)
        elif isinstance(frame, frames.RoomLines):
            self._outbox.requests.pop(frame.ref, None)
            self._heard_rooms = tuple(line.room for line in frame.rooms)
            listed = tuple(events.RoomView(line.room, line.count) for line in frame.rooms)
            self._emit(events.RoomList(listed))
        elif isinstance(frame, frames.Wait):
            self._emit(events.Notice(messages.crowded(frame.seconds)))
        elif isinstance(frame, frames.Announcement):
            self._emit(events.Notice(messages.announced(frame.text)))
        elif not isinstance(frame, frames.Seen):
            raise Unexpected()

    def _on_entered_locked(self, entered: frames.Entered) -> None:
        if self._arrival is not None or not self._expected_locked(entered):
            raise Unexpected()
        if not entered.resumed:
            self._arrival = _Arrival(entered, [])
            return
        self._live = True
        self.outgoing.extend(self._outbox.again())
        self._emit(events.Reconnected(True))

    def _expected_locked(self, entered: frames.Entered) -> bool:
        """Whether it was asked for, or is this very stay going on.

        Where a server leads people elsewhere, their room's secret would not count, and what
        they type would reach whoever it puts there.
        """
        same = entered.log == self._log and entered.id == self._id
        if entered.resumed:
            return same and not self._live
        if not 1 <= entered.members <= ROOM_MEMBERS:
            return False
        wanted = self._asked
        if self._live and entered.ref is None:  # it has fallen behind
            if not same:
                return False
            wanted = self._room
        elif entered.ref is not None:
            request = self._outbox.requests.get(entered.ref)
            if not self._live or request is None or request.kind != "switch":
                return False
            wanted = self._switching_to
        return room_key(entered.room) == room_key(wanted)

    def _on_roster_locked(self, roster: frames.Roster) -> None:
        arrival = self._arrival
        if arrival is None:
            raise Unexpected()
        arrival.lines.extend(roster.members)
        if len(arrival.lines) > arrival.entered.members:
            raise Unexpected()
        if len(arrival.lines) == arrival.entered.members:
            self._arrival = None
            self._arrive_locked(arrival.entered, arrival.lines)

    def _arrive_locked(
        self, entered: frames.Entered, lines: list[frames.MemberLine]
    ) -> None:
        """A new stay in a room: at first, after `/room`, anew after a loss or falling behind."""
        first, returning = self._log is None, not self._live
        missed = self._missed_locked(entered) if returning else entered.missed
        switched = entered.ref is not None and self._answer_locked(entered.ref) == "switch"
        self._settle_locked(returning and not first)
        self._log, self._id = entered.log, entered.id
        self._seq, self._number, self._awaited = entered.seq, 0, 0
        self._room = entered.room
        if switched or first or returning:
            self._switching = False
        if returning and room_key(self._shown_room) != room_key(self._asked):
            # Another one was wanted while this one was being entered.
            if not first:  # or it still waits, among the lines before and after it
                self._outbox.queued.append(Switch(self._shown_room))
        elif returning:
            self._shown_room = entered.room
        self._live = True
        salt = self._secrets.get(room_key(entered.room), ("", b""))[1]
        warnings = self._sealing.enter(
            entered.room, entered.log, entered.id, lines, entered.seq, salt
        )
        warnings += self._take_own_nick_locked(returning)
        self._tell_trust_locked()
        views = self._views_locked()
        if first:
            server, proxy = self._address.server, self._proxy
            self._emit(events.Connected(server, self._own.nick, entered.room, views, proxy))
        else:
            if returning:
                self._emit(events.Reconnected(False))
            if missed != 0:
                self._emit(events.Missed(entered.room, missed))
            self._emit(events.RoomEntered(entered.room, views))
        self._warn_locked(warnings)

    def _missed_locked(self, entered: frames.Entered) -> int | None:
        """How many entries of its log a new join comes after; None where it is another log."""
        if room_key(entered.room) != room_key(self._room):
            return 0  # on the way to another room
        if entered.log != self._log:
            return None
        return max(0, entered.seq - self._seq - 2)  # one's own leaving and coming are not news

    def _take_own_nick_locked(self, returning: bool) -> list[TrustWarning]:
        """One's nickname as the roster has it: posts are signed with that one.

        It may have changed unseen only while one was here: on the way to another room.
        """
        own, before = self._member_locked(self._id), self._own.nick
        if own is None or not own.nick or nick_key(own.nick) == nick_key(before):
            return []
        wanted = self._own.renamed(own.nick)
        if returning:
            return [TrustWarning("bad_roster", self._own.nick)]
        self._emit(events.MemberRenamed(self._room, before, self._own.nick))
        return [] if wanted else [TrustWarning("renamed", self._own.nick)]

    def _settle_locked(self, returning: bool) -> None:
        """What was accepted is shown; on a new connection, what was not is handed back."""
        for line in self._outbox.answered.values():
            self._conclude_locked(line)
        self._outbox.answered.clear()
        if returning:
            for line in self._outbox.give_up():
                self._hand_back_locked(line, "disconnected")
            for request in self._outbox.requests.values():
                if request.kind != "switch":  # that one shows by the room that was entered
                    self._error_locked("disconnected")
            self._outbox.requests.clear()
            self._own.forget()

    def _answer_locked(self, ref: int) -> str:
        """The kind of the request that has been answered; empty if there is none."""
        request = self._outbox.requests.pop(ref, None)
        return "" if request is None else request.kind

    def _on_accepted_locked(self, accepted: frames.Accepted) -> None:
        line = self._outbox.in_flight.pop(accepted.ref, None)
        if line is None:
            self._on_done_locked(accepted)
            return
        if line.target is None:
            line.seq = accepted.seq
        if line.seq is not None and line.seq <= self._seq:
            # Fallen behind meanwhile, past its place in the log: nothing more will come of it.
            self._show_own_locked(line)
            return
        self._outbox.answered[accepted.ref] = line
        self._conclude_answered_locked()

    def _on_done_locked(self, accepted: frames.Accepted) -> None:
        """A request was accepted: what it has changed is in the log, or comes as `entered`."""
        request = self._outbox.requests.get(accepted.ref)
        if request is not None and request.kind != "switch":
            del self._outbox.requests[accepted.ref]
            self._awaited = accepted.seq or 0
            if accepted.seq is None:  # it changes nothing
                self._own.refused(accepted.ref)

    def _on_refused_locked(self, refused: frames.Refused) -> None:
        ref = refused.ref
        line = self._outbox.in_flight.pop(ref, None) if ref is not None else None
        if line is not None:
            # Stale: the membership moved on meanwhile, so it is sealed anew.
            if refused.code == "stale" and self._outbox.put_back(line, self._clock()):
                return
            line.refusal = refused.code, refused.retry_after
            self._outbox.answered[line.ref] = line
            self._conclude_answered_locked()
            return
        if ref is not None:
            self._own.refused(ref)
            if self._answer_locked(ref) == "switch":
                self._switching = False
                self._shown_room = self._room
        text = messages.refusal(refused.code, refusals.params(refused))
        self._emit(events.Error(refused.code, text))

    def _on_private_locked(self, post: frames.PrivateFor) -> None:
        self._number = post.number
        opened, warnings = self._sealing.open_private(
            post.sender, post.change, post.wrap, post.box
        )
        if opened is not None and self._ignores_locked(post.sender, opened.nick):
            pass
        elif isinstance(opened, OpenedPost):
            self._emit(
                events.Message(
                    self._room, opened.nick, opened.text, None, False, True, opened.verified,
                    opened.kind, self._own.nick,
                )  # fmt: skip
            )
        elif opened is not None:
            self._emit(events.Unreadable(self._room, opened.nick, None, opened.reason))
        self._warn_locked(warnings)

    def _on_log_locked(self, log: frames.Log) -> None:
        if self._arrival is not None or self._log is None:
            raise Unexpected()
        for entry in log.entries:
            self._on_entry_locked(entry)
        self._seq = max(self._seq, log.to)

    def _on_entry_locked(self, entry: frames.Frame) -> None:
        if isinstance(entry, frames.Posted):
            self._on_posted_locked(entry)
        elif isinstance(entry, frames.OwnPosted):
            self._on_own_locked(entry)
        elif isinstance(entry, (frames.Joined, frames.Left, frames.Renamed)):
            self._on_change_locked(entry)
        elif isinstance(entry, frames.Rejoined):
            self._warn_locked(self._sealing.rejoined(entry.seq, entry.id))

    def _on_change_locked(self, entry: frames.Joined | frames.Left | frames.Renamed) -> None:
        """Somebody comes, goes or is renamed; what cannot be is warned of, and is not shown."""
        member = entry.member.id if isinstance(entry, frames.Joined) else entry.id
        before = self._member_locked(member)
        if isinstance(entry, frames.Joined):
            warnings = self._sealing.joined(entry.seq, entry.member)
        elif isinstance(entry, frames.Left):
            warnings = self._sealing.left(entry.seq, entry.id)
        else:
            nick = self._own.checked(entry.nick) if member == self._id else entry.nick
            warnings = self._sealing.renamed(entry.seq, member, nick)
        after = self._member_locked(member)
        self._warn_locked(warnings)
        if before is None and after is not None:
            self._emit(events.MemberJoined(self._room, after.nick))
        elif before is not None and after is None:
            self._emit(events.MemberLeft(self._room, before.nick))
        elif before is not None and after is not None and before.nick != after.nick:
            unasked = member == self._id and not self._own.renamed(after.nick)
            ignored = self._ignored.pop(nick_key(before.nick), None)
            if ignored is not None:
                self._ignored[nick_key(after.nick)] = after.nick
            self._emit(events.MemberRenamed(self._room, before.nick, after.nick))
            self._warn_locked([TrustWarning("renamed", after.nick)] if unasked else [])
        self._tell_trust_locked()

    def _on_posted_locked(self, post: frames.Posted) -> None:
        opened, warnings = self._sealing.open(post.seq, post.sender, post.change, post.box)
        if self._ignores_locked(post.sender, opened.nick):
            pass
        elif isinstance(opened, OpenedPost):
            self._emit(
                events.Message(
                    self._room, opened.nick, opened.text, post.seq, False, False,
                    opened.verified, opened.kind,
                )  # fmt: skip
            )
        else:
            self._emit(events.Unreadable(self._room, opened.nick, post.seq, opened.reason))
        self._warn_locked(warnings)

    def _on_own_locked(self, own: frames.OwnPosted) -> None:
        line = self._outbox.in_flight.pop(own.ref, None) or self._outbox.answered.pop(own.ref, None)
        if line is None:
            return  # shown already, when the answer came before a new stay
        if line.target is not None or line.refusal is not None:  # neither is in any log
            raise Unexpected()
        self._sealing.own(own.seq, line.change, line.signature)
        line.seq = own.seq
        self._show_own_locked(line)
        self._conclude_answered_locked()

    def _conclude_answered_locked(self, everything: bool = False) -> None:
        """What was answered outside the log, and waited only for lines written before it.

        With ``everything`` it waits no longer: there is no more to come of the log.
        """
        for ref, line in list(self._outbox.answered.items()):
            in_log = line.target is None and line.refusal is None
            if not in_log:
                self._conclude_locked(self._outbox.answered.pop(ref))
            elif not everything:
                break

    def _conclude_locked(self, line: Line) -> None:
        if line.refusal is None:
            self._show_own_locked(line)
        else:
            self._hand_back_locked(line, *line.refusal)

    def _show_own_locked(self, line: Line) -> None:
        private = line.target is not None
        self._emit(events.Settled(line.number))
        self._emit(
            events.Message(
                line.room, self._own.nick, carried(line.text), line.seq, True, private, True,
                line.kind, line.to,
            )  # fmt: skip
        )

    # Members and codes

    def _views_locked(self) -> tuple[MemberView, ...]:
        members = sorted(self._members_locked(), key=lambda member: nick_key(member.nick))
        return tuple(
            MemberView(member.nick, self._sealing.is_verified(member.bundle.fingerprint))
            for member in members
        )

    def _tell_trust_locked(self) -> None:
        others = [member for member in self._members_locked() if member.id != self._id]
        verified = sum(self._sealing.is_verified(one.bundle.fingerprint) for one in others)
        self._emit(events.TrustSummary(len(others), verified))

    def _members_locked(self) -> tuple[frames.MemberLine, ...]:
        return self._sealing.members()

    def _others_locked(self) -> list[frames.MemberLine]:
        return [member for member in self._members_locked() if member.id != self._id]

    def _find_locked(self, nick: str) -> frames.MemberLine | None:
        try:
            return self._sealing.find(nick)
        except Gone:
            return None

    def _named_locked(self, nick: str) -> frames.MemberLine:
        found = self._find_locked(nick)
        if found is None or found.id == self._id:
            raise Gone()
        return found

    def _member_locked(self, member: int) -> frames.MemberLine | None:
        return next((line for line in self._members_locked() if line.id == member), None)

    def _confirm_locked(self, nick: str) -> None:
        """`/verify NICK ok`: what counts is whose code was shown, not who has the name now."""
        shown = self._compared.get(nick_key(nick))
        found = self._find_locked(nick)
        try:
            if shown is None or found is None:
                raise Gone()
            self._sealing.verify(nick, shown)
        except Gone:
            text = _("First compare the digits that /verify {nick} shows.").format(nick=nick)
            self._emit(events.Error("not_compared", text))
            return
        self._emit(events.NickVerified(found.nick))
        self._tell_trust_locked()

    def _compute_codes(
        self,
        room: str,
        pairs: tuple[Pair, ...],
        wanted: list[tuple[frames.MemberLine, tuple[Pair, ...]]],
        shown: list[frames.MemberLine],
    ) -> None:
        room_code = safety_numbers.room_code(room, pairs)
        views = [(member, safety_numbers.room_code(room, two)) for member, two in wanted]
        with self._lock:
            self._computing = False
            for member in shown:  # the room's code covers them all
                self._compared[nick_key(member.nick)] = member.bundle.fingerprint
            found = tuple(
                CodeView(
                    member.nick, code, self._sealing.is_verified(member.bundle.fingerprint)
                )
                for member, code in views
            )
            self._emit(events.Verification(room, room_code, found))
            self._changed.notify_all()

    def _warn_locked(self, warnings: Iterable[TrustWarning]) -> None:
        for warning in warnings:
            text = messages.warning(warning.code, warning.nick, warning.loud)
            found = None if warning.nick is None else self._find_locked(warning.nick)
            verified = found is not None and self._sealing.is_verified(found.bundle.fingerprint)
            self._emit(
                events.Warning(warning.code, warning.nick, text, warning.loud or verified)
            )

    def _error(self, code: str) -> None:
        with self._lock:
            self._error_locked(code)

    def _error_locked(self, code: str) -> None:
        self._emit(events.Error(code, messages.refusal(code)))

    def known_rooms(self) -> list[str]:
        """Rooms that this client has heard of, for completion."""
        with self._lock:
            return sorted({self._room, *self._heard_rooms})

    def nicks(self) -> list[str]:
        """Who is in the room, for completion."""
        with self._lock:
            return [member.nick for member in self._members_locked()]


def _is_meant(line: Line, member: frames.MemberLine) -> bool:
    """Whether ``member`` has the keys that ``line`` was for, if it was for any yet."""
    return line.target is None or line.target[1] == member.bundle.fingerprint
