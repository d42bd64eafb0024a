"""The strict codec under the frames: JSON that two readers cannot disagree on, fields, ``Frame``.

Nothing is coerced: ``true`` is not a number, ``7`` is not a text.  Sizes are measured in bytes
before anything is parsed.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from protocol import keys, limits
from protocol.dataclass import field, fields
from protocol.errors import Malformed

FrameType = TypeVar("FrameType", bound="Frame")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed()
    return found


def _refuse_constant(_: str) -> Any:
    raise Malformed()


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
_SPACES = " \t\n\r"  # of JSON (RFC 8259 2)
# The value that begins at a place, and where it ends; the library's ``decode`` looks for spaces
# around it as well, by a regular expression each.
_scan: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once  # type: ignore[attr-defined]


def parse(raw: bytes) -> Any:
    """The JSON value in ``raw`` (UTF-8); raises Malformed.

    Duplicate keys, NaN and infinities are refused: two readers could disagree on them.
    """
    try:
        text = raw.decode("utf-8")
        value, end = _scan(text, 0)
        if end < len(text) and text[end:].strip(_SPACES):
            raise Malformed()
        return value
    except StopIteration:  # no value begins there; it may behind spaces
        return _parse_behind_spaces(text)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise Malformed() from None


def _parse_behind_spaces(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise Malformed() from None


def encode(value: Any) -> bytes:
    """A JSON value as UTF-8 without spaces."""
    return _ENCODER.encode(value).encode()


def parse_record(raw: bytes) -> Sequence[Any]:
    """The unread frames of an opened record: a JSON list, perhaps padded; raises Malformed.

    What would be a great many values is not parsed: a quarter million lists take the interpreter
    for longer than all else that fits a record.
    """
    if sum(map(raw.count, (b",", b"[", b"{"))) > limits.VALUES_IN_RECORD:
        raise Malformed()
    value = parse(raw)
    if not isinstance(value, list) or len(value) > limits.FRAMES_IN_RECORD:
        raise Malformed()
    return value


# Fields


class Codec(NamedTuple):
    """How one field is read from JSON (raises Malformed) and written to it."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def _identity(value: Any) -> Any:
    return value


def _read_count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= limits.COUNTER_MAX:
        raise Malformed()
    return value


def _read_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Malformed()
    return value


def _read_seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1e9:
        raise Malformed()
    return float(value)


def text(most: int) -> Codec:
    """A text of at most ``most`` characters."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > most:
            raise Malformed()
        return value

    return Codec(read, _identity)


def fixed(size: int) -> Codec:
    """Exactly ``size`` bytes, as base64url."""

    def read(value: Any) -> bytes:
        if not isinstance(value, str):
            raise Malformed()
        return keys.from_text(value, size)

    return Codec(read, keys.to_text)


_TOKEN_LETTERS = (string.ascii_letters + string.digits + "-_=").encode("ascii")


def _read_token(value: Any) -> bytes:
    """A Fernet token: its own base64url, kept as the bytes that were signed.

    No other letters: JSON would write some of them longer than they are.
    """
    if not isinstance(value, str) or not value.isascii():
        raise Malformed()
    raw = value.encode("ascii")
    if raw.translate(None, _TOKEN_LETTERS):
        raise Malformed()
    return raw


COUNT = Codec(_read_count, _identity)
FLAG = Codec(_read_flag, _identity)
SECONDS = Codec(_read_seconds, _identity)
NICK = text(limits.NICK_CHARS * 2)  # names.check_nick has the last word
ROOM = text(limits.ROOM_CHARS * 2)
CODE = text(32)
ANNOUNCEMENT = text(limits.ANNOUNCEMENT_CHARS)
NONCE = fixed(limits.NONCE_BYTES)
SHARE = fixed(limits.SHARE_BYTES)
LOG_ID = fixed(limits.LOG_ID_BYTES)
HASH = fixed(32)
TOKEN_ID, TOKEN_SECRET = fixed(limits.TOKEN_ID_BYTES), fixed(limits.TOKEN_SECRET_BYTES)
WRAPPED = fixed(keys.WRAP_BYTES)
SIGNATURE = fixed(keys.SIGNATURE_BYTES)
TOKEN = Codec(_read_token, lambda raw: raw.decode("ascii"))
BUNDLE = Codec(keys.Bundle.from_fields, keys.Bundle.to_fields)


# Frames


class Frame:
    """Base of all frames and of the objects inside them; ``kind`` is the JSON ``type``."""

    kind: ClassVar[str] = ""

    @classmethod
    def _layout(cls) -> list[tuple[str, str, Codec, bool]]:
        """Of each field: attribute, JSON key, codec, whether it may be absent."""
        found = _LAYOUTS.get(cls)
        if found is None:
            found = _LAYOUTS[cls] = [
                (
                    item.name,
                    item.metadata["key"] or item.name,
                    item.metadata["codec"],
                    item.default is None,
                )
                for item in fields(cls)  # type: ignore[arg-type]  # each subclass is a dataclass
            ]
        return found

    @classmethod
    def from_object(cls: type[FrameType], value: Any) -> FrameType:
        """Read one JSON object; raises Malformed."""
        if not isinstance(value, dict):
            raise Malformed()
        found = {}
        for name, key, codec, absent in _LAYOUTS.get(cls) or cls._layout():
            if key in value and not (absent and value[key] is None):
                found[name] = codec.read(value[key])
            elif not absent:
                raise Malformed()
        return cls(**found)

    def to_object(self) -> dict[str, Any]:
        """The frame as a JSON object; absent fields are left out."""
        found: dict[str, Any] = {"type": self.kind} if self.kind else {}
        for name, key, codec, _ in self._layout():
            value = getattr(self, name)
            if value is not None:
                found[key] = codec.write(value)
        return found

    def encode(self) -> bytes:
        """The frame as UTF-8 JSON without spaces."""
        return encode(self.to_object())


_LAYOUTS: dict[type[Frame], list[tuple[str, str, Codec, bool]]] = {}


def part(kind: type[FrameType]) -> Codec:
    """An object inside a frame."""
    return Codec(kind.from_object, lambda value: value.to_object())


def parts(kind: type[FrameType], most: int) -> Codec:
    """A list of at most ``most`` objects; becomes a tuple."""

    def read(value: Any) -> tuple[FrameType, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise Malformed()
        return tuple(kind.from_object(item) for item in value)

    return Codec(read, lambda items: [item.to_object() for item in items])


def required(codec: Codec, key: str = "", shown: bool = True) -> Any:
    """A field that must be there; ``key`` where Python's name cannot be the JSON one.  One that is
    not ``shown`` stands in no text of the frame."""
    return field(repr=shown, metadata={"codec": codec, "key": key})


def optional(codec: Codec) -> Any:
    """A field that may be absent, and is None then."""
    return field(default=None, metadata={"codec": codec, "key": ""})
