"""The server's defences, seen from outside: what it must refuse, and what it must not tell.

    python tests/test_security.py [HOST] [PORT] [PASSWORD]

checks a server that is already up, on this machine (tokens are not handed out in clear elsewhere),
prints a line for each check, then how many passed and failed; the exit status is 0 if all passed.
It needs what the program itself needs, and no more.  Under pytest the same script runs against a
server of its own.

The answer to a failed proof is late, the later the more of them this address has.  So the
checks go in stages: what needs no proof, what proves itself, then what fails; and those of one
stage go side by side, so that a second run waits for a few delays and not for all of them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import secrets
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT))

from protocol import frames, limits, pake  # noqa: E402
from protocol.errors import LinkBroken  # noqa: E402
from protocol.keys import Identity, RecipientKeys  # noqa: E402
from protocol.link import ClientLink  # noqa: E402
from tests.wire import UPGRADE, Raw, Wire, box, masked, token_credentials  # noqa: E402
from transport import Closed  # noqa: E402

DEFAULTS = ("localhost", "1000", "TestPass123")
AT_ONCE = 7  # the server lets eight handshakes of one address be open
PATIENCE = 10  # answers 429 until a form is given up
HUGE = 80 * 1024 * 1024  # more than any server's MAX_PAYLOAD_SIZE allows for

FORM = "application/x-www-form-urlencoded"
HEADERS = {
    "content-type", "content-length", "connection", "cache-control", "allow", "retry-after",
    "upgrade", "sec-websocket-accept", "sec-websocket-version",
}  # fmt: skip
MARK = "zq" + secrets.token_hex(6)  # goes into everything that is sent, and must not come back
FORBIDDEN = re.compile(
    r"traceback|file \"|line \d|[a-z]+error\b|exception|\d+\.\d+\.\d+|python[ /]\d|/home|/usr"
    rf"|wsproto|werkzeug|openssl|{re.escape(str(ROOT))}|{MARK}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    """One answer of the HTTP face."""

    raw: bytes
    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, raw: bytes) -> Answer:
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        assert re.fullmatch(r"HTTP/1\.1 [1-5]\d\d [A-Z][A-Za-z -]+", first), first
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _colon, value in pairs}
        return cls(raw, int(first.split()[1]), headers, body)

    def json(self) -> dict[str, Any]:
        """The body as JSON; its type and length are what the headers say."""
        assert self.headers["content-type"] == "application/json"
        assert int(self.headers["content-length"]) == len(self.body)
        answer = json.loads(self.body)
        assert isinstance(answer, dict)
        return answer


class Tapped(Wire):
    """A client of which all that it is told in clear is kept."""

    heard: list[bytes]

    def message(self) -> str | bytes:
        message = super().message()
        if isinstance(message, str):
            self.heard.append(message.encode())
        return message


class Target:
    """The server that is checked."""

    def __init__(self, host: str, port: int, password: str) -> None:
        self.host, self.port, self.password = host, port, password
        self.heard: list[bytes] = []  # everything that came in clear, but tokens
        self.ended: dict[str, str] = {}  # tokens that were good once: "revoked", "expired"
        self.slow = False  # whether earlier failures delay every proof
        self.keys = RecipientKeys()
        self._identity = Identity()
        self._prs: bytes | None = None
        self._lock = threading.Lock()  # guards the one above

    # HTTP

    def raw(self, request: bytes) -> Answer:
        """The answer to these bytes."""
        with Raw(self.port, self.host) as peer:
            peer.send(request)
            answer = Answer.read(peer.rest())
        if b'"token"' not in answer.body:
            self.heard.append(answer.raw)
        return answer

    def request(
        self, method: str, path: str, body: bytes = b"", kind: str = FORM, extra: str = ""
    ) -> Answer:
        """The answer to a request that looks like a browser's."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {MARK}\r\nUser-Agent: {MARK}\r\n{extra}"
        if body or method == "POST":
            head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        return self.raw(head.encode("latin-1") + b"\r\n" + body)

    def post(self, path: str, body: bytes, kind: str = FORM) -> Answer:
        """The answer to a form; waits as long as the server wants after failed proofs."""
        for _turn in range(PATIENCE):
            answer = self.request("POST", path, body, kind)
            if answer.status != 429:
                return answer
            self.slow = True
            threading.Event().wait(int(answer.headers["retry-after"]))  # it says how long
        raise AssertionError("too many failed attempts, and no end of it")

    def form(self, path: str, **fields: object) -> Answer:
        """As ``post``, with the password."""
        return self.post(path, urlencode({"admin_password": self.password, **fields}).encode())

    def mint(self, nick: str, ttl: int = 600) -> str:
        """A token."""
        answer = self.form("/generate_token", username=nick, ttl=ttl)
        assert answer.status == 200, answer.raw
        return str(answer.json()["token"])

    def revoke(self, token: str) -> bool:
        """Revoke a token, or its id."""
        answer = self.form("/revoke_token", token=token)
        assert answer.status == 200 and list(answer.json()) == ["revoked"]
        return answer.json()["revoked"] is True

    # Links

    @contextlib.contextmanager
    def wire(self, *, own: bool = False, **proof: Any) -> Iterator[Wire]:
        """A raw client before its handshake; ``own``: with an identity of its own."""
        if not proof:
            proof = {"prs": self._password_prs()}
        identity = Identity() if own else self._identity
        wire = Tapped(self.port, identity, self.keys, host=self.host, **proof)
        wire.heard = self.heard
        try:
            yield wire
        finally:
            wire.cut()

    @contextlib.contextmanager
    def member(self, nick: str = "", **proof: Any) -> Iterator[Wire]:
        """A raw client that has joined a room of its own."""
        with self.wire(own=True, **proof) as wire:
            yield wire.join(nick if nick or "token" in proof else name(), name())

    def refusal(self, nick: str = "", **proof: Any) -> frames.Refused:
        """How somebody is refused who tries to join."""
        with self.wire(own="token" not in proof, **proof) as wire:
            wire.greet()
            wire.prove(nick, name())
            refused = wire.refusal()
            assert wire.ended() == []
            return refused

    def _password_prs(self) -> bytes:
        with self._lock:
            if self._prs is None:
                self._prs = pake.password_prs(self.password)
            return self._prs


