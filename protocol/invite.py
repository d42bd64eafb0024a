"""Invite links: where a room is, and the secret that opens it, in one line to pass on.

    cmdchat://host[:port]/room[?path=/…][#[secret][/token=ID.SECRET]]
    cmdchats://host[:port]/room[?fp=SHA-256 of the certificate, in hex][&path=/…][#…]
    cmdchat://host[:port],host[:port]…/room…

``cmdchats`` is over TLS; ``path`` is what the server is below, where a proxy shares its port. Room
and secret are percent-encoded UTF-8, an IPv6 address stands in brackets, and port 1000 may be left
out; a chat of several servers has up to 16 addresses, as MongoDB's connection strings list theirs.
A ``/`` of the secret is encoded, so ``/token=`` begins a token of the server's, with which
nobody needs its password. What is after ``#`` never goes over the wire.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from protocol.dataclass import dataclass, field
from protocol.errors import Malformed
from protocol.hosts import MOST_ADDRESSES, Address, all_differ, bracketed, host_and_port

DEFAULT_PORT = 1000

_LONGEST = 16 * 1024  # characters; room, secret and address take a small part of it
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which is no text
_PREFIX = re.compile(r"cmdchats?://", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?:\[(?P<literal>[0-9a-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[^\s/:?#@\[\]%,]+))"
    r"(?::(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE,
)
_LINK = re.compile(
    r"""(?P<scheme>cmdchats?)://
        (?P<addresses>[^\s/?#@]+)
        (?:/(?P<room>[^\s/?#]*))?
        (?:\?fp=(?P<fingerprint>[0-9a-f]{64}))?
        (?:(?(fingerprint)&|\?)path=(?P<path>(?:/[a-z0-9._~-]+)+))?
        (?:\#(?P<secret>(?:(?!/token=).)*)(?:/token=(?P<token>TOKEN))?)?""".replace(
        # Of one way to write it: 32 bytes leave two bits of the last letter over. Case counts.
        "TOKEN", r"(?-i:[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])"
    ),
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class InviteLink:
    """What a link says. ``room``, ``secret`` and ``token`` are None where it says nothing of them.

    ``fingerprint`` is 64 lower-case hex digits. The room's name is not checked here.
    """

    host: str
    port: int = DEFAULT_PORT  # of the first address, which names the chat
    room: str | None = None
    secret: str | None = field(default=None, repr=False)
    tls: bool = False
    fingerprint: str | None = None
    path: str = ""  # what the server is below
    token: str | None = field(default=None, repr=False)  # of the server's, ``id.secret``
    others: tuple[Address, ...] = ()  # further addresses of the same chat

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All of them, as they were written."""
        return (self.host, self.port), *self.others

    @property
    def server(self) -> str:
        """Host and port as people write them, of the first address."""
        return host_and_port(self.host, self.port)

    def link(self) -> str:
        """The link that ``parse_invite`` reads back as this invite.

        But for an IPv6 address's zone, which means an interface of this machine.
        """
        parts = ["cmdchats://" if self.tls else "cmdchat://"]
        parts.append(",".join(map(_written, self.addresses)))
        parts.append("/" + quote(self.room or "", safe=""))
        asked = [f"fp={self.fingerprint}"] if self.fingerprint else []
        asked += [f"path={self.path}"] if self.path else []
        parts.append("?" * bool(asked) + "&".join(asked))
        private = [quote(self.secret, safe="")] if self.secret else []
        private += [f"/token={self.token}"] if self.token else []
        parts.append("#" * bool(private) + "".join(private))
        return "".join(parts)


def is_invite(text: str) -> bool:
    """Whether ``text`` is meant as a link, complete or not."""
    return _PREFIX.match(text.strip()) is not None


def parse_invite(text: str) -> InviteLink:
    """Read a link; raises ``Malformed``, which names no part of it (it holds a secret)."""
    found = _LINK.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if found is None or _SURROGATE.search(text):
        raise Malformed
    # Folded, not lowered: where case is ignored, a long s passes for an s.
    tls = found["scheme"].casefold() == "cmdchats"
    if found["fingerprint"] and not tls:
        raise Malformed
    (host, port), *others = _addresses(found["addresses"])
    return InviteLink(
        host=host,
        port=port,
        room=_decoded(found["room"]),
        secret=_decoded(found["secret"]),
        tls=tls,
        fingerprint=found["fingerprint"].lower() if found["fingerprint"] else None,
        path=found["path"] or "",
        token=found["token"],
        others=tuple(others),
    )


def _written(address: Address) -> str:
    host, port = address
    return bracketed(host.partition("%")[0]) + ("" if port == DEFAULT_PORT else f":{port}")


def _addresses(text: str) -> list[Address]:
    """Those that stand there, with commas between.  Raises Malformed."""
    addresses = [_address(each) for each in text.split(",", MOST_ADDRESSES)]
    if len(addresses) > MOST_ADDRESSES or not all_differ(addresses):
        raise Malformed
    return addresses


def _address(text: str) -> Address:
    found = _ADDRESS.fullmatch(text)
    port = int(found["port"] or DEFAULT_PORT) if found else 0
    if found is None or not 1 <= port <= 65535:
        raise Malformed
    # As RFC 6874 has it, the sign before a zone may be written as URLs have it.
    return found["host"] or found["literal"].replace("%25", "%", 1), port


def _decoded(text: str | None) -> str | None:
    try:
        return unquote(text, errors="strict") if text else None
    except UnicodeDecodeError:
        raise Malformed from None
