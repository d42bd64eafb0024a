"""The threads and locks of the program, by reading it; and what docs/DESIGN.md says of them."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from tools.source import ROOT, Function, Module, classes, functions, program

DESIGN = ROOT / "docs/DESIGN.md"
_LOCKS = {"Lock", "RLock", "Condition"}


class Thread(NamedTuple):
    """A thread, by its name; without one where its name is ``threading``'s affair."""

    name: str
    place: str  # the file that starts it
    line: int


class Lock(NamedTuple):
    """A lock, as ``Class.attribute``."""

    name: str
    place: str
    line: int


# In the code


def locks() -> list[Lock]:
    """All locks; a condition on another lock is that one."""
    return [lock for module in program() for lock in _locks(module)]


def _locks(module: Module) -> Iterator[Lock]:
    named: set[ast.Call] = set()
    for cls in classes(module):
        for node in ast.walk(cls):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and _is_lock(node.value):
                assert isinstance(node.value, ast.Call)
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                named.add(node.value)
                if not _on_another(node.value):
                    yield Lock(f"{cls.name}.{_last(target)}", module.path, node.lineno)
    for node in ast.walk(module.tree):
        if _is_lock(node) and node not in named:
            assert isinstance(node, ast.Call)
            if not any(node in call.args for call in named):
                yield Lock("nothing", module.path, node.lineno)


def _is_lock(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and _last(node.func) in _LOCKS


def _on_another(call: ast.Call) -> bool:
    return bool(call.args) and not _is_lock(call.args[0])


def _last(node: ast.AST) -> str:
    """``b`` of ``a.b``, and of ``b``."""
    return getattr(node, "attr", getattr(node, "id", ""))


def threads() -> list[Thread]:
    """All places where a thread is started."""
    found = []
    for module, name, function, call in _calls():
        if _last(call.func) == "Thread":
            given = next((each.value for each in call.keywords if each.arg == "name"), None)
            found += [Thread(*each) for each in _texts(given, module, name, function, call.lineno)]
        elif _last(call.func) == "start_new_thread":
            stem = module.path.rpartition("/")[2].removesuffix(".py")
            starts = {name, f"{stem}.{name}"}
            found += [
                Thread("", caller.path, each.lineno)
                for caller, _name, _function, each in _calls()
                if ast.unparse(each.func) in starts
            ]
    return found


def _calls() -> tuple[tuple[Module, str, Function, ast.Call], ...]:
    """All calls, with the function in which each stands."""
    return _calls_in(program())


@functools.cache
def _calls_in(modules: tuple[Module, ...]) -> tuple[tuple[Module, str, Function, ast.Call], ...]:
    return tuple(
        (module, name, function, node)
        for module in modules
        for name, function in functions(module)
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
    )


def _texts(
    given: ast.expr | None, module: Module, name: str, function: Function, line: int
) -> list[tuple[str, str, int]]:
    """What an argument may be, and where that is written: a parameter is what callers give."""
    if isinstance(given, ast.Constant):
        return [(str(given.value), module.path, line)]
    if isinstance(given, ast.JoinedStr):
        parts = [str(getattr(each, "value", "")) if isinstance(each, ast.Constant) else "N"
                 for each in given.values]  # fmt: skip
        return [("".join(parts), module.path, line)]
    if isinstance(given, ast.Name):
        called = name.removesuffix(".__init__").rpartition(".")[2]
        place = [each.arg for each in function.args.args if each.arg != "self"]
        found = []
        for caller, caller_name, caller_function, call in _calls():
            if _last(call.func) != called:
                continue
            by_name = [each.value for each in call.keywords if each.arg == given.id]
            at = place.index(given.id) if given.id in place else len(call.args)
            value = next(iter(by_name or call.args[at : at + 1]), None)
            found += _texts(value, caller, caller_name, caller_function, call.lineno)
        return found
    return [("", module.path, line)]


# In the document


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of docs/DESIGN.md, without its head."""
    sections = re.split(r"\n##+ ", DESIGN.read_text(encoding="utf-8"))
    (text,) = [each for each in sections if each.startswith(f"{heading}\n")]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def named(cell: str) -> list[str]:
    """What stands in a cell as code, or else the cell itself."""
    return re.findall(r"`([^`]+)`", cell) or [cell]


def lock_order() -> list[str]:
    """The locks of the table, from top to bottom."""
    return [name for row in rows("Locks") for name in named(row[0])]


def takers() -> dict[str, list[str]]:
    """For each thread, as ``main (client)`` where there are two of a name, the locks it takes."""
    found = {}
    for threads, taken in rows("Who takes which"):
        for name in threads.replace("`", "").split(", "):
            found[name] = named(taken)
    return found
