"""The places of removed jobs in their owner's list, so that paging can continue after one of them.

A client that deletes what it lists names a deleted job as the last one of its page. Each function
runs inside the caller's transaction.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, delete, insert, select

from errors import ErrorCode, KinoraError
from jobs.database import jobs, removed

KEPT_S = 30 * 24 * 3600


def remember_place(tx: Connection, job_id: str, owner: str, created_at: float) -> None:
    """Stores the place of a job that is being removed, and forgets old ones."""
    now = time.time()
    tx.execute(delete(removed).where(removed.c.at < now - KEPT_S))
    row = {"id": job_id, "owner": owner, "created_at": created_at, "at": now}
    tx.execute(insert(removed), row)


def place_of(tx: Connection, job_id: str, owner: str) -> float:
    """When the owner's job was accepted, also of a removed one. Raises KinoraError(NOT_FOUND) for
    any other id."""
    for table in (jobs, removed):
        query = select(table.c.created_at).where(table.c.id == job_id, table.c.owner == owner)
        created_at = tx.execute(query).scalar()
        if created_at is not None:
            return float(created_at)
    sentence = "The list cannot begin after that clip: there is no such clip here."
    raise KinoraError(ErrorCode.NOT_FOUND, sentence)
