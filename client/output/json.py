"""The json renderer: one object a line, for programs. Its keys are a contract (docs/USING.md)."""

from __future__ import annotations

import json
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any, TextIO

from client.events import SCREEN_ONLY, Event
from client.json_object import rfc3339
from client.output.shown_views import ViewSummary
from protocol.safe_text import escaped

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "))


class Json:
    """Renders each event as one JSON object; what is only for a person's screen is left out."""

    def lines(self, event: Event, when: datetime, columns: int | None = None) -> list[str]:
        if isinstance(event, SCREEN_ONLY):
            return []
        return [one_line({"event": event.name, "time": rfc3339(when), **event.fields()})]

    shown = ""
    summaries: tuple[ViewSummary, ...] = ()

    def prompt(self) -> str:
        return ""

    def rings(self, event: Event) -> bool:
        return False


def speak_utf8(out: TextIO | None) -> None:
    """JSON is UTF-8 whatever the locale (RFC 8259 8.1)."""
    reconfigure = getattr(out, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", newline="\n")


def one_line(found: dict[str, Any]) -> str:
    """An object as one line that is safe for a terminal: texts are what was sent, and what a
    terminal would obey or hide in them is escaped, which means the same (RFC 8259 7)."""
    fields = ", ".join([f'"{key}": {_written(value)}' for key, value in found.items()])
    return escaped(f"{{{fields}}}", _escape)


def _written(value: Any) -> str:
    # Nearly all are of these; the library makes its encoder anew for each call of it.
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is bool:
        return "true" if value else "false"
    if value is None:
        return "null"
    return str(value) if kind is int else _ENCODER.encode(value)


def _escape(char: str) -> str:
    return json.dumps(char)[1:-1]  # beyond U+FFFF that takes a pair
