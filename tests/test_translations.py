"""Thirteen languages: complete, current, with their own plurals, and on every screen in place."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

import i18n
from cli.run import main
from client import events
from client import messages as wording
from client.commands import COMMANDS, run_line
from client.fullscreen.model import Model
from client.fullscreen.view import View
from client.input.editor import LineView
from client.input.terminal import Size
from client.output import json
from client.output import lines as minimal
from client.output.widths import width
from i18n import _
from server.banner import banner
from settings import ServerSettings
from tests.command import run_command
from tests.test_commands import Recorder
from tools import translations

ROOT = Path(__file__).parent.parent
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
EVERY = pytest.mark.parametrize("code", i18n.LANGUAGES)
TRANSLATED = pytest.mark.parametrize("code", translations.CODES)
PEOPLE = (events.MemberView("alice", True), events.MemberView("bob", False))
DIGITS = "12345 12345 12345 12345 12345 12345"


@pytest.fixture(autouse=True)
def english_afterwards() -> Iterator[None]:
    yield
    i18n.use("en")


def test_there_are_thirteen() -> None:
    assert list(i18n.LANGUAGES) == "en fr es zh ja de ru et pt ko ca eu gl".split()
    assert i18n.available() == list(i18n.LANGUAGES)


@TRANSLATED
def test_a_language_has_no_fault(code: str) -> None:
    """Nothing fuzzy or with other placeholders; the .mo made from this .po.

    A new sentence may be missing: it falls back to English, the summary of a run counts it, and
    ``make release-check`` insists.
    """
    assert list(translations.faults(code)) == []


def test_a_new_sentence_is_named_and_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contributor adds a sentence alone; whoever translates hears of it."""
    before = translations.gaps("fr")
    new = translations.updated("fr")
    new.add("A sentence that is in no catalogue.")
    monkeypatch.setattr(translations, "source", lambda: new)
    named = set(translations.gaps("fr")) - set(before)
    assert named == {"fr: missing: 'A sentence that is in no catalogue.'"}
    assert list(translations.faults("fr")) == []
    assert any("no catalogue" in line for line in translations.problems("fr"))


def test_no_text_stands_inside_an_f_string() -> None:
    """Before Python 3.12 one string is one token, and what is inside is in no catalogue."""
    hidden = [
        f"{path.name}:{node.lineno}"
        for path in translations._files()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.JoinedStr)
        for each in ast.walk(node)
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Name)
        and each.func.id in translations.KEYWORDS
        and each.args
        and isinstance(each.args[0], ast.Constant)
    ]
    assert hidden == []


