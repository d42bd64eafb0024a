"""Whatever comes, each decoder gives an object or the error that it documents.

Valid inputs are spoilt (``tests/fuzzing.py``), and there are plain bytes and texts.  What was
worth keeping is in ``tests/corpus``, one file for each decoder that it is for, and tried with
every run; large inputs are also measured.  With CMD_CHAT_SOAK the same goes on for as many
examples, from CMD_CHAT_SEED.
"""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import json
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import settings as program_settings
from client.encryption import envelope
from client.encryption.envelope import Body
from client.encryption.sender_keys import ROOM_AUDIENCE, Context, SenderChain
from client.encryption.transcript import TranscriptHash
from client.identity.records import Contents, Sighting
from client.sealed_file import FileUnusable
from client.token import _read as read_answer
from protocol import codec, frames, keys, limits, link, names, safe_text
from protocol.errors import ChatError, KeyUnusable, Malformed
from protocol.invite import is_invite, parse_invite
from protocol.keys import Bundle
from protocol.link import ClientLink, ServerLink
from protocol.records import Opener
from server.auth import Password, Tokens
from server.client_address import ClientAddress
from server.http import ANSWERS, Handler, HttpFace
from server.throttle import GUESSES, FormThrottle, TokenBuckets
from settings import SettingsError, Sources
from settings.dotenv import parse_dotenv
from settings.dotenv_file import read_dotenv
from settings.table import ROWS
from tests import test_frames as frame_tests
from tests.fuzzing import SEED, SOAK, spoil, spoil_json
from tests.test_link import PRS, STAYS, client_of, live, sealed
from tests.vector_files import identity, recipient_keys
from transport import Closed, Unreachable, client_websocket, http_client, server_websocket
from transport.stream import RequestFile

CORPUS = Path(__file__).parent / "corpus"
MB = 1024 * 1024  # MAX_PAYLOAD_SIZE, unless somebody sets another
MOST_BYTES = 64 * MB
# The bound is one second; here it only has to tell linear from quadratic on a busy machine.
MOST_SECONDS = 10.0
EXAMPLES = SOAK or 12


@dataclass(frozen=True)
class Decoder:
    """``read`` gets bytes; ``valid`` are inputs that it takes; ``errors`` what it may raise."""

    read: Callable[[bytes], object]
    valid: Callable[[], Sequence[bytes]]
    errors: tuple[type[Exception], ...] = (ChatError,)
    is_json: bool = False


def text_of(raw: bytes) -> str:
    """Any bytes as a text; what is not UTF-8 becomes halves of surrogate pairs."""
    return raw.decode("utf-8", "surrogateescape")


# Frames


def encoded(*tables: dict[str, type[frames.Frame]]) -> list[bytes]:
    return [frame_tests.example(kind).encode() for table in tables for kind in table.values()]


def read_from(table: dict[str, type[frames.Frame]]) -> Callable[[bytes], object]:
    return lambda raw: frames.from_object(codec.parse(raw), table)


def read_clear(raw: bytes) -> object:
    link.refusal_in_clear(text_of(raw))
    return frames.decode_clear(text_of(raw))


# The link


def read_hello(raw: bytes) -> object:
    server = ServerLink()
    server.greeting()
    return server.receive_hello(text_of(raw)), server.key(PRS)


def hellos() -> list[bytes]:
    greeting = ServerLink().greeting()
    return [client_of(token=token).receive_greeting(greeting).encode() for token in (None, "id")]


def read_greeting(raw: bytes) -> object:
    return client_of().receive_greeting(text_of(raw))


@functools.cache
def shaken() -> tuple[ClientLink, ServerLink, list[str], bytes]:
    """A client that has said hello, a server that has sent its key, what was said, `confirm`."""
    client, server = client_of(), ServerLink()
    said = [server.greeting()]
    said.append(client.receive_greeting(said[0]))
    server.receive_hello(said[1])
    said.append(server.key(PRS))
    return client, server, said, again(client).receive_key(said[2], "alice", STAYS)


