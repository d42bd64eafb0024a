"""The whole program through pipes: real servers and clients, programs that read their events."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import count

import pytest

from tests.processes import PASSWORD, Client, Relay, Server, run_client, stop_process

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running
        assert running.errors == ""


@pytest.fixture
def room() -> str:
    """A room of the test's own: all share the server."""
    return f"room-{next(_NUMBERS)}"


def nicks(event: dict[str, object]) -> list[str]:
    members = event["members"]
    assert isinstance(members, list)
    return [member["nick"] for member in members]


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
        "verified": False, "kind": "text",
    }  # fmt: skip
    assert own == {**heard, "time": own["time"], "self": True, "verified": True}
    assert (alice.errors, bob.errors) == ("", "")


def test_every_event_has_its_time_in_utc(server: Server, room: str) -> None:
    from datetime import datetime, timedelta

    client = run_client(server, "--room", room, text="one\n/who\n")
    times = [event["time"] for event in client.events]
    assert all(time.endswith("Z") for time in times)
    found = [datetime.fromisoformat(time.replace("Z", "+00:00")) for time in times]
    assert {time.utcoffset() for time in found} == {timedelta()}
    assert found == sorted(found) and len(found) >= 3


def test_three_people_see_one_order(server: Server, room: str) -> None:
    with (
        Client(server, "ann", "--room", room) as ann,
        Client(server, "ben", "--room", room) as ben,
        Client(server, "cyd", "--room", room) as cyd,
    ):
        people = (ann, ben, cyd)
        for turn in range(10):
            for person in people:
                person.say(f"{person.nick} {turn}")
        for person in people:
            for _ in range(30):
                person.next("message")
            for other in people:
                said = [text for text in person.texts() if text.startswith(other.nick)]
                assert said == [f"{other.nick} {turn}" for turn in range(10)]
        assert ann.texts() == ben.texts() == cyd.texts()
        assert [event["seq"] for event in ann.all("message")] == [
            event["seq"] for event in cyd.all("message")
        ]


def test_rooms_do_not_hear_each_other(server: Server, room: str) -> None:
    with (
        Client(server, "dan", "--room", room) as dan,
        Client(server, "eve", "--room", f"{room}-other") as eve,
    ):
        dan.say("for this room")
        dan.next("message", self_=True)
        eve.say("for the other", f"/room {room}", "now here")
        assert eve.next("room")["room"] == room
        dan.next("joined", nick="eve")
        dan.next("message", from_="eve", text="now here", room=room)
        dan.say("welcome")
        eve.next("message", from_="dan")
        assert dan.texts() == ["for this room", "now here", "welcome"]
        # Who comes later sees nothing that was said before.
        assert eve.texts() == ["for the other", "now here", "welcome"]


def test_text_of_any_script_comes_through(server: Server, room: str) -> None:
    texts = ["Straße, naïve, œuvre", "日本語と한국어", "👩‍👩‍👧 🇪🇺 👍🏽", "עברית و العربية", "a\tb", "  indented"]
    with (
        Client(server, "Ærøskøbing", "--room", room) as one,
        Client(server, "Юлия", "--room", room) as other,
    ):
        one.say(*texts)
        for text in texts:
            assert other.next("message", from_="Ærøskøbing")["text"] == text
        assert [event["text"] for event in one.all("message")] or one.next("message")


def test_what_a_terminal_would_obey_arrives_visible(server: Server, room: str) -> None:
    with (
        Client(server, "fay", "--room", room) as fay,
        Client(server, "gus", "--room", room) as gus,
    ):
        fay.say("a\x1b[2Jb\x07c\u202ed")
        text = gus.next("message")["text"]
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
        assert text.startswith("a") and "[2Jb" in text


def test_bytes_that_are_no_text_are_handed_back(server: Server, room: str) -> None:
    with Client(server, "hal", "--room", room) as hal:
        hal.write(b"caf\xe9\n")
        assert hal.next("not_sent")["reason"] == "not_text"
        assert hal.finish("more") == 4
        assert hal.texts() == ["more"]


def test_the_longest_message_and_one_byte_more(server: Server, room: str) -> None:
    longest = "é" * (5 * 1024)  # 10 KB of UTF-8
    with (
        Client(server, "ida", "--room", room) as ida,
        Client(server, "jon", "--room", room) as jon,
    ):
        ida.say(longest, longest + "x", "after")
        assert jon.next("message")["text"] == longest
        jon.next("message", text="after")
        refused = ida.next("not_sent")
        assert (refused["reason"], refused["text"]) == ("too_long", longest + "x")
        assert (refused["room"], "retry_after" in refused) == (room, False)
        ida.next("message", text="after")
        assert ida.finish() == 4
        assert len(ida.all("not_sent")) == 1 and not ida.all("error")


