"""Every file of ``tests/vectors/frames``, ``link`` and ``e2e`` does what its header says.

What is derived there is computed here a second time from the standard library alone, so that
the files say what ``docs/PROTOCOL.md`` says, and not merely what the program does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from client.encryption import safety_numbers
from client.encryption.encryption import Encryption
from client.encryption.posts import OpenedPost, UndecryptablePost
from client.encryption.room_encryption import RoomEncryption
from client.encryption.sender_keys import Context, SenderChain
from client.encryption.transcript import Transcript
from client.encryption.trust import TrustWarning
from protocol import codec, frames, link, pake
from protocol.errors import (
    AuthFailed,
    BadVersion,
    ChatError,
    KeyUnusable,
    LinkBroken,
    Malformed,
    RemoteError,
)
from protocol.frames import (
    CLEAR_FRAMES,
    CLIENT_FRAMES,
    LOG_ENTRIES,
    SERVER_FRAMES,
    decode_clear,
    from_object,
)
from protocol.keys import Bundle, Recipient, from_text, to_text
from protocol.link import ClientLink, Credentials
from protocol.records import Opener
from tests import vector_files
from tests.vector_files import KEYS, Vector, identity, members, pairs, recipient_keys

VECTORS = vector_files.load("frames", "link", "e2e")


# The specification's functions, from the standard library alone


def labelled(label: str, *fields: bytes) -> bytes:
    parts = (label.encode(), *fields)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def sha256(label: str, *fields: bytes) -> bytes:
    return hashlib.sha256(labelled(label, *fields)).digest()


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 with 32 bytes of output: one block (RFC 5869)."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def scrypt(secret: bytes, salt: bytes, cost: int = 15) -> bytes:
    return hashlib.scrypt(secret, salt=salt, n=2**cost, r=8, p=1, maxmem=2**28, dklen=32)


def eight(value: int) -> bytes:
    return value.to_bytes(8, "big")


def folded(name: str) -> bytes:
    return unicodedata.normalize("NFKC", name).casefold().encode()


def hpke_open(person: str, wrapped: bytes, info: bytes) -> bytes:
    """RFC 9180, base mode, single shot, with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305."""
    pinned = vector_files.people()
    decapsulated = MLKEM768PrivateKey.from_seed_bytes(pinned[f"{person}.mlkem"]).decapsulate(
        wrapped[:1088]
    )
    x25519 = X25519PrivateKey.from_private_bytes(pinned[f"{person}.x25519"])
    ephemeral, own = wrapped[1088:1120], x25519.public_key().public_bytes_raw()
    exchanged = x25519.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    combined = decapsulated + exchanged + ephemeral + own + bytes.fromhex("5c2e2f2f5e5c")
    suite = b"HPKE-v1HPKE" + bytes.fromhex("647a00010003")

    def extract(salt: bytes, label: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), suite + label + secret, "sha256")

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(hashlib.sha3_256(combined).digest(), b"secret", b"")

    def expand(label: bytes, size: int) -> bytes:
        described = size.to_bytes(2, "big") + suite + label + context
        return hmac.digest(secret, described + b"\1", "sha256")[:size]

    key, nonce = expand(b"key", 32), expand(b"base_nonce", 12)
    return ChaCha20Poly1305(key).decrypt(nonce, wrapped[1120:], b"")


def unwrap(person: str, wrapped: bytes, info: bytes) -> bytes:
    """The secret in a wrap, as docs/PROTOCOL.md has it."""
    rsa_key = recipient_keys(person)._rsa
    label = hashlib.sha256(info).digest()
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label)
    return rsa_key.decrypt(hpke_open(person, wrapped, info), oaep)


def leb128(field: bytes) -> bytes:
    assert len(field) < 1 << 14
    size = len(field)
    return bytes((size,) if size < 128 else (size & 127 | 128, size >> 7)) + field


# What each `do` does: True, or the name of the layer that failed


def do_frame(vector: Vector) -> str:
    table = {"clear": CLEAR_FRAMES, "client": CLIENT_FRAMES, "server": SERVER_FRAMES}
    (text,) = vector.payload
    try:
        if vector.header["table"] == "clear":
            decode_clear(text)
        else:
            from_object(codec.parse(text.encode()), table[vector.header["table"]])
    except (RemoteError, BadVersion) as error:
        return error.code
    return "ok"


def do_record(vector: Vector) -> str:
    opener = Opener(vector.raw("key"))
    opened: object = None
    for number, line in enumerate(vector.payload, 1):
        record = from_text(line)
        try:
            opened = opener.open(record)
        except ChatError as error:
            assert number == len(vector.payload)
            if isinstance(error, Malformed):
                return "body"
            fernet = Fernet(base64.urlsafe_b64encode(vector.raw("key")))
            try:
                fernet.decrypt(base64.urlsafe_b64encode(record))
            except InvalidToken:
                return "token"
            return "counter"
    assert opened == json.loads(vector.header["result"])
    return "ok"


def draw(*values: bytes) -> Callable[[int], bytes]:
    left: Iterator[bytes] = iter(values)

    def token_bytes(size: int) -> bytes:
        value = next(left)
        assert len(value) == size
        return value

    return token_bytes


def do_handshake(vector: Vector) -> str:
    """The client's side, with the random values of the file."""
    token = vector.header["proof"] == "token"
    if token:
        token_id, _, secret = vector.header["token"].partition(".")
        credentials = Credentials(pake.token_prs(secret.encode()), token_id)
    else:
        credentials = Credentials(pake.password_prs(vector.header["password"]))
    senders, texts = zip(*(line.split(" ", 1) for line in vector.payload), strict=True)
    assert senders == ("server", "client", "server", "client", "server")
    greeting, hello, key, confirm, welcome = texts
    connection = recipient_keys(vector.header["connection"])
    ticket = vector.raw("ticket") if "ticket" in vector.header else None
    client = ClientLink(identity(vector.header["identity"]), credentials, connection, ticket)
    with pytest.MonkeyPatch.context() as patch:
        drawn = draw(vector.raw("client-nonce"), vector.raw("client-scalar"))
        patch.setattr(secrets, "token_bytes", drawn)
        try:
            assert client.receive_greeting(greeting) == hello
        except BadVersion:
            return "version"
    try:
        stays = [frames.Stay.from_object(each) for each in json.loads(vector.header["stays"])]
        ours = client.receive_key(key, vector.header["nick"], stays)
    except KeyUnusable:
        return "wrap"
    except AuthFailed:
        return "share"
    try:
        opened = client.open(from_text(welcome))
    except LinkBroken:
        return "record"
    answers = ["welcome", "entered", "refused" if opened[0]["resumed"] else "roster"]
    assert [frame["type"] for frame in opened] == answers
    client_key = vector.raw("client-key")
    assert Opener(client_key).open(ours) == Opener(client_key).open(from_text(confirm))
    check_derivations(vector, credentials.prs, texts)
    return "ok"


