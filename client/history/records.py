"""Local history: what its files hold, and how that is sealed.  Pure.

    key file    of ``sealed_file``, of kind ``history keys`` and version 2, over
                {"server": "host:port", "masters": [32 bytes each, in base64url]}, padded like a box
    run file    header line, then record lines
    header      cmdchat history run 2 ID MASTER, a space between each two
    record      NUMBER TOKEN, a space between them

    record key  HKDF-SHA256(the master of that place, counted from 0,
                info = "cmdchat history record 2", header, NUMBER), 32 bytes: a Fernet key
    TOKEN       Fernet over a JSON object padded like a box

Every line ends with one line feed, which is part of no ``info``.  Every ``info`` goes through
``protocol.keys.labelled``.  ID (16 bytes) is base64url without padding; MASTER and NUMBER are
decimal, and NUMBER, from 1 on, is 8 bytes, big-endian, inside ``info``.  The clock fields of Fernet
are 0.  Each passphrase brings a master of its own, for the runs from then on: the one before, with
an earlier copy of the key file, opens nothing later.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from cryptography.fernet import Fernet, InvalidToken

from client.encryption.envelope import padded_size
from client.events import HistoryView
from client.sealed_file import COST, FIELD16, TOKEN, FileKind, FileUnusable, derived_fernet
from protocol.codec import parse
from protocol.dataclass import dataclass, field, replace
from protocol.errors import Malformed
from protocol.keys import from_text, labelled, to_text
from protocol.names import nick_key, room_key

MASTERS = 1000  # one for each passphrase that there has been
KEY_FILE_BYTES = 128 * 1024  # a thousand masters fit in
TEXT_CHARS = 100_000  # of a longer text the beginning is kept
LINE_BYTES = 2 * 1024 * 1024  # a longer line is no record

T = TypeVar("T", str, bool)

_VERSION = "2"
_TEXTS = ("room", "from", "text", "kind")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LATEST = 253_370_764_800_000  # milliseconds: in the year 9999, where no time zone leads out of
_NUMBER = r"([1-9][0-9]{0,14})"
_HEADER = re.compile(rf"cmdchat history run {_VERSION} {FIELD16} (0|[1-9][0-9]{{0,2}})\n")
_LINE = re.compile(rf"{_NUMBER} {TOKEN}\n".encode("ascii"))

KEY_FILE = FileKind(
    "history", _VERSION, "cmdchat history lock 2", "cmdchat history sum 2", part=" keys"
)


class Damaged(FileUnusable):
    """A line that is no record of this file: changed, torn, or from elsewhere."""

    code = "damaged"


class Record(HistoryView):
    """One message as this client showed it, with the form in which it is kept."""

    @property
    def milliseconds(self) -> int:
        """``time`` since the epoch."""
        return min(max(0, (self.time - _EPOCH) // timedelta(milliseconds=1)), _LATEST)

    def encode(self) -> bytes:
        """The padded plaintext."""
        text = self.text
        if len(text) > TEXT_CHARS:
            text = text[:TEXT_CHARS] + "…"
        return _padded(
            {
                "time": self.milliseconds,
                "room": self.room,
                "from": self.sender,
                "to": self.to,
                "text": text,
                "kind": self.kind,
                "private": self.private,
                "self": self.mine,
            }
        )

    @classmethod
    def decode(cls, plain: bytes) -> Record:
        """Read ``encode``; raises Damaged."""
        found = _fields(plain)
        time, to = found.get("time"), found.get("to")
        if type(time) is not int or not 0 <= time <= _LATEST or not isinstance(to, str | None):
            raise Damaged()
        when = _EPOCH + timedelta(milliseconds=time)
        room, sender, text, kind = (_field(found, key, str) for key in _TEXTS)
        private, mine = (_field(found, key, bool) for key in ("private", "self"))
        return cls(when, room, sender, to, text, kind, private, mine)


def containing(text: str, room: str, private_too: bool = False) -> Callable[[Record], bool]:
    """Whether a record contains ``text``, in whatever case, and is of ``room`` (empty: of any);
    with ``private_too``, private ones are of every room."""
    wanted, key = text.casefold(), room_key(room)

    def is_wanted(record: Record) -> bool:
        here = not key or room_key(record.room) == key or (private_too and record.private)
        return here and wanted in record.text.casefold()

    return is_wanted


def between(text: str, nick: str) -> Callable[[Record], bool]:
    """Likewise, of what whoever bore ``nick`` and oneself have written to each other alone."""
    wanted, key = text.casefold(), nick_key(nick)

    def is_wanted(record: Record) -> bool:
        other = record.to if record.mine else record.sender
        here = record.private and nick_key(other or "") == key
        return here and wanted in record.text.casefold()

    return is_wanted


def _field(fields: dict[str, Any], key: str, kind: type[T]) -> T:
    value = fields.get(key)
    if not isinstance(value, kind):
        raise Damaged()
    return value


def _padded(fields: dict[str, Any]) -> bytes:
    # Half a surrogate pair, which a lying server can put into a name, becomes a question mark.
    plain = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return plain.ljust(padded_size(len(plain)))


def _fields(plain: bytes) -> dict[str, Any]:
    try:
        fields = parse(plain)
    except Malformed:
        raise Damaged() from None
    if not isinstance(fields, dict):
        raise Damaged()
    return fields


@dataclass(frozen=True)
class HistoryKeys:
    """What a server's key file holds: whose history it is, and the masters, the newest last."""

    server: str
    masters: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def fresh(cls, server: str) -> HistoryKeys:
        """For a history that begins; ``server`` is host and port as people write them."""
        return cls(server, (secrets.token_bytes(32),))

    def renewed(self) -> HistoryKeys:
        """For another passphrase.  Raises FileUnusable after a thousand."""
        if len(self.masters) >= MASTERS:
            raise FileUnusable()
        return replace(self, masters=(*self.masters, secrets.token_bytes(32)))

    def seal(self, passphrase: str, cost: int = COST) -> bytes:
        """The key file that ``passphrase`` opens; takes as long as ``cost`` says."""
        plain = _padded({"server": self.server, "masters": [to_text(one) for one in self.masters]})
        return KEY_FILE.fresh(passphrase, cost).seal(plain)

    @classmethod
    def open(cls, data: bytes, passphrase: str) -> HistoryKeys:
        """Read ``seal``; takes as long as the file says.

        Raises WrongPassphrase; FileUnusable, OtherVersion among them, for what is no key file.
        """
        return cls._read(_fields(KEY_FILE.of(data, passphrase).open(data)))

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> HistoryKeys:
        masters = fields.get("masters")
        if not isinstance(masters, list) or not 0 < len(masters) <= MASTERS:
            raise Damaged()
        if not all(isinstance(one, str) for one in masters):
            raise Damaged()
        try:
            return cls(_field(fields, "server", str), tuple(from_text(one, 32) for one in masters))
        except Malformed:
            raise Damaged() from None


