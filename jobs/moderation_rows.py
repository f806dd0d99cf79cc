"""The rows of reports, removed clips and blocks."""

from __future__ import annotations

import secrets
from typing import Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete, func, insert, select, update

from jobs.database import Database, one_at_a_time
from jobs.moderation_tables import (
    blocked_callers,
    blocked_files,
    moderation_keys,
    reports,
    takedowns,
)

Outcome = Literal["removed", "dismissed"]
Clips = list["ReportedClip"]
CALLER_KEY = "callers"


class ClipReport(BaseModel):
    """A report of a shared clip. Times are Unix seconds; `reporter` is a keyed hash."""

    model_config = ConfigDict(frozen=True)
    id: str
    job_id: str
    share_id: str
    reason: str
    note: str
    reporter: str
    created_at: float
    closed_at: float | None = None
    outcome: Outcome | None = None


class ReportedClip(BaseModel):
    """What the queue of reports shows for one clip."""

    model_config = ConfigDict(frozen=True)
    job_id: str
    count: int
    first_at: float
    last_at: float


class Takedown(BaseModel):
    """A clip that the operator has removed; `has_files` while it can be restored."""

    model_config = ConfigDict(frozen=True)
    job_id: str
    at: float
    note: str = ""
    has_files: bool = True


class BlockedFile(BaseModel):
    """A file by its SHA-256, and by the perceptual hashes of its frames; either may be empty."""

    model_config = ConfigDict(frozen=True)
    id: str
    job_id: str
    at: float
    sha256: str
    hashes: str


class BlockedCaller(BaseModel):
    model_config = ConfigDict(frozen=True)
    caller: str
    at: float
    until: float