def again(end: Any) -> Any:
    """The same end of a link once more, as it stood."""
    twin = copy.copy(end)
    twin._transcript = copy.copy(end._transcript)
    twin._transcript._frames = list(end._transcript._frames)
    if isinstance(twin, ServerLink):
        twin._opener = copy.copy(end._opener)
    else:
        twin._pake = copy.copy(end._pake)  # it runs once; this is another run
    return twin


def read_key(raw: bytes) -> object:
    return again(shaken()[0]).receive_key(text_of(raw), "alice", STAYS)


def read_confirm(raw: bytes) -> object:
    return again(shaken()[1]).receive_confirm(raw)


def read_first_record(raw: bytes) -> object:
    """What a client that knows the password puts into its first record."""
    client, server, said, _ = shaken()
    twin = again(client)
    twin.receive_key(said[2], "alice", STAYS)
    twin._sealer._next = 0
    return again(server).receive_confirm(twin._sealer.seal([raw]))


@functools.cache
def confirms() -> list[bytes]:
    _, server, _, record = shaken()
    return [again(server).receive_confirm(record).encode()]


def read_record(raw: bytes) -> object:
    return Opener(bytes(32)).open(raw)


def read_inside(raw: bytes) -> object:
    """What the other end of a link has sealed: each frame stands for itself."""
    found = []
    for value in Opener(bytes(32)).open(sealed(bytes(8) + raw)):
        for table in (frames.CLIENT_FRAMES, frames.SERVER_FRAMES):
            try:
                found.append(frames.from_object(value, table))
            except ChatError as error:
                found.append(error)  # type: ignore[arg-type]
    return found


def insides() -> list[bytes]:
    several = encoded(frames.CLIENT_FRAMES, frames.SERVER_FRAMES)
    return [b"[" + b",".join(several[at : at + 4]) + b"]" for at in range(0, len(several), 4)]


# Keys, boxes


def read_bundle(raw: bytes) -> object:
    bundle = Bundle.from_fields(codec.parse(raw))
    bundle.verify(bytes(64), b"message")
    try:
        bundle.check()
        return bundle.wrap(bytes(32), b"info")
    except KeyUnusable:
        return bundle


def bundles() -> list[bytes]:
    people = (identity("alice").bundle, frame_tests.SOME_BUNDLE)
    return [json.dumps(bundle.to_fields()).encode() for bundle in people]


def read_identity(raw: bytes) -> object:
    return Contents.decode(raw)


def identities() -> list[bytes]:
    day = date(2026, 11, 30)
    met = Contents.fresh().started(day).met(bytes(32), 5, Sighting("den:1", "zoë", day))
    return [met.encode().rstrip()]


def read_wrap(raw: bytes) -> object:
    return recipient_keys("connection").unwrap(raw, b"info")


@functools.cache
def wraps() -> list[bytes]:
    return [recipient_keys("connection").public.wrap(bytes(32), b"info")]


PLACE = Context("den", bytes(16), ROOM_AUDIENCE, bytes(32))
CHAIN = SenderChain(1, 0, bytes(32))
BODY = Body(bytes(16), "text", "zoë 漢", TranscriptHash(1, bytes(32)), bot=True).encode()


def read_box(raw: bytes) -> object:
    plain = envelope.unseal(raw, CHAIN, PLACE, b"")
    return None if plain is None else Body.decode(plain)


def read_body(raw: bytes) -> object:
    return Body.decode(raw.ljust(envelope.padded_size(len(raw))))


def read_text(raw: bytes) -> object:
    return keys.from_text(text_of(raw)), keys.from_text(text_of(raw), 32)


# The HTTP face, and the client's side of it


