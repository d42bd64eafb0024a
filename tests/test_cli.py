"""The command line: where each argument goes, what is refused, what is asked, exit statuses."""

from __future__ import annotations

import builtins
import getpass
import io
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import i18n
import settings
from cli import asking, table
from cli import run as program
from cli.parsing import UsageError, parse
from cli.table import CONNECT, SERVE, TOKEN
from client.output import streams
from transport import Unreachable, resolver

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 60  # only against hanging


def given(command: table.Subcommand, line: str, invited: bool = False) -> dict[str, Any]:
    """What a command line sets, by setting's name."""
    args = parse(command, line.split(), invited)
    assert args is not None
    return {name: value for name, value in args.items() if value is not None}


def refused(command: table.Subcommand, line: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(command, line.split())
    assert caught.value.usage.startswith("usage: ")
    return str(caught.value)


# Where each argument goes

PW = "S3cret"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("0.0.0.0 1000", {"SERVER_HOST": "0.0.0.0", "SERVER_PORT": "1000"}),
        ("0.0.0.0 1000 --password x", {"SERVER_HOST": "0.0.0.0", "SERVER_PORT": "1000",
                                       "ADMIN_PASSWORD": "x"}),
        ("-p x ::", {"SERVER_HOST": "::", "ADMIN_PASSWORD": "x"}),
        ("--password-file f", {"ADMIN_PASSWORD_FILE": "f"}),
        ("a --force-ssl 7 --ssl-cert c --ssl-key=k", {
            "SERVER_HOST": "a", "SERVER_PORT": "7", "SSL_CERT_PATH": "c", "SSL_KEY_PATH": "k",
            "FORCE_SSL": "true"}),
        ("--backend redis://h/1 :: 7", {
            "BACKEND_URL": "redis://h/1", "SERVER_HOST": "::", "SERVER_PORT": "7"}),
        ("-l fr", {"CMD_CHAT_LANGUAGE": "fr"}),
        ("--language=fr", {"CMD_CHAT_LANGUAGE": "fr"}),
    ],
)  # fmt: skip
def test_serve(line: str, expected: dict[str, str]) -> None:
    assert given(SERVE, line) == expected


