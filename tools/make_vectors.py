"""Make the vectors of ``tests/vectors`` anew: ``python -m tools.make_vectors``.

Only needed when the specification changes: sealing and wrapping are random, so each run writes
other ciphertexts, which open just the same.  ``people.txt``, private keys that are of no use
anywhere else, is made only where it is missing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from unittest import mock

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from client.encryption import envelope, safety_numbers
from client.encryption.envelope import Body
from client.encryption.roster import RosterEntry
from client.encryption.sender_keys import ROOM_AUDIENCE, Context, SenderChain, member_audience
from client.encryption.transcript import Claim, Transcript, TranscriptHash
from protocol import frames, link, pake
from protocol.frames import Box, Frame, KeyFor, Posted, PrivateFor, Renamed, Stay, Wrap
from protocol.keys import Bundle, to_text
from protocol.link import ClientLink, Credentials, ServerLink
from protocol.names import nick_key, room_key
from protocol.records import Opener, Sealer
from tests.vector_files import FOLDER, PEOPLE, identity, members, pairs, recipient_keys, write

ROOM, PASSWORD, TOKEN = "Den", "correct horse", "dG9rZW4taWQtMDAx"  # noqa: S105  # examples
TOKEN_SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"  # noqa: S105  # an example
LOG, AT = b"vectors' log id!", 1
ROSTER = "1 alice alice 1; 2 Bob bob 2; 3 carol carol 3"


def fixed(name: str, size: int = 32) -> bytes:
    """Bytes that stand for random ones."""
    return hashlib.sha256(f"cmdchat vector {name}".encode()).digest()[:size]


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def text_of(frame: Frame) -> str:
    return frame.encode().decode()


# People


def make_people() -> None:
    """Private keys for everybody in the vectors, and for one connection."""
    lines = []
    for person in ("alice", "bob", "carol", "mallory", "connection"):
        rsa_key = generate_private_key(65537, 2048)
        der = rsa_key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        sign = Ed25519PrivateKey.generate().private_bytes_raw()
        found = {
            "rsa": der,
            "mlkem": fixed(f"{person} mlkem 1") + fixed(f"{person} mlkem 2"),
            "x25519": fixed(f"{person} x25519"),
            "ed25519": sign,
        }
        lines += [f"{person}.{name}: {to_text(raw)}" for name, raw in found.items()]
    PEOPLE.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")


# Frames


# A box by its form; nothing has signed it.
BOX = compact({"epoch": 1, "n": 0, "data": "gAAAAA==", "sig": to_text(bytes(64))})


FRAMES: dict[str, tuple[str, str, str, str]] = {
    # name: table, expect, why, payload
    "taken": ("server", "ok", "a frame as it should be", '{"type":"taken","ref":7}'),
    "seen": (
        "client", "ok", "how far a client has come, in each room",
        '{"type":"seen","positions":[{"at":1,"seq":7,"number":2},{"at":4,"seq":90,"number":0}]}',
    ),
    "seen-answer": (
        "client", "ok", "a heartbeat that wants an answer, before there is a room",
        '{"type":"seen","positions":[],"answer":true}',
    ),
    "seen-many": (
        "client", "malformed", "nobody is in 17 rooms", '{"type":"seen","positions":['
        + ",".join(f'{{"at":{at},"seq":1,"number":0}}' for at in range(17)) + "]}",
    ),
    "seen-half": (
        "client", "malformed", "a position has three numbers",
        '{"type":"seen","positions":[{"at":1,"seq":7}]}',
    ),
    "enter-beside": (
        "client", "ok", "one room more", '{"type":"enter","ref":4,"room":"Straße"}',
    ),
    "enter-move": (
        "client", "ok", "one room in the place of another",
        '{"type":"enter","ref":4,"room":"Straße","leave":1}',
    ),
    "leave": ("client", "ok", "a room is left", '{"type":"leave","ref":5,"at":1}'),
    "leave-name": (
        "client", "malformed", "rooms have numbers here", '{"type":"leave","ref":5,"at":"den"}',
    ),
    "nick": (
        "client", "ok", "a nickname for all rooms", '{"type":"nick","ref":6,"at":1,"nick":"zoë"}',
    ),
    "post-nowhere": (
        "client", "malformed", "what is said is said in some room",
        '{"type":"post","ref":1,"change":2,"box":' + BOX + "}",
    ),
    "post": (
        "client", "ok", "and with its number it is a post",
        '{"type":"post","ref":1,"at":1,"change":2,"box":' + BOX + "}",
    ),
    "spaces": (
        "client", "ok", "JSON's own spaces mean nothing", ' { "type" : "list_rooms", "ref" : 7 } ',
    ),
    "order": ("client", "ok", "keys come in any order", '{"ref":7,"type":"list_rooms"}'),
    "unknown-key": (
        "client", "ok", "unknown keys are ignored", '{"type":"list_rooms","ref":7,"later":[1,{}]}',
    ),
    "optional-null": (
        "client", "ok", "null is as good as absent where a key may be absent",
        '{"type":"enter","ref":7,"room":"den","leave":null}',
    ),
    "largest-number": (
        "client", "ok", "numbers go up to 2^53 - 1",
        '{"type":"list_rooms","ref":9007199254740991}',
    ),
    "too-large-number": (
        "client", "malformed", "2^53 is not exact in every language",
        '{"type":"list_rooms","ref":9007199254740992}',
    ),
    "negative": ("client", "malformed", "no count is negative", '{"type":"list_rooms","ref":-1}'),
    "fraction": ("client", "malformed", "7.0 is not 7", '{"type":"list_rooms","ref":7.0}'),
    "exponent": ("client", "malformed", "7e0 is not 7", '{"type":"list_rooms","ref":7e0}'),
    "flag-for-number": (
        "client", "malformed", "true is not 1", '{"type":"list_rooms","ref":true}',
    ),
    "number-for-text": ("client", "malformed", "7 is not a text", '{"type":"bye","reason":7}'),
    "text-for-number": ("client", "malformed", '"7" is not 7', '{"type":"list_rooms","ref":"7"}'),
    "required-null": (
        "client", "malformed", "ref must be there", '{"type":"list_rooms","ref":null}',
    ),
    "missing-key": ("client", "malformed", "ref must be there", '{"type":"list_rooms"}'),
    "duplicate-key": (
        "client", "malformed", "two readers could disagree",
        '{"type":"list_rooms","ref":7,"ref":7}',
    ),
    "duplicate-key-inside": (
        "client", "malformed", "also where nobody looks",
        '{"type":"list_rooms","ref":7,"later":{"a":1,"a":1}}',
    ),
    "nan": (
        "client", "malformed", "NaN is not JSON", '{"type":"list_rooms","ref":7,"later":NaN}',
    ),
    "infinity": (
        "client", "malformed", "nor this", '{"type":"list_rooms","ref":7,"later":-Infinity}',
    ),
    "trailing": ("client", "malformed", "one value and no more", '{"type":"list_rooms","ref":7}{}'),
    "list": ("client", "malformed", "a frame is an object", '["list_rooms",7]'),
    "no-type": ("client", "malformed", "a frame has a type", '{"ref":7}'),
    "type-not-text": (
        "client", "malformed", "and it is a text", '{"type":["list_rooms"],"ref":7}',
    ),
    "unknown-type": ("client", "unknown_type", "there is none such", '{"type":"later","ref":7}'),
    "other-direction": (
        "client", "unknown_type", "only the server sends this", '{"type":"accepted","ref":1}',
    ),
    "entry-outside-log": (
        "server", "unknown_type", "entries stand in a log frame",
        '{"type":"left","seq":7,"id":1}',
    ),
    "unknown-entry": (
        "server", "bad_version", "unknown entries cannot be skipped: they may be changes",
        '{"type":"log","at":1,"to":7,"entries":[{"type":"later","seq":7}]}',
    ),
    "seconds": (
        "server", "ok", "seconds may have a fraction",
        '{"type":"refused","code":"rate_limited","ref":1,"retry_after":1.5}',
    ),
    "seconds-endless": (
        "server", "malformed", "1e999 is infinite for many readers",
        '{"type":"refused","code":"rate_limited","retry_after":1e999}',
    ),
    "stay-refused": (
        "server", "ok", "a room that one does not get, though one is let in",
        '{"type":"refused","code":"room_full","room":"Straße"}',
    ),
    "entered-nowhere": (
        "server", "malformed", "a room has a number",
        '{"type":"entered","room":"den","log":"AAAAAAAAAAAAAAAAAAAAAA","id":1,"seq":1,"members":1,'
        '"resumed":false,"missed":0}',
    ),
    "minted": (
        "server", "ok", "a token for whoever is invited",
        '{"type":"minted","ref":7,"id":"AAECAwQFBgcICQoL","secret":"'
        + "s" * 42 + '4","seconds":60}',
    ),
    "minted-spare-bits": (
        "server", "malformed", "32 bytes leave two bits of the last letter over, which are zero",
        '{"type":"minted","ref":7,"id":"AAECAwQFBgcICQoL","secret":"'
        + "s" * 42 + 't","seconds":60}',
    ),
    "minted-whole": (
        "server", "malformed", "id and secret stand by themselves",
        '{"type":"minted","ref":7,"token":"AAECAwQFBgcICQoL.' + "s" * 42 + '4","seconds":60}',
    ),
    "nick-lost": (
        "server", "ok", "free in so many seconds, unless its holder comes back",
        '{"type":"refused","code":"nick_lost","retry_after":41.3}',
    ),
    "nick-alike": (
        "server", "ok", "the nickname that the refused one looks like",
        '{"type":"refused","code":"nick_taken","ref":2,"nick":"alice"}',
    ),
    "taken-over": (
        "server", "ok", "another one has proven the same token: do not come back",
        '{"type":"bye","reason":"taken_over"}',
    ),
    "unknown-code": (
        "server", "ok", "codes may be added", '{"type":"refused","code":"later"}',
    ),
    "long-code": (
        "server", "malformed", "a code has at most 32 characters",
        '{"type":"refused","code":"' + "c" * 33 + '"}',
    ),
    "long-nick": (
        "client", "malformed", "64 characters are more than any nickname has",
        '{"type":"nick","ref":1,"nick":"' + "n" * 65 + '"}',
    ),
    "greeting": (
        "clear", "ok", "the first frame of all",
        '{"type":"greeting","version":2,"nonce":"AAAAAAAAAAAAAAAAAAAAAA"}',
    ),
    "base64-padded": (
        "clear", "malformed", "base64url has no padding here",
        '{"type":"greeting","version":2,"nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}',
    ),
    "base64-spare-bits": (
        "clear", "malformed", "the spare bits of the last character are 0",
        '{"type":"greeting","version":2,"nonce":"AAAAAAAAAAAAAAAAAAAAAB"}',
    ),
    "base64-other-alphabet": (
        "clear", "malformed", "+ and / are of another alphabet",
        '{"type":"greeting","version":2,"nonce":"AAAAAAAAAA+/AAAAAAAAAA"}',
    ),
    "base64-short": (
        "clear", "malformed", "a nonce has 16 bytes",
        '{"type":"greeting","version":2,"nonce":"AAAAAAAAAAAAAAAAAAAA"}',
    ),
    "too-big": (
        "clear", "too_big", "a frame in clear has at most 16 KiB",
        '{"type":"greeting","version":2,"nonce":"AAAAAAAAAAAAAAAAAAAAAA","later":"'
        + "x" * 16384 + '"}',
    ),
}  # fmt: skip


def confirms() -> Iterator[tuple[str, tuple[str, str, str, str]]]:
    """Which rooms a client may ask for."""
    whole = {"room": "Den", "log": to_text(LOG), "seq": 7, "number": 2}
    rooms: list[dict[str, object]] = [{"room": f"den-{number}"} for number in range(17)]
    rows: dict[str, tuple[str, str, list[dict[str, object]]]] = {
        "": ("ok", "one room that goes on, and one more", [whole, {"room": "lair"}]),
        "-most": ("ok", "as many as one may be in", rooms[:16]),
        "-many": ("malformed", "and one more", rooms),
        "-none": ("malformed", "one has to be somewhere", []),
        "-twice": ("malformed", "two names of one room", [{"room": "Straße"}, {"room": "STRASSE"}]),
        "-half": ("malformed", "where it goes on takes three", [{**whole, "number": None}]),
        "-number-alone": ("malformed", "or none", [{"room": "den", "seq": 7}]),
    }
    who = {"nick": "alice", "bundle": identity("alice").bundle.to_fields()}
    for name, (expect, why, stays) in rows.items():
        frame = {"type": "confirm", **who, "stays": stays, "sig": to_text(bytes(64))}
        yield f"confirm{name}", ("client", expect, why, compact(frame))


def make_frames() -> None:
    for name, (table, expect, why, payload) in {**FRAMES, **dict(confirms())}.items():
        header = {"expect": expect, "do": "frame", "why": why, "table": table}
        write(FOLDER / "frames" / f"{name}.txt", header, (payload,))


# The link


def handshake(
    name: str,
    expect: str,
    why: str,
    token: bool = False,
    change: Callable[[list[str]], None] | None = None,
    server_prs: bytes | None = None,
    show: bool = True,
    ticket: bytes | None = None,
    stays: Sequence[Stay] = (Stay(ROOM),),
) -> None:
    """One handshake with everything fixed but what wrapping and sealing draw themselves.

    ``change`` spoils the frames that the client gets; ``show`` adds all values in between.
    """
    prs = pake.token_prs(TOKEN_SECRET.encode()) if token else pake.password_prs(PASSWORD)
    who, connection = identity("alice"), recipient_keys("connection")
    client = ClientLink(who, Credentials(prs, TOKEN if token else None), connection, ticket)
    secret, isks, keys = fixed("k0"), [], []
    nonces = fixed("client nonce", 16), fixed("client scalar")
    drawn: Iterator[bytes] = iter(
        [fixed("server nonce", 16), *nonces, secret, fixed("server scalar")]
    )
    finish, derive = pake.Pake.finish_responder, link._derive

    def spy_isk(self: pake.Pake, *args: bytes) -> bytes:
        isks.append(finish(self, *args))
        return isks[-1]

    def spy_keys(secret: bytes, salt: bytes, label: str) -> bytes:
        keys.append((salt, derive(secret, salt, label)))
        return keys[-1][1]

    with (
        mock.patch("secrets.token_bytes", lambda size: next(drawn)),
        mock.patch.object(pake.Pake, "finish_responder", spy_isk),
        mock.patch.object(link, "_derive", spy_keys),
    ):
        server = ServerLink()
        greeting = server.greeting()
        hello = client.receive_greeting(greeting)
        server.receive_hello(hello)
        key = server.key(server_prs or prs)
        (transcript, client_key), (_, server_key) = keys
    confirm = client.receive_key(key, "alice", stays)
    if server_prs is None:
        server.receive_confirm(confirm)
    following = fixed("following ticket", 16)
    record = server.seal(each.encode() for each in first_frames(who.bundle, stays, following))
    texts = [greeting, hello, key, to_text(confirm), to_text(record)]
    if change is not None:
        change(texts)
    proof = {"token": f"{TOKEN}.{TOKEN_SECRET}"} if token else {"password": PASSWORD}
    header = {
        "expect": expect, "do": "handshake", "why": why,
        "connection": "connection", "identity": "alice",
        "proof": "token" if token else "password", **proof, "nick": "alice",
        "stays": compact([stay.to_object() for stay in stays]),
        "client-nonce": to_text(nonces[0]), "client-scalar": to_text(nonces[1]),
        **({"ticket": to_text(ticket)} if ticket is not None else {}),
    }  # fmt: skip
    values = {
        "prs": prs, "sid": server.sid, "k0": secret, "isk": isks[0], "transcript": transcript,
        "generator": pake._generator(prs, link.CHANNEL, server.sid),
        "client-key": client_key, "server-key": server_key,
    }  # fmt: skip
    if show:
        header |= {key: to_text(value) for key, value in values.items()}
    senders = ("server", "client", "server", "client", "server")
    payload = tuple(f"{who} {text}" for who, text in zip(senders, texts, strict=True))
    write(FOLDER / "link" / f"{name}.txt", header, payload)


def first_frames(bundle: Bundle, stays: Sequence[Stay], ticket: bytes) -> list[Frame]:
    """What a server answers: it knows the first room, and where the client goes on there."""
    resumed = stays[0].log is not None
    found: list[Frame] = [
        frames.Welcome("alice", resumed, 30.0, 60.0, 10240, 1048576, 10, 60.0, ticket)
    ]
    if resumed:
        found.append(frames.Entered(AT, ROOM, LOG, 1, stays[0].seq or 0, 0, True, 0))
    else:
        found.append(frames.Entered(AT, ROOM, LOG, 1, 1, 1, False, 0))
        found.append(frames.Roster((frames.MemberLine(1, "alice", 1, bundle),)))
    return found + [frames.Refused("gone", room=stay.room) for stay in stays[1:]]


def spoil(place: int, **fields: object) -> Callable[[list[str]], None]:
    def change(texts: list[str]) -> None:
        texts[place] = compact({**json.loads(texts[place]), **fields})

    return change


def make_link() -> None:
    handshake("password", "ok", "a handshake with the password, and all that is derived in it")
    handshake("token", "ok", "a handshake with a token", token=True)
    handshake(
        "ticket", "ok", "a handshake of one that comes back, with a ticket",
        ticket=fixed("ticket", 16),
    )  # fmt: skip
    handshake(
        "rooms", "ok", "one that comes back to two rooms, and is no more in the second",
        stays=(Stay("DEN", LOG, 7, 2), Stay("Straße", fixed("other log", 16), 90, 0)),
    )  # fmt: skip
    handshake(
        "wrong-password", "record", "the server knows another password: nothing of it opens",
        server_prs=pake.password_prs("another"), show=False,
    )  # fmt: skip
    low = to_text(bytes(32))
    handshake(
        "low-order-share", "share", "CPace aborts on a share of low order",
        change=spoil(2, share=low), show=False,
    )  # fmt: skip
    handshake(
        "other-wrap", "wrap", "K0 was wrapped for another hello", show=False,
        change=spoil(2, wrapped=to_text(recipient_keys("connection").public.wrap(
            fixed("k0"), link._wrap_info("another")))),
    )  # fmt: skip
    handshake(
        "other-share", "record", "the server's share was replaced on the way", show=False,
        change=spoil(2, share=to_text(pake.Pake(fixed("prs"), link.CHANNEL, fixed("sid")).share)),
    )  # fmt: skip
    handshake(
        "changed-key", "record", "a key was added to a frame on the way: the transcript differs",
        change=spoil(2, later=1), show=False,
    )  # fmt: skip
    handshake(
        "other-version", "version", "the server speaks version 1", change=spoil(0, version=1),
        show=False,
    )  # fmt: skip
    key = fixed("record key")
    sealer = Sealer(key)
    sealed = [sealer.seal(each) for each in ([b'{"type":"taken","ref":7}'], [], [b"7", b"[]"])]
    damaged = sealed[1][:60] + bytes((sealed[1][60] ^ 1,)) + sealed[1][61:]
    odd = {
        "not-a-list": b'{"type":"taken","ref":7}',
        "duplicate-key": b'[{"type":"taken","ref":7,"ref":7}]',
        "not-utf8": b'[{"type":"bye","reason":"\xff"}]',
        "empty": b"",
    }
    rows: list[tuple[str, str, str, list[bytes], str]] = [
        ("record", "ok", "three records in a row", sealed, "[7,[]]"),
        ("record-replayed", "counter", "the first one again", [sealed[0], sealed[0]], ""),
        ("record-reordered", "counter", "the third one too early", [sealed[0], sealed[2]], ""),
        ("record-dropped", "counter", "the first one is missing", [sealed[1]], ""),
        ("record-damaged", "token", "one byte was changed", [sealed[0], damaged], ""),
        ("record-cut", "token", "the end is missing", [sealed[0], sealed[1][:-16]], ""),
        ("record-other-key", "token", "another key", [Sealer(fixed("other")).seal([])], ""),
    ]
    for name, plain in odd.items():
        rows.append((f"record-{name}", "body", "what is inside is no JSON list of frames",
                     [sealed_raw(key, plain)], ""))  # fmt: skip
    for name, expect, why, records, result in rows:
        header = {"expect": expect, "do": "record", "why": why, "key": to_text(key)}
        if result:
            header["result"] = result
        write(FOLDER / "link" / f"{name}.txt", header, tuple(map(to_text, records)))
    Opener(key).open(sealed[0])
    small = {
        "password-prs": ({"password": "cafe\u0301"}, pake.password_prs("caf\u00e9")),
        "token-prs": ({"token-secret": TOKEN_SECRET}, pake.token_prs(TOKEN_SECRET.encode())),
        "token-name": (
            {"sid": to_text(fixed("sid")), "token-id": TOKEN},
            link.token_name(fixed("sid"), TOKEN),
        ),
        "ticket-name": (
            {"sid": to_text(fixed("sid")), "ticket": to_text(fixed("ticket", 16))},
            link.ticket_name(fixed("sid"), fixed("ticket", 16)),
        ),
    }
    whys = {
        "password-prs": "what CPace gets; the password is in NFC first",
        "token-prs": "what CPace gets for a token",
        "token-name": "how hello names a token",
        "ticket-name": "how hello shows the ticket that a welcome has brought",
    }
    for name, (given, made) in small.items():
        header = {"expect": "ok", "do": name, "why": whys[name], **given, "result": to_text(made)}
        write(FOLDER / "link" / f"{name}.txt", header)


def sealed_raw(key: bytes, plain: bytes) -> bytes:
    """The first record, with ``plain`` where the list should be."""
    fernet = Fernet(base64.urlsafe_b64encode(key))
    return base64.urlsafe_b64decode(fernet.encrypt_at_time((bytes(8) + plain).ljust(256), 0))


# The room layer


class Scene:
    """Alice speaks, Bob reads: the frames that he is given."""

    def __init__(self, room: str = ROOM, roster: str = ROSTER, salt: bytes = b"") -> None:
        self.room, self.roster, self.salt = room, roster, salt
        self.entered, self.change, self.seq, self.numbers = 3, 3, 3, 0
        self.lines: list[str] = []
        found = [RosterEntry(line).pair for line in members(roster)]
        self.transcript = Transcript(LOG, self.change, found)
        self.chain = SenderChain(1, 0, fixed("ck"))
        self.place = Context(room_key(room), LOG, ROOM_AUDIENCE, identity("alice").fingerprint)
        self.nick = nick_key(members(roster)[0].nick)

    def wrap(self, chain: SenderChain, to: str = "bob") -> Wrap:
        return chain.wrap(self.place, 2, identity(to).bundle)

    def key_for(self, wrap: Wrap, sender: int = 1) -> None:
        self.numbers += 1
        self.lines.append(text_of(KeyFor(AT, self.numbers, sender, wrap)))

    def body(self, text: str = "hello", kind: str = "text", post_id: bytes = b"") -> Body:
        post_id = post_id or fixed(f"id {self.seq}", 16)
        return Body(post_id, kind, text, self.transcript.seen())

    def box(
        self,
        chain: SenderChain,
        plain: bytes,
        signer: str = "alice",
        nick: str = "",
        change: int = 0,
        place: Context | None = None,
        n: int | None = None,
        data: bytes = b"",
    ) -> Box:
        place = place or self.place
        n = chain.n if n is None else n
        data = data or envelope.seal(plain, chain, place, self.salt)
        message = envelope.signed(
            place, nick or self.nick, change or self.change, chain.epoch, n, data
        )
        return Box(chain.epoch, n, data, identity(signer).sign(message))

    def posted(self, box: Box, sender: int = 1, change: int = 0, seq: int = 0) -> None:
        self.seq = seq or self.seq + 1
        self.transcript.add(box.sig)
        self.lines.append(text_of(Posted(self.seq, sender, change or self.change, box)))

    def renamed(self) -> Claim:
        """Carol takes another nickname; what Alice had been shown until then."""
        before = Claim(self.change, self.transcript.seen())
        self.seq += 1
        self.change = self.seq
        self.lines.append(text_of(Renamed(self.seq, 3, "Caroline")))
        lines = members(self.roster.replace("carol carol", "Caroline carol"))
        self.transcript = Transcript(LOG, self.change, [RosterEntry(line).pair for line in lines])
        return before

    def say(self, n: int, text: str = "hello", **fields: str | bytes) -> Box:
        box = self.box(self.chain.at(n), self.body(text, **fields).encode())  # type: ignore[arg-type]
        self.posted(box)
        return box

    def write(self, name: str, expect: str, why: str, **extra: str) -> None:
        header = {
            "expect": expect, "do": "open", "why": why, "reader": "bob", "me": "2",
            "room": self.room, "log": to_text(LOG), "change": str(self.entered),
            "members": self.roster,
        }  # fmt: skip
        if self.salt:
            header["salt"] = to_text(self.salt)
        write(FOLDER / "e2e" / f"{name}.txt", header | extra, tuple(self.lines))


def ready(**given: str | bytes) -> Scene:
    """A scene in which Bob has Alice's chain already."""
    scene = Scene(**given)  # type: ignore[arg-type]
    scene.key_for(scene.wrap(scene.chain))
    return scene


