"""One run of a program on Windows: in a job, which ends with it and has all that it starts.

It is put into the job before its first instruction; if this client is killed, the system ends the
job. Pipes cannot be waited for beside a process there, so two threads write and read.

Threads: ``program-input`` and ``program-output``, which end with the job.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ctypes import byref, c_int64, c_size_t, c_uint32, c_uint64, c_void_p, sizeof
from typing import Any

assert sys.platform == "win32"  # for mypy, and whoever imports it elsewhere

READ_BYTES = 64 * 1024
_SUSPENDED = 0x4  # CREATE_SUSPENDED
_KILL_ON_CLOSE = 0x2000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
_EXTENDED_LIMITS = 9  # JobObjectExtendedLimitInformation
_JOIN_SECONDS = 1.0  # for what was printed, once everything that could print has ended


class _Limits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = [
        ("process_time", c_int64), ("job_time", c_int64), ("flags", c_uint32),
        ("least_set", c_size_t), ("most_set", c_size_t), ("processes", c_uint32),
        ("affinity", c_size_t), ("priority", c_uint32), ("scheduling", c_uint32),
        ("counters", c_uint64 * 6), ("memory", c_size_t * 4),
    ]  # fmt: skip


def _kernel32() -> Any:
    library = ctypes.WinDLL("kernel32", use_last_error=True)
    library.CreateJobObjectW.restype = c_void_p
    library.CreateJobObjectW.argtypes = [c_void_p, c_void_p]
    library.SetInformationJobObject.argtypes = [c_void_p, c_uint32, c_void_p, c_uint32]
    library.AssignProcessToJobObject.argtypes = [c_void_p, c_void_p]
    library.TerminateJobObject.argtypes = [c_void_p, c_uint32]
    library.CloseHandle.argtypes = [c_void_p]
    return library


def _check(done: Any) -> Any:
    if not done:
        raise ctypes.WinError(ctypes.get_last_error())
    return done


class WindowsRun:
    """A program that runs.  ``kill`` may be called by any thread, before ``finish`` is; all else
    by the one that made it.

    Raises OSError where it cannot be started.
    """

    def __init__(self, words: Sequence[str], environ: Mapping[str, str]) -> None:
        self._kernel = _kernel32()
        self._job = _check(self._kernel.CreateJobObjectW(None, None))
        self._read = bytearray()
        self._too_long = False
        ours, theirs = [], []
        try:
            limits = _Limits(flags=_KILL_ON_CLOSE)
            _check(self._kernel.SetInformationJobObject(
                self._job, _EXTENDED_LIMITS, byref(limits), sizeof(limits)
            ))  # fmt: skip
            its_input, self._input = os.pipe()
            ours, theirs = [self._input], [its_input]
            self._output, its_output = os.pipe()
            ours, theirs = [self._input, self._output], [its_input, its_output]
            self._process = self._started(words, environ, its_input, its_output)
        except BaseException:
            for fd in ours:
                os.close(fd)
            self._kernel.CloseHandle(self._job)
            raise
        finally:
            for fd in theirs:
                os.close(fd)

    def _started(
        self, words: Sequence[str], environ: Mapping[str, str], its_input: int, its_output: int
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603  # what is run is the user's own word
            words, stdin=its_input, stdout=its_output, stderr=subprocess.DEVNULL, env=environ,
            close_fds=True, creationflags=subprocess.CREATE_NO_WINDOW | _SUSPENDED,
        )  # fmt: skip
        try:
            handle = c_void_p(int(process._handle))  # type: ignore[attr-defined]
            _check(self._kernel.AssignProcessToJobObject(self._job, handle))
            if ctypes.WinDLL("ntdll").NtResumeProcess(handle):
                raise OSError("it cannot be resumed")
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process

    def kill(self) -> None:
        """End it, with all that it has started."""
        self._kernel.TerminateJobObject(self._job, 1)

    def converse(self, data: bytes, most: int, seconds: float) -> tuple[bytes, str]:
        """Let it have ``data``, until it ends, or prints more than ``most`` bytes, or time is up.

        What it has printed, and ``too_long``, ``timeout`` or "".
        """
        threads = [
            threading.Thread(target=self._write, args=[data], name="program-input", daemon=True),
            threading.Thread(target=self._take, args=[most], name="program-output", daemon=True),
        ]
        for thread in threads:
            thread.start()
        fault = ""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            fault = "timeout"
        self.kill()
        for thread in threads:
            thread.join(_JOIN_SECONDS)
        return bytes(self._read), "too_long" if self._too_long else fault

    def _write(self, data: bytes) -> None:
        with suppress(OSError):  # it does not read
            while data:
                data = data[os.write(self._input, data[:READ_BYTES]) :]
        os.close(self._input)

    def _take(self, most: int) -> None:
        with suppress(OSError):
            while len(self._read) <= most and (data := os.read(self._output, READ_BYTES)):
                self._read += data
        if len(self._read) > most:
            self._too_long = True
            self.kill()
        os.close(self._output)

    def finish(self) -> int:
        """End what is left of it; its exit status."""
        self.kill()
        status = self._process.wait()
        self._kernel.CloseHandle(self._job)
        return status