PERSON = {"CLIENT_SERVER": "h", "CLIENT_PORT": "1000", "CLIENT_USERNAME": "al",
          "CLIENT_PASSWORD": "pw"}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", {}),
        ("--ssl", {"CLIENT_USE_SSL": "true"}),
        ("--room myroom", {"CLIENT_ROOM": "myroom"}),
        ("-r myroom", {"CLIENT_ROOM": "myroom"}),
        ("--renderer json", {"RENDERER_MODE": "json"}),
        ("--input json", {"CLIENT_INPUT": "json"}),
        ("--language fr", {"CMD_CHAT_LANGUAGE": "fr"}),
        ("--listen --no-bell", {"CLIENT_LISTEN": "true", "CLIENT_BELL": "false"}),
        ("--no-reconnect", {"CLIENT_RECONNECT": "false"}),
        ("--no-wait", {"CLIENT_WAIT": "false"}),
        ("--heartbeat 8", {"CLIENT_HEARTBEAT": "8"}),
        ("--history", {"ENABLE_LOCAL_HISTORY": "true"}),
        ("--history-passphrase-file f", {"HISTORY_PASSPHRASE_FILE": "f"}),
        ("--ssl-ca ca.pem", {"CLIENT_SSL_CA": "ca.pem"}),
        ("--ssl-fingerprint ab", {"CLIENT_SSL_FINGERPRINT": "ab"}),
        ("--token t", {"CLIENT_TOKEN": "t"}),
        ("-t t", {"CLIENT_TOKEN": "t"}),
        ("--password-file f", {"CLIENT_PASSWORD_FILE": "f"}),
        ("--secret", {"CLIENT_ROOM_SECRET": True}),
        ("--secret=", {"CLIENT_ROOM_SECRET": True}),
        ("--secret=a=b", {"CLIENT_ROOM_SECRET": "a=b"}),
        ("--secret-file f", {"CLIENT_ROOM_SECRET_FILE": "f"}),
        ("--room a -r b --room= --room=c,d", {"CLIENT_ROOM": "a,b,c,d"}),
        ("--secret-file f --secret-file=b=g=h", {"CLIENT_ROOM_SECRET_FILE": "f\nb=g=h"}),
        ("--ask-secret a --ask-secret b", {"--ask-secret": "a,b"}),
    ],
)
def test_connect_takes_its_options_at_any_place(options: str, expected: dict[str, Any]) -> None:
    """Before, between and after the positionals; no flag swallows one of them."""
    words = "h 1000 al pw".split()
    for place in range(5):
        line = " ".join([*words[:place], options, *words[place:]])
        assert given(CONNECT, line) == {**PERSON, **expected}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("h", {"CLIENT_SERVER": "h"}),
        ("h 1000 al --token t", {"CLIENT_SERVER": "h", "CLIENT_PORT": "1000",
                                 "CLIENT_USERNAME": "al", "CLIENT_TOKEN": "t"}),
        ("h 1 al -- -pw", {"CLIENT_SERVER": "h", "CLIENT_PORT": "1", "CLIENT_USERNAME": "al",
                           "CLIENT_PASSWORD": "-pw"}),
        ("-- h 1 al -tpw", {"CLIENT_SERVER": "h", "CLIENT_PORT": "1", "CLIENT_USERNAME": "al",
                            "CLIENT_PASSWORD": "-tpw"}),
        ("h 1 al -- --", {"CLIENT_SERVER": "h", "CLIENT_PORT": "1", "CLIENT_USERNAME": "al",
                          "CLIENT_PASSWORD": "--"}),
        ("h 1 -- --secret --ssl", {"CLIENT_SERVER": "h", "CLIENT_PORT": "1",
                                   "CLIENT_USERNAME": "--secret", "CLIENT_PASSWORD": "--ssl"}),
        ("cmdchat://a/r#s al pw", {"CLIENT_INVITE": "cmdchat://a/r#s", "CLIENT_USERNAME": "al",
                                   "CLIENT_PASSWORD": "pw"}),
        ("CMDCHATS://a", {"CLIENT_INVITE": "CMDCHATS://a"}),
        ("h:7 al pw", {"CLIENT_SERVER": "h:7", "CLIENT_USERNAME": "al", "CLIENT_PASSWORD": "pw"}),
        ("[::1]:7 al", {"CLIENT_SERVER": "[::1]:7", "CLIENT_USERNAME": "al"}),
        ("h:7,[::1]:8 al pw", {"CLIENT_SERVER": "h:7,[::1]:8", "CLIENT_USERNAME": "al",
                               "CLIENT_PASSWORD": "pw"}),
        ("h,i al", {"CLIENT_SERVER": "h,i", "CLIENT_USERNAME": "al"}),  # and then it is refused
        ("h:7,i:8 9 al", {"CLIENT_SERVER": "h:7,i:8", "CLIENT_PORT": "9",
                          "CLIENT_USERNAME": "al"}),
        ("::1 7 al", {"CLIENT_SERVER": "::1", "CLIENT_PORT": "7", "CLIENT_USERNAME": "al"}),
        ("h:7 7 al", {"CLIENT_SERVER": "h:7", "CLIENT_PORT": "7", "CLIENT_USERNAME": "al"}),
        ("--invite al pw", {"CLIENT_INVITE": True, "CLIENT_USERNAME": "al",
                            "CLIENT_PASSWORD": "pw"}),
        ("--invite=cmdchat://a al", {"CLIENT_INVITE": "cmdchat://a", "CLIENT_USERNAME": "al"}),
        ("al pw --invite-file f", {"CLIENT_INVITE_FILE": "f", "CLIENT_USERNAME": "al",
                                   "CLIENT_PASSWORD": "pw"}),
    ],
)  # fmt: skip
def test_connect(line: str, expected: dict[str, Any]) -> None:
    assert given(CONNECT, line) == expected


