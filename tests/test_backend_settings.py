"""Which engine a server shares with others, how it is written, and that its password is shown
nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import settings
from cli import asking, packages
from settings import BackendAddress, BackendSettings, SettingsError, Sources
from settings.backend import parse_backend
from tests.command import run_command
from tests.test_settings import SERVER, server

SECRET = "h0rse"
URL = "redis://127.0.0.1:6379/0"


def backend(args: Any = None, environ: Any = None) -> BackendSettings | None:
    return server({**SERVER, **(args or {})}, environ or {}).backend


def refusal(make: Callable[[], object]) -> str:
    with pytest.raises(SettingsError) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", BackendAddress("h")),
        (" REDIS://h.example:7000/3 ", BackendAddress("h.example", 7000, db=3)),
        ("redis://h/", BackendAddress("h")),
        ("rediss://[::1]:6380/15", BackendAddress("::1", 6380, tls=True, db=15)),
        ("redis://:s%40x%2Fy@h", BackendAddress("h", password="s@x/y")),
        ("redis://chat:p%3Aw@h", BackendAddress("h", user="chat", password="p:w")),
        ("redis://chat@h", BackendAddress("h", user="chat")),
        ("redis://@h", BackendAddress("h")),
        ("redis://:%C3%A9@h", BackendAddress("h", password="é")),
        ("unix:///run/redis.sock", BackendAddress(path="/run/redis.sock")),
        ("unix://al:pw@/run/r%20s", BackendAddress(path="/run/r s", user="al", password="pw")),
    ],
)
def test_how_a_backend_is_written(url: str, address: BackendAddress) -> None:
    assert parse_backend(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "h", "h:6379", "http://h", "redis:h", "redis:///0", "redis://h:0", "redis://h:65536",
        "redis://h/x", "redis://h/16384", "redis://h/0/1", "redis://a b", "redis://h#0",
        "redis://a@b@c", f"redis://:{SECRET}/x@h", f"redis://:{SECRET}#x@h", "unix://run/redis",
        "unix://", f"redis://:{SECRET}%FF@h", f"redis://:{SECRET}%00@h", "redis://h:",
        f"redis://:{SECRET}%ED%A0%80@h", "unix:///" + "x" * 200, "redis://" + "x" * 3000,
        f"rediss://:{SECRET}@h?ssl_cert_reqs=none", "redis://h/0?db=1", "unix:///s?db=1",
        "redis+sentinel://h", "redis://[::1", "redis://[zz]", "redis://h:6379,g:6379",
    ],
)  # fmt: skip
def test_what_is_no_backend(url: str) -> None:
    sentence = refusal(lambda: backend({"BACKEND_URL": url}))
    assert sentence.startswith("BACKEND_URL (command line, --backend) cannot be used: ")
    assert SECRET not in sentence and sentence.isprintable()


@given(st.text(max_size=60), st.sampled_from(["", "redis://", "rediss://", "unix:///"]))
def test_no_text_is_anything_else(text: str, before: str) -> None:
    try:
        address = parse_backend(before + text)
    except ValueError as error:
        assert str(error).isprintable()
    else:
        assert bool(address.host) != bool(address.path) and 1 <= address.port <= 65535


def test_without_one_there_is_none() -> None:
    assert backend() is None
    assert backend({}, {"BACKEND_PASSWORD": "x", "BACKEND_PREFIX": "a:"}) is None


def test_all_that_belongs_to_it(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    file.write_text(f"{SECRET}\nmore\n")
    chosen = backend(
        {"BACKEND_URL": "rediss://chat@h:7000/2"},
        {
            "BACKEND_PASSWORD_FILE": str(file), "BACKEND_SSL_CA": "ca.pem",
            "BACKEND_PREFIX": "team-1.x:", "BACKEND_PERSISTENCE": "allow",
            "BACKEND_INSECURE": "ALLOW",
        },
    )  # fmt: skip
    address = BackendAddress("h", 7000, tls=True, db=2, user="chat", password=SECRET)
    assert chosen == BackendSettings(address, "team-1.x:", "ca.pem", True, True)
    assert backend({"BACKEND_URL": URL}) == BackendSettings(
        BackendAddress("127.0.0.1"), "cc:", None, False, False
    )


def test_its_password_is_in_one_place() -> None:
    args = {"BACKEND_URL": f"redis://:{SECRET}@h"}
    assert refusal(lambda: backend(args, {"BACKEND_PASSWORD": "other"})) == (
        "BACKEND_URL (command line, --backend) and BACKEND_PASSWORD (environment) are both set; "
        "keep one of them."
    )
    both = {"BACKEND_URL": URL, "BACKEND_PASSWORD": "x", "BACKEND_PASSWORD_FILE": "y"}
    assert "are both set" in refusal(lambda: backend({}, both))


def test_a_certificate_is_no_use_in_clear() -> None:
    sentence = refusal(lambda: backend({"BACKEND_URL": URL}, {"BACKEND_SSL_CA": "ca.pem"}))
    assert sentence == "BACKEND_SSL_CA is for TLS: write rediss:// in BACKEND_URL (--backend)."


def test_which_certificates_are_trusted_is_not_passed_over() -> None:
    """In a part of a file that is not read."""
    file = settings.Dotenv(withheld={"BACKEND_SSL_CA"})
    given = {**SERVER, "BACKEND_URL": "rediss://h"}
    sentence = refusal(lambda: settings.server_settings(Sources({}, given, file)))
    assert sentence.startswith(".env asks for BACKEND_SSL_CA in a part that is not read")
    named = {**given, "BACKEND_SSL_CA": "ca.pem"}
    assert settings.server_settings(Sources({}, named, file)).backend
    assert settings.server_settings(Sources({}, SERVER, file)).backend is None


def test_its_password_is_shown_nowhere() -> None:
    chosen = backend({"BACKEND_URL": f"redis://chat:{SECRET}@h:1/2"})
    assert chosen is not None and chosen.address.password == SECRET
    assert chosen.address.shown == "redis://h:1/2"
    assert SECRET not in repr(chosen) and "chat" not in repr(chosen)


@pytest.mark.parametrize(("url", "exposed"), [(URL, False), (f"redis://:{SECRET}@h", True)])
def test_who_types_its_password_hears_that_others_see_it(
    url: str, exposed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.app.run", lambda _settings: 0)
    done = run_command("serve", "--backend", url)
    assert ("URL on the command line" in done.errors) == exposed
    assert SECRET not in done.errors


@pytest.mark.parametrize(("host", "here"), [("localhost", True), ("127.0.0.2", True),
                                            ("::1", True), ("10.0.0.1", False), ("h", False)])
def test_which_engine_is_on_this_machine(host: str, here: bool) -> None:
    assert BackendAddress(host).is_here() == here
    assert BackendAddress(path="/s").is_here()


@pytest.mark.parametrize("bundled", [False, True])
def test_the_package_that_is_not_there_is_named(
    bundled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = packages._find
    monkeypatch.setattr(
        packages, "_find", lambda each, names: None if each.name == "redis" else found(each, names)
    )
    monkeypatch.setattr(packages, "bundled", bundled)
    done = run_command("serve", "--backend", URL)
    assert done.status == 2 and done.out == ""
    lacking = "cmd_chat: A backend needs what is not here: redis 5.0.0 or newer (not installed). "
    how = {
        False: "Install it with pip beside CMD CHAT's other packages.",
        True: "Install it with pip for the Python that runs this file, and start that without -S.",
    }
    assert done.errors == f"{lacking}{how[bundled]}\n"


@pytest.mark.parametrize(
    ("url", "is_told"),
    [
        ("redis://h/0", False), ("redis://chat@h/0", False), ("unix://chat@/a/b", False),
        ("redis://chat:hush@h/0", True), ("redis://:hush@h", True), ("redis:/chat:hush@h", True),
        ("chat:hush@h", True), ("redis://chat:hu/sh@h", True), ("redis://chat@x:hush@h", True),
    ],
)  # fmt: skip
def test_a_password_in_its_url_is_told_as_exposed_and_a_users_name_is_not(
    url: str, is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    asking.note_exposed({"BACKEND_URL": url})
    said = capsys.readouterr().err
    assert ("URL" in said) == is_told and "hush" not in said
