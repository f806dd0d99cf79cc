"""Batches: several jobs submitted and followed as one, from prompts, images or a zip of images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from api import batch_views, request_body
from api.batch_requests import BatchRequests
from api.batch_views import BatchEstimate, BatchList, BatchView
from api.core import ApiContext, IdentifiedCaller, JobId
from api.idempotency import hashed_content, idempotency_key_of
from jobs.batch import BatchState
from jobs.job import Job
from web import sse
from web.addresses import address
from web.errors import ERRORS, NO_STORE, SAFE
from web.files import send_file

if TYPE_CHECKING:
    from jobs.service import JobService

PAUSE_S = 0.5
"""Between two states of a batch: it has as many events as all of its clips together."""


class Batches:
    def __init__(self, core: ApiContext) -> None:
        self.core = core
        self.service: JobService = core.service
        self.requests = BatchRequests(core.service)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/batches", responses=ERRORS)

        def add(path: str, handler: Any, method: str = "GET", **more: Any) -> None:
            name = f"batches_{handler.__name__}"
            router.add_api_route(path, handler, methods=[method], operation_id=name, **more)

        stream = {200: {"content": {"text/event-stream": {}}, "description": "Whole states."}}
        add("", self.create, "POST", status_code=202, response_model=BatchView)
        add("", self.list, response_model=BatchList)
        add("/estimate", self.estimate, "POST", response_model=BatchEstimate)
        add("/{batch_id}", self.one, response_model=BatchView)
        add("/{batch_id}/cancel", self.cancel, "POST", response_model=BatchView)
        add("/{batch_id}/events", self.events, response_class=Response, response_model=None,
            responses={**ERRORS, **stream})  # fmt: skip
        for name, handler, kind in (
            ("sheet.png", self.sheet, "image/png"),
            ("grid.mp4", self.grid, "video/mp4"),
            ("clips.zip", self.clips, "application/zip"),
        ):
            file = {200: {"content": {kind: {}}, "description": "The file."}}
            if handler is not self.clips:
                file |= {304: {"description": "Unchanged."}, 206: {"description": "A part."}}
            add(f"/{{batch_id}}/{name}", handler, response_class=Response, response_model=None,
                responses={**ERRORS, **file})  # fmt: skip
        return router

    async def create(
        self,
        request: Request,
        caller: IdentifiedCaller,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        """Submit many clips: `prompts` (a list), `images` (files, or one `zip` of them), a `csv`
        whose columns are named as the fields, or `requests` (a list of whole requests). Other
        settings hold for all of them. All are accepted or none."""
        body = await self._body(request)
        key, reuse = body.pop("idempotency_key", None), body.pop("reuse", True)
        wanted = await self.requests.read(body, caller)
        once = idempotency_key_of(request, key, *map(hashed_content, wanted))
        reuse = request_body.as_bool(reuse, "reuse")

        def submit() -> Response:
            with self.core.counted_clips(caller, len(wanted)) as headers:
                jobs = self.service.submit_batch(
                    wanted, caller.owner, idempotency_key=once, reuse=reuse
                )
            return accepted(self.core, jobs, caller, headers)

        return await in_thread(submit)

    async def estimate(self, request: Request, caller: IdentifiedCaller) -> Response:
        """What a batch would take and what would be adjusted. Makes nothing; the body is that of a
        batch."""
        body = await self._body(request)
        body.pop("reuse", None)
        wanted = await self.requests.read(body, caller)

        def estimate() -> BatchEstimate:
            plan = self.service.plans.batch(wanted, caller.owner)
            return batch_views.estimate_view(plan, self.service.estimate_plan(plan))

        return as_json(await in_thread(estimate))

    async def list(
        self,
        caller: IdentifiedCaller,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        before: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    ) -> Response:
        """Your batches, newest first."""
        owner = caller.named()

        def read() -> BatchList:
            found = self.service.batches(owner, limit, before)
            for each in found:
                self.core.use_quota(each.jobs, caller)
            last = found[-1].batch.created_at if len(found) == limit else None
            return BatchList(batches=[batch_views.summary(each) for each in found], next=last)

        return as_json(await in_thread(read))

    async def one(self, batch_id: JobId, caller: IdentifiedCaller) -> Response:
        """All clips of a batch, and how they are arranged."""

        def read() -> BatchView:
            return batch_views.view(self.service, self.core.find_batch(batch_id, caller))

        return as_json(await in_thread(read))

    async def cancel(self, batch_id: JobId, caller: IdentifiedCaller) -> Response:
        """Discard every clip of a batch that is not finished."""

        def cancel() -> BatchView:
            found = self.core.find_batch(batch_id, caller)
            for job in reversed(
                found.jobs
            ):  # those that wait first, or they would begin in between
                self.service.cancel(job.id)
            return batch_views.view(self.service, self.service.find_batch(batch_id))

        return as_json(await in_thread(cancel))

    async def events(self, batch_id: JobId, caller: IdentifiedCaller) -> Response:
        """Follow a batch as server-sent events: each is the whole state, so any may be missed.
        Connect again if a clip is made again after the last event."""
        await self._find(batch_id, caller)

        async def read() -> tuple[str, bool]:
            def now() -> dict[str, Any]:
                return batch_views.brief(self.service, self.service.find_batch(batch_id))

            brief = await in_thread(now)
            return json.dumps(brief), brief["state"] == "ended"

        changes = self.service.abatch_changes(batch_id, sse.HEARTBEAT_S)
        return sse.EventStream(sse.states(changes, read, event="state", pause_s=PAUSE_S))

    # ---- files

    async def sheet(self, request: Request, batch_id: JobId, caller: IdentifiedCaller) -> Response:
        """The contact sheet: the middle frame of each clip, with labels on both axes. While clips
        are missing, their places say why."""
        return await self._file(request, batch_id, caller, self.service.batch_files.sheet)

    async def grid(
        self,
        request: Request,
        batch_id: JobId,
        caller: IdentifiedCaller,
        range: Annotated[str | None, Header()] = None,
    ) -> Response:
        """The clips in one video, playing in step, with labels on both axes."""
        return await self._file(request, batch_id, caller, self.service.batch_files.grid)

    async def clips(self, batch_id: JobId, caller: IdentifiedCaller) -> Response:
        """A zip of the finished clips, with a `batch.json` of what made them."""
        found = await self._find(batch_id, caller)
        pieces = await in_thread(self.service.batch_files.zip, found)
        name = f'attachment; filename="kinora-{found.batch.id[:8]}.zip"'
        headers = {"Content-Disposition": name, **NO_STORE, **SAFE}
        return StreamingResponse(pieces, media_type="application/zip", headers=headers)

    async def _file(
        self,
        request: Request,
        batch_id: str,
        caller: IdentifiedCaller,
        make: Callable[[BatchState], Path],
    ) -> Response:
        def send() -> Response:
            found = self.core.find_batch(batch_id, caller)
            response = send_file(request, make(found), f"kinora-{found.batch.id[:8]}")
            response.headers["Cache-Control"] = "private, no-cache"  # it changes with its clips
            return response

        return await in_thread(send)

    async def _find(self, batch_id: str, caller: IdentifiedCaller) -> BatchState:
        return await in_thread(self.core.find_batch, batch_id, caller)

    async def _body(self, request: Request) -> request_body.Body:
        request_body.refuse_settings_in_query(request)
        return await request_body.read_body(request, self.service.settings.max_batch + 2)


def accepted(
    core: ApiContext, jobs: list[Job], caller: IdentifiedCaller, headers: dict[str, str]
) -> Response:
    """The response to a batch that was accepted just now, or before under the same key."""
    core.use_quota(jobs, caller)
    found = core.service.find_batch(jobs[0].batch or "")
    location = {"Location": address(f"/api/batches/{found.batch.id}"), **headers}
    return as_json(batch_views.view(core.service, found), 202, location)


def as_json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    headers = {**NO_STORE, **SAFE, **(headers or {})}
    return JSONResponse(body.model_dump(mode="json"), status, headers=headers)
