"""What ``--renderer json`` prints, held against docs/events.schema.json.

A kind of event has a schema of its own there, which is looked up by name: that takes a tenth of
the time.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

PATH = Path(__file__).parent.parent / "docs" / "events.schema.json"
SCHEMA: dict[str, Any] = json.loads(PATH.read_text("utf-8"))


@cache
def _validator(name: str) -> Any:
    schema = {"$ref": f"#/$defs/event_{name}", "$defs": SCHEMA["$defs"]}
    return jsonschema.Draft202012Validator(schema)


def check(event: Any) -> None:
    """Raises ``ValidationError`` for what is no event of the schema."""
    name = event.get("event") if isinstance(event, dict) else None
    if not isinstance(name, str) or f"event_{name}" not in SCHEMA["$defs"]:
        raise jsonschema.ValidationError(f"no such event: {name!r}")
    _validator(name).validate(event)
