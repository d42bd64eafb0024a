"""Settings: what wins, what is refused and in which words, and that nothing secret is shown."""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

import i18n
import settings
from protocol.invite import InviteLink
from protocol.sizes import box_size, record_size
from settings import MissingSetting, SettingsError, Sources
from settings.dotenv import parse_dotenv
from settings.sources import Args
from settings.table import GROUPED, LINE_TABLE, QUESTIONS, TABLE, default
from settings.types import boolean, byte_size, file_path, integer, seconds
from tools.make_env_example import env_example

ROOT = Path(__file__).resolve().parent.parent
SERVER = {"ADMIN_PASSWORD": "hunter2"}
CLIENT = {"CLIENT_SERVER": "localhost", "CLIENT_USERNAME": "alice", "CLIENT_PASSWORD": "hunter2"}


@pytest.fixture(autouse=True)
def only_english_and_french(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i18n, "available", lambda: ["en", "fr"])


Chosen = TypeVar("Chosen")


def builder(build: Callable[[Sources], Chosen]) -> Callable[..., Chosen]:
    """``build`` from arguments, environment and ``.env``, each of which may be left out."""

    def make(args: Any = None, environ: Any = None, dotenv: Any = None, **more: Any) -> Chosen:
        return build(Sources(args or {}, environ or {}, dotenv or {}, **more))

    return make


server = builder(settings.server_settings)
client = builder(settings.client_settings)
token = builder(settings.token_settings)
history = builder(settings.history_settings)


def refusal(make: Callable[[], object]) -> str:
    with pytest.raises(SettingsError) as caught:
        make()
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


# Defaults and priority


def test_the_server_has_the_documented_defaults() -> None:
    assert server(SERVER) == settings.ServerSettings(
        host="0.0.0.0",
        port=1000,
        password="hunter2",
        max_messages_per_window=10,
        rate_limit_window=60.0,
        heartbeat_interval=30.0,
        heartbeat_timeout=60.0,
        max_message_size=10_240,
        max_payload_size=1_048_576,
        ssl_cert=None,
        ssl_key=None,
        force_ssl=False,
        language="en",
    )


def test_the_client_has_the_documented_defaults() -> None:
    assert client(CLIENT) == settings.ClientSettings(
        server="localhost",
        port=1000,
        username="alice",
        password="hunter2",
        token=None,
        use_ssl=False,
        ssl_ca=None,
        ssl_fingerprint=None,
        rooms=("default",),
        rooms_named=False,
        room_secrets={},
        render_time=0.1,
        messages_to_show=0,
        listen=False,
        bell=True,
        spoken=False,
        type_ahead=False,
        mouse=False,
        history=False,
        history_passphrase=None,
        history_days=0,
        history_max=10_000,
        reconnect=True,
        wait=True,
        renderer="rich",
        language="en",
    )


@pytest.mark.parametrize(
    ("args", "environ", "dotenv", "port"),
    [
        ({"SERVER_PORT": "1"}, {"SERVER_PORT": "2"}, {"SERVER_PORT": "3"}, 1),
        ({"SERVER_PORT": None}, {"SERVER_PORT": "2"}, {"SERVER_PORT": "3"}, 2),
        ({}, {}, {"SERVER_PORT": "3"}, 3),
        ({"SERVER_PORT": ""}, {"SERVER_PORT": ""}, {"SERVER_PORT": "3"}, 3),
        ({}, {"SERVER_PORT": "  "}, {"SERVER_PORT": ""}, 1000),
    ],
)
def test_command_line_then_environment_then_dotenv_then_default(
    args: Any, environ: Any, dotenv: Any, port: int
) -> None:
    """An empty value counts as none at all."""
    assert server({**SERVER, **args}, environ, dotenv).port == port


def test_answers_of_the_user_go_first() -> None:
    assert client({**CLIENT}, answers={"CLIENT_USERNAME": "bob"}).username == "bob"


def test_every_row_reaches_its_field() -> None:
    """No row is forgotten, and no field is filled by nothing."""
    for side, kind in (("server", settings.ServerSettings), ("client", settings.ClientSettings)):
        fields = {field.name for field in dataclasses.fields(kind)}
        rows = {row.field for row in TABLE if row.side in (side, "both")}
        # A link stands for several fields, and the engine's are one value.
        assert {row for row in rows - fields if not row.startswith("backend_")} <= {"invite"}
        typed = {row.field for row in LINE_TABLE}
        # Which tell where others came from, or are beside ``server``.
        told = {"history_from", "rooms_named", "others"}
        assert fields <= rows | typed | told


def test_every_default_is_allowed_by_its_own_row() -> None:
    for row in TABLE:
        value = default(row.name)
        assert (value in (None, "", ())) == (row.default == "")


# Values

WRONG = {
    "SERVER_HOST": ["http://a", "a b", "localhost:1000", "9000", "[::1]:5", "a/b", "::zz", "\x1b"],
    "SERVER_PORT": ["-1", "65536", "1e3", "ten", "1000.0", "١٠", "1_0"],
    "MAX_MESSAGES_PER_WINDOW": ["0", "-3", "1.5"],
    "RATE_LIMIT_WINDOW": ["0", "nan", "inf", "1e2", "-1", "60s", "."],
    "MAX_MESSAGE_SIZE": ["0", "10XB", "1.5KB", "KB", "65KB", "-1"],
    "FORCE_SSL": ["maybe", "2", "truee"],
    "SSL_CERT_PATH": ["a\x00b", "a\nb"],
    "BACKEND_PREFIX": ["cc", ":", "a b:", "x" * 64 + ":", "c*:", "c{a}:"],
    "BACKEND_PERSISTENCE": ["yes", "true"],
    "BACKEND_INSECURE": ["yes", "allowed"],
    "BACKEND_SSL_CA": ["a\nb"],
    "CLIENT_PORT": ["0", "70000"],
    "CLIENT_USERNAME": ["a b", "x" * 33, "a\u202eb"],
    "CLIENT_ROOM": ["a b", "x" * 65, "#room", "a,,b", "a,", ",".join(f"r{n}" for n in range(17))],
    "CLIENT_SSL_FINGERPRINT": ["ab", "z" * 64, "a" * 65],
    "CLIENT_RENDER_TIME": ["0", "11"],
    "CLIENT_MESSAGES_TO_SHOW": ["-1", "5001"],
    "CLIENT_BELL": ["quiet"],
    "CLIENT_SPOKEN": ["loudly"],
    "HISTORY_DAYS": ["-1", "36501", "week"],
    "HISTORY_MAX": ["0", "100001", "all"],
    "RENDERER_MODE": ["fancy"],
    "CMD_CHAT_LANGUAGE": ["xx", "english"],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts]
)
def test_a_wrong_value_names_setting_source_and_what_is_allowed(name: str, text: str) -> None:
    make: Callable[..., object] = client if settings.ROWS[name].side == "client" else server
    base = {**SERVER, **CLIENT}
    sentence = refusal(lambda: make({}, {**base, name: text}))
    assert sentence.startswith(f"{name} (environment) cannot be ")
    assert len(sentence.split(": ", 1)[1]) > 20
    assert sentence.isprintable()
    others = {key: value for key, value in base.items() if key != name}
    assert f"{name} (.env) " in refusal(lambda: make({}, others, {name: text}))
    row = settings.ROWS[name]
    if row.flag or row.word:
        on_line = f"{name} (command line, {row.flag or row.word}) "
        assert on_line in refusal(lambda: make({**base, name: text}))


