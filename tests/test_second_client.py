"""A client that was written from docs/PROTOCOL.md alone, with the real server and real clients.

What fails here was changed on one side only: in the program, in the document, or in
``tests/second_client.py``.
"""

from __future__ import annotations

import ast
import json
import secrets
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes

from protocol import limits as protocol_limits
from server import limits
from tests import second_crypto as crypto
from tests.module_server import server_fixture  # noqa: F401
from tests.processes import PASSWORD, Client, Server
from tests.second_client import Client as Second
from tests.second_client import form, read_invite
from tests.second_link import Refusal
from tests.second_room import Chain, Unreadable
from tests.second_socket import Ended
from tests.transport_kit import make_certificate
from tests.two_clients import (  # noqa: F401
    Join,
    Make,
    identity,
    join_fixture,
    keys,
    make_fixture,
    prs,
    real,
    refusal,
    room_fixture,
    start,
)

FOLDER = Path(__file__).parent


# That it is another one


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_it_imports_nothing_of_the_program() -> None:
    """Nor anything of the tests that does; all it has is ``cryptography`` and the language."""
    queue, looked_at = {"tests.second_client"}, set()
    while queue:
        name = queue.pop()
        looked_at.add(name)
        assert name.startswith("tests.second_"), name
        for each in imports(FOLDER / f"{name.partition('.')[2]}.py"):
            top, _, rest = each.partition(".")
            if top == "tests":
                if rest and (FOLDER / f"{rest}.py").exists():
                    queue |= {each} - looked_at
            else:
                assert top == "cryptography" or top in sys.stdlib_module_names, (name, each)
    assert looked_at >= {"tests.second_client", "tests.second_room", "tests.second_crypto"}
    assert {f"tests.{path.stem}" for path in FOLDER.glob("second_*.py")} == looked_at


# With a real client


def test_they_talk(server: Server, join: Join, room: str) -> None:
    bob = join(server, "bob")
    with real(server, room) as alice:
        assert bob.next("joined") == alice.nick
        alice.say("hello", "/me waves", "à la carte, 日本語, 👩‍👩‍👧", r"/msg bob psst \o/")
        bob.hears(alice.nick, "hello")
        bob.hears(alice.nick, "waves", "action")
        bob.hears(alice.nick, "à la carte, 日本語, 👩‍👩‍👧")
        bob.hears(alice.nick, r"psst \o/", private=True)
        bob.say("two\nlines and a\ttab"), bob.say("nods", "action"), bob.tell(alice.nick, "hey")
        texts = [(each["text"], each["kind"], each["private"])
                 for each in (alice.next("message", from_="bob") for _ in range(3))]  # fmt: skip
        assert texts == [("two\nlines and a\ttab", "text", False), ("nods", "action", False),
                         ("hey", "text", True)]  # fmt: skip
        assert [post.text for post in bob.of("post")] == ["two\nlines and a\ttab", "nods"]
        assert bob.list_rooms()[room] == 2
        bob.leave()
        alice.next("left", nick="bob")


def test_both_are_renamed(server: Server, join: Join, room: str) -> None:
    """What they say is signed for the nickname of the moment."""
    bob = join(server, "robert")
    with real(server, room) as alice:
        bob.next("joined")
        bob.say("before")
        alice.next("message", text="before")
        alice.say(f"/nick {alice.nick}-2")
        assert bob.next("renamed") == (alice.nick, f"{alice.nick}-2")
        alice.next("renamed")
        alice.say("after")
        bob.hears("robert", "before")
        bob.hears(f"{alice.nick}-2", "after")
        assert bob.rename("roberta")["type"] == "accepted"
        assert bob.next("renamed") == ("robert", "roberta") and bob.nick == "roberta"
        alice.next("renamed", old="robert", nick="roberta")
        bob.say("I")
        alice.next("message", from_="roberta", text="I")


def test_the_codes_are_the_same(server: Server, join: Join, room: str) -> None:
    bob, carol = join(server, "bob-codes"), join(server, "carol-codes")
    with real(server, room) as alice:
        bob.next("joined", lambda nick: nick == alice.nick), carol.next("joined")
        alice.meets("bob-codes", "carol-codes")
        alice.say("/verify bob-codes")
        found = alice.next("verify")
        assert found["room_code"] == bob.room.code() == carol.room.code()
        ((code,),) = [[each["code"] for each in found["members"]]]
        assert code == bob.room.code(alice.nick) != bob.room.code()