def test_with_an_invite_set_elsewhere_connect_needs_no_server() -> None:
    assert given(CONNECT, "al pw", True) == {"CLIENT_USERNAME": "al", "CLIENT_PASSWORD": "pw"}
    assert given(CONNECT, "h 1000 al pw", True) == PERSON  # and the settings then refuse both


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("al", {"<USERNAME>": "al"}),
        ("--ttl 60 al", {"<USERNAME>": "al", "--ttl": "60"}),
        ("al --server h --port 7 --ssl", {"<USERNAME>": "al", "CLIENT_SERVER": "h",
                                          "CLIENT_PORT": "7", "CLIENT_USE_SSL": "true"}),
        ("al -p pw", {"<USERNAME>": "al", "ADMIN_PASSWORD": "pw"}),
        ("--revoke id.secret", {"--revoke": "true", "<TOKEN>": "id.secret"}),
        ("id --revoke", {"--revoke": "true", "<TOKEN>": "id"}),
        ("--revoke", {"--revoke": "true", "<TOKEN>": True}),
        ("", {}),
    ],
)  # fmt: skip
def test_token(line: str, expected: dict[str, Any]) -> None:
    assert given(TOKEN, line) == expected


def test_what_is_parsed_becomes_settings() -> None:
    args = parse(CONNECT, "h 7 al pw --no-bell --renderer json --secret=s --ssl".split())
    assert args is not None
    made = settings.client_settings(settings.Sources(args, {}, {}))
    assert (made.server, made.port, made.username, made.password) == ("h", 7, "al", "pw")
    assert (made.bell, made.renderer, made.use_ssl) == (False, "json", True)
    assert made.room_secrets == {"default": "s"}


def test_every_flag_of_the_settings_is_an_option_of_some_command() -> None:
    offered = {name for command in table.COMMANDS.values()
               for name in (*command.options, *command.words)}  # fmt: skip
    flagged = {row.name for row in settings.ROWS.values() if row.flag or row.word}
    assert flagged - offered <= {"<TOKEN>"}


# What is refused


@pytest.mark.parametrize(
    ("command", "line", "sentence"),
    [
        (SERVE, "a 1 2", "There is more than IP_ADDRESS PORT here."),
        (SERVE, "--pasword S3cret",
         "--pasword is not an option of serve. Did you mean --password?"),
        (SERVE, "--passwordS3cret", "--passwordS3cret is not"),
        (SERVE, "--password", "Argument -p/--password: expected one argument."),
        (SERVE, "--port 7", "--port is no option: PORT stands by itself, as in "
         "serve IP_ADDRESS PORT."),
        (SERVE, "--host=h", "--host is no option: IP_ADDRESS stands by itself"),
        (CONNECT, "h --username al", "--username is no option: USERNAME stands"),
        (CONNECT, "h --nick al", "--nick is no option: USERNAME stands by itself"),
        (SERVE, "-xS3cret", "-x is not an option of serve."),
        (SERVE, "--pass S3cret", "--pass is not an option of serve."),
        (CONNECT, "h 1 al pw S3cret", "There is more than SERVER PORT USERNAME PASSWORD here."),
        (CONNECT, "--ssl=S3cret", "Argument --ssl: ignored explicit argument"),
        (CONNECT, "--tokn=S3cret", "--tokn is not an option of connect. Did you mean --token?"),
        (CONNECT, "--room --secret h", "Argument -r/--room: expected one argument."),
        (CONNECT, "cmdchat://a --invite-file f", "There are two invite links"),
        (CONNECT, "cmdchat://a#S3cret al pw x", "There is more than USERNAME PASSWORD here."),
        (TOKEN, "al bob", "There is more than USERNAME here."),
        (TOKEN, "--revoke S3cret x", "There is more than TOKEN here."),
    ],
)
def test_a_wrong_command_line_is_told_without_repeating_secrets(
    command: table.Subcommand, line: str, sentence: str
) -> None:
    told = refused(command, line)
    assert told.startswith(sentence)
    assert "S3cret" not in told.replace("--passwordS3cret", "").replace("'S3cret'", "")


