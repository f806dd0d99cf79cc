"""Requests from a CSV: the first line names fields of the request, each further line is a clip.

Fields may have their short names of the command line (`steps`). An empty cell leaves its field out.
Commas, semicolons and tabs are accepted as separators, whichever the first line uses.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from errors import ErrorCode, KinoraError, megabytes
from pipelines.field_types import NUMBER
from pipelines.request import REQUEST_FIELDS, GenerationRequest
from pipelines.request_fields import Kind, RequestField
from pipelines.validation_errors import invalid_input

FIELD = "csv"
SEPARATORS = ",;\t"
MAX_BYTES = 1_000_000
SHOWN_LETTERS = 60


@dataclass(frozen=True)
class RequestRow:
    """A line of the file, its values by the names of the request's fields."""

    line: int
    values: Mapping[str, Any]
    columns: Mapping[str, str]
    """What the first line calls each field."""

    def build(self, common: Mapping[str, Any], files: Mapping[str, Any]) -> GenerationRequest:
        """The request, with the `common` values where the line has none, and the ids of `files`.
        Raises KinoraError, with the line and the column."""
        try:
            return GenerationRequest.model_validate({**common, **self.values, **files})
        except ValidationError as error:
            refusal = invalid_input(error)
            name = str(error.errors()[0]["loc"][0]) if error.errors()[0]["loc"] else ""
            if name not in self.values:
                raise refusal from None
            raise self.error(name, refusal) from None

    def check(
        self, request: GenerationRequest, check: Callable[[GenerationRequest], object]
    ) -> None:
        """Raises the KinoraError of `check` with its place."""
        try:
            check(request)
        except KinoraError as error:
            raise self.error(str(error.details.get("field", "model")), error) from error

    def error(self, name: str, error: KinoraError) -> KinoraError:
        """The same error, with its place: the line, and the column of the field if there is one."""
        return _error(error.message, self.line, self.columns.get(name), error)


def decode_csv(data: bytes) -> str:
    """UTF-8, with or without a byte order mark, or UTF-16 with one. Raises KinoraError."""
    if len(data) > MAX_BYTES:
        raise _error(f"it is larger than {megabytes(MAX_BYTES)} MB")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise _error("it is not UTF-8 text; save it as “CSV UTF-8”") from None


def parse_csv(text: str, most_rows: int) -> list[RequestRow]:
    """The rows of a file. Their values are not checked yet, except for their form. Raises
    KinoraError(INVALID_INPUT), with the line and the column where it is about one."""
    text = text.removeprefix("\ufeff")
    header, *rows = _lines(text) or [(1, [])]
    columns = _columns(*header)
    found: list[RequestRow] = []
    for line, cells in rows:
        if len(cells) != len(columns):
            raise _error(
                f"it has {len(cells)} cells, and the first line has {len(columns)}. Text with a "
                "separator in it needs quotation marks",
                line,
            )
        values = {
            name: _value(REQUEST_FIELDS[name], cell.strip(), line, columns[name])
            for name, cell in zip(columns, cells, strict=True)
            if cell.strip()
        }
        found.append(RequestRow(line, values, columns))
        if len(found) > most_rows:
            raise _error(f"it has more than {most_rows} lines; at most so many clips are accepted")
    if not found:
        raise _error("there is no line after the first one, which names the columns")
    return found


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """The number of each line that is not empty, and its cells."""
    first = text.lstrip().partition("\n")[0]
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        reason = "a quotation mark is not closed" if "end of data" in str(error) else str(error)
        raise _error(reason, line) from None
    return lines


def _columns(line: int, cells: list[str]) -> dict[str, str]:
    """The fields that the first line names, in its order, each with the name that it uses."""
    columns: dict[str, str] = {}
    for number, cell in enumerate(cells, 1):
        shown = cell.strip()
        name = shown.casefold().replace(" ", "_")
        field = next(
            (f for f in REQUEST_FIELDS.values() if name and name in (f.name, f.short)), None
        )
        if field is None:
            what = f"there is no setting called “{_short(shown)}”" if shown else "it has no name"
            raise _error(what, line, number)
        if field.name in columns:
            raise _error(f"“{field.name}” is named twice", line, number)
        columns[field.name] = shown
    if not columns:
        raise _error("it is empty; the first line names the columns, such as prompt,seed")
    return columns


def _value(field: RequestField, cell: str, line: int, column: str) -> Any:
    is_json = field.kind is Kind.POINT or (field.kind is Kind.LORAS and cell.startswith("["))
    if is_json:
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            raise _error("it is not valid JSON", line, column) from None
    if field.kind is Kind.LORAS:
        return [_lora(each.strip()) for each in cell.split("|")]
    return cell


def _lora(text: str) -> dict[str, Any]:
    """NAME or NAME:WEIGHT."""
    name, colon, weight = text.rpartition(":")
    if colon and NUMBER.fullmatch(weight.strip()):
        return {"source": name, "weight": weight}
    return {"source": text}


def _error(
    reason: str,
    line: int | None = None,
    column: str | int | None = None,
    cause: KinoraError | None = None,
) -> KinoraError:
    """`reason` is a sentence of its own where there is a `cause`."""
    place = [f"line {line}"] if line else []
    if column is not None:
        place.append(f"column {column}" if isinstance(column, int) else f"column “{column}”")
    where = ", ".join(place)
    start = f"The CSV cannot be used: {where}: " if where else "The CSV cannot be used: "
    details = {"field": FIELD, "line": line, "column": column}
    return KinoraError(
        cause.code if cause else ErrorCode.INVALID_INPUT,
        f"{start}{reason}" if cause else f"{start}{reason}.",
        details={name: value for name, value in details.items() if value is not None},
    )


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_LETTERS else f"{text[: SHOWN_LETTERS - 1]}…"