def name() -> str:
    """A nickname or room that nobody has."""
    return f"check-{secrets.token_hex(5)}"


# The checks, in stages

Check = Callable[[Target], None]
STAGES: defaultdict[str, dict[str, Check]] = defaultdict(dict)
NEEDED = ("sign of life", "minting")  # without these, nothing that follows says anything


def check(stage: str, title: str) -> Callable[[Check], Check]:
    """Enter a check: it passes unless it raises."""

    def enter(function: Check) -> Check:
        STAGES[stage][title] = function
        return function

    return enter


def refused(answer: Answer, status: int, code: str) -> None:
    """The answer is this refusal, in the one form that they all have."""
    assert answer.status == status, answer.raw
    body = answer.json()
    assert list(body) == ["error", "message"] and body["error"] == code, answer.raw
    assert re.fullmatch(r"[A-Z][a-zA-Z0-9 ,:'.]+\.", body["message"]), answer.raw


@check("sign of life", "GET /health says ok and nothing else")
def _health(target: Target) -> None:
    answer = target.request("GET", "/health")
    assert answer.status == 200 and answer.json() == {"status": "ok"}


@check("face", "GET / says what this is")
def _root(target: Target) -> None:
    answer = target.request("GET", "/")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
    assert b"CMD CHAT" in answer.body and b"connect" in answer.body


