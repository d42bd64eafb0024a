"""What a program hands in: lines, texts, objects; and what comes back of each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from client.events import Error, Event
from client.input_forms import NAME_CHARS, run_object, run_text
from tests.module_server import server_fixture  # noqa: F401
from tests.processes import PASSWORD, Client, Server, Terminal, people, run_client
from tests.test_commands import Recorder

_ROOMS = count(1)


@pytest.fixture
def room() -> str:
    """A room of the test's own."""
    return f"forms-{next(_ROOMS)}"


class Acting(Recorder):
    """As whoever types, with what an object's ``id`` was."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[Any] = []

    def answering(self, tag: Any) -> Any:
        self.tags.append(tag)
        return _Nothing()

    def say(
        self, text: str, kind: str = "text", to: Any = None, room: Any = None, bot: bool = False
    ) -> None:
        self._note("say", text, kind, to, room, *["bot"] * bot)

    def reject(self, error: Event) -> None:
        self.events.append(error)


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        pass


def acted(line: str) -> Acting:
    found = Acting()
    run_object(line, found.context("json"))
    return found


@pytest.mark.parametrize("line", ["/quit", "//x", "/usr/bin/x failed", " /panic", "q", "\t/who"])
def test_a_text_is_never_a_command(line: str) -> None:
    found = Acting()
    run_text(line, found.context("json"))
    assert found.calls == [("say", line, "text", None, None)] and found.events == []


@pytest.mark.parametrize(
    ("given", "call"),
    [
        ({"text": "/quit"}, ("say", "/quit", "text", None, None)),
        ({"text": " a\n\tb\r\n"}, ("say", " a\n\tb\r\n", "text", None, None)),
        ({"text": "x", "to": "bob"}, ("say", "x", "text", "bob", None)),
        ({"text": "x", "room": "lab"}, ("say", "x", "text", None, "lab")),
        ({"text": "x", "kind": "action", "id": 7}, ("say", "x", "action", None, None)),
        ({"text": "x", "bot": True}, ("say", "x", "text", None, None, "bot")),
        ({"text": "x", "bot": False}, ("say", "x", "text", None, None)),
        ({"command": "/who"}, ("who",)),
        ({"command": "/quit", "id": ""}, ("quit",)),
    ],
)
def test_an_object_says_what_is_to_be_done(given: dict[str, Any], call: tuple[Any, ...]) -> None:
    found = acted(json.dumps(given))
    assert found.calls == [call] and found.events == []
    assert found.tags == [given.get("id")]


LONG = "x" * (NAME_CHARS + 1)


@pytest.mark.parametrize(
    ("line", "code", "named"),
    [
        ("hello", "bad_json", ""),
        ('"hello"', "bad_json", ""),
        ('[{"text": "x"}]', "bad_json", ""),
        ('{"text": "x"', "bad_json", ""),
        ('{"text": "x", "text": "y"}', "bad_json", ""),
        ('{"text": "x", "id": NaN}', "bad_json", ""),
        ('{"text": "caf\udce9"}', "bad_json", ""),
        ('{"text": "x", "id": ' + "9" * 5000 + "}", "bad_json", ""),
        ("[" * 100_000, "bad_json", ""),
        ("{}", "bad_value", "text"),
        ('{"text": null}', "bad_value", "text"),
        ('{"text": 1}', "bad_value", "text"),
        ('{"text": ["x"]}', "bad_value", "text"),
        ('{"text": " \\n"}', "bad_value", "text"),
        ('{"text": "x", "room": ""}', "bad_value", "room"),
        ('{"text": "x", "room": "' + LONG + '"}', "bad_value", "room"),
        ('{"text": "x", "to": null}', "bad_value", "to"),
        ('{"text": "x", "to": "' + LONG + '"}', "bad_value", "to"),
        ('{"text": "x", "kind": "shout"}', "bad_value", "kind"),
        ('{"text": "x", "kind": ["text"]}', "bad_value", "kind"),
        ('{"text": "x", "bot": 1}', "bad_value", "bot"),
        ('{"text": "x", "bot": null}', "bad_value", "bot"),
        ('{"text": "x", "id": true}', "bad_value", "id"),
        ('{"text": "x", "id": 1e999}', "bad_value", "id"),
        ('{"text": "x", "id": 9007199254740992}', "bad_value", "id"),
        ('{"text": "x", "id": {}}', "bad_value", "id"),
        ('{"text": "x", "id": "' + LONG + '"}', "bad_value", "id"),
        ('{"text": "x", "too": "bob"}', "unknown_key", "too"),
        ('{"command": "/who", "text": "x"}', "unknown_key", "text"),
        ('{"command": "/who", "room": "x"}', "unknown_key", "room"),
        ('{"command": "who"}', "bad_value", "command"),
        ('{"command": "//who"}', "bad_value", "command"),
        ('{"command": ["/who"]}', "bad_value", "command"),
    ],
)
def test_what_is_no_such_object_is_said_and_nothing_done(line: str, code: str, named: str) -> None:
    found = acted(line)
    assert found.calls == []
    (error,) = found.events
    assert isinstance(error, Error) and error.code == code
    assert named in error.text and LONG not in error.text


def test_a_mistake_is_told_with_the_id_that_it_had(server: Server, room: str) -> None:
    objects = [
        {"text": "x", "to": "bob", "kind": "no", "id": "one"},
        {"text": "x", "id": []},
        {"command": "/nosuch", "id": 2},
        {"command": "/room", "id": 3.5},
        {"command": "/nick a b", "id": "four"},
        {"command": "/room ?", "id": "five"},
        {"command": "/verify nobody", "id": "six"},
        {"command": "/nosuch"},
    ]
    sender = run_client(
        server, "--room", room, "--input", "json", text="\n".join(map(json.dumps, objects))
    )
    told = [(event["code"], event.get("id")) for event in sender.all("error")]
    assert told == [
        *(("bad_value", "one"), ("bad_value", None), ("unknown_command", 2), ("usage", 3.5)),
        *(("usage", "four"), ("bad_room", "five"), ("gone", "six"), ("unknown_command", None)),
    ]
    assert sender.process.returncode == 4 and not sender.all("message")


@pytest.fixture
def pair(server: Server, room: str) -> Iterator[tuple[Client, Client]]:
    names = f"ann-{room}", f"ben-{room}"  # their places are kept when they are killed
    with people(server, room, *names, settings={"CLIENT_INPUT": "json"}) as (ann, ben):
        yield ann, ben


def told(client: Client, **given: Any) -> None:
    client.say(json.dumps(given))


def test_each_text_comes_back_with_its_id(pair: tuple[Client, Client], room: str) -> None:
    ann, ben = pair
    told(ann, text="/who\nis no command", id="a")
    told(ann, text="psst", to=ben.nick, id=2)
    told(ann, text="waves", kind="action", room=room.upper(), id=-0.5)
    told(ann, text="nobody", to="zoe", id="gone")
    told(ann, text="x" * 10241, id="long")
    told(ann, text="elsewhere", room="other", id="room")
    told(ann, text="half \ud800", id="half")
    told(ann, text="without")
    ben.hears("/who\nis no command", "psst", "waves", "without")
    assert [event["private"] for event in ben.all("message")] == [False, True, False, False]
    assert ben.all("message")[2]["kind"] == "action"
    assert all("id" not in event for event in ben.events)  # it is nobody else's
    ann.hears("/who\nis no command", "psst", "waves", "without")
    assert [event.get("id") for event in ann.all("message")] == ["a", 2, -0.5, None]
    refused = [(event["reason"], event["id"], event["room"]) for event in ann.all("not_sent")]
    assert refused == [
        *(("gone", "gone", room), ("too_long", "long", room)),
        *(("left_room", "room", "other"), ("not_text", "half", room)),
    ]


def test_what_the_server_refuses_a_command_comes_back_with_its_id(
    pair: tuple[Client, Client], room: str
) -> None:
    ann, ben = pair
    told(ann, command=f"/nick {ben.nick}", id="nick")
    assert ann.next("error")["id"] == "nick"
    told(ann, command=f"/room {room}-2", id="room")
    told(ann, text="for the new one", room=f"{room}-2", id="there")
    told(ann, text="nowhere", room=f"{room}-3", id="nowhere")
    assert ann.next("message")["id"] == "there"
    assert [event["id"] for event in ann.all("not_sent")] == ["nowhere"]
    told(ann, command="/me waves", id="me")
    assert ann.next("message", kind="action")["id"] == "me"
    assert not ben.all("message")


def test_a_look_into_the_history_that_fails_is_told_with_its_id(
    server: Server, room: str, tmp_path: Path
) -> None:
    """Though another thread finds it out, when other commands have come already."""
    kept = {"XDG_STATE_HOME": str(tmp_path), "HISTORY_PASSPHRASE": "correct horse battery staple"}
    options = ("--room", room, "--input", "json")
    with Client(server, f"ann-{room}", *options, "--history", settings=kept) as ann:
        told(ann, text="recorded", id="text")
        ann.next("message", id="text")
        told(ann, command="/history", id="found")
        assert len(ann.next("history")["messages"]) == 1
        shutil.rmtree(tmp_path)
        told(ann, command="/history 5", id="lost")
        told(ann, command="/nosuch", id="other")
        found = {ann.next("error")["id"]: None for _ in range(2)}
        assert found.keys() == {"lost", "other"}
    with Client(server, f"ben-{room}", *options) as ben:
        told(ben, command="/history", id=0)
        error = ben.next("error")
        assert (error["code"], error["id"]) == ("no_history", 0)


def test_objects_go_to_whichever_open_room_they_name(server: Server, room: str) -> None:
    """And to a person through any of them; what is shown does not change by that."""
    other = f"{room}-2"
    words = ["--room", room, "--room", other, "--input", "json"]
    with Client(server, "ria", *words) as ria, Client(server, "sam", "--room", other) as sam:
        ria.next("room", room=other)
        ria.meets("sam")
        told(ria, text="one", room=other)
        told(ria, text="two", id=2)
        told(ria, text="psst", to="sam")
        assert sam.next("message", text="one")["room"] == other
        assert ria.next("message", text="two")["room"] == room
        assert sam.next("message", text="psst", private=True)["room"] == other
        told(ria, command=f"/leave {room}")
        ria.next("room_left", room=room)
        assert ria.next("shown")["room"] == other
        told(ria, text="three", room=room, id=3)
        assert ria.next("not_sent")["reason"] == "left_room"
        told(ria, text="four")
        sam.next("message", text="four", room=other)
        assert ria.finish() == 4


def test_the_lines_of_a_log_are_all_sent(server: Server, room: str) -> None:
    lines = ["a", "/quit", "", "//b", "/panic", "/usr/bin/x failed", "q", "c"]
    with Client(server, "reader", "--room", room) as reader:
        sender = run_client(server, "--room", room, "--input", "text", text="\n".join(lines))
        assert sender.process.returncode == 0
        reader.hears(*filter(None, lines))


def test_text_that_is_not_utf8_is_handed_back(server: Server, room: str) -> None:
    with Client(server, "latin", "--room", room, "--input", "text") as ann:
        ann.write(b"caf\xe9\n")
        assert ann.next("not_sent")["reason"] == "not_text"
        assert ann.finish("fine") == 4
        assert ann.texts() == ["fine"]


def test_on_a_terminal_it_needs_the_json_renderer(server: Server) -> None:
    words = ["connect", server.host, str(server.port), "ann", "--input", "text"]
    with Terminal(words, {"CLIENT_PASSWORD": PASSWORD}) as ann:
        ann.sees("needs --renderer json")
        assert ann.end() == 2
