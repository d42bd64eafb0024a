"""The house's measures find what they are to find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import measures, source

_LONG = "def long():\n" + "    pass\n" * 61
_HARD = "".join(f"x{n} = a{n} and b{n} or (c{n} + {n} if d{n} else e{n})\n" for n in range(500))
_TABLE = "TABLE = (\n" + "    1,\n" * 600 + ")\n"


@pytest.fixture(name="program")
def program_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A program of a few lines in place of this one."""
    (tmp_path / "server").mkdir()
    (tmp_path / "cmd_chat.py").write_text("class Room:\n    def speak(self):\n        pass\n")
    monkeypatch.setattr(source, "ROOT", tmp_path)
    source.program.cache_clear()
    yield tmp_path
    source.program.cache_clear()


def found(program: Path, text: str) -> list[str]:
    """What does not hold when ``server/room.py`` has this text."""
    (program / "server" / "room.py").write_text(text)
    source.program.cache_clear()
    return measures.broken()


def test_what_holds_is_not_reported(program: Path) -> None:
    assert found(program, "class Chair:\n    pass\n") == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (_LONG, "room.py:1 long has 62 lines"),
        ("x = f(1)\n" * 521, "server/room.py has 521 lines"),
        ("class Chair:\n    class Room:\n        pass\n", "Room means two things: cmd_chat.py:1, "),
        (_HARD, "server/room.py is hard to maintain"),
    ],
)
def test_what_does_not_hold_is_found(program: Path, text: str, part: str) -> None:
    (told,) = found(program, text)
    assert part in told


def test_a_table_may_be_long_and_a_docstring_is_no_line_of_a_function(program: Path) -> None:
    said = '    """\n' + "    Said.\n" * 60 + '    """\n'
    assert found(program, _TABLE + "def short():\n" + said + "    pass\n") == []


def test_an_exception_that_is_none_any_more_is_found(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "TWO_MEANINGS", {"Chair": "as at home"})
    (told,) = found(program, "class Chair:\n    pass\n")
    assert told.startswith("Chair means one thing only")
    assert found(program, "class Chair:\n    class Chair:\n        pass\n") == []


def test_all_of_it_holds() -> None:
    assert measures.broken() == []
