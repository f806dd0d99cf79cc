"""The rows of share links: one for each shared clip, which go with its job."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import RowMapping, Select, bindparam, delete, insert, or_, select, update
from typing_extensions import Unpack

from jobs.database import Database, one_at_a_time, shares

Query = Select[Unpack[tuple[Any, ...]]]

IS_VALID = or_(shares.c.expires_at.is_(None), shares.c.expires_at > bindparam("now"))
VALID_ONE = select(shares).where(shares.c.id == bindparam("share"), IS_VALID)
"""Of a revoked, expired or made-up id it finds nothing, in one and the same statement."""


class Share(BaseModel):
    """A share link of one clip, and what its page shows. Times are Unix seconds."""

    model_config = ConfigDict(frozen=True)
    id: str
    job_id: str
    owner: str
    title: str = ""
    hide_prompt: bool = False
    hide_settings: bool = False
    is_public: bool = False
    created_at: float
    expires_at: float | None = None


class ShareRows:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, share: Share) -> None:
        """Stores the link of a clip, in the place of its earlier one."""
        with self._database.durable.begin() as tx:
            one_at_a_time(tx)
            tx.execute(delete(shares).where(shares.c.job_id == share.job_id))
            tx.execute(insert(shares).values(_row_of(share)))

    def change(self, share: Share) -> bool:
        """Stores what has changed; False if the link was revoked meanwhile."""
        with self._database.durable.begin() as tx:
            is_it = shares.c.id == share.id
            return tx.execute(update(shares).where(is_it).values(_row_of(share))).rowcount == 1

    def find_valid(self, share_id: str, now: float) -> Share | None:
        """None for a revoked, expired or unknown one."""
        with self._database.reading.begin() as tx:
            row = tx.execute(VALID_ONE, {"share": share_id, "now": now}).mappings().first()
        return _share_of(row) if row else None

    def of_job(self, job_id: str) -> Share | None:
        """Also an expired one."""
        with self._database.reading.begin() as tx:
            query = select(shares).where(shares.c.job_id == job_id)
            row = tx.execute(query).mappings().first()
        return _share_of(row) if row else None

    def remove(self, share_id: str) -> bool:
        with self._database.durable.begin() as tx:
            return tx.execute(delete(shares).where(shares.c.id == share_id)).rowcount == 1

    def of_owner(self, owner: str, limit: int, before: float | None) -> list[Share]:
        """Newest first; `before` is when the last one of the previous page was made."""
        return self._newest(select(shares).where(shares.c.owner == owner), limit, before)

    def public(self, limit: int, before: float | None, now: float) -> list[Share]:
        """What makers published, newest first."""
        query = select(shares).where(shares.c.is_public == 1, IS_VALID)
        return self._newest(query, limit, before, now=now)

    def _newest(
        self, query: Query, limit: int, before: float | None, **parameters: float
    ) -> list[Share]:
        if before is not None:
            query = query.where(shares.c.created_at < before)
        query = query.order_by(shares.c.created_at.desc()).limit(limit)
        with self._database.reading.begin() as tx:
            return [_share_of(row) for row in tx.execute(query, parameters).mappings()]


def _row_of(share: Share) -> dict[str, Any]:
    flags = ("hide_prompt", "hide_settings", "is_public")
    return share.model_dump() | {name: int(getattr(share, name)) for name in flags}


def _share_of(row: RowMapping) -> Share:
    return Share.model_validate(dict(row))
