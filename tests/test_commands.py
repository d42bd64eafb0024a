"""The command table, typed lines, and the sentences for codes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

import i18n
from client import messages
from client.commands import (
    COMMANDS,
    PEOPLE,
    RENDERERS,
    SHORT_MOST,
    CommandContext,
    find,
    may_remember,
    run_line,
)
from client.completion import complete
from client.events import Cleared, Error, Event, Help, KeyHelp, Notice
from client.local_user import LocalUser
from client.output.widths import width
from protocol import errors
from tests.console_kit import NOON


class Recorder:
    """Whoever types, and the program around: writes down what a line asked for."""

    room, person = "default", None
    is_connected = False
    tag = 7

    def __init__(self, emit: Callable[[Event], None] | None = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.events: list[Event] = []
        self._emit = emit or self.events.append

    def context(self, renderer: str = "minimal") -> CommandContext:
        """What a line acts on."""
        return CommandContext(
            cast(LocalUser, self), self._emit, reconnect=lambda: self._note("reconnect"),
            panic=lambda *what: self._note("panic", *what), quit=lambda: self._note("quit"),
            look_back=lambda *what: self._note("history", *what),
            find=lambda *what: self._note("find", *what), clock=lambda: NOON, renderer=renderer,
        )  # fmt: skip

    def _note(self, *call: Any) -> None:
        self.calls.append(call)

    def say(self, text: str, kind: str = "text") -> None:
        self._note("say", text, kind)

    def begin(self) -> None:
        """Each line begins so."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        assert hasattr(LocalUser, name), name
        return lambda *arguments: self._note(name, *arguments)


def run(line: str, renderer: str = "minimal") -> Recorder:
    recorder = Recorder()
    run_line(line, recorder.context(renderer))
    return recorder


def error(line: str, renderer: str = "minimal") -> Error:
    """The one error that a line is answered with; nothing else may have happened."""
    client = run(line, renderer)
    assert client.calls == []
    (event,) = client.events
    assert isinstance(event, Error)
    return event


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ("hello", ("say", "hello", "text")),
        ("  hello ", ("say", "  hello ", "text")),
        ("one\ntwo", ("say", "one\ntwo", "text")),
        ("//x", ("say", "/x", "text")),
        ("///", ("say", "//", "text")),
        ("quit", ("say", "quit", "text")),
        ("/nick bob", ("rename", "bob")),
        ("/nick   bob  ", ("rename", "bob")),
        ("/NICK bob", ("rename", "bob")),
        ("/room dev", ("go", "dev", None)),
        ("/room dev ", ("go", "dev", None)),
        ("/room dev open sesame  ", ("go", "dev", "open sesame")),
        ("/room dev  two spaces", ("go", "dev", " two spaces")),
        ("/join dev", ("join", "dev", None)),
        ("/join dev open sesame", ("join", "dev", "open sesame")),
        ("/leave", ("leave", None)),
        ("/part dev", ("leave", "dev")),
        ("/part @bob", ("leave", "@bob")),
        ("/query bob", ("query", "bob")),
        ("/query @bob", ("query", "bob")),
        ("/msg @bob @carol hi", ("private", "bob", "@carol hi")),
        ("/verify @bob ok", ("verify", "bob", True)),
        ("/query @", ("query", "@")),
        ("/query @@bob", ("query", "@bob")),
        ("/query", ("query", None)),
        ("/reply to you alone", ("reply", "to you alone")),
        ("/rooms", ("rooms",)),
        ("/list", ("rooms",)),
        ("/who", ("who",)),
        ("/names", ("who",)),
        ("/me waves  at all", ("say", "waves  at all", "action")),
        ("/msg bob hi there", ("private", "bob", "hi there")),
        ("/msg bob one\ntwo", ("private", "bob", "one\ntwo")),
        ("/verify", ("verify", None, False)),
        ("/verify bob", ("verify", "bob", False)),
        ("/verify bob OK", ("verify", "bob", True)),
        ("/invite", ("invite", False)),
        ("/invite --TOKEN", ("invite", True)),
        ("/history", ("history", "default", 20, "", 7, None)),
        ("/history 5", ("history", "default", 5, "", 7, None)),
        ("/history 5 two words ", ("history", "default", 5, "two words", 7, None)),
        ("/history two 5", ("history", "default", 20, "two 5", 7, None)),
        ("/history 5x", ("history", "default", 20, "5x", 7, None)),
        ("/history " + "9" * 5000, ("history", "default", 1000, "", 7, None)),
        ("/reconnect", ("reconnect",)),
        ("/resend", ("resend", False)),
        ("/resend ALL", ("resend", True)),
        ("/ignore", ("ignore", None)),
        ("/ignore bob", ("ignore", "bob")),
        ("/unignore bob", ("unignore", "bob")),
        ("/panic", ("panic", False, False)),
        ("/panic DELETE", ("panic", True, False)),
        ("/quit", ("quit",)),
        ("/exit ", ("quit",)),
        ("q", ("quit",)),
    ],
)
def test_a_line_is_one_action(line: str, call: tuple[Any, ...]) -> None:
    client = run(line)
    assert client.calls == [call]
    assert client.events == []


