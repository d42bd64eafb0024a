"""The house's measures: how long files and functions are, and which names mean two things.

    python -m tools.measures

A function is as long as its lines from ``def`` to its end, without its docstring.  What has to
hold is ``broken``, which the tests ask, too; the rest is for reading.
"""

from __future__ import annotations

import ast
import statistics
from collections import defaultdict
from typing import NamedTuple

from tools.source import Function, Module, classes, functions, program

LONGEST_FILE, LONGEST_FUNCTION = 520, 60
EXCEPTIONS_AT_MOST = 5
# Classes whose name means something else elsewhere, and why there is no better one.
TWO_MEANINGS: dict[str, str] = {}


_LITERALS = (ast.Constant, ast.Dict, ast.List, ast.Set, ast.Tuple)


class Long(NamedTuple):
    """A function and its lines."""

    lines: int
    place: str


def function_lengths() -> list[Long]:
    """All functions, the longest first."""
    found = [
        Long(_length(function), f"{module.path}:{function.lineno} {name}")
        for module in program()
        for name, function in functions(module)
    ]
    return sorted(found, key=lambda each: (-each.lines, each.place))


def _length(function: Function) -> int:
    first = function.body[0]
    said = _lines(first) if ast.get_docstring(function, clean=False) is not None else 0
    return _lines(function) - said


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def is_table(module: Module) -> bool:
    """Whether most of a file is one literal or several: there is nothing to understand in them."""
    literals = [
        _lines(node)
        for node in module.tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, _LITERALS)
    ]
    return sum(literals) > module.lines / 2


def long_files() -> list[tuple[int, str]]:
    """Files above ``LONGEST_FILE`` lines that are no tables, the longest first."""
    found = [(each.lines, each.path) for each in program() if not is_table(each)]
    return sorted((each for each in found if each[0] > LONGEST_FILE), reverse=True)


def double_classes() -> dict[str, list[str]]:
    """Names of classes that are defined more than once, and where."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in program():
        for each in classes(module):
            places[each.name].append(f"{module.path}:{each.lineno}")
    return {name: found for name, found in sorted(places.items()) if len(found) > 1}


def package_lines() -> dict[str, tuple[int, int]]:
    """Files and lines of each package."""
    found: dict[str, list[int]] = defaultdict(list)
    for module in program():
        found[module.package].append(module.lines)
    return {name: (len(lines), sum(lines)) for name, lines in found.items()}


def maintainability() -> list[tuple[float, str, str]]:
    """What radon thinks of each module, the worst first: a number, a grade, the path."""
    from radon.metrics import mi_rank, mi_visit

    scores = sorted((mi_visit(module.text, True), module.path) for module in program())
    return [(score, mi_rank(score), path) for score, path in scores]


def hard_to_maintain() -> list[str]:
    """The modules that get radon's worst grade.

    What takes long is to count comments, which only make a grade better, and lines of code, which
    are no more than all lines: where none and all are good enough, nothing is counted.
    """
    from radon.metrics import h_visit_ast, mi_compute, mi_rank, mi_visit
    from radon.visitors import ComplexityVisitor

    found = []
    for module in program():
        volume = h_visit_ast(module.tree).total.volume
        complexity = ComplexityVisitor.from_ast(module.tree).total_complexity
        if mi_rank(mi_compute(volume, complexity, module.lines, 0)) == "C":
            if mi_rank(mi_visit(module.text, True)) == "C":
                found.append(module.path)
    return found


def broken() -> list[str]:
    """What does not hold, a sentence each."""
    found = [f"{path} has {lines} lines, more than {LONGEST_FILE}" for lines, path in long_files()]
    found += [
        f"{each.place} has {each.lines} lines, more than {LONGEST_FUNCTION}"
        for each in function_lengths()
        if each.lines > LONGEST_FUNCTION
    ]
    found += [f"{path} is hard to maintain, says radon" for path in hard_to_maintain()]
    doubles = double_classes()
    found += [
        f"{name} means two things: {', '.join(places)}; rename one of them, or say in"
        " tools/measures.py (TWO_MEANINGS) why both names are right"
        for name, places in doubles.items()
        if name not in TWO_MEANINGS
    ]
    found += [
        f"{name} means one thing only, and stands in TWO_MEANINGS"
        for name in TWO_MEANINGS
        if name not in doubles
    ]
    if len(TWO_MEANINGS) > EXCEPTIONS_AT_MOST:
        found.append(f"TWO_MEANINGS has more than {EXCEPTIONS_AT_MOST} names")
    return found


def main() -> None:
    """Print all of it."""
    lengths = function_lengths()
    median = statistics.median(each.lines for each in lengths)
    print(f"{len(lengths)} functions, median {median:g} lines; the longest:\n")
    print("\n".join(f"  {each.lines:3} {each.place}" for each in lengths[:10]))
    print("\nfiles and lines of each package:\n")
    packages = package_lines()
    for name, (files, lines) in packages.items():
        print(f"  {name:24} {files:4} {lines:7,}")
    print(f"  {'sum':24} {sum(files for files, _ in packages.values()):4}"
          f" {sum(lines for _, lines in packages.values()):7,}")  # fmt: skip
    print(f"\nradon's average complexity: {_complexity()}; the least maintainable modules:\n")
    for score, grade, path in maintainability()[:10]:
        print(f"  {score:5.1f} {grade} {path}")
    print("\n" + ("\n".join(broken()) or "Everything that has to hold holds."))


def _complexity() -> str:
    from radon.complexity import cc_rank, cc_visit

    average = statistics.mean(
        block.complexity for module in program() for block in cc_visit(module.text)
    )
    return f"{average:.2f} ({cc_rank(average)})"


if __name__ == "__main__":
    main()
