"""Engines as processes: they start empty, and what they do is seen as it was."""

from __future__ import annotations

import pytest

from tests.engines import engines, kind
from tools.engine_process import EngineProcess, EngineRefused, Monitor, Seen, seen


@pytest.mark.parametrize("name", engines("test_what_scripts_do_is_seen_and_a_restart_is_empty"))
def test_what_scripts_do_is_seen_and_a_restart_is_empty(name: str) -> None:
    found: list[Seen | None] = []
    odd = b'\x00 "quoted" \\ \n\r\t \xff\xfe end\a\b'
    script = "#!lua\nreturn redis.call('XADD', ARGV[1], '1-0', 'text', ARGV[2])"
    with EngineProcess(kind(name), password="let me in") as engine:
        monitor = Monitor(engine, lambda line: found.append(seen(line)))
        try:
            assert engine.ask("EVAL", script, 0, "log", odd) == b"1-0"
            assert engine.ask("XRANGE", "log", "-", "+") == [[b"1-0", [b"text", odd]]]
            monitor.level()
        finally:
            monitor.close()
        assert Seen("lua", [b"XADD", b"log", b"1-0", b"text", odd]) in found
        with pytest.raises(EngineRefused, match="ERR"):
            engine.ask("XADD", "log", "1-0", "text", "again")
        engine.kill()
        engine.start()
        assert engine.ask("EXISTS", "log") == 0
