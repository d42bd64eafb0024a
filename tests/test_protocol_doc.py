"""docs/PROTOCOL.md says what the program does: its tables are compared with the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from client import messages
from client.connection import deadlines, handshake
from protocol import codec, confusable_table, errors, frames, keys
from protocol import limits as protocol_limits
from protocol.codec import Codec
from protocol.errors import ChatError, Malformed
from protocol.frames import Frame
from protocol.names import RESERVED
from server import limits
from server.http import ANSWERS, TTL_DEFAULT, TTL_MOST

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "PROTOCOL.md").read_text("utf-8")


def section(title: str) -> str:
    """The text under a heading, up to the next one of any level."""
    _, found, rest = DOCUMENT.partition(f"# {title}\n")
    assert found, f"no section {title}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str, first: str) -> list[list[str]]:
    """The cells of the table that begins with the column ``first`` in a section."""
    lines = section(title).split("\n")
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {first} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def names(title: str, first: str) -> list[str]:
    return [row[0].strip("`") for row in rows(title, first)]


# Frames

CODECS = {
    id(each): name
    for name, each in {
        "count": codec.COUNT, "flag": codec.FLAG, "seconds": codec.SECONDS,
        "announcement": codec.ANNOUNCEMENT,
        "nick": codec.NICK, "room": codec.ROOM, "code": codec.CODE, "nonce": codec.NONCE,
        "share": codec.SHARE, "log id": codec.LOG_ID, "hash": codec.HASH,
        "wrapped": codec.WRAPPED, "signature": codec.SIGNATURE, "token": codec.TOKEN,
        "bundle": codec.BUNDLE, "token id": codec.TOKEN_ID, "secret": codec.TOKEN_SECRET,
    }.items()
}  # fmt: skip
PARTS = {
    frames.Box: "box",
    frames.Wrap: "wrap",
    frames.MemberLine: "member",
    frames.RoomLine: "room line",
    frames.Stay: "stay",
    frames.Position: "position",
}
HINTS: dict[Any, str] = {
    **PARTS,
    **{tuple[part, ...]: f"list of {name}" for part, name in PARTS.items()},  # type: ignore[valid-type]
    tuple[Frame, ...]: "log entries",
}
SIZES = {keys.RSA_BYTES: "rsa", keys.KEM_BYTES: "kem"}


def accepts(codec: Codec, value: Any) -> bool:
    try:
        codec.read(value)
    except Malformed:
        return False
    return True


def type_of(kind: type[Frame], name: str, codec: Codec) -> str:
    if id(codec) in CODECS:
        return CODECS[id(codec)]
    hint = get_type_hints(kind)[name]
    if hint in HINTS:
        return HINTS[hint]
    (found,) = (text for size, text in SIZES.items() if accepts(codec, keys.to_text(bytes(size))))
    return found


def described(kind: type[Frame]) -> str:
    """The `keys` cell that a frame has to have."""
    found = []
    for field in fields(kind):  # type: ignore[arg-type]  # each is a dataclass
        key = field.metadata["key"] or field.name
        mark = "?" if field.default is None else ""
        found.append(f"`{key}`{mark} {type_of(kind, field.name, field.metadata['codec'])}")
    return ", ".join(found)


TABLES: list[tuple[str, str, dict[str, type[Frame]]]] = [
    ("In clear", "frame", frames.CLEAR_FRAMES),
    ("From the client", "frame", frames.CLIENT_FRAMES),
    ("From the server", "frame", frames.SERVER_FRAMES),
    ("Log entries", "entry", frames.LOG_ENTRIES),
    ("Objects", "object", {name: kind for kind, name in PARTS.items()}),
]


@pytest.mark.parametrize(("title", "first", "table"), TABLES, ids=[row[0] for row in TABLES])
def test_frames(title: str, first: str, table: dict[str, type[Frame]]) -> None:
    assert {row[0].strip("`"): row[2] for row in rows(title, first)} == {
        name: described(kind) for name, kind in table.items()
    }
    assert len(rows(title, first)) == len(table)


@pytest.mark.parametrize(("title", "direction"), [("From the client", "client"),
                                                  ("From the server", "server")])  # fmt: skip
def test_directions(title: str, direction: str) -> None:
    assert {row[1] for row in rows(title, "frame")} == {direction}


def test_answers_are_frames() -> None:
    known = {*frames.CLEAR_FRAMES, *frames.CLIENT_FRAMES, *frames.SERVER_FRAMES, "seq", "ref"}
    for title in ("In clear", "From the client", "From the server"):
        for row in rows(title, "frame"):
            assert set(re.findall(r"`(\w+)`", row[3])) <= known
            requests = "ref" in row[2] and row[1] == "client"
            assert not requests or row[3].split("`")[1] in ("accepted", "rooms", "minted")


def test_every_type_of_a_field_is_explained() -> None:
    explained = {name for row in rows("Frames", "type") for name in row[0].split(", ")}
    used = {
        name
        for _, _, table in TABLES
        for kind in table.values()
        for cell in described(kind).split(", ")
        for name in re.sub(r"list of ", "list of …, ", cell.partition(" ")[2]).split(", ")
    }
    assert explained == used


@pytest.mark.parametrize(
    ("codec", "most"),
    [(codec.NICK, 64), (codec.ROOM, 128), (codec.CODE, 32), (codec.ANNOUNCEMENT, 1000)],
)
def test_lengths_of_texts(codec: Codec, most: int) -> None:
    assert accepts(codec, "x" * most) and not accepts(codec, "x" * (most + 1))
    assert "text of at most 64, 128, 32, 1,000 characters" in section("Frames")


# Errors


def tree(kind: type[ChatError] = ChatError) -> Iterator[type[ChatError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from tree(each)


def own_errors() -> list[type[ChatError]]:
    return [kind for kind in tree() if kind.__module__ == errors.__name__]


def test_error_codes() -> None:
    never_sent = {errors.Refusal.code, errors.KeyUnusable.code}
    expected = {
        kind.code: str(kind.close_code) for kind in own_errors() if kind.code not in never_sent
    }
    found = {row[0].strip("`"): row[1] for row in rows("Errors", "code")}
    assert found == expected
    assert len(rows("Errors", "code")) == len(found)


def test_strikes_are_marked() -> None:
    strikes = {kind.code for kind in own_errors() if issubclass(kind, errors.RemoteError)}
    marked = {row[0].strip("`") for row in rows("Errors", "code") if row[2].endswith("; a strike")}
    assert marked == strikes


def test_goodbyes_are_those_of_the_server() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "server").glob("*.py"))
    says = r"(?:close|close_old|_say_why|end_token)"
    pattern = rf'{says}\((?:\w+, )?"(\w+)"\)|\(token_id, "(\w+)"\)|_reason or "(\w+)"'
    used = {each for found in re.findall(pattern, sources) for each in found if each}
    used |= set(re.findall(r'reason(?:: str = |=)"(\w+)"', sources))
    assert set(names("Errors", "reason")) == used
    assert used <= set(messages._DISCONNECTED)


def test_form_errors() -> None:
    found = {row[0].strip("`"): int(row[1]) for row in rows("Tokens and forms", "code")}
    assert found == {code: int(status) for code, (status, _) in ANSWERS.items()}
    assert f"1 to {TTL_MOST:,}; {TTL_DEFAULT:,} if absent" in section("Tokens and forms")


# Times


def test_how_long_each_side_waits() -> None:
    """The numbers are the program's, and a client outlasts whatever a server may do."""
    stated = {(row[0], row[1]): row[2] for row in rows("How long each side waits", "side")}
    turn, proof = f"{limits.PATIENCE:.0f} at most", f"{limits.HANDSHAKE_SECONDS:.0f}"
    greeted, answered = f"{handshake.ATTEMPT_SECONDS:.0f}", f"{handshake.ANSWER_SECONDS:.0f}"
    assert stated == {
        ("server", "TLS and the request"): f"{limits.REQUEST_SECONDS:.0f}",
        ("server", "`hello`, from `greeting` on"): proof,
        ("server", "the client's turn before `key`"): turn,
        ("server", "`confirm`, from `key` on"): proof,
        ("server", "the client's turn before `confirm` is judged"): turn,
        ("server", "before it answers a wrong proof, its turn included"): turn,
        ("client", "connecting, TLS, the upgrade and `greeting`"): greeted,
        ("client", "`key`, from `hello` on"): answered,
        ("client", "the first record, from `confirm` on"): answered,
        (
            "client",
            "each of its rooms, from `welcome` or the one before, and from each member of a "
            "roster on",
        ): "30",
        ("client", "the answer to the oldest `ref` that has none"): "60",
        ("client", "the next `log`, for a post that was accepted and has not come by"): "60",
        ("both", "a record"): "`heartbeat_timeout`",
        ("server", "a client that was lost"): "`heartbeat_timeout`",
    }
    assert deadlines.LIMITS == {"room": 30.0, "answer": 60.0, "place": 60.0}
    assert handshake.ANSWER_SECONDS >= limits.PATIENCE + limits.HANDSHAKE_SECONDS


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("judges {:.0f} wrong `confirm`s a second", [limits.GUESSES_A_SECOND]),
        ("; {:.0f} of a /48) and {:.0f} in all,",
         [2 * limits.GUESSES_A_SECOND, limits.GUESSES_OF_ALL_A_SECOND]),
        ("after {:.0f} ({:.0f}, {:.0f}) at once",
         [limits.GUESS_BURST, 2 * limits.GUESS_BURST, limits.GUESS_BURST_OF_ALL]),
        ("makes {:.0f} `key`s a second", [limits.HANDSHAKES_A_SECOND]),
        ("{:.0f} in all, after {:.0f} ({:.0f}).",
         [limits.HANDSHAKES_OF_ALL_A_SECOND, limits.HANDSHAKE_BURST,
          limits.HANDSHAKE_BURST_OF_ALL]),
        ("After {} wrong proofs", [limits.FREE_FAILURES]),
        ("by {:.1f} seconds for each", [1 / limits.ANSWERS_A_SECOND]),
        ("{} of an address, {:,} in all", [limits.UNPROVEN_OF_ADDRESS, limits.UNPROVEN]),
    ],
)  # fmt: skip
def test_what_a_stranger_is_allowed(words: str, values: list[float]) -> None:
    assert words.format(*values) in " ".join(section("How long each side waits").split())