HELLO = {"nick": "alice", "kind": "text", "text": "hello"}


def make_boxes() -> None:
    scene = ready()
    scene.say(0)
    scene.write("box", "ok", "a chain, then a post under it", **HELLO)

    scene = ready()
    scene.say(0, "waves", kind="action")
    scene.write("box-action", "ok", "what /me says", nick="alice", kind="action", text="waves")

    scene = ready()
    scene.say(0, "one")
    scene.say(1, "two")
    scene.say(5, "three 漢 🙂")
    scene.write(
        "box-gap", "ok", "numbers may be left out", nick="alice", kind="text", text="three 漢 🙂"
    )

    scene = Scene()
    scene.key_for(scene.wrap(scene.chain.at(7)))
    scene.say(7)
    scene.write("box-chain-under-way", "ok", "a chain is wrapped at its next number", **HELLO)

    scene = Scene(room="Straße", roster="1 ÄRGER alice 1; 2 Bob bob 2")
    scene.entered = scene.change = scene.seq = 2
    scene.transcript = Transcript(LOG, 2, [RosterEntry(x).pair for x in members(scene.roster)])
    scene.nick = "ärger"
    scene.place = replace(scene.place, room="strasse")
    scene.key_for(scene.wrap(scene.chain))
    scene.say(0)
    scene.write(
        "box-folded-names", "ok", "rooms and nicknames enter case-folded",
        **HELLO | {"nick": "ÄRGER"},
    )  # fmt: skip

    scene = ready(salt=fixed("salt"))
    scene.say(0)
    scene.write("box-secret", "ok", "the room has a secret", **HELLO)

    scene = ready(salt=fixed("salt"))
    scene.say(0)
    scene.salt = b""
    scene.write("box-secret-lacking", "token", "the reader has no secret", reason="secret")

    scene = ready(salt=fixed("salt"))
    scene.say(0)
    scene.salt = fixed("another salt")
    scene.write("box-secret-wrong", "token", "the reader has another secret", reason="secret")

    scene = Scene()
    scene.say(0)
    scene.write("box-no-key", "key", "no chain was wrapped", reason="no_key")

    scene = Scene()
    scene.key_for(scene.wrap(scene.chain.at(3)))
    scene.say(2)
    scene.write("box-before-key", "key", "sealed before the chain was wrapped", reason="no_key")

    def forged(name: str, why: str, box: Callable[[Scene], Box], **posted: int) -> None:
        scene = ready()
        scene.posted(box(scene), **posted)
        scene.write(name, "name", why, reason="name", warning="forged")

    def plain(scene: Scene) -> bytes:
        return scene.body().encode()

    forged(
        "box-wrong-signature", "somebody else signed",
        lambda s: s.box(s.chain, plain(s), signer="mallory"),
    )  # fmt: skip
    forged(
        "box-wrong-nickname", "signed as another nickname than the roster has",
        lambda s: s.box(s.chain, plain(s), nick="carol"),
    )  # fmt: skip
    forged(
        "box-wrong-change", "the server says that it was sealed for another change",
        lambda s: s.box(s.chain, plain(s), change=2),
    )  # fmt: skip
    forged(
        "box-other-sender", "Alice's box, passed off as Carol's",
        lambda s: s.box(s.chain, plain(s)), sender=3,
    )  # fmt: skip
    forged("box-of-nobody", "no member has this id", lambda s: s.box(s.chain, plain(s)), sender=9)
    forged(
        "box-other-room", "sealed and signed for another room",
        lambda s: s.box(s.chain, plain(s), place=replace(s.place, room="other")),
    )  # fmt: skip
    forged(
        "box-other-log", "sealed and signed for an earlier life of this room",
        lambda s: s.box(s.chain, plain(s), place=replace(s.place, log_id=bytes(16))),
    )  # fmt: skip
    forged(
        "box-other-token", "the token was exchanged after it was signed",
        lambda s: replace(
            s.box(s.chain, plain(s)), data=envelope.seal(plain(s), s.chain, s.place, b"")
        ),
    )  # fmt: skip
    forged(
        "box-other-number", "the number was changed after it was signed",
        lambda s: replace(s.box(s.chain, plain(s)), n=1),
    )  # fmt: skip

    scene = ready()
    first = scene.say(0)
    scene.posted(first)
    scene.write(
        "box-replayed", "mark", "the same box under a new number", reason="replay",
        warning="replay",
    )  # fmt: skip

    scene = ready()
    scene.say(4)
    scene.say(3)
    scene.write(
        "box-earlier-number", "mark", "a later number was opened before", reason="replay",
        warning="replay",
    )  # fmt: skip

    scene = ready()
    scene.say(0)
    scene.posted(scene.box(scene.chain.at(1), scene.body().encode()), seq=3)
    scene.write(
        "box-old-place", "number", "the log's number is not a new one", reason="replay",
        warning="replay",
    )  # fmt: skip

    scene = ready()
    scene.say(0)
    scene.posted(scene.box(scene.chain, scene.body().encode(), n=2**40))
    scene.write("box-far-number", "key", "an epoch has no such number", reason="damaged")

    scene = ready()
    scene.posted(scene.box(scene.chain, scene.body().encode(), n=2**40))
    scene.say(1)
    scene.write("box-after-far-number", "ok", "and what is genuine is read on", **HELLO)

    scene = ready()
    scene.say(0)
    scene.posted(scene.box(replace(scene.chain, epoch=9), scene.body().encode()))
    scene.write("box-far-epoch", "key", "no chain of this epoch", reason="no_key")

    scene = ready()
    scene.say(0)
    token = envelope.seal(scene.body().encode(), scene.chain.at(1), scene.place, b"")
    bad = token[:40] + (b"A" if token[40:41] != b"A" else b"B") + token[41:]
    scene.posted(scene.box(scene.chain.at(1), b"", data=bad))
    scene.write("box-damaged-token", "token", "signed so, but no token", reason="secret")

    scene = ready()
    scene.say(0, post_id=fixed("the id", 16))
    scene.say(1, post_id=fixed("the id", 16))
    scene.write(
        "box-repeated-id", "id", "this post was shown already", reason="replay", warning="replay"
    )

    scene = ready()
    scene.posted(
        scene.box(scene.chain, replace(scene.body(), seen=TranscriptHash(0, bytes(32))).encode())
    )
    scene.write(
        "box-other-transcript", "ok", "opened, but its sender was shown another room", **HELLO,
        warning="transcript",
    )  # fmt: skip