def check_derivations(vector: Vector, prs: bytes, texts: tuple[str, ...]) -> None:
    """All that the handshake derives, step by step as in docs/PROTOCOL.md."""
    greeting, hello, key, confirm, _ = texts
    said = json.loads(hello)
    answered = json.loads(key)
    sid = from_text(json.loads(greeting)["nonce"]) + from_text(said["nonce"])
    assert (vector.raw("prs"), vector.raw("sid")) == (prs, sid)
    if vector.header["proof"] == "token":
        token_id = vector.header["token"].partition(".")[0]
        assert from_text(said["token"]) == sha256("cmdchat token name 1", sid, token_id.encode())
    if "ticket" in vector.header:
        expected = sha256("cmdchat ticket name 1", sid, vector.raw("ticket"))
        assert from_text(said["ticket"]) == expected
    info = labelled("cmdchat link key 1", hashlib.sha256(hello.encode()).digest())
    wrapped = from_text(answered["wrapped"])
    k0 = unwrap(vector.header["connection"], wrapped, info)
    assert k0 == vector.raw("k0")
    scalar = X25519PrivateKey.from_private_bytes(vector.raw("client-scalar"))
    generator = X25519PublicKey.from_public_bytes(vector.raw("generator"))
    assert scalar.exchange(generator) == from_text(said["share"])
    point = scalar.exchange(X25519PublicKey.from_public_bytes(from_text(answered["share"])))
    ad = labelled("cmdchat link recipient 1", from_text(said["rsa"]), from_text(said["kem"]))
    isk_input = [b"CPace255_ISK", sid, point, from_text(said["share"]), ad]
    isk_input += [from_text(answered["share"]), wrapped]
    isk = hashlib.sha512(b"".join(map(leb128, isk_input))).digest()
    assert isk == vector.raw("isk")
    three = [text.encode() for text in (greeting, hello, key)]
    salt = sha256("cmdchat transcript 1", *three)
    assert salt == vector.raw("transcript")
    for name, label in (("client", "cmdchat link client 1"), ("server", "cmdchat link server 1")):
        assert vector.raw(f"{name}-key") == hkdf(k0 + isk, salt, labelled(label))
    (opened,) = Opener(vector.raw("client-key")).open(from_text(confirm))
    assert opened["nick"] == vector.header["nick"]
    assert opened["stays"] == json.loads(vector.header["stays"])
    numbers = [opened["bundle"].pop(name).to_bytes(8, "big") for name in ("run", "since")]
    bundle = {name: from_text(value) for name, value in opened["bundle"].items()}
    keys = (bundle["rsa"], bundle["kem"], bundle["sign"])
    fingerprint = sha256("cmdchat bundle 2", *keys, *numbers)
    Ed25519PublicKey.from_public_bytes(bundle["sign"]).verify(
        bundle["sig"], labelled("cmdchat run 1", fingerprint)
    )
    signed = labelled("cmdchat confirm 1", *three, fingerprint)
    Ed25519PublicKey.from_public_bytes(bundle["sign"]).verify(from_text(opened["sig"]), signed)
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(bundle["sign"]).verify(
            from_text(opened["sig"]), signed[:-1] + b"\0\0"
        )


