"""The whole program through pipes: real servers and clients, programs that read their events."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from client.commands import COMMANDS
from protocol.safe_text import visible
from server.banner import banner
from tests.conftest import server_settings
from tests.machine import needs
from tests.module_server import server_fixture  # noqa: F401
from tests.processes import PASSWORD, Client, Relay, Server, people, run_client, stop_process

_NUMBERS = count(1)

# A program takes half a second of a core to start: three people stay for the whole module and
# move to a new room for each test.
Trio = tuple[Client, Client, Client]


@pytest.fixture(scope="module")
def residents(server: Server) -> Iterator[Trio]:
    with people(server, "default", "ann", "ben", "cyd") as (ann, ben, cyd):
        yield ann, ben, cyd


@pytest.fixture
def room() -> str:
    """A room of the test's own."""
    return f"room-{next(_NUMBERS)}"


@pytest.fixture
def trio(residents: Trio, room: str) -> Trio:
    """Ann, Ben and Cyd in the room, with nothing said yet."""
    for client in residents:
        client.forget()
        client.say(f"/room {room}")
        client.next("room", room=room)
    for client in residents:
        client.meets("ann", "ben", "cyd")
        client.forget()
    return residents


def nicks(event: dict[str, Any]) -> list[str]:
    return [member["nick"] for member in event["members"]]


# Messages


def test_two_people_talk(server: Server, room: str) -> None:
    with Client(server, "alice", "--room", room) as alice:
        assert nicks(alice.events[0]) == ["alice"]
        with Client(server, "bob", "--room", room) as bob:
            assert nicks(bob.events[0]) == ["alice", "bob"]
            assert bob.events[0]["server"] == f"127.0.0.1:{server.port}"
            assert (bob.events[0]["nick"], bob.events[0]["room"]) == ("bob", room)
            alice.next("joined", nick="bob", room=room)
            alice.say("hello bob")
            heard = bob.next("message", from_="alice")
            own = alice.next("message")
            bob.say("hi alice")
            alice.next("message", from_="bob", text="hi alice", self_=False)
            assert bob.finish() == 0
        alice.next("left", nick="bob", room=room)
        assert alice.finish() == 0
    assert heard == {
        "event": "message", "time": heard["time"], "room": room, "from": "alice",
        "text": "hello bob", "seq": own["seq"], "self": False, "private": False,
        "verified": False, "kind": "text", "bot": False,
    }  # fmt: skip
    assert own == {**heard, "time": own["time"], "self": True, "verified": True}
    assert (alice.errors, bob.errors) == ("", "")
    times = [event["time"] for event in alice.events]
    assert all(time.endswith("Z") for time in times)
    found = [datetime.fromisoformat(time.replace("Z", "+00:00")) for time in times]
    assert {time.utcoffset() for time in found} == {timedelta()} and found == sorted(found)
    for program in (alice, bob):
        assert PASSWORD.encode() not in program.out + program.err


def test_three_people_see_one_order(trio: Trio) -> None:
    for turn in range(20):
        for person in trio:
            person.say(f"{person.nick} {turn}")
    for person in trio:
        person.wait_for(lambda: len(person.texts()) == 60)  # noqa: B023  # called at once
        for other in trio:
            assert person.texts(from_=other.nick) == [f"{other.nick} {n}" for n in range(20)]
    ann, ben, cyd = (person.all("message") for person in trio)
    for key in ("text", "seq", "from"):
        assert [m[key] for m in ann] == [m[key] for m in ben] == [m[key] for m in cyd]


def test_rooms_do_not_hear_each_other(trio: Trio, room: str) -> None:
    ann, ben, cyd = trio
    cyd.say(f"/room {room}-other")
    ann.next("left", nick="cyd")
    ann.say("for this room")
    ben.hears("for this room")
    cyd.say("for the other", f"/room {room}", "now here")
    assert nicks(cyd.next("room", room=room)) == ["ann", "ben", "cyd"]
    ann.next("joined", nick="cyd")
    ann.say("welcome")
    for person in (ann, ben):
        person.wait_for(lambda: len(person.texts()) >= 3)  # noqa: B023  # called at once
        assert person.texts(from_="ann") == ["for this room", "welcome"]
        assert person.texts(from_="cyd") == ["now here"]
    # Who comes later sees nothing that was said before.
    cyd.wait_for(lambda: len(cyd.texts()) >= 3)
    assert cyd.texts(from_="ann") == ["welcome"]