@pytest.mark.parametrize("word", ["-w S3cret", "--pasword S3cret"])
def test_an_option_and_its_value_in_one_word_are_no_positional(word: str) -> None:
    with pytest.raises(UsageError, match="is not an option of connect") as caught:
        parse(CONNECT, ["h", "1", "al", word])
    assert "S3cret" not in str(caught.value)


@pytest.mark.parametrize("command", [SERVE, CONNECT, TOKEN])
def test_help_goes_before_everything_else(command: table.Subcommand) -> None:
    assert parse(command, ["a", "-h", "b", "c"]) is None


# main, with what it would start replaced


class Started:
    """In the place of the server and the client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.result: int | BaseException = 0
        monkeypatch.setattr(program, "_harden", lambda: None)
        for name in table.COMMANDS:
            monkeypatch.setitem(program._STARTS, name, self.start)

    def start(self, sources: settings.Sources) -> int:
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Started:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "environment", dict)
    monkeypatch.setattr(i18n, "hook_argparse", lambda: None)
    return Started(monkeypatch)


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (0, 0),
        (5, 5),
        (KeyboardInterrupt(), 130),
        (settings.SettingsError("No."), 2),
        (BrokenPipeError(), 0),
        (RuntimeError("hunter2"), 1),
        (OSError(28, "hunter2"), 1),
        (MemoryError("hunter2"), 1),
    ],
)
def test_the_exit_status(
    started: Started,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    result: Any,
    status: int,
) -> None:
    """Whatever happens, it is at most one sentence, and tells no more than it may."""
    monkeypatch.setattr(streams, "drop", lambda: None)
    started.result = result
    assert program.main(["serve"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") <= 1 and "hunter2" not in err and "Traceback" not in err
    if status in (1, 2):
        assert err.startswith("cmd_chat: ") and err.endswith(".\n")


@pytest.mark.parametrize(
    ("line", "word", "ways"),
    [
        ("connect h 1 al pw", "PASSWORD", "--password-file, CLIENT_PASSWORD in the environment or "
         "in .env, the hidden prompt."),
        ("connect h --token x", "TOKEN", "CLIENT_TOKEN in the environment or in .env."),
        ("serve -p x", "PASSWORD", "--password-file, ADMIN_PASSWORD in the environment or in .env, "
         "the hidden prompt."),
        ("connect cmdchat://a#s", "LINK", "--invite-file, CLIENT_INVITE in the environment or in "
         ".env, the hidden prompt."),
    ],
)  # fmt: skip
def test_a_secret_on_the_command_line_is_noted_once_with_safer_ways(
    started: Started, capsys: pytest.CaptureFixture[str], line: str, word: str, ways: str
) -> None:
    assert program.main(line.split()) == 0
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and f"see {word} on the command line" in err
    assert err.endswith(f" Safer: {ways}\n")


@pytest.mark.parametrize("line", ["connect h 1 al --secret", "serve --password-file f"])
def test_other_ways_to_give_a_secret_are_not_noted(
    started: Started, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert program.main(line.split()) == 0
    assert capsys.readouterr().err == ""


def test_near_misses_in_dotenv_are_told(
    started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("ADMIN_PASWORD=x\n")
    assert program.main(["serve"]) == 0
    assert "ADMIN_PASWORD" in capsys.readouterr().err


def test_a_named_file_that_cannot_be_read_stops_all_but_help(
    started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in (["--env-file", "nowhere"], ["--env-file=nowhere"]):
        assert program.main(["serve", *option]) == 2
        assert "nowhere cannot be used" in capsys.readouterr().err
        assert program.main(["serve", "--help", *option]) == 0
    assert program.main(["serve", "--", "--env-file", "nowhere"]) == 0  # these are values


def test_help_of_each_command_has_examples_and_every_option(
    started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in table.COMMANDS.values():
        assert program.main([command.name, "--help"]) == 0
        out = capsys.readouterr().out
        assert "examples:" in out and f" {command.name} " in out
        for name in command.options:
            assert all(flag in out for flag in table.flags(name))
        assert "{" not in out.replace("{rich,minimal,json}", "").replace("{lines,text,json}", "")


def test_help_says_what_may_come_several_times_where_it_may(
    started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, times in (("connect", 3), ("tail", 3), ("send", 0), ("status", 0)):
        assert program.main([name, "--help"]) == 0
        assert " ".join(capsys.readouterr().out.split()).count("may come several times") == times


def test_the_examples_in_help_can_be_parsed() -> None:
    for command in table.COMMANDS.values():
        for example in command.examples:
            line = example.split("{run} ")[1].partition(" >")[0]  # what the shell makes of the rest
            words = re.sub(r"['()]", "", line).split()
            assert words[0] == command.name
            assert parse(command, words[1:]) is not None


HOSTILE = "\x1b]0;x\a\x1b[31m\u202e\x9b2J\r"


@pytest.mark.parametrize(
    "line",
    [["connect", f"--{HOSTILE}"], ["connect", f"-{HOSTILE}"], [HOSTILE], ["serve", "h", HOSTILE],
     ["connect", HOSTILE, "1", "al", PW], ["connect", "h", "1", HOSTILE, PW],
     ["connect", "--env-file", HOSTILE], ["connect", "h", "1", "al", PW, f"--ssl-ca={HOSTILE}"],
     ["connect", "--language", HOSTILE], ["connect", "--renderer", HOSTILE],
     ["connect", f"cmdchat://{HOSTILE}"], ["history", HOSTILE], ["token", "--ttl", HOSTILE],
     ["serve", "--ssl-cert", HOSTILE, "--ssl-key", HOSTILE, "-p", PW]],
)  # fmt: skip
def test_nothing_of_the_command_line_is_obeyed_by_a_terminal(
    started: Started, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    program.main(line)
    shown = capsys.readouterr()
    assert all(char.isprintable() or char == "\n" for char in shown.out + shown.err)


@pytest.mark.parametrize("line", [["--help"], ["connect", "--help"], ["nothing"], []])
def test_nor_is_the_programs_own_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"/bin/{HOSTILE}"])
    program.main(line)
    shown = capsys.readouterr()
    assert "␛[31m" in shown.out + shown.err
    assert all(char.isprintable() or char == "\n" for char in shown.out + shown.err)


def test_help_fits_terminals_that_lack_letters(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    assert program.main(["connect", "--help"]) == 0
    assert b"cmdchat://?" in raw.getvalue()


@pytest.mark.parametrize("option", [["-l", "fr"], ["-lfr"], ["--language", "fr"],
                                    ["--language=fr"]])  # fmt: skip
def test_help_is_in_the_language_asked_for_on_the_same_line(
    started: Started, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    used: list[str] = []
    monkeypatch.setattr(i18n, "available", lambda: ["en", "fr"])
    monkeypatch.setattr(i18n, "use", used.append)
    assert program.main(["serve", "--help", *option]) == 0
    assert used == ["fr"]


def test_a_language_that_is_not_there_leaves_the_locales(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    monkeypatch.setattr(settings, "environment", lambda: {"LANG": "fr_FR"})
    monkeypatch.setattr(i18n, "use", used.append)
    assert program.main(["serve", "-l", "xx"]) == 0
    assert used == ["fr"]


# Asking


class Terminal:
    """Somebody who types answers, and what they were asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str | type[Exception]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        monkeypatch.setattr(streams, "is_terminal", lambda stream: True)
        monkeypatch.setattr(getpass, "getpass", lambda prompt: self._answer(f"hidden {prompt}"))
        monkeypatch.setattr(builtins, "input", lambda: self._answer("seen"))

    def _answer(self, how: str) -> str:
        self.asked.append(how)
        answer = self._answers.pop(0)
        if isinstance(answer, str):
            return answer
        raise answer


