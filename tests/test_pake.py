"""CPace against the draft's vectors, against itself, and against a hostile peer."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from protocol import pake
from protocol.errors import AuthFailed
from protocol.keys import labelled
from protocol.pake import Pake, password_prs, token_prs

VECTORS = json.loads(
    (Path(__file__).parent / "vectors" / "cpace-x25519-sha512.json").read_text("utf-8")
)
RUN = {name: bytes.fromhex(value) for name, value in VECTORS["G_X25519"].items()}
SCALAR = bytes.fromhex(VECTORS["X25519_points"]["s"])
POINTS = VECTORS["X25519_points"]["points"]
LOW_ORDER = [bytes.fromhex(point["u"]) for point in POINTS if point["abort"]]

PRS, CI, SID = b"p" * 32, b"channel", b"s" * 32


def vector_run() -> tuple[Pake, Pake]:
    """Both sides as in the draft's example."""
    return (
        Pake(RUN["PRS"], RUN["CI"], RUN["sid"], scalar=RUN["ya"]),
        Pake(RUN["PRS"], RUN["CI"], RUN["sid"], scalar=RUN["yb"]),
    )


def outcome(
    initiator: Pake, responder: Pake, ad: tuple[bytes, bytes] = (b"a", b"b")
) -> tuple[bytes, bytes]:
    """Both sides' keys; ``ad`` is what the responder saw, the initiator saw a and b."""
    return (
        initiator.finish_initiator(responder.share, b"a", b"b"),
        responder.finish_responder(initiator.share, *ad),
    )


def test_generator_of_the_draft() -> None:
    assert pake._generator(RUN["PRS"], RUN["CI"], RUN["sid"]) == RUN["g"]


def test_shares_of_the_draft() -> None:
    initiator, responder = vector_run()
    assert (initiator.share, responder.share) == (RUN["Ya"], RUN["Yb"])


def test_shared_point_of_the_draft() -> None:
    initiator, responder = vector_run()
    assert initiator._finish(RUN["Yb"]) == responder._finish(RUN["Ya"]) == RUN["K"]


def test_session_key_of_the_draft() -> None:
    initiator, responder = vector_run()
    assert initiator.finish_initiator(RUN["Yb"], RUN["ADa"], RUN["ADb"]) == RUN["ISK_IR"]
    assert responder.finish_responder(RUN["Ya"], RUN["ADa"], RUN["ADb"]) == RUN["ISK_IR"]


def test_transcript_of_the_draft() -> None:
    """The optional session id output is a hash over nothing but the transcript."""
    transcript = pake._transcript_ir(RUN["Ya"], RUN["ADa"], RUN["Yb"], RUN["ADb"])
    assert hashlib.sha512(b"CPaceSidOutput" + transcript).digest() == RUN["sid_output_ir"]


def test_symmetric_outputs_of_the_draft() -> None:
    """Not used here; they check the pieces that they share with what is."""
    larger, smaller = sorted(
        [pake._lv_cat(RUN["Ya"], RUN["ADa"]), pake._lv_cat(RUN["Yb"], RUN["ADb"])], reverse=True
    )
    transcript = b"oc" + larger + smaller
    assert pake._session_key(RUN["sid"], RUN["K"], transcript) == RUN["ISK_SY"]
    assert hashlib.sha512(b"CPaceSidOutput" + transcript).digest() == RUN["sid_output_oc"]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: str(point["u"])[:16])
def test_points_of_the_draft(point: dict[str, Any]) -> None:
    side = Pake(PRS, CI, SID, scalar=SCALAR)
    if point["abort"]:
        with pytest.raises(AuthFailed):
            side._finish(bytes.fromhex(point["u"]))
    else:
        assert side._finish(bytes.fromhex(point["u"])) == bytes.fromhex(point["s*u"])


def test_both_kinds_of_points_are_in_the_vectors() -> None:
    assert len(LOW_ORDER) == 7 and len(POINTS) == 12


@pytest.mark.parametrize("share", [*LOW_ORDER, b"", bytes(31), b"x" * 31, b"x" * 33])
def test_a_bad_share_ends_the_run(share: bytes) -> None:
    for finish in (Pake.finish_initiator, Pake.finish_responder):
        side = Pake(PRS, CI, SID)
        with pytest.raises(AuthFailed):
            finish(side, share, b"", b"")
        with pytest.raises(ValueError, match="once"):
            finish(side, Pake(PRS, CI, SID).share, b"", b"")


def test_a_run_is_finished_once() -> None:
    initiator, responder = Pake(PRS, CI, SID), Pake(PRS, CI, SID)
    outcome(initiator, responder)
    with pytest.raises(ValueError, match="once"):
        initiator.finish_initiator(responder.share, b"a", b"b")
    with pytest.raises(ValueError, match="once"):
        responder.finish_responder(initiator.share, b"a", b"b")


def test_same_inputs_agree() -> None:
    ours, theirs = outcome(Pake(PRS, CI, SID), Pake(PRS, CI, SID))
    assert ours == theirs and len(ours) == pake.ISK_BYTES