@check("face", "wrong methods and unknown addresses are refused")
def _methods(target: Target) -> None:
    for path in ("/generate_token", "/revoke_token"):
        answer = target.request("GET", path)
        refused(answer, 405, "bad_method")
        assert answer.headers["allow"] == "POST"
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", MARK.upper()):
        refused(target.request(method, "/health"), 405, "bad_method")
    assert target.request("HEAD", "/health").body == b""
    for path in (f"/{MARK}", "/../../etc/passwd", "/%2e%2e/", "/health/", "/generate_token/x"):
        refused(target.request("GET", path), 404, "not_found")
        refused(target.request("POST", path, b"a=b"), 404, "not_found")


@check("face", "oversized requests are refused, and the answer arrives")
def _oversized_requests(target: Target) -> None:
    refused(target.request("GET", f"/{MARK}" + "x" * 20_000), 413, "too_big")
    refused(target.request("GET", f"/{MARK}" + "x" * 70_000), 413, "too_big")
    refused(target.request("GET", "/", extra=f"X-{MARK}: {'x' * 20_000}\r\n"), 413, "too_big")
    refused(target.request("GET", "/", extra=f"X: {MARK}\r\n" * 2_000), 413, "too_big")
    for size in (8 * 1024 + 1, 12_000_000):
        body = b"admin_password=" + b"x" * size
        refused(target.request("POST", "/generate_token", body), 413, "too_big")


@check("face", "malformed requests are refused")
def _malformed_requests(target: Target) -> None:
    for junk in (b"\x16\x03\x01\x02\x00", b"GET", b"GET / HTTP/9.9", MARK.encode() * 3, b"a b c d"):
        refused(target.raw(junk + b"\r\n\r\n"), 400, "bad_request")
    upgrade = "Upgrade: websocket\r\n"
    for extra in (upgrade, upgrade + "Connection: Upgrade\r\nSec-WebSocket-Key: x\r\n"):
        refused(target.request("GET", "/", extra=extra), 400, "bad_request")


MALFORMED_FORMS = [
    b"", b"&", b"=", MARK.encode(), b"username=x", b"admin_password=%ff&username=x",
    b"admin_password=a&admin_password=b", b"&".join(b"f%d=x" % n for n in range(50)),
]  # fmt: skip
MALFORMED_JSON = [
    b"", b"[]", b"null", b"{", b'{"admin_password":1}', b'{"admin_password":null}', b"\xff",
    b'{"admin_password":"a","admin_password":"b"}', b"[" * 4_000, b'{"a":' * 1_000,
    b'{"admin_password":["x"]}', b'{"x":NaN}',
]  # fmt: skip


@check("face", "malformed forms are refused, and are no guesses")
def _malformed_forms(target: Target) -> None:
    for path in ("/generate_token", "/revoke_token"):
        for body in MALFORMED_FORMS:
            refused(target.request("POST", path, body), 400, "bad_fields")
        for body in MALFORMED_JSON:
            refused(target.request("POST", path, body, "application/json"), 400, "bad_fields")
        for kind in ("text/plain", "multipart/form-data; boundary=x", MARK, ""):
            refused(target.request("POST", path, b"admin_password=x", kind), 400, "bad_fields")
        for length in ("", "Content-Length: -1\r\n", "Transfer-Encoding: chunked\r\n"):
            head = f"POST {path} HTTP/1.1\r\n{length}Content-Type: {FORM}\r\n\r\n0\r\n\r\n"
            refused(target.raw(head.encode()), 400, "bad_fields")


def _hello(**changes: object) -> str:
    """A hello that is right, but for ``changes``; its keys are none."""
    hello = frames.Hello(limits.VERSION, bytes(16), "password", bytes(256), bytes(1216), bytes(32))
    return json.dumps({**hello.to_object(), **changes})


