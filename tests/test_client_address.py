"""Whom a trusted proxy speaks for is counted as that, by every limit; nobody else is believed."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import frames
from server import limits
from server.app import ChatServer
from server.client_address import (
    FORWARDING,
    ClientAddress,
    TrustedProxies,
    address_group,
    has_neighbours,
)
from server.rate_limits import FairRateLimiter
from server.throttle import GUESSES, LoginQueue, Rate, Rates, TokenBuckets
from tests.fronts import Front, speaking_for
from tests.test_http_face import Answer, ask, form, request, visit  # noqa: F401
from tests.test_proxy_header import SIGNATURE, block
from tests.transport_kit import Certificate, certificate, until  # noqa: F401
from tests.wire import LONG, PASSWORD, UPGRADE, Raw, Wire, box
from transport import Closed, Unreachable, tls

HIS, HERS = "192.0.2.7", "198.51.100.8"  # who comes through the proxy
TRUSTED = (ipaddress.ip_network(Front.PROXY),)
WAYS = ["v1", "field"]
Come = Callable[..., Wire]


def proxies(*networks: str, headers: bool = False) -> TrustedProxies:
    return TrustedProxies([ipaddress.ip_network(each) for each in networks], headers)


# Whose word counts


@pytest.mark.parametrize(
    ("values", "address"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["203.0.113.5, 192.0.2.7"], "192.0.2.7"),  # the one before may be made up
        (["203.0.113.5", "192.0.2.7"], "192.0.2.7"),  # in two headers
        (["192.0.2.7, 10.1.2.3, 10.9.9.9"], "192.0.2.7"),  # through two that are trusted
        (["10.1.2.3, 10.9.9.9"], "10.1.2.3"),  # by one of them itself
        (["127.0.0.1, 192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7, 10.1.2.3:4711"], "192.0.2.7"),  # some add a port
        (["192.0.2.7:4711"], "192.0.2.7"), (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["[2001:db8::7]"], "2001:db8::7"), (["2001:db8::7"], "2001:db8::7"),
        (["::ffff:192.0.2.7"], "192.0.2.7"), (["fe80::7%eth0"], "fe80::7"),
        ([], "10.0.0.1"), ([""], "10.0.0.1"), (["unknown"], "10.0.0.1"), ([","], "10.0.0.1"),
        (["192.0.2.7, unknown"], "10.0.0.1"), (["192.0.2.7, unknown, 10.1.2.3"], "10.1.2.3"),
        (["192.0.2.7, "], "10.0.0.1"), (["192.0.2.7 203.0.113.5"], "10.0.0.1"),
        (["192.0.2.7;x"], "10.0.0.1"), (["0x7f.1"], "10.0.0.1"), (["127.1"], "10.0.0.1"),
    ],
)  # fmt: skip
def test_the_last_that_is_not_trusted_counts(values: list[str], address: str) -> None:
    known = proxies("10.0.0.0/8")
    client = known.forwarded(known.of_peer("10.0.0.1"), values)
    assert client == ClientAddress("10.0.0.1", address, behind=True)


@pytest.mark.parametrize("peer", ["192.0.2.9", "127.0.0.1", "::1", "10.0.0.1%x", "", "?"])
def test_nobody_else_is_believed(peer: str) -> None:
    known = proxies("10.0.0.2", "2001:db8::/32")
    assert known.forwarded(known.of_peer(peer), ["192.0.2.7"]) == ClientAddress(peer, peer)
    assert not proxies("10.0.0.2", headers=True).sends_header(known.of_peer(peer))
    assert TrustedProxies().of_peer(peer) == ClientAddress(peer, peer)


def test_a_proxy_is_known_however_its_address_is_written() -> None:
    known = proxies("10.0.0.0/8", "fd00::/8")
    for peer in ("10.1.1.1", "::ffff:10.1.1.1", "fd00::1", "fd00::1%eth0"):
        assert known.of_peer(peer).behind
    assert not known.of_peer("11.0.0.1").behind


def test_where_headers_are_sent_first_the_field_is_not_looked_at() -> None:
    """A client may have written it, and such proxies do not look into what they carry."""
    known = proxies("10.0.0.1", headers=True)
    client = known.of_peer("10.0.0.1")
    assert known.sends_header(client) and not proxies("10.0.0.1").sends_header(client)
    assert known.forwarded(client, ["192.0.2.7"]) == client
    named = known.named(client, "192.0.2.7")
    assert named.group == "192.0.2.7" and named.behind
    assert known.named(client, None) == client  # of its own accord: it counts as itself


@given(st.lists(st.text(max_size=40), max_size=4), st.booleans())
def test_any_field_names_an_address(values: list[str], trusted: bool) -> None:
    known = proxies("10.0.0.1") if trusted else TrustedProxies()
    client = known.forwarded(known.of_peer("10.0.0.1"), values)
    ipaddress.ip_address(client.address)
    assert trusted or client.address == "10.0.0.1"


# Tor's circuits


CIRCUITS = [f"fc00:dead:beef:4dad::{number >> 16:x}:{number & 0xFFFF:x}" for number in
            (1, 0x1A2B3C4D, 0xFFFFFFFF)]  # fmt: skip


def test_circuits_of_an_onion_service_count_singly() -> None:
    """Tor names them in one /64, of which other addresses count together."""
    known = proxies("127.0.0.1", headers=True)
    peer = known.of_peer("127.0.0.1")
    groups = [known.named(peer, circuit).group for circuit in CIRCUITS]
    assert len(set(groups)) == 3 and not any(map(has_neighbours, groups))
    others = {known.named(peer, f"fc00:dead:beef:4dae::{number}").group for number in range(1, 4)}
    assert len(others) == 1 and all(map(has_neighbours, others))
    # Whoever really has such an address is one of its /64.
    assert len({address_group(circuit) for circuit in CIRCUITS}) == 1


def test_one_circuit_uses_up_nobody_elses_guesses() -> None:
    budget = TokenBuckets(GUESSES, lambda: 0.0)
    one, other = (address_group(circuit, circuits=True) for circuit in CIRCUITS[:2])
    for _ in range(int(limits.GUESS_BURST)):
        assert budget.take(one) == 0.0
    assert budget.take(one) > 0.0
    for _ in range(int(limits.GUESS_BURST)):
        assert budget.take(other) == 0.0


def test_a_circuit_is_told_apart_on_a_connection(serve: Callable[..., ChatServer]) -> None:
    """The line that Tor's manual shows."""
    server = serve(trusted_proxies=TRUSTED, proxy_protocol=True)
    line = f"PROXY TCP6 {CIRCUITS[2]} ::1 65535 42\r\n".encode()
    with Front(server.port, line) as front, Raw(front.address[1]) as raw:
        raw.send(UPGRADE)
        assert raw.sock.recv(12) == b"HTTP/1.1 101"
        assert [each.permit.group for each in server._all_connections()] == [
            "fc00:dead:beef:4dad::ffff:ffff"
        ]