def test_a_long_wrong_value_is_cut() -> None:
    assert len(refusal(lambda: client({**CLIENT, "CLIENT_ROOM": "x y" * 5000}))) < 300


@pytest.mark.parametrize(
    ("text", "size"),
    [("10KB", 10_240), ("1mb", 1_048_576), ("5000", 5000), (" 2 Kb ", 2048), ("7b", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert byte_size(1, 1_048_576)(text) == size


def test_a_size_says_its_bounds_in_the_units_that_people_write() -> None:
    with pytest.raises(ValueError, match="from 1 to 64KB"):
        byte_size(1, 65_536)("1MB")


@pytest.mark.parametrize("text", ["true", "YES", "On", " 1 "])
def test_words_for_yes(text: str) -> None:
    assert boolean(text) is True


@pytest.mark.parametrize("text", ["false", "No", "OFF", "0"])
def test_words_for_no(text: str) -> None:
    assert boolean(text) is False


@pytest.mark.parametrize(("text", "value"), [("5", 5.0), ("0.25", 0.25), (".5", 0.5), ("3.", 3.0)])
def test_seconds(text: str, value: float) -> None:
    assert seconds(0, 10)(text) == value


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_number_is_a_number_or_refused(text: str) -> None:
    for number in (integer(1, 9), seconds(0.1, 9), byte_size(1, 9)):
        try:
            assert 0.1 <= number(text) <= 9
        except ValueError as error:
            assert "must be" in str(error)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("localhost", "localhost"),
        ("chat.example.org", "chat.example.org"),
        ("192.168.1.100", "192.168.1.100"),
        ("::1", "::1"),
        ("[fe80::1]", "fe80::1"),
        ("bücher.example", "bücher.example"),
    ],
)
def test_hosts(text: str, host: str) -> None:
    assert client({**CLIENT, "CLIENT_SERVER": text}).server == host


def test_a_fingerprint_may_have_colons() -> None:
    digits = "AB" * 32
    colons = ":".join(["AB"] * 32)
    for text in (digits, colons):
        made = client({**CLIENT, "CLIENT_SSL_FINGERPRINT": text})
        assert made.ssl_fingerprint == digits.lower()


def test_what_is_not_utf8_is_refused_without_showing_a_secret() -> None:
    sentence = refusal(lambda: server({"ADMIN_PASSWORD": "hunter2\udcff"}))
    assert sentence == (
        "ADMIN_PASSWORD (command line, --password) cannot be used: it is not valid UTF-8."
    )
    assert "SSL_CERT_PATH" in refusal(lambda: server({**SERVER, "SSL_CERT_PATH": "\udcff"}))


def test_flags_stand_for_what_they_imply() -> None:
    made = client({**CLIENT, "CLIENT_BELL": "false", "CLIENT_RECONNECT": "false",
                   "CLIENT_LISTEN": "true"})  # fmt: skip
    assert (made.bell, made.reconnect, made.listen) == (False, False, True)


# Secrets


def test_no_secret_is_in_a_repr() -> None:
    made = [
        server({"ADMIN_PASSWORD": "hunter2"}),
        client({**CLIENT, "CLIENT_ROOM_SECRET": "hunter2"}),
        client({"CLIENT_SERVER": "a", "CLIENT_TOKEN": "hunter2"}),
        client({**CLIENT, "ENABLE_LOCAL_HISTORY": "1", "HISTORY_PASSPHRASE": "hunter3"}),
        history({"<ACTION>": "list", "HISTORY_PASSPHRASE": "hunter2"}),
        token({"<TOKEN>": "hunter2", "ADMIN_PASSWORD": "hunter2"}),
        InviteLink("a", secret="hunter2"),
    ]
    assert all("hunter2" not in repr(each) for each in made)


def test_secrets_are_kept_as_they_are() -> None:
    assert server({"ADMIN_PASSWORD": " a #b "}).password == " a #b "


@pytest.mark.parametrize(
    "content", [b"hunter2", b"hunter2\n", b"hunter2\r\nrest\n", b"\xef\xbb\xbfhunter2\n"]
)
def test_a_password_file_gives_its_first_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pw"
    path.write_bytes(content)
    assert server({"ADMIN_PASSWORD_FILE": str(path)}).password == "hunter2"
    base = {"CLIENT_SERVER": "a", "CLIENT_USERNAME": "alice"}
    assert client({**base, "CLIENT_PASSWORD_FILE": str(path)}).password == "hunter2"
    made = client({**CLIENT, "CLIENT_ROOM_SECRET_FILE": str(path)})
    assert made.room_secrets == {"default": "hunter2"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\nx", "empty"),
        (b"\xff", "not valid UTF-8"),
        ("a\n".encode("utf-16"), "save it as UTF-8"),
    ],
)
def test_a_password_file_without_a_password_is_refused(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "pw"
    path.write_bytes(content)
    sentence = refusal(lambda: server({}, {"ADMIN_PASSWORD_FILE": str(path)}))
    assert sentence.startswith("ADMIN_PASSWORD_FILE (environment) cannot be '")
    assert why in sentence


def test_a_password_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (str(tmp_path / "none"), str(tmp_path)):
        sentence = refusal(partial(server, {"ADMIN_PASSWORD_FILE": path}))
        assert "ADMIN_PASSWORD_FILE (command line, --password-file)" in sentence
        assert "cannot be read" in sentence


@pytest.mark.parametrize(
    ("make", "one", "other"),
    [
        (server, "ADMIN_PASSWORD", "ADMIN_PASSWORD_FILE"),
        (client, "CLIENT_PASSWORD", "CLIENT_PASSWORD_FILE"),
        (client, "CLIENT_PASSWORD", "CLIENT_TOKEN"),
        (client, "CLIENT_PASSWORD_FILE", "CLIENT_TOKEN"),
        (client, "CLIENT_ROOM_SECRET", "CLIENT_ROOM_SECRET_FILE"),
        (client, "CLIENT_INVITE", "CLIENT_INVITE_FILE"),
        (client, "HISTORY_PASSPHRASE", "HISTORY_PASSPHRASE_FILE"),
    ],
)
def test_two_from_one_source_are_refused_and_the_higher_source_wins(
    make: Callable[..., Any], one: str, other: str
) -> None:
    base = {"CLIENT_USERNAME": "alice"}
    if "INVITE" not in one:
        base["CLIENT_SERVER"] = "a"
    if "SECRET" in one or "INVITE" in one or "HISTORY" in one:
        base |= {"CLIENT_PASSWORD": "x", "ENABLE_LOCAL_HISTORY": "yes"}
    value = "cmdchat://a" if "INVITE" in one else "hunter2"

    def read_line(path: str) -> str:
        assert path == value
        return value

    for source in range(3):
        sources: list[dict[str, str]] = [{}, {}, base]
        sources[source] = {**sources[source], one: value, other: value}
        sentence = refusal(partial(make, *sources, read_line=read_line))
        assert one in sentence and other in sentence and "hunter2" not in sentence
    make({one: value}, {other: value}, base, read_line=read_line)
    make({}, {other: value}, {**base, one: value}, read_line=read_line)


def test_password_or_token_the_source_of_higher_priority_wins() -> None:
    base = {"CLIENT_SERVER": "a", "CLIENT_USERNAME": "alice"}
    made = client({**base, "CLIENT_TOKEN": "id.secret"}, {"CLIENT_PASSWORD": "pw"})
    assert (made.token, made.password) == ("id.secret", None)
    made = client({**base, "CLIENT_PASSWORD": "pw"}, {"CLIENT_TOKEN": "id.secret"})
    assert (made.token, made.password) == (None, "pw")


# Rooms, and the secret of each


def rooms_of(*sources: Any) -> tuple[str, ...]:
    return client(CLIENT, *sources).rooms


def secrets_of(
    args: Any, environ: Any = None, dotenv: Any = None, answers: Any = None
) -> dict[str, str]:
    """The secrets by room, a file's being its path in capitals."""
    made = client({**CLIENT, **args}, environ, dotenv, answers=answers, read_line=str.upper)
    return dict(made.room_secrets)


def test_rooms_stand_with_commas_between_and_the_first_is_the_one() -> None:
    assert rooms_of() == ("default",)
    assert rooms_of({"CLIENT_ROOM": "ops, lab ,Café"}) == ("ops", "lab", "Café")
    assert client({**CLIENT, "CLIENT_ROOM": "ops,lab"}).room == "ops"
    names = ",".join(f"r{number}" for number in range(16))
    assert len(rooms_of({"CLIENT_ROOM": names})) == 16


def test_names_of_one_room_are_one() -> None:
    assert rooms_of({"CLIENT_ROOM": "Ops,ops,ＯＰＳ,lab,ops"}) == ("Ops", "lab")
    names = ",".join(f"r{number}" for number in range(16))
    assert len(rooms_of({"CLIENT_ROOM": f"{names},{names.upper()}"})) == 16
    assert "16 rooms at most" in refusal(lambda: rooms_of({"CLIENT_ROOM": f"{names},r16"}))


def test_whether_anything_named_a_room_is_told() -> None:
    named = {"CLIENT_ROOM": "default"}
    assert not client(CLIENT).rooms_named and not client({**CLIENT, "CLIENT_ROOM": " "}).rooms_named
    assert client({**CLIENT, **named}).rooms_named
    assert client(CLIENT, named).rooms_named and client(CLIENT, {}, named).rooms_named
    assert client({**PERSON, "CLIENT_INVITE": LINK}).rooms_named
    assert not client({**PERSON, "CLIENT_INVITE": "cmdchat://a"}, named).rooms_named


@pytest.mark.parametrize(
    ("files", "secrets"),
    [
        ("a", {"ops": "A"}),
        ("lab=a", {"lab": "A"}),
        ("a\nLAB=b", {"ops": "A", "lab": "B"}),
        ("ops=a\n lab = b=c ", {"ops": "A", "lab": "B=C"}),
        ("x=a", {"ops": "X=A"}),  # no room of these: a path
        ("./lab=a", {"ops": "./LAB=A"}),
        ("lab=", {"ops": "LAB="}),
        ("=a", {"ops": "=A"}),
    ],
)
def test_a_secrets_file_is_for_the_room_that_it_names_or_for_the_first(
    files: str, secrets: dict[str, str]
) -> None:
    rooms = {"CLIENT_ROOM": "Ops,lab"}
    assert secrets_of({**rooms, "CLIENT_ROOM_SECRET_FILE": files}) == secrets
    assert secrets_of({}, {**rooms, "CLIENT_ROOM_SECRET_FILE": files}) == secrets


def test_secrets_of_rooms_to_which_one_does_not_go_this_time_are_passed_over() -> None:
    """As in ``send --room ops``, where the environment has several rooms and their secrets."""
    environ = {"CLIENT_ROOM": "team,ops", "CLIENT_ROOM_SECRET_FILE": "team=t\nops=o"}
    assert secrets_of({}, environ) == {"team": "T", "ops": "O"}
    assert secrets_of({"CLIENT_ROOM": "OPS"}, environ) == {"ops": "O"}
    assert secrets_of({"CLIENT_ROOM": "lab"}, environ) == {}
    assert secrets_of({"CLIENT_ROOM": "lab", "CLIENT_ROOM_SECRET_FILE": "x=l"}, environ) == {
        "lab": "X=L"
    }
    wrong = {**environ, "CLIENT_ROOM": "team,,ops"}
    assert secrets_of({"CLIENT_ROOM": "ops,team"}, wrong) == {"team": "T", "ops": "O"}


def test_a_file_of_settings_names_several_files_in_quotes() -> None:
    text = 'CLIENT_ROOM=team,ops\nCLIENT_ROOM_SECRET_FILE="team.txt\\nops=ops.txt"\n'
    assert secrets_of({}, {}, parse_dotenv(text)) == {"team": "TEAM.TXT", "ops": "OPS.TXT"}


def test_of_each_room_the_highest_sources_secret_counts() -> None:
    rooms = {"CLIENT_ROOM": "ops,lab"}
    environ = {**rooms, "CLIENT_ROOM_SECRET_FILE": "first\nlab=second"}
    assert secrets_of({}, environ) == {"ops": "FIRST", "lab": "SECOND"}
    over = {"CLIENT_ROOM_SECRET_FILE": "lab=third"}
    assert secrets_of(over, environ) == {"ops": "FIRST", "lab": "THIRD"}
    assert secrets_of({"CLIENT_ROOM_SECRET": "s"}, environ) == {"ops": "s", "lab": "SECOND"}
    asked = {"--ask-secret": "ops", "CLIENT_ROOM_SECRET_FILE": "lab=x"}
    typed = {"--ask-secret ops": "typed"}
    assert secrets_of(asked, environ, answers=typed) == {"ops": "typed", "lab": "X"}


@pytest.mark.parametrize(
    "two",
    [
        {"CLIENT_ROOM_SECRET_FILE": "a\nb"},
        {"CLIENT_ROOM_SECRET_FILE": "lab=a\nLab=b"},
        {"CLIENT_ROOM_SECRET_FILE": "ops=a", "CLIENT_ROOM_SECRET": "b"},
        {"CLIENT_ROOM_SECRET_FILE": "lab=a", "--ask-secret": "lab"},
        {"CLIENT_ROOM_SECRET": "a", "--ask-secret": "ops"},
    ],
)
def test_two_secrets_of_a_room_from_one_source_are_refused(two: dict[str, str]) -> None:
    args = {"CLIENT_ROOM": "ops,lab", **two}
    assert "are both set; keep one of them" in refusal(partial(secrets_of, args))
    secrets_of({"CLIENT_ROOM": "ops,lab", "CLIENT_ROOM_SECRET": "a",
                "CLIENT_ROOM_SECRET_FILE": "lab=b"})  # fmt: skip


def test_each_secret_that_is_asked_for_names_its_room() -> None:
    args = {"CLIENT_ROOM": "Ops,lab,den", "CLIENT_ROOM_SECRET": True, "--ask-secret": "LAB,den"}
    answers: dict[str, str] = {}
    asked: list[str] = []
    for typed in ("a", " ", "b", "c"):
        with pytest.raises(MissingSetting) as caught:
            secrets_of(args, answers=answers)
        missing = caught.value
        assert missing.hidden and "--secret-file" in str(missing)
        asked.append(missing.question)
        answers[missing.name] = typed
    assert asked == [f"Secret of the room {room}: " for room in ("Ops", "lab", "lab", "den")]
    assert secrets_of(args, answers=answers) == {"ops": "a", "lab": "b", "den": "c"}


def test_who_asks_for_one_rooms_secret_is_asked_as_ever() -> None:
    with pytest.raises(MissingSetting) as caught:
        secrets_of({"CLIENT_ROOM": "ops", "CLIENT_ROOM_SECRET": True})
    assert caught.value.question == "Secret of the room: "


def test_a_secret_is_asked_for_only_of_a_room_that_is_named() -> None:
    args = {"CLIENT_ROOM": "ops,lab", "CLIENT_ROOM_SECRET": True, "--ask-secret": "ops2"}
    sentence = refusal(partial(secrets_of, args))
    assert sentence == (
        "--ask-secret (command line) cannot be 'ops2': it is none of the rooms to join."
    )


def test_a_secrets_file_that_cannot_be_used_is_named_by_its_path(tmp_path: Path) -> None:
    for path, why in ((str(tmp_path / "none"), "cannot be read"), ("a\x1b", "control characters")):
        args = {**CLIENT, "CLIENT_ROOM": "ops,lab", "CLIENT_ROOM_SECRET_FILE": f"lab={path}"}
        sentence = refusal(partial(client, args))
        assert why in sentence and "--secret-file" in sentence


def test_what_is_for_one_room_takes_the_first_but_never_leaves_out_one_that_is_typed() -> None:
    environ = {"CLIENT_ROOM": "ops,lab", "CLIENT_ROOM_SECRET_FILE": "lab=nowhere"}
    builds: list[Callable[[Sources], Any]] = [settings.send_settings, settings.wait_settings]
    for make in map(builder, builds):
        made = make({**CLIENT, "--match": "x"}, environ).client
        assert (made.rooms, made.room_secrets) == (("ops",), {})
        for rooms in ("ops,lab", "ops,lab,ops"):
            args = {**CLIENT, "--match": "x", "CLIENT_ROOM": rooms}
            assert "it must be one room here" in refusal(partial(make, args))
        assert make({**CLIENT, "--match": "x", "CLIENT_ROOM": "ops,OPS"}).client.rooms == ("ops",)
    login = builder(settings.status_settings)({**CLIENT, "--login": "true"}, environ).login
    assert login is not None and login.rooms == ("ops",)
    tail = builder(settings.tail_settings)(CLIENT, {"CLIENT_ROOM": "ops,lab"})
    assert tail.client.rooms == ("ops", "lab")


# What is missing


@pytest.mark.parametrize(
    ("given_", "name", "hidden", "ways"),
    [
        ({}, "CLIENT_SERVER", False, ["SERVER"]),
        ({"CLIENT_SERVER": "a"}, "CLIENT_USERNAME", False, ["USERNAME"]),
        (
            {"CLIENT_SERVER": "a", "CLIENT_USERNAME": "alice"},
            "CLIENT_PASSWORD",
            True,
            ["PASSWORD", "--password-file", "CLIENT_TOKEN", "--token"],
        ),
        ({**CLIENT, "CLIENT_ROOM_SECRET": True}, "CLIENT_ROOM_SECRET", True, ["--secret"]),
        ({"CLIENT_INVITE": True}, "CLIENT_INVITE", True, ["--invite"]),
    ],
)
def test_what_is_missing_is_named_with_its_ways(
    given_: Args, name: str, hidden: bool, ways: list[str]
) -> None:
    with pytest.raises(MissingSetting) as caught:
        client(given_)
    missing = caught.value
    assert (missing.name, missing.hidden) == (name, hidden)
    assert missing.question.endswith(": ")
    assert all(way in str(missing) for way in [name, *ways])


def test_a_server_without_a_password_names_setting_and_flag() -> None:
    with pytest.raises(MissingSetting) as caught:
        server()
    assert caught.value.name == "ADMIN_PASSWORD" and caught.value.hidden
    for way in ("ADMIN_PASSWORD", "--password", "ADMIN_PASSWORD_FILE", "--password-file"):
        assert way in str(caught.value)


def test_answers_complete_what_is_missing() -> None:
    answers: dict[str, str] = {}
    typed = {"CLIENT_SERVER": "a", "CLIENT_USERNAME": "alice", "CLIENT_PASSWORD": "pw",
             "CLIENT_ROOM_SECRET": "s"}  # fmt: skip
    asked: list[str] = []
    while len(asked) < 10:
        try:
            made = client({"CLIENT_ROOM_SECRET": True}, answers=answers)
            break
        except MissingSetting as missing:
            asked.append(missing.name)
            answers[missing.name] = typed[missing.name]
    assert sorted(asked) == sorted(typed)
    assert (made.server, made.username) == ("a", "alice")
    assert (made.password, made.room_secrets) == ("pw", {"default": "s"})


def test_a_wrong_answer_is_named_as_one() -> None:
    sentence = refusal(lambda: client({**CLIENT}, answers={"CLIENT_USERNAME": "a b"}))
    assert sentence.startswith("CLIENT_USERNAME (your answer) cannot be 'a b'")


def test_mistakes_are_told_before_anything_is_asked() -> None:
    with pytest.raises(SettingsError) as caught:
        client({"CLIENT_PORT": "x"})
    assert not isinstance(caught.value, MissingSetting)


def test_a_token_needs_no_username() -> None:
    made = client({"CLIENT_SERVER": "a", "CLIENT_TOKEN": "id.secret"})
    assert made.username is None


def test_every_secret_that_can_be_asked_for_has_a_question() -> None:
    for name in ("ADMIN_PASSWORD", "CLIENT_SERVER", "CLIENT_USERNAME", "CLIENT_PASSWORD"):
        assert QUESTIONS[name]
    for row in TABLE:
        assert not row.optional or row.name in QUESTIONS


# What does not fit together


def test_the_heartbeat_interval_is_shorter_than_its_timeout() -> None:
    sentence = refusal(lambda: server({**SERVER, "HEARTBEAT_INTERVAL": "60"}))
    assert "HEARTBEAT_INTERVAL" in sentence and "HEARTBEAT_TIMEOUT" in sentence
    server({**SERVER, "HEARTBEAT_INTERVAL": "59.9"})


def test_a_sealed_message_fits_the_payload() -> None:
    sizes = {"MAX_MESSAGE_SIZE": "64KB", "MAX_PAYLOAD_SIZE": "600KB"}
    sentence = refusal(lambda: server({**SERVER, **sizes}))
    assert "MAX_MESSAGE_SIZE" in sentence and "MAX_PAYLOAD_SIZE" in sentence
    assert str(record_size(65_536)) in sentence
    server({**SERVER, "MAX_MESSAGE_SIZE": "64KB"})


@pytest.mark.parametrize("size", [1, 10, 63, 64, 84, 85, 86, 1000, 10_240, 11_000, 20_000, 65_536])
def test_the_bound_for_a_sealed_message_holds_for_the_worst_text(size: int) -> None:
    """Built as the design says, with the longest escapes, wraps and numbers there are."""
    key = Fernet(Fernet.generate_key())
    number = 2**53 - 1
    beside = {"id": "i" * 22, "kind": "action", "seen": [number, "h" * 43], "to": "n" * 128,
              "before": [number, number, "h" * 43]}  # fmt: skip
    text = json.dumps({**beside, "text": "\x01" * size}, ensure_ascii=False).encode()
    padded = text.ljust(max(64, 1 << (len(text) - 1).bit_length()))
    box = {"epoch": number, "n": number, "sig": "s" * 86,
           "data": key.encrypt_at_time(padded, 0).decode()}  # fmt: skip
    wrap = {"to": number, "epoch": number, "n": number, "data": "w" * 1856}
    frame = {"type": "private", "ref": number, "change": number, "wrap": wrap, "box": box}
    record = bytes(8) + json.dumps([frame], ensure_ascii=False).encode()
    record += b" " * (-len(record) % 256)
    needed = len(base64.urlsafe_b64decode(key.encrypt_at_time(record, 0)))
    assert needed <= record_size(size) <= 2 * needed + 16_384
    token = len(str(box["data"]))
    assert token <= box_size(size) <= 2 * token


@pytest.mark.parametrize(
    ("given_", "names"),
    [
        ({"SSL_CERT_PATH": "c"}, ["SSL_CERT_PATH", "SSL_KEY_PATH", "--ssl-key"]),
        ({"SSL_KEY_PATH": "k"}, ["SSL_CERT_PATH", "SSL_KEY_PATH", "--ssl-cert"]),
        ({"FORCE_SSL": "true"}, ["FORCE_SSL", "--ssl-cert", "--ssl-key"]),
    ],
)
def test_half_a_certificate_is_refused(given_: dict[str, str], names: list[str]) -> None:
    sentence = refusal(lambda: server({**SERVER, **given_}))
    assert all(name in sentence for name in names)


def test_a_certificate_and_its_key_may_come_from_two_places() -> None:
    made = server({**SERVER, "SSL_CERT_PATH": "c"}, {"SSL_KEY_PATH": "k"}, {"FORCE_SSL": "yes"})
    assert (made.ssl_cert, made.ssl_key, made.force_ssl) == ("c", "k", True)


@pytest.mark.parametrize(
    "given_", [{"CLIENT_SSL_CA": "ca.pem"}, {"CLIENT_SSL_FINGERPRINT": "a" * 64}]
)
def test_whoever_names_a_certificate_connects_over_tls(given_: dict[str, str]) -> None:
    assert client({**CLIENT, **given_}).use_ssl


# Invite links

LINK = "cmdchats://chat.example.org:99/caf%C3%A9?fp=" + "ab" * 32 + "#s%20e"
PERSON = {"CLIENT_USERNAME": "alice", "CLIENT_PASSWORD": "pw"}


def test_an_invite_link_says_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "invite"
    path.write_text(LINK + "\n")
    for given_ in ({"CLIENT_INVITE": LINK}, {"CLIENT_INVITE_FILE": str(path)}):
        made = client({**PERSON, **given_})
        assert (made.server, made.port, made.room) == ("chat.example.org", 99, "café")
        assert (made.room_secrets, made.use_ssl) == ({"café": "s e"}, True)
        assert made.ssl_fingerprint == "ab" * 32


def test_a_link_may_have_several_addresses() -> None:
    link = "cmdchat://chat.example.org,[::1]:7,b.example/den#s"
    made = client({**PERSON, "CLIENT_INVITE": link})
    assert made.addresses == (("chat.example.org", 1000), ("::1", 7), ("b.example", 1000))
    for wrong in ("cmdchat://a,http:/den#s3cret", "cmdchat://a,1/den#s3cret"):
        assert "s3cret" not in refusal(partial(client, {**PERSON, "CLIENT_INVITE": wrong}))


def test_an_invite_goes_before_settings_of_lower_priority() -> None:
    dotenv = {"CLIENT_ROOM": "other", "CLIENT_SERVER": "b", "CLIENT_PORT": "7",
              "CLIENT_ROOM_SECRET": "x", "CLIENT_SSL_FINGERPRINT": "c" * 64}  # fmt: skip
    made = client(PERSON, {"CLIENT_INVITE": LINK}, dotenv)
    assert made == client({**PERSON, "CLIENT_INVITE": LINK})
    bare = client(PERSON, {"CLIENT_INVITE": "cmdchat://a"}, dotenv)
    assert (bare.server, bare.port, bare.rooms) == ("a", 1000, ("default",))
    assert (bare.rooms_named, bare.room_secrets) == (False, {})


@pytest.mark.parametrize(
    "name",
    ["CLIENT_ROOM", "CLIENT_ROOM_SECRET", "CLIENT_ROOM_SECRET_FILE", "CLIENT_SERVER",
     "--ask-secret"],  # fmt: skip
)
def test_an_invite_and_what_it_says_already_are_refused_together(name: str) -> None:
    for invite in (LINK, True):
        sentence = refusal(partial(client, {**PERSON, "CLIENT_INVITE": invite, name: "x"}))
        assert name in sentence and "CLIENT_INVITE" in sentence and "s%20e" not in sentence
    assert name in refusal(lambda: client({**PERSON, name: "x"}, {}, {"CLIENT_INVITE": LINK}))


def test_a_fingerprint_of_ones_own_goes_before_the_links() -> None:
    own = {"CLIENT_SSL_FINGERPRINT": "c" * 64}
    for args, environ in (({**PERSON, **own}, {}), (PERSON, own)):
        made = client(args, {"CLIENT_INVITE": LINK, **environ})
        assert made.ssl_fingerprint == "c" * 64


TOKEN = "AbCdEfGhIjKlMnOp." + "k" * 43
OPENING = f"{LINK}/token={TOKEN}"


def test_a_link_with_a_token_needs_no_password() -> None:
    """But a nickname, which such a token does not fix; what ranks lower is passed over."""
    for environ in ({}, {"CLIENT_PASSWORD": "pw"}, {"CLIENT_TOKEN": "a.b"}):
        made = client({"CLIENT_USERNAME": "al", "CLIENT_INVITE": OPENING}, environ)
        assert (made.token, made.password, made.username) == (TOKEN, None, "al")
        assert made.room_secrets == {"café": "s e"} and TOKEN not in repr(made)
        with pytest.raises(MissingSetting, match="CLIENT_USERNAME"):
            client({"CLIENT_INVITE": OPENING}, environ)
    found = Sources({"CLIENT_INVITE": OPENING}, {}, settings.Dotenv({**PERSON}))
    settings.client_settings(found)
    assert found.dotenv.used() == ["CLIENT_USERNAME"]


@pytest.mark.parametrize("name", ["CLIENT_PASSWORD", "CLIENT_PASSWORD_FILE", "CLIENT_TOKEN"])
def test_a_link_with_a_token_and_another_way_in_are_refused_together(name: str) -> None:
    args = {"CLIENT_USERNAME": "al", name: "x"}
    for given_ in ({**args, "CLIENT_INVITE": OPENING}, args):
        sentence = refusal(partial(client, given_, {}, {"CLIENT_INVITE": OPENING}))
        assert name in sentence and "CLIENT_INVITE" in sentence and TOKEN not in sentence


@pytest.mark.parametrize(
    "link", ["http://a", "cmdchat://", "cmdchat://a/b c", "cmdchat://a/%FF", "cmdchat://9",
             "cmdchat://a/bad%20room#hunter2", f"cmdchat://a/r#hunter2/token={TOKEN[:-1]}"]
)  # fmt: skip
def test_a_broken_link_is_refused_without_showing_it(link: str) -> None:
    sentence = refusal(lambda: client({**PERSON, "CLIENT_INVITE": link}))
    assert sentence.startswith("CLIENT_INVITE (command line, --invite) cannot be used: ")
    assert "hunter2" not in sentence


def test_it_is_known_whether_an_invite_is_set() -> None:
    assert Sources({}, {}, {"CLIENT_INVITE_FILE": "x"}).has_invite()
    assert not Sources({}, {"CLIENT_INVITE": ""}, {}).has_invite()


# Tokens


def test_a_token_is_asked_of_this_machines_own_server() -> None:
    made = token({"<USERNAME>": "alice", "--ttl": "60"}, {}, {**SERVER, "SERVER_PORT": "7"})
    assert made == settings.TokenSettings(
        server="127.0.0.1", port=7, username="alice", revoke=None, listing=False, ttl=60,
        password="hunter2", use_ssl=False, ssl_ca=None, ssl_fingerprint=None, language="en",
    )  # fmt: skip


def test_a_token_is_asked_of_another_server() -> None:
    environ = {"CLIENT_SERVER": "far", "SERVER_PORT": "7", "CLIENT_PASSWORD": "pw",
               "CLIENT_USE_SSL": "yes"}  # fmt: skip
    made = token({"<USERNAME>": "alice"}, environ)
    assert (made.server, made.port, made.password, made.ttl) == ("far", 1000, "pw", 3600)
    assert made.use_ssl


def test_a_token_is_revoked() -> None:
    made = token({"<TOKEN>": "id.secret", **SERVER})
    assert (made.revoke, made.username) == ("id.secret", None)


@pytest.mark.parametrize("ttl", ["0", "2592001", "soon"])
def test_a_ttl_has_bounds(ttl: str) -> None:
    sentence = refusal(lambda: token({"<USERNAME>": "alice", "--ttl": ttl, **SERVER}))
    assert sentence == (
        f"--ttl (command line) cannot be '{ttl}': it must be a whole number from 1 to 2592000."
    )


@pytest.mark.parametrize(
    ("args", "name"),
    [(SERVER, "<USERNAME>"), ({"<TOKEN>": True, **SERVER}, "<TOKEN>"),
     ({"<USERNAME>": "alice"}, "ADMIN_PASSWORD")],
)  # fmt: skip
def test_what_a_token_lacks_is_named(args: Args, name: str) -> None:
    with pytest.raises(MissingSetting) as caught:
        token(args)
    assert caught.value.name == name


# History


def test_a_passphrase_is_read_where_there_is_a_history(tmp_path: Path) -> None:
    path = tmp_path / "pw"
    path.write_text("open sesame\n")
    on = {**CLIENT, "ENABLE_LOCAL_HISTORY": "yes"}
    assert client(on).history_passphrase is None  # it can still be asked for
    assert client(on, {"HISTORY_PASSPHRASE": " a b "}).history_passphrase == " a b "
    assert client({**on, "HISTORY_PASSPHRASE_FILE": str(path)}).history_passphrase == "open sesame"
    off = client(CLIENT, {"HISTORY_PASSPHRASE_FILE": "not there"})
    assert (off.history, off.history_passphrase) == (False, None)
    assert "HISTORY_PASSPHRASE_FILE" in refusal(
        lambda: client(on, {"HISTORY_PASSPHRASE_FILE": "not there"})
    )


def test_what_a_look_into_the_history_needs() -> None:
    assert history({"<ACTION>": "show"}) == settings.HistorySettings(
        action="show", text=None, server=None, last=None, room=None, yes=False, passphrase=None,
        new_passphrase=None, language="en",
    )  # fmt: skip
    made = history(
        {"<ACTION>": "Search", "<TEXT>": " a ", "<SERVER>": "h", "--last": "3", "--room": "team"},
        {"HISTORY_PASSPHRASE": "pw", "CLIENT_SERVER": "elsewhere"},
    )
    assert (made.action, made.text, made.server) == ("search", " a ", ("h", 1000))
    assert (made.last, made.room, made.passphrase) == (3, "team", "pw")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("h", ("h", 1000)), ("h:7", ("h", 7)), ("::1", ("::1", 1000)), ("[::1]", ("::1", 1000)),
        ("[::1]:7", ("::1", 7)), ("10.0.0.1:7", ("10.0.0.1", 7)), ("h:7,i:8", ("h", 7)),
    ],
)  # fmt: skip
def test_the_server_of_a_history_may_have_a_port(text: str, address: tuple[str, int]) -> None:
    assert history({"<ACTION>": "list", "<SERVER>": text}).server == address