def test_several_hundred_lines_at_once(server: Server, room: str) -> None:
    lines = [f"line {number}" for number in range(400)]
    with Client(server, "kai", "--room", room) as kai:
        sender = run_client(server, "--room", room, nick="lea", text="\n".join(lines))
        assert sender.process.returncode == 0
        assert sender.texts(self_=True) == lines
        kai.next("left", nick="lea")
        assert kai.texts() == lines


def test_a_line_that_begins_with_two_slashes_is_a_message(server: Server, room: str) -> None:
    client = run_client(server, "--room", room, text="//who\n//\nq\n\n   \nlast")
    assert client.texts() == ["/who", "/", "q", "last"]
    assert client.process.returncode == 0


# Commands


def test_help(server: Server, room: str) -> None:
    client = run_client(server, "--room", room, text="/help\n/help nick\n/help /names\n")
    every, nick, names = client.all("help")
    shown = [row["command"].split()[0] for row in every["commands"]]
    assert shown == [
        "/help", "/nick", "/room", "/rooms", "/who", "/me", "/msg", "/verify", "/invite", "/quit",
    ]  # fmt: skip
    assert all(row["help"] for row in every["commands"])
    assert [row["command"] for row in nick["commands"]] == ["/nick NAME"]
    assert [row["command"] for row in names["commands"]] == ["/who"]


def test_nick(server: Server, room: str) -> None:
    with (
        Client(server, "max", "--room", room) as mia,
        Client(server, "noa", "--room", room) as noa,
    ):
        mia.say("/nick mia")
        for person in (mia, noa):
            renamed = person.next("renamed")
            assert (renamed["room"], renamed["old"], renamed["nick"]) == (room, "max", "mia")
        mia.say("it is me")
        noa.next("message", from_="mia", text="it is me")
        mia.next("message", from_="mia", self_=True)
        mia.say("/nick NOA")
        assert mia.next("error")["code"] == "nick_taken"
        mia.say("/nick bad/name")
        assert mia.next("error")["code"] == "bad_nick"
        mia.say("/nick Mia")
        assert noa.next("renamed")["nick"] == "Mia"
        # The name is free again.
        assert run_client(server, "--room", room, nick="max").process.returncode == 0


def test_room_and_rooms_and_who(server: Server, room: str) -> None:
    with (
        Client(server, "ola", "--room", room) as ola,
        Client(server, "pia", "--room", room) as pia,
    ):
        pia.say(f"/join {room}-2", "/who", "/rooms")
        entered = pia.next("room")
        assert (entered["room"], nicks(entered)) == (f"{room}-2", ["pia"])
        ola.next("left", nick="pia", room=room)
        pia.say("/names", "/list")
        assert nicks(pia.next("members", room=f"{room}-2")) == ["pia"]
        counts = {line["room"]: line["count"] for line in pia.next("rooms")["rooms"]}
        assert (counts[room], counts[f"{room}-2"]) == (1, 1)
        pia.say(f"/room {room}")
        ola.next("joined", nick="pia")
        ola.say("/who", "/rooms")
        assert nicks(ola.next("members")) == ["ola", "pia"]
        counts = {line["room"]: line["count"] for line in ola.next("rooms")["rooms"]}
        assert counts[room] == 2
        assert f"{room}-2" not in counts, "an empty room is gone"
        ola.say(f"/room {room.upper()}")
        assert "already" in ola.next("notice")["text"]
        ola.say("/room no/room")
        assert ola.next("error")["code"] == "bad_room"


def test_lines_go_to_the_room_that_was_shown(server: Server, room: str) -> None:
    with Client(server, "quy", "--room", room) as quy:
        quy.say("one", f"/room {room}-b", "two", f"/room {room}", "three")
        for text, place in (("one", room), ("two", f"{room}-b"), ("three", room)):
            quy.next("message", text=text, room=place, self_=True)
        assert quy.finish() == 0


def test_rooms_with_a_secret(server: Server, room: str) -> None:
    with (
        Client(server, "rob", "--room", room, settings={"CLIENT_ROOM_SECRET": "shared"}) as rob,
        Client(server, "sue", "--room", room, settings={"CLIENT_ROOM_SECRET": "other"}) as sue,
        Client(server, "tim", "--room", f"{room}-x") as tim,
    ):
        tim.say(f"/room {room} shared")
        assert nicks(tim.next("room")) == ["rob", "sue", "tim"]
        rob.next("joined", nick="tim")
        rob.say("only for some")
        tim.next("message", from_="rob", text="only for some")
        unreadable = sue.next("unreadable", from_="rob")
        assert (unreadable["reason"], unreadable["room"]) == ("secret", room)
        assert sue.texts() == []
        for client in (rob, sue, tim):
            assert b"shared" not in client.out + client.err


