"""An identity that lasts, between real programs: ``--identity``, ``identity``, bound tokens."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cli import asking
from cli.parsing import parse
from cli.table import IDENTITY
from client.identity.records import Contents
from client.identity.store import IdentityFile, create
from tests.command import Done, run_command
from tests.machine import needs
from tests.module_server import nick_fixture, server_fixture  # noqa: F401
from tests.processes import Client, Relay, Server, Terminal, free_port
from tests.test_rooms_end_to_end import verify
from tests.test_server_console import asked
from tests.test_tokens import form, holder, mint, refused

PASSPHRASE = "correct horse"
OWN = {"IDENTITY_PASSPHRASE": PASSPHRASE}


def identity(folder: Path, name: str) -> Path:
    """The file of a new identity, by the weakest scrypt that is taken."""
    path = folder / f"{name}.identity"
    create(path, Contents.fresh(), PASSPHRASE, 15)
    return path


def known(path: Path) -> Contents:
    return IdentityFile(path, PASSPHRASE).contents


def come(
    server: Server | tuple[str, int], nick: str, path: Path | None, *options: str, **more: Any
) -> Client:
    """A client with this identity."""
    own = () if path is None else ("--identity", str(path))
    return Client(server, nick, *options, *own, settings=OWN, **more)


def standings(client: Client) -> dict[str, str]:
    """What ``/who`` says of the others."""
    client.say("/who")
    members = client.next("members")["members"]
    return {each["nick"]: each["standing"] for each in members if each["nick"] != client.nick}


def run(*words: str, env: Mapping[str, str] | None = None) -> Done:
    return run_command("identity", *words, env={**OWN, **(env or {})})


# The chat


@pytest.fixture
def at_the_end() -> Iterator[contextlib.ExitStack]:
    """What a test leaves open."""
    with contextlib.ExitStack() as stack:
        yield stack


def test_verification_survives_a_restart_of_both(
    server: Server, nick: str, tmp_path: Path, at_the_end: contextlib.ExitStack
) -> None:
    files = {name: identity(tmp_path, name) for name in ("alice", "bob")}
    room = ("--room", nick)
    names = {name: f"{name}{nick[-6:]}" for name in files}

    def both() -> tuple[Client, Client]:
        alice, bob = (
            at_the_end.enter_context(come(server, names[name], files[name], *room))
            for name in files
        )
        alice.meets(bob.nick)
        return alice, bob

    alice, bob = both()
    assert standings(alice) == {bob.nick: "new"} and standings(bob) == {alice.nick: "new"}
    verify(alice, bob)
    assert (alice.finish(), bob.finish()) == (0, 0)
    alice, bob = both()
    assert standings(alice) == {bob.nick: "verified"} and standings(bob) == {alice.nick: "known"}
    bob.say("it is me")
    assert alice.next("message", from_=bob.nick)["verified"] is True
    assert bob.finish() == 0
    alice.next("left", nick=bob.nick)
    # Somebody else under that name, each time that they come: loud, and never anything but new.
    for _ in range(2):
        with come(server, bob.nick, None, *room) as other:
            warning = alice.next("warning", code="other_keys")
            assert warning["verified"] is True and "ATTENTION" in warning["text"]
            assert standings(alice) == {other.nick: "new"}
            assert other.finish() == 0
            alice.next("left", nick=bob.nick)
    bob = at_the_end.enter_context(come(server, names["bob"], files["bob"], *room))
    alice.next("joined", nick=bob.nick)
    assert standings(alice) == {bob.nick: "verified"}
    for each in (alice, bob):
        assert each.finish() == 0 and each.errors == ""


def test_six_starts_of_a_program_without_a_warning(
    server: Server, nick: str, tmp_path: Path
) -> None:
    """The README's cron job."""
    room, path = ("--room", nick), identity(tmp_path, "cron")
    with come(server, nick, None, *room) as alice:
        for number in range(6):
            with come(server, f"c{nick[-8:]}", path, *room, joined=False) as program:
                assert program.finish(f"backup {number} done") == 0
        alice.hears(*(f"backup {number} done" for number in range(6)))
        assert not alice.all("warning")
        alice.next("message", text="backup 5 done")
        alice.next("left")
    runs = known(path)
    assert runs.going == () and runs.run % 1000 == 5