@pytest.mark.parametrize(
    "other",
    [
        (b"q" * 32, CI, SID),
        (PRS, b"channel 2", SID),
        (PRS, CI, b"t" * 32),
        (PRS, b"", CI + SID),
    ],
    ids=["secret", "channel", "session", "border between channel and session"],
)
def test_other_inputs_disagree(other: tuple[bytes, bytes, bytes]) -> None:
    ours, theirs = outcome(Pake(PRS, CI, SID), Pake(*other))
    assert ours != theirs


@pytest.mark.parametrize("seen", [(b"x", b"b"), (b"a", b"x"), (b"b", b"a"), (b"ab", b"")])
def test_another_transcript_disagrees(seen: tuple[bytes, bytes]) -> None:
    ours, theirs = outcome(Pake(PRS, CI, SID), Pake(PRS, CI, SID), ad=seen)
    assert ours != theirs


def test_a_reflected_share_proves_nothing() -> None:
    side = Pake(PRS, CI, SID)
    ours = side.finish_initiator(side.share, b"a", b"b")
    honest = Pake(PRS, CI, SID)
    assert ours != honest.finish_responder(side.share, b"a", b"b")


def test_each_run_has_a_scalar_of_its_own() -> None:
    assert len({Pake(PRS, CI, SID).share for _ in range(8)}) == 8


@pytest.mark.parametrize(
    ("prs", "sid", "scalar"),
    [(b"", SID, None), (PRS, b"s" * 15, None), (PRS, SID, b"x" * 31), (PRS, SID, b"x" * 33)],
)
def test_own_inputs_are_checked(prs: bytes, sid: bytes, scalar: bytes | None) -> None:
    with pytest.raises(ValueError):
        Pake(prs, CI, sid, scalar=scalar)


@pytest.mark.parametrize(
    ("size", "prefix"),
    [(0, "00"), (5, "05"), (127, "7f"), (128, "8001"), (300, "ac02"), (16384, "808001")],
)
def test_lengths_are_leb128(size: int, prefix: str) -> None:
    field = b"x" * size
    assert pake._prepend_len(field) == bytes.fromhex(prefix) + field


@pytest.mark.parametrize("size", [1, 32, 116, 117, 118, 300])
def test_the_secret_has_its_hash_block_to_itself(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 117 bytes of secret, CI starts exactly at the second block."""
    hashed: list[bytes] = []
    sha512 = hashlib.sha512

    def recording_sha512(text: bytes) -> Any:
        hashed.append(text)
        return sha512(text)

    monkeypatch.setattr(hashlib, "sha512", recording_sha512)
    pake._generator(b"p" * size, CI, SID)
    [text] = hashed
    secret_and_padding = text.removesuffix(pake._lv_cat(CI, SID))
    blocks, rest = divmod(len(secret_and_padding), 128)
    assert (blocks == 1 and rest == 0) or (size > 117 and secret_and_padding[-1:] == b"\0")


def plain_elligator2(element: int) -> int:
    """The formula of the draft's appendix, without any care for timing."""
    p, a = 2**255 - 19, 486662
    v = -a * pow(1 + 2 * element**2, -1, p) % p
    square = pow(v**3 + a * v**2 + v, (p - 1) // 2, p) == 1
    return v if square else (-v - a) % p


def test_elligator_is_the_drafts_map() -> None:
    edges = [0, 1, 2, 2**255 - 20, 2**255 - 19, 2**255 - 1]
    for element in edges + [hash_element(i) for i in range(60)]:
        assert pake._elligator2(element) == plain_elligator2(element)


def hash_element(index: int) -> int:
    return int.from_bytes(hashlib.sha256(b"%d" % index).digest(), "little") >> 1


def test_elligator_is_blinded_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modular power sees another base each time, and the result stays."""
    bases: list[int] = []

    def recording_pow(base: int, exponent: int, modulus: int) -> int:
        bases.append(base % modulus)
        return pow(base, exponent, modulus)

    monkeypatch.setattr(pake, "pow", recording_pow, raising=False)
    results = {pake._elligator2(hash_element(1)) for _ in range(10)}
    assert results == {plain_elligator2(hash_element(1))}
    assert len(bases) == 10 and len(set(bases)) == 10


def test_no_blind_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda below: 0)
    assert pake._elligator2(hash_element(1)) == plain_elligator2(hash_element(1))
    monkeypatch.setattr(secrets, "randbelow", lambda below: below - 1)
    assert pake._elligator2(hash_element(1)) == plain_elligator2(hash_element(1))


def test_password_is_stretched_as_specified() -> None:
    """Also typed with a decomposed accent."""
    assert password_prs("pa\u0308ssword") == hashlib.scrypt(
        "p\u00e4ssword".encode(),
        salt=labelled("cmdchat password prs 1"),
        n=2**15,
        r=8,
        p=1,
        maxmem=2**26,
        dklen=32,
    )


def test_a_password_of_undecodable_bytes_works() -> None:
    assert len(password_prs("\udcff")) == pake.PRS_BYTES


def test_token_secret_is_hashed_as_specified() -> None:
    assert token_prs(b"t" * 32) == hashlib.sha256(
        labelled("cmdchat token prs 1", b"t" * 32)
    ).digest()


def test_nothing_is_no_secret() -> None:
    with pytest.raises(ValueError):
        password_prs("")
    with pytest.raises(ValueError):
        token_prs(b"")