def test_me_and_msg(server: Server, room: str) -> None:
    with (
        Client(server, "una", "--room", room) as una,
        Client(server, "vic", "--room", room) as vic,
        Client(server, "wes", "--room", room) as wes,
    ):
        una.next("joined", nick="wes")
        una.say("/me waves", "/msg VIC between us", "to all")
        assert vic.next("message", kind="action")["text"] == "waves"
        private = vic.next("message", private=True)
        assert (private["text"], private["from"]) == ("between us", "una")
        assert (private["to"], private["seq"]) == ("vic", None)
        own = una.next("message", private=True)
        assert (own["self"], own["to"], own["text"]) == (True, "vic", "between us")
        wes.next("message", text="to all")
        assert wes.texts() == ["waves", "to all"]
        una.say("/msg nobody hello", "/msg una hello")
        for _ in range(2):
            refused = una.next("not_sent")
            assert (refused["reason"], refused["text"]) == ("gone", "hello")
        assert una.finish() == 4


def test_verify(server: Server, room: str) -> None:
    with (
        Client(server, "xan", "--room", room) as xan,
        Client(server, "yve", "--room", room) as yve,
    ):
        xan.next("joined", nick="yve")
        xan.say("/verify yve ok")
        assert xan.next("error")["code"] == "not_compared"
        xan.say("/verify yve")
        yve.say("/verify xan")
        shown, same = xan.next("verify"), yve.next("verify")
        assert shown["room"] == room and shown["room_code"] == same["room_code"]
        (one,), (other,) = shown["members"], same["members"]
        assert (one["nick"], one["verified"], other["nick"]) == ("yve", False, "xan")
        assert one["code"] == other["code"]
        groups = one["code"].split()
        assert len(groups) == 6 and all(len(group) == 5 and group.isdigit() for group in groups)
        xan.say("/verify yve ok")
        assert xan.next("nick_verified")["nick"] == "yve"
        yve.say("is it me")
        assert xan.next("message", from_="yve")["verified"] is True
        xan.say("/who")
        assert {view["nick"]: view["verified"] for view in xan.next("members")["members"]}["yve"]


def test_what_is_no_command(server: Server, room: str) -> None:
    text = "/nik zed\n/qiut\n/xyzzy\n/clear\n/nick\n/msg only\n/rooms now\n"
    client = run_client(server, "--room", room, text=text)
    answers = [(event["code"], event["text"]) for event in client.all("error")]
    assert [code for code, _text in answers] == [
        "unknown_command", "unknown_command", "unknown_command", "not_here",
        "usage", "usage", "usage",
    ]  # fmt: skip
    assert "/nick" in answers[0][1] and "/quit" in answers[1][1] and "/help" in answers[2][1]
    assert "zed" not in answers[0][1]
    assert "/msg NICK TEXT" in answers[5][1]
    assert client.texts() == []
    assert client.process.returncode == 0, "a refused command is no refused line"


@pytest.mark.parametrize("command", ["/quit", "/exit", "/QUIT"])
def test_quit(server: Server, room: str, command: str) -> None:
    with Client(server, "zoe", "--room", room) as zoe:
        zoe.say("goodbye", command, "never sent")
        assert zoe.end() == 0
        assert zoe.texts() == ["goodbye"], "what was said before is waited for"


# The end of the input


def test_the_end_of_input_waits_for_every_answer(server: Server, room: str) -> None:
    text = "/room " + room + "-2\nthere\n/nick zed\n/rooms\n/verify"
    client = run_client(server, "--room", room, text=text)
    assert client.process.returncode == 0
    client.next("message", text="there", room=f"{room}-2")
    for name in ("room", "renamed", "rooms", "verify"):
        assert len(client.all(name)) == 1, name


def test_listening_goes_on_after_the_input(server: Server, room: str) -> None:
    with (
        Client(server, "ada", "--room", room, "--listen") as ada,
        Client(server, "bea", "--room", room) as bea,
    ):
        ada.say("I am here")
        ada.end_input()
        bea.next("message", text="I am here") if not bea.texts() else None
        bea.say("still there?")
        ada.next("message", from_="bea")
        ada.signal(signal.SIGTERM)
        assert ada.end() == 0
        bea.next("left", nick="ada")


