"""The one translation of a validation error into a sentence, for the HTTP API, the page, Gradio's
endpoints, the MCP tools and the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from errors import ErrorCode, KinoraError
from pipelines.request import REQUEST_FIELDS, Lora
from pipelines.request_fields import Refusal

MOST_REPORTED = 20
SHOWN_LETTERS = 80
UNKNOWN = "there is no such setting"
REASONS = {
    "missing": "is missing",
    "extra_forbidden": UNKNOWN,
    "string_type": "should be text",
    "tuple_type": "should be a list",
    "model_type": "should be an object",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "int_from_float": "should be a whole number",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_parsing_size": "should be a whole number that is not so large",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
}
"""Pydantic's error types, where its own words are for programmers."""
PATTERN_REASONS = {
    "{64}": "should be the id of a stored file",
    "{1,64}": "should be the id of a clip",
    "{6}": "should be a colour such as #ff8800",
    ":/": "should be a shape such as 16:9",
}
"""By what is in the pattern of a field."""
SUBJECT = re.compile(r"^(Value error, )?((Input|String|Value|Tuple|List) (?=should|has))?")


class HasErrors(Protocol):
    """Pydantic's error, and FastAPI's."""

    def errors(self) -> Sequence[Any]: ...


def invalid_input(error: HasErrors) -> KinoraError:
    """The sentence is about the first wrong value; `details.errors` lists up to 20 of them."""
    errors = list(error.errors())[:MOST_REPORTED]
    wrong = [{"field": _path(each), "message": _reason(each)} for each in errors]
    if not wrong:
        return KinoraError(ErrorCode.INVALID_INPUT)
    field, reason = wrong[0]["field"], wrong[0]["message"]
    details = {"field": field, "errors": wrong}
    refusal = _refusal(errors[0])
    if refusal is None:
        return KinoraError(ErrorCode.INVALID_INPUT, sentence_about(field, reason), details=details)
    value = str(errors[0]["input"])[:SHOWN_LETTERS]
    action = dict(refusal.action) if refusal.action else None
    return KinoraError(
        ErrorCode.INVALID_INPUT,
        refusal.sentence.replace("{value}", value),
        details=details,
        action=action,
    )


def unusable(field: str, reason: str) -> KinoraError:
    """For what is checked before the request is built. `reason` continues "cannot be used: "."""
    return KinoraError(
        ErrorCode.INVALID_INPUT,
        f"{name_of(field)} cannot be used: {reason}.",
        details={"field": field},
    )


def sentence_about(field: str, reason: str) -> str:
    """`reason` is one of `REASONS`, or begins with "should" or "has"."""
    if not field:
        return f"The request cannot be read: it {reason}."
    if reason == UNKNOWN:
        return f"There is no setting called “{field}”."
    if reason == REASONS["missing"]:
        return f"{name_of(field)} is required but missing."
    return f"{name_of(field)} cannot be used: it {reason}."


def name_of(field: str) -> str:
    """“Seed”; “Steps” (num_inference_steps); “LoRA” (loras.0.weight); a name that is not declared
    as it is."""
    declared = REQUEST_FIELDS.get(field.partition(".")[0])
    if declared is None:
        return f"“{field}”"
    if declared.label.casefold() == field.replace("_", " "):
        return f"“{declared.label}”"
    return f"“{declared.label}” ({field})"


def _path(error: dict[str, Any]) -> str:
    return ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path"))


def _reason(error: dict[str, Any]) -> str:
    kind, limits = error["type"], error.get("ctx") or {}
    if kind in ("string_too_long", "too_long") and isinstance(error["input"], str):
        return f"has {len(error['input'])} characters; at most {limits['max_length']} are accepted"
    if kind in ("string_too_long", "too_long"):
        return f"has {limits['actual_length']} entries; at most {limits['max_length']} are accepted"
    if kind == "string_too_short":
        return "should not be empty"
    if kind == "too_short":
        return f"has {limits['actual_length']} entries; at least {limits['min_length']} are needed"
    if kind == "string_pattern_mismatch":
        found = (reason for part, reason in PATTERN_REASONS.items() if part in limits["pattern"])
        return next(found, "has letters that are not accepted here")
    return REASONS.get(kind) or SUBJECT.sub("", error["msg"]).rstrip(".")


def _refusal(error: dict[str, Any]) -> Refusal | None:
    """The sentence that the wrong attribute declares for itself."""
    if error["type"] in ("missing", "extra_forbidden"):
        return None
    match error["loc"]:
        case (str(name),) if name in REQUEST_FIELDS:
            return REQUEST_FIELDS[name].refusal
        case ("loras", int(), str(name)):
            return _declared_refusal(Lora, name)
        case _:
            return None


def _declared_refusal(model: type[BaseModel], name: str) -> Refusal | None:
    info: FieldInfo | None = model.model_fields.get(name)
    return next((m for m in info.metadata if isinstance(m, Refusal)), None) if info else None
