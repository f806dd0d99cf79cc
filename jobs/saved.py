"""What callers save by name: their own styles, and looks. Small JSON objects in the database."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from errors import ErrorCode, KinoraError
from jobs.database import Database, one_at_a_time, saved

Kind = Literal["style", "look"]
MAX_ITEMS = 50
"""Of a kind and owner."""
MAX_BYTES = 16_384
"""Of one item."""
VISITOR_YEARS_S = 366 * 24 * 3600
"""A visitor's cookie lasts a year from the first visit: nobody can see older items any more."""


class SavedItem(NamedTuple):
    name: str
    body: dict[str, Any]
    saved_at: float


class SavedItems:
    """Thread-safe. For another owner, an item does not exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, owner: str, kind: Kind) -> list[SavedItem]:
        """In the order of their names."""
        query = (
            select(saved.c.name, saved.c.body, saved.c.at)
            .where(saved.c.owner == owner, saved.c.kind == kind)
            .order_by(saved.c.name)
        )
        with self._database.reading.begin() as tx:
            return [SavedItem(name, json.loads(body), at) for name, body, at in tx.execute(query)]

    def get(self, owner: str, kind: Kind, name: str) -> SavedItem:
        """Raises KinoraError(NOT_FOUND)."""
        query = select(saved.c.body, saved.c.at).where(*_is(owner, kind, name))
        with self._database.reading.begin() as tx:
            found = tx.execute(query).first()
        if found is None:
            raise KinoraError(ErrorCode.NOT_FOUND, f"You have no {kind} “{name}”.")
        return SavedItem(name, json.loads(found.body), found.at)

    def put(self, owner: str, kind: Kind, items: Mapping[str, Mapping[str, Any]]) -> None:
        """Saves all of them or none; an item of the same name is replaced. Raises
        KinoraError(CONFLICT) where the owner would have too many, TOO_LARGE for one item."""
        rows = [self._row(owner, kind, name, body) for name, body in items.items()]
        with self._database.durable.begin() as tx:
            one_at_a_time(tx)
            for name in items:
                tx.execute(delete(saved).where(*_is(owner, kind, name)))
            if _count(tx, owner, kind) + len(rows) > MAX_ITEMS:
                raise KinoraError(
                    ErrorCode.CONFLICT,
                    f"At most {MAX_ITEMS} can be saved. Delete one that you do not need.",
                )
            for row in rows:
                tx.execute(insert(saved).values(row))

    def delete(self, owner: str, kind: Kind, name: str) -> None:
        """Raises KinoraError(NOT_FOUND)."""
        with self._database.durable.begin() as tx:
            removed = tx.execute(delete(saved).where(*_is(owner, kind, name))).rowcount
        if not removed:
            raise KinoraError(ErrorCode.NOT_FOUND, f"You have no {kind} “{name}”.")

    def remove_of_past_visitors(self, now: float | None = None) -> int:
        """Removes what visitors saved whose cookie has expired; returns how many items."""
        oldest = (time.time() if now is None else now) - VISITOR_YEARS_S
        is_past = saved.c.owner.like("visitor:%") & (saved.c.at < oldest)
        with self._database.light.begin() as tx:
            return tx.execute(delete(saved).where(is_past)).rowcount

    def _row(self, owner: str, kind: Kind, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        text = json.dumps(body, ensure_ascii=False)
        if len(text.encode()) > MAX_BYTES:
            sentence = f"The {kind} “{name}” is larger than {MAX_BYTES // 1024} kB."
            raise KinoraError(ErrorCode.TOO_LARGE, sentence)
        return {"owner": owner, "kind": kind, "name": name, "body": text, "at": time.time()}


def _is(owner: str, kind: Kind, name: str) -> tuple[Any, ...]:
    return saved.c.owner == owner, saved.c.kind == kind, saved.c.name == name


def _count(tx: Connection, owner: str, kind: Kind) -> int:
    query = select(func.count()).where(saved.c.owner == owner, saved.c.kind == kind)
    return tx.execute(query).scalar_one()
