"""``dataclasses``, as far as this program uses it, for the sake of its start.

The library compiles six functions for each class, and imports ``inspect`` to do so.  Of the 117 ms
of CPU that importing the client took, that was 51 for its 141 classes; here it is 4.  All classes
share their functions, but for ``__init__``, which is compiled for the first object: of most classes
none is ever made.

To a type checker this is the library; to others it differs in what it cannot do.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

_MISSING: Any = object()
_FIELDS = "__dataclass_fields__"


class Field:
    """One field; ``default`` or ``default_factory`` is _MISSING, or both are."""

    __slots__ = (
        "compare", "default", "default_factory", "kw_only", "metadata", "name", "repr", "type",
    )  # fmt: skip

    def __init__(
        self, default: Any, factory: Any, shown: bool, compare: bool, metadata: Any
    ) -> None:
        self.name, self.type, self.kw_only = "", "", False
        self.default, self.default_factory = default, factory
        self.repr, self.compare, self.metadata = shown, compare, metadata or {}

    # So that the library's ``fields`` and ``replace`` take these, too.
    init = True

    @property
    def _field_type(self) -> Any:
        from dataclasses import _FIELD  # type: ignore[attr-defined]  # its own name for it

        return _FIELD


def _new_field(
    *, default: Any = _MISSING, default_factory: Any = _MISSING, repr: bool = True,  # noqa: A002
    compare: bool = True, metadata: Any = None,
) -> Field:  # fmt: skip
    return Field(default, default_factory, repr, compare, metadata)


def _fields(of: Any) -> tuple[Field, ...]:
    """The fields of a dataclass, or of an object of one."""
    return tuple(getattr(of, _FIELDS).values())


def _replaced(found: Any, /, **changes: Any) -> Any:
    """The same object with some fields changed."""
    kept = {each.name: getattr(found, each.name) for each in _fields(found)}
    return type(found)(**{**kept, **changes})


def _decorator(cls: Any = None, /, *, frozen: bool = False, kw_only: bool = False) -> Any:
    """Make a dataclass of a class whose annotations are texts (``from __future__``)."""
    if cls is None:
        return lambda decorated: _made(decorated, frozen, kw_only)
    return _made(cls, frozen, kw_only)


def _made(cls: Any, frozen: bool, kw_only: bool) -> Any:
    found: dict[str, Field] = {}
    for base in cls.__mro__[-1:0:-1]:
        found |= base.__dict__.get(_FIELDS, {})
    for name, annotation in cls.__annotations__.items():
        if not annotation.startswith("ClassVar"):
            found[name] = _field_of(cls, name, annotation, kw_only)
    compared = [each.name for each in found.values() if each.compare]
    values: Callable[[Any], Any] = attrgetter(*compared) if compared else _nothing
    made = {
        _FIELDS: found,
        "__match_args__": tuple(each.name for each in found.values() if not each.kw_only),
        "__init__": _init(cls, frozen),
        "__repr__": _repr,
        "__eq__": _eq(values),
        "__hash__": _hash(values) if frozen else None,
    }
    if frozen:
        made |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    for name, value in made.items():
        setattr(cls, name, value)
    return cls


def _field_of(cls: Any, name: str, annotation: str, kw_only: bool) -> Field:
    """One that the class body has; what stood there becomes its default, or goes."""
    default = cls.__dict__.get(name, _MISSING)
    found = default if isinstance(default, Field) else _new_field(default=default)
    found.name, found.type, found.kw_only = name, annotation, kw_only
    if found.default is not _MISSING:
        setattr(cls, name, found.default)
    elif found is default:
        delattr(cls, name)
    return found


def _init(cls: Any, frozen: bool) -> Callable[..., None]:
    """What compiles ``__init__`` when the first object is made, and gives way to it."""

    def first(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.__init__ = init = _compiled(getattr(cls, _FIELDS), frozen)
        init(self, *args, **kwargs)

    return first


def _compiled(found: dict[str, Field], frozen: bool) -> Callable[..., None]:
    names: dict[str, Any] = {"_set": object.__setattr__, "_missing": _MISSING}
    plain, named, lines = ["self"], [""], ["pass"]
    for name, each in found.items():
        default, value = "", name
        if each.default_factory is not _MISSING:
            names[f"_new_{name}"] = each.default_factory
            default, value = "=_missing", f"_new_{name}() if {name} is _missing else {name}"
        elif each.default is not _MISSING:
            names[f"_of_{name}"] = each.default
            default = f"=_of_{name}"
        (named if each.kw_only else plain).append(name + default)
        lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    named[0] = "*" if len(named) > 1 else ""
    taken = ", ".join(filter(None, [*plain, *named]))
    exec(f"def __init__({taken}):\n " + "\n ".join(lines), names)  # noqa: S102  # names of ours
    made: Callable[..., None] = names["__init__"]
    return made


@recursive_repr()
def _repr(self: Any) -> str:
    shown = [f"{each.name}={getattr(self, each.name)!r}" for each in _fields(self) if each.repr]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _nothing(_self: Any) -> tuple[()]:
    return ()


def _eq(values: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def eq(self: Any, other: Any) -> Any:
        return values(self) == values(other) if type(self) is type(other) else NotImplemented

    return eq


def _hash(values: Callable[[Any], Any]) -> Callable[[Any], int]:
    return lambda self: hash((values(self),))


def _refuse_to_set(_self: Any, name: str, _value: Any) -> None:
    raise AttributeError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: Any, name: str) -> None:
    raise AttributeError(f"cannot delete field {name!r}")


class _CachedProperty:
    """As ``functools`` has it from CPython 3.12 on, without the lock of those before: a roster of
    200 members asks for 600, and each took 1.5 µs.  Two threads may find the same value at once."""

    def __init__(self, find: Callable[[Any], Any]) -> None:
        self._find, self.__doc__ = find, find.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, of: Any, _owner: type | None = None) -> Any:
        if of is None:
            return self
        value = of.__dict__[self._name] = self._find(of)
        return value


__all__ = ["cached_property", "dataclass", "field", "fields", "replace"]

if TYPE_CHECKING:
    from dataclasses import dataclass, field, fields, replace
    from functools import cached_property
else:
    cached_property = _CachedProperty
    dataclass, field, fields, replace = _decorator, _new_field, _fields, _replaced