class Told:
    """A ``Stream`` whose peer has said everything, and hears everything."""

    def __init__(self, raw: bytes) -> None:
        self._left, self._at = raw, 0
        self.answer = b""
        self.aborted = False
        self.backlog = 0

    def peek(self) -> bytes:
        return self._left[self._at : self._at + 65536]

    def recv(self, size: int, flags: int = 0) -> bytes:
        taken = self._left[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def send(self, data: Any, flags: int = 0) -> int:
        self.answer += bytes(data)
        return len(data)

    sendall = send

    def makefile(self, mode: str = "rb", buffering: int = 0) -> RequestFile:
        return RequestFile(self)  # type: ignore[arg-type]  # all that it uses is here

    def abort(self) -> None:
        self.aborted, self._left, self._at = True, b"", 0

    close = abort

    def flush(self, deadline: float) -> None: ...
    def shutdown(self, how: int = 0) -> None: ...
    def set_deadline(self, deadline: float | None) -> None: ...


@functools.cache
def password() -> Password:
    return Password("open sesame")


def read_request(raw: bytes) -> object:
    """The whole of the HTTP face but for its sockets; an upgrade ends with its headers."""
    stream = Told(raw)
    guesses = FormThrottle(TokenBuckets(GUESSES), TokenBuckets(GUESSES))
    face = HttpFace(password(), Tokens(), guesses, lambda _: None, lambda _: None, False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.http.accept", upgrade_headers)
        Handler(stream, ClientAddress("127.0.0.1", "127.0.0.1"), face, lambda _: None)  # type: ignore[arg-type]
    if not stream.answer:
        return None
    answer = stream.answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 [1-5]\d\d [A-Z]", head), answer
    if head.split()[1] >= b"400" and body:
        error = json.loads(body)
        assert error == {"error": error["error"], "message": ANSWERS[error["error"]][1]}
    return head


def upgrade_headers(_: object, headers: Any, **_options: object) -> object:
    server_websocket.upgrade_key(headers)
    raise ConnectionAbortedError


FORM = b"admin_password=open+sesame&username=alice&ttl=60"
IN_JSON = b'{"admin_password": "open sesame", "username": "zo\\u00eb", "ttl": 60}'


def requests() -> list[bytes]:
    from tests.wire import UPGRADE

    found = [
        UPGRADE,
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /revoke_token HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
    ]
    for kind, body in ((b"x-www-form-urlencoded", FORM), (b"json; charset=utf-8", IN_JSON)):
        found.append(
            b"POST /generate_token HTTP/1.1\r\nHost: x\r\nContent-Type: application/%s\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (kind, len(body), body)
        )
    return found


def read_form(raw: bytes) -> object:
    """A form, whatever its body is: the head is always right."""
    return read_body_of(b"x-www-form-urlencoded", raw)


def read_form_json(raw: bytes) -> object:
    return read_body_of(b"json", raw)


def read_body_of(kind: bytes, raw: bytes) -> object:
    head = b"POST /generate_token HTTP/1.1\r\nContent-Type: application/%s\r\nContent-Length: %d"
    return read_request((head + b"\r\n\r\n%s") % (kind, len(raw), raw))


def read_form_answer(raw: bytes) -> object:
    stream: Any = Told(raw)
    status, body = http_client._ask(stream, "h", "/generate_token", "a=b")
    return status, read_answer(body)


def form_answers() -> list[bytes]:
    body = b'{"token": "a.b", "username": "zo\\u00eb", "expires_in": 5}\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    return [
        head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body),
        b"HTTP/1.1 100 Continue\r\n\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\n"
        b"5\r\n[1,2]\r\n0\r\n\r\n",
        head + b"\r\n" + body,
    ]


def read_upgrade_answer(raw: bytes) -> object:
    stream: Any = Told(raw)
    return client_websocket._upgraded(stream, "h", "/", MB, 1.0)


def upgrade_answers() -> list[bytes]:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return [
        head + b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\nSet-Cookie: a=b\r\n\r\n",
    ]


class Upgraded(Told):
    """Agrees to any upgrade, and then says what it was given."""

    def send(self, data: Any, flags: int = 0) -> int:
        asked = re.search(rb"Sec-WebSocket-Key: (\S+)", bytes(data))
        if asked is not None:
            guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            proof = base64.b64encode(hashlib.sha1(asked[1] + guid).digest())
            head = upgrade_answers()[0].replace(b"A" * 27 + b"=", proof)
            self._left, self._at = head + self._left[self._at :], 0
        return len(data)

    sendall = send