def do_password_prs(vector: Vector) -> str:
    password = vector.header["password"]
    salt = labelled("cmdchat password prs 1")
    expected = scrypt(unicodedata.normalize("NFC", password).encode(), salt)
    assert pake.password_prs(password) == vector.raw("result") == expected
    return "ok"


def do_token_prs(vector: Vector) -> str:
    secret = vector.header["token-secret"].encode()
    assert pake.token_prs(secret) == vector.raw("result") == sha256("cmdchat token prs 1", secret)
    return "ok"


def do_token_name(vector: Vector) -> str:
    sid, token_id = vector.raw("sid"), vector.header["token-id"]
    expected = sha256("cmdchat token name 1", sid, token_id.encode())
    assert link.token_name(sid, token_id) == vector.raw("result") == expected
    return "ok"


def do_ticket_name(vector: Vector) -> str:
    sid, ticket = vector.raw("sid"), vector.raw("ticket")
    expected = sha256("cmdchat ticket name 1", sid, ticket)
    assert link.ticket_name(sid, ticket) == vector.raw("result") == expected
    assert link.shown_ticket(sid, expected, [bytes(16), ticket]) == ticket
    return "ok"


def do_fingerprint(vector: Vector) -> str:
    rsa, kem, sign, sig = (vector.raw(name) for name in ("rsa", "kem", "sign", "sig"))
    run, since = (int(vector.header[name]) for name in ("run", "since"))
    numbers = (number.to_bytes(8, "big") for number in (run, since))
    expected = sha256("cmdchat bundle 2", rsa, kem, sign, *numbers)
    bundle = Bundle(Recipient(rsa, kem), sign, run, since, sig)
    assert bundle.fingerprint == vector.raw("result") == expected
    return "ok" if bundle.is_genuine else "sig"