class RunCipher:
    """The header of one file of records, and what seals and opens them."""

    def __init__(self, keys: HistoryKeys, id: bytes, master: int) -> None:
        self._master = keys.masters[master]
        self._bound = f"cmdchat history run {_VERSION} {to_text(id)} {master}".encode("ascii")
        self.id = id

    @classmethod
    def fresh(cls, keys: HistoryKeys) -> RunCipher:
        """A file that begins, under the newest master."""
        return cls(keys, secrets.token_bytes(16), len(keys.masters) - 1)

    @classmethod
    def of_header(cls, keys: HistoryKeys, line: bytes) -> RunCipher:
        """Read ``header``; raises Damaged."""
        found = _HEADER.fullmatch(line.decode("ascii", "replace"))
        if found is None or int(found[2]) >= len(keys.masters):
            raise Damaged()
        try:
            run = cls(keys, from_text(found[1], 16), int(found[2]))
        except Malformed:
            raise Damaged() from None
        if run.header != line:
            raise Damaged()
        return run

    @property
    def header(self) -> bytes:
        """The line, with its end."""
        return self._bound + b"\n"

    def seal(self, number: int, record: Record) -> bytes:
        """The line of a record, with its end."""
        # Fernet puts the time into its tokens, in clear; 0 says nothing.
        return b"%d %s\n" % (number, self._key(number).encrypt_at_time(record.encode(), 0))

    def open(self, line: bytes) -> tuple[int, Record]:
        """Number and record of a line; raises Damaged if it is none of this file."""
        found = _LINE.fullmatch(line)
        if found is None or not _is_canonical(found[2]):
            raise Damaged()
        number = int(found[1])
        try:
            return number, Record.decode(self._key(number).decrypt(found[2]))
        except InvalidToken:
            raise Damaged() from None

    def _key(self, number: int) -> Fernet:
        info = labelled("cmdchat history record 2", self._bound, number.to_bytes(8, "big"))
        return derived_fernet(self._master, info)


def number_of(line: bytes) -> int | None:
    """The number that a line claims; None if it has not the form of a record."""
    found = _LINE.fullmatch(line)
    return None if found is None else int(found[1])


def _is_canonical(token: bytes) -> bool:
    """Whether no other text stands for the same bytes: any change has to be found."""
    try:
        return base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)) == token
    except (binascii.Error, ValueError):
        return False


@dataclass(frozen=True)
class Faults:
    """So many records are ``missing``, were ``changed`` (or come from elsewhere), are ``moved``
    from their place (or there twice), or were not written to their end (``torn``)."""

    missing: int = 0
    changed: int = 0
    moved: int = 0
    torn: int = 0

    def __add__(self, other: Faults) -> Faults:
        return Faults(
            self.missing + other.missing, self.changed + other.changed,
            self.moved + other.moved, self.torn + other.torn,
        )  # fmt: skip

    def __bool__(self) -> bool:
        return self != Faults()
