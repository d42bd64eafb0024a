"""The HTTP face, byte for byte: what it answers, and what it never says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import frames
from protocol.errors import ChatError, OutcomeUnknown, Unavailable
from server import limits
from server.app import ChatServer
from server.auth import Password, Tokens
from server.client_address import ClientAddress, is_loopback
from server.http import ABOUT, ANSWERS, TTL_DEFAULT, Handler, HttpFace
from server.throttle import GUESSES, FormThrottle, TokenBuckets
from tests.held import held
from tests.test_rate_limits import Clock
from tests.wire import LONG, PASSWORD, UPGRADE, Raw, Wire
from transport.stream import Stream

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MARK = "zebra-4711"  # what comes in and must not come out


class Answer:
    """A parsed answer."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        status, *lines = head.decode("ascii").split("\r\n")
        self.version, code, self.reason = status.split(" ", 2)
        self.status = int(code)
        self.headers = dict(line.split(": ", 1) for line in lines)
        self.raw = raw

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """What went wrong."""
        return str(self.json["error"])


def ask(port: int, request: bytes) -> Answer:
    """Send it, and read to the end."""
    with Raw(port) as raw:
        raw.send(request)
        return Answer(raw.rest())


def request(
    method: str, path: str, *headers: str, body: bytes = b"", version: str = "1.1"
) -> bytes:
    """A request with these headers."""
    lines = [f"{method} {path} HTTP/{version}", "Host: x", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def form(path: str, fields: Any, kind: str = FORM) -> bytes:
    """A form or JSON, posted."""
    body = (fields if isinstance(fields, bytes)
            else urlencode(fields).encode() if kind == FORM
            else json.dumps(fields).encode())  # fmt: skip
    headers = (f"Content-Type: {kind}", f"Content-Length: {len(body)}")
    return request("POST", path, *headers, body=body)


def mint(server: ChatServer, username: str = "alice", kind: str = FORM, **more: Any) -> Answer:
    """Ask for a token."""
    fields = {"admin_password": PASSWORD, "username": username, **more}
    return ask(server.port, form("/generate_token", fields, kind))


# Pages


def test_health(server: ChatServer) -> None:
    """One word and nothing else."""
    answer = ask(server.port, request("GET", "/health"))
    assert answer.status == 200 and answer.json == {"status": "ok"}


def test_about(server: ChatServer) -> None:
    """Without an upgrade: what this is, and how to connect."""
    answer = ask(server.port, request("GET", "/"))
    assert answer.status == 200 and answer.body == ABOUT.encode()
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_query_changes_nothing(server: ChatServer) -> None:
    """It is not looked at."""
    assert ask(server.port, request("GET", f"/health?{MARK}")).status == 200
    answer = ask(server.port, request("GET", "/?admin_password=x&username=y"))
    assert answer.body == ABOUT.encode()


@pytest.mark.parametrize("path", ["/nothing", f"/{MARK}", "//x", "/health/", "/../etc/passwd", "*"])
def test_not_found(server: ChatServer, path: str) -> None:
    """And what was asked for is not repeated."""
    answer = ask(server.port, request("GET", path))
    assert (answer.status, answer.code) == (404, "not_found")
    assert ask(server.port, request("POST", path, "Content-Length: 0")).status == 404


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/", "GET"),
        ("POST", "/health", "GET"),
        ("GET", "/generate_token", "POST"),
        ("GET", "/list_tokens", "POST"),
        ("GET", "/revoke_token", "POST"),
        ("PUT", "/generate_token", "POST"),
        ("DELETE", "/", "GET"),
        ("OPTIONS", "/health", "GET"),
        (MARK, "/", "GET"),
    ],
)
def test_wrong_methods(server: ChatServer, method: str, path: str, allow: str) -> None:
    """With the one that is right."""
    answer = ask(server.port, request(method, path, "Content-Length: 0"))
    assert (answer.status, answer.code) == (405, "bad_method")
    assert answer.headers["Allow"] == allow


def test_head_has_no_body(server: ChatServer) -> None:
    """Whatever its answer is."""
    answer = ask(server.port, request("HEAD", "/health"))
    assert answer.status == 405 and answer.body == b""


# Tokens


