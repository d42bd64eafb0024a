"""A file that a passphrase opens: an identity's, or the key file of a history.  Pure.

    file     cmdchat KIND VERSION COST SALT SEALED SUM, a space between each two, one line feed
    lock     HKDF-SHA256(scrypt(passphrase in NFC, SALT, N = 2^COST, r = 8, p = 1),
             info = the kind's label for locks, the line before SEALED), 32 bytes: a Fernet key
    SEALED   Fernet over the plaintext
    SUM      SHA-256(the kind's label for sums, the line before SUM)

COST is decimal; SALT (16 bytes) and SUM (32 bytes) are base64url without padding.  The clock field
of Fernet is 0.  SUM needs no passphrase: it tells a damaged file from a wrong passphrase.
"""

from __future__ import annotations

import base64
import re
import secrets
import unicodedata

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.dataclass import dataclass, field
from protocol.errors import ChatError, Malformed
from protocol.keys import digest, from_text, labelled, scrypt, to_text

COST = 17  # of new files: 128 MiB, and a quarter of a second
COSTS = range(15, 19)  # a file that claims less is no protection, one that claims more a trap

FIELD16, FIELD32 = r"([A-Za-z0-9_-]{22})", r"([A-Za-z0-9_-]{43})"  # base64url of so many bytes
TOKEN = r"([A-Za-z0-9_=-]+)"  # noqa: S105  # what one looks like


class FileUnusable(ChatError):
    """What keeps a file from being used; ``code`` is one of ``messages``'s for its kind."""

    code = "unusable"


class OtherVersion(FileUnusable):
    """The file is of another version of this program."""

    code = "other_version"


class WrongPassphrase(FileUnusable):
    """The file is whole, and this is not its passphrase."""

    code = "wrong_passphrase"


class FileKind:
    """One kind of file, of one ``version``; ``name`` is the first word of it, ``part`` the rest.

    ``lock`` and ``sum_`` are its labels (``protocol.keys.labelled``).
    """

    def __init__(self, name: str, version: str, lock: str, sum_: str, part: str = "") -> None:
        self._lock, self._sum = lock, sum_
        self._begin = f"cmdchat {name}{part} {version}"
        self._line = re.compile(rf"{self._begin} ([1-9][0-9]?) {FIELD16} {TOKEN} {FIELD32}\n")
        self._other = re.compile(rf"cmdchat {name}(?:{part})? (?!{version} )[0-9]{{1,4}} ")

    def fresh(self, passphrase: str, cost: int = COST) -> FileCipher:
        """For a new passphrase; takes as long as ``cost`` says."""
        head = f"{self._begin} {cost} {to_text(secrets.token_bytes(16))}"
        return self._cipher(head.encode("ascii"), passphrase)

    def of(self, data: bytes, passphrase: str) -> FileCipher:
        """For a file; takes as long as it says.  Raises FileUnusable for what is none."""
        return self._cipher(self.parts(data)[0], passphrase)

    def parts(self, data: bytes) -> tuple[bytes, bytes]:
        """The line before SEALED, and that.  Raises FileUnusable."""
        text = data.decode("ascii", "replace")
        found = self._line.fullmatch(text)
        if found is None:
            raise OtherVersion() if self._other.match(text) else FileUnusable()
        head, token = text[: found.start(3) - 1].encode("ascii"), found[3].encode("ascii")
        if self.summed(head + b" " + token) != data or int(found[1]) not in COSTS:
            raise FileUnusable()
        return head, token

    def summed(self, line: bytes) -> bytes:
        """``line`` with SUM and its end."""
        return line + b" " + to_text(digest(self._sum, line)).encode("ascii") + b"\n"

    def _cipher(self, head: bytes, passphrase: str) -> FileCipher:
        *_, cost, salt = head.decode("ascii").split(" ")
        secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
        try:
            stretched = scrypt(secret, from_text(salt, 16), int(cost))
        except Malformed:
            raise FileUnusable() from None
        return FileCipher(self, head, derived_fernet(stretched, labelled(self._lock, head)))


@dataclass(frozen=True)
class FileCipher:
    """What opens and seals one file: the beginning of its line, and the key that goes with it."""

    kind: FileKind
    head: bytes
    key: Fernet = field(repr=False)

    def seal(self, plain: bytes) -> bytes:
        """The file."""
        return self.kind.summed(self.head + b" " + self.key.encrypt_at_time(plain, 0))

    def open(self, data: bytes) -> bytes:
        """Read ``seal``.

        Raises WrongPassphrase, also if that has been changed since; FileUnusable for what is none.
        """
        head, token = self.kind.parts(data)
        if head != self.head:
            raise WrongPassphrase()
        try:
            return self.key.decrypt(token)
        except InvalidToken:
            raise WrongPassphrase() from None


def derived_fernet(key: bytes, info: bytes) -> Fernet:
    """The Fernet key that HKDF-SHA256 makes of ``key`` for ``info``."""
    derived = HKDF(hashes.SHA256(), 32, b"", info).derive(key)
    return Fernet(base64.urlsafe_b64encode(derived))
