"""The program's sources, as the tools and tests read them that look at the whole of it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cli", "settings", "i18n", "protocol", "transport", "server", "client")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """One file: its path below the root, its text and what it parses to."""

    path: str
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """Its folder, with dots; ``cmd_chat`` for the file of that name."""
        return self.path.rpartition("/")[0].replace("/", ".") or self.path.removesuffix(".py")

    @property
    def side(self) -> str:
        """The first folder: ``client``."""
        return self.package.partition(".")[0]

    @property
    def lines(self) -> int:
        """How many it has."""
        return len(self.text.splitlines())


@functools.cache
def program() -> tuple[Module, ...]:
    """All files of the program, in order."""
    paths = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
    return tuple(read(path) for path in (ROOT / "cmd_chat.py", *paths))


def read(path: Path) -> Module:
    """One file."""
    text = path.read_text(encoding="utf-8")
    return Module(path.relative_to(ROOT).as_posix(), text, ast.parse(text))


def classes(module: Module) -> Iterator[ast.ClassDef]:
    """All classes of a module, those inside of others as well."""
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))


def functions(module: Module) -> Iterator[tuple[str, Function]]:
    """All functions of a module, with the classes and functions around them: ``Room.append``."""
    return _functions(module.tree, ())


def _functions(node: ast.AST, around: tuple[str, ...]) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        inside = around
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = (*around, child.name)
            if not isinstance(child, ast.ClassDef):
                yield ".".join(inside), child
        yield from _functions(child, inside)