MALFORMED_HELLOS = [
    ("", "malformed"), ("nonsense " + MARK, "malformed"), ("[]", "malformed"), ("7", "malformed"),
    ("{}", "malformed"), ('{"type":7}', "malformed"), ('{"type":"hello"}', "malformed"),
    (json.dumps({"type": MARK}), "unknown_type"), ("[" * 9_000, "malformed"),
    ('{"type":"hello","type":"hello"}', "malformed"), ('{"type":"bye"}', "unknown_type"),
    (_hello(version="1"), "malformed"), (_hello(version=1), "bad_version"),
    (_hello(nonce=MARK), "malformed"), (_hello(proof=MARK), "malformed"),
    (_hello(proof="token"), "malformed"), (_hello(share=None), "malformed"),
    (_hello(rsa="x" * 400), "malformed"), ("gAAAAAA" + "x" * 93, "malformed"),
    (_hello(extra="x" * limits.HANDSHAKE_BYTES), "too_big"),
]  # fmt: skip


@check("face", "malformed and oversized frames are refused before any proof")
def _malformed_hellos(target: Target) -> None:
    for text, code in MALFORMED_HELLOS:
        with target.wire(prs=bytes(32)) as wire:
            wire.message()
            wire.peer.send(text)
            assert wire.refusal().code == code, text[:80]
            assert wire.ended() == []


def _frame_without_end() -> Iterator[bytes]:
    yield b"\x81\xff" + (1 << 62).to_bytes(8, "big") + bytes(4)
    yield from itertools.repeat(b"x" * 65_536)


def _fragments_without_end() -> Iterator[bytes]:
    yield masked(1, b"x", final=False)
    yield from itertools.repeat(masked(0, b"x" * 65_000, final=False))


def _pings_without_end() -> Iterator[bytes]:
    yield from itertools.repeat(masked(9, b"x" * 125) * 100)


@check("face", "messages and pings without end are cut off")
def _endless(target: Target) -> None:
    for flood in (_frame_without_end, _fragments_without_end, _pings_without_end):
        with Raw(target.port, target.host) as peer:
            peer.send(UPGRADE)
            sent = 0
            with contextlib.suppress(ConnectionError):
                for piece in flood():
                    assert sent < HUGE, flood.__name__
                    peer.send(piece)
                    sent += len(piece)


# What proves itself


@check("minting", "a token is minted, by form and by JSON")
def _minted(target: Target) -> None:
    nick = name()
    answer = target.form("/generate_token", username=nick, ttl=60)
    if answer.status == 403:
        raise AssertionError("tokens are not handed out in clear: run this on the server's machine")
    assert answer.status == 200, f"is the password right? {answer.body!r}"
    body = answer.json()
    assert list(body) == ["token", "username", "expires_in"]
    assert re.fullmatch(r"[\w-]{16}\.[\w-]{43}", body["token"])
    assert (body["username"], body["expires_in"]) == (nick, 60)
    fields = {"admin_password": target.password, "username": nick}
    other = target.post("/generate_token", json.dumps(fields).encode(), "application/json").json()
    assert other["expires_in"] == 3600 and other["token"] != body["token"]
    assert target.revoke(body["token"]) and target.revoke(other["token"].split(".")[0])


@check("minting", "wrong fields mint nothing")
def _wrong_fields(target: Target) -> None:
    for ttl in ("0", "-1", "2592001", "1.5", "", "x", "9" * 30, "٣"):
        refused(target.form("/generate_token", username="x", ttl=ttl), 400, "bad_fields")
    refused(target.form("/generate_token", ttl=60), 400, "bad_fields")
    for nick in ("", "a b", "x" * 33, "a\x1b[2J", "pаypal", "a\n"):
        refused(target.form("/generate_token", username=nick), 400, "bad_nick")
    refused(target.form("/revoke_token"), 400, "bad_fields")
    for token in ("", MARK, "." * 9, "\x00", "x." + "y" * 43):
        assert not target.revoke(token)
    for text in ("\ud800", "a.\ud800"):  # half a character
        fields = {"admin_password": target.password, "username": text, "token": text}
        body = json.dumps(fields).encode()
        refused(target.post("/generate_token", body, "application/json"), 400, "bad_nick")
        answer = target.post("/revoke_token", body, "application/json")
        assert answer.json() == {"revoked": False}


