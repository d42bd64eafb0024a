"""README and documents say what the code does: tables, links, commands."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from client import events, json_object
from client.commands import COMMANDS
from settings.exit_status import ExitStatus
from settings.table import TABLE
from tests.processes import Server, free_port, run_client

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
USING = (ROOT / "docs/USING.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
PYTHON_FILE = r"`((?:protocol|transport|server|client|tests|tools)/[\w/]+\.py)`"


def section(title: str) -> str:
    """What stands under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", USING, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def table(text: str) -> list[list[str]]:
    """The rows of the tables in ``text``, without their heads."""
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_every_setting_is_documented_with_its_default() -> None:
    written = table(section("Server settings")) + table(section("Client settings"))
    rows = [row for side in ("server", "client", "both") for row in TABLE if row.side == side]
    assert written == [[f"`{row.name}`", row.default or "-", row.help] for row in rows]


def test_every_exit_status_is_documented_with_its_meaning() -> None:
    written = re.findall(r"^\| (\d+) \| (.*) \|$", section("Exit status"), re.MULTILINE)
    assert written == [(str(int(status)), status.meaning) for status in ExitStatus]


def test_every_command_is_documented_with_its_help() -> None:
    written = {row[0]: row[1] for row in table(section("Client"))}
    for command in COMMANDS:
        names = [command.written(), *(f"/{alias}" for alias in command.aliases)]
        cell = next(cell for cell in written if cell.startswith(f"`{names[0]}`"))
        assert all(f"`{name}`" in cell for name in names), cell
        assert written[cell] == command.help
    assert len(written) == len(COMMANDS)


def test_every_json_event_is_documented_with_its_keys() -> None:
    written: dict[str, str] = {}
    for cell, keys in table(section("Programs")):
        for name in re.findall(r"`(\w+)`", cell):
            written[name] = keys
    kinds = [kind for kind in events.Event.__subclasses__() if kind not in events.SCREEN_ONLY]
    assert set(written) == {kind.name for kind in kinds}
    for kind in kinds:
        for field in fields(kind):  # type: ignore[arg-type]  # every event is a dataclass
            if field.name in kind._hidden:
                continue
            key = json_object._RENAMED.get(field.name, field.name)
            assert f"`{key}`" in written[kind.name], (kind.name, key)


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)]+))?\)", text):
            if "://" in target:
                continue
            there = document.parent / target if target else document
            assert there.exists(), (document.name, target)
            known = anchors(there.read_text(encoding="utf-8"))
            assert not heading or heading in known, (document.name, heading)


def anchors(text: str) -> set[str]:
    """What links to the headings of a document end with, as GitHub and others have it."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def test_the_first_page_is_a_page() -> None:
    assert 100 <= len(README.splitlines()) <= 160


def test_modules_that_documents_name_exist() -> None:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for name in re.findall(PYTHON_FILE, text):
            assert (ROOT / name).exists(), (document.name, name)


def test_what_is_said_of_programs_is_what_happens() -> None:
    """`q` is a message, what is for screens is refused, and what went wrong is an event."""
    port = free_port()
    client = run_client(("127.0.0.1", port), nick="al")
    assert client.process.returncode == 3
    error, end = client.events
    assert (error["event"], error["code"]) == ("error", "refused")
    assert client.errors == f"cmd_chat: {error['text']}\n" or error["text"] in client.errors
    assert (end["event"], end["reason"]) == ("disconnected", "refused")
    with Server() as server:
        client = run_client(server, nick="al", text="q\n/clear\n/resend\n/notify\n/quit\nmore\n")
    assert client.process.returncode == 0
    assert client.texts() == ["q"]
    errors = [event["code"] for event in client.events if event["event"] == "error"]
    assert errors == ["not_here"] * 3