def test_another_language_is_spoken_from_then_on() -> None:
    code = i18n.current()
    try:
        (event,) = run("/language de").events
        assert i18n.current() == "de" and isinstance(event, Notice)
        assert error("/language xx").code == "bad_language"
    finally:
        i18n.use(code)


def test_what_was_not_sent_goes_with_what_was_shown() -> None:
    client = run("/clear")
    assert client.calls == [("forget_lines",)] and client.events == [Cleared()]


def test_where_nothing_is_recorded_nothing_is_looked_up() -> None:
    recorder = Recorder()
    run_line("/history", replace(recorder.context(), look_back=None))
    (event,) = recorder.events
    assert isinstance(event, Error) and event.code == "no_history" and recorder.calls == []


def test_that_another_connection_is_tried_is_told_where_there_is_one() -> None:
    recorder = Recorder()
    recorder.is_connected = True
    run_line("/reconnect", recorder.context())
    assert recorder.calls == [("reconnect",)] and isinstance(recorder.events[0], Notice)


@pytest.mark.parametrize("line", ["", "   ", "\t", "\n"])
def test_blank_lines_are_nothing(line: str) -> None:
    client = run(line)
    assert client.calls == [] and client.events == []


def test_q_is_a_message_for_programs() -> None:
    assert run("q", "json").calls == [("say", "q", "text")]
    assert run("q", "rich").calls == [("quit",)]


@pytest.mark.parametrize(
    "line",
    [
        "/nick", "/nick a b", "/room", "/rooms x", "/who me", "/me", "/me   ", "/msg", "/msg bob",
        "/msg bob  ", "/verify bob okay", "/verify bob ok ok", "/invite x", "/invite --token x",
        "/quit now", "/help a b", "/history 0", "/history 00 x",
    ],
)  # fmt: skip
def test_wrong_arguments_are_answered_with_the_usage(line: str) -> None:
    event = error(line)
    row = find(line[1:].split()[0])
    assert row is not None
    assert event.code == "usage"
    assert row.written() in event.text


def test_an_unknown_command_is_answered_with_the_nearest_and_never_sent() -> None:
    event = error("/rom dev hush")
    assert event.code == "unknown_command"
    assert "/room?" in event.text
    assert "hush" not in event.text  # it may be a secret


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("dm", "msg"),
        ("PM", "msg"),
        ("w", "msg"),
        ("whisper", "msg"),
        ("tell", "msg"),
        ("close", "leave"),
        ("bye", "quit"),
        ("search", "find"),
        ("log", "history"),
        ("grep", "find"),
        ("kick", "ignore"),
        ("mgs", "msg"),
    ],
)
def test_the_words_of_other_programs_lead_to_ours(word: str, meant: str) -> None:
    assert f"/{meant}?" in error(f"/{word} bob hush").text


@pytest.mark.parametrize("word", ["panik", "pnaic", "claer"])
def test_nothing_else_is_suggested_for_what_is_meant_to_be_final(word: str) -> None:
    assert "?" not in error(f"/{word}").text


def test_nothing_dangerous_or_public_is_ever_suggested() -> None:
    """Somebody who takes the suggestion must not lose anything, or tell everybody."""
    words = ["pani", "paniq", "ban", "topic", "clea", "clear!", "lear", "m", "mee", "mesg", "men"]
    for word in words:
        text = error(f"/{word} bob hush").text
        assert not re.search(r"/(panic|clear|me)\?", text), text


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize(
    "before", [" ", "\t", "\u00a0", "\u3000", "\ufeff", "\u200b", " \u200e\t", "\n"]
)
def test_a_command_with_something_before_it_is_not_said_to_everybody(
    before: str, renderer: str
) -> None:
    for line in (f"{before}/msg bob hush", f"{before}/DM bob hush", f"{before}\uff0fmsg bob hush"):
        told = run(line, renderer)
        (event,) = told.events
        assert told.calls == [] and isinstance(event, Error)
        assert event.code == "almost_command" and "hush" not in event.text


