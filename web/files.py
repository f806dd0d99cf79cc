"""Files to their owners: in parts (Range), and only once (ETag).

Knows HTTP and paths that the service gave. No path ever comes from outside.
"""

from __future__ import annotations

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from errors import ErrorCode, KinoraError
from web.errors import SAFE, error_response

MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".png": "image/png",
}
RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)(\s*,\s*(\d+-\d*|-\d+))*")
MOST_RANGES = 8


def send_file(request: Request, path: Path, name: str) -> Response:
    """A finished file. It never changes under its address, so its owner may keep it."""
    size = path.stat().st_size
    headers = {"Cache-Control": "private, max-age=31536000, immutable", **SAFE}
    response = FileResponse(
        path,
        media_type=MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
        filename=f"{name}{path.suffix}",
        content_disposition_type="attachment" if "download" in request.query_params else "inline",
        headers=headers,
        stat_result=path.stat(),
    )
    etag = response.headers["etag"]
    if _is_known(etag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers={"etag": etag, **headers})
    ranges = request.headers.get("range")
    if ranges is not None and not _is_sensible(ranges):
        _without(request, b"range")  # what cannot be understood is ignored, as HTTP has it
    elif ranges is not None and _is_beyond(ranges, size):
        return _no_such_part(size)
    return response


def _is_known(etag: str, header: str) -> bool:
    known = {each.strip().removeprefix("W/") for each in header.split(",")}
    return etag in known or "*" in known


def _is_sensible(ranges: str) -> bool:
    if not RANGE.fullmatch(ranges.strip()) or ranges.count(",") >= MOST_RANGES:
        return False
    parts = (part.strip().partition("-") for part in ranges.strip()[6:].split(","))
    return all(not (a and b) or int(a) <= int(b) for a, _, b in parts)


def _is_beyond(ranges: str, size: int) -> bool:
    """True if any part begins after the end, or is empty."""
    for part in ranges.strip()[6:].split(","):
        first, _, last = part.strip().partition("-")
        if (first and int(first) >= size) or (not first and int(last) == 0):
            return True
    return False


def _no_such_part(size: int) -> JSONResponse:
    error = KinoraError(ErrorCode.INVALID_INPUT, f"The file has {size} bytes; that part is beyond.")
    response = error_response(error)
    response.status_code = 416
    response.headers["Content-Range"] = f"bytes */{size}"
    return response


def _without(request: Request, name: bytes) -> None:
    request.scope["headers"] = [h for h in request.scope["headers"] if h[0] != name]


def file_response(request: Request, path: Path, *, download_as: str | None = None) -> Response:
    """A finished file: it never changes under its name, so it may be kept by the visitor alone."""
    headers = {"Cache-Control": "private, max-age=31536000, immutable", **SAFE}
    response = FileResponse(
        path,
        media_type=MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
        filename=download_as,
        content_disposition_type="attachment" if download_as else "inline",
        headers=headers,
        stat_result=path.stat(),
    )
    etag = response.headers.get("etag")
    if etag and etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"etag": etag, **headers})
    return response