def read_messages(raw: bytes) -> object:
    """A client's WebSocket: messages, and then the end."""
    stream: Any = Upgraded(raw)
    peer = client_websocket._upgraded(stream, "h", "/", MB, 1.0)
    found: list[str | bytes | None] = []
    try:
        while len(found) < 100:
            found.append(peer.receive())
    except Closed:
        pass
    finally:
        peer.abort()
    return found


def messages() -> list[bytes]:
    pieces = (b"\x01\x02zo", b"\x89\x04ping", b"\x80\x02\xc3\xab")
    return [
        server_websocket.frame("hello") + server_websocket.frame("x" * 200),
        server_websocket.frame("{}") * 3 + b"\x88\x02\x03\xe8",
        b"".join(pieces) + server_websocket.frame(b"y" * 70_000),
    ]


# What people write


def read_settings(raw: bytes) -> object:
    for row in ROWS.values():
        try:
            row.type(text_of(raw[: 128 * 1024]))  # as long as the file may be
        except ValueError:
            continue
    return None


def read_dotenv_file(raw: bytes) -> object:
    return parse_dotenv(text_of(raw[: 128 * 1024]))  # longer files are refused unread


def read_invite(raw: bytes) -> object:
    text = text_of(raw)
    is_invite(text)
    invite = parse_invite(text)
    assert parse_invite(invite.link()).room == invite.room
    return invite


def read_invite_setting(raw: bytes) -> object:
    environ = {"CLIENT_INVITE": text_of(raw), "CLIENT_USERNAME": "a", "CLIENT_PASSWORD": "b"}
    return program_settings.client_settings(Sources({}, environ, {}))


INVITES = [
    b"cmdchat://localhost:99/caf%C3%A9#a%20b", b"cmdchat://[::1]/team",
    b"cmdchats://a.example/team?fp=" + b"0123456789abcdef" * 4 + b"#secret",
]  # fmt: skip
DOTENV = [
    b"# a server\nADMIN_PASSWORD='open sesame'\nexport SERVER_PORT=1000 # a port\n",
    b'CLIENT_ROOM_SECRET="a\\nb\\"c"\r\nCLIENT_INVITE = cmdchat://a/b#c\n\n',
]


def read_token(raw: bytes) -> object:
    tokens = Tokens()
    whole = tokens.mint("alice", 60.0)
    tokens.find(bytes(32), raw[:32].ljust(32))
    if raw != whole.encode():
        assert tokens.revoke(text_of(raw)) is None
    return None