@pytest.mark.parametrize("kind", [FORM, JSON])
def test_a_token(server: ChatServer, kind: str) -> None:
    """By form and by JSON."""
    answer = mint(server, "alice", kind, ttl=90)
    assert answer.status == 200 and answer.headers["Content-Type"] == JSON
    assert answer.headers["Cache-Control"] == "no-store"
    token = answer.json.pop("token")
    assert answer.json == {"token": token, "username": "alice", "expires_in": 90}
    token_id, _, secret = token.partition(".")
    assert len(token_id) == 16 and len(secret) == 43


def test_an_hour_unless_said_otherwise(server: ChatServer) -> None:
    """And a nickname in its normal form."""
    answer = mint(server, "jose\u0301")
    assert answer.json["expires_in"] == TTL_DEFAULT and answer.json["username"] == "jos\u00e9"


@pytest.mark.parametrize("kind", [FORM, JSON])
@pytest.mark.parametrize("ttl", ["0", "-1", "2592001", "1.5", "", "abc", " 5", "9" * 50])
def test_wrong_times(server: ChatServer, ttl: str, kind: str) -> None:
    """One second to thirty days, whole."""
    answer = mint(server, kind=kind, ttl=ttl)
    assert (answer.status, answer.code) == (400, "bad_fields")


@pytest.mark.parametrize("ttl", [True, 1.0, None, [], {}, 0, -5, 2592001, 10**30, "\u0665"])
def test_wrong_times_in_json(server: ChatServer, ttl: Any) -> None:
    """Nothing is taken for a number that is none."""
    assert mint(server, kind=JSON, ttl=ttl).code == "bad_fields"


@pytest.mark.parametrize("ttl", ["1", "2592000"])
def test_the_shortest_and_the_longest(server: ChatServer, ttl: str) -> None:
    """Are allowed."""
    assert mint(server, ttl=ttl).json["expires_in"] == int(ttl)


@pytest.mark.parametrize("username", ["", "a b", "x" * 33, "\x1b[2J", "\u202e", "a\u0431c"])
def test_names_that_are_none(server: ChatServer, username: str) -> None:
    """Have a code of their own."""
    answer = mint(server, username)
    assert (answer.status, answer.code) == (400, "bad_nick")


@pytest.mark.parametrize("username", [None, 5, ["alice"], "\ud800"])
def test_usernames_that_are_no_names(server: ChatServer, username: Any) -> None:
    """Neither a text nor a nickname."""
    answer = mint(server, username, kind=JSON)
    assert answer.status == 400 and answer.code in ("bad_fields", "bad_nick")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FORM, b""),
        (FORM, b"admin_password"),
        (FORM, b"username=alice"),
        (FORM, b"&&&"),
        (FORM, b"admin_password=%ff&username=alice"),
        (FORM, b"\xff\xfe"),
        (FORM, urlencode({"admin_password": PASSWORD}).encode()),
        (FORM, urlencode([("admin_password", PASSWORD)] * 2 + [("username", "a")]).encode()),
        (FORM, urlencode([("admin_password", PASSWORD), *[("username", "a")] * 2]).encode()),
        (FORM, b"&".join(b"f%d=1" % number for number in range(50))),
        (JSON, b""),
        (JSON, b"null"),
        (JSON, b"[]"),
        (JSON, b"5"),
        (JSON, b"{"),
        (JSON, b"\xff"),
        (JSON, b"[" * 4000),
        (JSON, b'{"admin_password": 5}'),
        (JSON, b'{"admin_password": "x", "admin_password": "y", "username": "alice"}'),
        (JSON, b'{"admin_password": "%s"}' % PASSWORD.encode()),
        (JSON, b'{"admin_password": "%s", "username": NaN}' % PASSWORD.encode()),
        ("text/plain", b"admin_password=x&username=alice"),
        ("multipart/form-data; boundary=x", b"--x--"),
    ],
)
@pytest.mark.parametrize("path", ["/generate_token", "/revoke_token"])
def test_malformed_forms(server: ChatServer, kind: str, body: bytes, path: str) -> None:
    """Fields that are missing, there twice, of another type; not a form at all."""
    answer = ask(server.port, form(path, body, kind))
    assert (answer.status, answer.code) == (400, "bad_fields")
    assert not any(map(held, server._face.guesses))


def test_a_form_without_a_content_type(server: ChatServer) -> None:
    """Is not guessed at."""
    body = urlencode({"admin_password": PASSWORD, "username": "alice"}).encode()
    raw = request("POST", "/generate_token", f"Content-Length: {len(body)}", body=body)
    assert ask(server.port, raw).code == "bad_fields"


