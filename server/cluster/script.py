"""What the engine runs: a Lua script, and one call of it as it goes over the wire."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from server.cluster.resp import Arg, pack


@dataclass(frozen=True)
class Script:
    """A script by the name that people know it by; the engine knows it by ``sha``."""

    name: str
    text: str = field(repr=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # What EVALSHA wants, and no protection of anything.
        sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)


class EngineCall:
    """What the engine is to do, packed at once: what cannot be fails where it is made.

    No ``repr`` shows what is in it.
    """

    __slots__ = ("packed",)

    packed: bytes


class ScriptCall(EngineCall):
    """A script with its keys and arguments."""

    __slots__ = ("script",)

    def __init__(self, script: Script, keys: Sequence[Arg] = (), args: Sequence[Arg] = ()) -> None:
        self.script = script
        self.packed = pack("EVALSHA", script.sha, len(keys), *keys, *args)


class PlainCall(EngineCall):
    """A command that only reads, in its turn among the scripts."""

    __slots__ = ()

    def __init__(self, *command: Arg) -> None:
        self.packed = pack(*command)
