"""The link: both sides against each other, and each against a peer that does what it likes.

What the handshake derives is checked step by step in ``tests/test_vectors.py``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import link, pake
from protocol.errors import (
    AuthFailed,
    BadVersion,
    ChatError,
    KeyUnusable,
    LinkBroken,
    Malformed,
    RemoteError,
    TooBig,
    Unexpected,
    UnknownType,
)
from protocol.frames import CLIENT_FRAMES, Bye, Confirm, Refused, Stay, Taken, from_object
from protocol.keys import KEM_BYTES, Identity, digest, from_text, to_text
from protocol.limits import FRAMES_IN_RECORD, HANDSHAKE_BYTES, RECORD_PAD
from protocol.link import ClientLink, Credentials, ServerLink, refusal_in_clear
from protocol.records import Opener, Sealer
from tests.vector_files import identity, recipient_keys

FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=40)
PRS, OTHER_PRS = b"p" * 32, b"q" * 32
LOW_ORDER = [
    bytes(32),
    b"\1" + bytes(31),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xed" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
]
FRAME = Taken(7).encode()
TAKEN = {"type": "taken", "ref": 7}
STAYS = (Stay("den"),)


def client_of(
    prs: bytes = PRS, token: str | None = None, who: Identity | None = None, keys: str = ""
) -> ClientLink:
    """A client; keys are pinned, because making RSA keys is what takes time here."""
    pinned = recipient_keys(keys or "connection")
    return ClientLink(who or identity("alice"), Credentials(prs, token), pinned)


def nothing(text: str) -> str:
    return text


def same(record: bytes) -> str | bytes:
    return record


Change = Callable[[str], str]


@dataclass
class Wire:
    """A handshake, and somebody in between who may change each frame."""

    client: ClientLink
    server: ServerLink
    prs: bytes = PRS
    greeting: Change = nothing
    hello: Change = nothing
    key: Change = nothing
    confirm: Callable[[bytes], str | bytes] = same
    record: bytes = b""  # `confirm` as it was sent

    def run(self) -> Confirm:
        self.sent = [self.server.greeting()]
        self.sent.append(self.client.receive_greeting(self.greeting(self.sent[0])))
        self.server.receive_hello(self.hello(self.sent[1]))
        self.sent.append(self.server.key(self.prs))
        self.record = self.client.receive_key(self.key(self.sent[2]), "alice", STAYS)
        return self.server.receive_confirm(self.confirm(self.record))


def wire(client: ClientLink | None = None, prs: bytes = PRS, **changes: Any) -> Wire:
    return Wire(client or client_of(), ServerLink(), prs, **changes)


def changed(frame: str, change: Change) -> Wire:
    made = wire()
    setattr(made, frame, change)
    return made


def live() -> Wire:
    made = wire()
    made.run()
    return made


def with_fields(**fields: Any) -> Change:
    """Somebody in between sets fields of a clear frame; None takes one away."""

    def change(text: str) -> str:
        value = {**json.loads(text), **fields}
        left = {key: item for key, item in value.items() if item is not None}
        return json.dumps(left, separators=(",", ":"))

    return change


# Both sides against each other


@pytest.mark.parametrize("token", [None, "token-id"])
def test_a_handshake_and_records_both_ways(token: str | None) -> None:
    made = wire(client_of(token=token))
    confirm = made.run()
    assert (confirm.nick, confirm.stays) == ("alice", STAYS)
    assert confirm.bundle == identity("alice").bundle
    for _ in range(3):
        assert made.client.open(made.server.seal([FRAME, Bye("x").encode()])) == [
            TAKEN, {"type": "bye", "reason": "x"},
        ]  # fmt: skip
        assert made.server.open(made.client.seal([FRAME])) == [TAKEN]
        assert made.server.open(made.client.seal([])) == []


def test_hello_says_what_is_proven() -> None:
    server = ServerLink()
    hello = server.receive_hello(client_of().receive_greeting(server.greeting()))
    assert (hello.proof, hello.token) == ("password", None)
    server = ServerLink()
    hello = server.receive_hello(client_of(token="id").receive_greeting(server.greeting()))
    assert (hello.proof, hello.token) == ("token", link.token_name(server.sid, "id"))


def test_where_a_client_resumes_is_under_the_seal() -> None:
    made = wire()
    made.server.receive_hello(made.client.receive_greeting(made.server.greeting()))
    stays = (Stay("den", b"l" * 16, 5, 2), Stay("lair"))
    text = made.client.receive_key(made.server.key(PRS), "alice", stays)
    assert made.server.receive_confirm(text).stays == stays


def test_no_two_handshakes_are_alike() -> None:
    first, second = live(), live()
    for one, other in zip(first.sent, second.sent, strict=True):
        assert one != other
    assert first.server.sid != second.server.sid and len(first.server.sid) == 32
    with pytest.raises(LinkBroken):
        second.client.open(first.server.seal([]))


def test_names_of_tokens_are_of_one_handshake() -> None:
    names = {link.token_name(sid, name) for sid in (b"s" * 32, b"t" * 32) for name in ("a", "b")}
    assert len(names) == 4 and {len(name) for name in names} == {32}


# Who does not know the password


def test_a_client_with_another_password_is_refused() -> None:
    with pytest.raises(AuthFailed):
        wire(client_of(OTHER_PRS)).run()


def test_a_server_with_another_password_completes_nothing() -> None:
    """It gets one record that it cannot open, and nothing that it seals opens."""
    made = wire(prs=OTHER_PRS)
    with pytest.raises(AuthFailed):
        made.run()
    for record in (made.server.seal([FRAME]), made.server.seal([])):
        with pytest.raises(LinkBroken):
            made.client.open(record)


def test_a_server_without_the_password_cannot_open_confirm_with_all_that_it_has() -> None:
    """Even with K0, which it chose, and every key that one wrong guess leads to."""
    made = wire(prs=OTHER_PRS)
    with pytest.raises(AuthFailed):
        made.run()
    salt = digest("cmdchat transcript 1", *(text.encode() for text in made.sent))
    k0 = recipient_keys("connection").unwrap(
        from_text(json.loads(made.sent[2])["wrapped"]), link._wrap_info(made.sent[1])
    )
    for isk in (b"", bytes(64), OTHER_PRS):
        key = link._derive(k0 + isk, salt, "cmdchat link client 1")
        with pytest.raises(LinkBroken):
            Opener(key).open(made.record)


def test_a_client_that_knows_everything_but_k0_opens_nothing() -> None:
    """The keys need the wrapped K0 as well: a broken CPace alone gives nothing away."""
    made = live()
    salt = digest("cmdchat transcript 1", *(text.encode() for text in made.sent[:3]))
    share = json.loads(made.sent[2])["share"]
    for k0 in (bytes(32), from_text(share)):
        key = link._derive(k0 + bytes(64), salt, "cmdchat link server 1")
        with pytest.raises(LinkBroken):
            Opener(key).open(made.server.seal([]))


def spellings(secret: bytes) -> list[bytes]:
    """How ``secret`` could stand in a frame."""
    plain = base64.b64encode(secret).rstrip(b"=")
    return [secret, secret.hex().encode(), plain, to_text(secret).encode()]


@pytest.mark.parametrize("proof", ["password", "token"])
def test_the_secret_is_never_on_the_wire(proof: str) -> None:
    """Nor a hash of it, nor what scrypt makes of it: not in clear, not even inside a record."""
    password, token_id, secret = "correct horse battery", "dG9rZW4taWQ", "c2VjcmV0LXNlY3JldA"
    if proof == "password":
        prs = pake.password_prs(password)
        raw = [password.encode()]
        made = wire(client_of(prs), prs)
    else:
        prs = pake.token_prs(secret.encode())
        made = wire(client_of(prs, token_id), prs)
        raw = [secret.encode(), f"{token_id}.{secret}".encode(), token_id.encode()]
    made.run()
    hashes = [hash_of(value).digest() for value in raw
              for hash_of in (hashlib.sha256, hashlib.sha512, hashlib.sha1, hashlib.md5)]
    forbidden = [text for value in [*raw, *hashes, prs] for text in spellings(value)]
    opened = json.dumps(made_confirm(made)).encode()
    records = [made.record, opened]
    clear = [text.encode() for text in made.sent]
    fields = [from_text(value) for text in made.sent for value in json.loads(text).values()
              if isinstance(value, str) and len(value) > 20]
    assert len(fields) >= 6
    for piece in (*clear, *records, *fields):
        assert not any(text in piece for text in forbidden)


def made_confirm(made: Wire) -> dict[str, Any]:
    assert made.server._opener is not None
    opener = Opener(bytes(32))
    opener._mac, opener._cipher = made.server._opener._mac, made.server._opener._cipher
    (value,) = opener.open(made.record)
    assert isinstance(value, dict)
    return value


def test_nothing_of_the_identity_is_in_clear() -> None:
    made = live()
    bundle = identity("alice").bundle
    for key in (bundle.recipient.rsa, bundle.recipient.kem, bundle.sign, bundle.fingerprint,
                b"alice", b"den"):  # fmt: skip
        for text in spellings(key):
            if len(text) > 4:
                assert not any(text in frame.encode() for frame in made.sent)


# Low order, bad keys, other versions


@pytest.mark.parametrize("share", LOW_ORDER, ids=lambda share: share.hex()[:8])
def test_shares_of_low_order_end_it_on_both_sides(share: bytes) -> None:
    with pytest.raises(AuthFailed):
        wire(hello=with_fields(share=to_text(share))).run()
    with pytest.raises(AuthFailed):
        wire(key=with_fields(share=to_text(share))).run()


def _modulus(bits: int) -> str:
    return to_text((3 << bits - 2 | 1).to_bytes(256, "big"))


BAD_KEYS = {
    "even modulus": {"rsa": to_text(b"\x80" + bytes(255))},
    "modulus of 2047 bits": {"rsa": _modulus(2047)},
    "modulus of 512 bits": {"rsa": _modulus(512)},
    "modulus zero": {"rsa": to_text(bytes(256))},
    "ML-KEM out of range": {"kem": to_text(b"\xff" * KEM_BYTES)},
    "X25519 of low order": {
        "kem": to_text(recipient_keys("connection").public.kem[:-32] + bytes(32))
    },
    "modulus of 257 bytes": {"rsa": to_text(b"\1" * 257)},
    "modulus of 128 bytes": {"rsa": to_text(b"\xff" * 128)},
    "KEM key cut": {"kem": to_text(bytes(KEM_BYTES - 1))},
    "no KEM key": {"kem": None},
}


@pytest.mark.parametrize("fields", BAD_KEYS.values(), ids=BAD_KEYS)
def test_bad_keys_in_hello_are_malformed(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        wire(hello=with_fields(**fields)).run()


@pytest.mark.parametrize("version", [0, 1, 3, 2**53 - 1])
def test_another_version_is_named_on_both_sides(version: int) -> None:
    for name in ("greeting", "hello"):
        with pytest.raises(BadVersion):
            changed(name, with_fields(version=version)).run()


@pytest.mark.parametrize(
    "fields",
    [
        {"proof": "token"},
        {"proof": "other"},
        {"proof": "password", "token": to_text(bytes(32))},
        {"proof": "token", "token": to_text(bytes(31))},
    ],
)
def test_proof_and_token_belong_together(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        wire(hello=with_fields(**fields)).run()


def test_a_wrap_that_does_not_open_is_named_to_nobody() -> None:
    other = recipient_keys("bob").public.wrap(bytes(32), b"")
    genuine = recipient_keys("connection").public.wrap(bytes(32), b"another info")
    for wrapped in (other, genuine, bytes(1392)):
        with pytest.raises(KeyUnusable):
            wire(key=with_fields(wrapped=to_text(wrapped))).run()


def test_one_connections_key_frame_does_not_open_in_another() -> None:
    first, second = wire(), wire()
    first.run()
    second.key = lambda text: first.sent[2]
    with pytest.raises(KeyUnusable):
        second.run()


# Signatures


def test_a_signature_by_another_identity_is_refused() -> None:
    alice, mallory = identity("alice"), identity("mallory")
    mixed = object.__new__(Identity)
    mixed._keys, mixed._sign, mixed.bundle = alice._keys, mallory._sign, alice.bundle
    with pytest.raises(AuthFailed):
        wire(client_of(who=mixed)).run()
    # Mallory's own sign key beside Alice's other keys is nobody's, unless she signs for that.
    mixed.bundle = replace(alice.bundle, sign=mallory.bundle.sign)
    with pytest.raises(AuthFailed):
        wire(client_of(who=mixed)).run()
    mixed = Identity(mallory._sign, keys=alice._keys)
    assert wire(client_of(who=mixed)).run().bundle.fingerprint not in (
        alice.fingerprint, mallory.fingerprint,
    )  # fmt: skip


def test_a_signature_is_of_one_handshake_and_one_bundle() -> None:
    """Mallory, let in by the same password, passes on what Alice signed elsewhere."""
    first = wire()
    alices = first.run()
    second = wire(client_of(who=identity("mallory")))
    second.server.receive_hello(second.client.receive_greeting(second.server.greeting()))
    second.client.receive_key(second.server.key(PRS), "alice", STAYS)
    sealer = second.client._sealer
    assert sealer is not None
    sealer._next = 0
    with pytest.raises(AuthFailed):
        second.server.receive_confirm(sealer.seal([alices.encode()]))


def test_a_sign_key_that_does_not_load_proves_nothing() -> None:
    who = object.__new__(Identity)
    alice = identity("alice")
    who._keys, who._sign = alice._keys, alice._sign
    who.bundle = replace(alice.bundle, sign=b"\xff" * 32)
    with pytest.raises(AuthFailed):
        wire(client_of(who=who)).run()


@pytest.mark.parametrize("change", [{"nick": "bob"}, {"stays": [{"room": "other"}]}])
def test_confirm_is_under_the_seal(change: dict[str, Any]) -> None:
    """Nothing in it can be changed without the key: any other record is refused."""
    made = wire(confirm=lambda _: Sealer(bytes(32)).seal([json.dumps(change).encode()]))
    with pytest.raises(AuthFailed):
        made.run()


# Tampering with frames on the way


def spaced(text: str) -> str:
    return text + " "


def reordered(text: str) -> str:
    return json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":"))


TAMPER: dict[str, Change] = {
    "a space": spaced,
    "another order of keys": reordered,
    "an unknown key": with_fields(later=1),
    "spelt with escapes": lambda text: text.replace("type", "\\u0074ype"),
}


@pytest.mark.parametrize("change", TAMPER.values(), ids=TAMPER)
@pytest.mark.parametrize("frame", ["greeting", "hello", "key"])
def test_any_change_of_a_frame_on_the_way_is_found(frame: str, change: Change) -> None:
    """Also one that means the same: the transcript covers what was on the wire."""
    made = changed(frame, change)
    with pytest.raises((AuthFailed, KeyUnusable)):
        made.run()
    if made.server._sealer is not None:
        with pytest.raises((LinkBroken, Unexpected)):
            made.client.open(made.server.seal([FRAME]))


@pytest.mark.parametrize(
    ("frame", "field"),
    [("greeting", "nonce"), ("hello", "nonce"), ("hello", "share"), ("key", "share")],
)
def test_other_nonces_and_shares_lead_to_other_keys(frame: str, field: str) -> None:
    def flip(text: str) -> str:
        raw = bytearray(from_text(json.loads(text)[field]))
        raw[3] ^= 16
        return with_fields(**{field: to_text(bytes(raw))})(text)

    with pytest.raises((AuthFailed, KeyUnusable)):
        changed(frame, flip).run()


@pytest.mark.parametrize("half", ["rsa", "kem"])
def test_keys_of_somebody_in_between_lead_nowhere(half: str) -> None:
    """Mallory puts her own keys into hello: the client cannot unwrap, she does not know ISK."""
    theirs = to_text(getattr(recipient_keys("mallory").public, half))
    with pytest.raises(KeyUnusable):
        wire(hello=with_fields(**{half: theirs})).run()


def test_a_proof_by_password_cannot_be_turned_into_one_by_token() -> None:
    fields = {"proof": "token", "token": to_text(bytes(32))}
    with pytest.raises((AuthFailed, KeyUnusable)):
        wire(hello=with_fields(**fields)).run()


# Order


def started() -> tuple[ServerLink, ClientLink, str, str]:
    server, client = ServerLink(), client_of()
    greeting = server.greeting()
    return server, client, greeting, client.receive_greeting(greeting)


def test_the_servers_steps_have_one_order() -> None:
    server = ServerLink()
    hello = client_of().receive_greeting(ServerLink().greeting())
    steps: list[Callable[[], object]] = [
        lambda: server.receive_hello(hello),
        lambda: server.key(PRS),
        lambda: server.receive_confirm("x"),
        lambda: server.seal([]),
        lambda: server.open("x"),
    ]
    for step in steps:
        with pytest.raises(Unexpected):
            step()
    server.greeting()
    for step in (server.greeting, *steps[1:]):
        with pytest.raises(Unexpected):
            step()
    server.receive_hello(hello)
    for step in (server.greeting, steps[0], *steps[2:]):
        with pytest.raises(Unexpected):
            step()
    server.key(PRS)
    for step in (server.greeting, steps[0], steps[1]):
        with pytest.raises(Unexpected):
            step()
    with pytest.raises(AuthFailed):
        server.receive_confirm("x")


def test_the_clients_steps_have_one_order() -> None:
    server, client, greeting, hello = started()
    server.receive_hello(hello)
    key = server.key(PRS)
    fresh = client_of()
    for step in (lambda: fresh.receive_key(key, "a", STAYS), lambda: fresh.seal([]),
                 lambda: fresh.open("x")):  # fmt: skip
        with pytest.raises(Unexpected):
            step()
    with pytest.raises(Unexpected):
        client.receive_greeting(greeting)
    with pytest.raises(Unexpected):
        client.open("x")
    confirm = client.receive_key(key, "a", STAYS)
    with pytest.raises(Unexpected):
        client.receive_key(key, "a", STAYS)
    assert server.receive_confirm(confirm).nick == "a"


def test_a_wrong_step_changes_nothing() -> None:
    server, client, greeting, hello = started()
    with pytest.raises(Unexpected):
        server.key(PRS)
    with pytest.raises(Unexpected):
        server.receive_hello(greeting)
    with pytest.raises(Malformed):
        server.receive_hello("{}")
    with pytest.raises(Unexpected):
        client.receive_greeting(greeting)
    with pytest.raises(Unexpected):
        client.receive_key(hello, "a", STAYS)
    server.receive_hello(hello)
    assert server.receive_confirm(client.receive_key(server.key(PRS), "a", STAYS)).nick == "a"


def test_a_key_frame_is_tried_once() -> None:
    server, client, _, hello = started()
    server.receive_hello(hello)
    key = server.key(PRS)
    with pytest.raises(AuthFailed):
        client.receive_key(with_fields(share=to_text(bytes(32)))(key), "a", STAYS)
    with pytest.raises(Unexpected):
        client.receive_key(key, "a", STAYS)


@pytest.mark.parametrize("reader", ["receive_hello", "receive_greeting", "receive_key"])
def test_each_step_takes_its_own_frame_only(reader: str) -> None:
    made = live()
    steps_of = ("receive_greeting", "receive_hello", "receive_key")
    frames = dict(zip(steps_of, made.sent, strict=True))
    frames["refused"] = Refused("auth_failed").encode().decode()
    for name, text in frames.items():
        server, client, _, _ = started()
        if reader == "receive_greeting":
            client = client_of()
        steps: dict[str, Callable[[str], object]] = {
            "receive_hello": server.receive_hello,
            "receive_greeting": client.receive_greeting,
            "receive_key": lambda text, client=client: client.receive_key(text, "a", STAYS),  # type: ignore[misc]
        }
        if name != reader:
            with pytest.raises(Unexpected):
                steps[reader](text)


@pytest.mark.parametrize(
    "text", ["", "x", "{", "[]", '{"type":"post"}', "\ud800", "\0", "gAAAAA=="]
)
def test_what_is_no_frame_in_clear(text: str) -> None:
    server, client, _, _ = started()
    for step in (server.receive_hello, client_of().receive_greeting,
                 lambda text: client.receive_key(text, "a", STAYS)):  # fmt: skip
        with pytest.raises((Malformed, UnknownType)):
            step(text)


def test_frames_in_clear_are_texts() -> None:
    """The same as bytes is a record, which has no place here."""
    made = live()
    server, client, _, _ = started()
    with pytest.raises(Malformed):
        client_of().receive_greeting(made.sent[0].encode())
    with pytest.raises(Malformed):
        server.receive_hello(made.sent[1].encode())
    with pytest.raises(Malformed):
        client.receive_key(made.sent[2].encode(), "a", STAYS)


def test_frames_in_clear_are_bounded() -> None:
    server, client, _, _ = started()
    with pytest.raises(TooBig):
        server.receive_hello("x" * (HANDSHAKE_BYTES + 1))
    with pytest.raises(TooBig):
        client.receive_key("x" * (HANDSHAKE_BYTES + 1), "a", STAYS)


NOWHERE = Confirm("a", (), identity("alice").bundle, bytes(64))
FIRST_RECORDS: dict[str, tuple[list[bytes], type[ChatError]]] = {
    "nothing": ([], AuthFailed),
    "two frames": ([FRAME, FRAME], AuthFailed),
    "another frame": ([Bye("x").encode()], Unexpected),
    "a frame of the server's": ([b'{"type":"accepted","ref":1}'], UnknownType),
    "no frame": ([b"7"], Malformed),
    "half a confirm": ([b'{"type":"confirm","nick":"a"}'], Malformed),
    "a confirm for no room": ([NOWHERE.encode()], Malformed),
}


@pytest.mark.parametrize(("frames", "error"), FIRST_RECORDS.values(), ids=FIRST_RECORDS)
def test_the_first_record_is_confirm(frames: list[bytes], error: type[ChatError]) -> None:
    made = wire()
    made.server.receive_hello(made.client.receive_greeting(made.server.greeting()))
    made.client.receive_key(made.server.key(PRS), "a", STAYS)
    sealer = made.client._sealer
    assert sealer is not None
    sealer._next = 0
    with pytest.raises(error):
        made.server.receive_confirm(sealer.seal(frames))


NO_RECORDS: tuple[str | bytes, ...] = (
    "", "x", "{}", "é", "\ud800", "gAAAA" * 100,
    b"", b"x", b"{}", b"\x80", bytes(73), b"\x80" + bytes(72), b"\x80" * 1000,
)  # fmt: skip


@pytest.mark.parametrize("junk", NO_RECORDS)
def test_what_is_no_record_is_not_confirm(junk: str | bytes) -> None:
    with pytest.raises(AuthFailed):
        wire(confirm=lambda _: junk).run()


def test_a_record_is_no_text() -> None:
    """However it is spelt."""
    for spelt in (lambda raw: base64.urlsafe_b64encode(raw).decode(), lambda raw: raw.decode("l1")):
        with pytest.raises(AuthFailed):
            wire(confirm=spelt).run()


# Refusals in clear


def test_a_refusal_in_clear_is_seen_as_one() -> None:
    text = Refused("rate_limited", 3, 1.5, 10).encode().decode()
    assert refusal_in_clear(text) == Refused("rate_limited", 3, 1.5, 10)
    made = live()
    records: list[str | bytes] = [made.server.seal([FRAME]), made.record, text.encode(), b""]
    for other in [*made.sent, *records]:
        assert refusal_in_clear(other) is None
    for bad in ("{", '{"type":"refused"}', '{"type":"later"}', "", "x", "[]"):
        with pytest.raises(RemoteError):
            refusal_in_clear(bad)


# Records


def test_records_are_padded_and_say_nothing_of_clocks() -> None:
    """And are what the library's Fernet opens."""
    sealer, key = Sealer(bytes(32)), Fernet(base64.urlsafe_b64encode(bytes(32)))
    sizes = set()
    for number in range(260):
        text = base64.urlsafe_b64encode(sealer.seal([b'"%s"' % (b"x" * number)]))
        plain = key.decrypt(text)
        assert len(plain) % RECORD_PAD == 0 and len(plain) - (8 + 4 + number) < RECORD_PAD
        assert plain[8:].rstrip(b" ").endswith(b"]")
        assert int.from_bytes(plain[:8], "big") == number
        assert key.extract_timestamp(text) == 0
        sizes.add(len(text))
    assert len(sizes) == 2


