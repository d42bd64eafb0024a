"""What docs/THREATS.md says that the wire shows, by the script that measured it."""

from __future__ import annotations

import re
from pathlib import Path

from protocol.limits import RECORD_PAD
from tools.wire import DOWN, UP, posts, records, session, texts

TEXT = (Path(__file__).parent.parent / "docs/THREATS.md").read_text(encoding="utf-8")


def token_size(plain: int) -> int:
    """Of a Fernet token (its specification): 57 bytes, and the text in whole blocks of 16."""
    return 57 + plain // 16 * 16 + 16


def in_steps(size: int) -> bool:
    """Whether a record is as long as one whose inside is a multiple of 256 bytes."""
    return any(token_size(RECORD_PAD * count) == size for count in range(1, 100))


def test_texts_of_one_step_look_alike_and_records_come_in_steps() -> None:
    with posts() as boxes, session(secure=False) as here:
        greeted = here.joins("alice")
        here.joins("bob")
        found = texts(here, boxes, (1, 8, 60, 130, 650))
        short, longer, longest = found[:2], found[2:4], found[4]
        for group in (short, longer):
            assert len({(one.box, one.up, one.down) for one in group}) == 1
        assert short[0].up < longer[0].up < longest.up
        assert [-(-token_size(1 << power) // 3) * 4 for power in (7, 8, 10)] == [
            short[0].box, longer[0].box, longest.box
        ]  # fmt: skip
        chunks = here.does("alice", "something", "message", by="bob")
        sizes = [*records(chunks, 0, UP), *records(chunks, 0, DOWN), *records(chunks, 1, DOWN)]
        assert len(sizes) >= 3 and all(map(in_steps, sizes))
        # Before the link there are greeting, hello and key, each of one size for everybody.
        assert records(greeted, 0, UP)[1:] and all(map(in_steps, records(greeted, 0, UP)[1:]))
    # The table of the document has these lines.
    rows = re.findall(r"^\| [\d,]+ to [\d,]+ \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", TEXT, re.M)
    written = {tuple(int(cell.replace(",", "")) for cell in row) for row in rows}
    assert {(one.box, one.up, one.down) for one in found} <= written