def test_text_and_names_of_any_script(server: Server, trio: Trio, room: str) -> None:
    texts = ["Straße, naïve", "日本語と한국어", "👩‍👩‍👧 🇪🇺 👍🏽", "עברית و العربية", "  indented"]
    ann, ben, _cyd = trio
    ann.say(*texts)
    ben.hears(*texts)
    ann.hears(*texts)
    run_client(server, "--room", room, nick="Юлия", text="привет")
    assert ben.next("message")["from"] == "ann"
    ben.next("message", from_="Юлия", text="привет")


def test_a_text_arrives_as_it_was_sent_and_no_terminal_obeys_it(trio: Trio) -> None:
    """What a terminal would obey or hide is escaped in the line, and is itself in the text."""
    ann, ben, _cyd = trio
    texts = [
        "a\x1b[2Jb\x07c\u202ed",
        "\x00\x08\x7f\x9b31m\u2028",
        "soft\u00adhyphen, zero\u200bwidth, \U000e0041tag, \ue000own, \u3164filler",
        "o" + "\u0301" * 40,
    ]
    ann.say(*texts)
    for person in (ann, ben):
        person.hears(*texts)
    lines = [line for line in ben.out.decode().splitlines() if '"message"' in line][-len(texts):]
    for line in lines:
        assert visible(line) == line
    assert r"a\u001b[2Jb\u0007c\u202ed" in lines[0]


def test_tabs_arrive_as_tabs(trio: Trio) -> None:
    ann, ben, _cyd = trio
    lines = ["\tcc -o $@ $<", "a\tb\t\tc", "\t/usr is no command"]
    ann.say(*lines)
    ann.hears(*lines)
    ben.hears(*lines)


def test_the_longest_message_and_one_byte_more(trio: Trio, room: str) -> None:
    ann, ben, _cyd = trio
    longest = "é" * (5 * 1024)  # 10 KB of UTF-8
    ann.say(longest, longest + "x", "after")
    ben.hears(longest, "after")
    ann.hears(longest, "after")
    (refused,) = ann.all("not_sent")
    assert (refused["reason"], refused["text"]) == ("too_long", longest + "x")
    assert refused["room"] == room
    assert not ann.all("error")


def test_refused_lines_make_the_exit_status(server: Server, room: str) -> None:
    with Client(server, "hal", "--room", room) as hal:
        hal.write(b"caf\xe9\n")
        refused = hal.next("not_sent")
        assert (refused["reason"], refused["text"]) == ("not_text", "caf\udce9")
        assert hal.finish("x" * 10241, "fine") == 4
        assert [event["reason"] for event in hal.all("not_sent")] == ["not_text", "too_long"]
        assert hal.texts() == ["fine"] and hal.errors == ""


def test_hundreds_of_lines_at_once(server: Server, trio: Trio, room: str) -> None:
    lines = [f"line {number}" for number in range(400)]
    sender = run_client(server, "--room", room, nick="lea", text="\n".join(lines))
    assert sender.process.returncode == 0
    assert sender.texts(self_=True) == lines
    trio[0].next("left", nick="lea")
    assert trio[0].texts() == lines


def test_what_is_a_message_and_what_is_none(trio: Trio) -> None:
    trio[0].say("//who", "//", "q", "", "   ", "last")
    trio[1].hears("/who", "/", "q", "last")


# Commands


def test_help(trio: Trio) -> None:
    trio[0].say("/help", "/help nick", "/help /names")
    every, nick, names = (trio[0].next("help") for _ in range(3))
    shown = [row["command"].split()[0] for row in every["commands"]]
    assert shown == [f"/{row.name}" for row in COMMANDS if "json" in row.where]
    assert all(row["help"] for row in every["commands"])
    assert [row["command"] for row in nick["commands"]] == ["/nick NAME"]
    assert [row["command"] for row in names["commands"]] == ["/who"]