def test_people_come_and_go_between_posts(server: Server, join: Join, room: str) -> None:
    """Newcomers read nothing of before, who has left nothing of after; and nobody is suspected of
    being shown another room, though posts tell of memberships before the present one."""
    bob = join(server, "bob-1")
    with real(server, room) as alice:
        bob.next("joined")
        for number in range(4):
            carol = join(server, f"carol-{number}")
            bob.next("joined"), alice.next("joined")
            alice.say(f"a {number}")
            bob.hears(alice.nick, f"a {number}"), carol.hears(alice.nick, f"a {number}")
            bob.say(f"b {number}"), bob.next("post")
            carol.hears("bob-1", f"b {number}")
            alice.next("message", text=f"b {number}")
            carol.say(f"c {number}")
            alice.next("message", text=f"c {number}")
            bob.hears(carol.nick, f"c {number}")
            carol.leave()
            bob.next("left"), alice.next("left")
        assert (bob.of("unreadable"), alice.all("unreadable")) == ([], [])


def test_secrets_and_links(server: Server, join: Join, room: str) -> None:
    """Whoever has the link's secret reads and is read, whoever lacks it neither."""
    with real(server, room) as alice:
        alice.say("/invite")
        invite = read_invite(alice.next("invite")["link"])
        assert (invite.host, invite.port, invite.room) == ("127.0.0.1", server.port, room)
        bob = join(server, "bob-2", secret=invite.secret)
        mallory = join(server, "mallory")
        alice.meets("bob-2", "mallory")
        bob.next("joined")
        alice.say("for us")
        bob.hears(alice.nick, "for us")
        assert mallory.next("unreadable") == Unreadable(alice.nick, "secret")
        bob.say("so am I"), bob.tell(alice.nick, "too")
        alice.next("message", text="so am I"), alice.next("message", text="too", private=True)
        assert mallory.next("unreadable") == Unreadable("bob-2", "secret")
        mallory.say("let me in")
        alice.next("unreadable", from_="mallory", reason="secret")
        assert bob.next("unreadable") == Unreadable("mallory", "secret")


def test_from_room_to_room(server: Server, join: Join, room: str) -> None:
    """With a secret that people agreed upon, which is stretched in the same way."""
    other = f"{room}-other"
    bob = join(server, "bob-3")
    with real(server, room) as alice:
        bob.next("joined")
        bob.say("here"), bob.hears("bob-3", "here")
        alice.next("message", text="here")
        alice.say(f"/room {other} three little words")
        alice.next("room", room=other)
        assert bob.move(other.upper(), "three little words")["type"] == "accepted"
        alice.next("left", room=room, nick="bob-3")
        assert bob.room.name == other and bob.room.nicks == [alice.nick, "bob-3"]
        alice.meets("bob-3")
        bob.say("there")
        alice.next("message", room=other, text="there")
        alice.say("yes")
        bob.hears("bob-3", "there"), bob.hears(alice.nick, "yes")
        alice.say(f"/leave {other}")
        assert bob.next("left") == alice.nick


def test_cut_and_back(server: Server, join: Join, room: str) -> None:
    """In place, with what was said meanwhile, and what was not answered is sent again."""
    bob = join(server, "bob-4")
    with real(server, room) as alice:
        bob.next("joined")
        bob.say("one"), bob.next("post")
        alice.next("message", text="one")
        ticket = bob.ticket
        bob.post("cut off")
        bob.socket.cut()
        alice.next("message", text="cut off")
        alice.say("meanwhile", f"/msg {bob.nick} only you")
        alice.next("message", text="only you")
        bob.resume()
        assert bob.resumed and bob.ticket not in (None, ticket)
        bob.hears("bob-4", "cut off")
        bob.hears(alice.nick, "meanwhile"), bob.hears(alice.nick, "only you", private=True)
        bob.read(lambda: not bob._open)
        assert bob.say("back")["type"] == "accepted"
        alice.hears("one", "cut off", "meanwhile", "only you", "back")
        assert (alice.all("left"), bob.of("handed back")) == ([], [])


