"""The link between one client and the server: its handshake as two state machines.

    client                                   server
      |                      greeting (clear) |  version, nonce
      | hello (clear)                         |  keys of this connection, CPace share
      |                           key (clear) |  K0 wrapped for those keys, CPace share
      | confirm (record)                      |  identity, signature over the three frames
      |                      welcome (record) |

The link keys come from K0 *and* from the password-authenticated exchange: without the
password one gets a record that does not open, and nothing to try guesses on offline.  See
``docs/PROTOCOL.md``, "Link".

Neither class does I/O: messages go in, messages come out, and a ChatError says why not.  What is
in clear is text, records are bytes.  Neither is safe for two threads at once; their callers hold
the link's lock.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol import limits
from protocol.dataclass import dataclass
from protocol.errors import AuthFailed, BadVersion, KeyUnusable, LinkBroken, Malformed, Unexpected
from protocol.frames import (
    CLIENT_FRAMES,
    Confirm,
    Greeting,
    Hello,
    Key,
    Refused,
    Stay,
    decode_clear,
    from_object,
)
from protocol.keys import Bundle, Identity, Recipient, RecipientKeys, digest, labelled
from protocol.pake import Pake
from protocol.records import Opener, Sealer

CHANNEL = labelled("cmdchat link 1")  # CPace's channel identifier
PASSWORD, TOKEN = "password", "token"  # noqa: S105  # the two kinds of proof, not secrets


def _derive(secret: bytes, salt: bytes, label: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, labelled(label)).derive(secret)


class _HandshakeTranscript:
    """The frames of the handshake, byte for byte as they were on the wire."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []

    def require(self, count: int) -> None:
        """Raise Unexpected unless it holds ``count`` frames: each step has one moment."""
        if len(self._frames) != count:
            raise Unexpected()

    def add(self, text: str) -> None:
        self._frames.append(text.encode())

    def keys(self, secret: bytes, isk: bytes) -> tuple[bytes, bytes]:
        """The keys from client to server and from server to client (HKDF, RFC 5869)."""
        salt = digest("cmdchat transcript 1", *self._frames)
        return (
            _derive(secret + isk, salt, "cmdchat link client 1"),
            _derive(secret + isk, salt, "cmdchat link server 1"),
        )

    def to_sign(self, fingerprint: bytes) -> bytes:
        """What ``confirm`` signs: these very frames, by this very bundle."""
        return labelled("cmdchat confirm 1", *self._frames, fingerprint)

    def forget(self) -> None:
        """Let go of what was said, though not that it was: 8 KB for the life of a connection."""
        self._frames = [b""] * len(self._frames)


def token_name(sid: bytes, token_id: str) -> bytes:
    """How ``hello`` names a token: a hash that no other handshake repeats, 32 bytes."""
    return digest("cmdchat token name 1", sid, token_id.encode())


def ticket_name(sid: bytes, ticket: bytes) -> bytes:
    """How ``hello`` shows a ticket: as a hash, too, so that two of them cannot be linked."""
    return hashlib.sha256(_before_ticket(sid) + ticket).digest()


def shown_ticket(sid: bytes, name: bytes, tickets: Iterable[bytes]) -> bytes | None:
    """The one of these that ``name`` stands for in the handshake ``sid``.

    Looks at every one, and compares each: how long it takes tells nothing.  There are thousands,
    so no more is done for each than has to be.
    """
    before, sha256, is_same = _before_ticket(sid), hashlib.sha256, hmac.compare_digest
    found = None
    for ticket in tickets:
        if is_same(sha256(before + ticket).digest(), name):
            found = ticket
    return found


def _before_ticket(sid: bytes) -> bytes:
    """What is hashed before a ticket."""
    any_ticket = bytes(limits.NONCE_BYTES)
    return labelled("cmdchat ticket name 1", sid, any_ticket)[: -len(any_ticket)]


def _wrap_info(hello: str) -> bytes:
    return labelled("cmdchat link key 1", hashlib.sha256(hello.encode()).digest())


def _public(recipient: Recipient) -> bytes:
    return labelled("cmdchat link recipient 1", recipient.rsa, recipient.kem)


def _read(message: str | bytes, kind: type[Any]) -> tuple[str, Any]:
    """The text that ``message`` is, and its frame; records alone are bytes.  Raises RemoteError."""
    if not isinstance(message, str):
        raise Malformed()
    frame = decode_clear(message)
    if not isinstance(frame, kind):
        raise Unexpected()
    return message, frame


class _Link:
    """What both ends have: the handshake so far, and records once it has given their keys."""

    def __init__(self) -> None:
        self._transcript = _HandshakeTranscript()
        self._hello = ""
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None

    def seal(self, frames: Iterable[bytes]) -> bytes:
        """A record for the other end; raises Unexpected before there are keys."""
        if self._sealer is None:
            raise Unexpected()
        return self._sealer.seal(frames)

    def open(self, message: str | bytes) -> Sequence[Any]:
        """See Opener.open; raises Unexpected before there are keys."""
        if self._opener is None:
            raise Unexpected()
        return self._opener.open(message)


