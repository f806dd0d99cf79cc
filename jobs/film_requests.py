"""Reads films from JSON and from forms, for the API, the page, Gradio's endpoints and the command
line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from errors import ErrorCode, KinoraError
from jobs.film import MAX_SHOTS, NOT_OF_FILMS, FilmRequest, Shot
from jobs.film_maker import FilmChange, ShotChange
from pipelines.request import GenerationRequest
from pipelines.validation_errors import invalid_input, unusable

Model = TypeVar("Model", bound=BaseModel)


def read_film(fields: Mapping[str, Any]) -> FilmRequest:
    """`shots`, `crossfade_s`, and settings that hold for all shots. Raises
    KinoraError(INVALID_INPUT) with a sentence about the first wrong value."""
    values = dict(fields)
    shots = [
        read_shot(n, each, Shot) for n, each in enumerate(_listed(values.pop("shots", None)), 1)
    ]
    film = {name: values.pop(name) for name in ("crossfade_s",) if name in values}
    for name in ("prompt", "image"):
        if values.get(name) not in (None, ""):
            raise unusable(name, "each shot of a film has its own, in “shots”")
    for name in NOT_OF_FILMS:
        if values.get(name) is not None:
            raise unusable(name, "films have none")
    settings = _validated(GenerationRequest, values)
    return _validated(FilmRequest, film | {"shots": shots, "settings": settings})


def read_change(fields: Mapping[str, Any]) -> FilmChange:
    """Raises as `read_film`."""
    values = dict(fields)
    if values.get("shots") is not None:
        listed = enumerate(_listed(values["shots"]), 1)
        values["shots"] = [read_shot(n, each, ShotChange) for n, each in listed]
    return _validated(FilmChange, values)


def read_redo(number: int, fields: Mapping[str, Any]) -> ShotChange:
    """What is to be different in a shot that is made again. Raises as `read_film`."""
    if "id" in fields:
        raise unusable("id", "the address names the shot")
    return read_shot(number, fields, ShotChange)


def read_shot(number: int, value: Any, model: type[Model]) -> Model:
    """A shot; a text is its prompt. Raises as `read_film`."""
    if isinstance(value, str):
        value = {"prompt": value}
    if not isinstance(value, Mapping):
        raise unusable("shots", f"shot {number} must be an object or a prompt")
    try:
        return _validated(model, dict(value))
    except KinoraError as error:
        error.message = f"Shot {number}: {error.message}"
        error.details = error.details | {"shot": number}
        raise


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise unusable("shots", "it must be a JSON list") from None
    if not value or not isinstance(value, list | tuple):
        sentence = "A film needs “shots”: a list with a prompt for each."
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": "shots"})
    if len(value) > MAX_SHOTS:
        raise unusable("shots", f"there are {len(value)}; at most {MAX_SHOTS} are accepted")
    return list(value)


def _validated(model: type[Model], values: dict[str, Any]) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid_input(error) from None