def test_nick(trio: Trio, room: str) -> None:
    ann, ben, cyd = trio
    ann.say("/nick mia")
    for person in (ann, ben):
        renamed = person.next("renamed")
        assert (renamed["room"], renamed["old"], renamed["nick"]) == (room, "ann", "mia")
    ann.say("it is me")
    ben.next("message", from_="mia", text="it is me")
    ann.next("message", from_="mia", self_=True)
    ann.say("/nick BEN", "/nick bad/name")
    assert {ann.next("error")["code"] for _ in range(2)} == {"nick_taken", "bad_nick"}
    ann.say("/nick Mia")
    assert ben.next("renamed")["nick"] == "Mia"
    cyd.say("/nick ann")  # nobody has it any more
    ben.next("renamed", old="cyd", nick="ann")
    cyd.say("/nick cyd")
    ben.next("renamed", old="ann", nick="cyd")
    ann.say("/nick ann")
    ann.next("renamed", old="Mia", nick="ann")


def test_room_and_rooms_and_who(trio: Trio, room: str) -> None:
    ann, ben, cyd = trio
    ben.say(f"/room {room}-2")
    entered = ben.next("room")
    assert (entered["room"], nicks(entered)) == (f"{room}-2", ["ben"])
    ann.next("left", nick="ben", room=room)
    ben.say("/names", "/list")
    assert nicks(ben.next("members", room=f"{room}-2")) == ["ben"]
    counts = {line["room"]: line["count"] for line in ben.next("rooms")["rooms"]}
    assert (counts[room], counts[f"{room}-2"]) == (2, 1)
    ben.say(f"/room {room}")
    ann.next("joined", nick="ben", room=room)
    ann.say("/who", "/rooms")
    assert nicks(ann.next("members", room=room)) == ["ann", "ben", "cyd"]
    counts = {line["room"]: line["count"] for line in ann.next("rooms")["rooms"]}
    assert counts[room] == 3
    assert f"{room}-2" not in counts, "an empty room is gone"
    cyd.say(f"/room {room.upper()}", "/room no/room")
    assert "already" in cyd.next("notice")["text"]
    assert cyd.next("error")["code"] == "bad_room"


def test_lines_go_to_the_room_that_was_shown(trio: Trio, room: str) -> None:
    ann = trio[0]
    ann.say("one", f"/room {room}-b", "two", f"/room {room}", "three")
    for text, place in (("one", room), ("two", f"{room}-b"), ("three", room)):
        ann.next("message", text=text, room=place, self_=True)
    trio[1].hears("one", "three")


def test_rooms_with_a_secret(trio: Trio, room: str) -> None:
    ann, ben, cyd = trio
    for person, secret in ((ann, "shared pass"), (ben, "shared pass"), (cyd, "other")):
        person.say(f"/room {room}-s {secret}")
        person.next("room", room=f"{room}-s")
    ann.next("joined", nick="cyd")
    ann.say("only for some")
    ben.hears("only for some")
    unreadable = cyd.next("unreadable", from_="ann")
    assert (unreadable["reason"], unreadable["room"]) == ("secret", f"{room}-s")
    cyd.say(f"/room {room}", f"/room {room}-s shared pass")
    for _ in range(2):  # with the wrong secret, then with the right one
        ben.next("joined", nick="cyd", room=f"{room}-s")
    ben.say("now all")
    cyd.hears("now all")
    for person in trio:
        assert b"shared" not in person.out + person.err


def test_me_and_msg(trio: Trio) -> None:
    ann, ben, cyd = trio
    ann.say("/me waves", "/msg BEN between us", "to all")
    assert ben.next("message", kind="action")["text"] == "waves"
    private = ben.next("message", private=True)
    assert (private["text"], private["from"]) == ("between us", "ann")
    assert (private["to"], private["seq"], private["self"]) == ("ben", None, False)
    own = ann.next("message", private=True)
    assert (own["self"], own["to"], own["text"]) == (True, "ben", "between us")
    cyd.hears("waves", "to all")
    ann.say("/msg nobody hello", "/msg ann hello")
    for _ in range(2):
        refused = ann.next("not_sent")
        assert (refused["reason"], refused["text"]) == ("gone", "hello")


def test_verify(trio: Trio, room: str) -> None:
    ann, ben, _cyd = trio
    ann.say("/verify ben ok")
    assert ann.next("error")["code"] == "not_compared"
    ann.say("/verify ben")
    ben.say("/verify ann")
    shown, same = ann.next("verify"), ben.next("verify")
    assert shown["room"] == room and shown["room_code"] == same["room_code"]
    (one,), (other,) = shown["members"], same["members"]
    assert (one["nick"], one["verified"], other["nick"]) == ("ben", False, "ann")
    assert one["code"] == other["code"] != shown["room_code"]
    groups = one["code"].split()
    assert len(groups) == 6 and all(len(group) == 5 and group.isdigit() for group in groups)
    ann.say("/verify ben ok")
    assert ann.next("nick_verified")["nick"] == "ben"
    ben.say("is it me")
    assert ann.next("message", from_="ben")["verified"] is True
    ann.say("/who")
    views = {view["nick"]: view["verified"] for view in ann.next("members")["members"]}
    assert views == {"ann": True, "ben": True, "cyd": False}


