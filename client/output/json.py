"""The json renderer: one object a line, for programs. Its keys are a contract (docs/USING.md)."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, TextIO

from client.events import SCREEN_ONLY, Event, rfc3339

# A lone surrogate cannot be written as UTF-8; the others would be obeyed by a terminal on which
# somebody looks at the output, or taken for a line end by a program that reads it. Any of them
# may be escaped in JSON (RFC 8259 7), and means the same then.
_ESCAPED = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


class Json:
    """Renders each event as one JSON object; what is only for a person's screen is left out."""

    def lines(self, event: Event, when: datetime, columns: int | None = None) -> list[str]:
        if isinstance(event, SCREEN_ONLY):
            return []
        return [one_line({"event": event.name, "time": rfc3339(when), **event.fields()})]

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
    """An object as one line that is safe for a terminal."""
    text = json.dumps(found, ensure_ascii=False, separators=(", ", ": "))
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
