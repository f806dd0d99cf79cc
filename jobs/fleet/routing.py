"""Which waiting clip goes to which free worker: where its model is warm, if that is fair.

A clip may be passed over by later ones whose model a free worker has loaded, but only from a short
way behind and only so many times; then it goes to any worker that may make it. No worker stays
idle while there is something it may make. Knows names only; no database, no Redis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

LOOK_AHEAD = 32
PASSED_AT_MOST = 8


class Free(NamedTuple):
    """A worker that waits for work."""

    name: str
    warm: frozenset[str]
    models: frozenset[str] | None
    """What it may make; None: everything."""

    def may_make(self, model: str) -> bool:
        return self.models is None or model in self.models


class Wants(NamedTuple):
    job_id: str
    model: str


def route(
    line: Sequence[Wants], free: Sequence[Free], passed: Mapping[str, int]
) -> list[tuple[str, str]]:
    """(job, worker) pairs. `line` is in turn; `passed` says how often a job was passed over."""
    pairs: list[tuple[str, str]] = []
    idle = list(free)
    makeable = [job for job in line if any(worker.may_make(job.model) for worker in free)]
    todo = list(makeable)

    # 1. Whoever was passed over often enough goes first, warm or not.
    for job in [job for job in todo if passed.get(job.job_id, 0) >= PASSED_AT_MOST]:
        _pair(job, idle, todo, pairs)

    # 2. In turn, those whose model is warm.
    near = set(makeable[: LOOK_AHEAD + len(free)])
    for job in [job for job in todo if job in near]:
        warm = [worker for worker in idle if job.model in worker.warm]
        _pair(job, idle, todo, pairs, among=warm)

    # 3. In turn, the others: a worker that has nothing loaded before one that would lose it.
    for job in list(todo):
        if not idle:
            break
        _pair(job, idle, todo, pairs)
    return pairs


def passed_over(line: Sequence[Wants], chosen: set[str]) -> set[str]:
    """Those who were before a chosen one in the line and were not chosen themselves."""
    taken = [place for place, job in enumerate(line) if job.job_id in chosen]
    if not taken:
        return set()
    return {job.job_id for job in line[: max(taken)]} - chosen


def _pair(
    job: Wants,
    idle: list[Free],
    todo: list[Wants],
    pairs: list[tuple[str, str]],
    among: list[Free] | None = None,
) -> None:
    able = [w for w in (idle if among is None else among) if w.may_make(job.model)]
    if not able:
        return
    # a worker for few models before one for all, else the one that loses least
    best = min(able, key=lambda w: (job.model not in w.warm, w.models is None, len(w.warm)))
    idle.remove(best)
    todo.remove(job)
    pairs.append((job.job_id, best.name))
