"""The single file that is tried: for all platforms of the trials, built once a run."""

from __future__ import annotations

import functools
from pathlib import Path

from tools import build_pyz, pyz_lock
from tools.platforms.fetch import CACHE

_PLATFORMS = ("windows-x86_64", "linux-x86_64-glibc", "linux-aarch64-glibc",
              "linux-x86_64-musl", "linux-aarch64-musl")  # fmt: skip


@functools.cache
def single_file() -> Path:
    """Its path."""
    path = CACHE / "cmd_chat.pyz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build_pyz.build(_PLATFORMS, build_pyz.pythons(), pyz_lock.WHEELS))
    return path