@pytest.mark.parametrize("size", [2000, 2032, 2033, 4064, 5000, 16_000, 16_384, 17_000, 40_000])
def test_large_records_are_one_token_however_they_are_sealed(size: int) -> None:
    """The library gets them in pieces, and their vector and counter run on."""
    sealer, opener = Sealer(bytes(32)), Opener(bytes(32))
    key = Fernet(base64.urlsafe_b64encode(bytes(32)))
    for number in range(3):
        frame = b'"%s"' % (b"abcd%d" % number * (size // 5))
        record = sealer.seal([frame])
        plain = key.decrypt(base64.urlsafe_b64encode(record))
        assert plain[8:].rstrip(b" ") == b"[%s]" % frame
        assert opener.open(record) == [frame[1:-1].decode()]


def test_records_of_one_text_have_nothing_in_common() -> None:
    """Each has a fresh vector, also beside a second link with the same key, and its own end."""
    links = Sealer(bytes(32)), Sealer(bytes(32))
    tokens = [each.seal([b"7"]) for _ in range(100) for each in links]
    for start in range(9, len(tokens[0]), 16):
        blocks = [token[start : start + 16] for token in tokens]
        assert len(set(blocks)) == len(blocks)
    # The vector is what the random block before the record is encrypted to, on what came before.
    first, second = (links[0].seal([b"7"]) for _ in range(2))
    cipher = Cipher(AES(bytes(16)), CBC(first[-48:-32])).decryptor()
    random = cipher.update(second[9:25])
    assert len(set(random)) > 4 and random not in (first[-48:-32], second[9:25])


def test_records_are_utf8_and_hold_many_frames() -> None:
    sealer, opener = Sealer(bytes(32)), Opener(bytes(32))
    text = '["zoë 漢 🙂"]'
    assert opener.open(sealer.seal([text.encode()])) == [["zoë 漢 🙂"]]
    assert len(opener.open(sealer.seal([b"7"] * FRAMES_IN_RECORD))) == FRAMES_IN_RECORD
    with pytest.raises(Malformed):
        opener.open(sealer.seal([b"7"] * (FRAMES_IN_RECORD + 1)))


def three() -> tuple[list[bytes], Opener]:
    sealer = Sealer(bytes(32))
    return [sealer.seal([b"%d" % number]) for number in range(3)], Opener(bytes(32))


@pytest.mark.parametrize("order", [[1], [2], [0, 0], [0, 2], [0, 1, 0], [0, 1, 1]])
def test_replayed_reordered_and_dropped_records_break_the_link(order: list[int]) -> None:
    records, opener = three()
    for number in order[:-1]:
        assert opener.open(records[number]) == [number]
    with pytest.raises(LinkBroken):
        opener.open(records[order[-1]])


def test_a_record_of_the_other_direction_or_connection_breaks_the_link() -> None:
    made, other = live(), live()
    with pytest.raises(LinkBroken):
        made.server.open(made.server.seal([]))
    with pytest.raises(LinkBroken):
        made.client.open(made.client.seal([]))
    with pytest.raises(LinkBroken):
        made.client.open(other.server.seal([]))
    with pytest.raises(LinkBroken):
        made.server.open(other.client.seal([]))
    with pytest.raises(LinkBroken):
        made.server.open(made.record)  # confirm again


def test_every_flipped_bit_of_a_record_breaks_the_link() -> None:
    record = Sealer(bytes(32)).seal([FRAME])
    opener = Opener(bytes(32))
    for at in range(len(record)):
        damaged = bytearray(record)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(LinkBroken):
            opener.open(bytes(damaged))
    assert opener.open(record) == [TAKEN]


def test_a_cut_record_breaks_the_link() -> None:
    record = Sealer(bytes(32)).seal([FRAME])
    for size in range(len(record)):
        with pytest.raises(LinkBroken):
            Opener(bytes(32)).open(record[:size])


@FIXED
@given(st.binary(min_size=1, max_size=80), st.integers(0, 320))
def test_any_bytes_in_a_record_break_the_link(junk: bytes, at: int) -> None:
    record = Sealer(bytes(32)).seal([FRAME])
    for damaged in (junk, record[:at] + junk + record[at:]):
        with pytest.raises(LinkBroken):
            Opener(bytes(32)).open(damaged)


def sealed(plain: bytes, key: bytes = bytes(32), time: int = 0) -> bytes:
    """A record as the library's Fernet makes it, whatever is in it."""
    fernet = Fernet(base64.urlsafe_b64encode(key))
    return base64.urlsafe_b64decode(fernet.encrypt_at_time(plain, time))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100, 70_000])