def place_of(vector: Vector) -> Context:
    names = ("log", "audience", "sender")
    return Context(vector.header["room"], *(vector.raw(name) for name in names))


def info_of(vector: Vector, label: str, *more: bytes) -> bytes:
    """The `info` that begins with the place and ends with epoch and number."""
    place = (vector.raw(name) for name in ("log", "audience", "sender"))
    numbers = (eight(vector.number("epoch")), eight(vector.number("n")))
    return labelled(label, vector.header["room"].encode(), *place, *more, *numbers)


def steps(vector: Vector) -> bytes:
    ck = vector.raw("ck")
    for _ in range(vector.number("ck-n"), vector.number("n")):
        ck = hkdf(ck, b"", labelled("cmdchat chain step 1"))
    return ck


def do_message_key(vector: Vector) -> str:
    chain = SenderChain(vector.number("epoch"), vector.number("ck-n"), vector.raw("ck"))
    salt = vector.raw("salt")
    found = chain.at(vector.number("n")).message_key(place_of(vector), salt)
    expected = hkdf(steps(vector), salt, info_of(vector, "cmdchat message key 1"))
    assert found == vector.raw("result") == expected
    return "ok"


def do_chain(vector: Vector) -> str:
    chain = SenderChain(1, vector.number("ck-n"), vector.raw("ck")).at(vector.number("n"))
    assert chain.ck == vector.raw("result") == steps(vector)
    return "ok"


def do_unwrap(vector: Vector) -> str:
    recipient = identity(vector.header["recipient"]).fingerprint
    info = info_of(vector, "cmdchat chain wrap 1", recipient)
    number, epoch = vector.number("n"), vector.number("epoch")
    assert place_of(vector).wrap_info(recipient, epoch, number) == info
    (wrapped,) = vector.payload
    try:
        found = identity(vector.header["reader"]).unwrap(from_text(wrapped), info)
    except KeyUnusable:
        return "wrap"
    assert found == vector.raw("result")
    assert found == unwrap(vector.header["reader"], from_text(wrapped), info)
    return "ok"


def sorted_pairs(text: str) -> list[bytes]:
    raw = sorted((key.encode(), fingerprint) for key, fingerprint in pairs(text))
    return [part for pair in raw for part in pair]


def do_transcript(vector: Vector) -> str:
    log, change = vector.raw("log"), vector.number("change")
    made = Transcript(log, change, pairs(vector.header["pairs"]))
    fields = sorted_pairs(vector.header["pairs"])
    expected = [sha256("cmdchat room transcript 1", log, eight(change), *fields)]
    found = [made.seen().hash]
    for signature in map(from_text, vector.payload):
        made.add(signature)
        found.append(made.seen().hash)
        expected.append(sha256("cmdchat room transcript step 1", expected[-1], signature))
    assert " ".join(map(to_text, found)) == vector.header["result"]
    assert found == expected
    return "ok"


def do_room_code(vector: Vector) -> str:
    room, fields = vector.header["room"], sorted_pairs(vector.header["pairs"])
    raw = scrypt(
        labelled("cmdchat room code 1", folded(room), *fields), labelled("cmdchat room code salt 1")
    )
    digits = f"{int.from_bytes(raw, 'big') % 10**30:030}"
    expected = " ".join(digits[at : at + 5] for at in range(0, 30, 5))
    found = safety_numbers.room_code(room, pairs(vector.header["pairs"]))
    assert found == vector.header["result"] == expected
    return "ok"


def do_secret_salt(vector: Vector) -> str:
    secret, room = vector.header["secret"], vector.header["room"]
    raw = unicodedata.normalize("NFC", secret).encode()
    expected = scrypt(raw, labelled("cmdchat room secret 1", folded(room)), 17)
    assert safety_numbers.secret_salt(secret, room) == vector.raw("result") == expected
    return "ok"


