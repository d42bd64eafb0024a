from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
from typing import Any

import pytest

from tests import transport_kit
from tests.transport_kit import (
    LONG,
    Task,
    read_exactly,
    soon,
    tcp_pair,
    until,
)
from transport import CannotListen, poller
from transport.listening import listen
from transport.poller import Poller
from transport.stream import Interrupted, Stream

pytestmark = pytest.mark.timeout(60)
certificate = transport_kit.certificate
make_pair = transport_kit.make_pair
no_thread_left = transport_kit.no_thread_left

BIG = 8 * 1024 * 1024  # more than the system's buffers take


def waits(stream: Stream) -> bool:
    return stream._inside > 0


def fill(stream: Stream) -> int:
    """Send until there is a backlog; how many bytes that was."""
    sent = 0
    while not stream.backlog:
        sent += stream.send(b"f" * 65536)
    return sent


def test_frames_of_two_writers_never_interleave(make_pair: Any) -> None:
    client, server = make_pair(bound=BIG)
    sizes = [1, 7, 3000, 70000, 200000, 5]

    def write(mark: int) -> None:
        for size in sizes * 5:
            server.send(size.to_bytes(4, "big") + bytes([mark]) * size)
            server.flush(soon())

    writers = [Task(write, mark) for mark in (1, 2)]
    seen: dict[int, list[int]] = {1: [], 2: []}
    for _ in range(len(sizes) * 10):
        size = int.from_bytes(read_exactly(client, 4), "big")
        body = read_exactly(client, size)
        assert len(body) == size and body == body[:1] * size
        seen[body[0]].append(size)
    for writer in writers:
        writer.result()
    assert seen == {1: sizes * 5, 2: sizes * 5}