def test_records_of_any_fernet_open(size: int) -> None:
    """Each length has another padding; and each opens whatever was opened before it."""
    key = secrets.token_bytes(32)
    opener = Opener(key)
    for number in range(20):
        text = "x" * (size + number)
        record = sealed(number.to_bytes(8, "big") + json.dumps([text]).encode(), key)
        assert opener.open(record) == [text]


def signed(blocks: bytes, head: bytes = b"\x80" + bytes(8)) -> bytes:
    """A token with a right signature over any ciphertext."""
    return head + blocks + hmac.digest(bytes(16), head + blocks, "sha256")


def encrypted(end: bytes) -> bytes:
    plain = (bytes(8) + b"[7]").ljust(48, b" ")
    cipher = Cipher(AES(bytes(16)), CBC(bytes(16))).encryptor()
    return bytes(16) + cipher.update(plain[: -len(end)] + end)


def paddings() -> Iterator[bytes]:
    for end in (b"\0", b"\x11", b"\xff", b"\2", b"\1\3\3", b"\0" * 16, b"\x0f" + b"\x10" * 15,
                b"\x11" * 17, b"\x20" * 32):  # fmt: skip
        yield signed(encrypted(end))


NO_TOKENS = {
    "another version": signed(encrypted(b"\1"), b"\x81" + bytes(8)),
    "no block": signed(bytes(16)),
    "half a block": signed(encrypted(b"\1") + bytes(8)),
    "nothing": signed(b""),
    **{f"padding {number}": token for number, token in enumerate(paddings())},
}