Outcome = tuple[OpenedPost | UndecryptablePost | None, list[TrustWarning]]


def play(core: RoomEncryption, line: str) -> Outcome:
    """What the reader makes of one frame."""
    frame = from_object(codec.parse(line.encode()), {**SERVER_FRAMES, **LOG_ENTRIES})
    if isinstance(frame, frames.KeyFor):
        return None, core.add_wrap(frame.sender, frame.wrap)
    if isinstance(frame, frames.Renamed):
        return None, core.renamed(frame.seq, frame.id, frame.nick)
    if isinstance(frame, frames.PrivateFor):
        return core.open_private(frame.sender, frame.change, frame.wrap, frame.box)
    assert isinstance(frame, frames.Posted)
    return core.open(frame.seq, frame.sender, frame.change, frame.box)


class Reader:
    """Another client's reading half, from docs/PROTOCOL.md alone: names the layer that fails.

    It has no more than the vectors need: nobody comes or goes, and no two chains differ.
    ``differs`` says whether the last post's sender was shown another room.
    """

    def __init__(self, header: dict[str, str]) -> None:
        self.person, self.me = header["reader"], int(header["me"])
        self.log, self.change = from_text(header["log"]), int(header["change"])
        self.salt = from_text(header.get("salt", ""))
        self.most = int(header.get("most", 2**53))
        self.room = folded(header["room"])
        self.roster = {line.id: line for line in members(header["members"])}
        self.seq = self.change
        self.differs = False
        self.rosters: dict[int, dict[int, frames.MemberLine]] = {}
        self.hashes: dict[int, list[bytes]] = {}  # of each change: h_0, h_1, …
        self.begin(self.change)
        self.chains: list[tuple[int, int, int, bytes]] = []  # sender, epoch, n, ck
        self.marks: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        self.ids: set[tuple[int, str]] = set()
        self.audience = labelled("cmdchat audience room 1")
        self.private = labelled(
            "cmdchat audience member 1", eight(self.me), identity(self.person).fingerprint
        )

    def begin(self, change: int) -> None:
        self.rosters[change] = dict(self.roster)
        lines = self.roster.values()
        found = sorted((folded(line.nick), line.bundle.fingerprint) for line in lines)
        fields = (self.log, eight(change), *(part for pair in found for part in pair))
        self.hashes[change] = [sha256("cmdchat room transcript 1", *fields)]

    def shown(self, change: int, count: int, hashed: str) -> bool:
        """Whether a sender who says this of ``change`` was shown what this reader was."""
        if change < self.change:
            return True  # not here yet
        return from_text(hashed) in self.hashes.get(change, [])[count : count + 1]

    def place(self, sender: int, audience: bytes) -> tuple[bytes, ...]:
        return self.room, self.log, audience, self.roster[sender].bundle.fingerprint

    def take(self, line: str) -> str:
        frame = json.loads(line)
        if frame["type"] == "renamed":
            self.seq = frame["seq"]
            self.roster[frame["id"]] = replace(self.roster[frame["id"]], nick=frame["nick"])
            self.begin(self.seq)
            return "ok"
        sender = frame["from"]
        if frame["type"] == "key_for":
            return self.add(sender, frame["wrap"], self.audience)
        new = frame["type"] == "private_for" or frame["seq"] > self.seq
        self.seq = max(self.seq, frame.get("seq", 0))
        audience = self.audience if frame["type"] == "posted" else self.private
        box: dict[str, Any] = {**frame["box"], "sig": from_text(frame["box"]["sig"])}
        if new and frame["type"] == "posted" and frame["change"] in self.hashes:
            hashes = self.hashes[frame["change"]]
            hashes.append(sha256("cmdchat room transcript step 1", hashes[-1], box["sig"]))
        roster = self.rosters.get(frame["change"], {})
        if sender not in roster or not self.signed(sender, frame["change"], audience, box):
            return "name"
        at: tuple[int, int] = (box["epoch"], box["n"])
        key = self.roster[sender].bundle.fingerprint, audience
        if at <= self.marks.get(key, (0, 0)):
            return "mark"
        if not new:
            return "number"
        if audience == self.private:
            self.chains = []
            wrong = (frame["wrap"]["epoch"], frame["wrap"]["n"]) != at
            if wrong or self.add(sender, frame["wrap"], audience) != "ok":
                return "wrap"
        layer = self.read(sender, audience, box, frame["change"])
        if layer == "ok":
            self.marks[key] = at
            said = [[frame["change"], *self.body["seen"]], self.body.get("before")]
            self.differs = not all(self.shown(*each) for each in said if each)
        return layer if layer != "ok" or self.is_new(sender) else "id"

    def is_new(self, sender: int) -> bool:
        known = (sender, self.body["id"]) in self.ids
        self.ids.add((sender, self.body["id"]))
        return not known

    def signed(self, sender: int, change: int, audience: bytes, box: dict[str, Any]) -> bool:
        line = self.rosters[change][sender]
        numbers = (eight(change), eight(box["epoch"]), eight(box["n"]))
        message = labelled(
            "cmdchat post 1", *self.place(sender, audience), folded(line.nick), *numbers,
            box["data"].encode(),
        )  # fmt: skip
        try:
            Ed25519PublicKey.from_public_bytes(line.bundle.sign).verify(box["sig"], message)
        except InvalidSignature:
            return False
        return True

    def add(self, sender: int, wrap: dict[str, Any], audience: bytes) -> str:
        epoch, number = wrap["epoch"], wrap["n"]
        own = identity(self.person).fingerprint
        place = self.place(sender, audience)
        info = labelled("cmdchat chain wrap 1", *place, own, eight(epoch), eight(number))
        behind = (epoch, number) <= self.marks.get((place[-1], audience), (0, -1))
        if wrap["to"] != self.me or epoch < 1 or number > 999 or behind:
            return "wrap"
        try:
            secret = unwrap(self.person, from_text(wrap["wrapped"]), info)
        except Exception:  # noqa: BLE001  # whatever it was: one error
            return "wrap"
        self.chains.append((sender, epoch, number, secret))
        return "ok"

    def read(self, sender: int, audience: bytes, box: dict[str, Any], change: int) -> str:
        epoch, number = box["epoch"], box["n"]
        if epoch < 1 or number > 999:
            return "key"
        numbers = (eight(epoch), eight(number))
        info = labelled("cmdchat message key 1", *self.place(sender, audience), *numbers)
        found = [(at, ck) for who, of, at, ck in self.chains
                 if (who, of) == (sender, epoch) and at <= number]  # fmt: skip
        for at, ck in found:
            for _ in range(at, number):
                ck = hkdf(ck, b"", labelled("cmdchat chain step 1"))
            key = base64.urlsafe_b64encode(hkdf(ck, self.salt, info))
            try:
                return self.judge(Fernet(key).decrypt(box["data"]), change)
            except InvalidToken:
                continue
        return "token" if found else "key"

    def judge(self, plain: bytes, change: int) -> str:
        size = len(plain)
        if size < 64 or size & (size - 1):
            return "body"
        try:
            body = codec.parse(plain)
            body["text"].encode()
            count, seen = body["seen"]
            good = body["kind"] in ("text", "action") and type(count) is int and count <= 4096
            sizes = len(from_text(body["id"])), len(from_text(seen))
            past = body.get("before")
            if past is not None:
                earlier, count, seen = past
                good = good and type(earlier) is type(count) is int and len(from_text(seen)) == 32
                good = good and 0 <= earlier < change and 1 <= count <= 4096
        except (Malformed, KeyError, TypeError, AttributeError, ValueError):
            return "body"
        self.body = body
        if not good or sizes != (16, 32):
            return "body"
        blank = all(char.isspace() for char in body["text"])
        return "text" if blank or len(body["text"].encode()) > self.most else "ok"


