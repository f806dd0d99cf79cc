"""How a field of the request is declared, once, for every interface.

`pipelines/request.py` declares the fields. The HTTP API and its OpenAPI document, Gradio's
endpoints, the MCP tools, the command line, the page's form and the views of a job are built from
those declarations, so a new field appears in all of them.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Task(str, Enum):
    __module__ = "pipelines.request"  # where others import it; its OpenAPI schema is named so
    TEXT_TO_VIDEO = "t2v"
    IMAGE_TO_VIDEO = "i2v"
    VIDEO_TO_VIDEO = "v2v"


class Group(IntEnum):
    """Fields that belong together, in the order in which every interface lists them."""

    SOURCE = 1
    PROMPT = 2
    FROM_CLIP = 3
    FROM_PICTURE = 4
    MODEL = 5
    SAMPLING = 6
    EXTRAS = 7
    SIZE = 8
    LENGTH = 9
    FILE = 10
    FALLBACK = 11
    LATER = 12
    """Added after 0.1.0: last, because programs pass the values of endpoints by position."""


class Kind(Enum):
    """What a value is. Derived from the field's type, except for pictures and clips."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    POINT = "point"
    LORAS = "loras"
    PICTURE = "picture"
    CLIP = "clip"


@dataclass(frozen=True)
class Refusal:
    """What is said of a wrong value instead of the general sentence. `{value}` is the value."""

    sentence: str
    action: Mapping[str, Any] | None = None
    """A button that sets other values: {"label", "set"}."""


@dataclass(frozen=True)
class RequestField:
    """The declaration of one field, written in the annotation of the request's attribute."""

    label: str
    help: str
    """One sentence for `--help` and for the descriptions of MCP tools."""
    group: Group
    unit: str = ""
    unset: str = ""
    """What is used where the field is left out: "the model's own"."""
    hint: str = ""
    """The sentence under the page's control, where it is not `help`."""

    # where it is offered
    tasks: tuple[Task, ...] = tuple(Task)
    """The tasks whose endpoints and tabs offer it. None: the HTTP API alone."""
    required_for: tuple[Task, ...] = ()
    on_page: bool = True
    """Whether the page's form has a control for it."""
    in_make_clip: bool = False
    """Whether `make_clip` offers it, the MCP tool with few parameters."""
    option: str | None = ""
    """On the command line: `--its-name` where empty, an argument where it has no dashes, and not
    offered where None."""
    option_before: str = ""
    """The field that `--help` lists after this one, where that is not the order of the groups."""
    metavar: str = ""
    short: str = ""
    """Its name on the command line, where that is not the field's."""

    # what a model makes of it
    rule: str = ""
    """The attribute of a card's `Rules` that says whether the model takes it."""
    choices_of: str = ""
    """The attribute of a card's `Rules` that lists the choices."""
    limits: str = ""
    """`steps` where a card's limits are `min_steps` and `max_steps`."""
    step: float = 1
    usual: Any = None
    """Where the page's control stands if neither the card nor the operator says."""
    operator_setting: str = ""
    """The attribute of `Settings` with the operator's default."""

    # what it means
    choice_labels: tuple[str, ...] = ()
    empty_is_a_value: bool = False
    """An empty text is not the same as none."""
    affects_time: bool = False
    kept_by_edits: bool = False
    """Whether an edit or an extension of a clip takes it over."""
    kept_by_fallback: bool = False
    """Whether it means the same to every model."""
    is_reported: bool = True
    """Whether views of a job show it among the settings."""
    refusal: Refusal | None = None

    # read from the attribute by `declared_fields`
    name: str = ""
    kind: Kind = Kind.TEXT
    is_optional: bool = False
    default: Any = None
    low: float | None = None
    low_is_excluded: bool = False
    high: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """`help`, with the unit."""
        return f"{self.help.rstrip('.')}, in {self.unit}." if self.unit else self.help

    @property
    def is_number(self) -> bool:
        return self.kind in (Kind.INTEGER, Kind.NUMBER)

    @property
    def is_file(self) -> bool:
        return self.kind in (Kind.PICTURE, Kind.CLIP)

    @property
    def labelled_choices(self) -> list[tuple[str, Any]]:
        labels = self.choice_labels or tuple(choice.capitalize() for choice in self.choices)
        return list(zip(labels, self.choices, strict=True))


def declared_fields(model: type[BaseModel]) -> dict[str, RequestField]:
    """The declarations of a model's attributes, in their order, with what pydantic knows of each.

    Raises TypeError for an attribute without a declaration.
    """
    found: dict[str, RequestField] = {}
    for name, info in model.model_fields.items():
        declared = next((m for m in info.metadata if isinstance(m, RequestField)), None)
        if declared is None:
            raise TypeError(f"{model.__name__}.{name} has no RequestField in its annotation")
        kind, choices = _kind_and_choices(info.annotation)
        found[name] = replace(
            declared,
            name=name,
            kind=declared.kind if declared.is_file else kind,
            is_optional=type(None) in get_args(info.annotation),
            default=info.default,
            choices=choices,
            **_bounds(info),
        )
    return found


def by_group(fields: Iterable[RequestField]) -> list[RequestField]:
    return sorted(fields, key=lambda field: field.group)


def names_of(fields: Iterable[RequestField], *kinds: Kind) -> tuple[str, ...]:
    """The names of the fields of these kinds."""
    return tuple(field.name for field in fields if field.kind in kinds)


KINDS: dict[Any, Kind] = {
    str: Kind.TEXT,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    bool: Kind.BOOLEAN,
    tuple: Kind.LORAS,
}


def _kind_and_choices(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    while hasattr(annotation, "__metadata__"):  # Annotated
        annotation = get_args(annotation)[0]
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return Kind.CHOICE, get_args(annotation)
    return KINDS.get(origin, Kind.POINT), ()


def _bounds(info: FieldInfo) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in info.metadata:  # annotated_types.Ge and its like
        if (low := getattr(each, "ge", getattr(each, "gt", None))) is not None:
            found |= {"low": low, "low_is_excluded": hasattr(each, "gt")}
        if (high := getattr(each, "le", getattr(each, "lt", None))) is not None:
            found["high"] = high
    return found