@pytest.mark.parametrize(
    "line", [" /usr/bin/env", "a /msg b", " //msg", "x", "\uff0f\uff0f", " / "]
)
def test_what_is_no_command_is_said(line: str) -> None:
    assert run(line).calls == [("say", line, "text")]


def test_a_secret_is_not_remembered_behind_a_blank_either() -> None:
    assert may_remember(" /room x") and may_remember(" /msg bob x")
    for line in (" /room x hush", "\ufeff\uff0f\u200broom x hush", "\t/JOIN x hush"):
        assert not may_remember(line), line


def test_the_list_of_all_begins_with_the_harmless() -> None:
    start, choices = complete("/")
    assert (start, choices[0]) == (0, "/help ")
    assert choices == [f"/{row.name} " for row in COMMANDS]


@pytest.mark.parametrize("line", ["/", "/ x", "/zzzzzzzz", "/{0}", "/\x1b[2J"])
def test_what_resembles_no_command_points_to_help(line: str) -> None:
    event = error(line)
    assert event.code == "unknown_command"
    assert "/help" in event.text


def test_a_line_that_is_not_text_is_handed_back() -> None:
    line = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert run(line).calls == [("refuse", line, "not_text")]
    assert run("/room x " + line).calls == [("refuse", "/room x " + line, "not_text")]


def test_clear_is_not_for_programs() -> None:
    assert error("/clear", "json").code == "not_here"


@pytest.mark.parametrize("renderer", RENDERERS)
def test_help_has_every_command_of_the_renderer(renderer: str) -> None:
    (event,) = run("/help", renderer).events
    assert isinstance(event, Help)
    shown = {view.command.split()[0] for view in event.commands}
    assert shown == {f"/{row.name}" for row in COMMANDS if renderer in row.where}


@pytest.mark.parametrize("line", ["/help ROOM", "/help /room", "/help room"])
def test_help_for_one_command(line: str) -> None:
    (event,) = run(line).events
    assert isinstance(event, Help)
    (view,) = event.commands
    assert view.command == "/room NAME [secret]"
    assert "/join" in view.help


@pytest.mark.parametrize(
    ("hours", "name", "said"),
    [
        (1, "CET", "2026-11-30 17:04 here (CET, UTC+01:00)"),
        (-3.5, "-0330", "2026-11-30 17:04 here (UTC-03:30)"),
        (0, "UTC", "2026-11-30 17:04 here (UTC+00:00)"),
    ],
)
def test_the_time_is_said_so_that_it_means_something_elsewhere(
    hours: float, name: str, said: str
) -> None:
    recorder, zone = Recorder(), timezone(timedelta(hours=hours), name)
    now = datetime(2026, 11, 30, 17, 4, tzinfo=zone)
    run_line("/time", replace(recorder.context(), clock=lambda: now))
    (event,) = recorder.events
    assert isinstance(event, Notice) and said in event.text and recorder.calls == []


def test_the_list_says_each_command_in_a_few_words() -> None:
    assert all(width(row.short) <= SHORT_MOST for row in COMMANDS)
    assert max(width(row.name) for row in COMMANDS) <= 9


@pytest.mark.parametrize("renderer", PEOPLE)
def test_help_for_the_keys(renderer: str) -> None:
    (event,) = run("/help keys", renderer).events
    assert isinstance(event, KeyHelp)
    names = [view.command for view in event.keys]
    assert ("PgUp, PgDn" in names) == (renderer == "rich")
    assert "Ctrl-R" in names
    assert error("/help keys", "json").code == "unknown_command"


def test_wrong_use_says_what_there_is_to_choose() -> None:
    assert "all, mention or off" in error("/notify x", "rich").text
    assert "delete" in error("/panic x").text


def test_help_for_an_unknown_command() -> None:
    assert error("/help rom").code == "unknown_command"


def test_rows_agree_with_themselves() -> None:
    words = [word for row in COMMANDS for word in (row.name, *row.aliases)]
    assert len(words) == len(set(words))
    for row in COMMANDS:
        assert row.required <= len(row.kinds), row.name
        assert bool(row.usage) == bool(row.kinds), row.name
        assert row.help.endswith("."), row.name
        assert set(row.where) <= set(RENDERERS), row.name