def do_open(vector: Vector) -> str:
    reader = Reader(vector.header)
    layers = [reader.take(line) for line in vector.payload]
    assert layers[-1] == vector.expect
    assert reader.differs == (vector.header.get("warning") == "transcript")
    if "text" in vector.header:
        assert (reader.body["kind"], reader.body["text"]) == (
            vector.header["kind"], vector.header["text"],
        )  # fmt: skip
        assert (reader.body.get("bot") is True) == (vector.header.get("bot") == "true")
    header = vector.header
    client = Encryption(identity(header["reader"]))
    salt = vector.raw("salt") if "salt" in header else b""
    roster = members(header["members"])
    client.most = vector.number("most") if "most" in header else None
    core = client.enter(
        header["room"], vector.raw("log"), vector.number("me"), roster, vector.number("change"),
        salt,
    )
    assert core.warnings == []
    *before, last = vector.payload
    for line in before:
        play(core, line)
    post, warnings = play(core, last)
    assert [warning.code for warning in warnings] == [
        code for code in [header.get("warning")] if code
    ]
    if isinstance(post, OpenedPost):
        assert (post.nick, post.kind, post.text) == tuple(
            header[key] for key in ("nick", "kind", "text")
        )
        assert post.bot == (header.get("bot") == "true")
        return "ok"
    if post is None:
        return "wrap" if warnings else "ok"
    assert post.reason == header["reason"] and "text" not in header
    assert header["reason"] in REASONS[vector.expect]
    return vector.expect  # the reader above found the same layer


