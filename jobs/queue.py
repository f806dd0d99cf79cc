"""Whose turn it is: one queue that nobody can fill up for the others.

Start-time fair queueing. A job's key is the moment it was accepted or the moment its owner was last
served, whichever is later; the smallest key goes first. So a visitor with ten clips waiting lets a
newcomer in after each of them, and no stream of newcomers can starve anyone: a key stands still
until its owner is served.

Knows owners and times only; no database and no worker.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, select

from jobs.database import all_rows, jobs
from jobs.job import State


class Waiting(NamedTuple):
    id: str
    owner: str
    created_at: float
    model: str | None = None


def in_turn(waiting: Iterable[Waiting], last_served: Mapping[str, float]) -> Iterator[Waiting]:
    """The waiting jobs in the order in which they will be started if nobody else comes."""
    lines = list(lines_of(waiting, last_served).values())
    for place in range(max(map(len, lines), default=0)):
        for line in lines:
            if place < len(line):
                yield line[place]


def lines_of(
    waiting: Iterable[Waiting], last_served: Mapping[str, float]
) -> dict[str, list[Waiting]]:
    """Each owner's jobs in their order, whoever is next first. Once served, an owner's key is later
    than that of all who wait, so the first of each line goes, then the second of each, and so on.
    """
    lines: dict[str, list[Waiting]] = {}
    for job in sorted(waiting, key=itemgetter(2, 0)):
        lines.setdefault(job.owner, []).append(job)
    return dict(sorted(lines.items(), key=lambda line: _key(line[1][0], last_served)))


def places_before(owner: str, place: int, lines: Mapping[str, Sized]) -> Iterator[tuple[str, int]]:
    """How many jobs of each line go before the one at that place in its owner's line."""
    passed = False
    for other, line in lines.items():
        passed = passed or other == owner
        yield other, min(len(line), place + (not passed))


def _key(job: Waiting, last_served: Mapping[str, float]) -> tuple[float, float, str]:
    return (max(job.created_at, last_served.get(job.owner, 0.0)), job.created_at, job.owner)


WAITS = and_(jobs.c.state == State.QUEUED.value, jobs.c.server == bindparam("here"))

WAITING = select(jobs.c.id, jobs.c.owner, jobs.c.created_at, jobs.c.model).where(WAITS)

LAST_SERVED = (
    select(jobs.c.owner, func.max(jobs.c.started_at))
    .where(jobs.c.owner.in_(select(jobs.c.owner).where(WAITS)), jobs.c.started_at.is_not(None))
    .group_by(jobs.c.owner)
)

OLDEST = select(jobs.c.model, func.min(jobs.c.created_at)).where(WAITS).group_by(jobs.c.model)

NAMED = select(jobs.c.id).where(WAITS, jobs.c.id == bindparam("job"))


def who_waits(
    tx: Connection, server: str, among: Collection[str] | None = None
) -> tuple[list[Waiting], dict[str, float]]:
    """The waiting jobs, and when each of their owners was last served."""
    rows = all_rows(tx, WAITING, here=server)
    waiting = [Waiting(*row) for row in rows if among is None or row[0] in among]
    return waiting, dict(all_rows(tx, LAST_SERVED, here=server))


def next_up(tx: Connection, server: str, among: Collection[str] | None = None) -> str | None:
    """The id of the job whose turn it is."""
    if among is not None and len(among) == 1:
        (named,) = among
        return tx.execute(NAMED, {"here": server, "job": named}).scalar()
    first = next(in_turn(*who_waits(tx, server, among)), None)
    return first.id if first else None


def oldest(tx: Connection, server: str) -> dict[str, float]:
    """When the first of the waiting jobs was accepted, by model."""
    return {model or "": at for model, at in tx.execute(OLDEST, {"here": server})}
