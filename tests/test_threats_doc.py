"""docs/THREATS.md names tests that exist, and every lie that a malicious server is tried with."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from client import messages

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/THREATS.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/test_\w+\.py)\)")
CASES = ("tests/test_malicious_server.py",)  # each of their tests is a lie


@functools.cache
def names_in(path: str) -> frozenset[str]:
    """The names of a file's tests."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def named(text: str) -> set[tuple[str, str]]:
    """The tests that ``text`` links to, with their files."""
    return {(path, name) for name, path in LINK.findall(text)}


def section(title: str) -> str:
    """What stands under a heading of the second level, up to the next one."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    assert found is not None, title
    return found[1]


def test_who_can_cause_a_warning_is_said_of_each() -> None:
    told = re.findall(r"^\| `(\w+)` \|", section("Warnings, and who can cause them"), re.M)
    assert sorted(told) == sorted({code.removesuffix("_loud") for code in messages._WARNINGS})


def rows(text: str) -> list[str]:
    """The rows of the tables in ``text``, without their heads."""
    tables = re.findall(r"^\|.*\n\| ---.*\n((?:\|.*\n)+)", text, re.M)
    return [row for table in tables for row in table.splitlines()]


def test_every_test_that_is_named_exists() -> None:
    missing = [(path, name) for path, name in named(TEXT) if name not in names_in(path)]
    assert not missing


def test_every_lie_is_in_the_list() -> None:
    listed = named(section("What a lying server can try"))
    assert {(path, name) for path in CASES for name in names_in(path)} <= listed


def test_every_line_of_the_lists_has_its_test() -> None:
    for title, least in (
        ("What a lying server can try", 40),
        ("Claims, and the test that would fail", 25),
    ):
        found = rows(section(title))
        assert len(found) >= least
        assert all(LINK.search(row) for row in found)


def test_no_name_of_a_test_is_left_without_its_link() -> None:
    bare = set(re.findall(r"`(test_\w+)`", TEXT)) - {name for _, name in named(TEXT)}
    assert not bare


def test_what_is_put_together_here_is_said_wherever_one_looks() -> None:
    """The three places, in all three documents; the tests that check them exist."""
    for name in ("CONTRIBUTING.md", "SECURITY.md", "docs/THREATS.md"):
        text = " ".join((ROOT / name).read_text("utf-8").split())
        for what in ("Fernet tokens", "Elligator 2", "CPace"):
            assert what in text, (name, what)
    checks = re.findall(
        r"\[`(test_\w+)`\]\((tests/test_\w+\.py)\)", (ROOT / "SECURITY.md").read_text("utf-8")
    )
    assert len(checks) >= 8
    assert all(name in names_in(path) for name, path in checks)
