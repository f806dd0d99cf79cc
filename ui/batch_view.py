"""A batch as the page shows it: JSON with its cells, and the sentences that people read.

A batch may have hundreds of clips, so a cell has only what is seen of a small clip. The whole view
of a job is requested when it is opened.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from jobs.batch import BatchKind, BatchState
from jobs.event_types import to_json
from jobs.job import Job, State
from jobs.progress import Progress
from ui import job_view

if TYPE_CHECKING:
    from jobs.batch_plans import BatchPlan
    from jobs.service import JobService
    from ui.signatures import Signatures

MOST_PROBLEMS = 5
DELETED = "This clip was deleted."


def view(service: JobService, found: BatchState, signatures: Signatures) -> dict[str, Any]:
    """The whole state: any may be missed."""
    by_id = {job.id: _cell_job(service, job, signatures) for job in found.jobs}
    batch, layout = found.batch, found.batch.layout
    names = [_names(service, axis.field, batch.owner) for axis in layout.axes]
    cells = [
        {
            "labels": [own.get(text, text) for own, text in zip(names, cell.labels, strict=False)],
            "problem": cell.problem or (DELETED if cell.job_id not in by_id else None),
            "job": by_id.get(cell.job_id or ""),
        }
        for cell in layout.cells
    ]
    return summary(service, found) | {
        "axes": [
            {"label": axis.label, "values": [own.get(text, text) for text in axis.values]}
            for own, axis in zip(names, layout.axes, strict=True)
        ],
        "cells": cells,
        "signed": signatures.query(batch.id, batch.owner),
    }


def _names(service: JobService, field: str, owner: str) -> dict[str, str]:
    """What people call a model or a style, by the id that is its label; two of one name keep their
    ids."""
    match field:
        case "model":
            named = {id_: card.name for id_, card in service.cards.items()}
        case "style":
            named = {id_: style.name for id_, style in service.styles.available(owner).items()}
        case _:
            return {}
    counts = Counter(named.values())
    return {id_: name for id_, name in named.items() if counts[name] == 1}


def summary(service: JobService, found: BatchState) -> dict[str, Any]:
    """One batch of a list."""
    first = found.jobs[0]
    width, height = first.fitted.made_size
    return {
        "id": found.batch.id,
        "kind": found.batch.kind,
        "task": first.fitted.task.value,
        "created_at": found.batch.created_at,
        "ended": found.has_ended,
        "line": line(service, found),
        "said": said(found),
        "ready": sum(map(_has_clip, found.jobs)),
        "width": width,
        "height": height,
        "prompt": first.request.prompt,
    }


def line(service: JobService, found: BatchState) -> str:
    """What is ready, what went wrong, and how long the rest takes."""
    if found.has_ended and found.batch.kind == "drafts" and any(map(_has_clip, found.jobs)):
        return f"{said(found)}: choose the one to render fully"
    left = _seconds_left(service, found)
    return said(found) + (f", about {job_view.seconds(left)} left" if left >= 1 else "")


def said(found: BatchState) -> str:
    """What is ready and what went wrong: changes once for each clip."""
    counts = Counter(job.state for job in found.jobs)
    ready, total = sum(map(_has_clip, found.jobs)), len(found.jobs)
    word = word_of(found.batch.kind, total)
    start = f"{total} {word} ready" if ready == total else f"{ready} of {total} {word} ready"
    more = [
        f", {counts[state]} {name}"
        for state, name in ((State.FAILED, "failed"), (State.CANCELLED, "discarded"))
        if counts[state]
    ]
    return start + "".join(more)


def plan_view(service: JobService, plan: BatchPlan) -> dict[str, Any]:
    """Before it is accepted: how many clips, what they take together, and what cannot be made."""
    count = len(plan.jobs)
    took = job_view.seconds(service.estimate_plan(plan).seconds)
    cells = plan.batch.cells
    places = sum(cell.problem is None for cell in cells)
    shared = f" for {places} places" if places > count else ""
    problems = [f"{', '.join(cell.labels)}: {cell.problem}" for cell in cells if cell.problem]
    return {
        "clips": count,
        "line": f"{count} {word_of(plan.batch.kind, count)}{shared}, about {took}",
        "problems": problems[:MOST_PROBLEMS],
    }


def word_of(kind: BatchKind, count: int) -> str:
    word = "draft" if kind == "drafts" else "clip"
    return word if count == 1 else f"{word}s"


def _has_clip(job: Job) -> bool:
    return bool(job.state is State.SUCCEEDED and job.result and not job.result.gone)


def _seconds_left(service: JobService, found: BatchState) -> float:
    """Until the last clip is finished: each of them waits for those before it."""
    unfinished = [job for job in found.jobs if not job.state.ended]
    waiting = [job for job in unfinished if job.state is State.QUEUED]
    last = (waiting or unfinished)[-1:]
    return service.queue_estimate(last[0]).seconds if last else 0.0


def _cell_job(service: JobService, job: Job, signatures: Signatures) -> dict[str, Any]:
    is_running = job.state is State.RUNNING
    # the events of a job that waits or has ended say nothing that is seen in a cell
    progress = Progress.of(service.events(job.id)) if is_running else Progress(job.state.value)
    fitted, result, preview = job.fitted, job.result, progress.preview
    width, height = (result.width, result.height) if result else fitted.made_size
    is_gone = bool(result and result.gone)
    body: dict[str, Any] = {
        "id": job.id,
        "task": fitted.task.value,
        "state": "gone" if is_gone else job.state.value,
        "created_at": job.created_at,
        "prompt": fitted.prompt,
        "seed": fitted.seed,
        "width": width,
        "height": height,
        "format": fitted.format,
        "phase": progress.phase,
        "line": job_view.line(job, progress, None, None),
        "ring": 1.0 if job.state is State.SUCCEEDED else round(progress.ring, 4),
        "preview": to_json(preview) if preview and is_running else None,
        "signed": signatures.query(job.id, job.owner),
    }
    if job.error is not None and job.state is State.FAILED:
        body["error"] = job_view.error_view(job.error)
    if service.needs_request and job.state is State.QUEUED:
        body["drive"] = service.needs_new_request(job)
    return body
