"""The ledger: what is spent of budgets, told to all nodes, which charge their own with it.

So whoever is refused at one node is soon refused at all.  What is spent between two tellings can
be had once at each node, and is owed then: budgets go into debt.  A node that comes later reads
what was told a short while ago.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from protocol import keys
from protocol.codec import encode, parse
from protocol.errors import Malformed, Unavailable
from server.budget import Budget
from server.cluster import calls, limits
from server.cluster.engine_clock import EngineClock
from server.cluster.keys import Incarnation
from server.cluster.writer import Outcome, Writer
from server.services import Services

# By the name of a budget and a key in it, how much was spent; less than nothing was given back.
Spent = dict[tuple[str, Hashable], int]


class Told(NamedTuple):
    """One telling: by whom, their how manieth, and what."""

    by: str
    number: int
    spent: Spent


class Ledger:
    """One thread, ``ledger``, which tells; whoever reads the engine's stream calls ``apply``.

    It listens to ``budgets``, by names that all nodes know them by; ``node`` says who this is now.
    Thread-safe.
    """

    def __init__(
        self,
        budgets: Mapping[str, Budget],
        writer: Writer,
        node: Callable[[], Incarnation],
        clock: EngineClock,
    ) -> None:
        self._budgets = dict(budgets)
        self._writer, self._node, self._clock = writer, node, clock
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._closing = threading.Event()
        self._wanted = threading.Event()  # there is something to tell
        self._lock = threading.Lock()  # leaf; guards what is to be told
        self._untold: Spent = {}
        self._own = secrets.token_hex(6)  # as whom it tells, whatever the node is called
        self._number = 0
        # Of whom it was heard, the last number: the engine may have been told again what it had
        # heard, and only the answer was lost.
        self._heard: OrderedDict[str, int] = OrderedDict()

    def start(self) -> None:
        """Listen to the budgets, and start the thread."""
        for name, budget in self._budgets.items():
            budget.on_spent = partial(self._on_spent, name)
        self._thread.start()

    def stop(self) -> None:
        """Tell what is left, and end the thread."""
        self._closing.set()
        self._wanted.set()
        self._thread.join()

    def since(self) -> int:
        """From when on a new node wants to know: the engine's clock, in ms."""
        return max(0, round((self._clock() - limits.LEDGER_WINDOW) * 1000))

    def apply(self, entries: Sequence[Sequence[Any]]) -> None:
        """Charge what others have told: entries of the engine's stream, each an id and its fields
        and values in turn.  For the thread that reads them."""
        for entry_id, fields in entries:
            try:
                told = _read(fields[fields.index(b"d") + 1])
                at = int(entry_id.partition(b"-")[0]) / 1000
            except (Malformed, ValueError, IndexError):
                continue  # no ledger of ours has written it
            if told.by != self._own and self._is_news(told):
                self._charge(told.spent, max(0.0, self._clock() - at))

    def _is_news(self, told: Told) -> bool:
        last = self._heard.pop(told.by, 0)
        self._heard[told.by] = max(last, told.number)
        while len(self._heard) > limits.LEDGER_NODES:
            self._heard.popitem(last=False)
        return told.number > last

    def _charge(self, spent: Spent, ago: float) -> None:
        for (name, key), count in spent.items():
            budget = self._budgets.get(name)
            if budget is not None:  # or it is a later version's
                with contextlib.suppress(Malformed, ValueError):
                    budget.charge(key, count, ago)

    # Telling

    def _on_spent(self, name: str, key: Hashable, count: int) -> None:
        with self._lock:
            self._add_locked((name, key), count)
            wanted = bool(self._untold)
        if wanted and not self._wanted.is_set():
            self._wanted.set()

    def _add_locked(self, key: tuple[str, Hashable], count: int) -> None:
        count += self._untold.pop(key, 0)
        if count and len(self._untold) < limits.LEDGER_KEYS:  # of more, this node alone knows
            self._untold[key] = count

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wanted.wait()
            self._closing.wait(limits.LEDGER_SECONDS)
            self._tell()

    def _tell(self) -> None:
        self._wanted.clear()
        with self._lock:
            spent, self._untold = self._untold, {}
        if not spent:
            return  # all of it was given back
        self._number += 1

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Unavailable):  # later, then
                with self._lock:
                    for key, count in spent.items():
                        self._add_locked(key, count)

        data = _written(Told(self._own, self._number, spent))
        keep = round(limits.LEDGER_WINDOW * 1000)
        self._writer.submit(calls.spend(self._node(), data, keep), done)


def budgets(services: Services) -> dict[str, Budget]:
    """All that a server's own limits are counted in, by the names that all nodes know them by."""
    return {
        "posts": services.posts,
        "commands": services.commands,
        "joins": services.joins,
        "refusals": services.refusals,
        "takeovers": services.takeovers,
        "handshakes": services.throttle.handshakes.buckets,
        "guesses": services.throttle.guesses.buckets,
        "own forms": services.form_throttle.own,
        "forms": services.form_throttle.others,
    }


# How it is written: keys are texts, bytes, or several of these.


def _written(told: Told) -> bytes:
    rows: dict[str, list[list[str | int]]] = {}
    for (name, key), count in told.spent.items():
        parts = key if isinstance(key, tuple) else (key,)
        rows.setdefault(name, []).append([*map(_part_written, parts), count])
    return encode({"by": told.by, "number": told.number, "spent": rows})


def _part_written(part: object) -> str:
    if isinstance(part, bytes):
        return "=" + keys.to_text(part)
    assert isinstance(part, str), part
    return "." + part


def _read(data: bytes) -> Told:
    """Raises Malformed or ValueError."""
    match parse(data):
        case {"by": str(by), "number": int(number), "spent": dict(spent)}:
            return Told(by, number, dict(_rows(spent)))
    raise Malformed()


def _rows(spent: Mapping[str, Any]) -> Iterator[tuple[tuple[str, Hashable], int]]:
    for name, rows in spent.items():
        for row in rows if isinstance(rows, list) else ():
            match row:
                case [*parts, int(count)] if type(count) is int:
                    key = tuple(map(_part_read, parts))
                    yield (name, key[0] if len(key) == 1 else key), count
                case _:
                    raise Malformed()


def _part_read(text: object) -> bytes | str:
    if not isinstance(text, str) or text[:1] not in ("=", "."):
        raise Malformed()
    return keys.from_text(text[1:]) if text[0] == "=" else text[1:]
