"""Passwords, tokens, and what failed proofs cost."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import link, pake
from protocol.errors import ServerFull, TooManyAttempts
from server import bounds
from server.auth import Attempts, Password, Tokens, address_group, random_prs
from tests.test_limiter import Clock
from tests.wire import LONG

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


def test_a_token_ends(tokens: Tokens, clock: Clock) -> None:
    """To the second; afterwards it is as if it had never been."""
    token_id, _ = split(tokens.mint("alice", 60))
    name = link.token_name(SID, token_id)
    assert tokens.next_expiry() == 60.0
    clock.now += 59.5
    assert tokens.find(SID, name) is not None and tokens.why_ended(token_id) is None
    assert tokens.holds("ALICE") and tokens.next_expiry() == 0.5
    clock.now += 0.5
    assert tokens.next_expiry() == 0.0
    assert tokens.find(SID, name) is None and tokens.why_ended(token_id) == "expired"
    assert not tokens.holds("alice") and tokens.next_expiry() is None
    assert tokens.revoke(token_id) is None


def test_who_expired_is_told_once(tokens: Tokens, clock: Clock) -> None:
    """However it was noticed first."""
    first, _ = split(tokens.mint("alice", 10))
    second, _ = split(tokens.mint("bob", 20))
    assert tokens.take_expired() == []
    clock.now += 10.0
    tokens.live()
    assert tokens.take_expired() == [first]
    assert tokens.take_expired() == []
    clock.now += 10.0
    assert tokens.take_expired() == [second]


def test_revoking_by_id_or_whole(tokens: Tokens) -> None:
    """With a wrong secret it is not that token."""
    first, second = tokens.mint("alice", 60), tokens.mint("bob", 60)
    assert tokens.revoke(split(first)[0] + ".wrong") is None
    assert tokens.why_ended(split(first)[0]) is None
    assert tokens.revoke(split(first)[0]) == split(first)[0]
    assert tokens.revoke(split(first)[0]) is None
    assert tokens.revoke(second) == split(second)[0]
    assert tokens.live() == [] and tokens.take_expired() == []


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
    assert tokens.holds("aLICE") and tokens.holds("\uff21lice")
    assert tokens.holds("aIice") and not tokens.holds("alic")


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


# Attempts


@pytest.fixture
def attempts(clock: Clock) -> Attempts:
    """None yet."""
    return Attempts(clock)


def fail(attempts: Attempts, times: int, group: str = "a") -> None:
    """Handshakes that do not prove anything."""
    for _ in range(times):
        attempts.begin(group)
        attempts.end(group, proven=False)


def test_delays_grow_and_end(attempts: Attempts) -> None:
    """Typing mistakes are free, then it doubles, then it stays."""
    delays = []
    for _ in range(12):
        delays.append(attempts.delay("a"))
        fail(attempts, 1)
    assert delays[:8] == [0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0]
    assert set(delays[8:]) == {bounds.LONGEST_DELAY}
    assert attempts.delay("b") == 0.0


def test_a_million_failures_are_no_overflow(attempts: Attempts) -> None:
    """The counter may grow for ever."""
    fail(attempts, 1)
    attempts._addresses["a"].failures = 10**9
    assert attempts.delay("a") == bounds.LONGEST_DELAY


def test_what_was_proven_costs_nothing(attempts: Attempts) -> None:
    """And leaves nothing behind; what failed before still counts."""
    for _ in range(10):
        attempts.begin("a")
        attempts.end("a", proven=True)
    assert len(attempts) == 0
    fail(attempts, 4)
    attempts.begin("a")
    attempts.end("a", proven=True)
    assert attempts.delay("a") == 0.5


def test_open_handshakes_add_no_delay(attempts: Attempts) -> None:
    """Only failed ones do."""
    for _ in range(bounds.OPEN_HANDSHAKES):
        attempts.begin("a")
        assert attempts.delay("a") == 0.0


def test_eight_are_open_and_the_ninth_waits_for_its_turn(attempts: Attempts) -> None:
    """Until one ends; another address need not wait."""
    for _ in range(bounds.OPEN_HANDSHAKES):
        attempts.begin("a")
    with pytest.raises(TooManyAttempts) as refused:
        attempts.begin("a", patience=0.0)
    assert refused.value.params["retry_after"] == bounds.LONGEST_DELAY
    attempts.begin("b", patience=0.0)
    waiting, came = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        attempts.begin("a", patience=LONG)
        came.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(LONG)
    assert not came.is_set()
    attempts.end("a", proven=True)
    assert came.wait(LONG)
    thread.join()


def test_who_was_refused_a_turn_holds_no_place(attempts: Attempts) -> None:
    """Nor is it counted as a failure."""
    for _ in range(bounds.OPEN_HANDSHAKES):
        attempts.begin("a")
    for _ in range(5):
        with pytest.raises(TooManyAttempts):
            attempts.begin("a", patience=0.0)
    for _ in range(bounds.OPEN_HANDSHAKES):
        attempts.end("a", proven=True)
    assert len(attempts) == 0


def test_failures_are_forgotten(attempts: Attempts, clock: Clock) -> None:
    """After a quarter of an hour without one; not while a handshake is open."""
    fail(attempts, 5)
    clock.now += bounds.FORGET_FAILURES - 1
    assert attempts.sweep() is not None and attempts.delay("a") > 0.0
    fail(attempts, 1)
    clock.now += bounds.FORGET_FAILURES - 1
    attempts.sweep()
    assert len(attempts) == 1
    clock.now += 1
    attempts.begin("a")
    attempts.sweep()
    assert len(attempts) == 1
    attempts.end("a", proven=True)
    assert attempts.sweep() is None
    assert len(attempts) == 0 and attempts.delay("a") == 0.0


def test_old_failures_do_not_add_to_new_ones(attempts: Attempts, clock: Clock) -> None:
    """Also where nobody has swept meanwhile."""
    fail(attempts, 10)
    clock.now += bounds.FORGET_FAILURES
    fail(attempts, 1)
    assert attempts.delay("a") == 0.0


def test_forms_share_the_count(attempts: Attempts, clock: Clock) -> None:
    """They do not wait: they are told how long it is."""
    for _ in range(bounds.FREE_FAILURES):
        assert attempts.guess("a", right=False) == 0.0
    assert attempts.delay("a") == bounds.FIRST_DELAY
    assert attempts.guess("a", right=False) == bounds.FIRST_DELAY
    clock.now += 0.1
    assert attempts.guess("a", right=False) == pytest.approx(bounds.FIRST_DELAY - 0.1)
    clock.now += bounds.FIRST_DELAY
    assert attempts.guess("a", right=False) == 0.0
    assert attempts.guess("a", right=False) == 2 * bounds.FIRST_DELAY
    assert attempts.guess("b", right=False) == 0.0


def test_a_right_guess_too_early_is_not_told(attempts: Attempts, clock: Clock) -> None:
    """Who guesses faster than allowed learns nothing, also not that it was right."""
    for _ in range(bounds.FREE_FAILURES):
        attempts.guess("a", right=False)
    assert attempts.guess("a", right=True) > 0.0
    clock.now += bounds.FIRST_DELAY
    assert attempts.guess("a", right=True) == 0.0
    assert attempts.guess("a", right=True) == 0.0


def test_right_guesses_leave_nothing_behind(attempts: Attempts) -> None:
    """However many tokens are minted."""
    for _ in range(10):
        assert attempts.guess("a", right=True) == 0.0
    assert len(attempts) == 0


def test_many_guesses_at_once_are_not_one(attempts: Attempts) -> None:
    """A hundred threads together get as many answers as one after the other."""
    start = threading.Barrier(50)
    answered = []

    def guess() -> None:
        start.wait(LONG)
        if attempts.guess("a", right=False) == 0.0:
            answered.append(1)

    threads = [threading.Thread(target=guess) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answered) == bounds.FREE_FAILURES


def test_addresses_are_bounded(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not heard of for longest goes first."""
    monkeypatch.setattr(bounds, "ADDRESSES", 3)
    for group in ("a", "b", "c"):
        fail(attempts, 4, group)
    fail(attempts, 1, "a")
    fail(attempts, 1, "d")
    assert len(attempts) == 3
    assert attempts.delay("b") == 0.0
    assert attempts.delay("a") > 0.0 and attempts.delay("c") > 0.0


def test_an_address_that_was_forgotten_while_open(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end finds nothing, and breaks nothing."""
    monkeypatch.setattr(bounds, "ADDRESSES", 1)
    attempts.begin("a")
    attempts.begin("b")
    attempts.end("a", proven=True)
    attempts.begin("a")
    attempts.end("b", proven=False)
    attempts.end("a", proven=True)
    assert attempts._open_locked("a") == 0


def test_waiting_ends_when_patience_does(attempts: Attempts) -> None:
    """It does not hang."""
    for _ in range(bounds.OPEN_HANDSHAKES):
        attempts.begin("a")
    began = time.monotonic()
    with pytest.raises(TooManyAttempts):
        attempts.begin("a", patience=0.01)
    assert time.monotonic() - began < LONG


def test_no_token_looks_like_an_option() -> None:
    """One in 64 would begin with a ``-``, and ``--token`` would not take it."""
    tokens = Tokens(most=1000)
    assert not any(tokens.mint("alice", 60.0).startswith("-") for _ in range(1000))