def test_what_is_no_command(trio: Trio) -> None:
    ann = trio[0]
    ann.say("/nik zed", "/qiut", "/xyzzy", "/clear", "/nick", "/msg only", "/rooms now", "end")
    ann.hears("end")
    answers = [(event["code"], event["text"]) for event in ann.all("error")]
    assert [code for code, _text in answers] == [
        "unknown_command", "unknown_command", "unknown_command", "not_here",
        "usage", "usage", "usage",
    ]  # fmt: skip
    assert "/nick" in answers[0][1] and "/quit" in answers[1][1] and "/help" in answers[2][1]
    assert "zed" not in answers[0][1]
    assert "/msg NICK TEXT" in answers[5][1]


@pytest.mark.parametrize("command", ["/quit", "/exit"])
def test_quit(server: Server, room: str, command: str) -> None:
    with Client(server, "zoe", "--room", room) as zoe:
        zoe.say("goodbye", "/nope", command, "never sent")
        assert zoe.end() == 0
        assert zoe.texts() == ["goodbye"], "what was said before is waited for"


# The end of the input


def test_the_end_of_input_waits_for_every_answer(server: Server, room: str) -> None:
    text = f"/verify\n/room {room}-2\nthere\n/nick zed\n/rooms\n/nope"
    client = run_client(server, "--room", room, text=text)
    assert client.process.returncode == 0, "a refused command is no refused line"
    client.next("message", text="there", room=f"{room}-2")
    for name in ("room", "renamed", "rooms", "verify", "error"):  # in both rooms it is renamed
        assert len(client.all(name)) == (2 if name == "renamed" else 1), name


def test_listening_goes_on_after_the_input(server: Server, trio: Trio, room: str) -> None:
    with Client(server, "ada", "--room", room, "--listen") as ada:
        ada.say("I am here")
        ada.end_input()
        trio[0].hears("I am here")
        trio[0].say("still there?")
        ada.next("message", from_="ann")
        ada.signal(signal.SIGTERM)
        assert ada.end() == 0
        trio[0].next("left", nick="ada")


def test_lines_beyond_the_limit_wait_for_their_time(room: str) -> None:
    """And the program with them, however little of its input is left."""
    with Server({"MAX_MESSAGES_PER_WINDOW": "5", "RATE_LIMIT_WINDOW": "0.5"}) as server:
        lines = [f"line {number}" for number in range(25)]
        dot = run_client(server, "--room", room, nick="dot", text="\n".join(lines))
    assert dot.texts() == lines and dot.process.returncode == 0
    assert dot.all("not_sent") == [] and dot.all("error") == []
    waits = dot.all("waiting")
    assert max(event["lines"] for event in waits) == 20
    assert all(0 <= event["seconds"] <= 0.5 for event in waits) and waits[0]["seconds"] > 0
    assert (waits[-1]["lines"], waits[-1]["seconds"]) == (0, 0.0)


def test_commands_have_a_limit_of_their_own(room: str) -> None:
    with Server({"MAX_MESSAGES_PER_WINDOW": "3"}) as server:
        text = "one\n" + "/rooms\n" * 4
        dot = run_client(server, "--room", room, nick="dot", text=text)
    assert dot.texts() == ["one"] and dot.process.returncode == 0
    assert len(dot.all("rooms")) == 3
    assert [event["code"] for event in dot.all("error")] == ["rate_limited"]


# Losing the connection


def test_a_cut_connection_resumes_and_nobody_notices(
    server: Server, trio: Trio, room: str
) -> None:
    gil = trio[0]
    with Relay(server.port) as relay, Client(relay.address, "fox", "--room", room) as fox:
        fox.say("before")
        gil.hears("before")
        relay.cut(closed=True)
        lost = fox.next("reconnecting")
        assert lost["attempt"] == 1 and 0 < lost["delay"] <= 1
        gil.say("said meanwhile")
        gil.hears("before", "said meanwhile")
        fox.say("typed meanwhile")
        relay.open()
        assert fox.next("reconnected")["resumed"] is True
        for client in (fox, gil):
            client.hears("before", "said meanwhile", "typed meanwhile")
        assert fox.finish() == 0
    gil.next("left", nick="fox")
    assert (len(gil.all("left")), len(gil.all("joined"))) == (1, 1)
    assert not fox.all("not_sent") and not fox.all("room")


