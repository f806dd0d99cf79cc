"""The rows of films and which jobs are theirs. Functions with `tx` run inside the caller's
transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    RowMapping,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from jobs.database import Database, jobs, metadata
from jobs.film import Film, FilmState
from jobs.job import Job
from jobs.job_rows import job_of
from pipelines.field_types import STORED

films = Table(
    "films",
    metadata,
    Column("id", String, primary_key=True),
    Column("owner", String),
    Column("created_at", Float(53)),
    Column("changed_at", Float(53)),
    Column("version", Integer),
    Column("server", String),
    Column("is_open", Integer),
    Column("pending", Integer),
    Column("body", String),
)

film_jobs = Table(
    "film_jobs",
    metadata,
    Column("job_id", String, primary_key=True),
    Column("film_id", String),
)

COUNT_PENDING = select(func.sum(films.c.pending)).where(
    films.c.owner == bindparam("owner"), films.c.is_open == 1
)
FILM_OF = select(film_jobs.c.film_id).where(film_jobs.c.job_id == bindparam("job"))
IN_ROW = {"id", "owner", "created_at", "version", "server"}
"""The fields of a film that have a column of their own."""
VISITOR_YEARS_S = 366 * 24 * 3600
"""A visitor's cookie lasts a year: nobody can see older films any more."""


class FilmChanged(Exception):
    """The film was changed meanwhile: read it again."""


def count_pending(tx: Connection, owner: str) -> int:
    """The shots of an owner's films that are not submitted yet, and will be."""
    return tx.execute(COUNT_PENDING, {"owner": owner}).scalar() or 0


def write_film(
    with_jobs: Callable[[Sequence[Job]], FilmState], *, is_new: bool = False
) -> Callable[[Connection, Sequence[Job]], None]:
    """Stores a film in the transaction that accepts some of its jobs. `with_jobs` returns it with
    them. That raises FilmChanged where it was changed meanwhile."""

    def write(tx: Connection, accepted: Sequence[Job]) -> None:
        state = with_jobs(accepted)
        if is_new:
            tx.execute(insert(films), _row(state))
        else:
            _save(tx, state)
        rows = [{"job_id": job.id, "film_id": state.film.id} for job in accepted]
        tx.execute(insert(film_jobs), rows)

    return write


def _save(tx: Connection, state: FilmState) -> None:
    film = state.film
    is_unchanged = (films.c.id == film.id) & (films.c.version == film.version - 1)
    if tx.execute(update(films).where(is_unchanged).values(_row(state))).rowcount == 0:
        raise FilmChanged(film.id)


def clips_of_open_films(tx: Connection) -> set[str]:
    """The jobs whose clips are still to be joined or continued."""
    query = select(film_jobs.c.job_id).join(films, films.c.id == film_jobs.c.film_id)
    return set(tx.execute(query.where(films.c.is_open == 1)).scalars())


def siblings(tx: Connection, job_id: str, limit: int) -> list[str]:
    """The other clips of the film that a clip belongs to."""
    film_id = tx.execute(FILM_OF, {"job": job_id}).scalar()
    if film_id is None:
        return []
    query = select(film_jobs.c.job_id).join(jobs, jobs.c.id == film_jobs.c.job_id)
    query = query.where(film_jobs.c.film_id == film_id, film_jobs.c.job_id != job_id)
    return list(tx.execute(query.order_by(jobs.c.created_at).limit(limit)).scalars())


class FilmRows:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, film_id: str) -> FilmState | None:
        with self._database.reading.begin() as tx:
            row = tx.execute(select(films).where(films.c.id == film_id)).mappings().first()
            return _state(tx, row) if row else None

    def film_of(self, job_id: str) -> str | None:
        """The film that a job belongs to, or has belonged to."""
        with self._database.reading.begin() as tx:
            return tx.execute(FILM_OF, {"job": job_id}).scalar()

    def newest(self, owner: str, limit: int, before: float | None = None) -> list[FilmState]:
        """The owner's films, newest first, created before that time."""
        query = select(films).where(films.c.owner == owner)
        if before is not None:
            query = query.where(films.c.created_at < before)
        with self._database.reading.begin() as tx:
            rows = tx.execute(query.order_by(films.c.created_at.desc()).limit(limit)).mappings()
            return [_state(tx, row) for row in rows.all()]

    def open(self) -> list[tuple[str, str]]:
        """(id, server) of the films that something is to be submitted of."""
        query = select(films.c.id, films.c.server).where(films.c.is_open == 1)
        with self._database.reading.begin() as tx:
            return [(row.id, row.server) for row in tx.execute(query.order_by(films.c.created_at))]

    def save(self, state: FilmState) -> None:
        """Stores a film that was read with the version before this one. Raises FilmChanged."""
        with self._database.durable.begin() as tx:
            _save(tx, state)

    def refresh(self, state: FilmState) -> None:
        """Stores what follows from the states of the jobs, unless the film was changed since."""
        row = _row(state)
        now = {name: row[name] for name in ("is_open", "pending")}
        is_it = (films.c.id == state.film.id) & (films.c.version == state.film.version)
        differs = or_(*(films.c[name] != value for name, value in now.items()))
        with self._database.light.begin() as tx:
            tx.execute(update(films).where(is_it, differs).values(now))

    def take_over(self, film_id: str, server: str) -> None:
        """That server continues the film from now on."""
        with self._database.light.begin() as tx:
            tx.execute(update(films).where(films.c.id == film_id).values(server=server))

    def delete(self, film_id: str) -> None:
        """The jobs stay."""
        with self._database.durable.begin() as tx:
            tx.execute(delete(film_jobs).where(film_jobs.c.film_id == film_id))
            tx.execute(delete(films).where(films.c.id == film_id))

    def remove_of_past_visitors(self) -> None:
        """Removes the films that nobody can see any more."""
        oldest = time.time() - VISITOR_YEARS_S
        is_past = films.c.owner.like("visitor:%") & (films.c.changed_at < oldest)
        with self._database.light.begin() as tx:
            past = list(tx.execute(select(films.c.id).where(is_past)).scalars())
            if past:
                tx.execute(delete(film_jobs).where(film_jobs.c.film_id.in_(past)))
                tx.execute(delete(films).where(films.c.id.in_(past)))


def _row(state: FilmState) -> dict[str, Any]:
    film = state.film
    return film.model_dump(include=IN_ROW) | {
        "changed_at": time.time(),
        "is_open": int(state.state == "working"),
        "pending": state.pending,
        "body": film.model_dump_json(exclude=IN_ROW),
    }


def _film(row: RowMapping) -> Film:
    columns = {name: row[name] for name in IN_ROW}
    return Film.model_validate(json.loads(row["body"]) | columns, context=STORED)


def _state(tx: Connection, row: RowMapping) -> FilmState:
    film = _film(row)
    query = select(jobs).where(jobs.c.id.in_(film.job_ids))
    found = [job_of(each) for each in tx.execute(query).mappings()]
    return FilmState(film, {job.id: job for job in found})