@pytest.mark.parametrize("text", ["h:", "h:0", "h:port", "h:1:2", "http://h", ":7"])
def test_what_is_no_server_is_refused(text: str) -> None:
    sentence = refusal(lambda: history({"<ACTION>": "list", "<SERVER>": text}))
    assert sentence.startswith(f"SERVER[:PORT] (command line) cannot be '{text}': it must be a ")


@pytest.mark.parametrize(
    ("args", "name"), [({}, "<ACTION>"), ({"<ACTION>": "search"}, "<TEXT>")]
)
def test_what_a_look_into_the_history_lacks_is_named(args: Args, name: str) -> None:
    with pytest.raises(MissingSetting) as caught:
        history(args)
    assert caught.value.name == name


def test_where_histories_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = settings.history_folder
    assert folder({"XDG_STATE_HOME": "/x", "HOME": "/h"}) == "/x/cmd-chat/history"
    assert folder({"XDG_STATE_HOME": "relative", "HOME": "/h"}) == folder({"HOME": "/h"})
    assert folder({"HOME": "/h"}) == "/h/.local/state/cmd-chat/history"
    monkeypatch.setattr(sys, "platform", "win32")
    assert folder({"LOCALAPPDATA": "/l"}) == "/l/cmd-chat/history"
    assert "LOCALAPPDATA" in refusal(lambda: folder({"HOME": "/h"}))


