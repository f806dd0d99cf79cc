"""Routes queued jobs to idle workers, preferring workers that have the job's model loaded.

A later job may overtake a job if its model is loaded on an idle worker, but only from within
LOOK_AHEAD positions and at most PASSED_AT_MOST times; then the job goes to any worker that may run
it. No worker stays idle while there is a job that it may run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

LOOK_AHEAD = 32
PASSED_AT_MOST = 8


class Free(NamedTuple):
    """An idle worker."""

    name: str
    warm: frozenset[str]
    models: frozenset[str] | None
    """The models it may run; None: all."""

    def may_make(self, model: str) -> bool:
        """An edit has no model."""
        return not model or self.models is None or model in self.models


class WaitingJob(NamedTuple):
    job_id: str
    model: str


def route(
    queue: Sequence[WaitingJob], free: Sequence[Free], passed: Mapping[str, int]
) -> list[tuple[str, str]]:
    """(job, worker) pairs. `queue` is in order; `passed` says how often each job was overtaken."""
    pairs: list[tuple[str, str]] = []
    idle = list(free)
    makeable = [job for job in queue if any(worker.may_make(job.model) for worker in free)]
    todo = list(makeable)

    # 1. Jobs that were overtaken often enough go first, to any worker.
    for job in [job for job in todo if passed.get(job.job_id, 0) >= PASSED_AT_MOST]:
        _pair(job, idle, todo, pairs)

    # 2. In order, jobs whose model is loaded.
    near = set(makeable[: LOOK_AHEAD + len(free)])
    for job in [job for job in todo if job in near]:
        warm = [worker for worker in idle if job.model in worker.warm]
        _pair(job, idle, todo, pairs, among=warm)

    # 3. In order, the others: to a worker with nothing loaded before one that must unload a model.
    for job in list(todo):
        if not idle:
            break
        _pair(job, idle, todo, pairs)
    return pairs


def passed_over(queue: Sequence[WaitingJob], chosen: set[str]) -> set[str]:
    """The jobs that were not chosen, though a later one was."""
    taken = [place for place, job in enumerate(queue) if job.job_id in chosen]
    if not taken:
        return set()
    return {job.job_id for job in queue[: max(taken)]} - chosen


def _pair(
    job: WaitingJob,
    idle: list[Free],
    todo: list[WaitingJob],
    pairs: list[tuple[str, str]],
    among: list[Free] | None = None,
) -> None:
    able = [w for w in (idle if among is None else among) if w.may_make(job.model)]
    if not able:
        return
    # a worker for few models before one for all, then the one with the fewest models loaded
    best = min(able, key=lambda w: (job.model not in w.warm, w.models is None, len(w.warm)))
    idle.remove(best)
    todo.remove(job)
    pairs.append((job.job_id, best.name))
