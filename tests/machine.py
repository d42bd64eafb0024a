"""What a machine may lack, and what becomes of the tests that need it.

Everything that the suite shows, it shows on any machine.  What takes a tool or a right that some
lack shows the same more strongly, and names the form ``beside`` it that runs everywhere.  Such a
test is left out where its need is not met, by name and with the reason in the closing lines;
where nothing may be left out (``COMPLETE``) it fails.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Nothing is left out: .ci/run has installed what there is to install.
COMPLETE = os.environ.get("CI", "") in ("true", "1")

_PROBE_SECONDS = 20.0


def needs(*what: str, beside: str) -> pytest.MarkDecorator:
    """A test that needs ``what``: keys of ``_CHECKS``, or names of programs.

    ``beside`` is the test that shows the same on every machine, with its file before ``::`` if
    that is another one.
    """
    return pytest.mark.needs(*what, beside=beside)


@functools.cache
def lacking(what: str) -> str:
    """Why this machine has not got ``what``, in a few words; empty if it has."""
    if what in _CHECKS:
        return _CHECKS[what]()
    return "" if shutil.which(what) else f"{what} is not installed"


def leave_out(item: pytest.Item) -> None:
    """Leave a test out if something that it needs is lacking; where nothing may be, it fails."""
    for mark in item.iter_markers("needs"):
        for reason in filter(None, map(lacking, mark.args)):
            if COMPLETE:
                pytest.fail(f"{reason}, and nothing may be left out here", pytrace=False)
            pytest.skip(reason)


def summary(reports: list[pytest.TestReport]) -> list[str]:
    """What was left out and why, for the closing lines."""
    by_reason: dict[str, list[str]] = {}
    for report in reports:
        assert isinstance(report.longrepr, tuple)
        reason = report.longrepr[2].removeprefix("Skipped: ")
        by_reason.setdefault(reason, []).append(report.nodeid)
    if not by_reason:
        return []
    lines = ["left out on this machine; what shows the same on every machine is not:"]
    for reason, names in sorted(by_reason.items()):
        lines += [f"  {reason}:", *(f"    {name}" for name in sorted(names))]
    return lines


# Ways to do what may be forbidden


def mounting() -> list[str]:
    """What to put before a command so that it may mount, seen by nobody else."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount"]


def networking() -> list[str]:
    """What to put before a command so that it may make networks, seen by nobody else."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net"]


def owning() -> list[str]:
    """What to put before a command so that its memory may be read, though it is not dumpable.

    The rights over a process are those over the namespace in which it was started, and whoever
    has made a namespace has all of them there.
    """
    return [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]


def without_low_ports() -> list[str]:
    """What to put before a command so that the system refuses it the ports below 1024."""
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    everybody_may = limit.exists() and int(limit.read_text()) <= 80
    if os.geteuid() != 0 and not everybody_may:
        return []
    drop = ["setpriv", "--inh-caps=-net_bind_service", "--bounding-set=-net_bind_service"]
    # A network of the command's own begins with the usual limit.
    own_network = ["unshare", "--user", "--map-root-user", "--net"]
    return [*own_network, *drop] if everybody_may else drop


# Whether they are there: what is asked is whether it works, not who is asking


def _fails(command: list[str]) -> str:
    """What a command says last if it does not end well; empty if it does."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return (said or ["it failed"])[-1] if done.returncode else ""


def _strace() -> str:
    if shutil.which("strace") is None:
        return "strace is not installed"
    said = _fails(["strace", "-f", "-qq", "-o", os.devnull, "true"])
    return said and f"strace may not look at a process ({said})"


def _mounts() -> str:
    said = _fails([*mounting(), "sh", "-c", "mount -t tmpfs none /tmp"])
    return said and f"nothing may be mounted in a namespace of one's own ({said})"


def _networks() -> str:
    make = "unshare --net true && ip link add here type veth peer name there"
    said = _fails([*networking(), "sh", "-c", make])
    return said and f"no networks of one's own can be made ({said})"


_BIND_80 = "import socket; socket.create_server(('127.0.0.1', 80))"


def _low_ports() -> str:
    before = without_low_ports()
    said = _fails([*before, "true"]) if before else ""
    if not said and not _fails([*before, sys.executable, "-c", _BIND_80]):
        said = "they are everybody's"
    return said and f"the ports below 1024 cannot be refused here ({said})"


_UNDUMPABLE = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print(1, flush=True); input()"


def _memory() -> str:
    if sys.platform != "linux":
        return f"nobody reads the memory of a process on {sys.platform}"
    if said := owning() and _fails([*owning(), "true"]):
        return f"no other's memory may be read ({said})"
    with subprocess.Popen(
        [*owning(), sys.executable, "-c", _UNDUMPABLE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stdout.readline()
        try:
            with open(f"/proc/{process.pid}/maps") as maps:
                start = int(maps.readline().partition("-")[0], 16)
            with open(f"/proc/{process.pid}/mem", "rb") as memory:
                memory.seek(start)
                memory.read(1)
        except OSError as error:
            return f"no other's memory may be read ({error})"
        finally:
            process.kill()
    return ""


def _ipv6() -> str:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return ""
    return "there is no IPv6"


def _chown() -> str:
    return "" if os.geteuid() == 0 else "only root can give files away"


def _orphans() -> str:
    return "" if sys.platform == "linux" else "orphans are not handed on to anybody here"


def _memfd_noexec() -> str:
    before = [*mounting(), "--pid", "--fork", "--mount-proc"]
    said = _fails([*before, "sh", "-c", "echo 2 > /proc/sys/vm/memfd_noexec"])
    return said and f"vm.memfd_noexec cannot be set in a namespace of one's own ({said})"


_PRCTL = "import ctypes, sys; sys.exit(ctypes.CDLL(None).prctl(*map(int, sys.argv[1:])) != 0)"


def _mdwe() -> str:
    said = _fails([sys.executable, "-c", _PRCTL, "65", "1", "0", "0", "0"])
    return said and f"PR_SET_MDWE is not known here ({said})"


def _seccomp() -> str:
    said = _fails([sys.executable, "-c", _PRCTL.replace("!= 0", "< 0"), "21", "0", "0", "0", "0"])
    return said and f"no filter for system calls can be set ({said})"


def _dev_full() -> str:
    return "" if os.path.exists("/dev/full") else "there is no /dev/full"


_CHECKS: dict[str, Callable[[], str]] = {
    "strace": _strace,
    "/dev/full": _dev_full,
    "mounts": _mounts,
    "networks": _networks,
    "low ports": _low_ports,
    "memory": _memory,
    "ipv6": _ipv6,
    "chown": _chown,
    "orphans": _orphans,
    "memfd_noexec": _memfd_noexec,
    "mdwe": _mdwe,
    "seccomp": _seccomp,
}