# Language


@pytest.mark.parametrize(
    ("args", "environ", "dotenv", "language"),
    [
        ({"CMD_CHAT_LANGUAGE": "fr"}, {"CMD_CHAT_LANGUAGE": "en"}, {}, "fr"),
        ({}, {"LANG": "en_GB.UTF-8"}, {"CMD_CHAT_LANGUAGE": "FR"}, "fr"),
        ({}, {"LANG": "fr_CA.UTF-8"}, {}, "fr"),
        ({}, {"LANG": "de_DE.UTF-8"}, {}, "en"),  # ours, but without a catalogue in this test
        ({}, {}, {}, "en"),
    ],
)
def test_the_language_is_chosen_or_the_locales(
    args: Any, environ: Any, dotenv: Any, language: str
) -> None:
    assert Sources(args, environ, dotenv).language() == language
    assert client({**CLIENT, **args}, environ, dotenv).language == language
    assert server({**SERVER, **args}, environ, dotenv).language == language


def test_an_unknown_language_lists_the_thirteen_by_their_own_names() -> None:
    sentence = refusal(Sources({}, {"CMD_CHAT_LANGUAGE": "klingon"}, {}).language)
    assert all(f"{code} ({name})" in sentence for code, name in i18n.LANGUAGES.items())


def test_a_language_without_a_catalogue_says_which_have_one() -> None:
    sentence = refusal(Sources({"CMD_CHAT_LANGUAGE": "de"}, {}, {}).language)
    assert sentence.endswith("there is no translation for it yet; there is: en, fr.")


