"""A long chat through squid: a line every ten seconds in the first and last quarter, silence in
between but for a restart of the proxy in the middle."""

from __future__ import annotations

import time
from pathlib import Path

from tests.processes import Client, Server
from tools.networks.proxies import KINDS, NAME, running

_PAUSE = 10.0  # seconds between two lines
_AWAY = 3.0  # seconds that the proxy is away


def run(folder: Path, minutes: float) -> int:
    """Print what came of it; 0 if every line arrived once and in order."""
    began = time.monotonic()
    end = began + 60.0 * minutes
    sent: list[str] = []
    with (
        running(KINDS[0], folder / "squid") as proxy,
        Server() as server,
        Client((NAME, server.port), "ann", "--proxy", proxy.url("http")) as ann,
        Client(server, "ben") as ben,
    ):
        ann.meets("ben")

        def talk(until: float) -> None:
            while time.monotonic() < until:
                sent.append(f"line {len(sent) + 1}")
                ann.say(sent[-1])
                ben.next("message", text=sent[-1])
                time.sleep(_PAUSE)

        quarter = 15.0 * minutes
        talk(began + quarter)
        time.sleep(quarter)
        proxy.stop()
        cut = time.monotonic()
        ann.next("reconnecting")
        sent.append("typed while the proxy was away")
        ann.say(sent[-1])
        time.sleep(_AWAY)
        proxy.start()
        back = time.monotonic()
        resumed = ann.next("reconnected")["resumed"]
        ben.next("message", text=sent[-1])
        print(
            f"The proxy was away for {back - cut:.1f} s; {time.monotonic() - back:.1f} s after its "
            f"return the line typed meanwhile was there (resumed: {resumed})."
        )
        time.sleep(max(0.0, end - quarter - time.monotonic()))
        talk(end)
        complete = ben.texts() == sent
        lost = len(ann.all("reconnecting"))
        print(
            f"{minutes:g} minutes through squid: {len(sent)} lines, each once and in order: "
            f"{complete}; connections lost beside the restart's: "
            f"{len(ann.all('reconnected')) - 1}, attempts: {lost}."
        )
        return 0 if complete and ann.finish() == 0 else 1
