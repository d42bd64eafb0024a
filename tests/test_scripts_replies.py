"""What scripts answer is read strictly: a shape, length or type that none gives is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from server.cluster import replies
from server.cluster.resp import EngineError
from server.cluster.scripts import NAMES

FP, LOG = b"ab" * 32, b"00" * 16
STAY: list[Any] = [b"den", b"3", b"0", b"1", LOG, b"Den", b"5", b"1", b"9", 0, b"1", b"2:7"]
ROSTER = [b"4", b'2:%s:"ben"' % FP, b"{}", b"3", b'1:%s:"anna"' % FP, b"{}"]
SESSION: list[Any] = [b"OK", b"7", b"node", b"anna", b"", b"0", b"g", b"ab", b"9", b"", 0, STAY]
ANSWERED: list[list[Any]] = [
    [b"OK", 5, b"{}"],
    [b"AGAIN", b"{}", b""],
    [b"REPEATED"],
    [b"GONE", 0, b"{}"],
]
ENTERED: list[Any] = [b"3", b"5", b"1", LOG, b"Den", b"9", b"1", ROSTER]
SAMPLES: dict[str, list[list[Any]]] = {
    "register": [[b"OK", b"e0", 1], [b"KEY", b"k"], [b"CHANGED", b"password", 0]],
    "successor": [[b"OK"], [b"OVER"]],
    "renew": [[b"OK", b"a", 1, b"b", 0]],
    "mark": [[b"OK", 3], [b"LEASED"]],
    "retire": [[b"OK", 0]],
    "look": [SESSION, [b"NONE"], [b"DISPLACED"], [b"BANS"]],
    "take_over": [SESSION, [b"CHANGED"], [b"NONE"]],
    "let_in": [[b"OK", b"7"], [b"TOKEN", FP], [b"TAKEN", 0, b"ben"], [b"LOST", 5, b"a", b"b"],
               [b"FULL"]],
    "come_in": [[b"OK", b"7", 5, *ENTERED], [b"NO_PLACE"], [b"BANS"],
                [b"TOKEN", FP], [b"LOST", 5, b"a"]],
    "lost": [[b"OK", b"1796064775620"]],
    "end": [[b"OK"], [b"NONE"]],
    "end_token": [[b"OK", 1]],
    "sweep": [[b"OK", 1, -1], [b"OK", 0, 5]],
    "make_room": [[b"OK"], [b"NONE"]],
    "renew_sessions": [[b"OK", FP]],
    "answer": ANSWERED[:3],
    "minted": [[b"OK"], [b"NONE"]],
    "enter": [[b"OK", *ENTERED], [b"IN", *ENTERED], [b"AGAIN", b"{}", b""], [b"GONE", 0, b"{}"],
              [b"MANY"], [b"REPEATED"]],
    "leave": ANSWERED,
    "rename": [*ANSWERED, [b"TAKEN", 0, b"ben"]],
    "hold": [[b"OK"]],
    "post": [*ANSWERED, [b"UNEXPECTED"], [b"UNHELD"], [b"STALE", 0, b"{}"]],
    "private": [*ANSWERED, [b"FULL", 0, b"{}"]],
    "confirm": [[b"OK"], [b"GONE"]],
    "rejoin": [[b"OK", b"5", 2], [b"GONE"]],
    "load": [[b"OK", *ENTERED[2:]], [b"NONE"]],
    "listing": [[b"OK", 3, b"den", 2]],
    "renew_rooms": [[b"OK", b"den"]],
    "find": [[b"OK", FP], [b"NONE"]],
    "who": [[b"OK", 1, [b"anna", b"", b"", b"ab", b"g", FP, b"7", b"den"]]],
    "table": [[b"OK", 3], [b"CHANGED", b"2"]],
    "read_table": [[b"OK", b"3", b"1796064775620", [b"a", b"b"]]],
    "spend": [[b"OK", b"1796064775620"]],
    "say": [[b"OK", 2]],
    "poke": [[b"OK"]],
}  # fmt: skip
CASES = [(name, sample) for name, samples in SAMPLES.items() for sample in samples]
ODD: list[Any] = [None, -2, 2**60, 1.5, b"\xff", b"-1", b"9" * 20, b"\xd9\xa1", [], [b"a"], "text",
                  True, EngineError("ERR")]  # fmt: skip


def reader(name: str) -> Callable[[object], Any]:
    return getattr(replies, name)  # type: ignore[no-any-return]


def test_there_is_a_reader_for_each_script() -> None:
    assert set(SAMPLES) == {name for name in NAMES if hasattr(replies, name)} == set(NAMES)


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_what_a_script_says_is_read(name: str, sample: list[Any]) -> None:
    reader(name)(sample)


def spoilt(sample: list[Any]) -> Iterator[list[Any]]:
    """The same with one thing otherwise, in a list inside as well."""
    for place, value in enumerate(sample):
        for odd in ODD:
            if odd != value:
                yield [*sample[:place], odd, *sample[place + 1 :]]
        if isinstance(value, list):
            for inner in spoilt(value):
                yield [*sample[:place], inner, *sample[place + 1 :]]
        yield [*sample[:place], *sample[place + 1 :]]
    yield [*sample, b"more"]


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_nothing_else_is_trusted(name: str, sample: list[Any]) -> None:
    """What it takes all the same is text, or a list that may be of any length."""
    refused = 0
    for other in spoilt(sample):
        try:
            reader(name)(other)
        except replies.BadReply:
            refused += 1
    assert refused >= len(ODD), "the word, at least"


@pytest.mark.parametrize("raw", [None, b"OK", 5, [], [5], [[b"OK"]], [b"WHAT"], [b"ok"]])
@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_no_answer_at_all(name: str, raw: object) -> None:
    with pytest.raises(replies.BadReply):
        reader(name)(raw)


@pytest.mark.parametrize(
    ("word", "fence"),
    [
        (b"FORGOTTEN", replies.Forgotten),
        (b"FENCED_NODE", replies.NodeFenced),
        (b"FENCED", replies.SessionFenced),
    ],
)
@pytest.mark.parametrize("name", SAMPLES)
def test_whoever_is_fenced_is_told_so(name: str, word: bytes, fence: type[Exception]) -> None:
    with pytest.raises(fence):
        reader(name)([word])


def test_a_roster_is_sorted_by_age() -> None:
    state = replies.load([b"OK", *ENTERED[2:]])
    assert state is not None
    assert state.roster == (
        replies.MemberRow(3, 1, FP.decode(), "anna", b"{}"),
        replies.MemberRow(4, 2, FP.decode(), "ben", b"{}"),
    )


def test_a_session_is_read_with_its_places() -> None:
    state = replies.look(SESSION)
    assert (state.n, state.lost_at, state.pinned, state.taken) == (7, None, False, 9)
    assert state.stays == (
        replies.StayState(
            "den", 3, 0, 1, LOG.decode(), "Den", 5, 1, 9, 0, True, (2, 7),
        ),
    )  # fmt: skip