def test_a_lie_about_what_was_shown_is_named(server: Server, join: Join, room: str) -> None:
    """By both clients, in the same words as for a server that shows them different rooms."""
    bob, carol = join(server, "bob-5"), join(server, "carol-5")
    with Client(server, "alice-5", "--room", room) as alice:
        for other in (bob, carol):
            other.next("joined", lambda nick: nick == "alice-5")
        for liar, hears, told in ((bob, carol, 0), (carol, bob, 5)):
            wraps, _ = liar.room.seal("never sent", "text", 10_000)
            seen = [told, crypto.to_text(bytes(32))]
            body = {**liar.room._last.body, "text": "hm", "seen": seen}
            answer = liar.answer(liar.post_box(wraps, liar.room.box_of(body)))
            assert answer["type"] == "accepted"
            hears.next("post", lambda post: not post.own)
            assert hears.next("warning") == f"{liar.nick} is being shown another room"
            assert alice.next("warning")["nick"] == liar.nick


def test_a_program_says_that_it_is_one(server: Server, join: Join, room: str) -> None:
    """To both readers; what is no such mark is none, and the post is shown all the same."""
    bob, carol = join(server, "bob-20"), join(server, "carol-20")
    with Client(server, "alice-20", "--room", room, "--input", "json") as alice:
        for other in (bob, carol):
            other.next("joined", lambda nick: nick == "alice-20")
        wraps, _ = bob.room.seal("never sent", "text", 10_000)
        for mark in (True, 1, "true", None, False):
            body = {**bob.room._last.body, "id": crypto.to_text(secrets.token_bytes(16)),
                    "text": f"{mark!r}", "bot": mark}  # fmt: skip
            assert bob.answer(bob.post_box(wraps, bob.room.box_of(body)))["type"] == "accepted"
            assert carol.next("post", lambda post: not post.own).bot is (mark is True)
            assert alice.next("message", text=f"{mark!r}")["bot"] is (mark is True)
            wraps = []
        for given in ({"text": "marked", "bot": True}, {"text": "not", "bot": False}):
            alice.say(json.dumps(given))
            post = carol.next("post", lambda post: not post.own and post.nick == "alice-20")
            assert post.bot is given["bot"]
            assert alice.next("message", self_=True)["bot"] is given["bot"]


