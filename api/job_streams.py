"""A job's events as server-sent events, for programs."""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import Response

from jobs.event_types import TERMINAL_KINDS, Event, PreviewReady, to_json
from jobs.job import Job
from web import sse
from web.addresses import address, root_address

if TYPE_CHECKING:
    from jobs.service import JobService

RETRY_MS = 2000
KEPT_MESSAGES = 128


class JobStreams:
    """All followers of an event get the same bytes, encoded once, with the preview's JPEG.

    Not thread-safe: used in one event loop."""

    def __init__(self, service: JobService) -> None:
        self._service = service
        self._encoded: OrderedDict[tuple[str, int, float, bool, str], bytes] = OrderedDict()

    async def response(
        self, request: Request, job: Job, after: int | None, inline_previews: bool
    ) -> Response:
        """The events after the number `after`, else after `Last-Event-ID`. A client that has seen
        the last one gets 204, which makes an EventSource stop reconnecting."""
        after = sse.last_event_id(request) if after is None else after
        if job.state.ended:
            log = await in_thread(self._service.events, job.id)
            if log and log[-1].n <= after:
                return Response(status_code=204)
        return sse.EventStream(self._messages(job, after, inline_previews), retry_ms=RETRY_MS)

    async def _messages(self, job: Job, after: int, inline_previews: bool) -> sse.Source:
        async with aclosing(self._service.afollow(job.id, after, sse.HEARTBEAT_S)) as events:
            async for event in events:
                yield None if event is None else self._message(event, inline_previews)
                if event is not None and event.kind in TERMINAL_KINDS:
                    return

    def _message(self, event: Event, inline_previews: bool) -> bytes:
        key = (event.job_id, event.n, event.at, inline_previews, root_address())
        encoded = self._encoded.get(key)
        if encoded is None:
            data = {"job_id": event.job_id, "at": event.at, **to_json(event.body)}
            if isinstance(event.body, PreviewReady):
                data |= _preview(self._service, event.job_id, event.body, inline_previews)
            encoded = sse.message(json.dumps(data), event=event.kind, id=event.n)
            self._encoded[key] = encoded
            if len(self._encoded) > KEPT_MESSAGES:
                self._encoded.popitem(last=False)
        return encoded


def _preview(
    service: JobService, job_id: str, preview: PreviewReady, inline: bool
) -> dict[str, str]:
    """The preview's address and, with `inline`, the JPEG if it is still the newest one."""
    found = {"url": address(f"/api/jobs/{job_id}/preview")}
    newest = service.preview(job_id) if inline else None
    if newest and newest.number == preview.number:
        jpeg = base64.b64encode(newest.jpeg).decode("ascii")
        found["image"] = f"data:image/jpeg;base64,{jpeg}"
    return found