# .env


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dotenv(text: str) -> settings.Dotenv:
    return parse_dotenv(text)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("K=v", "v"),
        ("export K=v", "v"),
        ("  export\tK = v  ", "v"),
        ("K=", ""),
        ("K= # nothing", ""),
        ("K=a b", "a b"),
        ("K=a # b", "a"),
        ("K=a#b", "a#b"),
        ("K=#b", "#b"),
        ("K=a'b\"", "a'b\""),
        ("K='a # b'", "a # b"),
        ("K='a\\n$b'", "a\\n$b"),
        ("K=''", ""),
        ('K="a # b" # c', "a # b"),
        ('K="a\\n\\t\\"\\\\\\$\\x"', 'a\n\t"\\$\\x'),
        ("K='a\nb'", "a\nb"),
        ('K="a\\\nb"', "a\\\nb"),
        ("K=$HOME", "$HOME"),
        ("K=a=b", "a=b"),
        ("K=1\nK=2", "2"),
        ("# K=1\n\n   # x\nK=2", "2"),
    ],
)
def test_lines_of_dotenv(line: str, value: str) -> None:
    for text in (line, line + "\n", line.replace("\n", "\r\n") + "\r\nX=y\r\n"):
        assert dotenv(text)["K"] == value


@pytest.mark.parametrize(
    ("text", "number"),
    [("K", 1), ("\nK v", 2), ("A=1\nK='x", 2), ("A='1\n2'\nK=\"x\n", 3), ("K='a'b", 1), ("=v", 1)],
)
def test_a_line_of_another_form_is_named_by_its_number_alone(text: str, number: int) -> None:
    wanted = f".env line {number} is not of the form NAME=value, and is passed over."
    assert dotenv(text).notices == (wanted,)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read(text: str) -> None:
    """What is good in it also has its value when anything stands around it."""
    read = dotenv(f"{text}\nSERVER_PORT=7\n")
    quoted = any(mark in text for mark in "'\"")
    assert quoted or read["SERVER_PORT"] == "7"
    assert all("NAME=value" in sentence for sentence in read.notices)


