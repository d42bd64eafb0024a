"""docs/TLS.md has the lines that `make fronts` starts real programs with."""

from __future__ import annotations

import re

import pytest

from tools.fronts import trials


@pytest.mark.parametrize("name", [name for name in trials.NAMES if name != "tor"])
def test_the_page_has_lines_for_it(name: str) -> None:
    front, lines = trials._lines(name)
    assert "127.0.0.1:1000" in lines and "443" in front.wrap(lines)
    if front.patience:
        assert re.search(r"\b7s?\b", trials._patient(front, lines, 7.0))


def test_the_page_has_lines_for_tor() -> None:
    (lines,) = trials._blocks("torrc")
    assert "HiddenServiceExportCircuitID haproxy" in lines
