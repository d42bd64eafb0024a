"""What an engine is told in a whole conversation: nothing that a server does not know."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from protocol import pake
from tests.engines import engines, kind
from tests.processes import PASSWORD, Client, Server
from tools.engine_process import EngineProcess, Monitor, seen

pytestmark = pytest.mark.timeout(60)


def forms(secret: bytes) -> list[bytes]:
    """How something could stand there: as it is, in hexadecimal digits, in base64."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # Where it begins in a group of three, the signs in the middle are the same.
        found += [encode(bytes(skip) + secret)[8:-8] for skip in range(6, 9)]
    return [form for form in found if len(form) >= 8]


@pytest.mark.parametrize("name", engines("test_nothing_that_is_secret_is_told_to_the_engine"))
def test_nothing_that_is_secret_is_told_to_the_engine(name: str, tmp_path: Path) -> None:
    lines: list[bytes] = []
    mark, room_secret = secrets.token_hex(12), secrets.token_hex(12)
    nick, room = f"ann{secrets.token_hex(4)}", f"room{secrets.token_hex(4)}"
    file = tmp_path / "secret"
    file.write_text(room_secret)
    with EngineProcess(kind(name)) as engine:
        monitor = Monitor(engine, lines.append)
        backend = {"BACKEND_URL": engine.url}
        try:
            quick = {"server.cluster.limits": {"POLICY_SCRYPT": 10}}
            with (
                Server(backend, constants=quick) as here,
                Server(backend, constants=quick) as there,
            ):
                token = _converse(here, there, nick, room, mark, str(file))
                for node in (here, there):
                    node.signal(15)
                    node.end()
            monitor.level()
        finally:
            monitor.close()
    told = b"\n".join(
        word for line in lines if (command := seen(line)) for word in command.words
    )
    for known in (nick, room):  # it was looked at in the right way
        assert known.encode() in told
    prs = pake.password_prs(PASSWORD)
    token_id, _dot, token_secret = token.partition(".")
    for wanted in (mark, room_secret, PASSWORD, token, token_secret):
        assert not [form for form in forms(wanted.encode()) if form in told], wanted
    raw = base64.urlsafe_b64decode(token_secret + "==")
    for hidden in (prs, raw):
        assert not [form for form in forms(hidden) if form in told]


def _converse(
    here: Server, there: Server, nick: str, room: str, mark: str, secret_file: str
) -> str:
    """All ways to say something and to come in; the token."""
    body = urlencode({"admin_password": PASSWORD, "username": "tom"}).encode()
    with urlopen(f"http://127.0.0.1:{here.port}/generate_token", body) as answer:
        token = str(json.load(answer)["token"])
    words = ["--room", room, "--secret-file", f"{room}={secret_file}"]
    with (
        Client(here, nick, *words) as ann,
        Client(there, "bob", *words) as bob,
        Client(there, "tom", *words, settings={"CLIENT_PASSWORD": "", "CLIENT_TOKEN": token})
        as tom,
    ):
        ann.meets("bob", "tom")
        bob.meets("tom")
        ann.say(f"public {mark}", f"/msg bob private {mark}", f"/me {mark}", f"/nick {nick}2")
        bob.next("message", text=f"public {mark}")
        bob.next("message", text=f"private {mark}", private=True)
        bob.next("renamed")
        tom.say(f"as well {mark}", "/join side")
        ann.next("message", text=f"as well {mark}")
        tom.next("room", room="side")
        bob.say("/room side")
        tom.next("joined", room="side")
        tom.say(f"aside {mark}")
        bob.next("message", text=f"aside {mark}")
        ann.say("/invite --token")
        ann.next("invite")
    return token