def test_what_is_wrong_with_a_settings_file_is_told_in_the_language(tmp_path: Path) -> None:
    """Also before it is known what stands in it."""
    (tmp_path / ".env").write_text("source activate x\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-B", str(ROOT / "cmd_chat.py"), "connect", "http://no-server", "1", "al"],
        cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False,
        env={"CMD_CHAT_LANGUAGE": "pt", "PATH": "", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    i18n.use("pt")
    sentence = _("{path} line {numbers} is not of the form NAME=value, and is passed over.")
    assert sentence.format(path=".env", numbers="1") in done.stderr
    assert "is not of the form" not in done.stderr


def test_the_check_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is gone, fuzzy, or has another placeholder is named."""
    catalog = translations.updated("fr")
    messages = [each for each in catalog if isinstance(each.id, str) and "{nick}" in each.id]
    messages[0].string = str(messages[0].string).replace("{nick}", "{nock}")
    messages[1].string = ""
    messages[2].flags.add("fuzzy")
    catalog.add("nobody says this", "personne")
    path = tmp_path / "cmd_chat.po"
    path.write_bytes(translations.write(catalog))
    path.with_suffix(".mo").write_bytes(b"old")
    monkeypatch.setattr(translations, "po_path", lambda _code: path)
    found = " ".join(translations.problems("fr"))
    for fault in ("other placeholders", "untranslated", "fuzzy", "unused", "not current"):
        assert fault in found, fault
    faults = " ".join(translations.faults("fr"))
    for fault in ("other placeholders", "fuzzy", "not current"):
        assert fault in faults, fault
    for gap in ("untranslated", "unused"):
        assert gap not in faults, gap


@TRANSLATED
def test_a_language_says_something_of_its_own(code: str) -> None:
    """Hardly any text is left as it stands in the source."""
    same = [
        message.id
        for message in translations.read(code)
        if message.id and message.string == message.id and re.search(r"[a-z]{4}", str(message.id))
    ]
    assert len(same) <= 12, same


def test_plurals_follow_each_languages_rules() -> None:
    forms = {
        code: [wording.members(count) for count in (1, 2, 5, 21)]
        for code in i18n.LANGUAGES
        if i18n.use(code) == code
    }
    words = {code: [re.sub(r"[\d\s]+", "", text) for text in each] for code, each in forms.items()}
    assert words["ru"][0] == words["ru"][3] != words["ru"][1] != words["ru"][2] != words["ru"][0]
    for code in ("ja", "zh", "ko"):
        assert len(set(words[code])) == 1, code
    for code in ("en", "de", "es", "pt", "et", "ca", "gl", "fr"):
        assert words[code][0] != words[code][1] == words[code][2] == words[code][3], code


def test_fallbacks_of_regions() -> None:
    for tag, code in {
        "pt_BR.UTF-8": "pt", "zh_TW": "zh", "zh-Hant-HK": "zh", "fr_CA@euro": "fr", "de_AT": "de",
        "es_419": "es", "C": "en", "nl_NL": "en",
    }.items():  # fmt: skip
        assert i18n.from_locale({"LANG": tag}) == code, tag


def everything() -> list[events.Event]:
    """One of each event that a screen shows."""
    names = ("alice", "default")
    warnings = ["other_keys", "transcript", "unverified_member", "replay", "forged", "bad_wrap"]
    recorder = Recorder()
    run_line("/help", recorder.context("rich"))
    run_line("/help keys", recorder.context("rich"))
    return [
        events.Connected("chat.example.org:1000", "alice", "default", PEOPLE),
        *recorder.events,
        events.MemberList("default", PEOPLE),
        events.RoomList((events.RoomView("default", 2), events.RoomView("dev", 1))),
        events.Verification("default", DIGITS, (events.CodeView("bob", DIGITS, False),)),
        events.NickVerified("bob", "den"),
        events.Invite("cmdchat://chat.example.org/default#" + "x" * 22, "default"),
        events.MemberJoined("default", "carol"),
        events.MemberLeft("default", "carol"),
        events.Crowd("default", 34, 1),
        events.MemberRenamed("default", "bob", "bobby"),
        events.Message("default", "bobby", "hello @alice", 7, False, False, False, "text"),
        events.Message("default", "bobby", "waves", 8, False, False, False, "action"),
        events.Message("default", "bobby", "psst", None, False, True, False, "text", "alice"),
        events.Unreadable("default", "bobby", 9, "secret"),
        events.NotSent("default", "a line", "too_long"),
        events.Missed("default", 3),
        *(events.Warning(code, names[0], wording.warning(code, names[0])) for code in warnings),
        events.Error("nick_taken", wording.refusal("nick_taken")),
        events.Reconnecting(2, 4.0),
        events.Reconnected(True),
        events.RoomEntered("dev", PEOPLE[:1]),
        events.Disconnected("shutdown"),
    ]


@EVERY
@pytest.mark.parametrize("columns", [80, 40])
def test_every_screen_fits(code: str, columns: int) -> None:
    """The full-screen view after each event: no line is wider than the screen, or cut in two."""
    i18n.use(code)
    model = Model()
    view = View(model)
    for event in everything():
        model.take(event, NOON)
        frame = view.frame(LineView(), Size(columns, 24), NOON)
        assert len(frame.lines) == 24
        for line in frame.lines:
            for piece in line:
                text = "".join(span.text for span in piece.spans)
                assert piece.column + width(text) <= columns + 1, (event.name, text)


@EVERY
@pytest.mark.parametrize("line", ["/help", "/help keys"])
def test_help_is_seen_whole_on_a_small_screen(code: str, line: str) -> None:
    """Every command and every key, on 80x24: what is longer has to be said in fewer words."""
    i18n.use(code)
    recorder, model = Recorder(), Model()
    view = View(model)
    run_line(line, recorder.context("rich"))
    for event in recorder.events:
        model.take(event, NOON)
    frame = view.frame(LineView(), Size(80, 24), NOON)
    shown = "".join(span.text for row in frame.lines for piece in row for span in piece.spans)
    assert "↑" not in shown.replace("↑, ↓", "") and ("/quit" in shown or "Ctrl-X" in shown)


@EVERY
def test_tables_line_up(code: str) -> None:
    """In /who, each second column begins at the same place, whatever the words."""
    i18n.use(code)
    lines = minimal.Minimal().lines(events.MemberList("default", PEOPLE), NOON, 79)
    starts = {width(line[: line.index(nick)]) for line in lines for nick in ("alice", "bob")
              if nick in line and _("you") != nick}  # fmt: skip
    assert len(starts) == 1
    states = [line for line in lines if "alice" in line or "bob" in line]
    gaps = [re.match(r"\W*\w+\s+", line) for line in states]
    assert len({width(gap[0]) for gap in gaps if gap}) == 1 and len(states) == 2


@EVERY
def test_the_linear_screens_fit_80_columns(code: str) -> None:
    i18n.use(code)
    renderer = minimal.Minimal()
    for event in everything():
        for line in renderer.lines(event, NOON, 79):
            assert width(line) <= 79, line


@EVERY
def test_the_banner_fits_80_columns(code: str) -> None:
    i18n.use(code)
    settings = ServerSettings(
        "127.0.0.1", 1000, "x", 10, 60.0, 30.0, 60.0, 10240, 1 << 20, None, None, False, code
    )
    lines = banner(settings, 1000).splitlines()
    assert len(lines) == 10
    for line in lines:
        assert width(line) <= 80 or "connect 127.0.0.1" in line, line


@EVERY
def test_help_of_the_command_line_is_in_the_language(code: str) -> None:
    """Also argparse's own words."""
    done = run_command("connect", "--help", env={"CMD_CHAT_LANGUAGE": code})
    assert done.status == 0, done.errors
    assert ("positional arguments:" in done.out) == (code == "en")
    assert ("Connect to a server and chat." in done.out) == (code == "en")


def test_help_of_a_process_of_its_own_is_in_the_language() -> None:
    """With nothing of this one's: its environment alone says which."""
    run = subprocess.run(
        [sys.executable, "cmd_chat.py", "connect", "--help"],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False,
        env={"CMD_CHAT_LANGUAGE": "eu", "PATH": "", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "positional arguments:" not in run.stdout
    assert "Connect to a server and chat." not in run.stdout


@EVERY
def test_json_keeps_its_keys_and_codes(code: str) -> None:
    """Only ``text`` fields, and the help of commands, are translated."""
    i18n.use("en")
    renderer = json.Json()
    english = [renderer.lines(event, NOON, None) for event in everything()]
    i18n.use(code)
    here = [renderer.lines(event, NOON, None) for event in everything()]
    for one, other in zip(english, here, strict=True):
        hidden = r'"(text|help)": "(?:[^"\\]|\\.)*"'
        strip = [re.sub(hidden, r'"\1": ""', line) for line in (*one, *other)]
        assert strip[: len(one)] == strip[len(one) :]


@TRANSLATED
def test_each_command_has_its_help(code: str) -> None:
    i18n.use(code)
    assert len({_(command.help) for command in COMMANDS}) == len(COMMANDS)
    missing = " ".join(translations.gaps(code))
    untranslated = [each.help for each in COMMANDS if _(each.help) == each.help]
    assert all(help in missing for help in untranslated), untranslated


def test_an_unknown_code_lists_the_languages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "--language", "tlh"]) == 2
    said = capsys.readouterr().err
    for code, name in i18n.LANGUAGES.items():
        assert code in said and name in said
