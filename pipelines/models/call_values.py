"""What is known of a value in a pipeline's call before the call is made."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Unknown:
    """Nothing is known of it."""


@dataclass(frozen=True)
class Known:
    """A literal, or what a condition comes to."""

    value: Any
    names: frozenset[str] = field(default=frozenset(), compare=False)
    """The missing arguments that it depends on."""


@dataclass(frozen=True)
class Missing:
    """None: an argument that nobody gave, or what was made of one."""

    names: frozenset[str] = frozenset()
    """Of the arguments."""


@dataclass(frozen=True)
class Given:
    """Not None: an input of the request, of which only its kind is known."""

    kind: str = ""


@dataclass(frozen=True)
class Part:
    """A component of the pipeline."""

    name: str
    class_name: str = ""


@dataclass(frozen=True)
class Row:
    """A tuple."""

    values: tuple[Value, ...]


Value = Unknown | Known | Missing | Given | Part | Row

UNKNOWN = Unknown()

KINDS: dict[str, frozenset[str]] = {
    "text": frozenset({"str"}),
    "number": frozenset({"int", "float"}),
    "picture": frozenset({"Image"}),
    "clip": frozenset({"list"}),
}
"""Kind of an input -> the types that it has."""

OTHER_TYPES = frozenset({"Tensor", "ndarray", "dict", "tuple", "bool"}).union(*KINDS.values())

LIST_HAS_NO = ("shape", "to", "permute", "ndim", "dim", "unsqueeze", "size")
"""Attributes that tensors have and lists of pictures have not."""


def truth_of(value: Value) -> bool | None:
    """None where it cannot be known."""
    match value:
        case Known(value=literal):
            return bool(literal)
        case Missing():
            return False
        case Given(kind="text" | "picture" | "clip" | "number") | Part():
            return True
        case _:
            return None


def is_none(value: Value) -> bool | None:
    match value:
        case Missing():
            return True
        case Known(value=literal):
            return literal is None
        case Unknown():
            return None
        case _:
            return False


def is_instance(value: Value, types: Collection[str]) -> bool | None:
    """Of types by their own names, without the modules that they are in."""
    match value:
        case Missing():
            return False
        case Known(value=literal):
            own = {each.__name__ for each in type(literal).__mro__}
            return bool(own & set(types)) or (None if set(types) - OTHER_TYPES else False)
        case Given(kind=kind) if kind in KINDS:
            if KINDS[kind] & set(types):
                return True
            return None if set(types) - OTHER_TYPES else False
        case Part(class_name=name) if name:
            return name in types
        case _:
            return None


def depends_on(value: Value) -> frozenset[str]:
    """The missing arguments that make it what it is."""
    return value.names if isinstance(value, Known | Missing) else frozenset()


def joined(one: Value, other: Value) -> Value:
    """After two branches."""
    return one if one == other else UNKNOWN