class ModerationRows:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def caller_key(self) -> bytes:
        """The key that callers are hashed with: the same for all servers of this database."""
        query = select(moderation_keys.c.value).where(moderation_keys.c.name == CALLER_KEY)
        with self._database.reading.begin() as tx:
            found = tx.execute(query).scalar()
        if found is None:
            with self._database.durable.begin() as tx:
                one_at_a_time(tx)
                found = tx.execute(query).scalar()  # another server may have made it meanwhile
                if found is None:
                    found = secrets.token_hex(32)
                    tx.execute(insert(moderation_keys), {"name": CALLER_KEY, "value": found})
        return bytes.fromhex(found)

    # -- reports -----------------------------------------------------------------------------------

    def add_report(self, report: ClipReport, most_open: int) -> bool:
        """Stores a report in the place of the same reporter's open one. False, and nothing is
        stored, where the clip has `most_open` of them already."""
        is_open = (reports.c.job_id == report.job_id, reports.c.closed_at.is_(None))
        with self._database.durable.begin() as tx:
            one_at_a_time(tx)
            tx.execute(delete(reports).where(*is_open, reports.c.reporter == report.reporter))
            count = tx.execute(select(func.count()).select_from(reports).where(*is_open)).scalar()
            if (count or 0) >= most_open:
                return False
            tx.execute(insert(reports), report.model_dump())
        return True

    def reports_of(self, job_id: str, limit: int) -> list[ClipReport]:
        """Newest first."""
        query = select(reports).where(reports.c.job_id == job_id)
        query = query.order_by(reports.c.created_at.desc()).limit(limit)
        with self._database.reading.begin() as tx:
            return [ClipReport.model_validate(dict(row)) for row in tx.execute(query).mappings()]

    def queue(self, limit: int, after: float | None) -> Clips:
        """Clips with open reports, those first that have waited longest; `after` is the `first_at`
        of the last one of the previous page."""
        first = func.min(reports.c.created_at).label("first_at")
        query = (
            select(
                reports.c.job_id,
                func.count().label("count"),
                first,
                func.max(reports.c.created_at).label("last_at"),
            )
            .where(reports.c.closed_at.is_(None))
            .group_by(reports.c.job_id)
            .order_by(first, reports.c.job_id)
            .limit(limit)
        )
        if after is not None:
            query = query.having(first > after)
        with self._database.reading.begin() as tx:
            return [ReportedClip.model_validate(dict(row)) for row in tx.execute(query).mappings()]

    def count_open(self) -> int:
        query = select(func.count()).select_from(reports).where(reports.c.closed_at.is_(None))
        with self._database.reading.begin() as tx:
            return tx.execute(query).scalar_one()

    def close_reports(self, job_id: str, outcome: Outcome, now: float) -> int:
        """Closes the open reports of a clip; returns how many there were."""
        is_open = (reports.c.job_id == job_id, reports.c.closed_at.is_(None))
        values = {"closed_at": now, "outcome": outcome}
        with self._database.durable.begin() as tx:
            return tx.execute(update(reports).where(*is_open).values(values)).rowcount

    def remove_reports(self, closed_before: float) -> int:
        with self._database.light.begin() as tx:
            return tx.execute(delete(reports).where(reports.c.closed_at < closed_before)).rowcount

    # -- removed clips -----------------------------------------------------------------------------

    def put_takedown(self, takedown: Takedown) -> None:
        with self._database.durable.begin() as tx:
            tx.execute(delete(takedowns).where(takedowns.c.job_id == takedown.job_id))
            values = takedown.model_dump() | {"has_files": int(takedown.has_files)}
            tx.execute(insert(takedowns), values)

    def takedown(self, job_id: str) -> Takedown | None:
        query = select(takedowns).where(takedowns.c.job_id == job_id)
        with self._database.reading.begin() as tx:
            row = tx.execute(query).mappings().first()
        return Takedown.model_validate(dict(row)) if row else None

    def takedowns(self, limit: int, *, with_files_before: float | None = None) -> list[Takedown]:
        """Newest first; with `with_files_before`, the oldest ones of before that time whose files
        are kept."""
        query = select(takedowns).order_by(takedowns.c.at.desc()).limit(limit)
        if with_files_before is not None:
            is_due = (takedowns.c.has_files == 1, takedowns.c.at < with_files_before)
            query = select(takedowns).where(*is_due).order_by(takedowns.c.at).limit(limit)
        with self._database.reading.begin() as tx:
            return [Takedown.model_validate(dict(row)) for row in tx.execute(query).mappings()]

    def remove_takedown(self, job_id: str) -> bool:
        with self._database.durable.begin() as tx:
            return tx.execute(delete(takedowns).where(takedowns.c.job_id == job_id)).rowcount == 1

    # -- blocked files -----------------------------------------------------------------------------

    def put_blocked_files(self, job_id: str, rows: list[BlockedFile]) -> None:
        """In the place of earlier ones of that clip."""
        with self._database.durable.begin() as tx:
            tx.execute(delete(blocked_files).where(blocked_files.c.job_id == job_id))
            if rows:
                tx.execute(insert(blocked_files), [row.model_dump() for row in rows])

    def blocked_files(self) -> list[BlockedFile]:
        """All of them, newest first."""
        query = select(blocked_files).order_by(blocked_files.c.at.desc())
        with self._database.reading.begin() as tx:
            return [BlockedFile.model_validate(dict(row)) for row in tx.execute(query).mappings()]

    def blocked_version(self) -> tuple[int, float]:
        """Changes whenever a file is blocked or unblocked."""
        query = select(func.count(), func.max(blocked_files.c.at)).select_from(blocked_files)
        with self._database.reading.begin() as tx:
            count, newest = tx.execute(query).one()
        return count, newest or 0.0

    def is_blocked_file(self, job_id: str) -> bool:
        query = select(blocked_files.c.id).where(blocked_files.c.job_id == job_id).limit(1)
        with self._database.reading.begin() as tx:
            return tx.execute(query).first() is not None

    def unblock_files(self, job_id: str) -> bool:
        with self._database.durable.begin() as tx:
            is_it = blocked_files.c.job_id == job_id
            return tx.execute(delete(blocked_files).where(is_it)).rowcount > 0

    # -- blocked callers ---------------------------------------------------------------------------

    def put_blocked_caller(self, row: BlockedCaller) -> None:
        with self._database.durable.begin() as tx:
            tx.execute(delete(blocked_callers).where(blocked_callers.c.caller == row.caller))
            tx.execute(insert(blocked_callers), row.model_dump())

    def blocked_until(self, callers: list[str], now: float) -> float | None:
        """When the last block of these callers ends; None where there is none."""
        is_blocked = (blocked_callers.c.caller.in_(callers), blocked_callers.c.until > now)
        with self._database.reading.begin() as tx:
            return tx.execute(select(func.max(blocked_callers.c.until)).where(*is_blocked)).scalar()

    def blocked_callers(self, now: float) -> list[BlockedCaller]:
        """Newest first."""
        query = select(blocked_callers).where(blocked_callers.c.until > now)
        query = query.order_by(blocked_callers.c.at.desc())
        with self._database.reading.begin() as tx:
            return [BlockedCaller.model_validate(dict(r)) for r in tx.execute(query).mappings()]

    def unblock_caller(self, caller: str) -> bool:
        with self._database.durable.begin() as tx:
            is_it = blocked_callers.c.caller == caller
            return tx.execute(delete(blocked_callers).where(is_it)).rowcount == 1

    def remove_expired_blocks(self, now: float) -> int:
        with self._database.light.begin() as tx:
            has_expired = blocked_callers.c.until <= now
            return tx.execute(delete(blocked_callers).where(has_expired)).rowcount
