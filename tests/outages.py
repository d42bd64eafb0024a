"""Real clients on a machine whose network goes away, and how soon their lines arrive afterwards.

    python -m tests.outages [KIND-SECONDS…]

plays what is named (``KINDS``), or all of ``OUTAGES``, and prints a line of JSON for each: the
seconds from the network's return (or the moment in which the client may run again) until the line
that was typed meanwhile is read by somebody else.  It makes network namespaces (see ``ethernet``):

    unshare --net python -m tests.outages
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.ethernet import FAR, NEAR, Machines
from tests.processes import PASSWORD, Client, Program, stop_process

PORT = 1000
ELSEWHERE = "10.77.0.9"


@dataclass
class Scene:
    """Machines with a server, ``ann`` on the one and ``ben`` on the other."""

    machines: Machines
    ann: Client
    ben: Client

    def wait(self, seconds: float) -> None:
        """So long the network stays away: here time is what is played."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(left)


def _link_down(scene: Scene, seconds: float) -> None:
    """A cable is pulled, and put back."""
    scene.machines.link("down")
    scene.ann.say("meanwhile")
    scene.wait(seconds)
    scene.machines.link("up")


def _moved(scene: Scene, seconds: float) -> None:
    """The machine is carried into another network."""
    scene.machines.cable.up = scene.machines.cable.down = False
    scene.ann.say("meanwhile")
    scene.wait(seconds)
    scene.machines.move(NEAR, ELSEWHERE)
    scene.machines.cable.up = scene.machines.cable.down = True


def _dropped(up: bool, down: bool) -> Callable[[Scene, float], None]:
    """Somewhere on the way frames vanish, and neither side's system knows."""

    def play(scene: Scene, seconds: float) -> None:
        cable = scene.machines.cable
        cable.up, cable.down = not up, not down
        scene.ann.say("meanwhile")
        scene.wait(seconds)
        cable.up = cable.down = True

    return play


def _asleep(scene: Scene, seconds: float) -> None:
    """The machine is suspended, and wakes in another network."""
    stop_process(scene.ann)
    scene.machines.move(NEAR, ELSEWHERE)
    scene.ann.say("meanwhile")
    scene.wait(seconds)
    scene.ann.signal(signal.SIGCONT)


KINDS = {
    "link": _link_down,
    "moved": _moved,
    "dropped": _dropped(True, True),
    "up": _dropped(True, False),
    "down": _dropped(False, True),
    "asleep": _asleep,
}
OUTAGES = (
    "link-3", "link-8", "link-30", "moved-1", "moved-8", "moved-30", "dropped-2", "dropped-4",
    "dropped-6", "dropped-8", "dropped-10", "dropped-12", "dropped-15", "dropped-30", "dropped-45",
    "up-20", "down-20", "asleep-2", "asleep-20", "asleep-45",
)  # fmt: skip


def play(name: str) -> dict[str, object]:
    """One outage, on machines of its own; what came of it."""
    kind, _dash, seconds = name.partition("-")
    with ExitStack() as stack:
        machines = stack.enter_context(Machines())
        server = Program(
            ["serve", FAR, str(PORT)], {"ADMIN_PASSWORD": PASSWORD}, before=machines.far
        )
        stack.enter_context(server)
        server.wait_for(lambda: server.out.count(b"=" * 60) == 3)
        ben = stack.enter_context(Client((FAR, PORT), "ben", before=machines.far))
        ann = stack.enter_context(Client((FAR, PORT), "ann", before=machines.near))
        ben.next("joined", nick="ann")
        ann.say("before")
        ben.next("message", text="before")
        ann.next("message", text="before")
        KINDS[kind](Scene(machines, ann, ben), float(seconds))
        back = time.monotonic()
        ben.next("message", text="meanwhile")
        arrived = time.monotonic()
        ann.next("message", text="meanwhile")
        resumed = [event["resumed"] for event in ann.all("reconnected")]
        left = len(ben.all("left"))
        return {
            "outage": name,
            "arrived": round(arrived - back, 2),
            "no_answer": [event["seconds"] for event in ann.all("no_answer")],
            "resumed": resumed,
            "twice": ben.texts().count("meanwhile") > 1,
            "left": left,
        }


def main(names: Sequence[str]) -> None:
    """Play, and print."""
    for name in names or OUTAGES:
        print(json.dumps(play(name)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
