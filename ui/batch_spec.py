"""A batch as the page's panel sends it: prompts one a line, a CSV, or pictures. What is not in it
is as the page's controls say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from errors import ErrorCode, KinoraError
from pipelines.request import REQUEST_FIELDS, GenerationRequest
from pipelines.request_csv import MAX_BYTES, RequestRow, parse_csv
from pipelines.validation_errors import invalid_input

NO_PICTURE = "0" * 64
"""Stands for the picture that each line of a CSV names."""
FILES = tuple(field.name for field in REQUEST_FIELDS.values() if field.is_file)
LENGTHS = ("num_frames", "duration_s")
"""A request has one of them: where a line of a CSV has one, the page's is left out."""

BuildRequest = Callable[[str | None, str | None], GenerationRequest]
"""The request of the page's controls, with another prompt and another picture where given."""


class NamedPicture(BaseModel):
    """An uploaded picture, and the name of its file."""

    model_config = ConfigDict(extra="forbid")
    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    name: Annotated[str, StringConstraints(max_length=300)]


class BatchSpec(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompts: Annotated[str, StringConstraints(max_length=MAX_BYTES)] = ""
    csv: Annotated[str, StringConstraints(max_length=MAX_BYTES)] | None = None
    pictures: Annotated[list[NamedPicture], Field(max_length=1000)] = []

    @classmethod
    def parse(cls, value: object) -> BatchSpec:
        """Raises KinoraError(INVALID_INPUT)."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise invalid_input(error) from None


def requests_in(
    spec: BatchSpec,
    build: BuildRequest,
    check: Callable[[GenerationRequest], object],
    *,
    has_picture: bool,
    most: int,
) -> list[GenerationRequest]:
    """In their order. `check` raises KinoraError for a request that cannot be made; `has_picture`
    is false where the page's controls lack the picture that they need. Raises KinoraError, with
    the line or the file that it is about."""
    if spec.csv is not None:
        return _from_csv(spec, build, check, has_picture=has_picture, most=most)
    numbered = enumerate(spec.prompts.splitlines(), 1)
    lines = [(f"Line {n}", line.strip()) for n, line in numbered if line.strip()]
    files = [(f"“{each.name}”", each.id) for each in spec.pictures]
    count = max(len(lines), len(files))
    if count == 0:
        raise KinoraError(ErrorCode.INVALID_INPUT, "Write a prompt in each line.")
    if len(lines) > 1 and len(files) > 1 and len(lines) != len(files):
        sentence = (
            f"{len(lines)} prompts do not fit {len(files)} pictures. Write one prompt for all, or "
            "one for each picture."
        )
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence)
    if count > most:
        raise KinoraError(
            ErrorCode.INVALID_INPUT, f"A batch has 1 to {most} clips; this one has {count}."
        )
    if not files and not has_picture:
        build(None, None)  # refused: that is about no line
    found: list[GenerationRequest] = []
    for n in range(count):
        line = lines[n % len(lines)] if lines else None
        file = files[n % len(files)] if files else None
        # the place of what differs from clip to clip
        place = (file if file and len(files) > 1 else line or file or ("", ""))[0]
        try:
            request = build(line and line[1], file and file[1])
            check(request)
        except KinoraError as error:
            raise _at(place, error) from error
        found.append(request)
    return found


def _at(place: str, error: KinoraError) -> KinoraError:
    return KinoraError(error.code, f"{place}: {error.message}", details=error.details)


def _from_csv(
    spec: BatchSpec,
    build: BuildRequest,
    check: Callable[[GenerationRequest], object],
    *,
    has_picture: bool,
    most: int,
) -> list[GenerationRequest]:
    rows = parse_csv(spec.csv or "", most)
    common = build(None, None if has_picture else NO_PICTURE).model_dump(exclude_defaults=True)
    by_name = {each.name: each.id for each in spec.pictures}
    found: list[GenerationRequest] = []
    for row in rows:
        request = row.build(_without_lengths_of(row, common), _files_of(row, by_name))
        if NO_PICTURE in (request.image, request.video):
            refusal = KinoraError(ErrorCode.INVALID_INPUT, "It names no picture to start from.")
            raise row.error("image", refusal)
        row.check(request, check)
        found.append(request)
    return found


def _without_lengths_of(row: RequestRow, common: Mapping[str, Any]) -> dict[str, Any]:
    has_length = any(name in row.values for name in LENGTHS)
    return {name: v for name, v in common.items() if not (has_length and name in LENGTHS)}


def _files_of(row: RequestRow, by_name: Mapping[str, str]) -> dict[str, str]:
    files: dict[str, str] = {}
    for name in FILES:
        if name not in row.values:
            continue
        picture = by_name.get(row.values[name])
        if picture is None:
            sentence = f"There is no picture called “{row.values[name]}”: add its file here, too."
            raise row.error(name, KinoraError(ErrorCode.INVALID_INPUT, sentence))
        files[name] = picture
    return files
