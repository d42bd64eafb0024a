"""Local history: what a file's header and its records are, and how they are sealed.  Pure.

    file    header line, then record lines; each ends with one line feed
    header  cmdchat history 1 ID COST SALT FIRST CHECK SUM, a space between each two
    record  NUMBER TOKEN, a space between them

    master      scrypt(passphrase in NFC, SALT, N = 2^COST, r = 8, p = 1), 32 bytes
    CHECK       HKDF-SHA256(master, info = "cmdchat history check 1", the line before CHECK)
    SUM         SHA-256("cmdchat history sum 1", the line before SUM)
    record key  HKDF-SHA256(master, info = "cmdchat history record 1", the line before FIRST,
                NUMBER), 32 bytes: a Fernet key
    TOKEN       Fernet over a JSON object padded like a box, its clock field 0

Every ``info`` goes through ``protocol.keys.labelled``.  ID and SALT (16 bytes each), CHECK and SUM
(32 bytes each) are base64url without padding; COST, FIRST and NUMBER are decimal, and NUMBER is 8
bytes, big-endian, inside ``info``.  SUM needs no passphrase: it tells a damaged header from a wrong
passphrase.  Record 0 says whose file this is; the others count on from 1, and FIRST is the first
that has not been trimmed away.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from client.boxes import padded_size
from client.events import HistoryView
from protocol.errors import ChatError, Malformed
from protocol.frames import parse
from protocol.keys import digest, from_text, labelled, to_text
from protocol.names import room_key

COST = 17  # of new files: 128 MiB, and a quarter of a second
COSTS = range(15, 19)  # a file that claims less is no protection, one that claims more a trap
TEXT_CHARS = 100_000  # of a longer text the beginning is kept
LINE_BYTES = 2 * 1024 * 1024  # a longer line is no record
HEADER_BYTES = 512
NUMBER_MOST = 10**15  # numbers have at most so many digits, less one

_MAGIC = "cmdchat history"
_VERSION = "1"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LATEST = 253_370_764_800_000  # milliseconds: in the year 9999, where no time zone leads out of
_NUMBER = r"(0|[1-9][0-9]{0,14})"
_FIELD16, _FIELD32 = r"([A-Za-z0-9_-]{22})", r"([A-Za-z0-9_-]{43})"
_HEADER = re.compile(
    rf"{_MAGIC} {_VERSION} {_FIELD16} ([1-9][0-9]?) {_FIELD16} {_NUMBER} {_FIELD32} {_FIELD32}\n"
)
_LINE = re.compile(rf"{_NUMBER} ([A-Za-z0-9_=-]+)\n".encode("ascii"))


class HistoryError(ChatError):
    """What keeps a history from being used; ``code`` is one of ``wording.history``."""

    code = "unusable"


class OtherVersion(HistoryError):
    """The file is of another version of this program."""

    code = "other_version"


class WrongPassphrase(HistoryError):
    """The header is whole, and this is not its passphrase."""

    code = "wrong_passphrase"


class Damaged(HistoryError):
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
        room, sender, text, kind = (_word(found, key) for key in ("room", "from", "text", "kind"))
        private, mine = (_flag(found, key) for key in ("private", "self"))
        return cls(when, room, sender, to, text, kind, private, mine)


def containing(text: str, room: str, private_too: bool = False) -> Callable[[Record], bool]:
    """Whether a record contains ``text``, in whatever case, and is of ``room`` (empty: of any);
    with ``private_too``, private ones are of every room."""
    wanted, key = text.casefold(), room_key(room)

    def is_wanted(record: Record) -> bool:
        here = not key or room_key(record.room) == key or (private_too and record.private)
        return here and wanted in record.text.casefold()

    return is_wanted


def _word(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise Damaged()
    return value


def _flag(fields: dict[str, Any], key: str) -> bool:
    value = fields.get(key)
    if not isinstance(value, bool):
        raise Damaged()
    return value


def encode_owner(server: str) -> bytes:
    """The plaintext of record 0; ``server`` is host and port as people write them."""
    return _padded({"server": server})


def decode_owner(plain: bytes) -> str:
    """Read ``encode_owner``; raises Damaged."""
    return _word(_fields(plain), "server")


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
class Header:
    """The first line of a file.  ``check`` proves master key and ``first`` to who has the key."""

    id: bytes
    cost: int
    salt: bytes
    first: int
    check: bytes = b""

    @property
    def bound(self) -> bytes:
        """What stays the same while the file lives, and what each record is bound to."""
        words = (_MAGIC, _VERSION, to_text(self.id), str(self.cost), to_text(self.salt))
        return " ".join(words).encode("ascii")

    @property
    def checked(self) -> bytes:
        """What ``check`` covers."""
        return self.bound + b" %d" % self.first

    def encode(self) -> bytes:
        """The line, with its end."""
        text = self.checked + b" " + to_text(self.check).encode("ascii")
        return text + b" " + to_text(digest("cmdchat history sum 1", text)).encode("ascii") + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Header:
        """Read ``encode``; raises HistoryError, OtherVersion among them."""
        text = line.decode("ascii", "replace")
        found = _HEADER.fullmatch(text)
        if found is None:
            magic = re.match(rf"{_MAGIC} ([0-9]{{1,4}}) ", text)
            raise OtherVersion() if magic and magic[1] != _VERSION else HistoryError()
        try:
            header = cls(
                from_text(found[1], 16), int(found[2]), from_text(found[3], 16), int(found[4]),
                from_text(found[5], 32),
            )  # fmt: skip
        except Malformed:
            raise HistoryError() from None
        if header.encode() != line or header.cost not in COSTS:
            raise HistoryError()
        return header


class Keys:
    """The master key of a file, and what it opens.  ``bound`` is the header's."""

    def __init__(self, master: bytes, header: Header) -> None:
        self._master, self.bound = master, header.bound

    @classmethod
    def derive(cls, passphrase: str, header: Header) -> Keys:
        """The keys behind a passphrase; takes as long as the header's ``cost`` says."""
        secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
        return cls(_master(secret, header.salt, header.cost), header)

    @classmethod
    def unlock(cls, passphrase: str, header: Header) -> Keys:
        """``derive``, checked; raises WrongPassphrase."""
        keys = cls.derive(passphrase, header)
        if not keys.fit(header):
            raise WrongPassphrase()
        return keys

    @classmethod
    def fresh(cls, passphrase: str, cost: int = COST) -> tuple[Keys, Header]:
        """Keys for a new file, and its header."""
        header = Header(secrets.token_bytes(16), cost, secrets.token_bytes(16), 1)
        keys = cls.derive(passphrase, header)
        return keys, keys.header(header, 1)

    def header(self, header: Header, first: int) -> Header:
        """``header`` for a file that begins with record ``first``."""
        bare = Header(header.id, header.cost, header.salt, first)
        return Header(bare.id, bare.cost, bare.salt, first, self._check(bare))

    def fit(self, header: Header) -> bool:
        """Whether these are the keys of the file that begins with ``header``."""
        same = header.bound == self.bound
        return same and hmac.compare_digest(self._check(header), header.check)

    def seal(self, number: int, plain: bytes) -> bytes:
        """The line of record ``number``, with its end."""
        # Fernet puts the time into its tokens, in clear; 0 says nothing.
        return b"%d %s\n" % (number, self._fernet(number).encrypt_at_time(plain, 0))

    def open(self, line: bytes) -> tuple[int, bytes]:
        """Number and plaintext of a line; raises Damaged if it is no record of this file."""
        found = _LINE.fullmatch(line)
        if found is None or not _is_canonical(found[2]):
            raise Damaged()
        number = int(found[1])
        try:
            return number, self._fernet(number).decrypt(found[2])
        except InvalidToken:
            raise Damaged() from None

    def _check(self, header: Header) -> bytes:
        return self._derived(labelled("cmdchat history check 1", header.checked))

    def _fernet(self, number: int) -> Fernet:
        info = labelled("cmdchat history record 1", self.bound, number.to_bytes(8, "big"))
        return Fernet(base64.urlsafe_b64encode(self._derived(info)))

    def _derived(self, info: bytes) -> bytes:
        return HKDF(hashes.SHA256(), 32, b"", info).derive(self._master)