# Numbers and labels


def test_numbers() -> None:
    found = {row[0].strip("`"): int(row[1].replace(",", "")) for row in rows("Numbers", "number")}
    assert found == {name: getattr(protocol_limits, name) for name in found}
    source = (ROOT / "protocol" / "limits.py").read_text("utf-8")
    specified = source.partition("# Specification")[2].partition("# Implementation")[0]
    assert set(re.findall(r"^([A-Z_]+) =", specified, re.MULTILINE)) <= set(found)


def test_labels() -> None:
    folders = ("protocol", "client", "server", "transport", "settings")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    sources = "\n".join(path.read_text("utf-8") for path in paths)
    used = set(re.findall(r'"(cmdchat [a-z ]+ \d+)"', sources))
    for name in ("history", "identity", "cluster"):  # they are not on the wire
        local = {label for label in used if label.startswith(f"cmdchat {name} ")}
        page = (ROOT / "docs" / f"{name.upper()}.md").read_text("utf-8")
        assert local and all(f'"{label}"' in page for label in local)
        used -= local
    found = names("Labels", "label")
    assert found == sorted(used)
    for label in used:
        assert f'"{label}"' in DOCUMENT, f"{label} is in the list, and nowhere used"
    assert set(re.findall(r'"(cmdchat [^"]*)"', DOCUMENT)) == used


def test_each_label_is_used_in_one_place() -> None:
    """A label belongs to one purpose, so it stands in the code (not in its comments) once."""
    for label in names("Labels", "label"):
        calls = 0
        for folder in ("protocol", "client"):
            for path in (ROOT / folder).rglob("*.py"):
                calls += len(re.findall(rf'[(\s]"{label}"[,)]', _code(path)))
        assert calls == 1, label


def _code(path: Path) -> str:
    return re.sub(r'""".*?"""', "", path.read_text("utf-8"), flags=re.DOTALL)


def test_reserved_nicknames() -> None:
    text = section("Names").partition("**Reserved words.**")[2]
    listed = re.findall(r"`(\w+)`", text)
    assert set(listed) - {"bad_nick"} == RESERVED
    assert f"Unicode {confusable_table.UNICODE}'s" in section("Names")


def test_reasons_of_unreadable_posts() -> None:
    reasons = {name for row in rows("Judging a post", "layer") for name in
               re.findall(r"`(\w+)`", row[2])}  # fmt: skip
    assert reasons == set(messages._UNREADABLE)


def test_links_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", DOCUMENT, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", DOCUMENT)) <= anchors
