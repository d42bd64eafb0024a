"""Where a user's files lie: the XDG base directories, and Windows' folders for the same."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from protocol.dataclass import dataclass


@dataclass(frozen=True)
class BaseFolder:
    """A folder for one kind of files: the variables that name it, and where it is without."""

    xdg: str
    windows: str
    below_home: tuple[str, ...]

    @property
    def variable(self) -> str:
        """The one that counts on this system."""
        return self.windows if sys.platform == "win32" else self.xdg

    def path(self, environ: Mapping[str, str], *names: str) -> str | None:
        """This program's part of it, or what has these names in there; None without a home."""
        base = environ.get(self.variable, "")
        if sys.platform != "win32" and not os.path.isabs(base):
            # A relative one does not count, says the specification.
            home = environ.get("HOME") or os.path.expanduser("~")
            base = os.path.join(home, *self.below_home)
        return os.path.join(base, "cmd-chat", *names) if os.path.isabs(base) else None


STATE = BaseFolder("XDG_STATE_HOME", "LOCALAPPDATA", (".local", "state"))
CONFIG = BaseFolder("XDG_CONFIG_HOME", "APPDATA", (".config",))
