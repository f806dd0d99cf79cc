"""The order of the queue: fair between owners, however many jobs each of them submits.

Start-time fair queueing. A job's key is the time it was accepted or the time its owner was last
served, whichever is later; the smallest key runs first. So an owner with ten queued jobs lets a
newcomer in after each of them, and no stream of newcomers can starve anyone: a key does not change
until its owner is served.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from operator import itemgetter
from typing import Literal, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, select

from jobs.database import all_rows, jobs
from jobs.job import State

Lane = Literal["all", "clips", "edits"]
"""What an executor runs: clips that a model makes, edits, which need none, or both."""


def is_in_lane(lane: Lane, *, is_edit: bool) -> bool:
    return lane == "all" or is_edit == (lane == "edits")


class Waiting(NamedTuple):
    """A queued job, as far as its place in the queue depends on it."""

    id: str
    owner: str
    created_at: float
    model: str | None = None

    @property
    def is_edit(self) -> bool:
        """It needs no model, and so no GPU."""
        return self.model == ""


def in_turn(waiting: Iterable[Waiting], last_served: Mapping[str, float]) -> Iterator[Waiting]:
    """The queued jobs in the order in which they will run if no others are submitted."""
    queues = list(by_owner(waiting, last_served).values())
    for place in range(max(map(len, queues), default=0)):
        for owned in queues:
            if place < len(owned):
                yield owned[place]


def by_owner(
    waiting: Iterable[Waiting], last_served: Mapping[str, float]
) -> dict[str, list[Waiting]]:
    """Each owner's jobs in their order; the owner who is served next comes first. Once served, an
    owner's key is later than all others', so the first job of each owner runs, then the second of
    each, and so on."""
    queues: dict[str, list[Waiting]] = {}
    for job in sorted(waiting, key=itemgetter(2, 0)):
        queues.setdefault(job.owner, []).append(job)
    return dict(sorted(queues.items(), key=lambda item: _key(item[1][0], last_served)))


def counts_before(owner: str, place: int, queues: Mapping[str, Sized]) -> Iterator[tuple[str, int]]:
    """How many jobs of each owner run before the one at `place` (from 0) among its owner's jobs."""
    is_after = False
    for other, owned in queues.items():
        is_after = is_after or other == owner
        yield other, min(len(owned), place + (not is_after))


def _key(job: Waiting, last_served: Mapping[str, float]) -> tuple[float, float, str]:
    return (max(job.created_at, last_served.get(job.owner, 0.0)), job.created_at, job.owner)


IS_QUEUED = and_(jobs.c.state == State.QUEUED.value, jobs.c.server == bindparam("here"))

QUEUED = select(jobs.c.id, jobs.c.owner, jobs.c.created_at, jobs.c.model).where(IS_QUEUED)

LAST_SERVED = (
    select(jobs.c.owner, func.max(jobs.c.started_at))
    .where(jobs.c.owner.in_(select(jobs.c.owner).where(IS_QUEUED)), jobs.c.started_at.is_not(None))
    .group_by(jobs.c.owner)
)

OLDEST = select(jobs.c.model, func.min(jobs.c.created_at)).where(IS_QUEUED).group_by(jobs.c.model)

IS_STILL_QUEUED = select(jobs.c.id).where(IS_QUEUED, jobs.c.id == bindparam("job"))


def queued(
    tx: Connection, server: str, candidates: Collection[str] | None = None
) -> tuple[list[Waiting], dict[str, float]]:
    """The queued jobs, unordered, and when each of their owners was last served."""
    rows = all_rows(tx, QUEUED, here=server)
    waiting = [Waiting(*row) for row in rows if candidates is None or row[0] in candidates]
    return waiting, dict(all_rows(tx, LAST_SERVED, here=server))


def next_up(
    tx: Connection, server: str, candidates: Collection[str] | None = None, lane: Lane = "all"
) -> str | None:
    """The id of the job that runs next."""
    if candidates is not None and len(candidates) == 1 and lane == "all":
        (only,) = candidates
        return tx.execute(IS_STILL_QUEUED, {"here": server, "job": only}).scalar()
    waiting, last_served = queued(tx, server, candidates)
    own = (job for job in waiting if is_in_lane(lane, is_edit=job.is_edit))
    first = next(in_turn(own, last_served), None)
    return first.id if first else None


def oldest(tx: Connection, server: str) -> dict[str, float]:
    """When the first of the queued jobs was accepted, by model."""
    return {model or "": at for model, at in tx.execute(OLDEST, {"here": server})}
