"""A job's events as server-sent events: numbered, from any number on, ended by the last one.

Knows the wire format. What an event means is in `jobs/job.py`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.answers import NO_STORE, SAFE
from errors import ErrorCode, KinoraError
from jobs.job import TERMINAL_KINDS, Event, Job

if TYPE_CHECKING:
    from jobs.service import JobService

HEARTBEAT_S = 15.0
RETRY_MS = 2000
MOST_DIGITS = 15


async def stream(
    request: Request, service: JobService, job: Job, after: int | None, inline_previews: bool
) -> Response:
    """From `Last-Event-ID` or `after` on. Who has seen the end already gets 204, which tells an
    EventSource not to come back."""
    after = _last_seen(request) if after is None else after
    if job.state.ended:
        log = await in_thread(service.events.since, job.id, 0)
        if log and log[-1].n <= after:
            return Response(status_code=204)
    return StreamingResponse(
        _lines(service, job, after, inline_previews),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no", **NO_STORE, **SAFE},
    )


def _last_seen(request: Request) -> int:
    last = request.headers.get("last-event-id", "0").strip() or "0"
    if not (last.isascii() and last.isdigit() and len(last) <= MOST_DIGITS):
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            "Last-Event-ID must be the number of an event of this clip.",
            details={"field": "Last-Event-ID"},
        )
    return int(last)


async def _lines(
    service: JobService, job: Job, after: int, inline_previews: bool
) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MS}\n\n"
    async for event in service.events.afollow(job.id, after, HEARTBEAT_S):
        if event is None:
            yield ": still here\n\n"
            continue
        data = {"job_id": job.id, "at": event.at, **event.data}
        if event.kind == "preview":
            data |= _preview(service, event, inline_previews)
        yield f"id: {event.n}\nevent: {event.kind}\ndata: {json.dumps(data)}\n\n"
        if event.kind in TERMINAL_KINDS:
            return


def _preview(service: JobService, event: Event, inline: bool) -> dict[str, str]:
    """Where the picture is, and with `previews=inline` the picture, if it is still the newest."""
    found = {"url": f"/api/jobs/{event.job_id}/preview"}
    newest = service.events.latest_preview(event.job_id) if inline else None
    if newest and newest.number == event.data.get("number"):
        jpeg = base64.b64encode(newest.jpeg).decode("ascii")
        found["image"] = f"data:image/jpeg;base64,{jpeg}"
    return found
