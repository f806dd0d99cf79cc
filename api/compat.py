"""The routes of other systems, over the same jobs.

    POST /generate, GET /status/{id}, GET /results/{id}                  a task queue's
    POST /api/video/text-to-video, POST /api/video/image-to-video       they wait, and send the file

If the client of a waiting route disconnects, its clip is discarded.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Header
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api import request_body, schemas
from api.core import ApiContext, IdentifiedCaller, JobId
from errors import ErrorCode, KinoraError
from jobs.job import Job, State
from web.addresses import address
from web.errors import ERRORS, NO_STORE, SAFE
from web.files import send_file
from web.identity import Caller

if TYPE_CHECKING:
    from jobs.service import JobService

TASK_STATUS: dict[State, Literal["queued", "started", "finished", "failed"]] = {
    State.QUEUED: "queued",
    State.RUNNING: "started",
    State.SUCCEEDED: "finished",
    State.FAILED: "failed",
    State.CANCELLED: "failed",
}
ALSO_CALLED = {
    "file": "image",
    "model_id": "model",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "frames": "num_frames",
    "duration": "duration_s",
}
LOOK_S = 0.5


class Task(BaseModel):
    """A job in the format of a task queue."""

    task_id: str
    status: Literal["queued", "started", "finished", "failed"]
    progress: float = 0.0
    eta_seconds: float | None = None
    error: dict[str, Any] | None = None


class Compat:
    def __init__(self, core: ApiContext) -> None:
        self.core = core
        self.service: JobService = core.service

    def router(self) -> APIRouter:
        router = APIRouter(responses=ERRORS)
        mp4 = {200: {"content": {"video/mp4": {}}, "description": "The clip."}}
        file: dict[str, Any] = {
            "response_class": Response,
            "response_model": None,
            "responses": {**ERRORS, **mp4},
        }
        router.add_api_route(
            "/generate", self.generate, methods=["POST"], status_code=202, response_model=Task,
            operation_id="task_generate",
        )  # fmt: skip
        router.add_api_route(
            "/status/{task_id}", self.status, response_model=Task, operation_id="task_status"
        )
        router.add_api_route(
            "/results/{task_id}", self.results, operation_id="task_results", **file
        )
        for name in ("text_to_video", "image_to_video"):
            path = f"/api/video/{name.replace('_', '-')}"
            handler = getattr(self, name)
            router.add_api_route(path, handler, methods=["POST"], operation_id=name, **file)
        return router

    async def generate(
        self,
        request: Request,
        caller: IdentifiedCaller,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        """Submit a picture (`image`, or `file`) with any settings."""
        body = await request_body.read_body(request)
        if not isinstance(body.get("image", body.get("file")), (str, UploadFile)):
            raise _no_picture()
        parsed = await request_body.parse_request(
            body, request, self.service, caller, ALSO_CALLED, reuse=False
        )
        job, left = await self.core.submit(parsed, caller)
        where = {"Location": address(f"/status/{job.id}"), **left}
        return _json(await in_thread(self._task, job), 202, where)

    async def status(self, task_id: JobId, caller: IdentifiedCaller) -> Response:
        """queued, started, finished, failed."""
        job = await self.core.get_job_in_thread(task_id, caller)
        return _json(await in_thread(self._task, job))

    async def results(self, request: Request, task_id: JobId, caller: IdentifiedCaller) -> Response:
        """The finished clip."""
        return await self._file(request, await self.core.get_job_in_thread(task_id, caller))

    async def text_to_video(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Make a clip from a prompt; waits for it and returns the file."""
        return await self._waited(request, caller, await request_body.read_body(request))

    async def image_to_video(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Make a clip from a picture (`image`, in a form); waits for it and returns the file."""
        body = await request_body.read_body(request)
        if not isinstance(body.get("image", body.get("file")), (str, UploadFile)):
            raise _no_picture()
        return await self._waited(request, caller, body)

    async def _waited(self, request: Request, caller: Caller, body: request_body.Body) -> Response:
        parsed = await request_body.parse_request(
            body, request, self.service, caller, ALSO_CALLED, reuse=True
        )
        job, _ = await self.core.submit(parsed, caller)
        try:
            async for _ in self.service.afollow(job.id, tick_s=LOOK_S):
                if await request.is_disconnected():
                    break
        finally:
            # the client disconnected or the server stops: an unfinished clip would never be fetched
            with contextlib.suppress(KinoraError):
                ended = await asyncio.shield(in_thread(self.service.get, job.id))
                if not ended.state.ended:
                    await asyncio.shield(in_thread(self.service.cancel, job.id))
        return await self._file(request, await in_thread(self.service.get, job.id))

    async def _file(self, request: Request, job: Job) -> Response:
        if job.state is State.FAILED and job.error:
            raise KinoraError.from_dict(job.error)
        if job.result is None:
            raise KinoraError(
                ErrorCode.CONFLICT,
                f"This clip has no file: it is {job.state.value}.",
                details={"status": TASK_STATUS[job.state]},
            )
        path = await in_thread(self.service.clip_path, job.id)
        response = send_file(request, path, f"kinora-{job.id[:8]}")
        response.headers["X-Kinora-Job"] = job.id
        return response

    def _task(self, job: Job) -> Task:
        now = schemas.job_progress(self.service, job)
        return Task(
            task_id=job.id,
            status=TASK_STATUS[job.state],
            progress=now.progress,
            eta_seconds=now.eta_seconds,
            error=schemas.job_error(job),
        )


def _no_picture() -> KinoraError:
    return KinoraError(
        ErrorCode.INVALID_INPUT, "Send a picture as “image”.", details={"field": "image"}
    )


def _json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    headers = {**NO_STORE, **SAFE, **(headers or {})}
    return JSONResponse(body.model_dump(mode="json"), status, headers=headers)
