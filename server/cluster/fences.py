"""Why a script has done nothing: whoever asks is not who it was, or not in turn."""

from __future__ import annotations


class Forgotten(Exception):
    """The engine has another epoch, or none: everything that was known of it is over."""


class NodeFenced(Exception):
    """This node was given up by another one, under this name."""


class SessionFenced(Exception):
    """The session is another node's, or over."""


class Skipped(Exception):
    """Not done, since what was asked for before it was not."""


# By the first word of a reply.
FENCES: dict[bytes, type[Exception]] = {
    b"FORGOTTEN": Forgotten,
    b"FENCED_NODE": NodeFenced,
    b"FENCED": SessionFenced,
    b"SKIPPED": Skipped,
}