def test_what_is_missing_is_asked_and_secrets_are_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resolver, "are_unknown", lambda *_args: False)
    terminal = Terminal(monkeypatch, "", "h", "al", "pw")
    made = asking.settle(settings.client_settings, settings.Sources({}, {}, {}))
    assert (made.server, made.username, made.password) == ("h", "al", "pw")
    assert terminal.asked == ["seen", "seen", "seen", "hidden Password of the server: "]
    out, err = capsys.readouterr()
    assert out == ""  # among the events of json a prompt would be noise
    assert err == "Server address: Server address: Your nickname: "


def test_each_rooms_secret_is_asked_for_by_its_name_and_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal(monkeypatch, "one", " ", "two", "pw")
    line = "127.0.0.1 1 al -r Ops -r den -r lab --secret --ask-secret LAB"
    args = parse(CONNECT, line.split())
    assert args is not None
    made = asking.settle(settings.client_settings, settings.Sources(args, {}, {}))
    assert made.room_secrets == {"ops": "one", "lab": "two"}
    rooms = ("Ops", "lab", "lab")
    assert terminal.asked == [
        *(f"hidden Secret of the room {room}: " for room in rooms),
        "hidden Password of the server: ",
    ]


@pytest.mark.parametrize("answer", [EOFError])
def test_no_answer_is_the_sentence_that_nobody_could_be_asked(
    monkeypatch: pytest.MonkeyPatch, answer: type[Exception]
) -> None:
    Terminal(monkeypatch, answer)
    with pytest.raises(settings.MissingSetting, match="--password-file"):
        asking.settle(settings.server_settings, settings.Sources({}, {}, {}))


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "is_terminal", lambda stream: False)
    with pytest.raises(settings.MissingSetting, match="CLIENT_SERVER"):
        asking.settle(settings.client_settings, settings.Sources({}, {}, {}))