def make_before() -> None:
    """What a sender says of an earlier change: two posts, a renaming, and a third post."""

    def after(name: str, why: str, change: Callable[[Claim], Claim], **extra: str) -> None:
        scene = ready()
        scene.say(0, "one")
        scene.say(1, "two")
        before = change(scene.renamed())
        scene.posted(scene.box(scene.chain.at(2), replace(scene.body(), before=before).encode()))
        scene.write(f"before{name}", "ok", why, **HELLO | extra)

    def of(change: int, count: int = 2) -> Callable[[Claim], Claim]:
        return lambda _: Claim(change, TranscriptHash(count, bytes(32)))

    named = {"warning": "transcript"}
    after("", "the sender was shown the same before the last change", lambda before: before)
    after("-other", "a post was exchanged before the last change", of(3), **named)
    after("-more", "the sender was shown more before the last change", of(3, 3), **named)
    after("-no-change", "there was no change of this number", of(4), **named)
    after("-not-there", "the reader was not in the room at that change", of(2))


def make_bodies() -> None:
    scene = Scene()
    good = json.loads(scene.body().encode())
    past = [2, 4096, to_text(bytes(32))]

    def body(**changes: object) -> bytes:
        return padded(compact({**good, **changes}).encode())

    def padded(raw: bytes) -> bytes:
        return raw.ljust(envelope.padded_size(len(raw)))

    text = compact(good)
    bad: dict[str, tuple[str, bytes]] = {
        "padding": ("not a power of two", text.encode() + b" "),
        "padding-other": ("padded with something else", padded(text.encode())[:-1] + b"\0"),
        "not-json": ("no JSON", padded(text[:-1].encode())),
        "not-utf8": ("no UTF-8", padded(text.replace("hello", "h").encode() + b"\xff")),
        "duplicate-key": ("a key twice", padded((text[:-1] + ',"kind":"text"}').encode())),
        "not-an-object": ("a list", padded(f"[{text}]".encode())),
        "no-id": ("a key is missing", padded(compact(
            {key: value for key, value in good.items() if key != "id"}).encode())),
        "short-id": ("an id of 15 bytes", body(id=to_text(bytes(15)))),
        "kind": ("no such kind", body(kind="shout")),
        "text-number": ("a number for a text", body(text=7)),
        "half-surrogate": ("half of a pair is no text", padded(
            text.replace("hello", "\\ud800").encode())),
        "seen-missing": ("nothing was seen", body(seen=None)),
        "seen-flag": ("true is not 1", body(seen=[True, good["seen"][1]])),
        "seen-too-many": ("more than a transcript holds", body(seen=[4097, good["seen"][1]])),
        "seen-short": ("a hash of 31 bytes", body(seen=[0, to_text(bytes(31))])),
        "before-count": ("a number for a list", body(before=2)),
        "before-two": ("the hash is missing", body(before=past[:2])),
        "before-four": ("one value too many", body(before=[*past, 0])),
        "before-flag": ("true is not 1", body(before=[True, *past[1:]])),
        "before-negative": ("no count is negative", body(before=[-1, *past[1:]])),
        "before-too-large": ("more than any count", body(before=[2**53, *past[1:]])),
        "before-now": ("the box's own change is no earlier one", body(before=[3, *past[1:]])),
        "before-later": ("nor is one that is yet to come", body(before=[4, *past[1:]])),
        "before-nothing": ("where nothing was seen it is absent", body(before=[2, 0, past[2]])),
        "before-too-many": ("more than a transcript holds", body(before=[2, 4097, past[2]])),
        "before-short": ("a hash of 31 bytes", body(before=[2, 1, to_text(bytes(31))])),
        "empty": ("nothing but spaces", b" " * 64),
    }  # fmt: skip
    for name, (why, plain) in bad.items():
        scene = ready()
        scene.posted(scene.box(scene.chain, plain))
        scene.write(f"body-{name}", "body", why, reason="damaged")
    texts = {
        "empty": ("nothing is said", ""),
        "blank": ("nothing that is seen is said", " \t\r\n\u00a0\u2003\u2028\u3000"),
        "long": ("101 bytes in 51 characters", "é" * 50 + "x"),
        "long-action": ("nor may an action be longer", "é" * 50 + "x"),
        "fits": ("100 bytes in 50 characters", "é" * 50),
    }
    for name, (why, said) in texts.items():
        kind = "action" if name == "long-action" else "text"
        scene = ready()
        scene.posted(scene.box(scene.chain, body(text=said, kind=kind)))
        if name == "fits":
            scene.write(f"text-{name}", "ok", why, most="100", **HELLO | {"text": said})
        else:
            scene.write(f"text-{name}", "text", why, most="100", reason="bounds")
    scene = ready()
    scene.posted(scene.box(scene.chain, body(later=[1])))
    scene.write("body-unknown-key", "ok", "unknown keys are ignored", **HELLO)
    scene = ready()
    scene.posted(scene.box(scene.chain, body(before=None)))
    scene.write("body-before-null", "ok", "null is as good as absent", **HELLO)
    marks = {"bot": ("a program answers", True), "bot-other": ("1 is no mark, and no fault", 1)}
    for name, (why, mark) in marks.items():
        scene = ready()
        scene.posted(scene.box(scene.chain, body(bot=mark)))
        scene.write(f"body-{name}", "ok", why, **HELLO | {"bot": str(mark is True).lower()})
    scene = ready()
    long = "x" * 1000
    scene.posted(scene.box(scene.chain, scene.body(long).encode()))
    scene.write("body-long", "ok", "padded to 2,048 bytes", **HELLO | {"text": long})


