"""Where removed jobs stood in their owner's list, so that paging continues after one of them.

A program that removes what it lists names a job as the last one seen that is gone when it asks for
the next page. Each function works inside its caller's transaction. Knows SQL and nothing else.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, delete, insert, select

from errors import ErrorCode, KinoraError
from jobs.database import jobs, removed

KEPT_S = 30 * 24 * 3600


def remember_place(tx: Connection, job_id: str, owner: str, created_at: float) -> None:
    """Of a job that was removed just now. Old ones are forgotten."""
    now = time.time()
    tx.execute(delete(removed).where(removed.c.at < now - KEPT_S))
    row = {"id": job_id, "owner": owner, "created_at": created_at, "at": now}
    tx.execute(insert(removed), row)


def place_of(tx: Connection, job_id: str, owner: str) -> float:
    """When the owner's job of that id was accepted, whether it is still there or was removed.
    Raises KinoraError(NOT_FOUND) for any other id."""
    for table in (jobs, removed):
        mine = select(table.c.created_at).where(table.c.id == job_id, table.c.owner == owner)
        at = tx.execute(mine).scalar()
        if at is not None:
            return float(at)
    sentence = "The list cannot begin after that clip: there is no such clip here."
    raise KinoraError(ErrorCode.NOT_FOUND, sentence)