def test_the_rate_limit(room: str) -> None:
    with Server({"MAX_MESSAGES_PER_WINDOW": "3"}) as server:
        text = "".join(f"line {number}\n" for number in range(5))
        with Client(server, "cat", "--room", room) as cat:
            dot = run_client(server, "--room", room, nick="dot", text=text)
            cat.next("left", nick="dot")
            assert cat.texts() == ["line 0", "line 1", "line 2"]
        refused = dot.all("not_sent")
        assert [(event["text"], event["reason"]) for event in refused] == [
            ("line 3", "rate_limited"),
            ("line 4", "rate_limited"),
        ]
        assert all(0 < event["retry_after"] <= 60 for event in refused)
        assert dot.process.returncode == 4
        # Commands have a window of their own, and an error for what is no line.
        text = "/rooms\n" * 4 + "a line\n"
        eli = run_client(server, "--room", room, nick="eli", text=text)
        assert [event["code"] for event in eli.all("error")] == ["rate_limited"]
        assert eli.texts() == ["a line"] and eli.process.returncode == 0


# Losing the connection


def test_a_cut_connection_resumes_and_nobody_notices(server: Server, room: str) -> None:
    with (
        Relay(server.port) as relay,
        Client(relay.address, "fox", "--room", room) as fox,
        Client(server, "gil", "--room", room) as gil,
    ):
        fox.say("before")
        gil.next("message", text="before")
        relay.cut(closed=True)
        lost = fox.next("reconnecting")
        assert lost["attempt"] == 1 and 0 < lost["delay"] <= 1
        gil.say("said meanwhile")
        gil.next("message", text="said meanwhile")
        fox.say("typed meanwhile")
        relay.open()
        assert fox.next("reconnected")["resumed"] is True
        fox.next("message", from_="gil", text="said meanwhile")
        fox.next("message", self_=True, text="typed meanwhile")
        gil.next("message", from_="fox", text="typed meanwhile")
        assert fox.finish() == 0
        gil.next("left", nick="fox")
        assert fox.texts() == gil.texts() or len(fox.texts()) == 3
        assert len(gil.all("left")) == 1 and not gil.all("joined") and not fox.all("not_sent")


def test_nothing_is_lost_or_doubled_by_cuts(server: Server, room: str) -> None:
    """Wherever the stream is cut, each line arrives once and in order, both ways."""
    mine = [f"hal {number}" for number in range(120)]
    theirs = [f"ivy {number}" for number in range(120)]
    with (
        Relay(server.port) as relay,
        Client(relay.address, "hal", "--room", room) as hal,
        Client(server, "ivy", "--room", room) as ivy,
    ):
        hal.next("joined")
        for cut, size in enumerate((1, 20_000, 60_001)):
            relay.cut_after(size)
            part = slice(40 * cut, 40 * cut + 40)
            hal.say(*mine[part])
            ivy.say(*theirs[part])
            assert hal.next("reconnected")["resumed"] is True
        hal.next("message", text=mine[-1])
        if theirs[-1] not in hal.texts():
            hal.next("message", text=theirs[-1])
        ivy.wait_for(lambda: len(ivy.texts()) >= 240)
        assert relay.cuts == 3
        assert hal.finish() == 0
        ivy.next("left")
    assert hal.texts(self_=True) == ivy.texts(self_=False) == mine
    assert ivy.texts(self_=True) == hal.texts(self_=False) == theirs
    assert hal.texts() == ivy.texts()
    assert not ivy.all("joined") and not hal.all("not_sent") and not hal.all("warning")


@pytest.mark.parametrize("command", ["/room {room}-2", "/nick jot", "/rooms"])
def test_commands_outlive_a_cut(server: Server, room: str, command: str) -> None:
    """A command whose connection is cut before the server has it is done after the resume."""
    with Relay(server.port) as relay, Client(relay.address, "jan", "--room", room) as jan:
        relay.cut_after(1)  # of the command itself
        jan.say(command.format(room=room), "afterwards")
        assert jan.next("reconnected")["resumed"] is True
        jan.next("message", text="afterwards")
        assert jan.finish() == 0
        assert sum(len(jan.all(name)) for name in ("room", "renamed", "rooms")) == 1
        assert not jan.all("error") and not jan.all("not_sent")


