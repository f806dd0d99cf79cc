"""The settings that made a clip, as labels and values for people."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pipelines.request import REQUEST_FIELDS, FittedRequest
from pipelines.request_fields import Kind, RequestField, by_group

REPORTED = [
    field
    for field in by_group(REQUEST_FIELDS.values())
    if field.is_reported and field.name in FittedRequest.model_fields
]


def labelled_settings(
    fitted: FittedRequest, without: Collection[str] = ()
) -> list[tuple[str, str]]:
    """Each setting's label and its value; `without` are fields that are left out."""
    rows: list[tuple[str, str]] = []
    for field in REPORTED:
        value = getattr(fitted, field.name)
        if field.name in without:
            continue
        if field.name == "width":
            rows.append(("Size", f"{value} × {fitted.height}"))
        elif field.name != "height" and not field.is_file and value != "" and is_set(field, fitted):
            rows.append((field.label, _shown(field, value)))
    return rows


def is_set(field: RequestField, fitted: FittedRequest) -> bool:
    value = getattr(fitted, field.name)
    return bool(value) if field.kind in (Kind.BOOLEAN, Kind.LORAS) else value is not None


def _shown(field: RequestField, value: Any) -> str:
    match field.kind:
        case Kind.LORAS:
            return ", ".join(f"{lora.source} × {lora.weight:g}" for lora in value)
        case Kind.BOOLEAN:
            return "yes"
        case Kind.NUMBER:
            return f"{value:g}"
        case _:
            return str(value)
