"""What the system tells of the route to a peer."""

from __future__ import annotations

import sys

import pytest

from tests.transport_kit import tcp_pair, until
from transport.route import Route, SendProgress, unacknowledged


def test_the_route_to_this_machine_does_not_change() -> None:
    route = Route(("127.0.0.1", 1000))
    assert not route.changed() and not route.changed()


def test_another_route_and_a_route_after_none_are_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No route is none: nothing can be tried then."""
    begins = iter(["10.0.0.5", "10.0.0.5", "10.0.0.9", "10.0.0.9", "", "", "10.0.0.9", "10.0.0.9"])
    monkeypatch.setattr(Route, "_look", lambda _self: next(begins))
    route = Route(("10.0.0.1", 1000))
    assert [route.changed() for _ in range(7)] == [False, True, False, False, False, True, False]


@pytest.mark.parametrize("address", ["/a/socket", b"", None])
def test_no_route_is_no_error(address: object) -> None:
    """An address that there is no route to, whatever the machine has."""
    route = Route(address)
    assert not route.changed()


def test_what_is_taken_at_once_tells_nothing() -> None:
    """The system of a proxy takes a line; whether anybody behind it does is not known."""
    progress = SendProgress()
    assert progress.look(100, 0) == 0
    assert progress.look(100, 100) == 0  # all of it
    assert progress.look(400, 400) == 0
    assert progress.look(900, 400) == 0 and progress.look(900, 400) == 0
    assert progress.look(900, 600) == 1  # some of it
    assert progress.look(900, 600) == 1
    assert progress.look(1200, 899) == 2
    assert progress.look(1200, 1200) == 2


def test_what_the_peer_has_not_acknowledged() -> None:
    """Linux tells; of others nothing is made."""
    near, far = tcp_pair()
    with near, far:
        near.setblocking(False)
        sent = 0
        try:
            while True:
                sent += near.send(bytes(65536))
        except BlockingIOError:
            pass
        tells = sys.platform == "linux"
        until(lambda: 0 < unacknowledged(near) < sent or not tells)
        while unacknowledged(near):
            far.recv(65536)
    assert unacknowledged(near) == 0  # closed