@pytest.mark.parametrize("length", ["", "-1", "+5", "1e3", "0x10", "5 5", "\u0665", "9" * 10])
def test_lengths_that_are_none(server: ChatServer, length: str) -> None:
    """Also one that is not there."""
    raw = request("POST", "/generate_token", f"Content-Type: {FORM}", f"Content-Length: {length}")
    assert ask(server.port, raw).status == 400
    raw = request("POST", "/generate_token", f"Content-Type: {FORM}")
    assert ask(server.port, raw).code == "bad_fields"


def test_chunked(server: ChatServer) -> None:
    """Is not spoken; with a length beside it, least of all."""
    chunks = b"5\r\nadmin\r\n0\r\n\r\n"
    for more in ((), ("Content-Length: 5",)):
        headers = (f"Content-Type: {FORM}", "Transfer-Encoding: chunked", *more)
        answer = ask(server.port, request("POST", "/generate_token", *headers, body=chunks))
        assert (answer.status, answer.code) == (400, "bad_fields")


def test_too_large_a_form(server: ChatServer) -> None:
    """Is refused by its length, and the refusal arrives though the body was sent."""
    body = b"x" * (limits.FORM_BYTES + 1)
    answer = ask(server.port, form("/generate_token", body))
    assert (answer.status, answer.code) == (413, "too_big")
    headers = (f"Content-Type: {FORM}", "Content-Length: 999999999")
    with Raw(server.port) as raw:
        raw.send(request("POST", "/generate_token", *headers))
        assert Answer(raw.rest()).code == "too_big"


def test_the_largest_form(server: ChatServer) -> None:
    """Is read."""
    fields = urlencode({"admin_password": PASSWORD, "username": "alice", "more": ""}).encode()
    body = fields.ljust(limits.FORM_BYTES, b"x")
    assert ask(server.port, form("/generate_token", body)).status == 200


def test_a_body_that_ends_early(server: ChatServer) -> None:
    """Is what it is: not a whole form."""
    with Raw(server.port) as raw:
        raw.send(request("POST", "/generate_token", f"Content-Type: {FORM}", "Content-Length: 90"))
        raw.send(b"admin_password")
        raw.sock.shutdown(socket.SHUT_WR)
        assert Answer(raw.rest()).code == "bad_fields"


# Guesses


def test_wrong_passwords_are_counted(server: ChatServer) -> None:
    """First the refusal, then the wait; the right one has to wait as well."""
    wrong = form("/generate_token", {"admin_password": MARK, "username": "alice"})
    server._face.guesses.own._clock = Clock()  # stands still
    for _ in range(int(limits.GUESS_BURST)):
        answer = ask(server.port, wrong)
        assert (answer.status, answer.code) == (401, "auth_failed")
    for _ in range(3):
        answer = ask(server.port, wrong)
        assert (answer.status, answer.code) == (429, "too_many_attempts")
        assert int(answer.headers["Retry-After"]) >= 1
    assert mint(server).code == "too_many_attempts"
    revoke = form("/revoke_token", {"admin_password": PASSWORD, "token": "x"})
    assert ask(server.port, revoke).code == "too_many_attempts"


def test_guessing_on_the_link_does_not_close_the_forms(server: ChatServer) -> None:
    """Each has a count of its own: a stranger cannot keep an administrator from revoking."""
    while not server._services.throttle.guesses.buckets.take("127.0.0.1"):
        pass
    revoke = form("/revoke_token", {"admin_password": PASSWORD, "token": "x"})
    assert ask(server.port, revoke).status == 200
    server._face.guesses.own._clock = Clock()
    wrong = form("/revoke_token", {"admin_password": "x", "token": "y"})
    while ask(server.port, wrong).status == 401:
        pass
    assert server._services.throttle.guesses.buckets.spare("127.0.0.1") < 1.0


