"""The rows of `timings`: how long the clips and edits of the past took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite

from jobs.database import Database, timings


def store_timing(database: Database, row: Mapping[str, Any]) -> None:
    """Stores the row of a job, or replaces it: a server may be killed before it has stored that the
    job succeeded, and two threads may handle the end of one job."""
    insert = sqlite.insert if database.is_sqlite else postgresql.insert
    replace = (
        insert(timings)
        .values(**row)
        .on_conflict_do_update(index_elements=["job_id"], set_=dict(row))
    )
    with database.light.begin() as tx:
        tx.execute(replace)
