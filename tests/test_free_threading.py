"""What must hold where threads run at once: each test plays a moment that a lock excluded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

import pytest

from client.connection import sending
from client.connection.sending import RecordSender
from protocol import frames
from protocol.errors import NickTaken
from server import broadcast
from server.app import ChatServer
from server.broadcast import Receiver
from server.expiry import ExpiryThread
from server.rooms import Room
from server.sessions import ServerSession
from tests.test_broadcast import Someone, post
from tests.test_sessions import House, bundle
from tests.wire import Wire


class Letting:
    """A lock that is found taken once, by a thread whose look at the mark is already over."""

    def __init__(self) -> None:
        self._real = threading.Lock()
        self.tries = 0

    def acquire(self, blocking: bool = True) -> bool:
        self.tries += 1
        return self.tries > 1 and self._real.acquire(blocking)

    def release(self) -> None:
        self._real.release()


@pytest.mark.parametrize("free_threaded", [True, False])
def test_who_finds_the_queue_taken_looks_again(
    monkeypatch: pytest.MonkeyPatch, free_threaded: bool
) -> None:
    """Else what was appended would stay behind until the next post."""
    monkeypatch.setattr(broadcast, "FREE_THREADED", free_threaded)
    room: Room[Receiver] = Room("tea", 1)
    alice = Someone(room).attach()
    alice.deliver()
    room.post(alice.member, post(alice, alice.member.joined))
    alice.queue._lock = lock = Letting()  # type: ignore[assignment]
    alice.deliver()
    # With the interpreter's lock a holder that lets go sees the mark: nobody looks twice.
    assert lock.tries == (2 if free_threaded else 1)
    assert alice.peer.numbers() == ([2] if free_threaded else [])


def test_who_finds_the_sender_taken_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's side of the same."""
    monkeypatch.setattr(sending, "FREE_THREADED", True)
    sender = RecordSender(deque([b"{}"]), lambda peer: None, lambda: 0.0)
    sender._lock = lock = Letting()  # type: ignore[assignment]
    sender.send()
    assert lock.tries == 2


class Forgetful(ExpiryThread):
    """Its thread wakes up between two looks at when it would."""

    looks: Sequence[float | None] = (60.0, None)

    @property
    def _due(self) -> float | None:
        found, self.looks = self.looks[0], self.looks[1:] or self.looks
        return found

    @_due.setter
    def _due(self, due: float | None) -> None:
        """Nothing is kept."""


def test_what_is_scheduled_while_the_thread_wakes_up() -> None:
    Forgetful([], lambda: 0.0).schedule(90.0)


class Returning(ServerSession):
    """It comes back between two moments at since when it has been away."""

    moments: Sequence[float | None] = (1.0, None)

    @property
    def lost_at(self) -> float | None:
        found, self.moments = self.moments[0], self.moments[1:] or self.moments
        return found

    @lost_at.setter
    def lost_at(self, moment: float | None) -> None:
        """Nothing is kept."""


def test_a_nickname_whose_holder_is_just_coming_back() -> None:
    house = House()
    house.sessions.add(Returning("alice", bundle(1), None))
    with pytest.raises(NickTaken):
        house.session("ALICE")


def test_who_is_told_to_go_while_its_token_is_looked_at(
    serve: Callable[..., ChatServer], wires: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is wrong with the token, and the connection ends all the same."""
    server = serve()
    tokens = server._services.tokens
    token = tokens.mint("alice", 60.0)

    def why_ended(token_id: str) -> str | None:
        for connection in server._all_connections():
            connection.close("shutdown")
        return None

    monkeypatch.setattr(tokens, "why_ended", why_ended)
    alice = wires(server, 0, token=token).join("alice")
    assert alice.find(frames.Bye).reason == "shutdown"
