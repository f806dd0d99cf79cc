"""The API's views of a batch: its layout, its jobs, their progress, and the addresses of its
files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from api import schemas
from jobs.batch import Axis, BatchKind, BatchState, Cell
from jobs.job import Job, State
from pipelines.request import FittedRequest
from web.addresses import address

if TYPE_CHECKING:
    from jobs.batch_plans import BatchPlan
    from jobs.estimate import Estimate
    from jobs.service import JobService

DELETED = "This clip was deleted."
BatchProgress = Literal["queued", "running", "ended"]


class BatchView(BaseModel):
    """Several clips, followed as one. `cells` are in the order of the grid, row by row; two of a
    comparison may share a clip."""

    batch_id: str
    state: BatchProgress
    progress: float
    counts: dict[State, int]
    jobs: list[schemas.JobView]
    urls: dict[str, str]
    kind: BatchKind
    created_at: float
    axes: list[Axis] = Field(description="Of a comparison: the columns, then the rows.")
    cells: list[Cell]


class BatchSummary(BaseModel):
    """One batch of a list."""

    batch_id: str
    kind: BatchKind
    state: BatchProgress
    created_at: float
    counts: dict[State, int]
    prompt: str = Field(description="That of the first clip.")
    urls: dict[str, str]


class BatchList(BaseModel):
    """Newest first; `next` is the `before` of the next page."""

    batches: list[BatchSummary]
    next: float | None = None


class EstimateResponse(BaseModel):
    """What a clip would take here."""

    seconds: float
    low: float
    high: float
    learned: bool
    parts: int = Field(
        default=1, description="How many windows a long clip is made in; see `used.windows`."
    )
    used: FittedRequest


class PlannedCellView(BaseModel):
    """One place of the grid before it is accepted."""

    labels: tuple[str, ...]
    clip: int | None = Field(description="Which of `used` it shows.")
    problem: str | None = Field(description="Why it cannot be made.")


class BatchEstimate(BaseModel):
    """What all clips of a batch would take here, one after the other."""

    seconds: float
    low: float
    high: float
    learned: bool
    clips: int
    used: list[FittedRequest]
    axes: list[Axis]
    cells: list[PlannedCellView]
    full: EstimateResponse | None = Field(
        default=None, description="Of drafts: what one of them would take when it is rendered."
    )


def view(service: JobService, found: BatchState) -> BatchView:
    views = [schemas.job_view(service, job) for job in found.jobs]
    pairs = zip(found.jobs, views, strict=True)
    done = sum(1.0 if job.state.ended else one.progress for job, one in pairs)
    batch = found.batch
    return BatchView(
        batch_id=batch.id,
        state=state_of(found.jobs),
        progress=round(done / max(1, len(views)), 4),
        counts=_counts(found.jobs),
        jobs=views,
        urls=urls(batch.id),
        kind=batch.kind,
        created_at=batch.created_at,
        axes=list(batch.layout.axes),
        cells=cells_of(found),
    )


def brief(service: JobService, found: BatchState) -> dict[str, Any]:
    """The state of a batch as its events have it."""
    each = [
        {"job_id": job.id, "state": job.state.value, "progress": _progress(service, job)}
        for job in found.jobs
    ]
    done = sum(one["progress"] for one in each)
    return {
        "batch_id": found.batch.id,
        "state": state_of(found.jobs),
        "progress": round(done / max(1, len(each)), 4),
        "counts": _counts(found.jobs),
        "jobs": each,
        "cells": [cell.job_id for cell in cells_of(found)],
    }


def summary(found: BatchState) -> BatchSummary:
    return BatchSummary(
        batch_id=found.batch.id,
        kind=found.batch.kind,
        state=state_of(found.jobs),
        created_at=found.batch.created_at,
        counts=_counts(found.jobs),
        prompt=found.jobs[0].request.prompt,
        urls=urls(found.batch.id),
    )


def estimate_view(
    plan: BatchPlan, estimate: Estimate, full: Estimate | None = None
) -> BatchEstimate:
    cells = plan.batch.cells
    return BatchEstimate(
        seconds=estimate.seconds,
        low=estimate.low,
        high=estimate.high,
        learned=estimate.learned,
        clips=len(plan.jobs),
        used=list(plan.fitted),
        axes=list(plan.batch.axes),
        cells=[
            PlannedCellView(labels=cell.labels, clip=cell.index, problem=cell.problem)
            for cell in cells
        ]
        or [PlannedCellView(labels=(), clip=n, problem=None) for n in range(len(plan.jobs))],
        full=estimate_of(plan.full, full) if plan.full and full else None,
    )


def estimate_of(fitted: FittedRequest, estimate: Estimate) -> EstimateResponse:
    shown = estimate.model_dump(include={"seconds", "low", "high", "learned", "parts"})
    return EstimateResponse(**shown, used=fitted)


def cells_of(found: BatchState) -> list[Cell]:
    """The cells of the layout; those of deleted jobs say so."""
    known = {job.id for job in found.jobs}
    return [
        cell
        if cell.job_id is None or cell.job_id in known
        else Cell(labels=cell.labels, problem=DELETED)
        for cell in found.batch.layout.cells
    ]


def urls(batch_id: str) -> dict[str, str]:
    here = address(f"/api/batches/{batch_id}")
    found = {"self": here, "events": f"{here}/events", "cancel": f"{here}/cancel"}
    names = {"sheet": "sheet.png", "grid": "grid.mp4", "clips": "clips.zip"}
    return found | {name: f"{here}/{file}" for name, file in names.items()}


def state_of(jobs: Sequence[Job]) -> BatchProgress:
    if all(job.state.ended for job in jobs):
        return "ended"
    waits = all(job.state is State.QUEUED for job in jobs)
    return "queued" if waits else "running"


def _counts(jobs: Sequence[Job]) -> dict[State, int]:
    return dict(Counter(job.state for job in jobs))


def _progress(service: JobService, job: Job) -> float:
    if job.state is State.QUEUED:
        return 0.0
    return 1.0 if job.state.ended else schemas.job_progress(service, job).progress