def make_wraps() -> None:
    scene = Scene()
    wrap = scene.wrap(scene.chain)

    def spoiled(name: str, expect: str, why: str, wrap: Wrap, sender: int = 1) -> None:
        scene = Scene()
        scene.key_for(wrap, sender)
        extra = {} if expect == "ok" else {"warning": "bad_wrap"}
        scene.write(name, expect, why, **extra)

    spoiled("wrap", "ok", "a chain for the reader", wrap)
    carols = scene.wrap(scene.chain, "carol")
    spoiled("wrap-other-member", "wrap", "wrapped for Carol's keys", carols)
    spoiled("wrap-other-id", "wrap", "it names another member", replace(wrap, to=3))
    spoiled("wrap-other-number", "wrap", "the number was changed", replace(wrap, n=1))
    spoiled("wrap-other-epoch", "wrap", "the epoch was changed", replace(wrap, epoch=2))
    zero, far = replace(scene.chain, epoch=0), replace(scene.chain, n=1000)
    spoiled("wrap-epoch-zero", "wrap", "epochs count from 1", scene.wrap(zero))
    spoiled("wrap-far-number", "wrap", "numbers end at 999", scene.wrap(far))
    spoiled("wrap-other-sender", "wrap", "Alice's chain, said to be Carol's", wrap, sender=3)
    damaged = bytearray(wrap.wrapped)
    damaged[700] ^= 1
    spoiled("wrap-damaged", "wrap", "one bit was changed", replace(wrap, wrapped=bytes(damaged)))

    scene = ready()
    scene.say(0)
    scene.key_for(scene.wrap(scene.chain))
    scene.write(
        "wrap-rewound", "wrap", "a wrap never goes back behind what was opened", warning="bad_wrap"
    )

    scene = ready()
    scene.key_for(scene.wrap(SenderChain(1, 0, fixed("forged ck"))))
    scene.say(0)
    scene.write("wrap-forged-beside", "ok", "of two chains, the signed box decides", **HELLO)

    def unwrap(name: str, expect: str, why: str, person: str) -> None:
        header = {
            "expect": expect, "do": "unwrap", "why": why, "reader": person, "recipient": "bob",
            "room": "den", "log": to_text(LOG), "audience": to_text(ROOM_AUDIENCE),
            "sender": to_text(scene.place.sender), "epoch": "1", "n": "0",
        }  # fmt: skip
        if expect == "ok":
            header["result"] = to_text(scene.chain.ck)
        write(FOLDER / "e2e" / f"{name}.txt", header, (to_text(wrap.wrapped),))

    unwrap("unwrap", "ok", "what a wrap holds", "bob")
    unwrap("unwrap-other-keys", "wrap", "Carol cannot open what was wrapped for Bob", "carol")


