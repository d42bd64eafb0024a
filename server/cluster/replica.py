"""A replicated table: a hash in the engine, of which every node has all.

It is read whole when the node registers, and whenever something of it was missed; each change of
another node comes as a note after that, an own one with its answer.  Changes are the engine's: a
script makes one if the table, or the field, is still as whoever decided has seen it, and counts it.
So whoever is told CHANGED decides again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

from protocol.errors import OutcomeUnknown, ServerFull, Unavailable
from server.cluster import calls, limits, replies
from server.cluster.engine_clock import EngineClock
from server.cluster.keys import Incarnation
from server.cluster.replies import Forgotten, NodeFenced, TableState
from server.cluster.script import ScriptCall
from server.cluster.writer import Outcome, Writer, unavailable

Read = TypeVar("Read")

# What hears that a field has this value now; "" if it is gone.  It has a lock of its own at most,
# and does not ask the table anything.
OnChange = Callable[[str, str], None]


class Note(NamedTuple):
    """One change, as the engine tells all nodes."""

    table: str
    version: int
    field: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Note:
        """Raises ValueError for what no script of ours tells."""
        table, version, field, value = text.split("\n", 3)
        return cls(table, int(version), field, value)


class Replica:
    """One such table, as this node has it.  Thread-safe.

    ``node`` says who this is now.  Only what says so waits for the engine; it raises Unavailable,
    OutcomeUnknown or ServerFull.
    """

    def __init__(
        self,
        name: str,
        writer: Writer,
        node: Callable[[], Incarnation],
        clock: EngineClock,
        on_change: OnChange,
    ) -> None:
        self.name = name
        self._writer, self._node, self._clock, self._on_change = writer, node, clock, on_change
        # Guards all below; before the lock of whoever hears of changes.
        self._changed = threading.Condition(threading.Lock())
        self._values: dict[str, str] = {}
        self._epoch = ""  # that the counts are of; "" before the first
        self._whole = False  # it was read in this epoch
        self._version = 0  # the count of changes; all up to here are in `_values`
        self._ahead: dict[int, str] = {}  # fields of own changes after it that are in there, too
        self._newest = 0  # the count of the last note
        self._held: dict[int, Note] = {}  # notes that came before what is between
        self._under_way = 0  # own changes, of which nothing tells this node but their answers
        self._reading = False  # somebody has asked for the whole table

    @property
    def epoch(self) -> str:
        """The epoch that it was last read in, or begun to be."""
        return self._epoch

    @property
    def version(self) -> int:
        """The count of the last change that is known, with all before it."""
        return self._version

    def value(self, field: str) -> str:
        """What stands there; "" for nothing."""
        return self._values.get(field, "")

    def items(self) -> dict[str, str]:
        """All of it."""
        with self._changed:
            return dict(self._values)

    # Changing it

    def change(self, field: str, value: str, version: int = -1, expect: str | None = None) -> bool:
        """Give a field a value ("": none), if that is still right; waits for the engine.

        ``version`` must be the table's, ``expect`` what stands there ("" for nothing).  A change
        that was made, but whose answer was lost, may be False.
        """
        with self.changing() as made:
            outcome = self._ask(self._call(field, value, version, expect), replies.table)
            if outcome.word == "OK":
                made(outcome.number, field, value)
        return outcome.word == "OK"

    def submit(self, field: str, value: str, expect: str | None = None) -> None:
        """As ``change``, and nobody waits for it or is told whether it was made."""
        ended = contextlib.ExitStack()
        made = ended.enter_context(self.changing())

        def done(outcome: Outcome) -> None:
            with _unless_lost(), ended:
                reply = replies.table(_reply(outcome))
                if reply.word == "OK":
                    made(reply.number, field, value)

        self._writer.submit(self._call(field, value, -1, expect), done)

    def _call(self, field: str, value: str, version: int, expect: str | None) -> ScriptCall:
        expected = "" if expect is None else f"={expect}"
        return calls.table(self._node(), self.name, field, value, version, expected)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Callable[[int, str, str], None]]:
        """Held while a change of this node's own is under way, of which it gets no note.

        What others change after that waits for its answer.  Yields what is called with that: the
        table's count, field and value.  What ends with an exception may have been made.
        """
        node, is_known = self._node(), False
        with self._changed:
            self._under_way += 1
        try:
            yield partial(self._made, node)
            is_known = True
        finally:
            with self._changed:
                self._under_way -= 1
                behind = not is_known or self._is_behind_locked()
            if behind:
                self.missed()

    def _made(self, node: Incarnation, version: int, field: str, value: str) -> None:
        """A change of this node's own was made."""
        with self._changed:
            if self._whole and node.epoch == self._epoch and version > self._version:
                self._set_locked(field, value)
                self._ahead[version] = field
                self._advance_locked()

    # Hearing of changes

    def note(self, note: Note) -> None:
        """Another one's change."""
        with self._changed:
            self._newest = max(self._newest, note.version)
            if self._whole and note.version > self._version:
                self._held[note.version] = note
                self._advance_locked()
            behind = self._is_behind_locked()
        if behind:
            self.missed()

    def _is_behind_locked(self) -> bool:
        """Whether something was not heard of, and will not be: no answer is awaited that tells."""
        awaited = self._under_way and len(self._held) < limits.TABLE_HELD
        return self._whole and self._newest > self._version and not awaited

    def missed(self) -> None:
        """Something was not heard of: have all of it read."""
        with self._changed:
            if self._reading:
                return
            self._reading = True
        node = self._node()

        def done(outcome: Outcome) -> None:
            with self._changed:
                self._reading = False
            with _unless_lost():
                self._loaded(node, replies.read_table(_reply(outcome)))

        self._writer.submit(calls.read_table(node, self.name, True), done)

    def refresh(self) -> None:
        """Have it as it is in the engine now, or a moment later; waits for the engine."""
        node, state = self._state(everything=False)
        if node.epoch != self._epoch:  # what another one had is to be put back first: see `load`
            raise unavailable()
        with self._changed:
            if self._changed.wait_for(
                lambda: self._version >= state.version, limits.TABLE_SECONDS
            ):
                return
        self.load()

    def load(self) -> None:
        """Read all of it; waits for the engine.

        To be called once more whenever this node has registered.
        """
        with self._changed:
            if (epoch := self._node().epoch) != self._epoch:
                self._epoch, self._version, self._newest = epoch, 0, 0
                self._whole = False
                self._ahead.clear()
                self._held.clear()
        self._loaded(*self._state(everything=True))

    def _state(self, everything: bool) -> tuple[Incarnation, TableState]:
        node, sent = self._node(), self._clock.monotonic()
        state = self._ask(calls.read_table(node, self.name, everything), replies.read_table)
        self._clock.look(sent, state.now_ms)
        return node, state

    def _loaded(self, node: Incarnation, state: TableState) -> None:
        with self._changed:
            if node.epoch != self._epoch:
                return
            if not self._whole or state.version >= self._version:
                self._whole = True
                self._replace_locked(state)
            behind = self._newest > self._version
        if behind:  # by what came after it was read
            self.missed()

    def _replace_locked(self, state: TableState) -> None:
        values = dict(state.items)
        for version, field in self._ahead.items():
            if version > state.version:  # an own change that came after
                values.pop(field, None)
                values |= {field: self._values[field]} if field in self._values else {}
        for field in self._values.keys() - values.keys():
            self._set_locked(field, "")
        # In the order of their values, in which some have their age in front.
        for field, value in sorted(values.items(), key=lambda item: item[1]):
            if self._values.get(field) != value:
                self._set_locked(field, value)
        self._version = state.version
        self._advance_locked()

    def _set_locked(self, field: str, value: str) -> None:
        if value:
            self._values[field] = value
        else:
            self._values.pop(field, None)
        self._on_change(field, value)

    def _advance_locked(self) -> None:
        """Own changes may be next, and what was held; whoever waits may have its version now."""
        while (at := self._version + 1) in self._ahead or at in self._held:
            note = self._held.pop(at, None)
            if self._ahead.pop(at, None) is None and note is not None:
                if note.field not in self._ahead.values():  # or it is older than what is there
                    self._set_locked(note.field, note.value)
            self._version = at
        self._ahead = {at: field for at, field in self._ahead.items() if at > self._version}
        self._held = {at: note for at, note in self._held.items() if at > self._version}
        self._changed.notify_all()

    def _ask(self, call: ScriptCall, read: Callable[[object], Read]) -> Read:
        try:
            return read(self._writer.call(call))
        except (Forgotten, NodeFenced):  # this node is about to begin anew
            raise unavailable() from None


def _reply(outcome: Outcome) -> object:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@contextlib.contextmanager
def _unless_lost() -> Iterator[None]:
    """For what nobody waits for: where the engine is away, or this node fenced, all is read anew
    later, and what was to be done came to nothing."""
    with contextlib.suppress(Unavailable, OutcomeUnknown, ServerFull, Forgotten, NodeFenced):
        yield
