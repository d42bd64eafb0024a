"""Dataclasses that are made quickly are what the library makes."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from protocol import dataclass as quick

ROOT = Path(__file__).resolve().parent.parent


class Kinds:
    """The same classes, made by one of the two modules."""

    def __init__(self, by: ModuleType) -> None:
        made, field = by.dataclass, by.field

        @made(frozen=True)
        class Point:
            """A docstring."""

            x: int
            y: int = 2
            label: str = field(default="p", repr=False, compare=False)
            of: ClassVar[int] = 7

            @property
            def sum(self) -> int:
                return self.x + self.y

        @made(frozen=True)
        class Far(Point):
            z: float = 0.5
            y: int = 3

        @made
        class Bag:
            things: list[int] = field(default_factory=list)
            name: str | None = None

        @made(frozen=True, kw_only=True)
        class Named:
            first: int
            last: int = 1

        @made(frozen=True)
        class Empty:
            pass

        self.by: Any = by
        self.point: Any = Point
        self.far: Any = Far
        self.bag: Any = Bag
        self.named: Any = Named
        self.empty: Any = Empty


@pytest.fixture(name="kinds", params=[dataclasses, quick], ids=lambda by: str(by.__name__))
def kinds_fixture(request: pytest.FixtureRequest) -> Kinds:
    return Kinds(request.param)


def test_objects_are_made_of_places_names_and_defaults(kinds: Kinds) -> None:
    made = kinds.point(1, label="q")
    assert (made.x, made.y, made.label, made.of, made.sum) == (1, 2, "q", 7, 3)
    assert vars(made) == {"x": 1, "y": 2, "label": "q"}
    assert (kinds.point.y, kinds.point.__match_args__) == (2, ("x", "y", "label"))


@pytest.mark.parametrize("wrong", [(), (1, 2, 3, 4)])
def test_too_few_and_too_many_are_refused_the_first_time_and_later(
    kinds: Kinds, wrong: tuple[int, ...]
) -> None:
    for _ in range(2):
        with pytest.raises(TypeError):
            kinds.point(*wrong)
    with pytest.raises(TypeError):
        kinds.point(1, unknown=2)
    with pytest.raises(TypeError):
        kinds.named(1)
    assert kinds.named(first=1).last == 1


def test_a_class_below_has_the_fields_of_the_one_above_first(kinds: Kinds) -> None:
    assert [each.name for each in kinds.by.fields(kinds.far)] == ["x", "y", "label", "z"]
    assert vars(kinds.far(1)) == {"x": 1, "y": 3, "label": "p", "z": 0.5}
    assert kinds.point(1).y == 2


def test_what_is_made_anew_for_each_is_not_shared(kinds: Kinds) -> None:
    kinds.bag().things.append(1)
    assert kinds.bag().things == [] and kinds.bag([2]).things == [2]
    assert not hasattr(kinds.bag, "things") and kinds.bag.name is None


def test_equal_are_those_of_one_class_with_equal_fields(kinds: Kinds) -> None:
    assert kinds.point(1) == kinds.point(1, 2, "other") != kinds.point(2)
    assert kinds.point(1, 3) != kinds.far(1, 3) and kinds.point(1) != (1, 2)
    assert kinds.empty() == kinds.empty() and kinds.bag([1]) == kinds.bag([1])
    assert hash(kinds.point(1)) == hash(kinds.point(1, label="other"))
    assert len({kinds.point(1), kinds.point(1), kinds.point(2), kinds.empty()}) == 3
    with pytest.raises(TypeError):
        hash(kinds.bag())


def test_what_is_frozen_stays_as_it_is(kinds: Kinds) -> None:
    made = kinds.point(1)
    for name in ("x", "anything"):
        with pytest.raises(AttributeError):
            setattr(made, name, 2)
    with pytest.raises(AttributeError):
        del made.x
    bag = kinds.bag()
    bag.name = "new"
    assert (made.x, bag.name) == (1, "new")


def test_an_object_shows_all_that_may_be_shown(kinds: Kinds) -> None:
    told = repr(kinds.point(1)).rpartition(".")[2]
    assert told == "Point(x=1, y=2)"
    bag = kinds.bag()
    bag.things = [bag]
    assert repr(bag).endswith("Bag(things=[...], name=None)")
    assert repr(kinds.empty()).endswith("Empty()")


@pytest.mark.parametrize("own", [True, False])
def test_copies_with_other_fields_are_made_by_the_library_too(kinds: Kinds, own: bool) -> None:
    by = kinds.by if own else dataclasses
    made = by.replace(kinds.far(1, label="q"), z=2.0)
    assert vars(made) == {"x": 1, "y": 3, "label": "q", "z": 2.0}
    assert type(made) is kinds.far
    assert [each.name for each in by.fields(made)] == ["x", "y", "label", "z"]
    with pytest.raises(TypeError):
        by.replace(made, unknown=1)


def test_metadata_and_defaults_of_a_field_are_known(kinds: Kinds) -> None:
    made = kinds.by.dataclass(type("Made", (), {
        "__annotations__": {"a": "int"}, "a": kinds.by.field(default=None, metadata={"key": "b"}),
    }))  # fmt: skip
    (found,) = kinds.by.fields(made)
    assert (found.metadata["key"], found.default, made().a) == ("b", None, None)


def test_all_that_the_client_imports_uses_it() -> None:
    """The library is imported by whoever else needs it, and by nothing of ours."""
    for package in ("cli", "client", "protocol", "settings", "transport"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                wrong = isinstance(node, ast.ImportFrom) and node.module == "dataclasses"
                assert not wrong or path.name == "dataclass.py", path


def test_help_imports_neither_the_library_nor_what_it_needs() -> None:
    code = "import sys, cli.run; cli.run.main(['--help']); print(*sys.modules, sep='|')"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"dataclasses", "inspect"} & set(done.stdout.splitlines()[-1].split("|"))


def test_a_cached_property_is_found_once_and_kept_even_by_what_is_frozen() -> None:
    asked: list[int] = []

    @quick.dataclass(frozen=True)
    class Point:
        x: int

        @quick.cached_property
        def double(self) -> int:
            """Twice as much."""
            asked.append(self.x)
            return 2 * self.x

    one, other = Point(1), Point(2)
    assert [one.double, one.double, other.double] == [2, 2, 4] and asked == [1, 2]
    assert one == Point(1) and vars(one) == {"x": 1, "double": 2}
    assert Point.__dict__["double"].__doc__ == "Twice as much."
    assert getattr(Point, "double") is Point.__dict__["double"]  # noqa: B009  # of the class
