"""Invite links: what a link says comes back from it, and everything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from protocol.frames import Minted
from protocol.invite import InviteLink, is_invite, parse_invite
from tests.second_client import read_invite

TOKEN = "AbCdEfGhIjKlMn-_." + "k" * 41 + "-8"
FP = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("invite", "link"),
    [
        (InviteLink("localhost", 1000, "team", "s"), "cmdchat://localhost/team#s"),
        (InviteLink("a.example", 99, "team", None), "cmdchat://a.example:99/team"),
        (InviteLink("::1", 99, "café", "a b#c"), "cmdchat://[::1]:99/caf%C3%A9#a%20b%23c"),
        (InviteLink("a", 1000, "r", "s", True, FP), f"cmdchats://a/r?fp={FP}#s"),
        (InviteLink("a", 1000, "r", "s", True), "cmdchats://a/r#s"),
        (InviteLink("a"), "cmdchat://a/"),
        (InviteLink("a", room="r", path="/chat"), "cmdchat://a/r?path=/chat"),
        (InviteLink("a", 1000, "r", "s", True, FP, "/a/b-c"), f"cmdchats://a/r?fp={FP}&path=/a/b-c#s"),
        (InviteLink("a", tls=True, path="/chat"), "cmdchats://a/?path=/chat"),
        (InviteLink("a", room="r", secret="s", token=TOKEN), f"cmdchat://a/r#s/token={TOKEN}"),
        (InviteLink("a", room="r", token=TOKEN), f"cmdchat://a/r#/token={TOKEN}"),
        (
            InviteLink("a", 9, "r", "/token=x", True, FP, "/b", TOKEN),
            f"cmdchats://a:9/r?fp={FP}&path=/b#%2Ftoken%3Dx/token={TOKEN}",
        ),
        (
            InviteLink("a", 9, "r", "s", others=(("::1", 1000), ("b.example", 7))),
            "cmdchat://a:9,[::1],b.example:7/r#s",
        ),
        (
            InviteLink("a0", room="r", others=tuple((f"a{n}", 1000) for n in range(1, 16))),
            f"cmdchat://{','.join(f'a{n}' for n in range(16))}/r",
        ),
    ],
)
def test_a_link_and_its_invite(invite: InviteLink, link: str) -> None:
    assert invite.link() == link
    assert parse_invite(link) == invite


@pytest.mark.parametrize(
    ("link", "invite"),
    [
        ("cmdchat://a", InviteLink("a")),
        (" CMDCHATS://a/r?fp=" + FP.upper() + "#s\n", InviteLink("a", 1000, "r", "s", True, FP)),
        ("cmdchat://a/r#", InviteLink("a", room="r")),
        ("cmdchat://a/r#?fp=x", InviteLink("a", room="r", secret="?fp=x")),
        ("cmdchat://a/r#a/b&token=c", InviteLink("a", room="r", secret="a/b&token=c")),
        ("cmdchat://a/r#a/TOKEN=" + TOKEN, InviteLink("a", room="r", secret="a", token=TOKEN)),
        ("cmdchat://[fe80::1%25eth0]/r", InviteLink("fe80::1%eth0", room="r")),
        ("cmdchat://[fe80::1%eth0]/r", InviteLink("fe80::1%eth0", room="r")),
    ],
)
def test_other_ways_to_write_a_link(link: str, invite: InviteLink) -> None:
    assert parse_invite(link) == invite


def test_the_second_client_reads_the_same_of_a_link_with_several_addresses() -> None:
    link = f"cmdchats://a:9,[::1],b.example:7/caf%C3%A9?fp={FP}&path=/x#s%2F/token={TOKEN}"
    ours, theirs = parse_invite(link), read_invite(link)
    assert ours.others == (("::1", 1000), ("b.example", 7))
    for field, value in theirs._asdict().items():
        assert getattr(ours, field) == value


def test_secrets_are_in_no_text_of_an_invite() -> None:
    """Nor is a token in that of the frame that brings it."""
    shown = repr(InviteLink("a", room="r", secret="hidden", token=TOKEN))
    assert "hidden" not in shown and TOKEN[17:] not in shown
    minted = Minted(1, bytes(12), b"s" * 32, 60.0)
    assert parse_invite(f"cmdchat://a/r#/token={minted.token}").token == minted.token
    assert "sss" not in repr(minted)


def test_a_zone_is_in_no_link() -> None:
    """It names an interface of one machine."""
    invite = InviteLink("fe80::1%eth0", 99, "r", "s")
    assert invite.link() == "cmdchat://[fe80::1]:99/r#s"
    assert invite.server == "[fe80::1%eth0]:99"


@pytest.mark.parametrize(
    "link",
    [
        "", "a", "http://a/r", "cmdchat:a", "cmdchat://", "cmdchat:///r", "cmdchat://a:0/r",
        "cmdchat://a:65536/r", "cmdchat://a:x/r", "cmdchat://a:/r", "cmdchat://me@a/r",
        "cmdchat://a/r/s", "cmdchat://a/r s", f"cmdchat://a/r?fp={FP}", "cmdchats://a/r?fp=12",
        "cmdchats://a/r?x=1", "cmdchat://::1/r", "cmdchat://a/%FF", "cmdchat://a/r#%FF",
        "cmdchat://a/r?path=", "cmdchat://a/r?path=/", "cmdchat://a/r?path=chat",
        "cmdchat://a/r?path=/a%2Fb", "cmdchat://a/r&path=/a", "cmdchat://a/r?path=/a?path=/b",
        f"cmdchats://a/r?fp={FP}?path=/a", f"cmdchats://a/r?path=/a&fp={FP}",
        "cmdchat://a/r#s/token=", "cmdchat://a/r#/token=x", f"cmdchat://a/r#s/token={TOKEN[:-1]}",
        f"cmdchat://a/r#s/token={TOKEN}8", f"cmdchat://a/r#s/token={TOKEN[:-1]}9",
        f"cmdchat://a/r#s/token={TOKEN}/token={TOKEN}", f"cmdchat://a/r#s/token={TOKEN}#",
        f"cmdchat://a/r#/token={TOKEN[:-1]}\u212a", f"cmdchat://a/r#/token={TOKEN} x",
        f"cmdchat://a/r#/token={TOKEN.replace('A', '%41')}",
        "cmdchat://a,/r", "cmdchat://,a/r", "cmdchat://a,,b/r", "cmdchat://a:1,b:0/r",
        "cmdchat://a:1,b:x/r", "cmdchat://a,b c/r", "cmdchat://a,A:1000/r", "cmdchat://a.,a/r",
        "cmdchat://[::1],[0::1]/r", f"cmdchat://{','.join(f'a{n}' for n in range(17))}/r",
    ],
)  # fmt: skip
def test_what_is_no_link_is_refused_and_not_repeated(link: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_invite(link)
    assert caught.value.params == {}


letters = st.characters(exclude_categories=["Cs"])
texts = st.text(letters, min_size=1)


@given(
    room=texts,
    others=st.sets(st.sampled_from(["b.example", "::1", "10.0.0.7", "é"])).map(tuple),
    secret=texts | texts.map(lambda text: f"{text}/token={TOKEN}"),
    port=st.integers(1, 65535),
    tls=st.booleans(),
    token=st.none() | st.just(TOKEN),
)
def test_every_room_and_secret_come_back(
    room: str, others: tuple[str, ...], secret: str, port: int, tls: bool, token: str | None
) -> None:
    further = tuple((host, port) for host in others)
    invite = InviteLink("chat.example.org", port, room, secret, tls, token=token, others=further)
    assert parse_invite(invite.link()) == invite
    assert invite.link().replace("é", "").isascii() and not set(" \n") & set(invite.link())


@given(st.text(letters) | texts.map(lambda text: "cmdchat://" + text))
def test_any_text_is_an_invite_or_malformed(text: str) -> None:
    try:
        invite = parse_invite(text)
    except Malformed:
        return
    assert is_invite(text)
    assert parse_invite(invite.link()) == invite


@pytest.mark.parametrize("text", ["cmdchat://", " CmdChats://x", "cmdchat://a b"])
def test_a_link_is_recognised_by_its_beginning(text: str) -> None:
    assert is_invite(text)
    assert not is_invite("localhost" + text.strip())