def test_a_killed_server_comes_back(room: str) -> None:
    with Server() as first:
        with (
            Client(first, "kim", "--room", room) as kim,
            Client(first, "lou", "--room", room) as lou,
        ):
            kim.say("before")
            lou.next("message", text="before")
            first.signal(signal.SIGKILL)
            first.end()
            for client in (kim, lou):
                client.next("reconnecting")
            kim.say("typed meanwhile")
            with Server(port=first.port) as second:
                assert second.port == first.port
                for client in (kim, lou):
                    assert client.next("reconnected")["resumed"] is False
                    assert client.next("room")["room"] == room
                handed_back = kim.next("not_sent") if not kim.all("not_sent") else None
                assert handed_back is None or handed_back["reason"] == "disconnected"
                (line,) = kim.all("not_sent")
                assert (line["text"], line["room"]) == ("typed meanwhile", room)
                both = ["kim", "lou"]
                for client in (kim, lou):
                    client.wait_for(
                        lambda client=client: client.all("joined")  # type: ignore[misc]
                        or nicks(client.all("room")[-1]) == both
                    )
                lou.say("after")
                kim.next("message", text="after")
                assert (kim.texts(), lou.texts()) == (["before", "after"], ["before", "after"])


def test_a_taken_nickname_gets_a_number_when_coming_back(room: str) -> None:
    with Server() as first, Relay(first.port) as relay:
        with Client(relay.address, "moe", "--room", room) as moe:
            relay.cut(closed=True)
            moe.next("reconnecting")
            first.signal(signal.SIGKILL)
            first.end()
            with Server(port=first.port) as second, Client(second, "moe", "--room", room) as other:
                relay.open()
                assert moe.next("reconnected")["resumed"] is False
                assert "moe-2" in moe.all("notice")[-1]["text"]
                other.next("joined", nick="moe-2")
                moe.say("/who")
                assert nicks(moe.next("members")) == ["moe", "moe-2"]


def test_end_of_input_while_the_server_is_away(room: str) -> None:
    with Server({"HEARTBEAT_INTERVAL": "0.2", "HEARTBEAT_TIMEOUT": "1"}) as server:
        with Client(server, "ned", "--room", room) as ned:
            server.signal(signal.SIGKILL)
            server.end()
            ned.next("reconnecting")
            assert ned.finish("too late") == 5
            (line,) = ned.all("not_sent")
            assert (line["text"], line["reason"]) == ("too late", "disconnected")


def test_a_silent_server_is_given_up(room: str) -> None:
    """Heartbeats run both ways: a server that hangs is noticed, and so is a client."""
    with Server({"HEARTBEAT_INTERVAL": "0.2", "HEARTBEAT_TIMEOUT": "1"}) as server:
        with (
            Client(server, "oda", "--room", room) as oda,
            Client(server, "pat", "--room", room) as pat,
        ):
            oda.next("joined", nick="pat")
            stop_process(pat)
            oda.next("left", nick="pat")
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
    assert server.banner == [
        rule,
        "  CMD CHAT SERVER STARTED",
        rule,
        f"  Server Address: 127.0.0.1:{server.port}",
        "  Protocol: http:// (WebSocket: ws://)",
        f"  Connect with: python cmd_chat.py connect 127.0.0.1 {server.port} <username> <password>",
        "  Messages are end-to-end encrypted: this server cannot read them.",
        "  Stop with: q and Enter, or Ctrl-C",
        rule,
    ]


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


@pytest.mark.parametrize("how", ["q", "Q\r", "SIGINT", "SIGTERM"])
def test_the_server_stops_politely(room: str, how: str) -> None:
    with Server() as server:
        with (
            Client(server, "ria", "--room", room) as ria,
            Client(server, "sam", "--room", room, "--no-reconnect") as sam,
        ):
            ria.say("last words")
            ria.next("message")
            if how.startswith("SIG"):
                server.signal(getattr(signal, how))
            else:
                server.write(f"no\n{how}\n".encode())
            assert server.end() == 0
            assert server.errors == ""
            assert sam.end() == 5
            assert sam.next("disconnected")["reason"] == "shutdown"
            assert sam.texts() == ["last words"]
            ria.next("reconnecting")
            assert "shutting down" in ria.all("notice")[-1]["text"]
            ria.signal(signal.SIGTERM)
            assert ria.end() == 0


def test_the_server_stops_also_with_a_client_that_hangs(room: str) -> None:
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


def test_a_server_whose_output_nobody_reads() -> None:
    with Server() as server:
        assert server.process.stdout is not None
        os.close(os.dup(server.process.stdout.fileno()))
        assert run_client(server, text="hello\n").texts() == ["hello"]


def test_no_password_is_ever_shown(server: Server, room: str) -> None:
    client = run_client(server, "--room", room, text="hello\n/who\n/verify\n")
    wrong = run_client(server, settings={"CLIENT_PASSWORD": "not that one"})
    for program in (server, client, wrong):
        for secret in (PASSWORD, "not that one"):
            assert secret.encode() not in program.out + program.err