@check("proofs", "the password lets in, over an encrypted link")
def _password(target: Target) -> None:
    nick = name()
    with target.member(nick) as member:
        assert member.welcome is not None and member.welcome.nick == nick
        member.send(frames.ListRooms(member.ref()))
        assert member.find(frames.RoomLines).of >= 1


@check("proofs", "a token lets in under its name, and under no other")
def _pinned(target: Target) -> None:
    nick = name()
    token = target.mint(nick)
    with target.member(token=token) as member:
        assert member.welcome is not None and member.welcome.nick == nick
        member.send(frames.Nick(member.ref(), member.at, name()))
        assert member.find(frames.Refused).code == "nick_pinned"
    assert target.refusal(name(), token=token).code == "nick_pinned"
    assert target.revoke(token)


@check("proofs", "a token's name is refused to people with the password")
def _reserved(target: Target) -> None:
    nick = name()
    token = target.mint(nick)
    assert target.refusal(nick.upper()).code == "nick_reserved"
    with target.member() as member:
        member.send(frames.Nick(member.ref(), member.at, nick))
        assert member.find(frames.Refused).code == "nick_reserved"
        assert target.revoke(token.split(".")[0])
        member.send(frames.Nick(member.ref(), member.at, nick))
        assert member.find(frames.Accepted).ref == 2


@check("proofs", "a revoked token's holder is thrown out")
def _revoked(target: Target) -> None:
    token = target.ended["revoked"] = target.mint(name())
    forged = token[:-1] + ("A" if token[-1] != "A" else "Q")
    with target.member(token=token) as member:
        assert not target.revoke(forged)
        assert target.revoke(token) and not target.revoke(token)
        assert member.ended()[-1] == frames.Bye("revoked")


@check("proofs", "an expired token's holder is thrown out")
def _expired(target: Target) -> None:
    # On a server that delays proofs, a second would be over before the proof is.
    for ttl in (8, 16) if target.slow else (1, 4, 16):
        with target.wire(own=True) as wire:
            token = target.ended["expired"] = target.mint(name(), ttl)
            wire.link = ClientLink(wire.identity, token_credentials(token), target.keys)
            wire.greet()
            wire.prove("", name())
            with contextlib.suppress(LinkBroken):  # this machine was too busy: refused already
                if wire.ended()[-1] == frames.Bye("expired"):
                    return
    raise AssertionError("it was not thrown out")


def _sealed(member: Wire) -> bytes:
    return member.link.seal([frames.ListRooms(member.ref()).encode()])


def _broken(member: Wire) -> None:
    """The link says that it is broken, and ends."""
    *_before, last = member.ended()
    assert isinstance(last, frames.Refused) and last.code == "link_broken", last


@check("proofs", "a replayed record ends the link")
def _replayed(target: Target) -> None:
    with target.member() as member:
        record = _sealed(member)
        member.peer.send(record)
        member.find(frames.RoomLines)
        member.peer.send(record)
        _broken(member)


@check("proofs", "reordered records end the link")
def _reordered(target: Target) -> None:
    with target.member() as member:
        _first, second = _sealed(member), _sealed(member)
        member.peer.send(second)
        _broken(member)


@check("proofs", "a damaged record ends the link")
def _damaged(target: Target) -> None:
    with target.member() as member:
        record = _sealed(member)
        member.peer.send(record[:60] + bytes((record[60] ^ 1,)) + record[61:])
        _broken(member)


@check("proofs", "a record of another link, and text in clear, end the link")
def _foreign(target: Target) -> None:
    with target.member() as member, target.member() as other:
        member.peer.send(_sealed(other))
        _broken(member)
        other.peer.send(frames.ListRooms(1).encode().decode())
        _broken(other)