def test_nothing_is_lost_or_doubled_by_cuts(server: Server, trio: Trio, room: str) -> None:
    """Wherever the stream is cut, each line arrives once and in order, both ways."""
    mine = [f"hal {number}" for number in range(120)]
    theirs = [f"ann {number}" for number in range(120)]
    ann = trio[0]
    with Relay(server.port) as relay, Client(relay.address, "hal", "--room", room) as hal:
        ann.meets("hal")  # what she says before she knows of him is not for him
        for cut, size in enumerate((1, 15_000, 40_001)):
            relay.cut_after(size)
            part = slice(40 * cut, 40 * cut + 40)
            hal.say(*mine[part])
            ann.say(*theirs[part])
            assert hal.next("reconnected")["resumed"] is True
        for client in (hal, ann):
            client.wait_for(lambda: len(client.texts()) >= 240)  # noqa: B023  # called at once
        assert relay.cuts == 3
        assert hal.finish() == 0
    ann.next("left", nick="hal")
    assert hal.texts(self_=True) == ann.texts(self_=False) == mine
    assert ann.texts(self_=True) == hal.texts(self_=False) == theirs
    assert hal.texts() == ann.texts()
    assert len(ann.all("joined")) == 1 and not hal.all("not_sent") and not hal.all("warning")


def test_commands_outlive_a_cut(server: Server, room: str) -> None:
    """A command whose connection is cut before the server has it is done after the resume."""
    commands = {"room": f"/room {room}-2", "renamed": "/nick jot", "rooms": "/rooms"}
    with Relay(server.port) as relay, Client(relay.address, "jan", "--room", room) as jan:
        for name, command in commands.items():
            relay.cut_after(1)  # of the command itself
            jan.say(command, f"after {name}")
            assert jan.next("reconnected")["resumed"] is True
            jan.next("message", text=f"after {name}")
        assert jan.finish() == 0
    for name in commands:  # a rename is told of in each room
        assert len(jan.all(name)) == (2 if name == "renamed" else 1), name
    assert not jan.all("error") and not jan.all("not_sent")


def test_a_killed_server_comes_back(room: str) -> None:
    """Clients come back by themselves; what they could not send is handed back."""
    with Server() as first, Relay(first.port) as relay:
        with (
            Client(first, "kim", "--room", room) as kim,
            Client(relay.address, "lou", "--room", room) as lou,
        ):
            kim.meets("lou")
            kim.say("before")
            lou.hears("before")
            relay.cut(closed=True)  # so that Kim is there first
            first.signal(signal.SIGKILL)
            first.end()
            for client in (kim, lou):
                client.next("reconnecting")
            kim.say("typed meanwhile")
            with Server(port=first.port) as second, Client(second, "lou") as other:
                assert kim.next("reconnected")["resumed"] is False
                assert kim.next("missed", room=room)["count"] is None, "nobody can know"
                assert nicks(kim.next("room", room=room)) == ["kim"]
                (line,) = kim.all("not_sent")
                assert (line["text"], line["room"]) == ("typed meanwhile", room)
                assert line["reason"] == "disconnected"
                relay.open()
                assert lou.next("reconnected")["resumed"] is False
                # Somebody else is called Lou by now.
                assert "lou-2" in lou.all("notice")[-1]["text"]
                kim.next("joined", nick="lou-2")
                lou.say("after")
                for client in (kim, lou):
                    client.hears("before", "after")
                assert other.finish() == 0
                assert kim.finish() == 4, "a line was handed back"


def test_end_of_input_while_the_server_is_away(room: str) -> None:
    with Server({"HEARTBEAT_INTERVAL": "0.2", "HEARTBEAT_TIMEOUT": "1"}) as server:
        with Client(server, "ned", "--room", room) as ned:
            server.signal(signal.SIGKILL)
            server.end()
            ned.next("reconnecting")
            assert ned.finish("too late") == 5
            (line,) = ned.all("not_sent")
            assert (line["text"], line["reason"]) == ("too late", "disconnected")


