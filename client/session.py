"""What this client knows, what to do about each frame, and what can go out.

Frames come from the reader thread, a person's deeds (``local_user``) from the input thread; one
lock covers all state, which has an owner for each noun: the ``outbox``, the way in (``entrance``),
the room that one is in (``here``), ``verification``.  Nothing here touches the network: frames to
send are put into ``outgoing``, and ``on_outgoing`` says so.  Everything that is to be seen is
emitted as an event, in order, into queues that take it at once.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from client import events, messages, refusals
from client.connection.deadlines import NOTHING, Awaited
from client.encryption.encryption import Encryption
from client.encryption.trust import Memory
from client.entrance import Arrival, Entrance
from client.ignored import Ignored
from client.open_room import NotSealed, OpenRoom
from client.outbox import Line, Outbox, Switch
from client.own_name import OwnName
from client.room_secrets import RoomSecrets
from client.verification import Verifier
from protocol import frames
from protocol.errors import Gone, Unexpected
from protocol.invite import InviteLink
from protocol.keys import Identity
from protocol.names import room_key

Emit = Callable[[events.Event], None]


class ClientSession:
    """One client's state.  ``room`` is the one that is shown, and that is typed for.

    ``address`` is what invite links say of the server; ``proxy`` is the host of the one that all
    goes through; ``memory`` is what lasts of whom this client knows.  ``here`` is the room that one
    is in, or was in when the connection was lost, None before the first.
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
    ) -> None:
        self._lock = threading.Lock()  # guards all below
        self._changed = threading.Condition(self._lock)
        self._emit, self._on_outgoing, self._proxy = emit, on_outgoing, proxy
        self.address, self.room = address, room
        self.own = OwnName(nick)
        self.outbox = Outbox(self.own, clock)
        self.outgoing = self.outbox.outgoing
        self.encryption = Encryption(identity, memory)
        self.secrets = RoomSecrets()
        self.ignored = Ignored()
        self.entrance = Entrance(room)
        self.verification = Verifier(emit, self._changed)
        self.here: OpenRoom | None = None
        self._kept_back = 0  # lines, as was said last
        self.known_rooms: tuple[str, ...] = ()  # by what the server has listed

    @property
    def nick(self) -> str:
        """The nickname as granted, or as wanted."""
        return self.own.nick

    # What whoever changes something needs

    @contextmanager
    def acting(self) -> Iterator[ClientSession]:
        """Hold the lock; afterwards what can go out by now is sealed and sent."""
        with self._lock:
            yield self
            self._advance()
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
        if not self.entrance.live:
            self.show(refusals.error("disconnected", tag))
            return None
        return self.outbox.ask(make, tag)

    def _say_kept_back(self) -> None:
        """Whenever the number of lines changes that the server's limit keeps back."""
        count, seconds = self.outbox.kept_back() if self.entrance.live else (0, 0.0)
        if count != self._kept_back and seconds < math.inf:
            self._kept_back = count
            self._emit(events.LinesWaiting(count, round(seconds, 1)))

    def _advance(self) -> None:
        if self.outbox.queued:
            self._send_queued()
        if self.outbox.queued or self._kept_back:
            self._say_kept_back()

    def _send_queued(self) -> None:
        while self.outbox.queued and self.here is not None and self.entrance.live:
            head = self.outbox.next(self.here.encryption.change)
            if head is None:
                return
            if isinstance(head, Line):
                self._send(head, self.here)
            elif not self.here.is_called(head.room):
                self.outbox.ask(partial(frames.Enter, room=head.room), head.tag)
            # else the way in led there, or the way out was refused

    def _send(self, line: Line, room: OpenRoom) -> None:
        try:
            sealed = room.seal(line)
        except NotSealed as why:
            self.show(*self.outbox.hand_back(line, why.reason))
            return
        self.show(*room.told(sealed.warnings))
        self.outbox.send(line, sealed)

    # What the connection asks and tells

    def room_to_join(self) -> str:
        """What a handshake asks for: the room that is shown.  Another one is not entered."""
        with self._lock:
            self.entrance.asked = self.room
            return self.room

    def resume_point(self) -> tuple[bytes, int, int] | None:
        """Log id, last number, last number for oneself alone; None before the first room."""
        with self._lock:
            here = self.here
            return None if here is None else (here.log, here.seq, here.number)

    def seen(self, answer: bool = False) -> bytes:
        """The heartbeat frame, encoded; with ``answer`` the server's is asked for."""
        with self._lock:
            seq, number = (0, 0) if self.here is None else (self.here.seq, self.here.number)
            return frames.Seen(seq, number, answer or None).encode()

    def welcome(self, welcome: frames.Welcome, wanted: str | None = None) -> None:
        """The server has let this client in, who asked to be ``wanted``.

        Raises Misnamed for another nickname than that.
        """
        with self._lock:
            self.encryption.most = self.outbox.most = welcome.max_message_size
            self.outbox.pacing.allow(welcome.rate_limit, welcome.rate_window)
            self.own.granted(welcome.nick, wanted)

    def lose(self) -> None:
        """The connection is gone: nothing can be sent until there is another."""
        with self._lock:
            self.entrance.lost()
            self.outgoing.clear()

    def receive(self, frame: frames.Frame) -> None:
        """Take one frame of the server's.  Raises ChatError for what no server may send."""
        handler = HANDLERS.get(type(frame))
        if handler is None:
            raise Unexpected()
        with self._lock:  # as in ``acting``, which takes longer
            for event in handler(self, frame):
                self._emit(event)
            self._advance()
            self._changed.notify_all()
        self._on_outgoing()

    def paused_until(self) -> float | None:
        """When ``go_on`` has something to do, by the clock; None if nothing waits for that."""
        with self._lock:
            return self.outbox.paused_until() if self.entrance.live else None

    def go_on(self) -> None:
        """Seal the lines whose pause is over."""
        with self.acting():
            pass

    def awaited(self) -> Awaited:
        """What the server owes: the way into a room, an answer, or a line's place in the log."""
        with self._lock:
            steps = self.entrance.steps
            if steps is not None:
                return Awaited("room", steps)
            oldest = self.outbox.unanswered()
            if oldest is not None:
                return Awaited("answer", oldest)
            here = self.here
            if here is None or (here.seq >= here.awaited and not self.outbox.unplaced):
                return NOTHING
            return Awaited("place", here.seq)

    def wait_answered(self, seconds: float) -> bool:
        """Whether each line was accepted or refused, each command answered, within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(self._is_answered, seconds)

    def _is_answered(self) -> bool:
        placed = self.here is None or self.here.seq >= self.here.awaited
        return placed and self.outbox.empty and not self.verification.computing

    def keeps_back(self) -> bool:
        """Whether lines wait for their time, which is known."""
        with self._lock:
            return 0.0 < self.outbox.kept_back()[1] < math.inf

    def wait_capacity(self, seconds: float) -> bool:
        """Whether another line can be taken within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.outbox.full, seconds)

    def give_up(self, reason: str) -> int:
        """Hand back what no server has acknowledged; how many lines that were."""
        with self._lock:
            count, shown = self.outbox.give_up(reason)
            self.show(*shown)
            return count

    # Frames: the lock is held

    def _room(self) -> OpenRoom:
        """Where frames for a room go.  Raises Gone before the first one is entered."""
        if self.here is None:
            raise Gone()
        return self.here

    def _on_own(self, frame: frames.KeyFor | frames.PrivateFor) -> list[events.Event]:
        return self._room().take(frame)

    def _on_log(self, log: frames.Log) -> list[events.Event]:
        here = self.here
        if here is None or isinstance(self.entrance.state, Arrival):
            raise Unexpected()
        for entry in log.entries:
            for event in here.take(entry):
                self._emit(event)
        here.seq = max(here.seq, log.to)
        return []

    def _on_entered(self, entered: frames.Entered) -> list[events.Event]:
        self.entrance.entered(entered, self.here, self.outbox.requests.get(entered.ref or 0))
        if not entered.resumed:
            return []
        self.outbox.send_again()
        return [events.Reconnected(True)]

    def _on_roster(self, roster: frames.Roster) -> list[events.Event]:
        arrival = self.entrance.roster(roster)
        return [] if arrival is None else self._arrive(arrival.entered, arrival)

    def _arrive(self, entered: frames.Entered, arrival: Arrival) -> list[events.Event]:
        """A new stay in a room: at first, after `/room`, anew after a loss or falling behind."""
        before, returning = self.here, arrival.returning
        missed = before.missed(entered) if before and returning else entered.missed
        self.outbox.answer(entered.ref)
        self.show(*self.outbox.settle(anew=returning and before is not None))
        if returning and room_key(self.room) != room_key(self.entrance.asked):
            # Another one was wanted while this one was being entered.
            if before is not None:  # or it still waits, among the lines before and after it
                self.outbox.queued.append(Switch(self.room))
        elif returning:
            self.room = entered.room
        guarded = before is not None and before.is_guarded(entered.room)
        self.here = here = OpenRoom(
            entered, arrival.roster, self.secrets.salt(entered.room), self.encryption, self.outbox,
            self.own, self.ignored, guarded,
        )  # fmt: skip
        shown = [*here.take_own_nick(returning), here.trust_summary()]
        views = here.views()
        if before is None:
            server = self.address.server
            shown.append(events.Connected(server, self.nick, here.name, views, self._proxy))
        else:
            if returning:
                shown.append(events.Reconnected(False))
            if missed != 0:
                shown.append(events.Missed(here.name, missed))
            shown.append(events.RoomEntered(here.name, views))
        return shown + here.told(here.warnings)

    def _on_accepted(self, accepted: frames.Accepted) -> list[events.Event]:
        """A line, or a request: what that has changed is in the log, or comes as `entered`."""
        ref, request = accepted.ref, self.outbox.requests.get(accepted.ref)
        if self.here is None:
            return []  # nothing was sent yet
        if ref in self.outbox.in_flight:
            return self.outbox.accepted(accepted, self.here.seq)
        if request is not None and not isinstance(request, frames.Enter):
            self.outbox.answer(ref)
            self.here.awaited = accepted.seq or 0
            if accepted.seq is None:  # it changes nothing
                self.own.refused(ref)
        return []

    def _on_refused(self, refused: frames.Refused) -> list[events.Event]:
        ref = refused.ref
        if ref in self.outbox.in_flight:
            return self.outbox.refused_line(refused)
        request, tag = self.outbox.answer(ref)
        if ref is not None:
            self.own.refused(ref)
        if isinstance(request, frames.Enter):
            self.room = self._room().name
        return [refusals.refused(refused, tag)]

    def _on_rooms(self, listed: frames.RoomLines) -> list[events.Event]:
        self.outbox.answer(listed.ref)
        self.known_rooms = tuple(line.room for line in listed.rooms)
        views = (events.RoomView(line.room, line.count) for line in listed.rooms)
        return [events.RoomList(tuple(views))]


HANDLERS: dict[type[frames.Frame], Callable[[ClientSession, Any], Iterable[events.Event]]] = {
    frames.Log: ClientSession._on_log,
    frames.Accepted: ClientSession._on_accepted,
    frames.Refused: ClientSession._on_refused,
    frames.KeyFor: ClientSession._on_own,
    frames.PrivateFor: ClientSession._on_own,
    frames.Entered: ClientSession._on_entered,
    frames.Roster: ClientSession._on_roster,
    frames.RoomLines: ClientSession._on_rooms,
    frames.Wait: lambda _session, wait: [events.Notice(messages.crowded(wait.seconds))],
    frames.Announcement: lambda _session, said: [events.Notice(messages.announced(said.text))],
    frames.Seen: lambda _session, _seen: [],
}
