"""What further rooms cost the server: memory a member for each in which nobody talks.

    python -m bench.rooms
"""

from __future__ import annotations

import statistics

from bench import tables
from bench.members import Member, Secrets, address
from bench.servers import Process, chat_server
from bench.wire import Loop
from protocol import frames

MEMBERS, ROOM, AT_ONCE = 500, 50, 20
COUNTS, ROUNDS = (1, 2, 4), 3
TARGET = 2.0  # KB


class Everywhere(Member):
    """A member of several rooms, which listens and confirms what it has got."""

    def __init__(
        self, loop: Loop, server: Process, shared: Secrets, number: int, rooms: list[str]
    ) -> None:
        self.places: dict[int, int] = {}  # key: a room's number; how far its log has come
        self._rooms = rooms
        super().__init__(loop, server, shared, f"user{number:05}", rooms[0], address(number))

    def _stays(self) -> list[frames.Stay]:
        return [frames.Stay(room) for room in self._rooms]

    def _let_in(self, message: str | bytes) -> None:
        for value in self._link.open(message):
            if value["type"] == "entered":
                self.places[value["at"]] = value["seq"]
            elif value["type"] == "log":
                self.places[value["at"]] = value["to"]
        self.inside = len(self.places) == len(self._rooms)

    _take = _let_in

    def beat(self) -> None:
        """`seen`, of all rooms."""
        places = [frames.Position(at, seq, 0) for at, seq in self.places.items()]
        self._write(frames.Seen(tuple(places)).encode())


def _rooms(number: int, count: int) -> list[str]:
    """Where somebody is, with others in each: nobody meets the same people everywhere."""
    turns = enumerate((1, 3, 7, 9)[:count])
    return [f"room-{turn}-{number * step % (MEMBERS // ROOM)}" for turn, step in turns]


def memory(shared: Secrets, count: int) -> float:
    """KB of a server's memory for each of those who are in ``count`` rooms."""
    loop = Loop()
    with chat_server() as server:
        members: list[Everywhere] = []

        def let_in(first: int, most: int) -> None:
            for number in range(first, first + most):
                members.append(Everywhere(loop, server, shared, number, _rooms(number, count)))
                if number % AT_ONCE == 0:
                    loop.until(lambda: all(each.inside for each in members))
            loop.until(lambda: all(each.inside for each in members))
            for _ in range(3):
                loop.rest(1.0)
                for each in members:
                    each.beat()
            loop.rest(1.0)

        let_in(0, AT_ONCE)  # they pay for what is made only once
        before = server.status("VmRSS")
        let_in(AT_ONCE, MEMBERS)
        found = (server.status("VmRSS") - before) / MEMBERS
    loop.close()
    return found


def main() -> None:
    """Measure and print."""
    shared = Secrets()
    found = [[memory(shared, count) for count in COUNTS] for _ in range(ROUNDS)]
    rows = [["1", f"{statistics.median(row[0] for row in found):.1f} KB", "", ""]]
    for place, count in list(enumerate(COUNTS))[1:]:
        each = statistics.median(row[place] for row in found)
        more = statistics.median((row[place] - row[0]) / (count - 1) for row in found)
        verdict = tables.target(round(more, 1), TARGET)
        rows.append([str(count), f"{each:.1f} KB", f"{more:.1f} KB", verdict])
    head = ("rooms", "memory a member", "each further room", "target")
    tables.show(f"Idle rooms of {ROOM}, {MEMBERS} members", head, rows)


if __name__ == "__main__":
    main()