# docs/PROTOCOL.md, "Judging a post"
REASONS = {
    "name": {"name"},
    "mark": {"replay"},
    "number": {"replay"},
    "wrap": {"no_key"},
    "key": {"no_key", "damaged"},
    "token": {"secret", "no_key"},
    "body": {"damaged"},
    "text": {"bounds"},
    "id": {"replay"},
}

DO: dict[str, Callable[[Vector], str]] = {
    "frame": do_frame,
    "handshake": do_handshake,
    "record": do_record,
    "password-prs": do_password_prs,
    "token-prs": do_token_prs,
    "token-name": do_token_name,
    "ticket-name": do_ticket_name,
    "fingerprint": do_fingerprint,
    "message-key": do_message_key,
    "chain": do_chain,
    "unwrap": do_unwrap,
    "open": do_open,
    "transcript": do_transcript,
    "room-code": do_room_code,
    "secret-salt": do_secret_salt,
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector(vector: Vector) -> None:
    assert DO[vector.do](vector) == vector.expect, vector.header["why"]


def test_each_kind_of_vector_is_there_and_each_is_read() -> None:
    assert {vector.do for vector in VECTORS} == set(KEYS) == set(DO)
    names = {path.relative_to(vector_files.FOLDER).as_posix()
             for path in vector_files.FOLDER.rglob("*.txt")}
    assert names == {vector.name for vector in VECTORS} | {"people.txt"}


def test_each_layer_fails_in_some_file() -> None:
    failing = {vector.expect for vector in VECTORS if vector.do == "open"}
    assert failing == {"ok", *REASONS}


GOOD = "expect: ok\ndo: chain\nwhy: because\n"


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "colour: red\n",
        GOOD + "table: client\n",
        GOOD + "why: twice\n",
        GOOD + "no colon\n",
        GOOD.replace("why: because\n", ""),
        GOOD.replace("chain", "nothing"),
        GOOD.replace("\n", "\r\n"),
        GOOD.rstrip("\n"),
        "",
    ],
)
def test_the_loader_refuses_what_it_does_not_know(text: str) -> None:
    assert vector_files.parse("good", GOOD).header["why"] == "because"
    with pytest.raises(ValueError):
        vector_files.parse("bad", text)
