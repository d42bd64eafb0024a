"""Links with a token, between real programs: made in the chat, used once, listed and revoked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from client.identity.records import Contents
from client.identity.store import create
from client.invitations import Invitations
from client.room_secrets import RoomSecrets
from protocol.frames import Minted
from protocol.invite import InviteLink, parse_invite
from server import limits
from tests.command import run_command
from tests.module_server import nick_fixture, server_fixture  # noqa: F401
from tests.processes import PASSWORD, Client, Relay, Server, Terminal
from tests.test_server_console import asked
from tests.test_tokens import form

WITHOUT = {"CLIENT_PASSWORD": "", "ADMIN_PASSWORD": ""}


def invitation(client: Client) -> str:
    """A link with a token, which somebody has made."""
    client.say("/invite --token")
    return str(client.next("invite")["link"])


def guest(link: str, nick: str, *options: str, joined: bool = True, **env: str) -> Client:
    """Somebody who has the link and no password."""
    return Client(link, nick, *options, settings={**WITHOUT, **env}, joined=joined)


def test_a_link_lets_one_person_in_without_the_password(server: Server, nick: str) -> None:
    """Into the room, with its secret; whoever finds it later stays outside."""
    with Client(server, nick, "--room", nick, "--secret=of the room") as alice:
        link = invitation(alice)
        found = parse_invite(link)
        assert (found.room, found.secret) == (nick, "of the room") and found.token is not None
        assert alice.all("invite")[0]["seconds"] == limits.INVITE_SECONDS
        assert "whoever uses it first, and nobody else, for 7 days" in alice.next("notice")["text"]
        visitor = f"v{nick[-8:]}"
        with guest(link, visitor) as somebody:
            alice.next("joined", nick=visitor)
            somebody.say("hello from outside", f"/nick w{nick[-8:]}")
            alice.next("message", from_=visitor, text="hello from outside")
            alice.next("renamed", nick=f"w{nick[-8:]}")
            alice.say("welcome")
            somebody.next("message", from_=nick, text="welcome")
            thief = guest(link, f"t{nick[-8:]}", joined=False)
            with thief:
                assert thief.next("error")["code"] == "token_bound" and thief.end() == 4
            # Who has come by a token passes none on.
            somebody.say("/invite --token")
            assert somebody.next("error")["code"] == "password_only"
            assert not somebody.all("invite")
            assert somebody.finish() == 0
        again = guest(link, visitor, joined=False)
        with again:  # as somebody else: its keys have ended
            assert again.next("error")["code"] == "token_bound" and again.end() == 4


def test_with_an_identity_that_lasts_they_come_back(
    server: Server, nick: str, tmp_path: Path
) -> None:
    path = tmp_path / "me"
    create(path, Contents.fresh(), "pw", 15)
    own = ("--identity", str(path))
    with Client(server, nick, "--room", nick) as alice:
        link = invitation(alice)
        for name in (f"v{nick[-8:]}", f"w{nick[-8:]}"):
            with guest(link, name, *own, IDENTITY_PASSPHRASE="pw") as somebody:
                alice.next("joined", nick=name)
                assert somebody.finish() == 0
                alice.next("left", nick=name)


def test_they_are_listed_and_revoked(server: Server, nick: str) -> None:
    with Client(server, nick, "--room", nick) as alice:
        token = parse_invite(invitation(alice)).token or ""
        token_id = token.partition(".")[0]
        line = ("token", "--list", "--server", server.host, "--port", str(server.port))
        listed = run_command(*line, env={"ADMIN_PASSWORD": PASSWORD}).out
        (row,) = [each for each in listed.splitlines() if each.startswith(token_id)]
        assert row.endswith(f"  (invited by {nick})  to be bound")
        (fields,) = [
            each for each in form(server, "/list_tokens")["tokens"] if each["id"] == token_id
        ]
        assert (fields["username"], fields["invited_by"]) == (None, nick)
        with guest(f"cmdchat://{server.host}:{server.port}/{nick}#/token={token}", "v") as somebody:
            told = asked(server, "tokens", re.escape(token_id))
            assert f"{token_id}  (invited by {nick})" in told and told.endswith(" left  bound\n")
            assert "revoked" in asked(server, f"revoke {token_id}", "revoked")
            assert somebody.next("disconnected")["reason"] == "revoked" and somebody.end() == 4
        assert token.partition(".")[2].encode() not in server.out


def test_a_plain_link_says_that_the_password_is_needed(server: Server, nick: str) -> None:
    with Client(server, nick, "--room", nick) as alice:
        alice.say("/invite")
        invite = alice.next("invite")
        assert "seconds" not in invite and parse_invite(invite["link"]).token is None
        assert "needs the password of the server as well" in alice.next("notice")["text"]
        alone = guest(invite["link"], f"v{nick[-8:]}", joined=False)
        with alone:
            assert alone.end() == 2 and "CLIENT_PASSWORD" in alone.errors


# Of the request, of its answer (each is some 350 bytes), and after both.
@pytest.mark.parametrize("passed", [1, 500, 650, 1500])
def test_one_that_is_asked_for_while_the_connection_breaks_comes_once(
    server: Server, nick: str, passed: int
) -> None:
    """And what an answer that was lost had brought opens nothing any more."""
    with Relay(server.port) as relay, Client(relay.address, nick, "--room", nick) as alice:
        before = {each["id"] for each in form(server, "/list_tokens")["tokens"]}
        relay.cut_after(passed)
        link = invitation(alice)
        token = parse_invite(link).token or ""
        left = {each["id"] for each in form(server, "/list_tokens")["tokens"]} - before
        assert left == {token.partition(".")[0]}
        at_server = link.replace(f":{relay.address[1]}/", f":{server.port}/")
        with guest(at_server, f"v{nick[-8:]}") as somebody:
            alice.next("joined", nick=somebody.nick)
        assert len(alice.all("invite")) == 1


def test_on_a_terminal_it_is_asked_for_the_nickname_alone(server: Server, nick: str) -> None:
    with Client(server, nick, "--room", nick) as alice:
        link = invitation(alice)
        with Terminal(["connect", link], WITHOUT) as terminal:
            terminal.sees("Your nickname: ")
            terminal.type(f"v{nick[-8:]}\n")
            terminal.sees(f"{nick[:12]}.*> ")
            alice.next("joined", nick=f"v{nick[-8:]}")


# Without a server


def test_a_token_that_nobody_asked_for_makes_no_link() -> None:
    secrets = RoomSecrets()
    secrets.give("den", "s", b"salt")
    made = Invitations(InviteLink("a.example"), secrets)
    answer = Minted(3, bytes(12), bytes(32), 3600.0)
    assert made.minted(answer) == []
    made.await_token(3, "den", [])
    made.await_token(4, "lab", [])  # the first one is answered no more: that session is over
    assert made.minted(answer) == []
    invite, notice = made.minted(Minted(4, bytes(12), bytes(32), 3600.0))
    assert json.loads(json.dumps(invite.fields()))["room"] == "lab"
    assert "1 hour" in str(notice.fields()["text"])
    assert made.minted(Minted(4, bytes(12), bytes(32), 3600.0)) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "1 hour"), (7199.0, "1 hour"), (47.9 * 3600, "47 hours"), (2 * 86400.0, "2 days"),
     (1e9, "11574 days")],
)  # fmt: skip
def test_how_long_it_lives_is_said_in_words(seconds: float, words: str) -> None:
    made = Invitations(InviteLink("a.example"), RoomSecrets())
    made.await_token(1, "den", [])
    notice = made.minted(Minted(1, bytes(12), bytes(32), seconds))[1]
    assert f"for {words}." in str(notice.fields()["text"])
