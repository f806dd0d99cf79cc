"""The rows of batches. Batches of version 0.1.0 have none: they are read from their jobs.

Each function runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update

from errors import ErrorCode, KinoraError
from jobs.batch import Batch, Layout
from jobs.database import batches, jobs

ONE_BATCH = select(batches).where(batches.c.id == bindparam("batch"))
JOBS_OF = select(jobs.c.id).where(jobs.c.batch == bindparam("batch"))


def add_batch(tx: Connection, batch: Batch) -> None:
    row = batch.model_dump(include={"id", "owner", "created_at", "kind"})
    tx.execute(insert(batches), row | {"layout": batch.layout.model_dump_json()})


def find_batch(tx: Connection, batch_id: str) -> Batch | None:
    row = tx.execute(ONE_BATCH, {"batch": batch_id}).mappings().first()
    return batch_of(row) if row else None


def batch_of(row: RowMapping) -> Batch:
    return Batch(
        id=row["id"],
        owner=row["owner"],
        created_at=row["created_at"],
        kind=row["kind"],
        layout=Layout.model_validate_json(row["layout"]),
    )


def newest_batches(tx: Connection, owner: str, limit: int, before: float | None) -> list[str]:
    """The ids of the owner's batches, newest first; `before` is when the last one of the previous
    page was created."""
    first = func.min(jobs.c.created_at)
    query = select(jobs.c.batch).where(jobs.c.owner == owner, jobs.c.batch.is_not(None))
    query = query.group_by(jobs.c.batch)
    if before is not None:
        query = query.having(first < before)
    return list(tx.execute(query.order_by(first.desc()).limit(limit)).scalars())


def replace_job(tx: Connection, batch_id: str, before: str, after: str) -> None:
    """Puts another job into the cell of one, which leaves the batch. Raises KinoraError(CONFLICT)
    if it has left it already."""
    leaves = update(jobs).where(jobs.c.id == before, jobs.c.batch == batch_id).values(batch=None)
    batch = find_batch(tx, batch_id)
    if batch is None:  # of version 0.1.0
        query = select(jobs.c.id, jobs.c.owner, jobs.c.created_at)
        query = query.where(jobs.c.batch == batch_id, jobs.c.id != after)
        rows = tx.execute(query.order_by(jobs.c.created_at, jobs.c.id)).all()
        if rows:
            layout = Layout.of_jobs([row.id for row in rows])
            owner, at = rows[0].owner, rows[0].created_at
            batch = Batch(id=batch_id, owner=owner, created_at=at, layout=layout)
            add_batch(tx, batch)
    if batch is None or tx.execute(leaves).rowcount == 0:
        raise KinoraError(ErrorCode.CONFLICT, "This clip is being made again already.")
    layout = batch.layout.replace_job(before, after).model_dump_json()
    tx.execute(update(batches).where(batches.c.id == batch_id).values(layout=layout))


def remove_if_empty(tx: Connection, batch_id: str) -> None:
    """Removes the row of a batch whose last job was removed."""
    if tx.execute(JOBS_OF.limit(1), {"batch": batch_id}).first() is None:
        tx.execute(delete(batches).where(batches.c.id == batch_id))


def known_batches(tx: Connection, ids: Sequence[str]) -> set[str]:
    """Those of the ids that are batches with jobs in this database."""
    query = select(jobs.c.batch).where(jobs.c.batch.in_(ids)).distinct()
    return set(tx.execute(query).scalars())