def test_what_the_system_does_not_take_is_the_backlog_until_flushed(make_pair: Any) -> None:
    client, server = make_pair(bound=2 * BIG)
    data = bytes(range(256)) * (BIG // 256)
    assert server.send(data) == BIG
    assert 0 < server.backlog
    assert server.send(b"tail") == 4  # still does not block
    reading = Task(read_exactly, client, BIG + 4)
    server.flush(soon())
    assert server.backlog == 0
    assert reading.result() == data + b"tail"


def test_nothing_overtakes_the_backlog(make_pair: Any) -> None:
    client, server = make_pair(bound=2 * BIG)
    server.send(b"a" * BIG)
    assert server.backlog
    start = read_exactly(client, BIG // 8)  # now the system would take more
    server.send(b"tail")
    reading = Task(read_exactly, client, BIG - len(start) + 4)
    server.flush(soon())
    assert start + reading.result() == b"a" * BIG + b"tail"


def test_over_the_bound_the_connection_is_cut(make_pair: Any) -> None:
    client, server = make_pair(bound=100_000)
    with pytest.raises(OSError):
        for _ in range(1000):
            server.send(b"x" * 50_000)
    assert server.aborted
    with pytest.raises(OSError):
        server.send(b"more")


def test_flush_past_its_deadline_cuts_the_connection(make_pair: Any) -> None:
    # At 0, before whatever hands are shaken by: a machine may be booted this minute.
    client, server = make_pair(bound=BIG, clock=lambda: 0.0)
    fill(server)
    with pytest.raises(TimeoutError):
        server.flush(0.0)
    assert server.aborted


def test_abort_wakes_recv(make_pair: Any) -> None:
    client, server = make_pair()
    reading = Task(server.recv, 10)
    until(lambda: waits(server))
    server.abort()
    server.abort()
    assert reading.result() == b""


def test_abort_wakes_flush(make_pair: Any) -> None:
    client, server = make_pair(bound=BIG)
    fill(server)
    flushing = Task(server.flush, soon())
    until(lambda: waits(server))
    server.abort()
    with pytest.raises(OSError):
        flushing.result()


def test_the_peers_end_is_empty_bytes_again_and_again(make_pair: Any) -> None:
    client, server = make_pair()
    client.send(b"last")
    client.close()
    assert read_exactly(server, 100) == b"last"
    assert server.recv(10) == b""


def test_a_byte_a_second_does_not_outlast_the_deadline() -> None:
    near, far = tcp_pair()
    now = [0.0]

    def clock() -> float:  # each look takes a second, in which one more byte comes
        now[0] += 1.0
        near.send(b"a")
        return now[0]

    with near:
        stream = Stream(far, clock=clock)
        stream.set_deadline(10.0)
        with pytest.raises(TimeoutError):
            stream.makefile("rb", 0).readline(65537)
        assert 9.0 <= now[0] <= 11.0
        stream.close()


def test_a_deadline_passes_while_nothing_comes() -> None:
    near, far = tcp_pair()
    with near:
        stream = Stream(far)
        stream.set_deadline(stream._clock() + 0.01)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        stream.set_deadline(None)
        near.send(b"x")
        assert stream.recv(1) == b"x"
        stream.close()


def test_lines_of_a_request_leave_the_rest_alone(make_pair: Any) -> None:
    client, server = make_pair()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n0123456789\x81\x80eager")
    lines = server.makefile("rb", 0)
    assert lines.readline(65537) == b"GET / HTTP/1.1\r\n"
    assert lines.readline(3) == b"Hos"
    assert lines.readline() == b"t: a\r\n"
    assert lines.readline() == b"\r\n"
    assert lines.read(10) == b"0123456789"
    lines.close()
    assert server.recv(100) == b"\x81\x80eager"


def test_a_body_is_read_whole(make_pair: Any) -> None:
    client, server = make_pair()
    client.send(b"a" * 10)
    reading = Task(read_exactly, server, 20)
    client.send(b"b" * 10)
    assert reading.result() == b"a" * 10 + b"b" * 10
    client.shutdown()
    assert server.makefile().read() == b""


@pytest.mark.parametrize("bell", ["eventfd", "a pair of sockets"])
def test_interrupt_calls_recv_back_and_loses_nothing(
    make_pair: Any, bell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bell != "eventfd":  # as where there is none
        monkeypatch.delattr("os.eventfd", raising=False)
    client, server = make_pair()
    reading = Task(client.recv, 10)
    until(lambda: waits(client))
    client.interrupt()
    with pytest.raises(Interrupted):
        reading.result()
    client.interrupt()
    client.interrupt()
    with pytest.raises(Interrupted):
        client.recv(10)
    server.send(b"data")
    assert client.recv(10) == b"data"
    client.close()
    client.interrupt()  # too late, and harmless


def test_close_waits_for_the_reader_before_it_frees_the_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near, far = tcp_pair()
    stream = Stream(far)
    closed = threading.Event()
    numbers = []
    wait = Poller.wait

    def slow(self: Any, seconds: float | None) -> bool:
        found = wait(self, seconds)
        assert closed.wait(LONG)
        numbers.append(stream.fileno())
        return found

    monkeypatch.setattr(Poller, "wait", slow)
    with near:
        reading = Task(stream.recv, 1)
        until(lambda: waits(stream))
        stream.close()
        closed.set()
        assert reading.result() == b""
    assert numbers[0] >= 0  # while the reader was inside, the number was ours
    assert stream.fileno() == -1


def test_a_closed_stream_leaves_the_next_owner_of_its_number_alone() -> None:
    near, far = tcp_pair()
    stream = Stream(far)
    number = stream.fileno()
    stream.close()
    strangers = [*socket.socketpair(), *socket.socketpair()]
    try:
        assert number in [stranger.fileno() for stranger in strangers]
        stream.abort()
        stream.close()
        stream.shutdown()
        assert stream.recv(1) == b""
        for use in (lambda: stream.send(b"x"), lambda: stream.flush(soon())):
            with pytest.raises(OSError):
                use()
        for left, right in (strangers[:2], strangers[2:]):
            right.settimeout(LONG)
            left.send(b"fine")
            assert right.recv(10) == b"fine"
    finally:
        for one in (near, *strangers):
            one.close()


def test_sendall_waits_until_all_is_gone(make_pair: Any) -> None:
    client, server = make_pair(bound=BIG)
    reading = Task(read_exactly, client, BIG // 2)
    server.sendall(b"s" * (BIG // 2))
    assert server.backlog == 0
    assert reading.result() == b"s" * (BIG // 2)


if sys.platform != "win32":

    def test_descriptors_over_1023_work() -> None:
        import fcntl
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        near, far = tcp_pair()
        try:
            with far:
                number = fcntl.fcntl(far.fileno(), fcntl.F_DUPFD_CLOEXEC, 1500)
            stream = Stream(socket.socket(fileno=number), bound=BIG)
            assert stream.fileno() >= 1500
            near.send(b"in")
            assert stream.recv(10) == b"in"
            sent = fill(stream)
            reading = Task(near.makefile("rb").read, sent)
            stream.flush(soon())
            assert len(reading.result()) == sent
            stream.close()
        finally:
            near.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_poll_select_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "_HAS_POLL", False)
    monkeypatch.delattr(select, "poll", raising=False)
    near, far = tcp_pair()
    client, server = Stream(near, interruptible=True), Stream(far, bound=BIG)
    sent = fill(server)
    reading = Task(read_exactly, client, sent)
    server.flush(soon())
    assert len(reading.result()) == sent
    for end in (client.interrupt, client.abort):
        reading = Task(client.recv, 1)
        until(lambda: waits(client))
        end()
        with contextlib.suppress(Interrupted):
            assert reading.result() == b""
    client.close()
    server.close()


def test_connect_says_why_not() -> None:
    with listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        stream = Stream(socket.socket())
        stream.connect(address, soon())
        stream.close()
    stream = Stream(socket.socket())
    with pytest.raises(ConnectionRefusedError):
        stream.connect(address, soon())
    stream.close()
    with pytest.raises(OSError):
        stream.connect(address, soon())


@contextlib.contextmanager
def deaf() -> Any:
    """The address of a listener that takes no more connections, nor refuses them."""
    with listen("127.0.0.1", 0, backlog=0) as listener, contextlib.ExitStack() as stack:
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()


def test_connect_has_a_deadline_and_can_be_aborted() -> None:
    with deaf() as address:
        stream = Stream(socket.socket())
        with pytest.raises(TimeoutError):
            stream.connect(address, stream._clock() + 0.05)
        stream.close()
        stream = Stream(socket.socket())
        connecting = Task(stream.connect, address, soon())
        until(lambda: waits(stream))
        stream.abort()
        with pytest.raises(ConnectionAbortedError):
            connecting.result()
        stream.close()


def test_listen_says_why_not() -> None:
    with listen("127.0.0.1", 0) as listener:
        for arguments, reason in (
            (("127.0.0.1", listener.getsockname()[1]), "in_use"),
            (("a" * 70, 0), "name"),
            (("127.0.0.1", 70000), "address"),
            (("192.0.2.1", 0), "address"),
        ):
            with pytest.raises(CannotListen) as caught:
                listen(*arguments).close()
            assert caught.value.reason == reason


def test_listen_on_all_addresses() -> None:
    with listen("", 0) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])).close()