class ServerLink(_Link):
    """The server's end, in the order: greeting, receive_hello, key, receive_confirm.

    Afterwards ``seal`` and ``open`` carry records.
    """

    def __init__(self) -> None:
        super().__init__()
        self._nonce = secrets.token_bytes(limits.NONCE_BYTES)
        self.sid = b""
        self.hello: Hello | None = None

    def greeting(self) -> str:
        """Frame 0."""
        self._transcript.require(0)
        text = Greeting(limits.VERSION, self._nonce).encode().decode()
        self._transcript.add(text)
        return text

    def receive_hello(self, message: str | bytes) -> Hello:
        """Frame 1; afterwards ``sid`` is known.  Raises RemoteError or BadVersion."""
        self._transcript.require(1)
        hello: Hello
        text, hello = _read(message, Hello)
        if hello.version != limits.VERSION:
            raise BadVersion()
        if hello.proof not in (PASSWORD, TOKEN) or (hello.proof == TOKEN) != bool(hello.token):
            raise Malformed()
        self._transcript.add(text)
        self._hello, self.hello = text, hello
        self.sid = self._nonce + hello.nonce
        return hello

    def key(self, prs: bytes) -> str:
        """Frame 2, for the ``prs`` (see ``protocol.pake``) of what the client will prove.

        Raises Malformed if the client's keys are none, AuthFailed for a share on which CPace
        must end.
        """
        self._transcript.require(2)
        hello = self.hello
        if hello is None:
            raise Unexpected()
        client = Recipient(hello.rsa, hello.kem)
        secret = secrets.token_bytes(32)
        try:
            wrapped = client.wrap(secret, _wrap_info(self._hello))
        except KeyUnusable:
            raise Malformed() from None
        pake = Pake(prs, CHANNEL, self.sid)
        isk = pake.finish_responder(hello.share, _public(client), wrapped)
        text = Key(wrapped, pake.share).encode().decode()
        self._transcript.add(text)
        receiving, sending = self._transcript.keys(secret, isk)
        self._sealer, self._opener = Sealer(sending), Opener(receiving)
        return text

    def open(self, message: str | bytes) -> Sequence[Any]:
        """See Opener.open_posts; raises Unexpected before there are keys."""
        if self._opener is None:
            raise Unexpected()
        return self._opener.open_posts(message)

    def receive_confirm(self, message: str | bytes) -> Confirm:
        """Frame 3.  Raises AuthFailed unless it opens and holds a valid signature."""
        try:
            (value,) = self.open(message)
        except (LinkBroken, ValueError):
            raise AuthFailed() from None
        confirm = from_object(value, CLIENT_FRAMES)
        if not isinstance(confirm, Confirm):
            raise Unexpected()
        bundle = confirm.bundle
        if not bundle.verify(confirm.sig, self._transcript.to_sign(bundle.fingerprint)):
            raise AuthFailed()
        self._transcript.forget()
        self._hello, self.hello = "", None
        return confirm


@dataclass(frozen=True)
class Credentials:
    """What the client proves: ``prs`` as in ``protocol.pake``; ``token_id`` for a token."""

    prs: bytes
    token_id: str | None = None


class ClientLink(_Link):
    """The client's end: receive_greeting, receive_key; afterwards ``seal`` and ``open``.

    ``keys`` are for this connection only.  A refusal in clear is returned by nothing here: the
    caller asks ``refusal_in_clear`` first, and believes it for no more than "did not work".
    ``ticket`` is the newest that a ``welcome`` has brought this identity, if any has.
    """

    def __init__(
        self,
        identity: Identity,
        credentials: Credentials,
        keys: RecipientKeys,
        ticket: bytes | None = None,
    ) -> None:
        super().__init__()
        self._identity, self._credentials, self._keys = identity, credentials, keys
        self._ticket = ticket
        self._pake: Pake | None = None

    def receive_greeting(self, message: str | bytes) -> str:
        """Frame 0 in, frame 1 out.  Raises RemoteError or BadVersion."""
        self._transcript.require(0)
        greeting: Greeting
        text, greeting = _read(message, Greeting)
        if greeting.version != limits.VERSION:
            raise BadVersion()
        nonce = secrets.token_bytes(limits.NONCE_BYTES)
        sid = greeting.nonce + nonce
        pake = self._pake = Pake(self._credentials.prs, CHANNEL, sid)
        token_id = self._credentials.token_id
        hello = Hello(
            limits.VERSION,
            nonce,
            PASSWORD if token_id is None else TOKEN,
            self._keys.public.rsa,
            self._keys.public.kem,
            pake.share,
            None if token_id is None else token_name(sid, token_id),
            None if self._ticket is None else ticket_name(sid, self._ticket),
        )
        self._hello = hello.encode().decode()
        self._transcript.add(text)
        self._transcript.add(self._hello)
        return self._hello

    def receive_key(
        self,
        message: str | bytes,
        nick: str,
        stays: Sequence[Stay],
    ) -> bytes:
        """Frame 2 in, frame 3 out; ``stays``: the rooms to be in, one at least.

        Raises RemoteError, KeyUnusable for a wrap that does not open, AuthFailed for a share
        on which CPace must end.
        """
        key: Key
        text, key = _read(message, Key)
        pake, self._pake = self._pake, None  # one attempt, whatever comes of it
        if pake is None:
            raise Unexpected()
        secret = self._keys.unwrap(key.wrapped, _wrap_info(self._hello))
        isk = pake.finish_initiator(key.share, _public(self._keys.public), key.wrapped)
        self._transcript.add(text)
        sending, receiving = self._transcript.keys(secret, isk)
        self._sealer, self._opener = Sealer(sending), Opener(receiving)
        bundle: Bundle = self._identity.bundle
        signature = self._identity.sign(self._transcript.to_sign(bundle.fingerprint))
        confirm = Confirm(nick, tuple(stays), bundle, signature)
        return self._sealer.seal([confirm.encode()])


def refusal_in_clear(message: str | bytes) -> Refused | None:
    """The refusal that ``message`` is, if it is one in clear.  Anybody may have sent it."""
    if not isinstance(message, str):
        return None  # a record
    frame = decode_clear(message)
    return frame if isinstance(frame, Refused) else None
