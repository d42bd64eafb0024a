"""Passwords, tokens, and what failed proofs cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import link, pake
from protocol.errors import NickReserved, ServerFull, TokenBound
from server.auth import Password, Tokens, random_prs
from server.client_address import address_group
from tests.test_rate_limits import Clock

SID = bytes(range(32))


# Addresses


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::"),
        ("fe80::1%2", "fe80::"),
        ("::1", "::"),
        ("127.0.0.1", "127.0.0.1"),
        ("", "?"),
        ("not an address", "?"),
        ("1.2.3.4.5", "?"),
    ],
)
def test_whose_failures_count_together(address: str, group: str) -> None:
    """An IPv4 address, however it is written, or the /64 of an IPv6 one."""
    assert address_group(address) == group


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_network_of_64_bits_is_one_group(network: int, one: int, other: int) -> None:
    """Whoever has a /64 cannot count as two."""
    import ipaddress

    prefix = (0x2001 << 112) | ((network >> 16) << 64)
    texts = [str(ipaddress.IPv6Address(prefix | host)) for host in (one, other)]
    assert address_group(texts[0]) == address_group(texts[1])


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_any_text_has_a_group(text: str) -> None:
    """Whatever a system calls an address, nothing is raised."""
    assert isinstance(address_group(text), str)


# The password


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scrypt, which nothing here is about."""
    monkeypatch.setattr(pake, "password_prs", lambda password: b"")


@pytest.mark.usefixtures("quick")
def test_the_password_matches_itself_only() -> None:
    """In whatever form of Unicode it was typed."""
    password = Password("caf\u00e9 \N{BUG}")
    assert password.matches("caf\u00e9 \N{BUG}")
    assert password.matches("cafe\u0301 \N{BUG}")
    for wrong in ("", "cafe \N{BUG}", "caf\u00e9 \N{BUG} ", "caf\u00e9", "CAF\u00c9 \N{BUG}"):
        assert not password.matches(wrong)


@pytest.mark.usefixtures("quick")
def test_any_text_may_be_tried() -> None:
    """Also what cannot be encoded, or is very long."""
    password = Password("x")
    assert not password.matches("\ud800")
    assert not password.matches("x" * 100_000)


def test_the_proof_is_the_one_that_clients_make(prs: bytes) -> None:
    """What the handshake needs is kept, the password is not."""
    password = Password("correct horse battery staple")
    assert password.prs == prs
    assert "correct" not in repr(vars(password))


# Tokens


def split(token: str) -> tuple[str, str]:
    """Its id and its secret."""
    token_id, _, secret = token.partition(".")
    return token_id, secret


@pytest.fixture
def clock() -> Clock:
    """One that stands still."""
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    """None yet."""
    return Tokens(clock)


def test_a_token_is_found_by_what_a_handshake_calls_it(tokens: Tokens) -> None:
    """In that handshake only; and its secret is what has to be proven."""
    wanted = tokens.mint("alice", 60)
    tokens.mint("bob", 60)
    token_id, secret = split(wanted)
    found = tokens.find(SID, link.token_name(SID, token_id))
    assert found is not None and found.nick == "alice"
    assert found.prs == pake.token_prs(secret.encode())
    assert tokens.find(bytes(32), link.token_name(SID, token_id)) is None
    assert tokens.find(SID, bytes(32)) is None


def test_no_two_tokens_are_alike(tokens: Tokens) -> None:
    """Also for one nickname."""
    minted = {tokens.mint("alice", 60) for _ in range(50)}
    assert len(minted) == 50
    assert len({split(token)[0] for token in minted}) == 50


def test_the_secret_is_not_kept(tokens: Tokens) -> None:
    """Nor what proves it, where anything is printed."""
    token = tokens.mint("alice", 60)
    (known,) = tokens.live()
    assert split(token)[1] not in repr(known) and "prs" not in repr(known)
    assert split(token)[1].encode() not in known.prs


def whose(tokens: Tokens, nick: str) -> str | None:
    """Whom a token reserves it for: another nickname that looks like it, or "" for itself."""
    try:
        tokens.check(nick)
    except NickReserved as refusal:
        return str(refusal.params.get("nick", ""))
    return None


