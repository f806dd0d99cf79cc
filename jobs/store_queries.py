"""The reading half of JobStore: jobs, events and the queue, as the database has them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import and_, bindparam, func, or_, select

from jobs import queue
from jobs.admission_sql import made_before
from jobs.batch import Batch
from jobs.batch_rows import JOBS_OF, find_batch, known_batches, newest_batches
from jobs.database import Database, events, jobs
from jobs.event_types import Event, from_json
from jobs.film_rows import clips_of_open_films
from jobs.gallery_sql import is_deleted
from jobs.gallery_tables import edit_sources
from jobs.job import Job, Result, State
from jobs.job_rows import edit_of, job_of
from jobs.queue import Waiting, in_turn
from jobs.removed_jobs import place_of
from media.operations.edit_request import EditRequest
from pipelines.request import FittedRequest

UNFINISHED = (State.QUEUED.value, State.RUNNING.value)
IDS_PER_QUERY = 500

# Queries of the hot paths are built once: building one takes longer than running it.
ONE_JOB = select(jobs).where(jobs.c.id == bindparam("job"))
MODEL_OF = select(jobs.c.model).where(jobs.c.id == bindparam("job"))


class Finished(NamedTuple):
    """A job that has succeeded."""

    id: str
    ended_at: float
    result: Result | None


class Wanted(NamedTuple):
    """What the time of a job depends on."""

    fitted: FittedRequest
    edit: EditRequest | None


class StoreQueries:
    """Thread-safe. `server` is the name under which this process stores its jobs."""

    def __init__(self, database: Database, server: str) -> None:
        self.database = database
        self.server = server

    # -- jobs --------------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job | None:
        with self.database.reading.begin() as tx:
            row = tx.execute(ONE_JOB, {"job": job_id}).mappings().first()
        return job_of(row) if row else None

    def history(
        self,
        owner: str,
        limit: int = 50,
        before: str | None = None,
        *,
        oldest_first: bool = False,
    ) -> list[Job]:
        """An owner's jobs, newest first; `before` is the id of the last one of the previous page,
        which may have been removed since. Without those that the owner has deleted and may
        still restore. Raises KinoraError(NOT_FOUND) where it never was the owner's."""
        query = select(jobs).where(jobs.c.owner == owner, ~is_deleted(owner))
        at, name = (jobs.c.created_at, jobs.c.id)
        order = (at, name) if oldest_first else (at.desc(), name.desc())
        query = query.order_by(*order).limit(limit)
        with self.database.reading.begin() as tx:
            if before:
                last = place_of(tx, before, owner)
                after = (at > last, name > before) if oldest_first else (at < last, name < before)
                query = query.where(or_(after[0], and_(at == last, after[1])))
            return [job_of(row) for row in tx.execute(query).mappings()]

    def batch(self, batch_id: str) -> list[Job]:
        """The jobs of a batch, in the order in which they were submitted."""
        query = select(jobs).where(jobs.c.batch == batch_id)
        with self.database.reading.begin() as tx:
            rows = tx.execute(query.order_by(jobs.c.created_at, jobs.c.id)).mappings()
            return [job_of(row) for row in rows]

    def batch_ids(self, batch_id: str) -> set[str]:
        """The ids of `batch`."""
        with self.database.reading.begin() as tx:
            return set(tx.execute(JOBS_OF, {"batch": batch_id}).scalars())

    def batch_row(self, batch_id: str) -> Batch | None:
        """None for a batch of version 0.1.0, and where there is no such batch."""
        with self.database.reading.begin() as tx:
            return find_batch(tx, batch_id)

    def newest_batches(self, owner: str, limit: int, before: float | None = None) -> list[str]:
        """The ids of the owner's batches, newest first, created before that time."""
        with self.database.reading.begin() as tx:
            return newest_batches(tx, owner, limit, before)

    def known_batches(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that are batches in this database."""
        known: set[str] = set()
        for chunk in _chunks(ids):
            with self.database.reading.begin() as tx:
                known |= known_batches(tx, chunk)
        return known

    def made_before(self, owner: str, recipe: str) -> list[str]:
        """The ids of the owner's finished jobs with that recipe, newest first."""
        with self.database.reading.begin() as tx:
            return made_before(tx, owner, recipe)

    def counts(self) -> dict[tuple[str, str], int]:
        """The number of jobs by (state, model)."""
        query = select(jobs.c.state, jobs.c.model, func.count()).group_by(
            jobs.c.state, jobs.c.model
        )
        with self.database.reading.begin() as tx:
            return {(state, model or ""): n for state, model, n in tx.execute(query)}

    def states_of(self, ids: Collection[str]) -> dict[str, State]:
        """The states of those ids that are jobs in this database."""
        states: dict[str, State] = {}
        for chunk in _chunks(ids):
            query = select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(chunk))
            with self.database.reading.begin() as tx:
                states |= {row.id: State(row.state) for row in tx.execute(query)}
        return states

    def finished(self) -> list[Finished]:
        """All jobs that have succeeded, those that ended last first."""
        query = select(jobs.c.id, jobs.c.ended_at, jobs.c.result)
        query = query.where(jobs.c.state == State.SUCCEEDED.value)
        with self.database.reading.begin() as tx:
            rows = tx.execute(query.order_by(jobs.c.ended_at.desc())).all()
        return [
            Finished(job_id, at, Result.model_validate_json(result) if result else None)
            for job_id, at, result in rows
        ]

    def uses_upload(self, name: str) -> bool:
        """True if a request names it: as its picture, its last picture or its clip, or in an
        edit."""
        is_named = or_(
            jobs.c.image == name, jobs.c.request.contains(name), jobs.c.edit.contains(name)
        )
        with self.database.reading.begin() as tx:
            found = tx.execute(select(jobs.c.id).where(is_named).limit(1)).first()
        return found is not None

    def clips_being_edited(self) -> set[str]:
        """The clips that unfinished edits are made of, and those of unfinished films."""
        query = select(edit_sources.c.source).join(jobs, jobs.c.id == edit_sources.c.job_id)
        with self.database.reading.begin() as tx:
            of_edits = tx.execute(query.where(jobs.c.state.in_(UNFINISHED))).scalars()
            return {*of_edits, *clips_of_open_films(tx)}

    # -- events ------------------------------------------------------------------------------------

    def events(self, job_id: str, after: int = 0) -> list[Event]:
        query = select(events).where(events.c.job_id == job_id, events.c.n > after)
        with self.database.reading.begin() as tx:
            rows = tx.execute(query.order_by(events.c.n)).all()
        return [
            Event(row.job_id, row.n, row.at, from_json(row.kind, json.loads(row.data)))
            for row in rows
        ]

    # -- the queue ---------------------------------------------------------------------------------

    def queued(self) -> tuple[list[Waiting], dict[str, float]]:
        """This server's queued jobs, unordered, and when each of their owners was last served."""
        with self.database.reading.begin() as tx:
            return queue.queued(tx, self.server)

    def waiting(self) -> list[Waiting]:
        """This server's queued jobs, in the order in which they will run."""
        return list(in_turn(*self.queued()))

    def queued_ids(self) -> list[str]:
        """The ids of `waiting`."""
        return [job.id for job in self.waiting()]

    def oldest_waiting(self) -> dict[str, float]:
        """When the first of this server's queued jobs was accepted, by model."""
        with self.database.reading.begin() as tx:
            return queue.oldest(tx, self.server)

    def wanted(self, ids: Sequence[str]) -> dict[str, Wanted]:
        """What is wanted of those ids that are jobs in this database."""
        found: dict[str, Wanted] = {}
        for chunk in _chunks(ids):
            query = select(jobs.c.id, jobs.c.fitted, jobs.c.edit).where(jobs.c.id.in_(chunk))
            with self.database.reading.begin() as tx:
                rows = tx.execute(query).all()
            for row in rows:
                fitted = FittedRequest.model_validate_json(row.fitted)
                found[row.id] = Wanted(fitted, edit_of(row.edit))
        return found

    def unfinished_here(self) -> dict[State, int]:
        """How many of this server's jobs are queued and how many run."""
        here = and_(jobs.c.server == self.server, jobs.c.state.in_(UNFINISHED))
        query = select(jobs.c.state, func.count()).where(here).group_by(jobs.c.state)
        with self.database.reading.begin() as tx:
            return {State(state): count for state, count in tx.execute(query)}

    def model(self, job_id: str) -> str:
        """The id of the model that makes it; empty if there is no such job."""
        with self.database.reading.begin() as tx:
            return tx.execute(MODEL_OF, {"job": job_id}).scalar() or ""

    def running(self) -> list[Job]:
        return self.unfinished(self.server, State.RUNNING)

    def unfinished(self, server: str, state: State | None = None) -> list[Job]:
        states = [state.value] if state else list(UNFINISHED)
        query = select(jobs).where(jobs.c.server == server, jobs.c.state.in_(states))
        with self.database.reading.begin() as tx:
            rows = tx.execute(query.order_by(jobs.c.created_at)).mappings().all()
        return [job_of(row) for row in rows]

    def servers(self) -> set[str]:
        """The servers that have unfinished jobs."""
        query = select(jobs.c.server).where(jobs.c.state.in_(UNFINISHED)).distinct()
        with self.database.reading.begin() as tx:
            return set(tx.execute(query).scalars())


def _chunks(ids: Collection[str]) -> Iterator[Sequence[str]]:
    """As many as one query may name."""
    todo = list(ids)
    for start in range(0, len(todo), IDS_PER_QUERY):
        yield todo[start : start + IDS_PER_QUERY]
