"""Comparison: the same clip with one or two settings varied, as a grid of requests.

Pure: which settings differ, how their values are read, and the request and labels of each cell.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from pipelines.field_types import NUMBER
from pipelines.request import REQUEST_FIELDS, GenerationRequest, Lora
from pipelines.request_fields import Kind, RequestField
from pipelines.validation_errors import invalid_input

MOST_AXES, MOST_VALUES = 2, 5
FIELD = "compare"
"""The name under which every interface takes the axes."""
LORA_WEIGHT = "lora_weight"
"""Not a field of the request: the weight of its one LoRA."""
REPLACES = "=>"
SHOWN_LETTERS = 60
EITHER = {"num_frames": "duration_s", "duration_s": "num_frames"}
"""Of these two, a request has one."""


@dataclass(frozen=True)
class ComparedSetting:
    """A field of the request, or `lora_weight`, and the values that it takes."""

    name: str
    values: tuple[Any, ...]

    @property
    def label(self) -> str:
        field = REQUEST_FIELDS.get(self.name)
        return field.label if field else "LoRA weight"


@dataclass(frozen=True)
class ComparedRequest:
    """One cell: the label of its value on each axis, and its request."""

    labels: tuple[str, ...]
    request: GenerationRequest


def parse_settings(source: object) -> tuple[ComparedSetting, ...]:
    """One or two axes, each `{"field": ..., "values": [...]}` or a text such as
    `guidance_scale=2,4,6`; a value with a comma is quoted as in CSV. The names of the command line
    (`steps`, `guidance`) are accepted too. Raises KinoraError(INVALID_INPUT)."""
    if isinstance(source, str) and source.lstrip().startswith(("[", "{")):
        try:
            source = json.loads(source)
        except (ValueError, RecursionError):
            raise _unusable("it is not valid JSON") from None
    listed = cast("list[object]", source) if isinstance(source, list) else [source]
    if not 1 <= len(listed) <= MOST_AXES:
        raise _unusable(f"one or two settings can be compared, not {len(listed)}")
    settings = tuple(_parse_setting(each) for each in listed)
    names = [setting.name for setting in settings]
    if len(set(names)) < len(names) and not all(map(_is_replacement, settings)):
        raise _unusable(f"{names[0]} is given twice")
    if all(len(setting.values) < 2 for setting in settings):
        raise _unusable("give at least two values, such as guidance_scale=2,4")
    return settings


def _parse_setting(source: object) -> ComparedSetting:
    match source:
        case str():
            name, equals, text = source.partition("=")
            if not equals:
                raise _unusable(f"“{_short(source)}” has no values; write guidance_scale=2,4,6")
            values: object = _split(text)
        case {"field": str(name), "values": values, **more} if not more:
            if isinstance(values, str):
                values = _split(values)
        case _:
            raise _unusable('write each setting as {"field": "guidance_scale", "values": [2, 4]}')
    if not isinstance(values, list):
        raise _unusable("the values must be a list")
    values = cast("list[object]", values)
    name = _field_name(name)
    if not 1 <= len(values) <= MOST_VALUES:
        label = ComparedSetting(name, ()).label
        raise _unusable(f"{label} has {len(values)} values; 1 to {MOST_VALUES} are accepted")
    return ComparedSetting(name, tuple(values))


def _split(text: str) -> list[object]:
    try:
        rows = list(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error:
        raise _unusable("a quotation mark in it is not closed") from None
    return [value.strip() for row in rows for value in row]


def _field_name(source: str) -> str:
    name = source.strip().lstrip("-").replace("-", "_")
    if name == LORA_WEIGHT:
        return name
    for field in REQUEST_FIELDS.values():
        if name in (field.name, field.short):
            if field.is_file:
                raise _unusable(f"{field.label} cannot be compared: it is a file")
            return field.name
    raise _unusable(f"there is no setting called “{_short(source)}”")


def _is_replacement(setting: ComparedSetting) -> bool:
    return setting.name == "prompt" and all(REPLACES in str(value) for value in setting.values)


# -- cells -----------------------------------------------------------------------------------------


def compare(
    request: GenerationRequest, settings: Sequence[ComparedSetting], seed: int
) -> list[ComparedRequest]:
    """The cells row by row: the first setting varies along the columns, the second along the rows.
    All have the same seed unless it is compared. Raises KinoraError(INVALID_INPUT) for a value that
    can belong to no request."""
    if request.seed is None:
        request = request.model_copy(update={"seed": seed})
    columns = settings[0]
    rows = settings[1] if len(settings) > 1 else None
    cells: list[ComparedRequest] = []
    for row in rows.values if rows else (None,):
        for column in columns.values:
            changed = _changed(request, columns.name, column)
            labels = [value_label(columns.name, column, changed)]
            if rows is not None:
                changed = _changed(changed, rows.name, row)
                labels.append(value_label(rows.name, row, changed))
            cells.append(ComparedRequest(tuple(labels), changed))
    return cells


def _changed(request: GenerationRequest, name: str, value: object) -> GenerationRequest:
    if name == LORA_WEIGHT:
        if len(request.loras) != 1:
            many = f"{len(request.loras)} LoRAs; keep one" if request.loras else "no LoRA; add one"
            raise _unusable(f"the request has {many} to compare its weight")
        changes: dict[str, Any] = {
            "loras": [{"source": request.loras[0].source, "weight": value}],
        }
    elif name == "prompt" and isinstance(value, str) and REPLACES in value:
        changes = {"prompt": replace_words(request.prompt, value)}
    else:
        changes = {name: _parsed(REQUEST_FIELDS[name], value)}
    if name in EITHER:
        changes[EITHER[name]] = None
    try:
        return GenerationRequest.model_validate(request.model_dump() | changes)
    except ValidationError as error:
        raise invalid_input(error) from None


def _parsed(field: RequestField, value: object) -> Any:
    """A value as the request takes it: a text comes from a form or a command line."""
    if not isinstance(value, str):
        return value
    if value == "" and field.is_optional and not field.empty_is_a_value:
        return None
    if field.kind is Kind.LORAS:
        return _loras(value)
    if field.kind is Kind.POINT:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise _unusable(f"a value of {field.label} is not valid JSON") from None
    return value


def _loras(text: str) -> list[dict[str, Any]]:
    """NAME or NAME:WEIGHT; nothing is no LoRA."""
    name, colon, weight = text.rpartition(":")
    if colon and NUMBER.fullmatch(weight.strip()):
        return [{"source": name, "weight": weight}]
    return [{"source": text}] if text else []


def replace_words(prompt: str, replacement: str) -> str:
    """`dog=>cat` replaces each whole word "dog" of the prompt, in any case. Raises
    KinoraError(INVALID_INPUT) if the prompt does not contain it."""
    before, _, after = (part.strip() for part in replacement.partition(REPLACES))
    if not before:
        raise _unusable(f"“{_short(replacement)}” has nothing before {REPLACES}")
    pattern = rf"(?<!\w){re.escape(before)}(?!\w)"
    changed, count = re.subn(pattern, lambda _: after, prompt, flags=re.IGNORECASE)
    if count == 0:
        raise _unusable(f"the prompt does not contain “{_short(before)}”")
    return changed


def value_label(name: str, value: object, request: GenerationRequest) -> str:
    """What stands at the column or row of a value."""
    if name == LORA_WEIGHT:
        return f"{request.loras[0].weight:g}"
    field = REQUEST_FIELDS[name]
    if name == "prompt" and isinstance(value, str) and REPLACES in value:
        before, _, after = (part.strip() for part in value.partition(REPLACES))
        return _short(before if after == before else f"{before} → {after or 'nothing'}")
    used = getattr(request, name)
    match used:
        case None:
            return field.unset or "default"
        case bool():
            return "on" if used else "off"
        case float():
            return f"{used:g}"
        case tuple():
            return _short(", ".join(map(_lora_label, cast("tuple[Lora, ...]", used))) or "none")
        case _ if field.kind is Kind.POINT:
            return f"{used.x:g}, {used.y:g}"
        case _:
            labels: Mapping[Any, str] = {value: label for label, value in field.labelled_choices}
            return _short(labels.get(used, str(used)) or "empty")


def _lora_label(lora: Lora) -> str:
    return f"{lora.source.rpartition('/')[2]} {lora.weight:g}"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_LETTERS else f"{text[: SHOWN_LETTERS - 1]}…"


def _unusable(reason: str) -> KinoraError:
    sentence = f"The comparison cannot be made: {reason}."
    return KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": FIELD})
