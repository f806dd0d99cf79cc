"""JobStore: accepted requests and their numbered events, in a database.

Every change of state and its event are one transaction, so no reader sees one without the other.
A job belongs to the server process that accepted it: only that one claims it, and another adopts
it only once that one is gone. Knows SQL and the table of legal moves; knows no worker and no file.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from jobs import queue
from jobs.admission_sql import check_key, check_limits, keep_key, made_before
from jobs.database import Database, events, jobs, one_at_a_time
from jobs.event_types import (
    Event,
    EventBody,
    Failed,
    Queued,
    Started,
    Succeeded,
    from_json,
    to_json,
)
from jobs.job import Asked, IdempotencyKey, Job, Result, State, check_move
from jobs.job_rows import job_of, row_of
from jobs.migrations import open_database
from jobs.priority_lock import PriorityLock
from jobs.queue import Waiting, in_turn
from jobs.removed_jobs import place_of, remember_place
from pipelines.request import FittedRequest

log = logging.getLogger(__name__)

UNFINISHED = (State.QUEUED.value, State.RUNNING.value)

# What is said to the database most often, put together once: that takes longer than running it.
ONE_JOB = select(jobs).where(jobs.c.id == bindparam("job"))
STATE_LOCKED = select(jobs.c.state).where(jobs.c.id == bindparam("job")).with_for_update()
MODEL_OF = select(jobs.c.model).where(jobs.c.id == bindparam("job"))
LAST_EVENT = select(func.max(events.c.n)).where(events.c.job_id == bindparam("job"))
CLAIM = (
    update(jobs)
    .where(queue.WAITS, jobs.c.id == bindparam("job"))
    .values(
        state=State.RUNNING.value,
        started_at=bindparam("now"),
        attempts=jobs.c.attempts + 1,
        asked=None,
    )
)
ADD_JOB, ADD_EVENT = insert(jobs), insert(events)


class JobStore:
    """Thread-safe.

    The lock is only for writers of this process: it keeps subscribers in order and spares SQLite's
    sleeping retries. Other processes are kept apart by the database itself.
    """

    def __init__(self, url: str, server: str = "server") -> None:
        self.server = server
        self.knows_all = True
        """False where the database may have been lost: what it does not know is left alone."""
        self.database = Database(url)
        self._subscribers: list[Callable[[Event], None]] = []
        self.has_others = False
        self._writing = PriorityLock()
        open_database(self.database)

    @property
    def is_shared(self) -> bool:
        """True where other processes may write too."""
        return self.has_others or not self.database.is_sqlite

    def close(self) -> None:
        self.database.close()

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        """Calls it for each event of this process after the event is stored, in the order of their
        numbers: in the thread that wrote it, under the lock for writers, so it must be quick and
        must not write. An error in it is logged."""
        self._subscribers.append(subscriber)

    # -- accepting -------------------------------------------------------------------------------

    def add(self, job: Job, *, max_queue: int, max_per_owner: int) -> Event:
        """Stores an accepted job; durable when this returns. The limits hold for all threads."""
        return self.add_all([job], max_queue=max_queue, max_per_owner=max_per_owner)[0]

    def add_all(
        self,
        accepted: Sequence[Job],
        *,
        max_queue: int,
        max_per_owner: int,
        once: IdempotencyKey | None = None,
        recipes: Mapping[str, str | None] | None = None,
        idle: Collection[str] = (),
    ) -> list[Event]:
        """All of one owner's jobs or none. AcceptedBefore if `once` was heard before.

        `recipes` are kept by job id. A job that has succeeded already comes with its result.
        `idle` are waiting jobs that count for no limit."""
        rows = [row_of(job, self.server, (recipes or {}).get(job.id)) for job in accepted]
        with self._writing.patiently():
            with self.database.durable.begin() as tx:
                one_at_a_time(tx)
                if once:
                    check_key(tx, accepted[0].owner, once)
                check_limits(
                    tx, accepted, max_queue=max_queue, max_per_owner=max_per_owner, idle=idle
                )
                told = []
                tx.execute(ADD_JOB, rows)
                for job in accepted:
                    told.append(_write(tx, job.id, 1, Queued(job.fitted.model)))
                    if job.result:
                        told.append(_write(tx, job.id, 2, Succeeded(reused=True)))
                if once:
                    keep_key(tx, accepted[0].owner, once, accepted[0].id)
            for event in told:
                self._notify(event)
        return told

    # -- working ---------------------------------------------------------------------------------

    def claim(self, among: Collection[str] | None = None) -> Job | None:
        """The next job in turn, now running and ours; each job is handed out exactly once."""
        with self._writing:
            with self.database.durable.begin() as tx:
                while (job_id := queue.next_up(tx, self.server, among)) is not None:
                    taken = {"job": job_id, "here": self.server, "now": time.time()}
                    if tx.execute(CLAIM, taken).rowcount == 1:
                        break
                else:
                    return None
                job = _require(tx, job_id)
                event = _append(tx, job.id, Started(job.attempts))
            self._notify(event)
        return job

    def move(
        self,
        job_id: str,
        before: State,
        after: State,
        event: EventBody,
        *,
        result: Result | None = None,
        unless_asked: Asked | None = None,
        refund_attempt: bool = False,
        run: float | None = None,
    ) -> Job | None:
        """Compare and set: the job as it is now, or None if it was not in `before` any more.

        `unless_asked` refuses the move as well if the person has asked for that meanwhile, `run`
        (when it was started) if the job was given up since and runs anew.
        """
        check_move(before, after)
        values: dict[str, Any] = {"state": after.value}
        if after.ended:
            values |= {"ended_at": time.time()}
            values |= {"result": result.model_dump_json() if result else None}
            is_failure = isinstance(event, Failed)
            values |= {"error": json.dumps(to_json(event)) if is_failure else None}
        elif after is State.QUEUED:
            values |= {"started_at": None, "asked": None, "server": self.server}
            if before.ended:  # once more, as if it were new
                values |= {"ended_at": None, "error": None, "attempts": 0}
            if refund_attempt:
                values |= {"attempts": jobs.c.attempts - 1}
        is_there = and_(jobs.c.id == job_id, jobs.c.state == before.value)
        if unless_asked:
            is_there = and_(is_there, or_(jobs.c.asked.is_(None), jobs.c.asked != unless_asked))
        if run is not None:
            is_there = and_(is_there, jobs.c.started_at == run)

        def change() -> Job | None:
            with self._writing:
                with self.database.durable.begin() as tx:
                    if tx.execute(update(jobs).where(is_there).values(**values)).rowcount == 0:
                        return None
                    job = _require(tx, job_id)
                    stored = _append(tx, job_id, event)
                self._notify(stored)
            return job

        return self.database.reserve.use_for(change) if after.ended else change()

    def ask(self, job_id: str, what: Asked) -> bool:
        """Writes down what the person wants of a running job. A discard is never taken back."""
        with self._writing, self.database.durable.begin() as tx:
            changed = tx.execute(
                update(jobs)
                .where(
                    jobs.c.id == job_id,
                    jobs.c.state == State.RUNNING.value,
                    or_(jobs.c.asked.is_(None), jobs.c.asked != "discard"),
                )
                .values(asked=what)
            )
        return changed.rowcount == 1

    def refit(self, job_id: str, fitted: FittedRequest) -> None:
        """A running job is made by other settings than it was accepted with. It is then no example
        of its recipe."""
        values = {"fitted": fitted.model_dump_json(), "model": fitted.model, "recipe": None}
        is_running = and_(jobs.c.id == job_id, jobs.c.state == State.RUNNING.value)
        with self._writing, self.database.durable.begin() as tx:
            tx.execute(update(jobs).where(is_running).values(**values))

    def append(
        self, job_id: str, event: EventBody, *, while_: State = State.RUNNING
    ) -> Event | None:
        """Progress of a running job, or of one in another state. Late news, of a job that is in
        that state no more, is dropped."""
        with self._writing:
            with self.database.light.begin() as tx:
                state = tx.execute(STATE_LOCKED, {"job": job_id}).scalar()
                if state != while_.value:
                    return None
                stored = _append(tx, job_id, event)
            self._notify(stored)
        return stored

    # -- looking ---------------------------------------------------------------------------------

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
        """An owner's jobs, newest first; `before` is the id of the last one already seen, which may
        have been removed since. Raises KinoraError(NOT_FOUND) where it never was the owner's."""
        mine = select(jobs).where(jobs.c.owner == owner)
        at, name = (jobs.c.created_at, jobs.c.id)
        order = (at, name) if oldest_first else (at.desc(), name.desc())
        mine = mine.order_by(*order).limit(limit)
        with self.database.reading.begin() as tx:
            if before:
                seen = place_of(tx, before, owner)
                further = (at > seen, name > before) if oldest_first else (at < seen, name < before)
                mine = mine.where(or_(further[0], and_(at == seen, further[1])))
            return [job_of(row) for row in tx.execute(mine).mappings()]

    def batch(self, batch_id: str) -> list[Job]:
        """The jobs of a batch, in the order they were handed in."""
        query = select(jobs).where(jobs.c.batch == batch_id)
        with self.database.reading.begin() as tx:
            rows = tx.execute(query.order_by(jobs.c.created_at, jobs.c.id)).mappings()
            return [job_of(row) for row in rows]

    def made_before(self, owner: str, recipe: str) -> list[str]:
        with self.database.reading.begin() as tx:
            return made_before(tx, owner, recipe)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many jobs there are, by state and model."""
        query = select(jobs.c.state, jobs.c.model, func.count()).group_by(
            jobs.c.state, jobs.c.model
        )
        with self.database.reading.begin() as tx:
            return {(state, model or ""): n for state, model, n in tx.execute(query)}

    def events(self, job_id: str, after: int = 0) -> list[Event]:
        query = select(events).where(events.c.job_id == job_id, events.c.n > after)
        with self.database.reading.begin() as tx:
            rows = tx.execute(query.order_by(events.c.n)).all()
        return [
            Event(row.job_id, row.n, row.at, from_json(row.kind, json.loads(row.data)))
            for row in rows
        ]

    def who_waits(self) -> tuple[list[Waiting], dict[str, float]]:
        """This server's waiting jobs, and when each of their owners was last served."""
        with self.database.reading.begin() as tx:
            return queue.who_waits(tx, self.server)

    def waiting(self) -> list[Waiting]:
        """This server's waiting jobs, in the order of their turns."""
        return list(in_turn(*self.who_waits()))

    def line(self) -> list[str]:
        """Their ids."""
        return [job.id for job in self.waiting()]

    def oldest_waiting(self) -> dict[str, float]:
        """When the first of this server's waiting jobs was accepted, by model."""
        with self.database.reading.begin() as tx:
            return queue.oldest(tx, self.server)

    def fitted(self, ids: Sequence[str]) -> dict[str, FittedRequest]:
        """What is to be made, of those jobs that are here."""
        found: dict[str, FittedRequest] = {}
        with self.database.reading.begin() as tx:
            for start in range(0, len(ids), 500):
                named = jobs.c.id.in_(ids[start : start + 500])
                rows = tx.execute(select(jobs.c.id, jobs.c.fitted).where(named))
                found |= {row.id: FittedRequest.model_validate_json(row.fitted) for row in rows}
        return found

    def unfinished_here(self) -> dict[State, int]:
        """How many of this server's jobs wait and how many run."""
        here = and_(jobs.c.server == self.server, jobs.c.state.in_(UNFINISHED))
        query = select(jobs.c.state, func.count()).where(here).group_by(jobs.c.state)
        with self.database.reading.begin() as tx:
            return {State(state): count for state, count in tx.execute(query)}

    def model(self, job_id: str) -> str:
        """The name of the model that makes it."""
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

    def take(self, job_id: str) -> None:
        """A running job of a server that is gone is ours now."""
        runs = and_(jobs.c.id == job_id, jobs.c.state == State.RUNNING.value)
        with self._writing, self.database.durable.begin() as tx:
            tx.execute(update(jobs).where(runs).values(server=self.server))

    def adopt(self, server: str) -> int:
        """Takes over the waiting jobs of a server that is gone; how many there were."""
        queue = and_(jobs.c.server == server, jobs.c.state == State.QUEUED.value)
        with self._writing, self.database.durable.begin() as tx:
            return tx.execute(update(jobs).where(queue).values(server=self.server)).rowcount

    # -- tidying ---------------------------------------------------------------------------------

    def delete(self, job_id: str) -> bool:
        """Removes an ended job and its events, on a full disk too; its place in its owner's list is
        kept."""
        ended = and_(jobs.c.id == job_id, jobs.c.state.not_in(UNFINISHED))

        def remove() -> bool:
            with self._writing, self.database.durable.begin() as tx:
                # of two who remove the same job only one gets the row
                place = jobs.c.id, jobs.c.owner, jobs.c.created_at
                row = tx.execute(delete(jobs).where(ended).returning(*place)).first()
                if row is None:
                    return False
                remember_place(tx, *row)
            return True

        return self.database.reserve.use_for(remove)

    def among(self, ids: Collection[str]) -> dict[str, State]:
        """Those of the ids that are jobs here, with their states."""
        known: dict[str, State] = {}
        todo = list(ids)
        with self.database.reading.begin() as tx:
            for start in range(0, len(todo), 500):
                chunk = todo[start : start + 500]
                query = select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(chunk))
                known |= {row.id: State(row.state) for row in tx.execute(query)}
        return known

    def uses_picture(self, image: str) -> bool:
        """Also as a last picture or as the clip to work over."""
        named = or_(jobs.c.image == image, jobs.c.request.contains(image))
        with self.database.reading.begin() as tx:
            found = tx.execute(select(jobs.c.id).where(named).limit(1)).first()
        return found is not None

    def _notify(self, event: Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:  # a failing subscriber must not fail the write
                log.exception("Event subscriber failed (event=%d, job=%s).", event.n, event.job_id)


def _append(tx: Connection, job_id: str, event: EventBody) -> Event:
    last = tx.execute(LAST_EVENT, {"job": job_id}).scalar()
    return _write(tx, job_id, (last or 0) + 1, event)


def _write(tx: Connection, job_id: str, n: int, event: EventBody) -> Event:
    stored = Event(job_id, n, time.time(), event)
    row = {"job_id": job_id, "n": n, "at": stored.at, "kind": event.kind}
    tx.execute(ADD_EVENT, row | {"data": json.dumps(to_json(event))})
    return stored


def _require(tx: Connection, job_id: str) -> Job:
    return job_of(tx.execute(ONE_JOB, {"job": job_id}).mappings().one())
