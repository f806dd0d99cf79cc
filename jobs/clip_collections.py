"""Collections of clips: names that an owner gives to any of their clips, as many as they like."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from errors import ErrorCode, KinoraError
from jobs.database import Database, one_at_a_time
from jobs.gallery_query import invalid, is_storable
from jobs.gallery_sql import chunks
from jobs.gallery_tables import clips, collection_clips, collections
from jobs.job import new_id

MAX_COLLECTIONS = 200
"""Of an owner."""
MAX_NAME = 80
VISITOR_YEARS_S = 366 * 24 * 3600
"""A visitor's cookie lasts a year: nobody can see an empty collection of an older one."""


class Collection(NamedTuple):
    id: str
    name: str
    created_at: float
    clips: int


class Collections:
    """Thread-safe. For another owner, a collection does not exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, owner: str) -> list[Collection]:
        """In the order of their names."""
        is_there = and_(clips.c.job_id == collection_clips.c.job_id, clips.c.delete_at.is_(None))
        query = (
            select(
                collections.c.id,
                collections.c.name,
                collections.c.created_at,
                func.count(clips.c.job_id),
            )
            .outerjoin(collection_clips, collection_clips.c.collection == collections.c.id)
            .outerjoin(clips, is_there)
            .where(collections.c.owner == owner)
            .group_by(collections.c.id, collections.c.name, collections.c.created_at)
        )
        with self._database.reading.begin() as tx:
            found = [Collection(*row) for row in tx.execute(query)]
        return sorted(found, key=lambda each: (each.name.casefold(), each.id))

    def add(self, owner: str, name: str) -> Collection:
        """Raises KinoraError: INVALID_INPUT for the name, CONFLICT if there is one of that name, or
        too many."""
        row = {"id": new_id(), "owner": owner, "name": _checked(name), "created_at": time.time()}
        mine = collections.c.owner == owner
        with self._database.durable.begin() as tx:
            one_at_a_time(tx)
            if tx.execute(select(func.count()).where(mine)).scalar_one() >= MAX_COLLECTIONS:
                raise KinoraError(
                    ErrorCode.CONFLICT,
                    f"You can have at most {MAX_COLLECTIONS} collections. Delete one first.",
                )
            same = select(collections.c.id).where(mine, collections.c.name == row["name"])
            if tx.execute(same).first():
                raise _is_taken(row["name"])
            tx.execute(insert(collections), row)
        return Collection(row["id"], row["name"], row["created_at"], 0)

    def rename(self, owner: str, collection_id: str, name: str) -> None:
        """Raises KinoraError: as `add`, and NOT_FOUND."""
        name = _checked(name)
        mine = and_(collections.c.owner == owner, collections.c.id == collection_id)
        try:
            with self._database.durable.begin() as tx:
                if tx.execute(update(collections).where(mine).values(name=name)).rowcount == 0:
                    raise _not_found()
        except IntegrityError:
            raise _is_taken(name) from None

    def delete(self, owner: str, collection_id: str) -> None:
        """Its clips stay. Raises KinoraError(NOT_FOUND)."""
        mine = and_(collections.c.owner == owner, collections.c.id == collection_id)
        with self._database.durable.begin() as tx:
            if tx.execute(delete(collections).where(mine)).rowcount == 0:
                raise _not_found()

    def put(self, owner: str, collection_id: str, job_ids: Sequence[str]) -> int:
        """Adds those of the clips that are the owner's; returns how many are new in it. Raises
        KinoraError(NOT_FOUND)."""
        added = 0
        with self._database.durable.begin() as tx:
            one_at_a_time(tx)
            mine = and_(collections.c.owner == owner, collections.c.id == collection_id)
            if tx.execute(select(collections.c.id).where(mine)).first() is None:
                raise _not_found()
            for chunk in chunks(job_ids):
                known = select(collection_clips.c.job_id).where(
                    collection_clips.c.collection == collection_id,
                    collection_clips.c.job_id.in_(chunk),
                )
                new = select(clips.c.job_id).where(
                    clips.c.owner == owner,
                    clips.c.job_id.in_(chunk),
                    clips.c.job_id.not_in(known),
                )
                rows = [
                    {"collection": collection_id, "job_id": each, "at": time.time()}
                    for each in tx.execute(new).scalars()
                ]
                if rows:
                    tx.execute(insert(collection_clips), rows)
                added += len(rows)
        return added

    def take(self, owner: str, collection_id: str, job_ids: Sequence[str]) -> int:
        """Takes the clips out of it; returns how many were in it. Raises KinoraError(NOT_FOUND)."""
        taken = 0
        with self._database.durable.begin() as tx:
            mine = and_(collections.c.owner == owner, collections.c.id == collection_id)
            if tx.execute(select(collections.c.id).where(mine)).first() is None:
                raise _not_found()
            for chunk in chunks(job_ids):
                these = and_(
                    collection_clips.c.collection == collection_id,
                    collection_clips.c.job_id.in_(chunk),
                )
                taken += tx.execute(delete(collection_clips).where(these)).rowcount
        return taken

    def of_clips(self, job_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The ids of the collections that each of these clips is in. No owner check."""
        found: dict[str, tuple[str, ...]] = {}
        query = select(collection_clips.c.job_id, collection_clips.c.collection)
        with self._database.reading.begin() as tx:
            for chunk in chunks(job_ids):
                for job_id, collection in tx.execute(
                    query.where(collection_clips.c.job_id.in_(chunk))
                ):
                    found[job_id] = (*found.get(job_id, ()), collection)
        return found

    def remove_of_past_visitors(self, now: float | None = None) -> int:
        """Removes empty collections of visitors whose cookie has expired; returns how many."""
        oldest = (time.time() if now is None else now) - VISITOR_YEARS_S
        used = select(collection_clips.c.collection)
        is_past = and_(
            collections.c.owner.like("visitor:%"),
            collections.c.created_at < oldest,
            collections.c.id.not_in(used),
        )
        with self._database.light.begin() as tx:
            return tx.execute(delete(collections).where(is_past)).rowcount


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= MAX_NAME or not is_storable(name):
        raise invalid("name", f"The name of a collection has 1 to {MAX_NAME} letters.")
    return name


def _is_taken(name: str) -> KinoraError:
    return KinoraError(
        ErrorCode.CONFLICT,
        f"You have a collection “{name}” already. Choose another name.",
        details={"field": "name"},
    )


def _not_found() -> KinoraError:
    return KinoraError(ErrorCode.NOT_FOUND, "There is no such collection here.")