@check("proofs", "malformed frames are refused, and the third ends the link")
def _malformed_frames(target: Target) -> None:
    with target.member() as member:
        member.send_raw(b'{"type":"%s"}' % MARK.encode())
        assert member.find(frames.Refused).code == "unknown_type"
        member.send_raw(b'{"type":"nick","ref":"1","nick":["%s"]}' % MARK.encode())
        assert member.find(frames.Refused).code == "malformed"
        member.send_raw(b"[" * 9_000)
        said = member.ended()
        assert [each.code for each in said if isinstance(each, frames.Refused)] == ["malformed"]


@check("proofs", "an oversized post is refused")
def _oversized_post(target: Target) -> None:
    with target.member() as member:
        assert member.welcome is not None and member.entered is not None
        size = member.welcome.max_payload_size // 2
        ref = member.ref()
        member.send(frames.Post(ref, member.at, member.entered.seq, box(b"A" * size)))
        answer = member.find(frames.Refused)
        assert (answer.ref, answer.code) == (ref, "too_long"), answer


# What fails


@check("guess", "a wrong password in a form is refused")
def _wrong_form(target: Target) -> None:
    body = urlencode({"admin_password": target.password + MARK, "username": "x"}).encode()
    refused(target.post("/generate_token", body), 401, "auth_failed")


@check("failing proofs", "an unknown token looks like a wrong password")
def _unknown(target: Target) -> None:
    seen = []
    for proof in ({"prs": pake.password_prs(MARK)}, {"token": f"{'A' * 16}.{'B' * 43}"}):
        with target.wire(**proof) as wire:
            wire.greet()
            key = wire.message()
            wire.peer.send(wire.link.receive_key(key, "", [frames.Stay(name())]))
            seen.append((len(key), wire.message(), wire.ended()))
    assert seen[0] == seen[1]
    assert json.loads(seen[0][1]) == {"type": "refused", "code": "auth_failed"}


def _no_more(target: Target, how: str) -> None:
    assert how in target.ended, "there never was a token"
    assert target.refusal(token=target.ended[how]).code == "auth_failed"


@check("failing proofs", "a revoked token does not let in")
def _revoked_again(target: Target) -> None:
    _no_more(target, "revoked")


@check("failing proofs", "an expired token does not let in")
def _expired_again(target: Target) -> None:
    _no_more(target, "expired")


@check("failing proofs", "a replayed handshake does not let in")
def _replayed_handshake(target: Target) -> None:
    with target.wire() as first, target.wire() as second:
        hello = first.link.receive_greeting(first.message())
        first.peer.send(hello)
        confirm = first.link.receive_key(first.message(), name(), [frames.Stay(name())])
        second.message()
        second.peer.send(hello)
        second.message()
        second.peer.send(confirm)
        assert second.refusal().code == "auth_failed"
        with contextlib.suppress(Closed, LinkBroken):
            raise AssertionError(second.next())


@check("failing proofs", "a key that is none is refused")
def _no_key(target: Target) -> None:
    with target.wire(prs=bytes(32)) as wire:
        wire.message()
        wire.peer.send(_hello(rsa="A" * 342, kem="A" * 1622, share="A" * 43))
        assert wire.refusal().code in ("malformed", "auth_failed")
        assert wire.ended() == []


@check("many guesses", "after many guesses even the right password has to wait")
def _too_many(target: Target) -> None:
    # At once, or the wait would be over before the next guess comes.
    body = urlencode({"admin_password": MARK, "username": "x"}).encode()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pages = ["/generate_token", "/revoke_token"] * 16
        answers = list(pool.map(lambda page: target.request("POST", page, body), pages))
    waiting = [answer for answer in answers if answer.status == 429]
    assert waiting and {answer.status for answer in answers} <= {401, 429}
    for answer in waiting:
        refused(answer, 429, "too_many_attempts")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    good = urlencode({"admin_password": target.password, "token": MARK}).encode()
    refused(target.request("POST", "/revoke_token", good), 429, "too_many_attempts")