@given(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])))
def test_a_quoted_value_comes_back_as_it_was(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert dotenv(f'K="{quoted}" # "c"\nL=1') == {"K": value, "L": "1"}


def test_a_dotenv_file_may_have_a_byte_order_mark(tmp_path: Path, here: Path) -> None:
    path = here / ".env"
    path.write_bytes("\ufeffSERVER_PORT=7\r\nADMIN_PASSWORD='pässword'\r\n".encode())
    read = settings.read_dotenv()
    assert read == {"SERVER_PORT": "7", "ADMIN_PASSWORD": "pässword"}
    assert server({}, {}, read).port == 7


def test_no_dotenv_is_an_empty_one(here: Path) -> None:
    read = settings.read_dotenv()
    assert (read, read.notices) == ({}, ())


@pytest.mark.parametrize("content", [None, b"K=\xff", "K=v".encode("utf-16"), b"#" * 2**20 + b"##"])
def test_a_named_file_that_cannot_be_read_is_refused(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / ".env"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    sentence = refusal(lambda: settings.read_dotenv(str(path)))
    assert str(path) in sentence
    assert ("UTF-16" in sentence) == (content == "K=v".encode("utf-16"))


def test_near_misses_are_named_and_foreign_names_are_not() -> None:
    names = {"SERVER_PROT": "1", "admin_password": "x", "DATABASE_URL": "y", "SERVER_PORT": "1"}
    sentences = settings.near_misses(names)
    assert sentences == [
        ".env has SERVER_PROT, which is no setting; is SERVER_PORT meant?",
        ".env has admin_password, which is no setting; is ADMIN_PASSWORD meant?",
    ]


# Documents


def test_the_example_file_is_the_table() -> None:
    """Anew: python -m tools.make_env_example > .env.example"""
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example()


def test_the_example_file_sets_nothing_and_everything() -> None:
    """As it stands it changes nothing; without its marks it has every default."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert parse_dotenv(text) == {}
    lines = [line[1:] for line in text.split("\n") if line[:1] == "#" and "=" in line[:30]]
    values = parse_dotenv("\n".join(lines))
    assert values == {row.name: row.default for row in TABLE}
    assert server(SERVER, {}, values) == server(SERVER)
    named = dataclasses.replace(client(CLIENT), rooms_named=True)  # the default, but by a setting
    assert client(CLIENT, {}, values) == named


def test_the_groups_are_rows() -> None:
    assert GROUPED <= set(settings.ROWS)
    assert file_path(" a ") == "a"


@pytest.mark.parametrize(
    ("args", "environ", "address"),
    [
        ({"CLIENT_SERVER": "h:7"}, {}, ("h", 7)),
        ({"CLIENT_SERVER": "[::1]:7"}, {}, ("::1", 7)),
        ({"CLIENT_SERVER": "::1"}, {}, ("::1", 1000)),
        ({"CLIENT_SERVER": "h:7"}, {"CLIENT_PORT": "8"}, ("h", 7)),
        ({"CLIENT_PORT": "8"}, {"CLIENT_SERVER": "h:7"}, ("h", 8)),
        ({"CLIENT_SERVER": "h:7", "CLIENT_PORT": "7"}, {}, ("h", 7)),
        ({"CLIENT_SERVER": "h:7", "CLIENT_PORT": "8"}, {}, None),
        ({"CLIENT_SERVER": "http://h:7"}, {}, None),
        ({"CLIENT_SERVER": "h:0"}, {}, None),
    ],
)
def test_a_servers_port_may_stand_with_its_address(
    args: dict[str, str], environ: dict[str, str], address: tuple[str, int] | None
) -> None:
    given = {"CLIENT_USERNAME": "al", "CLIENT_PASSWORD": "pw", **environ}
    if address is None:
        with pytest.raises(settings.SettingsError):
            settings.client_settings(Sources(args, given, {}))
        return
    made = settings.client_settings(Sources(args, given, {}))
    assert (made.server, made.port) == address
    args = {**args, "<USERNAME>": "al", "CLIENT_USE_SSL": "true"}
    asked = settings.token_settings(Sources(args, given, {}))
    assert (asked.server, asked.port) == address


# Several addresses

SEVERAL = "b.example:7, [::1]:8,a.example:9"
PARSED = (("b.example", 7), ("::1", 8), ("a.example", 9))


def test_a_chat_may_have_several_addresses_in_the_order_in_which_they_were_written() -> None:
    """The first one names it."""
    for args, environ in (({"CLIENT_SERVER": SEVERAL}, {}), ({}, {"CLIENT_SERVER": SEVERAL})):
        made = client({**PERSON, **args}, environ, {"CLIENT_PORT": "5"})  # which does not count
        assert (made.server, made.port, made.others) == (*PARSED[0], PARSED[1:])
        assert made.addresses == PARSED
        login = {"--login": "true", "CLIENT_USERNAME": "al", "CLIENT_PASSWORD": "pw"}
        asked = settings.status_settings(Sources({**args, **login}, environ, {}))
        assert asked.login is not None and asked.addresses == asked.login.addresses == PARSED
        way = {"<USERNAME>": "al", "CLIENT_USE_SSL": "true", "ADMIN_PASSWORD": "pw"}
        assert token({**way, **args}, environ).addresses == PARSED
    assert client({**PERSON, "CLIENT_SERVER": "h:7"}).addresses == (("h", 7),)


def test_there_are_sixteen_addresses_at_most() -> None:
    hosts = [f"n{number}.example:1000" for number in range(17)]
    assert len(client({**PERSON, "CLIENT_SERVER": ",".join(hosts[:16])}).addresses) == 16
    assert "16 at most" in refusal(partial(client, {**PERSON, "CLIENT_SERVER": ",".join(hosts)}))


@pytest.mark.parametrize(
    "text",
    ["a:1,", ",a:1", "a:1,,b:2", "a,b", "a:1,b", "a:1,b:0", "a:1,b:65536", "a:1,b:x", "a:1,b:1:2",
     "a:1,A.:1", "[::1]:1,[0::1]:1", "a:1,::1", "a:1,http://b:2", "a:1,me@b:2", "a:1;b:2,c:3",
     "work,a:1"],
)  # fmt: skip
def test_a_list_that_is_none_gets_one_sentence(text: str) -> None:
    sentence = refusal(partial(client, {**PERSON, "CLIENT_SERVER": text}))
    assert sentence.startswith("CLIENT_SERVER (command line, SERVER) cannot be ")
    assert "a.example:1000,b.example:1000" in sentence


def test_a_port_beside_several_addresses_is_one_too_many() -> None:
    for args, environ in (
        ({"CLIENT_SERVER": SEVERAL, "CLIENT_PORT": "7"}, {}),
        ({"CLIENT_PORT": "7"}, {"CLIENT_SERVER": SEVERAL}),
    ):
        sentence = refusal(partial(client, {**PERSON, **args}, environ))
        assert "CLIENT_SERVER" in sentence and "CLIENT_PORT" in sentence


def test_the_admin_password_is_sent_in_clear_to_no_other_machine_of_a_list() -> None:
    args = {"<USERNAME>": "al", "ADMIN_PASSWORD": "pw"}
    here = "127.0.0.1:1000,[::1]:1000"
    assert token({**args, "CLIENT_SERVER": here}).addresses[1] == ("::1", 1000)
    assert "--ssl" in refusal(partial(token, {**args, "CLIENT_SERVER": f"{here},a.example:1"}))