@pytest.mark.parametrize("token", NO_TOKENS.values(), ids=NO_TOKENS)
def test_what_is_signed_and_no_token_breaks_the_link(token: bytes) -> None:
    """Also the library's Fernet opens none of them."""
    assert Opener(bytes(32)).open(signed(encrypted(b"\1"))) == [7]
    with pytest.raises(LinkBroken):
        Opener(bytes(32)).open(token)
    with pytest.raises(InvalidToken):
        Fernet(base64.urlsafe_b64encode(bytes(32))).decrypt(base64.urlsafe_b64encode(token))


@pytest.mark.parametrize("plain", [b"", b"\0" * 7, b"[]", b"\0" * 7 + b"\1[]"])
def test_a_record_without_its_counter_breaks_the_link(plain: bytes) -> None:
    with pytest.raises(LinkBroken):
        Opener(bytes(32)).open(sealed(plain))


@pytest.mark.parametrize(
    "inside", [b"", b"{}", b"[", b"[]x", b'[{"a":1,"a":2}]', b"\xff", b"[NaN]"]
)
def test_what_is_no_list_inside_is_malformed(inside: bytes) -> None:
    with pytest.raises(Malformed):
        Opener(bytes(32)).open(sealed(bytes(8) + inside))


def test_a_record_from_a_token_of_any_time_opens() -> None:
    """Clocks mean nothing: a token with a time in it is as good."""
    for moment in (1, 1_700_000_000, 2**64 - 1):
        assert Opener(bytes(32)).open(sealed(bytes(8) + b"[7]", time=moment)) == [7]


def test_a_record_that_does_not_open_leaves_the_counter_where_it_was() -> None:
    records, opener = three()
    with pytest.raises(LinkBroken):
        opener.open(records[1])
    assert opener.open(records[0]) == [0]
    assert opener.open(records[1]) == [1]


def test_frames_of_a_record_are_read_one_by_one() -> None:
    made = live()
    good, bad = made.server.open(made.client.seal([Bye("x").encode(), b'{"type":"later"}']))
    assert from_object(good, CLIENT_FRAMES) == Bye("x")
    with pytest.raises(UnknownType):
        from_object(bad, CLIENT_FRAMES)
