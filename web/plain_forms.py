"""Reads the fields of a small HTML form, or of a small JSON object."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

from starlette.requests import Request

from errors import ErrorCode, KinoraError

MOST_BYTES = 64_000
MOST_FIELDS = 20


async def read_fields(request: Request) -> dict[str, str]:
    """Of a repeated field, the last value. Raises KinoraError(TOO_LARGE, INVALID_INPUT)."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise KinoraError(ErrorCode.TOO_LARGE, "This form is too long. Make it shorter.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            found = json.loads(body)
            if not isinstance(found, dict):
                raise ValueError("not an object")
            return {str(name): str(value) for name, value in found.items()}
        text = body.decode("utf-8", "replace")
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
        return {name: value.replace("\r\n", "\n") for name, value in fields}
    except (ValueError, RecursionError):
        sentence = "The request cannot be read."
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence) from None