def read_names(raw: bytes) -> object:
    text = text_of(raw[: MB // 4])  # far more than MAX_MESSAGE_SIZE is by default
    shown = safe_text.visible(text)
    assert safe_text.visible(shown) == shown
    shown.encode()
    for check, key in ((names.check_nick, names.nick_key), (names.check_room, names.room_key)):
        try:
            check(check(text))
        except ChatError as error:
            assert error.code in ("bad_nick", "bad_room")
        key(text[: 4 * limits.ROOM_CHARS])  # longer ones are refused before they have a key
    return shown


NAMES = [b"alice", "zoë".encode(), "पन्ना".encode(), "a👩‍👩‍👧b".encode(), "x\u0301\u0302".encode()]

DECODERS: dict[str, Decoder] = {
    "clear": Decoder(read_clear, lambda: encoded(frames.CLEAR_FRAMES), is_json=True),
    "client-frame": Decoder(
        read_from(frames.CLIENT_FRAMES), lambda: encoded(frames.CLIENT_FRAMES), is_json=True
    ),
    "server-frame": Decoder(
        read_from(frames.SERVER_FRAMES), lambda: encoded(frames.SERVER_FRAMES), is_json=True
    ),
    "log-entry": Decoder(
        read_from(frames.LOG_ENTRIES), lambda: encoded(frames.LOG_ENTRIES), is_json=True
    ),
    "hello": Decoder(read_hello, hellos, is_json=True),
    "greeting": Decoder(read_greeting, lambda: [ServerLink().greeting().encode()], is_json=True),
    "key": Decoder(read_key, lambda: [shaken()[2][2].encode()], is_json=True),
    "confirm": Decoder(read_confirm, lambda: [shaken()[3]]),
    "first-record": Decoder(read_first_record, confirms, is_json=True),
    "record": Decoder(read_record, lambda: [sealed(bytes(8) + b"[7]")]),
    "inside": Decoder(read_inside, insides, is_json=True),
    "bundle": Decoder(read_bundle, bundles, is_json=True),
    "identity": Decoder(read_identity, identities, (FileUnusable,), is_json=True),
    "wrap": Decoder(read_wrap, wraps),
    "box": Decoder(read_box, lambda: [envelope.seal(BODY, CHAIN, PLACE, b"")]),
    "body": Decoder(read_body, lambda: [BODY.rstrip()], is_json=True),
    "base64": Decoder(read_text, lambda: [keys.to_text(bytes(32)).encode()]),
    "request": Decoder(read_request, requests, ()),
    "form": Decoder(read_form, lambda: [FORM], ()),
    "form-json": Decoder(read_form_json, lambda: [IN_JSON], (), is_json=True),
    "form-answer": Decoder(read_form_answer, form_answers, (Unreachable,)),
    "upgrade-answer": Decoder(read_upgrade_answer, upgrade_answers, (Unreachable,)),
    "messages": Decoder(read_messages, messages, ()),
    "settings": Decoder(read_settings, lambda: [b"1000", b"10MB", b"127.0.0.1", b"yes"], ()),
    "dotenv": Decoder(read_dotenv_file, lambda: DOTENV, (SettingsError,)),
    "invite": Decoder(read_invite, lambda: INVITES, (Malformed,)),
    "invite-setting": Decoder(read_invite_setting, lambda: INVITES, (SettingsError,)),
    "token": Decoder(read_token, lambda: [b"AAAAAAAAAAAAAAAA." + b"B" * 43], ()),
    "names": Decoder(read_names, lambda: NAMES, ()),
}
EACH = pytest.mark.parametrize("name", DECODERS)
tried: dict[str, int] = dict.fromkeys(DECODERS, 0)


def outcome(name: str, raw: bytes) -> str:
    """``ok``, or the class of the error; anything but those of the decoder is raised."""
    tried[name] += 1
    try:
        DECODERS[name].read(raw)
    except DECODERS[name].errors as error:
        return type(error).__name__
    return "ok"


@EACH
def test_what_is_valid_is_read(name: str) -> None:
    """Or nothing that follows would say anything."""
    found = {outcome(name, raw) for raw in DECODERS[name].valid()}
    assert found == ({"Unreachable"} if name == "upgrade-answer" else {"ok"})


@EACH
@pytest.mark.timeout(0 if SOAK else 60)
@pytest.mark.soak
def test_an_object_or_its_error(name: str) -> None:
    """Valid inputs spoilt as bytes and as JSON, and plain bytes."""
    decoder = DECODERS[name]
    valid = decoder.valid()

    @seed(SEED)
    @settings(
        settings.get_profile("soak" if SOAK else "suite"),
        max_examples=EXAMPLES,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(valid), st.binary(max_size=24), st.integers(0, 7))
    def harmless(raw: bytes, recipe: bytes, way: int) -> None:
        if way == 0:
            outcome(name, recipe)
        elif decoder.is_json and way > 3:
            outcome(name, spoil_json(raw, recipe))
        else:
            outcome(name, spoil(raw, recipe, valid))

    harmless()
    if SOAK:
        print(f"{name}: {tried[name]} inputs")


# Kept ones


def corpus(name: str) -> Iterator[tuple[str, bytes, str]]:
    """Why, the input, and what comes of it."""
    for entry in json.loads((CORPUS / f"{name}.json").read_text("utf-8")):
        yield entry["why"], b"".join(piece_of(each) for each in entry["input"]), entry["expect"]


def piece_of(piece: Any) -> bytes:
    """A text, ``[text, times]``, or ``{"hex": …}``."""
    if isinstance(piece, dict):
        return bytes.fromhex(piece["hex"])
    text, times = piece if isinstance(piece, list) else (piece, 1)
    return str(text).encode("utf-8", "surrogatepass") * int(times)


@EACH
def test_what_was_kept(name: str) -> None:
    """Each input that was interesting once comes to what it came to."""
    kept = list(corpus(name))
    assert kept
    for why, raw, expected in kept:
        assert outcome(name, raw) == expected, why


def test_every_corpus_has_its_decoder() -> None:
    assert {path.stem for path in CORPUS.glob("*.json")} == {*DECODERS, "hostile_text"}


# Large ones


def many(piece: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + piece * ((MB - len(before) - len(after)) // len(piece)) + after


BIG: dict[str, bytes] = {
    "lists without an end": many(b"["),
    "lists in lists": b"[" * (MB // 2) + b"]" * (MB // 2),
    "objects in objects": many(b'{"a":'),
    "one number": many(b"9"),
    "one fraction": many(b"3", b"0."),
    "numbers of 4,000 digits": many(b"9" * 4000 + b",", b"[", b"1]"),
    "one letter": many(b"a"),
    "one text": many(b"a", b'"', b'"'),
    "one text of escapes": many(b"\\u0041", b'"', b'"'),
    "one text of pictures": many("🙂".encode(), b'"', b'"'),
    "backslashes": many(b"\\", b'"'),
    "quotes": many(b'"'),
    "apostrophes": many(b"'"),
    "empty lists": many(b"[],", b"[", b"[]]"),
    "empty objects": many(b"{},", b"[", b"{}]"),
    "small lists": many(b"[0],", b"[", b"[0]]"),
    "small objects": many(b'{"":0},', b"[", b"{}]"),
    "small fractions": many(b"0.5,", b"[", b"1]"),
    "small texts": many(b'"ab",', b"[", b'""]'),
    "many keys": b"{" + b",".join(b'"%x":0' % number for number in range(90_000)) + b"}",
    "one key many times": many(b'"a":0,', b"{", b'"b":0}'),
    "a token of junk": many(b"A", b"gAAAAA"),
    "a record of junk": many(b"\x10", b"\x80" + bytes(8)),
    "a token's padding": many(b"="),
    "white space": many(b" "),
    "white space before something": many(b" ", b"", b"x"),
    "lines": many(b"\n"),
    "carriage returns": many(b"\r"),
    "nothing at all": many(b"\0"),
    "halves of surrogate pairs": many(b"\xed\xa0\x80"),
    "what is no UTF-8": many(b"\xff"),
    "percent signs": many(b"%"),
    "escaped letters": many(b"%41", b"cmdchat://a/"),
    "fields of a form": many(b"a=b&"),
    "settings": many(b"A=1\n"),
    "a setting": many(b"a", b"A="),
    "a setting without an end": many(b"a", b'A="'),
    "a setting of escapes": many(b"\\n", b'A="', b'"'),
    "a name without a value": many(b"A"),
    "an export without a name": many(b" ", b"export"),
    "number signs": many(b"#"),
    "marks": many("\u0301".encode(), b"e"),
    "marks out of order": many("\u0301\u0323".encode(), b"e"),
    "joiners": many("\u200d".encode()),
    "ligatures": many("\ufdfa".encode()),
    "headers": many(b"X: y\r\n", b"GET / HTTP/1.1\r\n"),
    "a header": many(b"y", b"GET / HTTP/1.1\r\nX: "),
    "chunks": many(b"1\r\na\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "one hundred after another": many(b"HTTP/1.1 100 Continue\r\n\r\n"),
    # Each costs websocket-client 15 µs, so these are as many as fit a second.
    "pings": b"\x89\x01p" * 30_000,
    "fragments": b"\x01\x01f" + b"\x00\x01f" * 30_000,
    "messages": many(b"\x81\x01m"),
}
# What takes most of a parser: these are measured with each run, all others in a soak.
MEASURED = {
    "inside": ("lists in lists", "small objects", "many keys"),
    "record": ("a record of junk",),
    "box": ("a token of junk", "a token's padding"),
    "body": ("small objects",),
    "dotenv": ("a setting", "a setting without an end", "a setting of escapes", "settings",
               "an export without a name"),
    "names": ("marks out of order", "joiners", "ligatures", "one letter"),
    "request": ("headers", "a header"),
    "form-answer": ("chunks", "one hundred after another"),
    "messages": ("messages",),
    "invite": ("escaped letters",),
}  # fmt: skip


def measure(name: str, raw: bytes) -> tuple[float, int]:
    """Seconds of this thread, and the most bytes beyond the input, that ``raw`` takes.

    A soak prints the seconds, so there they are those of a run without the tracing.
    """
    began = time.thread_time()
    if SOAK:
        outcome(name, raw)
        took = time.thread_time() - began
    tracemalloc.start()
    try:
        outcome(name, raw)
        if not SOAK:
            took = time.thread_time() - began
        return took, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.timeout(0 if SOAK else 60)
@pytest.mark.soak
@EACH
def test_no_megabyte_takes_long_or_much(name: str) -> None:
    """A second, and 64 MB, are enough for anything up to the payload limit, and less for less."""
    outcome(name, DECODERS[name].valid()[0])  # what is loaded once is not the input's
    worst: list[tuple[float, int, str]] = []
    for what in BIG if SOAK else MEASURED.get(name, ()):
        whole = SOAK or name in ("inside", "record", "dotenv")
        raw = BIG[what] if whole else BIG[what][: MB // 8]
        took, size = measure(name, raw)
        worst.append((took, size, what))
        assert size < MB + (MOST_BYTES - MB) * len(raw) / MB, (what, size)
        assert took < MOST_SECONDS, (what, took)
    if SOAK and worst:
        slowest, largest = max(worst), max(worst, key=lambda each: each[1])
        print(f"{name}: at most {slowest[0]:.3f} s ({slowest[2]}),", end=" ")
        print(f"{largest[1] / MB:.1f} MB ({largest[2]})")


def test_a_settings_file_of_any_bytes(tmp_path: Path) -> None:
    """Settings, or the error that says why not; one that is far too long is not looked at."""
    path = tmp_path / ".env"
    for raw, values in (
        (b"\xef\xbb\xbfA=1", {"A": "1"}), (b"A=1\0", {"A": "1\0"}), (b"\xff", None),
        (b"A", {}), (many(b"A=1\n"), None),
    ):  # fmt: skip
        path.write_bytes(raw)
        if values is None:
            with pytest.raises(SettingsError):
                read_dotenv(str(path))
        else:
            assert read_dotenv(str(path)) == values


def test_a_long_secret_has_no_half_characters() -> None:
    """A link with half of a surrogate pair is refused: it could not be passed on."""
    for link_text in ("cmdchat://a/\ud800", "cmdchat://a/r#\udfff", "cmdchat://\udcff/r"):
        with pytest.raises(Malformed):
            parse_invite(link_text)


def test_a_host_without_an_end_is_refused_at_once() -> None:
    """Not in quadratic time: a minute, for what fits into a settings file."""
    took, _ = measure("settings", b"a" * 40_000 + b"!")
    assert took < MOST_SECONDS


def test_a_link_that_looks_like_tls_is_tls() -> None:
    """A long s is an s to who ignores case, and must not lead past TLS."""
    assert parse_invite("cmdchat\u017f://a/r").tls
    assert not parse_invite("CMDCHAT://a/r").tls


def test_records_are_bounded_by_their_message() -> None:
    """A record that opens and is a megabyte of frames is refused as one, not frame by frame."""
    inside = b"[" + b",".join([b'{"type":"taken","ref":1}'] * 40_000) + b"]"
    with pytest.raises(Malformed):
        Opener(bytes(32)).open(sealed(bytes(8) + inside))


def test_live_links_are_what_the_decoders_read() -> None:
    """The samples above are of a handshake that works."""
    made = live()
    assert made.server.open(made.client.seal([frame_tests.example(frames.Seen).encode()]))