@pytest.mark.parametrize("line", ["/room dev hush", "/join dev hush", "/rom dev hush", "/ROOM a b"])
def test_lines_with_a_secret_are_not_remembered(line: str) -> None:
    assert not may_remember(line)


@pytest.mark.parametrize("line", ["hello", "/room dev", "//room dev x", "/msg bob x y", "/q a b"])
def test_other_lines_are_remembered(line: str) -> None:
    assert may_remember(line)


@pytest.mark.parametrize(
    ("before", "answer"),
    [
        ("/ro", (0, ["/room ", "/rooms "])),
        ("/zz", (0, [])),
        ("/nick ", (6, ["Alba ", "alice ", "bob "])),
        ("/msg al", (5, ["Alba ", "alice "])),
        ("/msg bob al", (9, ["Alba ", "alice "])),
        ("/query @bo", (7, ["@bob "])),
        ("/leave @", (7, ["@Alba ", "@alice ", "@bob "])),
        ("/room d", (6, ["default ", "dev "])),
        ("/room dev d", (10, [])),
        ("/help ver", (6, ["verify "])),
        ("/verify bob ", (12, ["ok "])),
        ("/verify bob ok b", (15, [])),
        ("/who b", (5, [])),
        ("al", (0, ["Alba: ", "alice: "])),
        ("ask bo", (4, ["bob "])),
        ("ask @bo", (4, ["@bob "])),
        ("hi\nbo", (3, ["bob "])),
        ("hello ", (6, [])),
        ("", (0, [])),
    ],
)
def test_completion(before: str, answer: tuple[int, list[str]]) -> None:
    assert complete(before, ["alice", "bob", "Alba"], ["dev", "default"]) == answer


def all_errors(kind: type[errors.ChatError]) -> set[type[errors.ChatError]]:
    """The tree of ``protocol.errors``; what other modules derive from it is never on the wire."""
    below = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    return {kind}.union(*(all_errors(each) for each in below))


LOCAL = {"key_unusable", "refused"}  # never on the wire, or only a base of others


def test_every_code_of_the_error_tree_has_a_sentence() -> None:
    codes = {error.code for error in all_errors(errors.ChatError)} - LOCAL
    for code in codes:
        assert code not in messages.refusal(code, {"retry_after": 3, "limit": 4}), code


WORDINGS = [
    messages.refusal, messages.not_sent, messages.warning, messages.disconnected,
    lambda code: messages.unreadable(code, "default"),
    lambda code: messages.unreachable(code, "chat.example:1000"),
]  # fmt: skip


@pytest.mark.parametrize("sentence", WORDINGS)
@pytest.mark.parametrize(
    "code", ["", "of_tomorrow", "{0.__class__}", "\x1b[2J", "x" * 9999, "a\nb"]
)
def test_unknown_codes_get_a_general_sentence(sentence: Any, code: str) -> None:
    text = sentence(code)
    assert text.strip() and text.isprintable()
    assert len(text) < 300


def test_sentences_are_single_and_say_what_to_do() -> None:
    tables = [
        messages._REFUSALS, messages._DISCONNECTED, messages._UNREACHABLE, messages._WARNINGS,
    ]  # fmt: skip
    for table in tables:
        for code, text in table.items():
            assert text.endswith("."), code
            assert ". " not in text, code


def test_waits_are_whole_and_have_the_right_form() -> None:
    assert "try again in 1 second." in messages.refusal("rate_limited", {"retry_after": 0.2})
    assert "in 13 seconds" in messages.refusal("rate_limited", {"retry_after": 12.01})
    for strange in (None, "\x1b[2J", float("nan"), float("inf"), [1]):
        assert "a while" in messages.refusal("rate_limited", {"retry_after": strange})


@pytest.mark.parametrize(
    ("reason", "flag"),
    [
        ("self_signed", "--ssl-fingerprint"), ("unknown_ca", "--ssl-ca"),
        ("wrong_host", "--ssl-fingerprint"), ("fingerprint", "--ssl-fingerprint"),
        ("expired", "--ssl-fingerprint"), ("not_tls", "--ssl"), ("not_websocket", "--ssl"),
    ],
)  # fmt: skip
def test_an_unreachable_server_comes_with_the_flag_that_helps(reason: str, flag: str) -> None:
    text = messages.unreachable(reason, "chat.example:1000")
    assert flag in text and "chat.example:1000" in text


def test_the_transcript_warning_names_the_member() -> None:
    text = messages.warning("transcript", "alice")
    assert text.startswith("Either the server shows alice another room than you, or alice says so")
