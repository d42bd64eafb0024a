"""The single file that is tried: for all platforms of the trials, built once a run."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

from tools import build_pyz, pyz_lock
from tools.platforms.fetch import CACHE

_PLATFORMS = ("windows-x86_64", "linux-x86_64-glibc", "linux-aarch64-glibc",
              "linux-x86_64-musl", "linux-aarch64-musl")  # fmt: skip


@functools.cache
def single_file() -> Path:
    """Its path, which depends on what is in it: another run may be using an older one."""
    data = build_pyz.build(_PLATFORMS, build_pyz.pythons(), pyz_lock.WHEELS)
    path = CACHE / f"single-{hashlib.sha256(data).hexdigest()[:16]}" / "cmd_chat.pyz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f".{os.getpid()}")
        half.write_bytes(data)
        half.replace(path)
    return path