def test_others_come_back_with_one_quiet_line(server: Server, nick: str) -> None:
    room, guest = ("--room", nick), f"g{nick[-8:]}"
    with come(server, nick, None, *room) as alice:
        for _ in range(3):
            with come(server, guest, None, *room) as program:
                assert program.finish() == 0
                alice.next("left", nick=guest)
        quiet = alice.all("warning")
    assert [(each["code"], each["verified"]) for each in quiet] == [("other_keys", False)] * 2
    assert {each["text"] for each in quiet} == {f"{guest} has other keys than before."}


def test_two_programs_with_one_file_are_both_there(
    server: Server, nick: str, tmp_path: Path
) -> None:
    room, path = ("--room", nick), identity(tmp_path, "bob")
    own = identity(tmp_path, "alice")
    one, two = f"o{nick[-8:]}", f"t{nick[-8:]}"
    with (
        come(server, nick, own, *room) as alice,
        come(server, one, path, *room) as first,
        come(server, two, path, *room) as second,
    ):
        alice.meets(one, two)
        for speaker in (first, second):
            speaker.say("both of us")
            alice.next("message", from_=speaker.nick)
        assert len(known(path).going) == 2
        assert second.finish() == 0
        first.say("still here")
        alice.next("message", text="still here")
        with come(server, two, path, *room):
            alice.next("joined", nick=two)
        first.say("and now")
        alice.next("message", text="and now")
        assert not [each for each in alice.all("warning") + first.all("warning")]
        assert alice.finish() == 0
    (person,) = known(own).people
    assert {each.nick for each in person.seen} == {one, two}


def test_an_old_start_that_is_shown_again_is_refused(
    server: Server, nick: str, tmp_path: Path
) -> None:
    """What a server could do, done with a copy of the file from before."""
    room, path = ("--room", nick), identity(tmp_path, "bob")
    copy, own = tmp_path / "copy.identity", identity(tmp_path, "alice")
    bob = f"b{nick[-8:]}"
    copy.touch(0o600)
    copy.write_bytes(path.read_bytes())
    for _ in range(2):
        with come(server, bob, path, *room) as program:
            assert program.finish() == 0
    with come(server, nick, own, *room) as alice:
        with come(server, bob, path, *room) as program:
            alice.meets(bob)
            assert program.finish() == 0
        alice.next("left", nick=bob)
        with come(server, bob, copy, *room) as old:
            warning = alice.next("warning", code="old_run")
            assert warning["nick"] == bob
            alice.say("not for a start that is over")
            old.next("unreadable")
            assert standings(alice) == {bob: "new"}
            assert not old.texts(from_=nick)


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--identity", "none.identity"], 2, "There is no identity at none.identity"),
        (["--identity", "."], 2, ". is no identity"),
    ],
)
def test_what_is_no_identity_ends_before_it_connects(
    words: list[str], status: int, sentence: str
) -> None:
    line = ("connect", "127.0.0.1", "9", "bob", *words)
    done = run_command(*line, env={"CLIENT_PASSWORD": "x", **OWN})
    assert (done.status, done.out) == (status, "") and sentence in done.errors
    assert done.errors.count("\n") == 1


def test_a_wrong_passphrase_ends_with_4(server: Server, nick: str, tmp_path: Path) -> None:
    path = identity(tmp_path, "bob")
    before = path.read_bytes()
    line = ("connect", server.host, str(server.port), nick, "--identity", str(path))
    done = run_command(*line, env={"CLIENT_PASSWORD": "x", "IDENTITY_PASSPHRASE": "wrong"})
    assert (done.status, done.out) == (4, "")
    assert "That is not the passphrase" in done.errors
    assert path.read_bytes() == before


