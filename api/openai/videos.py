"""`/v1/videos` in the wire format of the official openai SDK, over the same jobs.

OpenAI's four states of a video have none for a cancelled one: that is `failed`, with the code
`cancelled`. Any setting of the request is accepted as a further form field.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import Response

from api import request_body, schemas
from api.core import ApiContext, IdentifiedCaller, JobId
from api.openai.edits import Edits
from api.openai.schemas import POLL_MS, Deleted, Video, VideoPage, _json, from_openai_names, video
from errors import ErrorCode, KinoraError
from jobs.job import Job
from web.errors import ERRORS
from web.files import send_file

UNWIND_S = 20.0
"""How long to wait until a deleted clip has released the device."""


class Videos:
    def __init__(self, core: ApiContext) -> None:
        self.core = core
        self.service = core.service

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1/videos", responses=ERRORS)

        def add(path: str, handler: Any, method: str = "GET", **more: Any) -> None:
            name = f"videos_{handler.__name__}"
            router.add_api_route(path, handler, methods=[method], operation_id=name, **more)

        add("", self.create, "POST", response_model=Video)
        add("", self.list, response_model=VideoPage)
        Edits(self.core, self).add_to(router, Video)
        add("/{video_id}", self.retrieve, response_model=Video)
        add("/{video_id}", self.delete, "DELETE", response_model=Deleted)
        add("/{video_id}/content", self.content, response_class=Response, response_model=None)
        return router

    async def create(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Create a video: `prompt`, `model`, `seconds`, `size`, `input_reference`, and any setting
        of `/api/generate` besides. Once this responds, the job is stored."""
        body = from_openai_names(await request_body.read_body(request))
        parsed = await request_body.parse_request(
            body, request, self.service, caller, {}, reuse=True
        )
        job, left = await self.core.submit(parsed, caller)
        return await self.shown(job, left)

    async def retrieve(self, video_id: JobId, caller: IdentifiedCaller) -> Response:
        """How far a video is."""
        return await self.shown(await self.core.get_job_in_thread(video_id, caller))

    async def list(
        self,
        caller: IdentifiedCaller,
        after: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> Response:
        """Your videos."""
        owner = caller.named()

        def read() -> VideoPage:
            jobs = self.service.list(owner, limit + 1, after, oldest_first=order == "asc")
            self.core.use_quota(jobs, caller)
            videos = [video(self.service, job) for job in jobs[:limit]]
            return VideoPage(
                data=videos,
                first_id=videos[0].id if videos else None,
                last_id=videos[-1].id if videos else None,
                has_more=len(jobs) > limit,
            )

        return _json(await in_thread(read))

    async def delete(self, video_id: JobId, caller: IdentifiedCaller) -> Response:
        """Delete a video. A running one is stopped first."""
        job = await self.core.get_job_in_thread(video_id, caller)
        if not job.state.ended:
            await in_thread(self.service.cancel, job.id)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._until_it_ended(job), UNWIND_S)
        await in_thread(self.service.delete, job.id)
        return _json(Deleted(id=job.id))

    async def content(
        self,
        request: Request,
        video_id: JobId,
        caller: IdentifiedCaller,
        variant: Literal["video", "thumbnail", "spritesheet"] = "video",
    ) -> Response:
        """The finished file, a still of it, or a sheet of its frames."""
        job = await self.core.get_job_in_thread(video_id, caller)
        result = job.result
        if result is None and not job.state.ended:
            raise KinoraError(ErrorCode.NOT_FOUND, "This video is not finished yet.")
        if result is None:
            error = (schemas.job_error(job) or {}).get("message", "")
            raise KinoraError(ErrorCode.INVALID_INPUT, f"This video has no file. {error}".strip())
        clip = await in_thread(self.service.clip_path, job.id)

        def find() -> Path:
            if variant == "thumbnail":
                return self.service.poster_path(job.id)
            return self.service.contact_sheet_path(job) if variant == "spritesheet" else clip

        return send_file(request, await in_thread(find), f"{variant}-{job.id[:8]}")

    async def _until_it_ended(self, job: Job) -> None:
        async for _ in self.service.awatch(job.id):
            pass

    async def shown(self, job: Job, more: dict[str, str] | None = None) -> Response:
        def read() -> tuple[Video, float]:
            eta_s = None if job.state.ended else self.service.eta_s(job.id)
            return video(self.service, job), eta_s or 0.0

        shown, eta_s = await in_thread(read)
        low, high = POLL_MS
        poll_ms = min(max(int(eta_s * 100), low), high)  # about ten polls until it is ready
        return _json(shown, {"openai-poll-after-ms": str(poll_ms), **(more or {})})
