"""The table of all operations: schemas, documentation and the short forms are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import Discriminator, ValidationError

from errors import KinoraError
from media.operations.change_speed import Speed
from media.operations.colour import Colour
from media.operations.crop import Crop
from media.operations.deflicker import Deflicker
from media.operations.freeze import Freeze
from media.operations.grain import Grain
from media.operations.interpolate import Interpolate
from media.operations.join_clips import JoinClips
from media.operations.looping import Loop
from media.operations.lut import Lut
from media.operations.mix_sound import MixSound
from media.operations.operation import Operation, refuse
from media.operations.pad import Pad
from media.operations.reverse import Reverse
from media.operations.rotate import Rotate
from media.operations.split import Split
from media.operations.stabilise import Stabilise
from media.operations.subtitles import Subtitles
from media.operations.title_card import Title
from media.operations.trim import Trim
from media.operations.upscale import Upscale
from media.operations.vignette import Vignette
from pipelines.validation_errors import invalid_input

Declared = (
    Trim
    | Split
    | Speed
    | Reverse
    | Loop
    | Freeze
    | Crop
    | Pad
    | Rotate
    | Interpolate
    | Upscale
    | Deflicker
    | Stabilise
    | Colour
    | Lut
    | Grain
    | Vignette
    | JoinClips
    | MixSound
    | Subtitles
    | Title
)
"""Every operation, in the order in which they are offered."""
AnyOperation = Annotated[Declared, Discriminator("op")]

OPERATIONS: dict[str, type[Operation]] = {model.name(): model for model in get_args(Declared)}


def read_operation(values: Mapping[str, Any]) -> Operation:
    """Raises KinoraError(INVALID_INPUT)."""
    name = values.get("op")
    if not isinstance(name, str) or name not in OPERATIONS:
        raise refuse(f"There is no operation “{name}”. Use one of: {', '.join(OPERATIONS)}.")
    try:
        return OPERATIONS[name].model_validate(dict(values))
    except ValidationError as error:
        raise _about(name, error) from None


def parse_short_form(text: str) -> Operation:
    """Reads `trim=1.0:3.5`, `crop=640:360:x=10` or `reverse`. Raises KinoraError(INVALID_INPUT)."""
    name, _, rest = text.partition("=")
    model = OPERATIONS.get(name)
    values: dict[str, Any] = {"op": name}
    positions = iter(model.by_position if model else ())
    for part in rest.split(":") if rest and model else ():
        key, separator, value = part.partition("=")
        if not separator:
            value, key = part, next(positions, "")
            if not key:
                raise refuse(f"“{text}” has more values than {name} has. {_usage(name)}")
        if value:
            values[key] = value
    return read_operation(values)


def schemas() -> list[dict[str, Any]]:
    """Per operation: its name, title, description and JSON schema."""
    return [
        {
            "op": name,
            "title": model.title,
            "description": " ".join((model.__doc__ or "").split()),
            "by_position": list(model.by_position),
            "schema": model.model_json_schema(),
        }
        for name, model in OPERATIONS.items()
    ]


def _usage(name: str) -> str:
    positions = OPERATIONS[name].by_position
    return f"Write it as {name}={':'.join(positions).upper()}." if positions else f"Write {name}."


def _about(name: str, error: ValidationError) -> KinoraError:
    """The sentence about the first wrong value, with the operation's name before it."""
    found = invalid_input(error)
    found.message = f"{name}: {found.message}"
    found.args = (found.message,)
    return found
