"""The program's command line in this very process: a tenth of the cost of one of its own.

For commands that end by themselves and seize nothing: ``token``, and a ``serve`` that cannot.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from unittest import mock

import settings
from cli import run
from tests.processes import PASSWORD, environment


@dataclass(frozen=True)
class Done:
    """How it ended, and what it wrote."""

    status: int
    out: str
    errors: str


def run_command(*words: str, env: Mapping[str, str] | None = None) -> Done:
    """Run ``cmd_chat.py`` with these words, with the password in its environment."""
    found = environment({"ADMIN_PASSWORD": PASSWORD, **(env or {})})
    out, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(settings, "environment", lambda: found),
        mock.patch.object(settings, "read_dotenv", lambda _path: settings.Dotenv()),
        mock.patch.object(run, "_harden"),  # that is for a process of its own
        mock.patch("sys.stdin", open(os.devnull)) as nothing,
        contextlib.closing(nothing),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        status = run.main(list(words))
    return Done(status, out.getvalue(), errors.getvalue())
