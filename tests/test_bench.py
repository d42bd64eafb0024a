"""The measurements count right.  How long anything takes is no test's business."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bench.load import busy, gentle, median_ratio, percentile
from bench.members import Crowd, Secrets
from bench.servers import PASSWORD, Process, certificate, chat_server, reference_server
from bench.wire import Loop
from cli.strength import is_guessable

SIZE, SENDERS = 4, 2


@pytest.fixture(name="shared", scope="module")
def shared_fixture() -> Secrets:
    return Secrets()


@pytest.fixture(params=["without TLS", "over TLS", "reference"], name="process")
def process_fixture(request: pytest.FixtureRequest) -> Iterator[Process]:
    with ExitStack() as stack:
        cert = stack.enter_context(certificate())
        if request.param == "reference":
            yield stack.enter_context(reference_server(cert))
        else:
            tls = request.param == "over TLS"
            yield stack.enter_context(chat_server(cert if tls else None))


def test_every_post_reaches_everybody_and_is_counted(process: Process, shared: Secrets) -> None:
    loop = Loop()
    try:
        crowd = Crowd(loop, process, shared, SIZE, SENDERS)
        # No time to say more than what is on its way from the beginning.
        found = busy(loop, crowd, in_flight=3, seconds=0.0)
        assert found.deliveries == SIZE * crowd.posts() and crowd.posts() >= SENDERS * 3
        assert found.cpu > 0 and found.own_cpu > 0
        before = crowd.posts()
        latencies = gentle(loop, crowd, a_second=100.0, seconds=0.06)
        assert crowd.posts() - before == 6
        assert len(latencies) == 6 * SIZE and min(latencies) > 0
        assert [each.arrived for each in crowd.senders] == [each.sent for each in crowd.senders]
    finally:
        loop.close()


def test_who_does_not_read_is_not_waited_for(shared: Secrets) -> None:
    loop = Loop()
    try:
        with chat_server() as process:
            crowd = Crowd(loop, process, shared, SIZE, 1)
            silent = crowd.rooms[0][1]
            silent.muted = True
            silent.pause()
            assert len(gentle(loop, crowd, a_second=100.0, seconds=0.02)) == 2 * (SIZE - 1)
    finally:
        loop.close()


def test_its_password_is_worth_no_note() -> None:
    assert not is_guessable(PASSWORD)


def test_percentile_and_median_ratio() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (51.0, 100.0)
    assert percentile([1.0], 0.99) == 1.0
    assert median_ratio([1.0, 4.0, 9.0], [2.0, 2.0, 3.0]) == 2.0