def make_private() -> None:
    audience = member_audience(2, identity("bob").fingerprint)

    def scene_of(epoch: int = 4) -> tuple[Scene, SenderChain]:
        scene = Scene()
        scene.place = replace(scene.place, audience=audience)
        return scene, SenderChain(epoch, 0, fixed("private ck"))

    def add(scene: Scene, wrap: Wrap, box: Box) -> None:
        scene.numbers += 1
        scene.lines.append(text_of(PrivateFor(AT, scene.numbers, 1, scene.change, wrap, box)))

    scene, chain = scene_of()
    add(scene, scene.wrap(chain), scene.box(chain, scene.body().encode()))
    scene.write("private", "ok", "a private post has a chain of its own", **HELLO)

    add(scene, scene.wrap(chain), scene.box(chain, scene.body().encode()))
    scene.write(
        "private-replayed", "mark", "the same number sealed again", reason="replay",
        warning="replay",
    )  # fmt: skip

    scene, chain = scene_of()
    add(scene, scene.wrap(chain.at(1)), scene.box(chain, scene.body().encode()))
    scene.write(
        "private-other-number", "wrap", "wrap and box name different numbers", reason="no_key",
        warning="bad_wrap",
    )  # fmt: skip

    scene, chain = scene_of()
    room_place = replace(scene.place, audience=ROOM_AUDIENCE)
    box = scene.box(chain, scene.body().encode(), place=room_place)
    add(scene, scene.wrap(chain), box)
    scene.write(
        "private-of-room", "name", "a box for the room is no private one", reason="name",
        warning="forged",
    )  # fmt: skip

    scene, chain = scene_of()
    box = scene.box(chain, scene.body().encode())
    scene.place = room_place
    scene.key_for(scene.wrap(chain))
    scene.posted(box)
    scene.write(
        "private-in-room", "name", "a private box is none for the room", reason="name",
        warning="forged",
    )  # fmt: skip


