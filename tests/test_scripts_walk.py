"""Each script runs on both engines, and nothing is left when everybody has gone."""

from __future__ import annotations

import re

import pytest

from server.cluster import calls, replies
from server.cluster.scripts import NAMES, commands, script
from tests.script_kit import LEASE, Guest, MakeNode, make_node_fixture  # noqa: F401


def test_two_people_at_two_nodes(make_node: MakeNode) -> None:
    here, there = make_node(), make_node()
    anna, ben = Guest(here, 1, "anna"), Guest(there, 2, "ben")
    anna.enter("Den")
    came = ben.enter("den")
    assert came.room.name == "Den" and [each.nick for each in came.room.roster] == ["anna", "ben"]
    assert here.woken() == [("r", "den")]
    said = anna.post("Den", came.room.seq, wraps=[(ben.ids["den"], 0)])
    assert said.encoded == b'{"type":"accepted","ref":2,"seq":3}'
    assert there.woken() == [("r", "den")]
    assert ben.private("den", anna.ids["den"], came.room.seq).word == "OK"
    assert here.woken() == [("r", "den"), ("m", f"den\n{anna.ids['den']}")]
    assert anna.confirm("Den", 1) == ben.confirm("den", 1) == "OK"
    assert anna.rename("Den", "Zoe").number == 4
    assert ben.rejoin("den", came.joined) == (5, 0)
    ben.lose()
    assert ben.come(here).word == "OK"
    assert [row.alive for row in here.do(replies.renew, calls.renew(here.at, LEASE, True))] == [
        True,
        True,
    ]
    there.do(replies.retire, calls.retire(there.at))
    assert anna.leave("Den").word == "OK" and ben.end() == anna.end() == "OK"
    assert here.do(replies.retire, calls.retire(here.at)).number == 0
    assert here.left() == set()


def test_scripts_name_what_they_need() -> None:
    assert {"XADD", "EVAL"} & commands() == {"XADD"}
    for name in NAMES:
        first, *_rest = script(name).text.split("\n", 1)
        assert first.startswith("#!lua"), name


@pytest.mark.parametrize("name", NAMES)
def test_each_begins_with_the_fences(name: str) -> None:
    first, second, *_rest = re.findall(r"call\('([A-Z]+)'", script(name).text)
    expected = {"register": ["TIME", "PEXPIREAT"], "retire": ["GET", "TIME"],
                "successor": ["INFO", "HGET"]}  # fmt: skip
    assert [first, second] == expected.get(name, ["GET", "SISMEMBER"])
