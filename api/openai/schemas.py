"""The schemas of OpenAI's video API, and the conversion of jobs and requests to and from them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from api import request_body, schemas
from errors import ErrorCode, KinoraError
from jobs.job import Job, State
from web.errors import NO_STORE, SAFE

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
"""How the SDK's forms flatten a nested field."""

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
        progress=int(100 * schemas.job_progress(service, job).progress),
        model=job.fitted.model,
        prompt=job.fitted.prompt or None,
        seconds=f"{frames / made.fps:g}",
        size=f"{width}x{height}",
        remixed_from_video_id=job.parent,
        error=_error(job),
        seed=job.fitted.seed,
        reused=bool(job.result and job.result.reused),
    )


def _expires_at(service: JobService, job: Job) -> int | None:
    """When the file was or will be removed; None where clips are kept whatever their age."""
    if job.result and job.result.gone:
        return int(job.result.gone.at)
    days = service.settings.keep_clips_days
    if not job.result or not job.ended_at or days is None:
        return None
    return int(job.ended_at + days * 86400)


def _error(job: Job) -> dict[str, Any] | None:
    error = schemas.job_error(job)
    return {"code": error["error"], "message": error["message"]} if error else None


def from_openai_names(body: request_body.Body) -> request_body.Body:
    """The body with the request's names for OpenAI's fields; other names stay as they are. Raises
    KinoraError(INVALID_INPUT) where both names of a setting were sent with different values."""
    fields: request_body.Body = {}

    def add(name: str, own: str, value: Any) -> None:
        if own in fields and fields[own] != value:
            raise KinoraError(
                ErrorCode.INVALID_INPUT,
                f"“{name}” cannot be used: “{own}” has another value. Leave one of them out.",
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