def _master(secret: bytes, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=2**cost, r=8, p=1).derive(secret)


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


# What is wrong with a file, by record numbers

Range = tuple[int, int]  # from, to: both included


@dataclass(frozen=True)
class Faults:
    """Records that are ``missing``, that were ``changed`` (or come from elsewhere), and that are
    ``moved`` from their place (or there twice); ``torn``: the last line is not whole."""

    missing: tuple[Range, ...] = ()
    changed: tuple[Range, ...] = ()
    moved: tuple[Range, ...] = ()
    torn: bool = False

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.moved or self.torn)


def faults(
    found: Iterable[int], claimed: Iterable[int], first: int | None, torn: bool = False
) -> Faults:
    """What is wrong with lines that opened as the numbers ``found``, in the file's order, while
    the others claim to be ``claimed``.  ``first`` should be the lowest, where that is known."""
    genuine: set[int] = set()
    moved: set[int] = set()
    highest = -1
    for number in found:
        if number < highest or number in genuine:
            moved.add(number)
        genuine.add(number)
        highest = max(highest, number)
    if first is not None:
        moved |= {number for number in genuine if number < first}
    changed = set(claimed)
    gaps: list[Range] = []
    before = min(genuine, default=0) - 1 if first is None else first - 1
    for number in sorted(number for number in genuine if number > before):
        if number > before + 1:
            gaps += _without((before + 1, number - 1), changed)
        before = number
    return Faults(tuple(gaps), tuple(ranges(changed)), tuple(ranges(moved)), torn)


def ranges(numbers: Iterable[int]) -> list[Range]:
    """Numbers that follow each other, together."""
    found: list[Range] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _without(gap: Range, numbers: set[int]) -> list[Range]:
    """What is left of a gap."""
    left, start = [], gap[0]
    for number in sorted(number for number in numbers if gap[0] <= number <= gap[1]):
        if number > start:
            left.append((start, number - 1))
        start = number + 1
    return [*left, (start, gap[1])] if start <= gap[1] else left
