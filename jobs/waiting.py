"""The line as the database keeps it: which of a server's jobs wait, and whose turn is next.

Each function works inside the caller's transaction. Knows SQL; whose turn it is, is `fairness`.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, and_, bindparam, func, select

from jobs.fairness import Waiting, in_turn
from jobs.job import State
from jobs.tables import all_rows, jobs

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
