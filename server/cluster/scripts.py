"""The Lua scripts that the engine runs, each with the parts of the prelude that it names.

A script's file begins with its flags (``#!lua …``), then ``-- with: base …`` and what it is called
with and answers.  Limits that both sides have stand in front, as Lua sees them.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from protocol import limits as protocol_limits
from server import limits
from server.cluster.script import Script

NAMES = (
    "successor register renew mark retire look let_in come_in take_over lost end end_token sweep "
    "make_room renew_sessions answer minted enter leave rename hold post private confirm rejoin "
    "load listing renew_rooms find who table read_table spend say poke"
).split()
_HEAD = re.compile(r"(#!lua[^\n]*)\n-- with:([a-z_ ]*)\n")


@cache
def script(name: str) -> Script:
    """A script by its name, which is one of NAMES."""
    head = _HEAD.match(text := _read(name))
    assert head is not None, name
    parts = [head[1], *_limits(), *map(_read, head[2].split()), text[head.end() :]]
    return Script(name, "\n".join(parts))


def scripts() -> list[Script]:
    """All of them, to be loaded into an engine."""
    return [script(name) for name in NAMES]


def commands() -> set[str]:
    """What they ask of the engine: a user there needs these, and EVALSHA and SCRIPT LOAD."""
    return {found for each in scripts() for found in re.findall(r"call\('([A-Z]+)'", each.text)}


def _read(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def _limits() -> list[str]:
    numbers: dict[str, object] = {
        "LOG_ENTRIES": protocol_limits.LOG_ENTRIES,
        "LOG_BYTES": protocol_limits.LOG_BYTES,
        "CHANGES_KEPT": protocol_limits.CHANGES_BEHIND + 1,
        "ROOM_MEMBERS": protocol_limits.ROOM_MEMBERS,
        "ROOMS_OF_ONE": protocol_limits.ROOMS_OF_ONE,
        "PRIVATE_BYTES": protocol_limits.PRIVATE_BYTES,
        "PRIVATE_BYTES_OF_ONE": protocol_limits.PRIVATE_BYTES_OF_ONE,
        "CHAIN_BYTES": protocol_limits.CHAIN_BYTES,
        "ANSWERS": limits.ANSWERS,
        "TAKEN_OVER": limits.TAKEN_OVER,
        "QUEUE_SECONDS": repr(str(limits.QUEUE_SECONDS)),  # as JSON has it
    }
    return [f"local {name} = {value}" for name, value in numbers.items()]
