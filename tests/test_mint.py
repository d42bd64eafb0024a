"""Tokens that members have made for those whom they invite: who may, how many, and for whom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from protocol import frames
from protocol.errors import ServerFull, TokenBound, TooManyTokens
from protocol.names import nick_key
from server import limits
from server.app import ChatServer
from server.auth import Inviter, Tokens
from tests.test_rate_limits import Clock
from tests.test_server_rooms import pick
from tests.wire import Wire

Wires = Callable[..., Wire]


def minted(wire: Wire, ref: int) -> frames.Minted:
    """What a `mint` is answered with."""
    wire.send(frames.Mint(ref))
    found: frames.Minted = wire.find(frames.Minted)
    assert found.ref == ref
    return found


def refused(wire: Wire, request: frames.Request) -> str:
    """The code of what it is refused with."""
    wire.send(request)
    found = pick(wire, lambda frame: isinstance(frame, frames.Refused))
    assert found.ref == request.ref
    return str(found.code)


def kept_out(wire: Wire, nick: str) -> str:
    """The code with which a handshake ends."""
    wire.greet()
    wire.prove(nick)
    return str(wire.refusal().code)


def test_who_is_invited_chooses_a_nickname_and_needs_no_password(
    server: ChatServer, wires: Wires
) -> None:
    alice = wires(server, 0).join("alice")
    answer = minted(alice, 1)
    assert answer.seconds == limits.INVITE_SECONDS
    guest = wires(server, 1, token=answer.token).join("guest")
    assert set(guest.roster) == {"alice", "guest"}
    guest.send(frames.Nick(1, guest.at, "gast"))
    assert guest.find(frames.Accepted).ref == 1
    guest.send(frames.Bye("left"))
    guest.ended()
    guest = wires(server, 1, token=answer.token).join("somebody")  # the same person, once more
    assert "somebody" in guest.roster
    assert kept_out(wires(server, 2, token=answer.token), "thief") == "token_bound"


def test_a_nickname_has_to_be_said_and_may_be_nobodys(server: ChatServer, wires: Wires) -> None:
    alice = wires(server, 0).join("alice")
    token = minted(alice, 1).token
    reserved = server._services.tokens.mint("carol", 60.0)
    for nick, code in (("", "bad_nick"), ("Alice", "nick_taken"), ("car0l", "nick_reserved")):
        assert kept_out(wires(server, 1, token=token), nick) == code
    # It was bound to nobody by that.
    assert "dave" in wires(server, 2, token=token).join("dave").roster
    assert "carol" in wires(server, 3, token=reserved).join("").roster


def test_only_who_came_with_the_password_has_any_made(server: ChatServer, wires: Wires) -> None:
    alice = wires(server, 0).join("alice")
    guest = wires(server, 1, token=minted(alice, 1).token).join("guest")
    assert refused(guest, frames.Mint(1)) == "password_only"
    holder = wires(server, 2, token=server._services.tokens.mint("bob", 60.0)).join("")
    assert refused(holder, frames.Mint(1)) == "password_only"


def test_they_count_as_commands(serve: Callable[..., ChatServer], wires: Wires) -> None:
    server = serve(max_messages_per_window=2)
    alice = wires(server, 0).join("alice")
    minted(alice, 1)
    alice.send(frames.ListRooms(2))
    alice.find(frames.RoomLines)
    assert refused(alice, frames.Mint(3)) == "rate_limited"


def test_one_that_is_asked_again_is_another_one(server: ChatServer, wires: Wires) -> None:
    """Nobody keeps its secret, and whoever read the first answer has nothing of it."""
    alice = wires(server, 0).join("alice")
    first = minted(alice, 1)
    again = wires(server, 0).join("alice", resume=alice.resume_point(1))  # the answer was lost
    assert again.welcome is not None and again.welcome.resumed
    second = minted(again, 1)
    assert second.id != first.id and second.secret != first.secret
    assert kept_out(wires(server, 1, token=first.token), "thief") == "auth_failed"
    assert len(server._services.tokens.live()) == 1
    wires(server, 2, token=second.token).join("guest")
    assert refused(again, frames.Mint(1)) == "repeated"  # it was used, so it had come
    assert refused(again, frames.Nick(1, again.at, "alicia")) == "repeated"
    kept = server._services.sessions.find(again.identity.fingerprint)
    assert kept is not None and kept.answered(1) == b""


def test_a_refusal_is_given_again_as_any_other(server: ChatServer, wires: Wires) -> None:
    alice = wires(server, 0).join("alice")
    for ref in range(1, limits.INVITES_OF_ONE + 1):
        minted(alice, ref)
    ref = limits.INVITES_OF_ONE + 1
    assert refused(alice, frames.Mint(ref)) == "too_many_tokens"
    server._services.tokens.revoke(server._services.tokens.live()[0].id)
    assert refused(alice, frames.Mint(ref)) == "too_many_tokens"
    minted(alice, ref + 1)


def test_of_what_a_session_keeps_of_them_the_oldest_goes(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ANSWERS", 2)
    alice = wires(server, 0).join("alice")
    for ref in (1, 2, 3):
        minted(alice, ref)
    session = server._services.sessions.find(alice.identity.fingerprint)
    assert session is not None and set(session._minted) == {2, 3}
    assert refused(alice, frames.Mint(1)) == "repeated"


def test_one_place_for_each(server: ChatServer, wires: Wires) -> None:
    """As with any token; and it ends when it is revoked."""
    alice = wires(server, 0).join("alice")
    answer = minted(alice, 1)
    guest = wires(server, 1, token=answer.token).join("guest")
    token_id = answer.token.partition(".")[0]
    assert server._services.tokens.revoke(token_id) == token_id
    server._services.sessions.end_token(token_id)
    assert guest.find(frames.Bye).reason == "revoked"
    assert kept_out(wires(server, 1, token=answer.token), "guest") == "auth_failed"


# The table


def inviter(number: int, group: str = "here") -> Inviter:
    return Inviter(f"nick{number}", number.to_bytes(32, "big"), group)


def test_they_are_bounded_for_a_person_for_an_address_and_in_all() -> None:
    tokens = Tokens()
    for _ in range(limits.INVITES_OF_ONE):
        tokens.invite(inviter(0))
    with pytest.raises(TooManyTokens) as caught:
        tokens.invite(inviter(0, "elsewhere"))
    wait = caught.value.params["retry_after"]
    assert isinstance(wait, int) and 0 < wait <= limits.INVITE_SECONDS
    for number in range(limits.INVITES_OF_ONE, limits.INVITES_OF_ADDRESS):
        tokens.invite(inviter(number))
    with pytest.raises(TooManyTokens):
        tokens.invite(inviter(1000))
    for number in range(limits.INVITES_OF_ADDRESS, limits.INVITES):
        tokens.invite(inviter(2000 + number, str(number)))
    with pytest.raises(ServerFull):
        tokens.invite(inviter(3000, "the last"))
    for number in range(limits.TOKENS - limits.INVITES):  # there is room for those of the server
        tokens.mint(f"n{number}", 60.0)
    with pytest.raises(ServerFull):
        tokens.mint("one-more", 60.0)


def test_they_end_and_make_room() -> None:
    clock = Clock()
    tokens = Tokens(clock)
    ids = [tokens.invite(inviter(0))[0] for _ in range(limits.INVITES_OF_ONE)]
    assert tokens.claim(ids[0], b"guest") and not tokens.take_back(ids[0])
    with pytest.raises(TokenBound):
        tokens.claim(ids[0], b"thief")
    assert tokens.take_back(ids[1]) and not tokens.take_back(ids[1])
    assert tokens.why_ended(ids[1]) == "revoked"
    tokens.invite(inviter(0))
    clock.now += limits.INVITE_SECONDS
    assert tokens.live() == [] and tokens.why_ended(ids[0]) == "expired"
    tokens.invite(inviter(0))


def test_they_keep_no_nickname_from_anybody() -> None:
    tokens = Tokens()
    tokens.invite(inviter(0))
    for nick in ("nick0", "none", nick_key("None")):
        tokens.check(nick)


def test_whoever_came_with_one_goes_when_it_ends(
    server: ChatServer, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INVITE_SECONDS", 2.0)
    alice = wires(server, 0).join("alice")
    guest = wires(server, 1, token=minted(alice, 1).token).join("guest")
    assert guest.find(frames.Bye).reason == "expired"


def test_the_bounds_are_those_of_the_document() -> None:
    document = (Path(__file__).parent.parent / "docs" / "PROTOCOL.md").read_text("utf-8")
    assert limits.INVITE_SECONDS == 7 * 24 * 3600 and "lives for seven days" in document
    assert f"has asked for {limits.INVITES_OF_ONE} live at once" in document
    assert f"{limits.INVITES_OF_ADDRESS} of one address" in document
    assert f"and {limits.INVITES} in all (`server_full`)" in document
