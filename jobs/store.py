"""JobStore: jobs and their numbered events in a database.

Every change of state and its event are one transaction, so no reader sees one without the other.
A job belongs to the server process that accepted it: only that one claims it, and another takes it
over only once that one is gone. It must not import a worker.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, update

from jobs import queue
from jobs.admission_sql import AlsoStore, check_key, check_limits, store_key
from jobs.batch import Batch
from jobs.batch_rows import add_batch, remove_if_empty, replace_job
from jobs.database import Database, events, jobs, one_at_a_time
from jobs.event_types import Event, EventBody, Failed, Queued, Started, Succeeded, to_json
from jobs.gallery_rows import add_rows, change_model, set_result
from jobs.gallery_sql import is_due
from jobs.job import Gone, IdempotencyKey, Job, Result, State, StopRequest, check_move
from jobs.job_rows import job_of, row_of
from jobs.migrations import open_database
from jobs.priority_lock import PriorityLock
from jobs.removed_jobs import remember_place
from jobs.store_queries import ONE_JOB, UNFINISHED, StoreQueries
from pipelines.request import FittedRequest

log = logging.getLogger(__name__)

# Statements of the hot paths are built once: building one takes longer than running it.
STATE_LOCKED = select(jobs.c.state).where(jobs.c.id == bindparam("job")).with_for_update()
RESULT = select(jobs.c.result).where(jobs.c.id == bindparam("job"))
LAST_EVENT = select(func.max(events.c.n)).where(events.c.job_id == bindparam("job"))
CLAIM = (
    update(jobs)
    .where(queue.IS_QUEUED, jobs.c.id == bindparam("job"))
    .values(
        state=State.RUNNING.value,
        started_at=bindparam("now"),
        attempts=jobs.c.attempts + 1,
        asked=None,
    )
)
ADD_JOB, ADD_EVENT = insert(jobs), insert(events)


class JobStore(StoreQueries):
    """Thread-safe.

    The lock is held by writers of this process only: it keeps subscribers in order and spares
    SQLite's sleeping retries. Other processes are kept apart by the database itself.
    """

    def __init__(self, url: str, server: str = "server") -> None:
        super().__init__(Database(url), server)
        self.knows_all = True
        """False if the database may have been lost: files without a row in it must not be
        removed."""
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

    # -- accept ------------------------------------------------------------------------------------

    def add(self, job: Job, *, max_queue: int, max_per_owner: int) -> Event:
        """As `add_all`, for one job."""
        return self.add_all([job], max_queue=max_queue, max_per_owner=max_per_owner)[0]

    def add_all(
        self,
        accepted: Sequence[Job],
        *,
        max_queue: int,
        max_per_owner: int,
        idempotency_key: IdempotencyKey | None = None,
        recipes: Mapping[str, str | None] | None = None,
        idle: Collection[str] = (),
        batch: Batch | None = None,
        replaces: str | None = None,
        also: AlsoStore | None = None,
    ) -> list[Event]:
        """Stores all of one owner's jobs or none; durable when this returns. A job that has
        succeeded already comes with its result.

        `recipes` are by job id. `idle` are queued jobs that count for no limit. `batch` is stored
        with its jobs, as is what `also` writes; `replaces` is the job whose place in a batch the
        only one takes. Raises DuplicateRequest if the idempotency key was used before, and
        KinoraError if a limit is reached; the limits hold for all threads and processes."""
        rows = [row_of(job, self.server, (recipes or {}).get(job.id)) for job in accepted]
        with self._writing.low_priority():
            with self.database.durable.begin() as tx:
                one_at_a_time(tx)
                if idempotency_key:
                    check_key(tx, accepted[0].owner, idempotency_key)
                check_limits(
                    tx,
                    accepted,
                    max_queue=max_queue,
                    max_per_owner=max_per_owner if not also or also.is_counted else sys.maxsize,
                    idle=idle,
                    more_clips=also.more_clips if also else 0,
                )
                written = []
                tx.execute(ADD_JOB, rows)
                add_rows(tx, accepted)
                if batch:
                    add_batch(tx, batch)
                if replaces and accepted[0].batch:
                    replace_job(tx, accepted[0].batch, replaces, accepted[0].id)
                if also:
                    also.write(tx, accepted)
                for job in accepted:
                    written.append(_write(tx, job.id, 1, Queued(job.fitted.model)))
                    if job.result:
                        written.append(_write(tx, job.id, 2, Succeeded(reused=True)))
                if idempotency_key:
                    store_key(tx, accepted[0].owner, idempotency_key, accepted[0].id)
            for event in written:
                self._notify(event)
        return written

    # -- queue and run -----------------------------------------------------------------------------

    def claim(
        self, candidates: Collection[str] | None = None, lane: queue.Lane = "all"
    ) -> Job | None:
        """Marks the next job in the queue as running and returns it; no two callers get the same
        job. Only one of `lane`, and of `candidates` if they are given."""
        with self._writing:
            with self.database.durable.begin() as tx:
                while (job_id := queue.next_up(tx, self.server, candidates, lane)) is not None:
                    claim = {"job": job_id, "here": self.server, "now": time.time()}
                    if tx.execute(CLAIM, claim).rowcount == 1:
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
        unless_stop_request: StopRequest | None = None,
        refund_attempt: bool = False,
        run: float | None = None,
    ) -> Job | None:
        """Compare and set: returns the changed job, or None if it was not in `before` any more.

        `unless_stop_request` also refuses the move if that stop request was stored meanwhile; `run`
        (when the job was started) if it was requeued since and runs again. On a full disk the
        reserve is used to end a job. Raises KinoraError(CONFLICT) for a move that is not in the
        table.
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
            if before.ended:  # retried as if it were new
                values |= {"ended_at": None, "error": None, "attempts": 0}
            if refund_attempt:
                values |= {"attempts": jobs.c.attempts - 1}
        is_unchanged = and_(jobs.c.id == job_id, jobs.c.state == before.value)
        if unless_stop_request:
            is_unchanged = and_(
                is_unchanged, or_(jobs.c.asked.is_(None), jobs.c.asked != unless_stop_request)
            )
        if run is not None:
            is_unchanged = and_(is_unchanged, jobs.c.started_at == run)

        def change() -> Job | None:
            with self._writing:
                with self.database.durable.begin() as tx:
                    if tx.execute(update(jobs).where(is_unchanged).values(**values)).rowcount == 0:
                        return None
                    if result:
                        set_result(tx, job_id, result)
                    job = _require(tx, job_id)
                    stored = _append(tx, job_id, event)
                self._notify(stored)
            return job

        return self.database.reserve.use_for(change) if after.ended else change()

    def request_stop(self, job_id: str, what: StopRequest) -> bool:
        """Stores a stop request of a running job; False if it does not run, or is to be discarded
        already: a discard cannot be taken back."""
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

    def replace_fitted(self, job_id: str, fitted: FittedRequest) -> None:
        """A running job is made with other settings than it was accepted with. It loses its recipe,
        so that it is not reused for requests with those."""
        values = {"fitted": fitted.model_dump_json(), "model": fitted.model, "recipe": None}
        is_running = and_(jobs.c.id == job_id, jobs.c.state == State.RUNNING.value)
        with self._writing, self.database.durable.begin() as tx:
            if tx.execute(update(jobs).where(is_running).values(**values)).rowcount:
                change_model(tx, job_id, fitted)

    def append(
        self, job_id: str, event: EventBody, *, while_: State = State.RUNNING
    ) -> Event | None:
        """Stores an event and returns it; None if the job is not in that state any more."""
        with self._writing:
            with self.database.light.begin() as tx:
                state = tx.execute(STATE_LOCKED, {"job": job_id}).scalar()
                if state != while_.value:
                    return None
                stored = _append(tx, job_id, event)
            self._notify(stored)
        return stored

    def take_over(self, job_id: str) -> None:
        """A running job of a server that is gone belongs to this one from now on."""
        runs = and_(jobs.c.id == job_id, jobs.c.state == State.RUNNING.value)
        with self._writing, self.database.durable.begin() as tx:
            tx.execute(update(jobs).where(runs).values(server=self.server))

    def take_over_queued(self, server: str) -> int:
        """Takes over the queued jobs of a server that is gone; returns how many there were."""
        are_queued = and_(jobs.c.server == server, jobs.c.state == State.QUEUED.value)
        with self._writing, self.database.durable.begin() as tx:
            return tx.execute(update(jobs).where(are_queued).values(server=self.server)).rowcount

    # -- remove ------------------------------------------------------------------------------------

    def delete(self, job_id: str, *, due_at: float | None = None) -> bool:
        """Removes an ended job and its events, on a full disk too; False if it has not ended, or is
        gone. Its place in its owner's list is kept for paging. With `due_at`, only if its owner has
        deleted it and could undo that until then."""
        has_ended = and_(jobs.c.id == job_id, jobs.c.state.not_in(UNFINISHED))
        if due_at is not None:
            has_ended = and_(has_ended, is_due(job_id, due_at))

        def remove() -> bool:
            with self._writing, self.database.durable.begin() as tx:
                # of two that remove the same job only one gets the row
                place = jobs.c.id, jobs.c.owner, jobs.c.created_at, jobs.c.batch
                row = tx.execute(delete(jobs).where(has_ended).returning(*place)).first()
                if row is None:
                    return False
                remember_place(tx, row.id, row.owner, row.created_at)
                if row.batch:
                    remove_if_empty(tx, row.batch)
            return True

        return self.database.reserve.use_for(remove)

    def mark_gone(self, job_id: str, gone: Gone | None) -> bool:
        """Stores in a job's result that its files are removed, on a full disk too, or with None
        that they are there again; False if the job was deleted meanwhile."""

        def mark() -> bool:
            with self._writing, self.database.durable.begin() as tx:
                stored = tx.execute(RESULT, {"job": job_id}).scalar()
                if stored is None:
                    return False
                result = Result.model_validate_json(stored).model_copy(update={"gone": gone})
                changed = update(jobs).where(jobs.c.id == job_id)
                tx.execute(changed.values(result=result.model_dump_json()))
                set_result(tx, job_id, result)
            return True

        return self.database.reserve.use_for(mark)

    def refill_reserve(self) -> None:
        """Takes the disk's reserve again once there is room."""
        self.database.reserve.refill()

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
