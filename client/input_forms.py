"""What a line of the input means, by ``--input``: as a person types it, a text, or a JSON object.

Whatever a program hands in as an object comes to exactly one thing: a message or a ``not_sent``,
what a command shows, or an ``error``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from client.commands import CommandContext, run_line
from client.events import Error
from i18n import _
from protocol.codec import parse
from protocol.errors import Malformed

NAME_CHARS = 200  # of a room, a nickname or an ``id``: more than any has
_EXACT = 2**53 - 1  # larger numbers are not the same in every program (RFC 8259 6)


class _Key(NamedTuple):
    """What a key's value must be, in words that are the same in all languages."""

    form: str
    fits: Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_name(value: Any) -> bool:
    return _is_text(value) and len(value) <= NAME_CHARS


def _is_id(value: Any) -> bool:
    if type(value) in (int, float):
        return bool(abs(value) <= _EXACT)
    return isinstance(value, str) and len(value) <= NAME_CHARS


def _is_command(value: Any) -> bool:
    return _is_text(value) and value.startswith("/") and not value.startswith("//")


_NAME = _Key(f"string(1-{NAME_CHARS})", _is_name)
_ID = _Key(f"string(0-{NAME_CHARS}) | number", _is_id)
_OF_TEXT = {
    "text": _Key("string(1-)", _is_text),
    "room": _NAME,
    "to": _NAME,
    "kind": _Key('"text" | "action"', lambda value: value in ("text", "action")),
    "id": _ID,
    "bot": _Key("true | false", lambda value: isinstance(value, bool)),
}
_OF_COMMAND = {"command": _Key('"/…"', _is_command), "id": _ID}


def run_text(line: str, context: CommandContext) -> None:
    """Send a line as it is, whatever it begins with; one without anything to see is none."""
    if line.strip():
        context.user.say(line)


def run_object(line: str, context: CommandContext) -> None:
    """Do what an object asks for.  What is none of ours is an ``Error`` with the code ``bad_json``,
    ``unknown_key`` or ``bad_value``; nothing of it is sent."""
    if not line.strip():
        return
    found = _object(line)
    tag = found.get("id") if found is not None and _is_id(found.get("id")) else None
    with context.user.answering(tag):
        if found is None:
            text = _("Not sent: each line of the input must be one JSON object.")
            context.user.reject(Error("bad_json", text))
        elif error := _mistake(found):
            context.user.reject(error)
        elif "command" in found:
            run_line(found["command"], context)
        else:
            kind, to, room = found.get("kind", "text"), found.get("to"), found.get("room")
            context.user.say(found["text"], kind, to, room, found.get("bot", False))


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = parse(line.encode(errors="surrogateescape"))
    except Malformed:
        return None
    return found if isinstance(found, dict) else None


def _mistake(found: Mapping[str, Any]) -> Error | None:
    """What is wrong with an object; None if it can be acted on."""
    keys = _OF_COMMAND if "command" in found else _OF_TEXT
    for key in found:
        if key not in keys:
            text = _("Not sent: the key {key} is not known here, but these are: {keys}.")
            return Error("unknown_key", text.format(key=repr(key[:40]), keys=", ".join(keys)))
    for key, (form, fits) in keys.items():
        needed = key in ("text", "command")
        if not fits(found[key]) if key in found else needed:
            text = _("Not sent: the value of {key} must be {form}.")
            return Error("bad_value", text.format(key=key, form=form))
    return None


# By the values of the setting.
FORMS: dict[str, Callable[[str, CommandContext], None]] = {
    "lines": run_line,
    "text": run_text,
    "json": run_object,
}
