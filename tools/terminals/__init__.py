"""Real terminals under a virtual X server, to see what they do (``make terminals``). Linux.

``Terminal`` is all that a measurement needs; the packages are Debian's (``packages``).
"""

from tools.terminals.display import Box, Pixels
from tools.terminals.kinds import KINDS, version
from tools.terminals.terminal import Failed, Terminal

__all__ = ["KINDS", "Box", "Failed", "Pixels", "Terminal", "version"]
