"""What this client knows, what to do about each frame, and what can go out.

Frames come from the reader thread, a person's deeds (``local_user``) from the input thread; one
lock covers all state, which has an owner for each noun: the ``outbox``, the ``rooms`` that are open
and the ``moves`` between them, the ``views`` of them, ``verification``.  Nothing here touches the
network: frames to send are put into ``outgoing``, and ``on_outgoing`` says so.  Everything that is
to be seen is emitted as an event, in order, into queues that take it at once.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from client import events, messages, refusals
from client.connection.deadlines import NOTHING, Awaited
from client.encryption.encryption import Encryption
from client.encryption.trust import Memory
from client.entrance import Arrival, Entrance, Place
from client.ignored import Ignored
from client.invitations import Invitations
from client.open_room import NotSealed, OpenRoom
from client.open_rooms import OpenRooms
from client.outbox import Line, Outbox
from client.own_name import OwnName
from client.room_moves import RoomMoves
from client.room_secrets import RoomSecrets
from client.verification import Verifier
from client.view_list import ViewList
from client.views import room_target
from protocol import frames
from protocol.errors import Unexpected
from protocol.invite import InviteLink
from protocol.keys import Identity

Emit = Callable[[events.Event], None]


class ClientSession:
    """One client's state.

    ``room`` is the first room, ``others`` are those that are opened beside it; ``roams``: `/room`
    goes somewhere else from the first one.  ``address`` is what invite links say of the server;
    ``proxy`` is the host of the one that all goes through; ``memory`` is what lasts of whom this
    client knows.
    """

    def __init__(
        self,
        identity: Identity,
        address: InviteLink,
        nick: str,
        room: str,
        emit: Emit,
        on_outgoing: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        proxy: str | None = None,
        memory: Memory | None = None,
        others: Sequence[str] = (),
        roams: bool = True,
    ) -> None:
        self._lock = threading.Lock()  # guards all below
        self._changed = threading.Condition(self._lock)
        self._emit, self._on_outgoing, self._proxy = emit, on_outgoing, proxy
        self.address = address
        self.own = OwnName(nick)
        self.outbox = Outbox(self.own, clock)
        self.outgoing = self.outbox.outgoing
        self.encryption = Encryption(identity, memory)
        self.secrets = RoomSecrets()
        self.invitations = Invitations(address, self.secrets)
        self.ignored = Ignored()
        self.rooms = OpenRooms([room, *others], roams)
        self.views = ViewList(room)
        self.moves = RoomMoves(self.rooms, self.outbox, self.views, self.secrets, clock)
        self.verification = Verifier(emit, self._changed)
        self._connected = self._returned = False  # was it told: ever, and on this connection
        self._resumed = False  # the session of this connection is the one of the last
        self._kept_back = 0  # lines, as was said last
        self._waiting = 0  # threads, for something to change
        self.known_rooms: tuple[str, ...] = ()  # by what the server has listed

    @property
    def nick(self) -> str:
        """The nickname as granted, or as wanted."""
        return self.own.nick

    @property
    def room(self) -> str:
        """The room that is shown, or was shown last."""
        return self.views.room.room

    @property
    def joined(self) -> bool:
        """Whether a room was ever entered."""
        return self._connected

    @property
    def here(self) -> OpenRoom | None:
        """The stay in the room that is shown, or was shown last; None before the first there."""
        entrance = self.rooms.by_key(self.views.room.key)
        return None if entrance is None else entrance.stay

    # What whoever changes something needs

    @contextmanager
    def acting(self) -> Iterator[ClientSession]:
        """Hold the lock; afterwards what can go out by now is sealed and sent."""
        with self._lock:
            yield self
            self._advance()
            if self._waiting:
                self._changed.notify_all()
        self._on_outgoing()

    def show(self, *shown: events.Event) -> None:
        """Emit events in their place among the others.  The lock is held."""
        for event in shown:
            self._emit(event)

    def emit(self, event: events.Event) -> None:
        """Show an event that has to do with nothing here."""
        with self._lock:
            self._emit(event)

    def ask(
        self, make: Callable[[int], frames.Request], tag: events.Tag = None
    ) -> int | None:
        """The ``ref`` under which the server was asked; None, and told, if there is none to ask.

        The lock is held.
        """
        if not self.rooms.live:
            self.show(refusals.error("disconnected", tag))
            return None
        return self.outbox.ask(make, tag)

    def stays(self) -> list[OpenRoom]:
        """Where one is, or was when the connection was lost: first the room that is shown."""
        here = self.here
        found = [each.stay for each in self.rooms if each.stay is not None]
        return sorted(found, key=lambda stay: stay is not here)

    def stays_here(self) -> list[OpenRoom]:
        """Those of them in which lines can be sent."""
        here = [each.here for each in self.rooms]
        return [stay for stay in self.stays() if stay in here]

    def _say_kept_back(self) -> None:
        """Whenever the number of lines changes that the server's limit keeps back."""
        count, seconds = self.outbox.kept_back() if self.rooms.live else (0, 0.0)
        if count != self._kept_back and seconds < math.inf:
            self._kept_back = count
            self._emit(events.LinesWaiting(count, round(seconds, 1)))

    def remind_kept_back(self) -> None:
        """Say once more how many lines that limit keeps back, if any; the lock is held."""
        if self._kept_back:
            self._kept_back = -1

    def _advance(self) -> None:
        if self.rooms.live and not self.rooms.settled:
            self.moves.enter_open()
        if self.outbox.waits:
            while any(map(self._send_head, self.outbox.heads())):
                pass
        if self.outbox.waits or self._kept_back:
            self._say_kept_back()

    def _send_head(self, head: Any) -> bool:
        """Whether what is next of a view has gone, be it back to whoever typed it."""
        if not isinstance(head, Line):
            found = self.moves.depart(head)
            self.show(*found or ())
            return found is not None
        if head.target is None and self.rooms.by_key(head.view) is None:
            self.outbox.take(head)
            self.show(*self.outbox.hand_back(head, "left_room"))
            return True
        stay = self._way(head)
        if stay is None or not self.outbox.may_go(head, stay.at, stay.encryption.change):
            return False
        self.outbox.take(head)
        try:
            sealed = stay.seal(head)
        except NotSealed as why:
            self.show(*self.outbox.hand_back(head, why.reason))
            return True
        head.room = stay.name
        self.show(*stay.told(sealed.warnings))
        self.outbox.send(head, stay.at, sealed)
        return True

    def _way(self, line: Line) -> OpenRoom | None:
        """The stay that ``line`` goes through: of one for a member, one where that member is; that
        of the line before, if it can be, since two rooms keep no order between them.

        One that was to go under the secret of a room goes under none but such a one: a server
        decides who is in which room.  None if it has to wait; where there is none to wait for, any
        that says so.
        """
        if line.target is None:
            entrance = self.rooms.next_of(line.view)
            return None if entrance is None else entrance.here
        last = self.outbox.ways.get(line.view)
        stays = sorted(self.stays_here(), key=lambda stay: stay.at != last)
        shared = [stay for stay in stays if stay.target(line) is not None]
        for stay in shared:
            if stay.encryption.has_secret or not line.secret:
                return stay
        # A room that one is about to go to instead of another waits for this very line.
        if all(each.here or each.origin for each in self.rooms):
            return next(iter([*shared, *stays]), None)
        return None

    # What the connection asks and tells

    def stays_to_join(self) -> tuple[frames.Stay, ...]:
        """What a handshake asks for: the rooms to be in, and where they go on."""
        with self._lock:
            return self.rooms.stays(self.moves.is_asked_for)

    def seen(self, answer: bool = False) -> bytes:
        """The heartbeat frame, encoded; with ``answer`` the server's is asked for."""
        with self._lock:
            return frames.Seen(self.rooms.positions(), answer or None).encode()

    def welcome(self, welcome: frames.Welcome, wanted: str | None = None) -> None:
        """The server has let this client in, who asked to be ``wanted``.

        What is under way goes again, or, in another session, back to whoever typed it.  Raises
        Misnamed for another nickname than that.
        """
        with self._lock:
            self.encryption.most = self.outbox.most = welcome.max_message_size
            self.outbox.pacing.allow(welcome.rate_limit, welcome.rate_window)
            self.own.granted(welcome.nick, wanted)
            self._resumed = welcome.resumed
            self.rooms.begin(welcome.resumed, lambda ref: ref in self.outbox.requests)
            if welcome.resumed:
                self.outbox.send_again()
                return
            self.own.begin()
            if self._connected:
                self.show(*self.outbox.begin_anew())
                self.moves.begin_anew()

    def lose(self) -> None:
        """The connection is gone: nothing can be sent until there is another."""
        with self._lock:
            self.rooms.lost()
            self._returned = False
            self.outgoing.clear()

    def receive(self, frame: frames.Frame) -> None:
        """Take one frame of the server's.  Raises ChatError for what no server may send."""
        handler = HANDLERS.get(type(frame))
        if handler is None:
            raise Unexpected()
        if isinstance(frame, frames.Entered):
            self.secrets.salt(frame.room)  # which may be being made: without the lock
        with self._lock:  # as in ``acting``, which takes longer
            for event in handler(self, frame):
                self._emit(event)
            self._advance()
            if self._waiting:
                self._changed.notify_all()
        if self.outgoing:
            self._on_outgoing()

    def paused_until(self) -> float | None:
        """When ``go_on`` has something to do, by the clock; None if nothing waits for that."""
        with self._lock:
            return self._paused_until()

    def _paused_until(self) -> float | None:
        if not self.rooms.live:
            return None
        times = [self.outbox.paused_until(), self.moves.retry_at()]
        return min((each for each in times if each is not None), default=None)

    def awaited(self) -> Awaited:
        """What the server owes: the way into a room, an answer, or a line's place in the log."""
        with self._lock:
            return self._awaited()

    def outlook(self) -> tuple[Awaited, float]:
        """What is awaited, and until when lines wait (infinity: for nothing that has a time)."""
        with self._lock:
            if self.outbox.empty and self.rooms.settled and self.rooms.placed:
                return NOTHING, math.inf  # as nearly always, and each record asks
            return self._awaited(), self._paused_until() or math.inf

    def go_on(self) -> None:
        """Seal the lines whose pause is over."""
        with self.acting():
            pass

    def _awaited(self) -> Awaited:
        if self.rooms.is_awaited or not self.rooms.live:
            return Awaited("room", self.rooms.steps)
        oldest = self.outbox.unanswered()
        if oldest is not None:
            return Awaited("answer", oldest)
        line = self.outbox.unplaced()
        for stay in self.stays_here():
            if stay.seq < stay.awaited or (line is not None and line.at == stay.at):
                return Awaited("place", stay.seq)
        return NOTHING

    def wait_answered(self, seconds: float) -> bool:
        """Whether each line was accepted or refused, each command answered, within ``seconds``."""
        return self._wait_for(self._is_answered, seconds)

    def _wait_for(self, is_so: Callable[[], bool], seconds: float) -> bool:
        with self._changed:
            self._waiting += 1
            try:
                return self._changed.wait_for(is_so, seconds)
            finally:
                self._waiting -= 1

    def _is_answered(self) -> bool:
        placed = all(stay.seq >= stay.awaited for stay in self.stays_here())
        return placed and self.outbox.empty and not self.verification.computing

    def keeps_back(self) -> bool:
        """Whether lines wait for their time, which is known."""
        with self._lock:
            return 0.0 < self.outbox.kept_back()[1] < math.inf

    def wait_capacity(self, seconds: float) -> bool:
        """Whether another line can be taken within ``seconds``."""
        return self._wait_for(lambda: not self.outbox.full, seconds)

    def give_up(self, reason: str) -> int:
        """Hand back what no server has acknowledged; how many lines that were."""
        with self._lock:
            count, shown = self.outbox.give_up(reason)
            self.show(*shown)
            return count

    # Frames: the lock is held

    def _on_own(self, frame: frames.KeyFor | frames.PrivateFor) -> list[events.Event]:
        stay = self.rooms.taking(frame.at)
        return [] if stay is None else stay.take(frame)

    def _on_log(self, log: frames.Log) -> list[events.Event]:
        stay = self.rooms.taking(log.at)
        if stay is None:
            return []
        changed = False
        for entry in log.entries:
            changed = changed or isinstance(entry, _CHANGES)
            for event in stay.take(entry):
                self._emit(event)
        stay.seq = max(stay.seq, log.to)
        return self.judge_people() if changed else []

    def judge_people(self) -> list[events.Event]:
        """Who is where has changed, or how well somebody is known.  The lock is held."""
        keys = self.views.people_keys()
        if keys:
            found = (one for stay in reversed(self.stays()) for one in stay.persons())
            self.views.judge({one.key: one for one in found if one.key in keys})
        return self.views.news()

    def _on_entered(self, entered: frames.Entered) -> list[events.Event]:
        entrance = self.rooms.entered(entered, self.outbox.requests.get(entered.ref or 0))
        if entrance is not None:
            return self._tell_returned()
        if entered.resumed:
            self._leave_again(entered)
        return []

    def _on_roster(self, roster: frames.Roster) -> list[events.Event]:
        arrival = self.rooms.roster(roster)
        return [] if arrival is None else self._arrive(arrival)

    def _tell_returned(self) -> list[events.Event]:
        """Once for each return."""
        if self._returned or not self._connected:
            return []
        self._returned = True
        return [events.Reconnected(self._resumed)]

    def _leave_again(self, entered: frames.Entered) -> None:
        """The server has led into a room that is not open any more."""
        if not self.rooms.is_leaving(entered.at):
            ref = self.outbox.ask(lambda ref: frames.Leave(ref, entered.at))
            self.rooms.leaves(entered.at, ref, room_target(entered.room).key)

    def _arrive(self, arrival: Arrival) -> list[events.Event]:
        """A new stay in a room: at first, on request, anew after a loss or falling behind."""
        entered, entrance = arrival.entered, arrival.entrance
        request, _tag = self.outbox.answer(entered.ref)
        if entrance is None:
            self._leave_again(entered)
            return self.moves.arrived(request)
        before = entrance.stay
        anew = before is not None and not before.is_same(entered)
        if anew:
            self.show(*self.outbox.empty_view(entrance.key, "disconnected"))
        else:  # what was accepted before is past, and nothing more comes of it
            self.show(*self.outbox.settle(entered.at))
        stay = self._begin_stay(entrance, arrival)
        shown = [*self.moves.arrived(request), *stay.take_own_nick(arrival.returning)]
        shown += [stay.trust_summary(), *self._tell_entered(stay, before, entered)]
        return [*shown, *stay.told(stay.warnings), *self.judge_people()]

    def _begin_stay(self, entrance: Entrance, arrival: Arrival) -> OpenRoom:
        before = entrance.stay
        guarded = before is not None and before.encryption.all_verified()
        entrance.stay = stay = OpenRoom(
            arrival.entered, arrival.roster, self.secrets.salt(arrival.entered.room),
            self.encryption, self.outbox, self.own, self.ignored, self.views, guarded,
        )  # fmt: skip
        entrance.name, entrance.place = stay.name, Place.HERE
        entrance.origin, entrance.retry_at, entrance.tries = None, None, 0
        return stay

    def _tell_entered(
        self, stay: OpenRoom, before: OpenRoom | None, entered: frames.Entered
    ) -> list[events.Event]:
        self.moves.refresh()
        views = stay.views()
        if not self._connected:
            self._connected = self._returned = True
            server = self.address.server
            return [
                *self.views.start(stay.name),
                events.Connected(server, self.nick, stay.name, views, self._proxy),
                *self.views.news(),
            ]
        missed: int | None = 0
        if before is not None:
            missed = entered.missed if before.is_same(entered) else before.missed(entered)
        found = [*self.views.news(), *self._tell_returned()]
        if missed != 0:
            found.append(events.Missed(stay.name, missed))
        return [*found, events.RoomEntered(stay.name, views)]

    def _on_accepted(self, accepted: frames.Accepted) -> list[events.Event]:
        """A line, or a request: what that has changed is in the log, or comes as `entered`."""
        ref, request = accepted.ref, self.outbox.requests.get(accepted.ref)
        self.rooms.has_left(ref)
        if ref in self.outbox.in_flight:
            at = self.outbox.in_flight[ref].at
            seen = next((stay.seq for stay in self.stays() if stay.at == at), math.inf)
            return self.outbox.accepted(accepted, seen)
        if isinstance(request, frames.Enter):
            entrance = self.rooms.find(request.room)
            if entrance is None or entrance.place is Place.HERE:
                self.outbox.answer(ref)  # one was in there already, and knows it
            return []
        self.outbox.answer(ref)
        if isinstance(request, frames.Nick):
            self._on_renaming(request, accepted.seq)
        return []

    def _on_renaming(self, request: frames.Nick, seq: int | None) -> None:
        if seq is None:  # it changes nothing
            self.own.refused(request.ref)
        for stay in self.stays():
            if stay.at == request.at:
                stay.awaited = seq or 0

    def _on_refused(self, refused: frames.Refused) -> list[events.Event]:
        ref = refused.ref
        if refused.room is not None and ref is None:
            return self.moves.not_let_in(refused)
        if ref in self.outbox.in_flight:
            return self.outbox.refused_line(refused)
        request, tag = self.outbox.answer(ref)
        if ref is not None:
            self.own.refused(ref)
            self.rooms.has_left(ref)
        if isinstance(request, frames.Leave):
            return []  # it is not in there any more
        if isinstance(request, frames.Enter):
            return self.moves.refused(refused, request, tag)
        return [refusals.refused(refused, tag)]

    def _on_rooms(self, listed: frames.RoomLines) -> list[events.Event]:
        self.outbox.answer(listed.ref)
        self.known_rooms = tuple(line.room for line in listed.rooms)
        views = (events.RoomView(line.room, line.count) for line in listed.rooms)
        return [events.RoomList(tuple(views))]


    def _on_minted(self, minted: frames.Minted) -> list[events.Event]:
        self.outbox.answer(minted.ref)
        return self.invitations.minted(minted)


_CHANGES = (frames.Joined, frames.Left, frames.Renamed)

HANDLERS: dict[type[frames.Frame], Callable[[ClientSession, Any], Iterable[events.Event]]] = {
    frames.Log: ClientSession._on_log,
    frames.Accepted: ClientSession._on_accepted,
    frames.Refused: ClientSession._on_refused,
    frames.KeyFor: ClientSession._on_own,
    frames.PrivateFor: ClientSession._on_own,
    frames.Entered: ClientSession._on_entered,
    frames.Roster: ClientSession._on_roster,
    frames.RoomLines: ClientSession._on_rooms,
    frames.Minted: ClientSession._on_minted,
    frames.Wait: lambda _session, wait: [events.Notice(messages.crowded(wait.seconds))],
    frames.Announcement: lambda _session, said: [events.Notice(messages.announced(said.text))],
    frames.Taken: lambda _session, _taken: [],
}