def test_silence_is_noticed_on_both_sides(room: str) -> None:
    """Heartbeats run both ways: a server that hangs is given up, and so is a client."""
    with Server({"HEARTBEAT_INTERVAL": "0.1", "HEARTBEAT_TIMEOUT": "0.6"}) as server:
        with people(server, room, "oda", "pat") as (oda, pat):
            stop_process(pat)
            oda.next("left", nick="pat")
            oda.say("one", "two")
            oda.hears("one", "two")
            pat.signal(signal.SIGCONT)
            assert pat.next("reconnected")["resumed"] is False
            assert pat.next("missed", room=room)["count"] == 2
            stop_process(server)
            oda.next("reconnecting")
            server.signal(signal.SIGCONT)
            oda.next("reconnected")


def test_without_reconnecting_a_lost_connection_is_the_end(room: str) -> None:
    with Server() as server, Client(server, "quin", "--room", room, "--no-reconnect") as quin:
        server.signal(signal.SIGKILL)
        assert quin.end() == 5
        assert quin.next("disconnected")["reason"] == "lost"
        assert "connect again" in quin.errors


# The server


def test_the_banner(server: Server) -> None:
    rule = "=" * 60
    (here,) = [line for line in server.banner if line.startswith("  On this machine: ")]
    assert here.endswith(f"cmd_chat.py connect 127.0.0.1 {server.port} alice")
    assert server.banner == [
        rule,
        "  CMD CHAT SERVER STARTED",
        rule,
        f"  Server Address: 127.0.0.1:{server.port}",
        "  Protocol: http:// (WebSocket: ws://)",
        f"  Connect with: python cmd_chat.py connect 127.0.0.1 {server.port} <username> <password>",
        here,
        "  Messages are end-to-end encrypted: this server cannot read them.",
        "  Stop with: q and Enter, or Ctrl-C",
        rule,
    ]


def test_the_address_in_a_banner_of_ipv6() -> None:
    settings = dataclasses.replace(server_settings(), host="::1")
    assert "  Server Address: [::1]:1000\n" in banner(settings, 1000)
    assert " connect ::1 1000 " in banner(settings, 1000)


@needs("ipv6", beside="test_the_address_in_a_banner_of_ipv6")
def test_the_banner_of_ipv6() -> None:
    with Server(host="::1") as server:
        assert f"  Server Address: [::1]:{server.port}" in server.banner
        client = run_client(("::1", server.port), text="hello over IPv6\n")
        assert client.texts() == ["hello over IPv6"]
        assert client.events[0]["server"] == f"[::1]:{server.port}"


def test_the_banner_of_a_server_on_all_addresses() -> None:
    with Server(host="0.0.0.0") as server:
        (line,) = [line for line in server.banner if "Server Address: " in line]
        assert "0.0.0.0" not in line
        assert run_client(("127.0.0.1", server.port), text="x").process.returncode == 0


@pytest.mark.parametrize("how", ["q", "SIGINT", "SIGTERM"])
def test_the_server_stops_politely(room: str, how: str) -> None:
    with Server() as server, Client(server, "sam", "--no-reconnect", "--room", room) as sam:
        sam.say("last words")
        sam.hears("last words")
        if how == "q":
            server.write(b"no\nQ\r\n")
        else:
            server.signal(getattr(signal, how))
        assert (server.end(), server.errors) == (0, "")
        assert sam.end() == 5
        assert sam.next("disconnected")["reason"] == "shutdown"
        assert "shutting down" in sam.errors


def test_a_client_says_why_it_reconnects(room: str) -> None:
    with Server() as server, Client(server, "ria", "--room", room) as ria:
        server.signal(signal.SIGTERM)
        assert "shutting down; this client connects again" in ria.next("notice")["text"]
        ria.next("reconnecting")
        ria.signal(signal.SIGTERM)
        assert ria.end() == 0


def test_a_server_stops_in_spite_of_clients_that_hang(room: str) -> None:
    with Server() as server, Client(server, "tess", "--room", room) as tess:
        stop_process(tess)
        server.signal(signal.SIGTERM)
        assert server.end() == 0


def test_the_end_of_its_input_does_not_stop_a_server() -> None:
    with Server() as server:
        server.end_input()
        assert run_client(server, text="still here\n").texts() == ["still here"]
        server.signal(signal.SIGTERM)
        assert server.end() == 0