def test_a_token_ends(tokens: Tokens, clock: Clock) -> None:
    """To the second; afterwards it is as if it had never been."""
    token_id, _ = split(tokens.mint("alice", 60))
    name = link.token_name(SID, token_id)
    assert tokens.next_expiry() == 60.0
    clock.now += 59.5
    assert tokens.find(SID, name) is not None and tokens.why_ended(token_id) is None
    assert whose(tokens, "ALICE") == "" and tokens.next_expiry() == 0.5
    clock.now += 0.5
    assert tokens.next_expiry() == 0.0
    assert tokens.find(SID, name) is None and tokens.why_ended(token_id) == "expired"
    assert whose(tokens, "alice") is None and tokens.next_expiry() is None
    assert tokens.revoke(token_id) is None


def test_who_expired_is_told_once(tokens: Tokens, clock: Clock) -> None:
    """However it was noticed first."""
    first, _ = split(tokens.mint("alice", 10))
    second, _ = split(tokens.mint("bob", 20))
    assert tokens.take_ended() == []
    clock.now += 10.0
    tokens.live()
    assert tokens.take_ended() == [(first, "expired")]
    assert tokens.take_ended() == []
    clock.now += 10.0
    assert tokens.take_ended() == [(second, "expired")]


def test_revoking_by_id_or_whole(tokens: Tokens) -> None:
    """With a wrong secret it is not that token."""
    first, second = tokens.mint("alice", 60), tokens.mint("bob", 60)
    assert tokens.revoke(split(first)[0] + ".wrong") is None
    assert tokens.why_ended(split(first)[0]) is None
    assert tokens.revoke(split(first)[0]) == split(first)[0]
    assert tokens.revoke(split(first)[0]) is None
    assert tokens.revoke(second) == split(second)[0]
    assert tokens.live() == [] and tokens.take_ended() == []


@pytest.mark.parametrize("text", ["", ".", "..", "\ud800", ".\ud800", "x" * 5000, "a.b.c", "\0"])
def test_revoking_what_is_none(tokens: Tokens, text: str) -> None:
    """Is no error."""
    tokens.mint("alice", 60)
    assert tokens.revoke(text) is None
    assert len(tokens.live()) == 1


def test_revoking_with_a_secret_that_cannot_be_encoded(tokens: Tokens) -> None:
    """Is no error either, though the id is right."""
    token_id, _ = split(tokens.mint("alice", 60))
    assert tokens.revoke(f"{token_id}.\ud800") is None
    assert tokens.why_ended(token_id) is None


def test_a_name_is_held_however_it_is_written(tokens: Tokens) -> None:
    """As nicknames are compared everywhere."""
    tokens.mint("Alice", 60)
    assert whose(tokens, "aLICE") == whose(tokens, "\uff21lice") == ""
    assert whose(tokens, "aIice") == "Alice" and whose(tokens, "alic") is None


def test_tokens_are_bounded(clock: Clock) -> None:
    """Expired ones make room."""
    tokens = Tokens(clock, most=3)
    for ttl in (10, 60, 60):
        tokens.mint("alice", ttl)
    with pytest.raises(ServerFull):
        tokens.mint("bob", 60)
    clock.now += 10.0
    tokens.mint("bob", 60)
    with pytest.raises(ServerFull):
        tokens.mint("carol", 60)


def test_nobody_can_prove_an_unknown_token() -> None:
    """It is another one each time, and as long as a real one."""
    assert random_prs() != random_prs()
    assert len(random_prs()) == len(pake.token_prs(b"x"))


def test_no_token_looks_like_an_option() -> None:
    """One in 64 would begin with a ``-``, and ``--token`` would not take it."""
    tokens = Tokens(most=1000)
    assert not any(tokens.mint("alice", 60.0).startswith("-") for _ in range(1000))


def test_a_bound_token_stays_its_holders_where_one_of_two_logins_at_once_fails() -> None:
    tokens = Tokens()
    token = tokens.mint("carol", 60, binds=True).partition(".")[0]
    assert tokens.claim(token, b"carol") and not tokens.claim(token, b"carol")
    tokens.release(token)  # the first one found the room full; the second one is in
    with pytest.raises(TokenBound):
        tokens.claim(token, b"mallory")
