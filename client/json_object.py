"""Objects of the contract with programs: their keys, and their values as JSON has them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, ClassVar

from protocol.dataclass import fields

# Python has keywords that the contract uses as keys.
_RENAMED = {"sender": "from", "mine": "self"}
_AS_THEY_ARE = frozenset((str, int, float, bool, type(None)))


class JsonObject:
    """What is told of one thing, by its keys in the contract."""

    # Left out where there is nothing to say.
    _optional: ClassVar[tuple[str, ...]] = ()
    # For screens and the rest of this program, and no key of the contract.
    _hidden: ClassVar[tuple[str, ...]] = ()

    def fields(self) -> dict[str, Any]:
        """The keys and JSON-safe values, without ``event`` and ``time``."""
        return {
            key: value if type(value) in _AS_THEY_ARE else _plain(value)
            for name, key, optional in self._layout()
            if (value := getattr(self, name)) is not None or not optional
        }

    @classmethod
    def _layout(cls) -> list[tuple[str, str, bool]]:
        """Of each field that is told: its name, its key, whether it may be left out."""
        found = _LAYOUTS.get(cls)
        if found is None:
            found = _LAYOUTS[cls] = [
                (each.name, _RENAMED.get(each.name, each.name), each.name in cls._optional)
                for each in fields(cls)  # type: ignore[arg-type]  # every subclass is a dataclass
                if each.name not in cls._hidden
            ]
        return found


# Of each class its fields, found once: each message that is printed asks for them.
_LAYOUTS: dict[type[JsonObject], list[tuple[str, str, bool]]] = {}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return rfc3339(value)
    return value.fields() if isinstance(value, JsonObject) else value


def rfc3339(when: datetime) -> str:
    """A time as JSON has it: UTC, to the millisecond (RFC 3339)."""
    return when.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
