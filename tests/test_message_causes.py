"""Every code that the program can come to has a sentence, and no sentence is without a cause.

Causes are looked for in the sources: what is given to the calls that make an event or an ending,
and what a server can raise where it handles a frame.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from client import messages
from client.outbox import LIMITED
from protocol import errors
from protocol.errors import ChatError

ROOT = Path(__file__).parent.parent


@functools.cache
def parsed(folder: str) -> tuple[ast.Module, ...]:
    """The sources of a package, or of one module of it, without those of the sentences."""
    path = ROOT / folder
    paths = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return tuple(
        ast.parse(each.read_text(encoding="utf-8")) for each in paths if each.name != "messages.py"
    )


@functools.cache
def walked(folder: str) -> tuple[ast.AST, ...]:
    """All nodes of ``parsed`` that anything here looks at."""
    return tuple(
        node
        for tree in parsed(folder)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Call, ast.Constant, ast.Assign, ast.FunctionDef))
    )


def nodes(*folders: str) -> Iterator[ast.AST]:
    for folder in folders:
        yield from walked(folder)


def name_of(node: ast.AST) -> str:
    """The last part of what is called or raised."""
    if isinstance(node, ast.Call):
        return name_of(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def texts(node: ast.AST) -> set[str]:
    """Texts that an expression may be; those in its conditions are none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    return set()


def given(names: Iterable[str], *folders: str, place: int = 0) -> set[str]:
    """The texts that calls of these ``names`` have at a place of their arguments."""
    found: set[str] = set()
    for node in nodes(*folders):
        if isinstance(node, ast.Call) and name_of(node) in names and len(node.args) > place:
            found |= texts(node.args[place])
    return found


def constants(*folders: str) -> set[str]:
    """All texts in the sources."""
    return {
        node.value
        for node in nodes(*folders)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def assigned(attribute: str, *folders: str) -> set[str]:
    """The texts that an attribute of this name is set to."""
    found: set[str] = set()
    for node in nodes(*folders):
        if isinstance(node, ast.Assign) and attribute in map(name_of, node.targets):
            found |= texts(node.value)
    return found


def returned(function: str, *folders: str) -> set[str]:
    """The texts that a function returns."""
    found: set[str] = set()
    for node in nodes(*folders):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            for each in ast.walk(node):
                if isinstance(each, ast.Return) and each.value is not None:
                    found |= texts(each.value)
    return found


# What a server can refuse


@functools.cache
def codes() -> dict[str, str]:
    """The code of each error, by the name of its class."""
    return {
        name: kind.code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, ChatError)
    }


def raised(*folders: str) -> set[str]:
    """The codes of the errors that are raised or made anywhere in these sources."""
    made = {name_of(node) for node in nodes(*folders) if isinstance(node, ast.Call)}
    return {code for name, code in codes().items() if name in made}


def raised_within(*functions: str) -> set[str]:
    """Those of functions of the server, and of all that they call there, by its name alone; but for
    names that everything has.  Several servers refuse a post for the same reasons, but for those
    of the engine."""
    bodies: dict[str, list[ast.FunctionDef]] = {}
    for node in nodes(*(f"server/{path.name}" for path in (ROOT / "server").glob("*.py"))):
        if isinstance(node, ast.FunctionDef):
            bodies.setdefault(node.name, []).append(node)
    found: set[str] = set()
    # ``charge`` refuses what other servers have told; one's own keys are as they should be.
    seen, left = {*functions, "add", "take", "charge"}, list(functions)
    while left:
        for body in bodies.get(left.pop(), []):
            for node in ast.walk(body):
                if isinstance(node, ast.Raise) and node.exc is not None:
                    found.add(codes().get(name_of(node.exc), ""))
                elif isinstance(node, ast.Call) and name_of(node) not in seen:
                    seen.add(name_of(node))
                    left.append(name_of(node))
    return found - {""}


