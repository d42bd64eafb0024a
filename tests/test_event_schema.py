"""docs/events.schema.json: what it takes and refuses, and that it has each event and key."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import jsonschema
import pytest

from client import events, json_object
from tests.event_schema import SCHEMA, check
from tests.module_server import server_fixture  # noqa: F401
from tests.processes import Server, free_port, run_client

TIME = "2026-01-02T03:04:05.678Z"
MESSAGE = {
    "event": "message", "time": TIME, "room": "lab", "from": "ann", "text": "x", "seq": 3,
    "self": False, "private": False, "verified": False, "kind": "text", "bot": False,
}  # fmt: skip


def test_it_is_a_schema_and_has_every_event_and_key() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    kinds = [kind for kind in events.Event.__subclasses__() if kind not in events.SCREEN_ONLY]
    defined = {name for name in SCHEMA["$defs"] if name.startswith("event_")}
    assert defined == {f"event_{kind.name}" for kind in kinds}
    assert {each["$ref"].rpartition("/")[2] for each in SCHEMA["oneOf"]} == defined
    for kind in kinds:
        found = SCHEMA["$defs"][f"event_{kind.name}"]
        every = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # dataclasses
        names = [name for name in every if name not in kind._hidden]
        keys = {json_object._RENAMED.get(name, name) for name in names}
        assert set(found["properties"]) == {"event", "time", *keys}, kind.name
        assert set(found["required"]) == {"event", "time", *keys} - set(kind._optional), kind.name


@pytest.mark.parametrize("more", [{}, {"later": [1]}, {"id": "a"}, {"id": 1.5}, {"seq": None}])
def test_an_event_may_have_further_keys(more: dict[str, Any]) -> None:
    check({**MESSAGE, **more})
    jsonschema.Draft202012Validator(SCHEMA).validate({**MESSAGE, **more})


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": "massage"}, {"event": 1}, {"time": "today"}, {"room": None}, {"text": 5},
        {"seq": "3"}, {"seq": 1.5}, {"self": 0}, {"id": None}, {"id": [1]}, {"kind": "shout"},
    ],
)  # fmt: skip
def test_what_is_unknown_or_of_a_wrong_type_is_refused(wrong: dict[str, Any]) -> None:
    whole = jsonschema.Draft202012Validator(SCHEMA)
    assert not whole.is_valid({**MESSAGE, **wrong})
    with pytest.raises(jsonschema.ValidationError):
        check({**MESSAGE, **wrong})


@pytest.mark.parametrize("key", sorted(MESSAGE))
def test_no_key_may_be_missing(key: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check({name: value for name, value in MESSAGE.items() if name != key})


def test_a_run_that_never_starts_ends_in_events() -> None:
    """Whatever is wrong; what is printed is held against the schema by the client itself."""
    words = ["--ssl", "--ssl-ca", "/nonexistent"]
    client = run_client(("127.0.0.1", free_port()), *words, nick="al")
    assert [event["event"] for event in client.events] == ["error", "disconnected"]
    assert client.events[0]["code"] == client.events[1]["reason"] == "certificate"
    assert client.process.returncode == 2 and client.events[0]["text"] in client.errors


def test_a_refused_password_is_an_event(server: Server) -> None:
    client = run_client(server, nick="al", settings={"CLIENT_PASSWORD": "no such"})
    error, end = client.events
    assert (error["event"], error["code"]) == ("error", "auth_failed")
    assert (end["event"], end["reason"]) == ("disconnected", "auth_failed")
    assert client.process.returncode == 4 and error["text"] in client.errors