# On a server


@pytest.fixture
def come(wires: Callable[..., Wire]) -> Iterator[Come]:
    """Connects to a server as one of ``HIS``, ``HERS`` …, through a proxy that says so."""
    numbers = iter(range(100))
    with contextlib.ExitStack() as fronts:
        known: dict[tuple[int, str, str], Front] = {}

        def as_one_of(server: ChatServer, address: str, way: str, **options: Any) -> Wire:
            place = (server.port, address, way)
            if place not in known:
                known[place] = fronts.enter_context(speaking_for(*place))
            through = SimpleNamespace(port=known[place].address[1])
            return wires(through, next(numbers), **options)

        yield as_one_of


def trusting(serve: Callable[..., ChatServer], way: str, **changes: Any) -> ChatServer:
    return serve(trusted_proxies=TRUSTED, proxy_protocol=way == "v1", **changes)


def refused(connect: Callable[[], object]) -> str:
    """Why nobody came in."""
    with pytest.raises(Unreachable) as caught:
        connect()
    return caught.value.reason


@pytest.mark.parametrize("way", WAYS)
def test_members_of_one_address_are_counted(
    serve: Callable[..., ChatServer], come: Come, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS_OF_ADDRESS", 2)
    server = trusting(serve, way)
    members = [come(server, HIS, way).join(nick) for nick in ("al", "bo")]
    assert refused(lambda: come(server, HIS, way)) == "busy"
    come(server, HERS, way).join("cy")
    members[0].cut()
    until(lambda: server._services.connection_limits._members_of.get(HIS) == 1)
    come(server, HIS, way).join("di")
    assert server._services.connection_limits._members_of == {HIS: 2, HERS: 1}


@pytest.mark.parametrize("way", WAYS)
def test_silent_sockets_of_one_address_are_counted(
    serve: Callable[..., ChatServer], come: Come, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The oldest of *that* address makes room."""
    monkeypatch.setattr(limits, "UNPROVEN_OF_ADDRESS", 1)
    server = trusting(serve, way)
    hers = come(server, HERS, way)
    hers.message()
    his = come(server, HIS, way)
    his.message()
    come(server, HIS, way).message()
    with pytest.raises(Closed):
        his.message()
    hers.peer.send(b"")  # still there, and told what is wrong with that
    assert hers.refusal().code == "malformed"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["handshakes", "guesses"])
def test_handshakes_and_guesses_of_one_address_are_counted(
    serve: Callable[..., ChatServer], come: Come, monkeypatch: pytest.MonkeyPatch, way: str,
    name: str,
) -> None:  # fmt: skip
    """Whoever has used them up keeps nobody else of the same proxy out."""
    server = trusting(serve, way)
    line: LoginQueue = getattr(server._services.throttle, name)
    one = Rate(1e-9, 1.0)
    monkeypatch.setattr(line.buckets, "rates", Rates(one, Rate(1e-9, 100.0)))
    take = line.take
    monkeypatch.setattr(line, "take", partial(take, patience=0.01))
    guesser = come(server, HIS, way, prs=bytes(32))
    guesser.greet()
    guesser.prove("eve")
    assert guesser.refusal().code == "auth_failed"
    late = come(server, HIS, way)
    late.greet()
    if name == "guesses":
        late.prove("al")
    assert late.refusal().code == "too_many_attempts"
    come(server, HERS, way).join("bo")
    assert server._services.throttle.guesses.buckets.spare(Front.PROXY) >= 1.0


@pytest.mark.parametrize("way", WAYS)
def test_posts_and_joins_of_one_address_are_counted(
    serve: Callable[..., ChatServer], come: Come, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Each in the share of the address that it comes from, and none in the proxy's."""
    server = trusting(serve, way)
    parts = server._services
    counted: list[tuple[str, str]] = []
    tables = {"join": parts.joins, "post": parts.posts.shares, "command": parts.commands.shares}

    def watch(name: str, shares: FairRateLimiter) -> None:
        take = shares.take

        def counting(group: str, who: Hashable) -> float:
            counted.append((name, group))
            return take(group, who)

        monkeypatch.setattr(shares, "take", counting)

    for name, shares in tables.items():
        watch(name, shares)
    for nick, address in (("al", HIS), ("bo", HERS)):
        member = come(server, address, way).join(nick)
        member.send(frames.ListRooms(1))
        member.find(frames.RoomLines)
        member.send(frames.Post(2, member.at, 1, box()))
        until(lambda: len(counted) == 3)
        assert counted == [(name, address) for name in ("join", "command", "post")]
        counted.clear()


@pytest.mark.parametrize("way", WAYS)
def test_guesses_in_forms_are_counted(
    serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    server = trusting(serve, way, token_forms="proxied")
    rates = Rates(Rate(1e-9, 2.0), Rate(1e-9, 100.0))
    monkeypatch.setattr(server._services.form_throttle.others, "rates", rates)
    wrong = form("/generate_token", {"admin_password": "wrong", "username": "al"})
    with speaking_for(server.port, HIS, way) as his, speaking_for(server.port, HERS, way) as hers:
        codes = [ask(his.address[1], wrong).code for _ in range(3)]
        assert codes == ["auth_failed", "auth_failed", "too_many_attempts"]
        assert ask(hers.address[1], wrong).code == "auth_failed"


def test_from_others_no_header_is_believed(serve: Callable[..., ChatServer]) -> None:
    """Each is its own address, and a PROXY header is not even a request."""
    for headers in (False, True):
        server = serve(trusted_proxies=TRUSTED, proxy_protocol=headers)
        with Raw(server.port) as raw:
            raw.send(UPGRADE.replace(b"Host: x", f"Host: x\r\nX-Forwarded-For: {HIS}".encode()))
            assert raw.sock.recv(12) == b"HTTP/1.1 101"
            assert [each.permit.group for each in server._all_connections()] == ["127.0.0.1"]
        assert ask(server.port, b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n" + UPGRADE).status == 400
        with Raw(server.port) as raw:
            raw.send(block(HIS) + UPGRADE)
            assert not raw.rest().startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize(
    "start", [UPGRADE, b"\r\n" * 20, SIGNATURE + b"\x31" + bytes(40), b"PROXY TCP5 " + UPGRADE]
)
def test_a_trusted_proxy_has_to_send_its_header(
    serve: Callable[..., ChatServer], start: bytes
) -> None:
    server = trusting(serve, "v1")
    with Front(server.port) as front, Raw(front.address[1]) as raw:
        raw.send(start)
        assert raw.ended()
    until(lambda: not server._all_connections())


@pytest.mark.parametrize(
    "header", [b"PROXY UNKNOWN\r\n", block(None, command=0x20), block(HIS, command=0x20)]
)
def test_a_proxys_own_connection_counts_as_the_proxys(
    serve: Callable[..., ChatServer], header: bytes
) -> None:
    """As when it looks whether the server is there."""
    server = trusting(serve, "v1")
    with Front(server.port, header) as front, Raw(front.address[1]) as raw:
        raw.send(UPGRADE)
        assert raw.sock.recv(12) == b"HTTP/1.1 101"
        assert [each.permit.group for each in server._all_connections()] == [Front.PROXY]


def test_the_header_comes_before_tls(
    serve: Callable[..., ChatServer], come: Come, certificate: Certificate  # noqa: F811
) -> None:
    server = trusting(serve, "v1", ssl_cert=certificate.cert_path, ssl_key=certificate.key_path)
    context = tls.client_context(certificate.cert_path)
    come(server, HIS, "v1", tls=context).join("al")
    assert server._services.connection_limits._members_of == {HIS: 1}


def test_a_header_that_does_not_come_holds_up_nobody(
    serve: Callable[..., ChatServer], come: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has only so much time."""
    monkeypatch.setattr(limits, "PROXY_HEADER_SECONDS", 2.0)
    server = trusting(serve, "v1")
    with Front(server.port, b"PROXY TCP4 ") as slow, contextlib.ExitStack() as raws:
        held = [raws.enter_context(Raw(slow.address[1])) for _ in range(8)]
        until(lambda: len(server._all_connections()) == 8)
        monkeypatch.setattr(limits, "PROXY_HEADER_SECONDS", LONG)
        come(server, HIS, "v1").join("al")
        assert all(raw.ended() for raw in held)
    until(lambda: len(server._all_connections()) == 1)


def test_nobody_is_told_whom_a_proxy_names(
    serve: Callable[..., ChatServer], come: Come, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither members nor who runs it."""
    server = trusting(serve, "field")
    al = come(server, HIS, "field").join("al")
    come(server, HERS, "field").join("bo")
    seen = repr([al.welcome, al.entered, al.roster, al.next()])
    server.stop()
    written = "".join(capfd.readouterr()) + seen
    assert "bo" in seen and HIS not in written and HERS not in written


# Forms


FORM = {"admin_password": PASSWORD, "username": "al"}


def answer_to(server: ChatServer, *lines: str, through: Front | None = None) -> Answer:
    """The answer to a right form with these lines in its head."""
    raw = form("/generate_token", FORM)
    head, gap, body = raw.partition(b"\r\n\r\n")
    port = through.address[1] if through else server.port
    return ask(port, b"\r\n".join([head, *(line.encode() for line in lines)]) + gap + body)


@pytest.mark.parametrize("name", FORWARDING)
def test_a_form_that_was_brought_here_is_not_this_machines(
    serve: Callable[..., ChatServer], name: str
) -> None:
    server = serve()
    assert answer_to(server).status == 200
    assert answer_to(server, f"{name.lower()}: 127.0.0.1").code == "insecure"
    assert answer_to(server, f"{name}:").code == "insecure"


def test_a_form_in_clear_from_a_proxy_elsewhere(
    visit: Callable[..., Answer],  # noqa: F811
) -> None:
    """Somebody on the way from there could have read it."""
    for peer, secure, code in (
        ("10.0.0.1", False, "insecure"), ("10.0.0.1", True, ""), ("127.0.0.1", False, ""),
    ):  # fmt: skip
        client = ClientAddress(peer, HIS, behind=True)
        raw = form("/generate_token", FORM)
        answer = visit(client, raw, tls=secure, proxied=True)
        assert answer.json.get("error", "") == code
        assert visit(client, raw, tls=secure).code == (code or "proxied")


@pytest.mark.parametrize("way", WAYS)
def test_forms_do_not_come_through_a_proxy(serve: Callable[..., ChatServer], way: str) -> None:
    """Whatever it says, unless that is switched on."""
    server = trusting(serve, way)
    for through in (speaking_for(server.port, HIS, way), speaking_for(server.port, "::1", way)):
        with through:
            assert answer_to(server, through=through).code == "proxied"
            assert ask(through.address[1], request("GET", "/health")).status == 200
    if way == "field":  # a proxy that says nothing
        with Front(server.port) as silent:
            assert answer_to(server, through=silent).code == "proxied"
        assert answer_to(server).status == 200


@pytest.mark.parametrize("way", WAYS)
def test_forms_through_a_proxy_where_that_is_switched_on(
    serve: Callable[..., ChatServer], way: str
) -> None:
    """Its way to here is held to what holds for all, and what it says of the way before, too."""
    server = trusting(serve, way, token_forms="proxied")
    with speaking_for(server.port, HIS, way) as front:
        assert answer_to(server, through=front).status == 200
        for spoken, status in (("https", 200), ("HTTPS", 200), ("http", 403), ("https, http", 403)):
            line = f"X-Forwarded-Proto: {spoken}"
            assert answer_to(server, line, through=front).status == status
        assert answer_to(server, "Origin: https://x", through=front).code == "insecure"


def test_forms_that_are_switched_off(serve: Callable[..., ChatServer]) -> None:
    """Are nowhere."""
    server = serve(token_forms="off")
    for path in ("/generate_token", "/list_tokens", "/revoke_token"):
        assert ask(server.port, form(path, FORM)).code == "not_found"
        assert ask(server.port, request("GET", path)).code == "not_found"
    assert ask(server.port, request("GET", "/health")).status == 200


def test_forms_with_a_listener_of_their_own(
    serve: Callable[..., ChatServer], wires: Callable[..., Wire]
) -> None:
    """Which serves nothing else, and where nobody stands in front."""
    server = serve(
        token_forms=("127.0.0.1", 0), proxy_protocol=True,
        trusted_proxies=(ipaddress.ip_network("127.0.0.1"),),
    )  # fmt: skip
    assert server.forms_port not in (None, server.port)
    raw = form("/generate_token", FORM)
    answer = ask(server.forms_port or 0, raw)
    assert answer.status == 200
    assert ask(server.forms_port or 0, request("GET", "/health")).status == 200
    assert ask(server.forms_port or 0, UPGRADE).code == "not_found"
    with Front(server.port, b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n"):
        pass
    with Raw(server.port) as direct:
        direct.send(raw)
        assert direct.ended()  # a trusted address without its header
    header = b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n"
    assert ask(server.port, header + raw).code == "not_found"


def test_stopping_stops_both_listeners(serve: Callable[..., ChatServer]) -> None:
    server = serve(token_forms=("127.0.0.1", 0))
    port = server.forms_port or 0
    with Raw(port) as idle:
        server.stop()
        assert idle.ended()
    with pytest.raises(OSError):
        Raw(port)


# Below a path


def test_a_server_below_a_path(
    serve: Callable[..., ChatServer], wires: Callable[..., Wire]
) -> None:
    """All of it is there, and nothing anywhere else."""
    server = serve(path="/team/chat")
    wires(server, 0, path="/team/chat").join("al")
    wires(server, 1, path="/team/chat/").join("bo")
    for path in ("/", "/team", "/team/", "/team/chat2", "/team/chat/x", "/TEAM/CHAT"):
        assert refused(partial(wires, server, 2, path=path)) == "not_websocket"
    assert ask(server.port, request("GET", "/team/chat/health")).json == {"status": "ok"}
    assert ask(server.port, request("GET", "/health")).status == 404
    assert ask(server.port, request("GET", "/generate_token")).status == 404
    assert ask(server.port, request("GET", "/team/chat/generate_token")).status == 405
    assert ask(server.port, form("/team/chat/generate_token", FORM)).status == 200
    assert ask(server.port, form("/generate_token", FORM)).status == 404

