"""The API's schemas of a job: its state, progress, settings and the addresses of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from errors import ErrorCode, KinoraError
from jobs.edit_comment import settings_of
from jobs.job import Job, Result, State
from jobs.progress import Progress
from pipelines.request import Adjustment, PromptOrigin
from web.addresses import address

if TYPE_CHECKING:
    from jobs.service import JobService

NOT_SETTINGS = {"adjustments", "task", "prompt_origin"}
J1Status = Literal["queued", "running", "succeeded", "failed"]


class JobProgress(BaseModel):
    """How far a clip is."""

    progress: float = Field(ge=0, le=1, description="0 to 1, over all phases.")
    phase: str = Field(
        description="queued, waiting_for_gpu, loading, denoise, decoding, encoding, or how it "
        "ended."
    )
    step: int = 0
    steps: int = 0
    part: int | None = Field(
        default=None, description="Of a long clip: the part that is made; steps count over all."
    )
    parts: int | None = None
    eta_seconds: float | None = Field(default=None, description="Until the clip is there.")
    position: int | None = Field(default=None, description="Clips that go first, while it waits.")
    waits_for: Literal["gpu", "caller"] | None = Field(
        default=None,
        description="On ZeroGPU: `gpu`, it queues for a GPU; `caller`, it needs a request with a "
        "valid X-IP-Token, such as this one.",
    )


class Status(JobProgress):
    """One clip, briefly."""

    job_id: str
    status: J1Status = Field(description="A discarded clip is `failed`, with error `cancelled`.")
    error: dict[str, Any] | None = None
    gone: str | None = Field(default=None, description="Why the clip is not kept any more.")


class Clip(BaseModel):
    """The finished file."""

    width: int
    height: int
    num_frames: int
    fps: int
    duration_s: float
    size_bytes: int
    finished_early: bool
    parts: int | None = Field(
        default=None, description="How many parts a long clip was made in; null for others."
    )
    seconds: dict[str, float] = Field(description="Wall seconds by phase.")
    signed: bool | None = Field(
        default=None, description="With Content Credentials; null where signing is off."
    )


class JobView(JobProgress):
    """One clip with all about it. Times are Unix seconds."""

    job_id: str
    state: State
    task: str
    model: str
    settings: dict[str, Any] = Field(description="What it is made with, in the request's words.")
    prompt_origin: PromptOrigin | None = Field(
        default=None,
        description="What the prompt was before its wildcards were chosen and its style applied.",
    )
    adjustments: list[Adjustment] = Field(description="What was changed to fit the model.")
    result: Clip | None = None
    gone: str | None = Field(default=None, description="Why the clip is not kept any more.")
    error: dict[str, Any] | None = None
    reused: bool = Field(description="The clip was there already: the same request, made before.")
    batch_id: str | None = None
    parent_id: str | None = None
    full: dict[str, Any] | None = Field(
        default=None, description="Of a draft: what was requested for the full clip."
    )
    edit: dict[str, Any] | None = Field(
        default=None,
        description="Of an edit: its clips and what is done to them. `settings` made the first.",
    )
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    urls: dict[str, str]


class JobList(BaseModel):
    """Newest first; `next` is the `before` of the next page."""

    jobs: list[JobView]
    next: str | None = None


def job_progress(service: JobService, job: Job) -> JobProgress:
    if job.state is State.QUEUED:
        waits = service.queue_estimate(job)
        phase = "queued"
        if waits.before == 0:  # it may wait for the model only
            phase = Progress.of(service.events(job.id)).phase
        return JobProgress(
            progress=0,
            phase=phase,
            eta_seconds=_rounded(waits.seconds),
            position=waits.before,
            waits_for=service.waits_for(job),
        )
    if job.state.ended:
        done = job.state is State.SUCCEEDED
        return JobProgress(progress=float(done), phase=job.state.value)
    seen = Progress.of(service.events(job.id))
    return JobProgress(
        progress=round(seen.ring, 4),
        phase=seen.phase,
        step=seen.step,
        steps=seen.total,
        part=seen.part,
        parts=seen.parts,
        eta_seconds=_rounded(service.queue_estimate(job).seconds),
        waits_for=service.waits_for(job),
    )


def status(service: JobService, job: Job) -> Status:
    ended_badly = job.state in (State.FAILED, State.CANCELLED)
    return Status(
        job_id=job.id,
        status="failed" if ended_badly else job.state.value,  # type: ignore[arg-type]
        error=job_error(job) if ended_badly else None,
        gone=gone(job),
        **job_progress(service, job).model_dump(),
    )


def job_error(job: Job) -> dict[str, Any] | None:
    """The error of a failed or cancelled job, with the id under which the log has it."""
    error = job.error
    if job.state is State.CANCELLED:
        error = KinoraError(ErrorCode.CANCELLED).as_dict()
    return None if error is None else error | {"request_id": job.id}


def gone(job: Job) -> str | None:
    return job.result.gone.sentence if job.result and job.result.gone else None


def job_view(service: JobService, job: Job) -> JobView:
    fitted, made = job.fitted, settings_of(job)
    return JobView(
        **job_progress(service, job).model_dump(),
        job_id=job.id,
        state=job.state,
        task=fitted.task.value,
        model=fitted.model,
        settings=made.model_dump(mode="json", exclude=NOT_SETTINGS) if made else {},
        prompt_origin=fitted.prompt_origin,
        adjustments=list(fitted.adjustments),
        result=clip(job.result) if job.result and not job.result.gone else None,
        gone=gone(job),
        error=job_error(job) if job.error else None,
        reused=bool(job.result and job.result.reused),
        batch_id=job.batch,
        parent_id=job.parent,
        full=job.full_request.model_dump(mode="json", exclude_defaults=True)
        if job.full_request
        else None,
        edit=job.edit.model_dump(mode="json") if job.edit else None,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        urls=urls(job),
    )


def clip(result: Result) -> Clip:
    return Clip(
        width=result.width,
        height=result.height,
        num_frames=result.num_frames,
        fps=result.fps,
        duration_s=round(result.duration_s, 4),
        size_bytes=result.size_bytes,
        finished_early=result.finished_early,
        parts=result.parts,
        seconds=result.seconds,
        signed=result.provenance.signed if result.provenance else None,
    )


def urls(job: Job) -> dict[str, str]:
    here = address(f"/api/jobs/{job.id}")
    found = {"self": here, "events": f"{here}/events"}
    if job.state is State.SUCCEEDED and not gone(job):
        found["result"] = address(f"/api/result/{job.id}")
        found |= {name: f"{here}/{name}" for name in ("poster", "last-frame")}
        if job.result and job.result.provenance and job.result.provenance.sidecar:
            found["credentials"] = f"{here}/credentials"
    elif not job.state.ended:
        names = ("cancel",) if job.edit else ("preview", "cancel", "finish")
        found |= {name: f"{here}/{name}" for name in names}
    if job.full_request:
        found["render"] = f"{here}/render"
    if job.state in (State.FAILED, State.CANCELLED) or gone(job):
        found["again"] = f"{here}/again"
    if job.batch:
        found["batch"] = address(f"/api/batches/{job.batch}")
    return found


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