def test_a_text_that_no_client_should_send_is_not_shown(
    server: Server, join: Join, room: str
) -> None:
    """The server cannot judge it; both readers do, and go on."""
    bob, carol = join(server, "bob-15"), join(server, "carol-15")
    with real(server, room) as alice:
        for other in (bob, carol):
            other.next("joined", lambda nick: nick.startswith("anna"))
        wraps, _ = bob.room.seal("never sent", "text", 10_000)
        most = bob.welcome["max_message_size"]
        for text in ("", " \n\t\u2003", "x" * (most + 1), "é" * (most // 2) + "x"):
            body = {**bob.room._last.body, "id": crypto.to_text(secrets.token_bytes(16)),
                    "text": text}  # fmt: skip
            assert bob.answer(bob.post_box(wraps, bob.room.box_of(body)))["type"] == "accepted"
            assert carol.next("unreadable") == Unreadable("bob-15", "bounds")
            assert alice.next("unreadable")["reason"] == "bounds"
            wraps = []
        bob.say("y" * most)
        assert alice.next("message", text="y" * most)["from"] == "bob-15"
        assert carol.next("post", lambda post: not post.own).text == "y" * most


def test_alarms_that_a_member_can_raise_alone(server: Server, join: Join, room: str) -> None:
    """So none of them says that it was the server."""
    odd = identity()
    odd.kem = odd.kem[:1184] + bytes(32)  # it loads, and nothing can be wrapped for it
    odd.new_signature()
    bob = join(server, "bob-16", identity=odd)
    with Client(server, "alice-16", "--room", room) as alice:
        bob.next("joined", lambda nick: nick == "alice-16")

        def alarm(wraps: list[Any], box: Any) -> str:
            assert bob.answer(bob.post_box(wraps, box))["type"] == "accepted"
            warning = alice.next("warning")
            assert warning["nick"] == "bob-16" and "bob-16" in warning["text"]
            assert "server's list" not in warning["text"]
            return str(warning["code"])

        wraps, box = bob.room.seal("unheard", "text", 10_000)
        wraps[0]["wrapped"] = crypto.to_text(secrets.token_bytes(1392))
        assert alarm(wraps, box) == "bad_wrap"
        bob.room._own = None
        wraps, box = bob.room.seal("heard", "text", 10_000)
        bob.answer(bob.post_box(wraps, box))
        alice.next("message", text="heard")
        assert alarm([], box) == "replay"
        _none, box = bob.room.seal("unheard", "text", 10_000)
        assert alarm([], {**box, "sig": crypto.to_text(bytes(64))}) == "forged"
        _none, _box = bob.room.seal("unheard", "text", 10_000)
        lie = {**bob.room._last.body, "seen": [0, crypto.to_text(bytes(32))]}
        assert alarm([], bob.room.box_of(lie)) == "transcript"
        alice.say("for nobody")
        assert alice.next("warning")["code"] == "bad_bundle"


def test_tokens_for_whoever_is_invited(server: Server, join: Join, room: str) -> None:
    """In a link of ours, and made by somebody else's client."""
    with real(server, room) as alice:
        alice.say("/invite --token")
        invite = read_invite(alice.next("invite")["link"])
        bob = join(server, "bob-9", token=invite.token, secret=invite.secret)
        alice.meets("bob-9")
        bob.say("let in")
        alice.next("message", text="let in")
        assert bob.mint()["code"] == "password_only"
        assert refusal(server, "carol", token=invite.token) == "token_bound"
        dave = join(server, "dave-9", secret=invite.secret)
        made = dave.mint()
        token = f"{made['id']}.{made['secret']}"
        assert made["type"] == "minted" and made["seconds"] > 0
        assert join(server, "eve-9", token=token, secret=invite.secret).nick == "eve-9"
        alice.meets("dave-9", "eve-9")


def test_panic_and_quit_are_goodbyes(server: Server, join: Join, room: str) -> None:
    bob = join(server, "bob-6")
    for last in ("/panic", "/quit"):
        with Client(server, f"alice{last[1:]}", "--room", room) as alice:
            bob.next("joined")
            alice.say(last)
            assert alice.end() == 0
            assert bob.next("left") == alice.nick


def test_over_tls_with_a_pinned_certificate(join: Join, room: str, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    files = {"SSL_CERT_PATH": certificate.cert_path, "SSL_KEY_PATH": certificate.key_path}
    with Server(files) as server:
        fingerprint = certificate.certificate.fingerprint(hashes.SHA256()).hex()
        with real(server, room, "--ssl-fingerprint", fingerprint) as alice:
            alice.say("/invite")
            invite = read_invite(alice.next("invite")["link"])
            assert invite.fingerprint == fingerprint
            bob = join(server, "bob", fingerprint=fingerprint, secret=invite.secret)
            alice.meets("bob")
            bob.say("sealed twice")
            alice.next("message", text="sealed twice")
            with pytest.raises(OSError, match="another certificate"):
                join(server, "carol", fingerprint="00" * 32)


# With the real server


def listed(server: Server, nick: str) -> Any:
    """The live token for that nickname, as the list has it."""
    tokens = form(server.port, "/list_tokens", admin_password=PASSWORD)[1]["tokens"]
    (found,) = (each for each in tokens if each["username"] == nick)
    return found


def test_tokens(server: Server, join: Join) -> None:
    assert form(server.port, "/health") == (200, {"status": "ok"})
    admin = {"admin_password": PASSWORD}
    status, made = form(server.port, "/generate_token", username="grace", ttl=60, **admin)
    assert (status, made["username"]) == (200, "grace")
    token = made["token"]
    grace = join(server, "", token=token)
    assert grace.nick == "grace"
    assert listed(server, "grace")["id"] == token.split(".")[0]
    assert grace.rename("other")["code"] == "nick_pinned"
    assert refusal(server, "other", token=token) == "nick_pinned"
    assert refusal(server, "grace", prs=prs()) == "nick_reserved"
    assert refusal(server, "grace", token=token[:-1] + "-") == "auth_failed"
    # The last one that proves it has it.
    again = join(server, "grace", token=token, room="elsewhere")
    assert grace.ended() == "taken_over"
    assert form(server.port, "/revoke_token", token=token, **admin) == (200, {"revoked": True})
    assert again.ended() == "revoked"
    assert form(server.port, "/revoke_token", token=token, admin_password="no")[0] == 401


def test_a_bound_token_is_one_persons(server: Server, join: Join) -> None:
    admin = {"admin_password": PASSWORD}
    fields = {"username": "hugo", "ttl": 60, "bind": True}
    token = form(server.port, "/generate_token", **fields, **admin)[1]["token"]
    assert listed(server, "hugo")["bound"] is False
    hugo = join(server, "", token=token, identity=start(1, 1))
    assert refusal(server, "hugo", token=token) == "token_bound"
    later = join(server, "", token=token, identity=start(2, 2), room="elsewhere")
    assert hugo.ended() == "taken_over"
    assert listed(server, "hugo")["bound"] is True
    assert form(server.port, "/revoke_token", token=token, **admin) == (200, {"revoked": True})
    assert later.ended() == "revoked"


@pytest.mark.parametrize(
    ("options", "code"),
    [({"password": "wrong"}, "auth_failed"), ({"token": "AAAA.BBBB"}, "auth_failed"),
     ({"nick": "server"}, "bad_nick"), ({"nick": ""}, "bad_nick"), ({"nick": "a b"}, "bad_nick"),
     ({"nick": "w" * 33}, "bad_nick"), ({"room": "two words"}, "bad_room"),
     ({"room": "r" * 65}, "bad_room")],
)  # fmt: skip
def test_who_is_not_let_in(server: Server, options: dict[str, Any], code: str) -> None:
    options = {"nick": "bob", **options}
    if not {"password", "token"} & set(options):
        options["prs"] = prs()
    assert refusal(server, options.pop("nick"), **options) == code


def test_what_is_refused(server: Server, join: Join) -> None:
    """Each request has one answer, under its `ref`."""
    alice, bob = join(server, "alice-7"), join(server, "bob-7")
    assert refusal(server, "ALICE-7", prs=prs()) == "nick_taken"
    alice.next("joined")
    assert alice.rename("bob-7")["code"] == "nick_taken"
    assert alice.rename("B0b-7")["nick"] == "bob-7"
    assert alice.rename("a\x1bb")["code"] == "bad_nick"
    assert alice.move("a b")["code"] == "bad_room"
    wraps, box = alice.room.seal("x" * 70_000, "text", 10**6)
    refused = alice.answer(alice.post_box(wraps, box))
    assert (refused["code"], refused["limit"]) == ("too_long", alice.welcome["max_message_size"])
    wrap, box = alice.room.seal_for("bob-7", "psst")
    wrap["to"] = 10**6
    fields = {"at": alice.room.at, "change": alice.room.change, "wrap": wrap, "box": box}
    assert alice.answer(alice.request("private", **fields))["code"] == "gone"
    bob.socket.cut()
    first = alice.answer(1)
    again = {"type": "nick", "at": alice.room.at, "nick": "bob-7"}
    alice.send({**again, "ref": 1}, {**again, "ref": 0})
    assert [alice.next("refused", lambda each: each["ref"] == 1) for _ in range(2)] == [first] * 2
    assert alice.next("refused", lambda each: each["ref"] == 0)["code"] == "repeated"


def test_three_strikes(server: Server, join: Join) -> None:
    """A frame of no type, one that is malformed, and one that is unexpected; that one is named."""
    alice = join(server, "alice-8")
    alice.send({"type": "zork"}, {"type": "list_rooms", "ref": "1"})
    assert alice.next("refused") == {"type": "refused", "code": "unknown_type"}
    assert alice.next("refused") == {"type": "refused", "code": "malformed"}
    assert alice.say("still here")["type"] == "accepted"
    _, box = alice.room.seal("for a change that is none", "text", 10_000)
    ref = alice.request("post", at=alice.room.at, change=2, box=box)
    assert alice.ended() == "protocol"
    assert alice.answers[ref]["code"] == "unexpected"


@pytest.mark.parametrize("ends", ["hello", "confirm", "record"])
def test_what_does_not_belong_ends_a_handshake(server: Server, join: Join, ends: str) -> None:
    client = join(server, f"eve-{ends}", joined=False)
    if ends == "hello":
        client.greet()
        client.socket.send('{"type":"zork"}')
        client._clear(10.0)  # key
        with pytest.raises(Refusal) as refused:
            client._clear(10.0)
        assert refused.value.code == "auth_failed"
    elif ends == "confirm":
        client.greet()
        client.link.agree(client._clear(10.0))
        client.socket.send(client.link.seal({"type": "seen", "positions": []}))
        with pytest.raises(Refusal) as refused:
            client._enter_live(client.link.open(client._first_record()))
        assert (refused.value.code, refused.value.clear) == ("unexpected", False)
    else:
        client.join()
        client.socket.send(client.link.seal({"type": "list_rooms", "ref": 1})[:-1] + b"\0")
        client.read(lambda: bool(client.of("refused")))
        assert client.of("refused")[0]["code"] == "link_broken"
        with pytest.raises(Ended) as ended:
            client.read(lambda: False)
        assert ended.value.close == 1008


def test_the_same_identity_again(server: Server, join: Join) -> None:
    """It replaces itself, at another place of the log."""
    alice, bob = join(server, "alice-anew"), join(server, "bob-anew")
    again = join(server, "alice-anew", identity=alice.identity)
    assert alice.ended() == "replaced"
    assert bob.next("left") == "alice-anew" and bob.next("joined") == "alice-anew"
    bob.say("welcome"), again.hears("bob-anew", "welcome")


def test_a_person_has_many_starts_and_none_that_is_over(
    server: Server, join: Join, room: str
) -> None:
    """Of one key that lasts; both kinds of readers take the later ones for the same person."""
    bob = join(server, "bob-19")
    with Client(server, "alice-19", "--room", room) as alice:
        bob.next("joined")
        for run, since in ((8, 7), (7, 7), (9, 9)):
            zoe = join(server, "zoe-19", identity=start(run, since))
            bob.next("joined", lambda nick: nick == "zoe-19")
            zoe.say("again"), bob.hears("zoe-19", "again")
            alice.next("message", text="again")
            zoe.leave()
            alice.next("left", nick="zoe-19")
        assert not alice.all("warning") and not bob.of("warning")
        old = join(server, "zoe-19", identity=start(8, 7))
        assert alice.next("warning")["code"] == "old_run"
        assert bob.next("warning") == "zoe-19 has keys that do not count"
        alice.say("for bob")
        bob.hears("alice-19", "for bob")
        assert old.next("unreadable") == Unreadable("alice-19", "no_key")
        bob.say("for alice")
        assert bob.next("warning") == "the keys of zoe-19 do not load"
        alice.next("message", text="for alice")
        assert old.next("unreadable") == Unreadable("bob-19", "no_key")


def test_a_bundle_that_nobody_has_signed_proves_nothing(server: Server, join: Join) -> None:
    for name, value in (("run", 5), ("sig", crypto.to_text(bytes(64)))):
        mixed = identity()
        mixed.bundle = {**mixed.bundle, name: value}
        with pytest.raises(Refusal, match="auth_failed"):
            Second(server.port, "eve-19", keys=keys(), identity=mixed, prs=prs()).join()
    late = identity()
    late.start(7, 8)  # which is no bundle at all
    with pytest.raises(Refusal, match="malformed"):
        Second(server.port, "eve-19", keys=keys(), identity=late, prs=prs()).join()


def test_whoever_runs_the_server_speaks_and_shows_the_door(server: Server, join: Join) -> None:
    alice = join(server, "alice-17")
    server.write(b"say back at \xc3\xa9ight\nkick alice-17 1\n")
    assert alice.next("announcement") == "back at éight"
    assert alice.ended() == "kicked"
    alice.socket.cut()
    with pytest.raises(Refusal, match="kicked") as refused:
        alice.join()
    assert 0 < refused.value.frame["retry_after"] <= 60


def test_anothers_ticket(server: Server, join: Join) -> None:
    """Lets in nobody else, and is used up by that; one that is unknown means nothing."""
    alice = join(server, "alice-11")
    eve = join(server, "eve-11", joined=False)
    eve.ticket = alice.ticket
    with pytest.raises(Refusal) as refused:
        eve.join()
    assert (refused.value.code, refused.value.clear) == ("unexpected", False)
    eve.join()
    alice.socket.cut()
    alice.resume()
    assert alice.resumed
    eve.leave()


def test_heartbeats(make: Make, join: Join) -> None:
    """At its time, and at once where it is asked for; who says nothing is ended."""
    server = make(heartbeat_interval=0.2, heartbeat_timeout=0.8)
    alice, mute = join(server, "alice"), join(server, "mute")
    alice.beat(answer=True)
    assert alice.next("taken") == 0
    alice.say("one")
    alice.beat(answer=True)
    assert alice.next("taken", lambda ref: ref) == alice.last_ref
    mute._beat_at = time.monotonic() + 60.0
    with pytest.raises(Ended):
        while True:  # alice's own go on meanwhile
            alice.hear(time.monotonic() + 0.05)
            mute.hear(time.monotonic() + 0.05)
    mute.socket.cut()
    assert mute.of("refused")[0]["code"] == "timed_out"
    assert alice.next("left") == "mute"


def test_too_late_to_resume(make: Make, join: Join) -> None:
    """It joins anew, keeps its epochs, and hands back what was not answered."""
    server = make(heartbeat_interval=0.2, heartbeat_timeout=0.6)
    alice, bob = join(server, "alice"), join(server, "bob")
    bob.say("one"), alice.hears("bob", "one")
    bob.socket.cut()
    with pytest.raises(Ended):
        bob.post("lost")
    alice.next("left")
    bob.resume()
    assert not bob.resumed and bob.of("handed back") == [bob.last_ref]
    assert alice.next("joined") == "bob"
    bob.say("two"), alice.hears("bob", "two")
    assert bob.room._own is not None and bob.room._own.epoch > 1


def test_who_comes_too_often_waits(
    make: Make, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To come in, or for another nickname; whoever does is told so, and then it is done."""
    monkeypatch.setattr(limits, "CHANGE_BURST", 1.0)
    monkeypatch.setattr(limits, "CHANGE_WAIT_TOLD", 0.001)
    monkeypatch.setattr(limits, "CHANGES_A_SECOND", 2.0)
    server = make()
    members = [join(server, f"member-{number}") for number in range(3)]
    assert all(each.room.ready for each in members)
    assert any(each.of("wait") for each in members)
    alice = members[2]
    alice.events.clear()
    while not alice.of("wait"):  # the first ones may come late enough, on a busy machine
        assert alice.rename(f"other-{alice.last_ref}")["type"] == "accepted"


def test_a_thousand_posts(make: Make, join: Join) -> None:
    """The thousandth number is the last of an epoch."""
    server = make(max_messages_per_window=10_000)
    alice, bob = join(server, "alice"), join(server, "bob")
    alice.next("joined")
    wraps, _ = alice.room.seal("begin", "text", 10_000)
    own = alice.room._own
    assert own is not None and own.epoch == 1
    alice.send({"type": "keys", "at": alice.room.at, "wraps": wraps})
    alice.room._own = own.at(protocol_limits.EPOCH_POSTS - 1)  # as if as many had been said
    alice.say("the last"), alice.say("the first")
    bob.hears("alice", "the last"), bob.hears("alice", "the first")
    own = alice.room._own
    assert isinstance(own, Chain) and (own.epoch, own.n) == (2, 1)


def test_who_does_not_read_falls_behind(
    make: Make, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is told so, with a roster; its keys come anew, and what it has lost is counted."""
    monkeypatch.setattr(protocol_limits, "LOG_ENTRIES", 20)
    server = make(max_messages_per_window=10_000)
    server._listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    frozen = join(server, "frozen", holds=4096)
    bob = join(server, "bob")
    for number in range(60):
        assert bob.say("x" * 8000 + str(number))["type"] == "accepted"
    frozen.read(lambda: len(frozen.of("entered")) > 1)
    assert frozen.of("entered")[-1]["missed"] > 0
    assert bob.next("rejoined") == "frozen"
    bob.say("back?"), frozen.next("post", lambda post: post.text == "back?")
    frozen.say("yes"), bob.next("post", lambda post: post.text == "yes")
    assert frozen.of("unreadable") == []


def test_a_server_that_stops_says_so(make: Make, join: Join) -> None:
    server = make()
    alice = join(server, "alice")
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert alice.ended() == "shutdown"
    alice.socket.close()
    stopping.join()