def server_goodbyes() -> set[str]:
    """Reasons of `bye`, by the table that ``tests/test_protocol_doc.py`` compares."""
    from tests.test_protocol_doc import names

    return set(names("Errors", "reason"))


@functools.cache
def causes() -> dict[str, set[str]]:
    """For each table of sentences, the codes that can come to it."""
    posts = raised_within("_on_post", "_on_private", "post", "send_private") | {"repeated"}
    posts |= raised("server/cluster/writer.py")
    overdue = assigned("reason", "client/connection/deadlines.py")
    endings = given(["Outcome"], "client", place=1)
    endings |= returned("reason_of", "client/connection/outcome.py")
    lost = endings | overdue | server_goodbyes() | {"misnamed", "link_broken", "bad_version"}
    sources = ("frames", "link", "names", "records")
    refused = raised("server", *(f"protocol/{each}.py" for each in sources))
    return {
        "_REFUSALS": (refused | given(["error", "refusal", "refused"], "client"))
        | {"revoked", "expired", "token_failed", "internal"},
        "_NOT_SENT": (posts - set(LIMITED))
        | given(["hand_back", "refuse", "_all_back"], "client", place=1)
        | given(["give_up", "NotSealed"], "client")
        | returned("_address", "client/local_user.py") - {""},
        "_UNREADABLE": given(["Undecryptable"], "client", place=1) | {"bounds"},
        "_WARNINGS": (
            given(["TrustWarning", "Warning"], "client")
            | given(["Undecryptable"], "client", place=2)
        )
        - {"history", "identity"}
        | {"transcript"},
        "_DISCONNECTED": lost,
        "_COMING_BACK": lost,
        "_WAITING": given(["Awaited", "_say_slow"], "client") - {""},
        "_PAUSED": returned("question", "client/connection/reconnection.py"),
        "_UNREACHABLE": constants(
            "transport", "client/connection/outcome.py", "client/destination.py"
        ),
        "_HISTORY": constants("client/history", "client/sealed_file.py", "client/commands.py"),
        "_IDENTITY": constants("client/identity", "client/sealed_file.py"),
    }


# Forms of a sentence that go with a parameter, not with a code of their own
FORMS = ("_loud", "_alike", "_shown")


def base(key: str) -> str:
    return next((key.removesuffix(form) for form in FORMS if key.endswith(form)), key)


TABLES = sorted(  # without ``causes``: each process would work that out to collect the tests
    name
    for name, value in vars(messages).items()
    if name.isupper() and isinstance(value, dict) and name != "_RECORDS"
)


@pytest.mark.parametrize("table", TABLES)
def test_no_sentence_is_without_a_cause(table: str) -> None:
    assert {base(key) for key in getattr(messages, table)} - causes()[table] == set()


# What has no sentence of its own, on purpose: it is said with its code, or otherwise.
GENERAL = {
    "_REFUSALS": {"refused", "key_unusable"},
    "_DISCONNECTED": {"internal", "", "not_websocket", "timeout"},  # the last two: never joined
}
COMPLETE = sorted(set(TABLES) - {"_COMING_BACK", "_UNREACHABLE", "_HISTORY", "_IDENTITY"})


@pytest.mark.parametrize("table", COMPLETE)
def test_no_cause_is_without_a_sentence(table: str) -> None:
    lacking = causes()[table] - set(getattr(messages, table)) - GENERAL.get(table, set())
    assert lacking == set()


def test_unreachable_servers_and_histories_have_their_sentences() -> None:
    """Of those the causes are looked for in whole files, which have other texts, too."""
    reasons = given(["Unreachable", "TlsFailed"], "transport") | {"timeout", "not_websocket"}
    assert reasons - set(messages._UNREACHABLE) == set()
    assert given(["history"], "client") - set(messages._HISTORY) == set()
    assert given(["identity"], "client") - set(messages._IDENTITY) == set()


def test_every_table_of_sentences_is_looked_at() -> None:
    assert set(TABLES) == set(causes())