def test_what_cannot_be_written_is_not_begun_with(
    server: Server, nick: str, tmp_path: Path
) -> None:
    """Nobody may see a start that the file does not know of."""
    path = identity(tmp_path, "bob")
    Path(f"{path}.lock").unlink()
    Path(f"{path}.lock").symlink_to("/dev/full")
    before = path.read_bytes()
    line = ("connect", server.host, str(server.port), nick, "--identity", str(path))
    done = run_command(*line, env={"CLIENT_PASSWORD": "x", **OWN})
    assert (done.status, done.out) == (2, "") and "cannot be used" in done.errors
    assert path.read_bytes() == before


def test_panic_leaves_the_identity_unless_it_is_asked(
    server: Server, nick: str, tmp_path: Path
) -> None:
    path = identity(tmp_path, "bob")
    state = {"XDG_STATE_HOME": str(tmp_path)}
    for command, left in (("", True), (" delete", True), (" delete identity", False)):
        own = ("--room", nick, "--identity", str(path))
        with Client(server, nick, *own, settings={**OWN, **state}) as client:
            client.say(f"/panic{command}")
            assert client.end() == 0
        assert path.exists() == left
    assert not list(tmp_path.iterdir())


def test_the_screen_says_who_is_who(server: Server, nick: str, tmp_path: Path) -> None:
    own, path = identity(tmp_path, "alice"), identity(tmp_path, "bob")
    bob = f"b{nick[-8:]}"
    line = ["connect", server.host, str(server.port), nick, "--room", nick, "--identity", str(own)]
    env = {"CLIENT_PASSWORD": "x", **OWN, **_password(server)}
    with Terminal(line, env, columns=120) as alice:
        alice.sees("end-to-end ")
        with come(server, bob, path, "--room", nick) as program:
            alice.sees("end-to-end, new 1")
            program.finish()
        alice.sees(f"{bob} (has )?left|left")
        with come(server, bob, path, "--room", nick) as program:
            alice.sees("end-to-end, known 1")
            alice.type("/who\r")
            alice.sees(rf"{bob} +known: the same keys as before")
            program.finish()