def test_listening_with_rich_on_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "is_terminal", lambda stream: True)
    args = parse(CONNECT, "h 1 al pw --listen".split())
    assert args is not None
    with pytest.raises(settings.SettingsError, match="--listen"):
        program._connect(settings.Sources(args, {}, {}))


def test_nobody_is_asked_for_the_sake_of_a_name_that_is_not_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before the first question, once, and not where a proxy is to look it up."""
    looked: list[str] = []

    def look_up(host: str, port: int) -> resolver.Addresses:
        looked.append(host)
        if host == "wrok":
            raise Unreachable("name")
        return []

    monkeypatch.setattr(resolver, "look_up", look_up)
    terminal = Terminal(monkeypatch, "al", "pw", "al", "pw", "pw")
    sources = settings.Sources({"CLIENT_SERVER": "wrok"}, {}, {})
    with pytest.raises(asking.UnknownServer, match="The name in wrok:1000 is not known"):
        asking.settle(settings.client_settings, sources)
    assert terminal.asked == []
    asking.settle(settings.client_settings, settings.Sources({"CLIENT_SERVER": "work"}, {}, {}))
    by_proxy = {"CLIENT_SERVER": "wrok", "CLIENT_PROXY": "socks5h://127.0.0.1:9"}
    asking.settle(settings.client_settings, settings.Sources(by_proxy, {}, {}))
    assert looked == ["wrok", "work"]
    # Of several addresses one is enough.
    several = {"CLIENT_SERVER": "wrok:1,work:2"}
    terminal._answers[:0] = ["al", "pw"]
    asking.settle(settings.client_settings, settings.Sources(several, {}, {}))
    assert sorted(looked[2:]) == ["work", "wrok"]
    several = {"CLIENT_SERVER": "wrok:1,wrok:2"}
    with pytest.raises(asking.UnknownServer, match="The name in wrok:1 is not known"):
        asking.settle(settings.client_settings, settings.Sources(several, {}, {}))
    # A passphrase is a question, too.
    (tmp_path / "me").touch()  # without a file there is no passphrase to ask for
    words = ["connect", "wrok", "1000", "al", "pw", "--identity", str(tmp_path / "me")]
    assert program.main(words) == 3
    assert len(terminal.asked) == 6


# The real process


def run(*args: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "cmd_chat.py"), *args],
        cwd=cwd, env={"PATH": os.environ["PATH"], **environ}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip


def test_version(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "CMD CHAT 1.0.0\n", "")


def test_help_names_the_commands(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in ("serve", "connect", "token", "--version"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ["usage:"]),
        ("conect", ["Did you mean connect?"]),
        ("-l en serve", ["first word"]),
        ("serve", ["ADMIN_PASSWORD", "--password-file"]),
        ("serve 0.0.0.0 99999 -p S3cret", ["SERVER_PORT (command line, PORT)", "65535"]),
        ("connect", ["CLIENT_SERVER"]),
        ("connect h 1 al S3cret --token S3cret", ["CLIENT_PASSWORD", "CLIENT_TOKEN"]),
        ("connect h 1 al S3cret --nonsense", ["--nonsense"]),
        ("token", ["USERNAME"]),
    ],
)
def test_usage_errors_end_with_2_and_a_sentence(
    tmp_path: Path, line: str, words: list[str]
) -> None:
    done = run(*line.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words)
    assert "S3cret" not in done.stderr and "Traceback" not in done.stderr


def test_dotenv_and_the_environment_are_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\ufeffexport SERVER_PORT='x' # wrong\n", encoding="utf-8")
    assert "SERVER_PORT (.env)" in run("serve", cwd=tmp_path).stderr
    assert "SERVER_PORT (environment)" in run("serve", cwd=tmp_path, SERVER_PORT="y").stderr


def test_help_and_mistakes_import_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from cli.run import main;"
        "status = [int(main(['--help'])), int(main(['serve']))];"
        "heavy = {'cryptography', 'websocket', 'simple_websocket', 'socket', 'ssl', 'server',"
        "         'client.app', 'client.events', 'transport'} & set(sys.modules);"
        "sys.exit(repr((status, heavy)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.stderr.endswith("([0, 2], set())\n")


def test_starting_writes_no_bytecode(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run("connect", cwd=tmp_path, PYTHONPYCACHEPREFIX=str(cache))
    ours = cache.joinpath(*ROOT.parts[1:])  # wherever the tree lies
    assert not [path for path in ours.rglob("*.pyc") if ".venv" not in path.parts]


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, str(ROOT / "cmd_chat.py"), "connect", "--help"], cwd=tmp_path,
            stdout=pipe, stderr=subprocess.PIPE, timeout=DEADLINE, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


def test_core_dumps_are_off() -> None:
    code = (
        "import resource, ctypes; from cli import run; run._harden();"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=DEADLINE, check=True,
    )  # fmt: skip
    assert done.stdout == "(0, 0) 0\n"


def test_where_core_dumps_cannot_be_turned_off_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(sys, "platform", "win32")
    program._harden()


# Makes standard input the terminal that Ctrl-C and hidden prompts go by.
LAUNCH = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def on_terminal(args: list[str], typed: bytes, cwd: Path) -> tuple[int, bytes]:
    """Run under a terminal, type, and give the exit status and all that was on the screen."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", LAUNCH, str(ROOT / "cmd_chat.py"), *args]
    with subprocess.Popen(
        command, cwd=cwd, env={"LANG": "C.UTF-8"}, start_new_session=True,
        stdin=theirs, stdout=theirs, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        screen = b""
        try:
            while b": " not in screen:
                screen += os.read(ours, 1024)
            while True:
                os.write(ours, typed)
                # Again where nothing comes of it: Python does not hear of a Ctrl-C that falls
                # between its last look and the read that then waits.
                while select.select([ours], [], [], 2.0)[0]:
                    screen += os.read(ours, 1024)
        except OSError:  # the other side has ended
            return process.wait(DEADLINE), screen
        finally:
            os.close(ours)


def test_a_person_is_asked_on_a_real_terminal(tmp_path: Path) -> None:
    status, screen = on_terminal(["connect", "localhost"], b"no name\n", tmp_path)
    assert status == 2
    assert screen.startswith(b"Your nickname: ") and b"CLIENT_USERNAME (your answer)" in screen


def test_what_is_secret_is_not_shown_while_it_is_typed(tmp_path: Path) -> None:
    status, screen = on_terminal(["connect", "--invite"], b"cmdchat:/S3cret\n", tmp_path)
    assert status == 2
    assert b"CLIENT_INVITE (your answer) cannot be used" in screen and b"S3cret" not in screen


def test_ctrl_c_at_a_question_ends_with_130(tmp_path: Path) -> None:
    status, screen = on_terminal(["serve"], b"\x03", tmp_path)
    assert status == 130 and b"Traceback" not in screen