def test_guessing_elsewhere_does_not_close_the_forms_of_this_machine(
    visit: Callable[..., Answer],
) -> None:
    """All of this machine has one count; what comes through a proxy is not of this machine."""
    guesses = FormThrottle(TokenBuckets(GUESSES, Clock()), TokenBuckets(GUESSES, Clock()))
    raw = form("/revoke_token", {"admin_password": PASSWORD, "token": "x"})
    for number in range(200):
        guesses.others.take(f"192.0.2.{number}")
    assert visit("192.0.2.201", raw, tls=True, guesses=guesses).code == "too_many_attempts"
    brought = raw.replace(b"Host: x", b"Host: x\r\nVia: 1.1 a")
    assert visit("127.0.0.1", brought, tls=True, guesses=guesses).code == "too_many_attempts"
    behind = ClientAddress("127.0.0.1", "127.0.0.1", behind=True)
    assert visit(behind, raw, tls=True, proxied=True, guesses=guesses).code == "too_many_attempts"
    wrong = form("/revoke_token", {"admin_password": "x", "token": "x"})
    for number in range(int(limits.GUESS_BURST)):
        assert visit(("127.0.0.1", "::1")[number % 2], wrong, guesses=guesses).status == 401
    assert visit("127.0.0.2", raw, guesses=guesses).code == "too_many_attempts"


def test_whatever_else_is_wrong_the_password_comes_first(server: ChatServer) -> None:
    """Who does not know it learns nothing about names and tokens."""
    for path, fields in (
        ("/generate_token", {"admin_password": "x", "username": "a b"}),
        ("/revoke_token", {"admin_password": "x"}),
    ):
        assert ask(server.port, form(path, fields)).code == "auth_failed"


def test_the_tables_bound(server: ChatServer) -> None:
    """No more tokens than there is room for."""
    server._services.tokens._most = 2
    assert [mint(server).status for _ in range(3)] == [200, 200, 503]
    assert mint(server).code == "server_full"


