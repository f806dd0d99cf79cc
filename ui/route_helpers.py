"""What the page's own routes share: who the visitor is, and errors as JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from errors import ErrorCode, KinoraError, megabytes
from media.files import NO_ROOM
from ui import job_view
from web.errors import SAFE
from web.identity import is_same_origin, owner_of, proxy_fault

PREFIX = "/kinora"

Handler = Callable[[Request, str], Awaitable[Response]]
Signer = Callable[[Request], Awaitable[str | None]]
Endpoint = Callable[[Request], Awaitable[Response]]


def guarded(handler: Handler, signer: Signer | None = None) -> Endpoint:
    """Passes the visitor as the owner, refuses other sites' pages, and renders errors as JSON.
    `signer` returns the owner of a signed URL, which may be opened from anywhere."""

    @wraps(handler)
    async def endpoint(request: Request) -> Response:
        try:
            owner = await signer(request) if signer else None
            if owner is None:
                if not is_same_origin(request.headers):
                    raise KinoraError(ErrorCode.NOT_FOUND, proxy_fault(request.headers))
                if request.method not in ("GET", "HEAD") and "x-kinora" not in request.headers:
                    raise KinoraError(ErrorCode.INVALID_INPUT, "Send the header X-Kinora: 1.")
                owner = owner_of(request.state.visitor)
            return await handler(request, owner)
        except (KinoraError, OSError) as caught:
            if isinstance(caught, OSError) and caught.errno not in NO_ROOM:
                raise
            full = KinoraError(ErrorCode.OUT_OF_DISK)
            error = caught if isinstance(caught, KinoraError) else full
            body = error.as_dict() | {"shown": job_view.error_view(error.as_dict())}
            return JSONResponse(body, error.kind.http_status, headers=SAFE)

    return endpoint


def fresh_json(body: dict[str, Any]) -> JSONResponse:
    return JSONResponse(body, headers={"Cache-Control": "no-store", **SAFE})


async def read_json(request: Request, most: int) -> dict[str, Any]:
    """The JSON object of a body of at most so many bytes. Raises KinoraError."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise KinoraError(ErrorCode.TOO_LARGE)
    try:
        body = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise KinoraError(ErrorCode.INVALID_INPUT, "The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise KinoraError(ErrorCode.INVALID_INPUT, "The body must be a JSON object.")
    return body


async def read_limited(request: Request, what: str, max_mb: float) -> AsyncIterator[bytes]:
    """The body, part by part. Raises KinoraError(TOO_LARGE)."""
    limit = int(max_mb * 1_000_000)
    too_large = KinoraError(
        ErrorCode.TOO_LARGE, f"The {what} is larger than {megabytes(limit)} MB. Use a smaller one."
    )
    if int(request.headers.get("content-length") or 0) > limit:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise too_large
        yield chunk


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await anyio.to_thread.run_sync(lambda: function(*args))
