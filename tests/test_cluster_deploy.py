"""What deploy/ and docs/CLUSTER.md say an engine needs is what nodes get along with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from server.cluster import scripts
from tests.command import run_command
from tests.engines import engines, kind
from tests.machine import needs
from tests.processes import ROOT, Client, Server
from tests.transport_kit import Certificate, make_certificate
from tools.engine_process import EngineProcess, free_port
from tools.fronts import cluster as fronts

ACL = (ROOT / "deploy/engine.acl").read_text("utf-8")
CLUSTER = (ROOT / "docs/CLUSTER.md").read_text("utf-8")
SECRET = "of-the-engine"


def test_the_page_has_the_users_that_are_deployed() -> None:
    assert f"```\n{ACL}```" in CLUSTER


def test_the_users_may_do_what_is_done_and_no_more() -> None:
    """What the scripts call, and what nodes send beside them."""
    sent = {"ping", "select", "evalsha", "script|load", "info", "config|get", "xread", "xrange"}
    called = {name.lower() for name in scripts.commands()}
    assert set(re.findall(r" \+(\S+)", ACL)) == called | sent


def test_the_page_has_a_front_for_two_nodes() -> None:
    assert all(node in fronts.lines() for node in fronts._NODES)


def test_the_page_has_the_lines_for_tls_that_are_deployed() -> None:
    (lines,) = re.findall(r"```\n(tls-port.*?)```", CLUSTER, re.DOTALL)
    conf = (ROOT / "deploy/engine.conf").read_text("utf-8")
    for line in lines.splitlines():
        assert f"# {line}\n" in conf or line == "port 0"


@pytest.mark.parametrize("name", engines("test_a_node_needs_no_more_than_that"))
def test_a_node_needs_no_more_than_that(name: str, tmp_path: Path) -> None:
    """The configuration as it is deployed, and its user: everything that a chat can do."""
    acl = tmp_path / "engine.acl"
    acl.write_text(ACL.replace("CHANGE-THIS", SECRET))
    conf = tmp_path / "engine.conf"
    text = (ROOT / "deploy/engine.conf").read_text("utf-8")
    conf.write_text(text.replace("maxmemory 1gb", "maxmemory 64mb"))
    options = ["--aclfile", str(acl)]
    with EngineProcess(kind(name), options, file=str(conf)) as engine:
        backend = {
            "BACKEND_URL": f"redis://chat@127.0.0.1:{engine.port}/0",
            "BACKEND_PASSWORD": SECRET,
        }
        with Server(backend) as here, Server(backend) as there:
            _everything(here, there)
            for node in (here, there):
                node.signal(15)
                assert node.end() == 0 and node.errors == ""


def _node(backend: Mapping[str, str]) -> Server:
    """With the times of a real one, but for what the start takes."""
    return Server(backend, constants={"server.cluster.limits": {"POLICY_SCRYPT": 10}})


def _everything(here: Server, there: Server) -> None:
    """All that has a script, by two people on two nodes and a third who comes and goes."""
    with Client(here, "ann") as ann, Client(there, "bob") as bob:
        ann.meets("bob")
        ann.say("to all", "/msg bob for one", "/nick anna", "/join side", "/who", "/rooms")
        bob.next("message", text="to all")
        bob.next("message", text="for one", private=True)
        bob.next("renamed")
        ann.next("room", room="side")
        bob.say("/room side")
        ann.next("joined", room="side")
        bob.say("in the side room")
        ann.next("message", text="in the side room")
        ann.say("/leave side", "/join nook")
        ann.next("room", room="nook")
        ann.say("/invite --token")
        ann.next("invite")
        there.write(b"who\nrooms\ntokens\nsay from the server\nkick bob 1\n")
        ann.next("notice")
        assert bob.next("disconnected")["reason"] == "kicked"


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What signs the engine's certificate."""
    return make_certificate(tmp_path_factory.mktemp("authority"), "authority", authority=True)


@pytest.fixture
def secure_engine(authority: Certificate, tmp_path: Path) -> Iterator[int]:
    """Debian's Redis with TLS at a second port, for ``localhost`` alone."""
    cert = make_certificate(tmp_path, "engine", hosts=("localhost",), issuer=authority)
    port = free_port()
    options = [
        "--tls-port", str(port), "--tls-cert-file", cert.cert_path, "--tls-key-file",
        cert.key_path, "--tls-ca-cert-file", authority.cert_path, "--tls-auth-clients", "no",
    ]  # fmt: skip
    with EngineProcess(kind("redis"), options):
        yield port


@needs("redis-server", beside="test_a_node_needs_no_more_than_that")
def test_nodes_meet_on_an_engine_with_tls(secure_engine: int, authority: Certificate) -> None:
    backend = {
        "BACKEND_URL": f"rediss://localhost:{secure_engine}/0",
        "BACKEND_SSL_CA": authority.cert_path,
    }
    with (
        _node(backend) as here, _node(backend) as there,
        Client(here, "ann") as ann, Client(there, "bob") as bob,
    ):  # fmt: skip
        ann.meets("bob")
        ann.say("hello")
        bob.next("message", text="hello")


@needs("redis-server", beside="test_a_node_needs_no_more_than_that")
@pytest.mark.parametrize(
    ("host", "ca"), [("localhost", False), ("127.0.0.1", True)], ids=["of whom", "for whom"]
)
def test_a_certificate_that_nobody_vouches_for_is_not_taken(
    secure_engine: int, authority: Certificate, host: str, ca: bool
) -> None:
    env = {"BACKEND_URL": f"rediss://{host}:{secure_engine}/0"}
    if ca:
        env["BACKEND_SSL_CA"] = authority.cert_path
    done = run_command("serve", "127.0.0.1", "0", env=env)
    assert done.status == 2 and done.errors.count("\n") == 1, done.errors
