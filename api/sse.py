"""A job's events as server-sent events: numbered, from any number on, ended by the last one.

Knows the wire format. What an event means is in `jobs/job.py`.
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from errors import ErrorCode, KinoraError
from jobs.event_types import TERMINAL_KINDS, Event, PreviewReady
from jobs.job import Job
from web.addresses import address, root_address
from web.errors import NO_STORE, SAFE

if TYPE_CHECKING:
    from jobs.service import JobService

HEARTBEAT_S = 15.0
RETRY_MS = 2000
MOST_DIGITS = 15
KEPT_LINES = 128


class Streams:
    """News goes to all who watch at the same time: it is written once, with its picture, for all.

    Lives in one event loop, so nobody else is at `_written` meanwhile."""

    def __init__(self, service: JobService) -> None:
        self._service = service
        self._written: OrderedDict[tuple[str, int, float, bool, str], bytes] = OrderedDict()

    async def answer(
        self, request: Request, job: Job, after: int | None, inline_previews: bool
    ) -> Response:
        """From `Last-Event-ID` or `after` on. Who has seen the end already gets 204, which tells an
        EventSource not to come back."""
        after = _last_seen(request) if after is None else after
        if job.state.ended:
            log = await in_thread(self._service.events.since, job.id, 0)
            if log and log[-1].n <= after:
                return Response(status_code=204)
        return StreamingResponse(
            self._lines(job, after, inline_previews),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no", **NO_STORE, **SAFE},
        )

    async def _lines(self, job: Job, after: int, inline_previews: bool) -> AsyncIterator[bytes]:
        yield f"retry: {RETRY_MS}\n\n".encode()
        async for event in self._service.events.afollow(job.id, after, HEARTBEAT_S):
            if event is None:
                yield b": still here\n\n"
                continue
            yield self._line(event, inline_previews)
            if event.kind in TERMINAL_KINDS:
                return

    def _line(self, event: Event, inline_previews: bool) -> bytes:
        which = (event.job_id, event.n, event.at, inline_previews, root_address())
        line = self._written.get(which)
        if line is None:
            data = {"job_id": event.job_id, "at": event.at, **event.data}
            if isinstance(event.body, PreviewReady):
                data |= _preview(self._service, event.job_id, event.body, inline_previews)
            text = f"id: {event.n}\nevent: {event.kind}\ndata: {json.dumps(data)}\n\n"
            line = self._written[which] = text.encode()
            if len(self._written) > KEPT_LINES:
                self._written.popitem(last=False)
        return line


def _last_seen(request: Request) -> int:
    last = request.headers.get("last-event-id", "0").strip() or "0"
    if not (last.isascii() and last.isdigit() and len(last) <= MOST_DIGITS):
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            "Last-Event-ID must be the number of an event of this clip.",
            details={"field": "Last-Event-ID"},
        )
    return int(last)


def _preview(
    service: JobService, job_id: str, preview: PreviewReady, inline: bool
) -> dict[str, str]:
    """Where the picture is, and with `previews=inline` the picture, if it is still the newest."""
    found = {"url": address(f"/api/jobs/{job_id}/preview")}
    newest = service.events.latest_preview(job_id) if inline else None
    if newest and newest.number == preview.number:
        jpeg = base64.b64encode(newest.jpeg).decode("ascii")
        found["image"] = f"data:image/jpeg;base64,{jpeg}"
    return found
