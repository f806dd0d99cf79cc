"""`/v1/videos`, as the official openai SDK speaks it, over the same jobs.

OpenAI's four words for a video's state have none for a discarded one: that is `failed`, with the
code `cancelled`. Our own settings are taken as further form fields. Knows the SDK's wire format.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api import forms, view
from api.answers import ERRORS, NO_STORE, SAFE
from api.files import send_file
from api.native import Core, JobId, Who
from api.openai_edits import Edits
from errors import ErrorCode, KinoraError
from jobs.job import Job, State

if TYPE_CHECKING:
    from jobs.service import JobService

STATUS: dict[State, Literal["queued", "in_progress", "completed", "failed"]] = {
    State.QUEUED: "queued",
    State.RUNNING: "in_progress",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "failed",
}
SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
PICTURE = "input_reference"
CALLED = {PICTURE: "image", f"{PICTURE}[image_url]": "image", f"{PICTURE}[file_id]": "image"}
FOCUS = re.compile(r"focus\[([xy])\]")
"""How the SDK's forms say what was nested."""
UNWIND_S = 20.0
"""How long a deleted clip may take to let go of the device."""
POLL_MS = (250, 2000)


class Video(BaseModel):
    """A video as OpenAI describes it."""

    id: str
    object: Literal["video"] = "video"
    created_at: int
    completed_at: int | None = None
    expires_at: int | None = None
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int
    model: str
    prompt: str | None = None
    seconds: str
    size: str
    remixed_from_video_id: str | None = None
    error: dict[str, Any] | None = None
    seed: int
    reused: bool = False


class VideoPage(BaseModel):
    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(BaseModel):
    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: bool = True


class Videos:
    def __init__(self, core: Core) -> None:
        self.core = core
        self.service = core.service
        self.ours = ours

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

    async def create(self, request: Request, caller: Who) -> Response:
        """Ask for a video: `prompt`, `model`, `seconds`, `size`, `input_reference`, and any setting
        of `/api/generate` besides. The job is accepted for good when this answers."""
        body = self.ours(await forms.read_body(request))
        asked = await forms.asked_from(body, request, self.service, caller, {}, reuse=True)
        job, left = await self.core.submit(asked, caller)
        return await self.shown(job, left)

    async def retrieve(self, video_id: JobId, caller: Who) -> Response:
        """How far a video is."""
        return await self.shown(await self.core.job(video_id, caller))

    async def list(
        self,
        caller: Who,
        after: Annotated[str | None, Query(max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> Response:
        """Your videos."""
        owner = caller.named()

        def read() -> VideoPage:
            jobs = self.service.list(owner, limit + 1, after, oldest_first=order == "asc")
            self.core.lend(jobs, caller)
            videos = [video(self.service, job) for job in jobs[:limit]]
            return VideoPage(
                data=videos,
                first_id=videos[0].id if videos else None,
                last_id=videos[-1].id if videos else None,
                has_more=len(jobs) > limit,
            )

        return _json(await in_thread(read))

    async def delete(self, video_id: JobId, caller: Who) -> Response:
        """Remove a video. One in the making is stopped first, and really is."""
        job = await self.core.job(video_id, caller)
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
        caller: Who,
        variant: Literal["video", "thumbnail", "spritesheet"] = "video",
    ) -> Response:
        """The finished file, a still of it, or a sheet of its frames."""
        job = await self.core.job(video_id, caller)
        result = job.result
        if result is None and not job.state.ended:
            raise KinoraError(ErrorCode.NOT_FOUND, "This video is not finished yet.")
        if result is None:
            said = (view.why(job) or {}).get("message", "")
            raise KinoraError(ErrorCode.INVALID_INPUT, f"This video has no file. {said}".strip())
        clip = await in_thread(self.service.clip_path, job.id)

        def find() -> Path:
            from media.contact import write_contact_sheet

            if variant == "thumbnail":
                return self.service.poster_path(job.id)
            sheet = clip.with_name("contact.jpg")
            if variant == "spritesheet" and not sheet.is_file():
                write_contact_sheet(clip, result.num_frames, sheet)
            return sheet if variant == "spritesheet" else clip

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
        poll_ms = min(max(int(eta_s * 100), low), high)  # ten looks until it is there
        return _json(shown, {"openai-poll-after-ms": str(poll_ms), **(more or {})})


def video(service: JobService, job: Job) -> Video:
    made = job.result or job.fitted
    width, height = (made.width, made.height) if job.result else job.fitted.made_size
    frames = job.result.num_frames if job.result else job.fitted.made_frames
    return Video(
        id=job.id,
        created_at=int(job.created_at),
        completed_at=int(job.ended_at) if job.result and job.ended_at else None,
        expires_at=_expires_at(service, job),
        status=STATUS[job.state],
        progress=int(100 * view.standing(service, job).progress),
        model=job.fitted.model,
        prompt=job.fitted.prompt or None,
        seconds=f"{frames / made.fps:g}",
        size=f"{width}x{height}",
        remixed_from_video_id=job.parent,
        error=_why(job),
        seed=job.fitted.seed,
        reused=bool(job.result and job.result.reused),
    )


def _expires_at(service: JobService, job: Job) -> int | None:
    """When the file went, or will go; None where no clip goes by its age."""
    if job.result and job.result.gone:
        return int(job.result.gone.at)
    days = service.settings.keep_clips_days
    if not job.result or not job.ended_at or days is None:
        return None
    return int(job.ended_at + days * 86400)


def _why(job: Job) -> dict[str, Any] | None:
    error = view.why(job)
    return {"code": error["error"], "message": error["message"]} if error else None


def ours(body: forms.Body) -> forms.Body:
    """OpenAI's names for a setting into ours; what else came stays as it is. Where both came and
    differ, neither is preferred."""
    fields: forms.Body = {}

    def add(name: str, own: str, value: Any) -> None:
        if own in fields and fields[own] != value:
            raise KinoraError(
                ErrorCode.INVALID_INPUT,
                f"“{name}” cannot be used: “{own}” says something else. Leave one of them out.",
                details={"field": name},
            )
        fields[own] = value

    for name, value in body.items():
        if name == "seconds":
            add(name, "duration_s", value)
        elif name == "size":
            found = SIZE.fullmatch(value) if isinstance(value, str) else None
            if found is None:
                raise KinoraError(
                    ErrorCode.INVALID_INPUT,
                    "“size” cannot be used: it must be like 704x480, width first.",
                    details={"field": "size"},
                )
            add(name, "width", int(found[1]))
            add(name, "height", int(found[2]))
        elif name == PICTURE and isinstance(value, dict):
            add(name, "image", value.get("image_url") or value.get("file_id"))
        elif (place := FOCUS.fullmatch(name)) is not None:
            focus = fields.get("focus")
            fields["focus"] = (focus if isinstance(focus, dict) else {}) | {place[1]: value}
        else:
            add(name, CALLED.get(name, name), value)
    return fields


def _json(body: BaseModel, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(
        body.model_dump(mode="json"), headers={**NO_STORE, **SAFE, **(headers or {})}
    )