def test_nobody_is_asked_for_the_passphrase_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Nor for the password of a server into which it was to lead."""
    line = ["connect", "127.0.0.1", str(free_port()), "bob", "--identity", str(tmp_path / "gone")]
    for password in ({}, {"CLIENT_PASSWORD": "x"}):
        with Terminal(line, password, columns=200) as terminal:
            assert terminal.end() == 2
            assert "There is no identity at" in terminal.shown()
            assert "Pass" not in terminal.shown().partition("There is no")[0]


def _password(server: Server) -> dict[str, str]:
    from tests.processes import PASSWORD

    return {"CLIENT_PASSWORD": PASSWORD}


def test_who_was_shown_the_door_is_known_by_the_next_start(nick: str, tmp_path: Path) -> None:
    path = identity(tmp_path, "mallory")
    with Server() as server:
        with come(server, nick, path) as mallory:
            asked(server, f"kick {nick}", "out")
            assert mallory.end() == 4
        with come(server, f"o{nick[-8:]}", path, joined=False) as mallory:
            assert mallory.end() == 4
            assert "shown you the door" in mallory.errors
        with come(server, nick, None) as other:  # without it, nobody can tell
            assert other.finish() == 0


# Bound tokens


def test_a_bound_token_opens_for_its_identity_alone(
    server: Server, nick: str, tmp_path: Path
) -> None:
    path, other = identity(tmp_path, "bob"), identity(tmp_path, "mallory")
    token = str(form(server, "/generate_token", username=nick, ttl="600", bind="true")["token"])
    own = ("--identity", str(path), "--identity-passphrase-file", str(tmp_path / "pass"))
    theirs = ("--identity", str(other), "--identity-passphrase-file", str(tmp_path / "pass"))
    (tmp_path / "pass").write_text(PASSPHRASE)

    def bound() -> object:
        listed = form(server, "/list_tokens")["tokens"]
        (found,) = [each for each in listed if each["id"] == token.partition(".")[0]]
        return found["bound"]

    assert bound() is False
    with holder(server, token, *own) as bob:
        assert bound() is True
        for options in (theirs, ()):
            with holder(server, token, *options, joined=False) as mallory:
                mallory.end()
                refused(mallory, "another identity's")
        assert bob.finish("nobody has taken my place") == 0
    with holder(server, token, *own) as again:
        assert again.finish() == 0


def test_a_token_that_is_not_to_be_bound_opens_for_anybody(server: Server, nick: str) -> None:
    token = mint(server, nick)
    for _ in range(2):
        with holder(server, token) as client:
            assert client.finish() == 0


def test_who_is_not_let_in_has_not_bound_it(server: Server, nick: str, tmp_path: Path) -> None:
    token = str(form(server, "/generate_token", username=nick, ttl="600", bind="true")["token"])
    with holder(server, token, "--room", "a b", joined=False) as client:
        client.end()
    with Client(server, "wrong", settings={"CLIENT_TOKEN": token, "CLIENT_PASSWORD": ""},
                joined=False) as client:  # fmt: skip
        client.end()
        refused(client, "Your token fixes your nickname")
    with holder(server, token) as client:
        assert client.finish() == 0


def test_a_bound_token_survives_a_lost_connection(
    server: Server, nick: str, tmp_path: Path
) -> None:
    token = str(form(server, "/generate_token", username=nick, ttl="600", bind="true")["token"])
    with Relay(server.port) as relay, holder(server, token, address=relay.address) as client:
        relay.cut()
        client.next("reconnected", resumed=True)
        assert client.finish() == 0


def test_the_command_mints_one(server: Server, nick: str) -> None:
    line = ("token", nick, "--bind", "--server", server.host, "--port", str(server.port))
    assert run_command(*line).status == 0
    listed = run_command("token", "--list", "--server", server.host, "--port", str(server.port))
    assert [each for each in listed.out.splitlines() if each.endswith(f"{nick}  to be bound")]


@pytest.mark.parametrize("value", ["maybe", "1"])
def test_a_form_says_yes_or_no(server: Server, nick: str, value: str) -> None:
    with pytest.raises(AssertionError, match="bad_fields"):
        form(server, "/generate_token", username=nick, ttl="600", bind=value)


# The command


def test_where_each_word_goes() -> None:
    for line, wanted in (  # fmt: skip
        ("new --identity f", {"<DEED>": "new", "CLIENT_IDENTITY": "f"}),
        ("forget bob", {"<DEED>": "forget", "<NICK>": "bob"}),
        ("passphrase --new-passphrase-file f",
         {"<DEED>": "passphrase", "--new-passphrase-file": "f"}),
    ):
        args = parse(IDENTITY, line.split())
        assert args is not None
        assert {name: value for name, value in args.items() if value is not None} == wanted


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["make"], "ACTION (command line) cannot be 'make': it must be one of: new, show, "),
        ([], "A value is missing: set ACTION on the command line."),
        (["forget"], "A value is missing: set NICK on the command line."),
        (["show"], "A value is missing: set CLIENT_IDENTITY (--identity on the command line)."),
        (["show", "more"], "There is more than ACTION here."),
    ],
)
def test_wrong_use_ends_with_2(words: list[str], sentence: str) -> None:
    done = run(*words)
    assert (done.status, done.out) == (2, "")
    assert done.errors.startswith(f"cmd_chat: {sentence}")


def test_one_is_made_looked_into_and_told_of(tmp_path: Path) -> None:
    path = tmp_path / "me"
    own = ("--identity", str(path))
    assert run("new", *own).status == 0
    before = path.read_bytes()
    again = run("new", *own)
    assert (again.status, again.out) == (2, "") and "there already" in again.errors
    assert path.read_bytes() == before
    shown = run("show", *own)
    assert shown.status == 0 and shown.errors == ""
    assert shown.out.splitlines()[1].split() == ["people", "known", "0"]
    assert "knows nobody" in run("people", *own).errors
    told = json.loads(run("export", *own).out)
    assert told["people"] == [] and told["key"] in shown.out
    contents = IdentityFile(path, PASSPHRASE).contents
    assert contents.sign.hex() not in json.dumps(told)
    assert run("show", *own, env={"IDENTITY_PASSPHRASE": "x"}).status == 4
    assert run("show", "--identity", str(tmp_path / "none")).status == 2
    missing = run("show", *own, env={"IDENTITY_PASSPHRASE": ""})
    assert missing.status == 2 and "IDENTITY_PASSPHRASE" in missing.errors


def test_people_are_listed_and_forgotten(server: Server, nick: str, tmp_path: Path) -> None:
    own, path = identity(tmp_path, "alice"), identity(tmp_path, "bob")
    bob = f"b{nick[-8:]}"
    with (
        come(server, nick, own, "--room", nick) as alice,
        come(server, bob, path, "--room", nick) as other,
    ):
        alice.meets(bob)
        verify(alice, other)
        assert alice.finish() == 0
    name = ("--identity", str(own))
    (row,) = run("people", *name).out.splitlines()
    assert row.startswith(f"{bob}  verified  20") and f"{server.host}:{server.port}" in row
    exported = json.loads(run("export", *name).out)["people"][0]
    assert exported["verified"] is True and exported["seen"][0]["nick"] == bob
    nobody = run("forget", "stranger", *name)
    assert nobody.status == 0 and "Nobody called stranger is known." in nobody.errors
    gone = run("forget", bob.upper(), *name)
    assert gone.status == 0 and "is forgotten" in gone.errors
    assert known(own).people == ()


def test_the_passphrase_is_changed(tmp_path: Path) -> None:
    path, new = identity(tmp_path, "bob"), tmp_path / "new"
    new.write_text("another\n")
    line = ("passphrase", "--identity", str(path), "--new-passphrase-file", str(new))
    assert run(*line).status == 0
    assert run("show", "--identity", str(path)).status == 4
    env = {"IDENTITY_PASSPHRASE": "", "IDENTITY_PASSPHRASE_FILE": str(new)}
    assert run("show", "--identity", str(path), env=env).status == 0


GUESSABLE = "This passphrase can be guessed quickly"


def test_a_passphrase_that_is_set_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is set, however, and at no other time; it is never shown."""
    path, new = tmp_path / "me", tmp_path / "new"
    own = ("--identity", str(path))
    made = run("new", *own, env={"IDENTITY_PASSPHRASE": "Secret1!"})
    assert made.status == 0 and GUESSABLE in made.errors and "Secret1" not in made.errors
    assert GUESSABLE not in run("show", *own, env={"IDENTITY_PASSPHRASE": "Secret1!"}).errors
    change = ("passphrase", *own, "--new-passphrase-file", str(new))
    new.write_text("swordfish\n")
    changed = run(*change, env={"IDENTITY_PASSPHRASE": "Secret1!"})
    assert changed.status == 0 and GUESSABLE in changed.errors
    new.write_text("one of four words\n")
    changed = run(*change, env={"IDENTITY_PASSPHRASE": "swordfish"})
    assert changed.status == 0 and GUESSABLE not in changed.errors
    typed = iter(["Secret1!", "Secret1!"])
    monkeypatch.setattr(asking, "answer", lambda question, hidden=False: next(typed))
    other = run("new", "--identity", str(tmp_path / "other"), env={"IDENTITY_PASSPHRASE": ""})
    assert other.status == 0 and GUESSABLE in other.errors


@needs("chown", beside="test_identity.py::test_what_is_another_users_is_not_used")
def test_another_users_identity_is_not_used(tmp_path: Path) -> None:
    path = identity(tmp_path, "bob")
    os.chown(path, 12345, 12345)
    done = run("show", "--identity", str(path))
    assert done.status == 2 and "belongs to another user" in done.errors
