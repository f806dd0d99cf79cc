"""The options of `generate` that set the request, made from the declaration of its fields.

Numbers are parsed with the request, so that a wrong one gets the sentence that every other
interface gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from pipelines.request import REQUEST_FIELDS
from pipelines.request_fields import Kind, RequestField, by_group

Command = TypeVar("Command", bound=Callable[..., None])
METAVARS = {Kind.INTEGER: "<int>", Kind.NUMBER: "<float>"}


def option_name(field: RequestField) -> str:
    """`--steps`; for the prompt, which is an argument, `prompt`."""
    return field.option or f"--{(field.short or field.name).replace('_', '-')}"


def offered_fields() -> list[RequestField]:
    """In the order of `--help`."""
    fields = [field for field in by_group(REQUEST_FIELDS.values()) if field.option is not None]
    for moved in [field for field in fields if field.option_before]:
        fields.remove(moved)
        place = next(n for n, field in enumerate(fields) if field.name == moved.option_before)
        fields.insert(place, moved)
    return fields


def with_request_options(command: Command) -> Command:
    """Decorates a command with `**options`: for Typer, its parameters are its own and, in the place
    of `**options`, the request's fields."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    first = [each for each in own if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    last = [each for each in own if each.kind is inspect.Parameter.KEYWORD_ONLY]
    parameters = [*first, *map(_parameter, offered_fields()), *last]
    described: Any = command
    described.__signature__ = inspect.Signature(parameters)
    described.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _parameter(field: RequestField) -> inspect.Parameter:
    name = option_name(field)
    annotation, default = _type_and_default(field)
    if not name.startswith("-"):
        info: Any = typer.Argument(help=field.description)
    else:
        if field.kind is Kind.BOOLEAN and field.default:
            name = f"{name}/--no-{name.removeprefix('--')}"
        metavar = field.metavar or METAVARS.get(field.kind)
        info = typer.Option(name, metavar=metavar, help=field.description)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[annotation, info],
        default=default,
    )


def _type_and_default(field: RequestField) -> tuple[Any, Any]:
    match field.kind:
        case Kind.BOOLEAN:
            return bool, field.default
        case Kind.PICTURE | Kind.CLIP:
            return Path | None, None
        case Kind.LORAS:
            return list[str] | None, None
        case Kind.TEXT if not field.is_optional:
            return str, field.default
        case _:
            return str | None, None