@check("traces", "no answer tells of software, paths, versions, addresses, or what was sent")
def _no_trace(target: Target) -> None:
    assert len(target.heard) > 100
    sentences: dict[str, set[str]] = defaultdict(set)
    for raw in target.heard:
        text = raw.decode()
        found = FORBIDDEN.search(text.replace("HTTP/1.1", "", 1))
        assert found is None, f"{found} in {text}"
        assert target.password not in text and target.host not in text.replace("localhost", "")
        if text.startswith("HTTP/"):
            answer = Answer.read(raw)
            assert set(answer.headers) <= HEADERS, text
            if answer.status >= 400 and answer.body:
                sentences[answer.json()["error"]].add(answer.json()["message"])
    assert all(len(each) == 1 for each in sentences.values()), sentences


# Running them


def run(target: Target, say: Callable[[str], None]) -> int:
    """Run all checks, say how each went; the number of those that failed."""
    failed = count = 0
    hopeless = ""
    for stage, checks in STAGES.items():
        with ThreadPoolExecutor(AT_ONCE) as pool:
            running = {
                title: pool.submit(_trial, function, target, hopeless)
                for title, function in checks.items()
            }
        for title, trial in running.items():
            fault = trial.result()
            failed += bool(fault)
            count += 1
            say(f"FAILED {title}: {fault}" if fault else f"ok     {title}")
            if fault and stage in NEEDED:
                hopeless = "not tried after that"
    say(f"{count - failed} passed, {failed} failed")
    return failed


def _trial(function: Check, target: Target, hopeless: str) -> str:
    """Why a check failed, or nothing."""
    if hopeless:
        return hopeless
    try:
        function(target)
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None and _here(trace.tb_next):
            trace = trace.tb_next
        line = trace.tb_lineno if trace is not None else 0
        return f"{type(error).__name__} at line {line}: {str(error)[:500]}"
    return ""


def _here(trace: Any) -> bool:
    return bool(trace.tb_frame.f_code.co_filename == __file__)


def main(arguments: list[str]) -> int:
    """The script; its exit status."""
    host, port, password = [*arguments, *DEFAULTS[len(arguments) :]][:3]
    started = time.monotonic()
    failed = run(Target(host, int(port), password), lambda line: print(line, flush=True))
    print(f"{time.monotonic() - started:.1f} seconds", file=sys.stderr)
    return 1 if failed else 0


# Under pytest: without importing it, for the script has to do without

_TITLES = [title for checks in STAGES.values() for title in checks]


def _script(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The script's end, on a Python that has no pytest."""
    from tests.processes import environment

    (directory / "pytest.py").write_text("raise ImportError('not at run time')\n")
    return subprocess.run(
        [sys.executable, __file__, *arguments],
        env=environment({"PYTHONPATH": str(directory)}),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_script_passes_against_a_server(tmp_path: Path) -> None:
    from tests.processes import PASSWORD, Server

    # With the limits that a server has by default.
    with Server({"MAX_MESSAGES_PER_WINDOW": "", "HEARTBEAT_INTERVAL": ""}) as server:
        done = _script(tmp_path, server.host, str(server.port), PASSWORD)
        assert server.errors == ""
        assert server.process.poll() is None
    lines = done.stdout.splitlines()
    assert lines == [*(f"ok     {title}" for title in _TITLES), f"{len(_TITLES)} passed, 0 failed"]
    assert done.returncode == 0
    assert re.fullmatch(r"\d+\.\d seconds\n", done.stderr)


def test_the_script_tells_that_nobody_listens(tmp_path: Path) -> None:
    from tests.processes import free_port

    done = _script(tmp_path, "127.0.0.1", str(free_port()))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"0 passed, {len(_TITLES)} failed"
    assert "Traceback" not in done.stderr


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