@pytest.mark.parametrize("error", [Unavailable(retry_after=4.2), OutcomeUnknown()])
def test_what_several_servers_share_is_away(
    server: ChatServer, error: ChatError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not said that there is no token, or that the server is broken."""

    def fail(*_any: Any) -> None:
        raise error

    for method in ("mint", "revoke", "remaining"):
        monkeypatch.setattr(server._services.tokens, method, fail)
    for answer in (
        mint(server),
        ask(server.port, form("/list_tokens", {"admin_password": PASSWORD})),
        ask(server.port, form("/revoke_token", {"admin_password": PASSWORD, "token": "x"})),
    ):
        assert (answer.status, answer.code) == (503, "unavailable")
        assert answer.headers["Retry-After"] == ("5" if isinstance(error, Unavailable) else "1")


# In clear from elsewhere


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("10.0.0.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("::", False),
        ("0.0.0.0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_what_is_this_machine(address: str, here: bool) -> None:
    """By its address, whatever any header says."""
    assert is_loopback(address) == here


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Answer]]:
    """Asks a handler that believes to be asked from ``address``, of a face with ``changes``."""
    monkeypatch.setattr("protocol.pake.password_prs", lambda password: b"")
    made: list[Any] = []

    def ask_from(
        address: str | ClientAddress,
        raw: bytes,
        tls: bool = False,
        guesses: FormThrottle | None = None,
        **changes: Any,
    ) -> Answer:
        client = address if isinstance(address, ClientAddress) else ClientAddress(address, address)
        near, far = socket.socketpair()
        stream = Stream(far)
        face = HttpFace(
            Password(PASSWORD), Tokens(),
            guesses or FormThrottle(TokenBuckets(GUESSES), TokenBuckets(GUESSES)),
            lambda _: None, lambda _: None,
            tls, **changes,
        )  # fmt: skip

        def serve() -> None:
            Handler(stream, client, face, lambda _: None)
            stream.close()

        thread = threading.Thread(target=serve)
        made.extend((near, thread))
        thread.start()
        near.settimeout(LONG)
        near.sendall(raw)
        near.shutdown(socket.SHUT_WR)
        parts = []
        while part := near.recv(65536):
            parts.append(part)
        return Answer(b"".join(parts))

    yield ask_from
    for each in made:
        each.close() if isinstance(each, socket.socket) else each.join(LONG)


@pytest.mark.parametrize("path", ["/generate_token", "/revoke_token"])
def test_passwords_in_clear_from_elsewhere(visit: Callable[..., Answer], path: str) -> None:
    """Are refused before they are looked at, whatever a proxy's header says."""
    fields = {"admin_password": PASSWORD, "username": "alice", "token": "x"}
    raw = form(path, fields)
    answer = visit("192.0.2.9", raw)
    assert (answer.status, answer.code) == (403, "insecure")
    claimed = raw.replace(b"Host: x", b"Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n"
                          b"Forwarded: for=127.0.0.1\r\nX-Real-IP: 127.0.0.1")  # fmt: skip
    assert visit("192.0.2.9", claimed).code == "insecure"
    assert visit("127.0.0.1", claimed).code == "insecure"
    assert visit("192.0.2.9", raw, tls=True).status == 200
    assert visit("192.0.2.9", claimed, tls=True).status == 200  # brought here, but not in clear
    assert visit("127.0.0.1", raw).status == 200


def test_the_rest_answers_from_everywhere(visit: Callable[..., Answer]) -> None:
    """There is nothing secret in it."""
    assert visit("192.0.2.9", request("GET", "/health")).status == 200
    assert visit("192.0.2.9", request("GET", "/generate_token")).status == 405


def test_from_another_address_of_this_machine(serve: Callable[..., ChatServer]) -> None:
    """Over the network's own address, where there is one that is not loopback."""
    from transport.route import default_route_address

    address = default_route_address()
    server = serve(host="0.0.0.0" if address else "127.0.0.1")
    with Raw(server.port, address or "127.0.0.1") as raw:
        raw.send(form("/generate_token", {"admin_password": PASSWORD, "username": "alice"}))
        assert Answer(raw.rest()).status == (403 if address else 200)


# What no answer says


def test_nothing_of_the_request_comes_back(server: ChatServer) -> None:
    """In no header and no body; nor does the software's name, or the time."""
    secret = {"admin_password": MARK, "username": MARK, "token": MARK}
    requests = [
        request("GET", f"/{MARK}", f"X-{MARK}: {MARK}"),
        request(MARK, f"/{MARK}"),
        request("GET", f"/health?{MARK}", f"Origin: https://{MARK}"),
        f"{MARK}\r\n\r\n".encode(),
        f"GET / HTTP/{MARK}\r\n\r\n".encode(),
        f"GET / {MARK} HTTP/1.1\r\n\r\n".encode(),
        form("/generate_token", secret),
        form("/revoke_token", {**secret, "admin_password": PASSWORD}, JSON),
        form("/generate_token", {**secret, "admin_password": PASSWORD, "ttl": MARK}),
        form("/generate_token", MARK.encode(), MARK),
        request("GET", "/", "Upgrade: websocket", f"Sec-WebSocket-Key: {MARK}"),
        request("GET", "/", f"{MARK}"),
    ]
    for raw in requests:
        answer = ask(server.port, raw)
        assert MARK.encode() not in answer.raw, raw
        assert not {"Server", "Date"} & set(answer.headers), raw
        assert b"Python" not in answer.raw and b"Traceback" not in answer.raw
        assert answer.headers["Connection"] == "close"
        assert int(answer.headers["Content-Length"]) == len(answer.body)


def test_every_refusal_is_a_code_and_its_sentence(server: ChatServer) -> None:
    """Fixed, for each code one."""
    pages = request("GET", "/x"), request("PUT", "/"), b"x\r\n\r\n"
    for raw in (*pages, form("/revoke_token", b"")):
        answer = ask(server.port, raw)
        status, sentence = ANSWERS[answer.code]
        assert answer.json == {"error": answer.code, "message": sentence}
        assert answer.status == status


# Not quite HTTP


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/-1.1\r\n\r\n",
        b"GET / HTTP/1.1.1\r\n\r\n",
        b"GET / FTP/1.1\r\n\r\n",
        b"one two three four\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\x00\xff\xfe\r\n\r\n",
        b"GET / HTTP/1.1\r\n: no name\r\n\r\n",
    ],
)
def test_garbage(server: ChatServer, raw: bytes) -> None:
    """Is answered in our own words, or not at all; the next one is served."""
    with Raw(server.port) as sock:
        sock.send(raw)
        sock.sock.shutdown(socket.SHUT_WR)
        found = sock.rest()
    assert found == b"" or Answer(found).status in (200, 400)
    assert ask(server.port, request("GET", "/health")).status == 200


def test_older_versions(server: ChatServer) -> None:
    """1.0 is answered; so is a line without a version, with a whole answer."""
    assert ask(server.port, request("GET", "/health", version="1.0")).status == 200
    with Raw(server.port) as raw:
        raw.send(b"GET /health\r\n\r\n")
        raw.sock.shutdown(socket.SHUT_WR)
        assert Answer(raw.rest()).status == 200


