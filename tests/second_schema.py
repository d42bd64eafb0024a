"""The frames that a client is sent, by the tables of docs/PROTOCOL.md.

Part of ``tests/second_client.py``; nothing here is the program's.
"""

from __future__ import annotations

import re
from typing import Any

from tests import second_crypto as crypto


class Malformed(ValueError):
    """A frame is not what the document says."""


REFUSED = "code code, ref? count, retry_after? seconds, limit? count, nick? nick, room? room"
_CLEAR = {
    "greeting": "version count, nonce nonce",
    "key": "wrapped wrapped, share share",
    "refused": REFUSED,
}
_SERVER = {
    "welcome": "nick nick, resumed flag, heartbeat_interval seconds, heartbeat_timeout seconds, "
    "max_message_size count, max_payload_size count, rate_limit count, rate_window seconds, "
    "ticket? nonce",
    "entered": "at count, room room, log nonce, id count, seq count, members count, "
    "resumed flag, missed count, ref? count",
    "roster": "members [member",
    "accepted": "ref count, seq? count",
    "refused": REFUSED,
    "rooms": "ref count, rooms [line, of count",
    "minted": "ref count, id token_id, secret share, seconds seconds",
    "key_for": "at count, number count, from count, wrap wrap",
    "private_for": "at count, number count, from count, change count, wrap wrap, box box",
    "log": "at count, to count, entries [any",
    "taken": "ref count",
    "bye": "reason code",
    "wait": "seconds seconds",
    "announcement": "text announcement",
}
_ENTRIES = {
    "posted": "seq count, from count, change count, box box",
    "own_posted": "seq count, ref count",
    "joined": "seq count, member member",
    "left": "seq count, id count",
    "renamed": "seq count, id count, nick nick",
    "rejoined": "seq count, id count",
}
_OBJECTS = {
    "box": "epoch count, n count, data token, sig signature",
    "wrap": "to count, epoch count, n count, wrapped wrapped",
    "member": "id count, nick nick, joined count, bundle bundle",
    "bundle": "rsa rsa, kem kem, sign share, run count, since count, sig signature",
    "line": "room room, count count",
}
_TEXTS = {"nick": 64, "room": 128, "code": 32, "announcement": 1000}
_BYTES = {"nonce": 16, "share": 32, "rsa": 256, "kem": 1216, "wrapped": 1392, "signature": 64,
          "token_id": 12}  # fmt: skip
_LISTS = {"member": 256, "line": 512, "any": 4096}

Table = dict[str, dict[str, str]]


def _fields(text: str) -> dict[str, str]:
    return dict(pair.split(" ") for pair in text.split(", "))


CLEAR: Table = {name: _fields(text) for name, text in _CLEAR.items()}
SERVER: Table = {name: _fields(text) for name, text in _SERVER.items()}
ENTRIES: Table = {name: _fields(text) for name, text in _ENTRIES.items()}
OBJECTS: Table = {name: _fields(text) for name, text in _OBJECTS.items()}


def read(value: Any, table: Table) -> tuple[dict[str, Any] | None, set[str]]:
    """A frame that has been looked at, or None if its type is unknown; and whatever is in it that
    the document does not have.  Raises Malformed."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise Malformed("no frame")
    kind = value["type"]
    if kind not in table:
        return None, {kind}
    unknown: set[str] = set()
    _check(value, table[kind], kind, unknown)
    return value, unknown


def _check(value: Any, fields: dict[str, str], path: str, unknown: set[str]) -> None:
    if not isinstance(value, dict):
        raise Malformed(path)
    names = {name.rstrip("?") for name in fields}
    unknown |= {f"{path}.{name}" for name in value if name not in names | {"type"}}
    for name, kind in fields.items():
        found = value.get(name.rstrip("?"))
        if found is not None:
            _check_field(found, kind, f"{path}.{name}", unknown)
        elif not name.endswith("?"):
            raise Malformed(f"{path}.{name}")


def _check_field(value: Any, kind: str, path: str, unknown: set[str]) -> None:
    if kind[0] == "[":
        of = kind[1:]
        if not isinstance(value, list) or len(value) > _LISTS[of]:
            raise Malformed(path)
        for each in value if of != "any" else ():
            _check(each, OBJECTS[of], path, unknown)
    elif kind in OBJECTS:
        _check(value, OBJECTS[kind], path, unknown)
    elif not _is(value, kind):
        raise Malformed(path)


def _is(value: Any, kind: str) -> bool:
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "count":
        return type(value) is int and 0 <= value < 2**53
    if kind == "seconds":
        return type(value) in (int, float) and 0 <= value <= 10**9
    if not isinstance(value, str):
        return False
    if kind in _TEXTS:
        return len(value) <= _TEXTS[kind]
    if kind == "token":
        return re.fullmatch("[A-Za-z0-9_=-]+", value) is not None
    try:
        crypto.from_text(value, _BYTES[kind])
    except ValueError:
        return False
    return True