def make_values() -> None:
    alice = identity("alice").fingerprint
    chain = SenderChain(1, 0, fixed("ck"))
    place = Context("den", LOG, ROOM_AUDIENCE, alice)

    def value(name: str, do: str, why: str, given: dict[str, str], result: str,
              payload: tuple[str, ...] = ()) -> None:  # fmt: skip
        header = {"expect": "ok", "do": do, "why": why, **given, "result": result}
        write(FOLDER / "e2e" / f"{name}.txt", header, payload)

    def fingerprint(name: str, why: str, bundle: Bundle, expect: str = "ok") -> None:
        fields = {key: str(given) for key, given in bundle.to_fields().items()}
        result = to_text(bundle.fingerprint)
        value(name, "fingerprint", why, {**fields, "expect": expect}, result)

    carol = identity("carol").bundle
    fingerprint("fingerprint", "what names an identity", identity("alice").bundle)
    fingerprint("fingerprint-run", "the signing key lasts, and has started before", carol)
    later = replace(carol, run=carol.run + 1)
    fingerprint("fingerprint-other-run", "nobody else can number it", later, "sig")
    later = replace(carol, since=carol.run)
    fingerprint("fingerprint-other-since", "nor end what may still go on", later, "sig")
    mixed = replace(carol, recipient=identity("mallory").bundle.recipient)
    fingerprint("fingerprint-other-keys", "nor put other keys beside it", mixed, "sig")

    def message_key(name: str, why: str, n: int, place: Context, salt: bytes) -> None:
        given = {
            "room": place.room, "log": to_text(LOG), "audience": to_text(place.audience),
            "sender": to_text(alice), "epoch": "1", "n": str(n), "ck": to_text(chain.ck),
            "ck-n": "0", "salt": to_text(salt),
        }  # fmt: skip
        key = to_text(chain.at(n).message_key(place, salt))
        value(name, "message-key", why, given, key)

    private = replace(place, audience=member_audience(2, identity("bob").fingerprint))
    message_key("message-key", "the Fernet key of the first message", 0, place, b"")
    message_key("message-key-later", "and of the fourth", 3, place, b"")
    message_key("message-key-secret", "with a room secret", 0, place, fixed("salt"))
    message_key("message-key-private", "for one member", 0, private, b"")
    value(
        "chain", "chain", "a chain, 999 steps on",
        {"ck": to_text(chain.ck), "ck-n": "0", "n": "999"}, to_text(chain.at(999).ck),
    )  # fmt: skip

    three = "alice alice; bob bob; carol carol"
    signatures = [fixed(f"signature {i} a") + fixed(f"signature {i} b") for i in range(3)]
    transcript = Transcript(LOG, 3, pairs(three))
    hashes = [transcript.seen().hash]
    for signature in signatures:
        transcript.add(signature)
        hashes.append(transcript.seen().hash)
    value(
        "transcript", "transcript", "h_0 to h_3 of three members and three posts",
        {"log": to_text(LOG), "change": "3", "pairs": three}, " ".join(map(to_text, hashes)),
        tuple(map(to_text, signatures)),
    )  # fmt: skip
    odd = "zoë mallory; ärger alice; bob bob"
    value(
        "transcript-order", "transcript", "members are sorted by the bytes of their keys",
        {"log": to_text(LOG), "change": "9", "pairs": odd},
        to_text(Transcript(LOG, 9, pairs(odd)).seen().hash),
    )  # fmt: skip
    value(
        "room-code", "room-code", "the code of a room", {"room": "DEN", "pairs": three},
        safety_numbers.room_code("den", pairs(three)),
    )  # fmt: skip
    value(
        "room-code-two", "room-code", "the code of two members, in whatever order",
        {"room": "den", "pairs": "bob bob; alice alice"},
        safety_numbers.room_code("den", pairs("alice alice; bob bob")),
    )  # fmt: skip
    value(
        "secret-salt", "secret-salt", "what a room secret gives; it is in NFC first",
        {"room": "DEN", "secret": "cafe\u0301"},
        to_text(safety_numbers.secret_salt("caf\u00e9", "den")),
    )  # fmt: skip


def main() -> None:
    """Write all files; what is of no use any more goes."""
    FOLDER.mkdir(exist_ok=True)
    if not PEOPLE.exists():
        make_people()
    for folder in ("frames", "link", "e2e"):
        shutil.rmtree(FOLDER / folder, ignore_errors=True)
    make_frames()
    make_link()
    make_boxes()
    make_before()
    make_bodies()
    make_wraps()
    make_private()
    make_values()


if __name__ == "__main__":
    main()