def test_one_request_on_a_connection(server: ChatServer) -> None:
    """What comes after it is not looked at."""
    raw = request("GET", "/health", "Connection: keep-alive")
    answer = ask(server.port, raw + request("GET", "/nothing"))
    assert answer.raw.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET " + b"x" * 17_000,
        b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 99 + b"Y: " + b"z" * 16_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    ],
    ids=["line", "line without an end", "header", "headers", "sum", "number"],
)
def test_header_floods(server: ChatServer, raw: bytes) -> None:
    """Are cut off at the bound, and told so."""
    answer = ask(server.port, raw)
    assert (answer.status, answer.code) == (413, "too_big")


def test_slow_headers_meet_the_deadline(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole request has one: neither silence nor a byte now and then holds a thread."""
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.15)
    quiet = [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n",
             request("POST", "/generate_token", f"Content-Type: {FORM}", "Content-Length: 5"),
             request("POST", "/generate_token", f"Content-Type: {FORM}", "Content-Length: 5")
             + b"ab"]  # fmt: skip
    for start in quiet:
        with Raw(server.port) as raw:
            raw.send(start)
            assert raw.ended(), start
    with Raw(server.port) as raw:
        raw.sock.settimeout(0.01)
        ended = False
        for _ in range(3000):
            try:
                raw.send(b"X")
                ended = raw.sock.recv(1) == b""
                break
            except TimeoutError:
                continue
            except OSError:
                ended = True
                break
        assert ended


def test_a_client_that_does_not_read_its_answer(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor close holds a thread for a moment only."""
    monkeypatch.setattr(limits, "LINGER_SECONDS", 0.05)
    with Raw(server.port) as raw:
        raw.send(request("GET", "/health"))
        assert server._services.connection_limits.wait_empty(LONG)


def test_what_a_bug_says(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deliberate exception: the client hears `internal`, and its place is free again."""
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)

    def broken(*_: object) -> str:
        raise KeyError(MARK)

    monkeypatch.setattr(server._services.tokens, "mint", broken)
    answer = mint(server)
    assert (answer.status, answer.code) == (500, "internal")
    assert MARK.encode() not in answer.raw
    assert server._services.connection_limits.wait_empty(LONG)
    assert [args.exc_type for args in died] in ([KeyError], [])


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=200).map(lambda body: form("/generate_token", body, JSON)),
        st.binary(max_size=200).map(lambda body: form("/revoke_token", body)),
        st.lists(st.binary(max_size=30), max_size=9).map(
            lambda lines: b"GET / HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"
        ),
    )
)
def test_anything_is_survived(server: ChatServer, raw: bytes) -> None:
    """An answer of ours or none; afterwards it serves as before."""
    with Raw(server.port) as sock:
        sock.send(raw)
        sock.sock.shutdown(socket.SHUT_WR)
        try:
            found = sock.rest()
        except ConnectionResetError:
            found = b""
    assert not found or found.startswith(b"HTTP/1.1 ")
    assert b"Traceback" not in found
    assert server._services.connection_limits.wait_empty(LONG)


# Upgrades


def test_the_upgrade_is_at_the_root_only(server: ChatServer) -> None:
    """Elsewhere it is a page that is not there."""
    elsewhere = UPGRADE.replace(b"GET /", b"GET /chat")
    assert ask(server.port, elsewhere).status == 404
    with Raw(server.port) as raw:
        raw.send(UPGRADE)
        assert raw.sock.recv(12) == b"HTTP/1.1 101"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"\xff\xff"),
        (b"Sec-WebSocket-Version: 13\r\n", b""),
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 12"),
        (b"Connection: Upgrade", b"Connection: close"),
    ],
)
def test_half_an_upgrade(server: ChatServer, old: bytes, new: bytes) -> None:
    """Is a bad request."""
    answer = ask(server.port, UPGRADE.replace(old, new))
    assert (answer.status, answer.code) == (400, "bad_request")


def test_no_compression(server: ChatServer) -> None:
    """However it is offered."""
    offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    with Raw(server.port) as raw:
        raw.send(UPGRADE[:-2] + offer)
        head = raw.sock.recv(4096)
    assert head.startswith(b"HTTP/1.1 101") and b"xtension" not in head
    assert b"Server" not in head and b"Date" not in head


# Tokens at work


def token_of(server: ChatServer, username: str = "alice", **more: Any) -> str:
    """A new token."""
    return str(mint(server, username, **more).json["token"])


def test_a_token_opens_the_door(server: ChatServer, wires: Callable[..., Wire]) -> None:
    """Under its own nickname, whether that is said or not; several times."""
    token = token_of(server, "Alice")
    wire = wires(server, 0, token=token).join("")
    assert wire.welcome is not None and wire.welcome.nick == "Alice"
    wire.send(frames.Bye("left"))
    wire.ended()
    wires(server, 0, token=token).join("Alice")


def test_a_token_fixes_its_nickname(server: ChatServer, wires: Callable[..., Wire]) -> None:
    """At the door and inside."""
    token = token_of(server)
    stranger = wires(server, 0, token=token)
    stranger.greet()
    stranger.prove("mallory")
    assert stranger.refusal().code == "nick_pinned"
    wire = wires(server, 1, token=token).join("alice")
    wire.send(frames.Nick(wire.ref(), wire.at, "mallory"))
    refused = wire.expect(frames.Refused)
    assert (refused.code, refused.ref) == ("nick_pinned", 1)


def test_a_name_with_a_token_is_not_for_others(
    server: ChatServer, wires: Callable[..., Wire]
) -> None:
    """Who comes with the password cannot have it, nor take it later."""
    token_of(server, "Alice")
    wire = wires(server, 0)
    wire.greet()
    wire.prove("aLICE")
    assert wire.refusal().code == "nick_reserved"
    bob = wires(server, 1).join("bob")
    bob.send(frames.Nick(bob.ref(), bob.at, "ALICE"))
    assert bob.expect(frames.Refused).code == "nick_reserved"


def revoke(server: ChatServer, token: str) -> Answer:
    """Ask for its end."""
    return ask(server.port, form("/revoke_token", {"admin_password": PASSWORD, "token": token}))


@pytest.mark.parametrize("whole", [True, False])
def test_revoking_throws_its_holder_out(
    server: ChatServer, wires: Callable[..., Wire], whole: bool
) -> None:
    """With a reason; it does not come back, and the others see it leave."""
    token = token_of(server)
    alice = wires(server, 0, token=token).join("")
    bob = wires(server, 1).join("bob")
    assert revoke(server, token if whole else token.partition(".")[0]).json == {"revoked": True}
    assert alice.ended()[-1] == frames.Bye("revoked")
    assert bob.entries(3) == [frames.Left(3, alice.id)]
    again = wires(server, 0, token=token)
    again.greet()
    again.prove("")
    assert again.refusal().code == "auth_failed"
    assert revoke(server, token).json == {"revoked": False}


def test_revoking_ends_a_grace(server: ChatServer, wires: Callable[..., Wire]) -> None:
    """Whoever is not connected just now does not keep its place either."""
    token = token_of(server)
    alice = wires(server, 0, token=token).join("")
    bob = wires(server, 1).join("bob")
    alice.cut()
    revoke(server, token)
    assert bob.entries(3) == [frames.Left(3, alice.id)]


def test_an_expired_token_throws_its_holder_out(
    server: ChatServer, wires: Callable[..., Wire]
) -> None:
    """By itself, with its own reason; afterwards the name is free."""
    token = token_of(server, ttl=3600)
    alice = wires(server, 0, token=token).join("")
    alice.post(1)
    alice.find(frames.Accepted)
    clock = server._services.tokens._clock
    server._services.tokens._clock = lambda: clock() + 3600.0
    server._services.expiry.schedule(0.0)
    assert alice.ended()[-1] == frames.Bye("expired")
    wires(server, 0).join("alice")


@pytest.mark.parametrize("point", ["find", "add", "enter"])
def test_revoking_between_proof_and_session(
    server: ChatServer, wires: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """At each of the points in between: nobody stays in, and no ghost in the room."""
    sessions, rooms = server._services.sessions, server._services.rooms
    target: Any = rooms if point == "enter" else sessions
    token = token_of(server)
    original = getattr(target, point)
    revoking = threading.Thread(target=revoke, args=(server, token))

    def paused(*args: Any) -> Any:
        found = original(*args)
        revoking.start()
        if point != "enter":  # there the session's turn is held: revoking waits for it
            with server._services.accept_slot.released():
                revoking.join(LONG)
        return found

    monkeypatch.setattr(target, point, paused)
    wire = wires(server, 0, token=token)
    wire.greet()
    wire.prove("")
    ended = wire.ended()
    revoking.join(LONG)
    assert not ended or ended[-1] == frames.Bye("revoked")
    assert server._services.connection_limits.wait_empty(LONG)
    assert held(sessions) == 0 and held(rooms) == 0
