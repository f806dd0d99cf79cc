"""Responses with files and previews, for the page and the API: Range, ETag, HEAD, attachments.

Paths come from the service, never from a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from errors import ErrorCode, KinoraError
from web.errors import NO_STORE, SAFE, error_response
from web.languages import Language, language_of

if TYPE_CHECKING:
    from pipelines.preview import Preview

MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".zip": "application/zip",
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".c2pa": "application/c2pa",
}
RANGES = re.compile(r"bytes=(\d+-\d*|-\d+)(\s*,\s*(\d+-\d*|-\d+))*")
MAX_RANGES = 8


FOR_ITS_OWNER = {"Cache-Control": "private, max-age=31536000, immutable", **SAFE}


def send_file(
    request: Request,
    path: Path,
    name: str | None = None,
    headers: Mapping[str, str] = FOR_ITS_OWNER,
) -> Response:
    """A file that never changes under its URL, so the caller's browser may cache it for good, if
    `headers` do not say otherwise.

    `name`, without a suffix, is offered when it is saved; `?download` makes it an attachment.
    Answers 304 to a known ETag and 416, with the size, to a range beyond the end."""
    stat = path.stat()
    response = FileResponse(
        path,
        media_type=MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
        filename=name and f"{name}{path.suffix}",
        content_disposition_type="attachment" if "download" in request.query_params else "inline",
        headers=headers,
        stat_result=stat,
    )
    etag = response.headers["etag"]
    if _matches(etag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers={"etag": etag, **headers})
    ranges = request.headers.get("range")
    if ranges is not None and not _is_valid(ranges):
        _remove_header(request, b"range")  # RFC 9110: a range that cannot be parsed is ignored
    elif ranges is not None and _is_beyond(ranges, stat.st_size):
        return _range_not_satisfiable(stat.st_size, language_of(request))
    return response


def send_preview(preview: Preview) -> Response:
    """The newest preview of a running job: a JPEG strip, its number and how many frames it has."""
    headers = {
        "X-Kinora-Preview": str(preview.number),
        "X-Kinora-Frames": str(preview.frames),
    }
    return Response(
        preview.jpeg, media_type=MEDIA_TYPES[".jpg"], headers={**headers, **NO_STORE, **SAFE}
    )


def _matches(etag: str, if_none_match: str) -> bool:
    known = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return etag in known or "*" in known


def _is_valid(ranges: str) -> bool:
    if not RANGES.fullmatch(ranges.strip()) or ranges.count(",") >= MAX_RANGES:
        return False
    parts = (part.strip().partition("-") for part in ranges.strip()[6:].split(","))
    return all(not (first and last) or int(first) <= int(last) for first, _, last in parts)


def _is_beyond(ranges: str, size: int) -> bool:
    """True if any range starts after the end, or is empty."""
    for part in ranges.strip()[6:].split(","):
        first, _, last = part.strip().partition("-")
        if (first and int(first) >= size) or (not first and int(last) == 0):
            return True
    return False


def _range_not_satisfiable(size: int, language: Language) -> Response:
    error = KinoraError(ErrorCode.INVALID_INPUT, f"The file has {size} bytes; that part is beyond.")
    response = error_response(error, language=language)
    response.status_code = 416
    response.headers["Content-Range"] = f"bytes */{size}"
    return response


def _remove_header(request: Request, name: bytes) -> None:
    request.scope["headers"] = [h for h in request.scope["headers"] if h[0] != name]
