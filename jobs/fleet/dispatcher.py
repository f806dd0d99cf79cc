"""RedisExecutor: sends jobs through Redis to workers on any machine.

The store holds the state: a job is claimed when a worker is idle, and the worker's messages are
stored through the lifecycle. If Redis is unreachable for longer than AWAY_S, new requests are
refused and running jobs continue; jobs that were lost in that time are queued again. When a server
stops, its jobs stay with their workers, and the next server reads their messages.

Two threads: one dispatches jobs and watches the workers, one reads messages. `_lock` guards `_runs`
and the fields that `health` reads.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from dataclasses import dataclass, field

from pydantic import ValidationError
from redis.exceptions import RedisError

from errors import ErrorCode, KinoraError
from jobs.executor import ExecutorHealth
from jobs.fleet.client import connect
from jobs.fleet.messages import RENEWS_DEADLINE, from_fields, store_message
from jobs.fleet.protocol import ALIVE_S, RedisProtocol, RunTicket, WorkerInfo, device_to_show
from jobs.fleet.routing import Free, WaitingJob, passed_over, route
from jobs.job import Job, State, WorkerStop
from jobs.lifecycle import JobLifecycle
from jobs.workers.inputs import share_inputs
from jobs.workers.loading_events import LoadingReporter
from jobs.workers.timing import Deadline
from jobs.zerogpu_requests import Drivers
from pipelines.preview import Preview
from settings import Settings

log = logging.getLogger(__name__)

TICK_S = 0.25
WATCH_S = 1.0
AWAY_S = 5.0  # without Redis for so long, `health` reports it and requests are refused
SETTLED_S = ALIVE_S + 2.0  # after a reconnect, every living worker has sent a heartbeat by then
START_S = 10.0  # a worker that has not begun by then did not get the job
OVERDUE_S = 60.0  # past the request timeout; the worker restarts itself after 30 s
GONE = KinoraError(
    ErrorCode.UNAVAILABLE, "The queue (Redis) cannot be reached right now. Try again in a minute."
)


@dataclass
class ActiveRun:
    """A job that was sent to a worker."""

    job: Job
    ticket: RunTicket
    deadline: Deadline
    has_begun: bool = False
    seen_at: float = field(default_factory=time.monotonic)


class RedisExecutor:
    needs_request = False
    in_foreground = False
    has_lanes = False
    drivers: Drivers | None = None

    def __init__(self, settings: Settings) -> None:
        if not settings.redis_address:
            raise KinoraError(ErrorCode.INVALID_INPUT, "REDIS_URL must say where Redis is.")
        self._settings = settings
        self._fleet = RedisProtocol(connect(settings.redis_address))
        self._reader = RedisProtocol(connect(settings.redis_address))
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._runs: dict[str, ActiveRun] = {}
        self._orphans: list[Job] = []
        self._passed: dict[str, int] = {}
        self._streams: dict[str, str] = {}
        self._workers: dict[str, WorkerInfo] = {}
        self._machines: set[str] | None = None
        self._contact_at = time.monotonic()
        self._back_at = time.monotonic()
        self._lost = 0
        self._has_new_job = False
        self._freed = False
        self._all_busy = False
        self._in_doubt: set[str] = set()
        self._closing = False
        self._waits = False
        self._threads: list[threading.Thread] = []

    # -- for the service -------------------------------------------------------------------------

    def start(self, lifecycle: JobLifecycle) -> None:
        self._streams.setdefault(lifecycle.store.server, "0")
        lifecycle.events.preview_elsewhere = self._preview_elsewhere
        lifecycle.estimator.machines = lambda: self._machines
        for work in (self._dispatch_jobs, self._read_messages):
            thread = threading.Thread(
                target=work, args=(lifecycle,), name=work.__name__, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def notify(self) -> None:
        with self._changed:
            self._has_new_job = True
            self._changed.notify_all()

    def request_stop(self, job_id: str, what: WorkerStop) -> None:
        try:
            ticket = self._fleet.ticket(job_id)
            if ticket:
                self._fleet.request_stop(ticket.id, what, self._keep_s())
        except RedisError:
            log.warning("Redis not reachable: stop request delayed (job=%s).", job_id)

    def drive(self, job_id: str, quota: str | None = None) -> None:
        """Nothing to do: these workers need no web request."""

    def resume(self, job: Job) -> bool:
        """Always True: `_find_orphans` checks with Redis whether the worker still runs it."""
        with self._lock:
            self._orphans.append(job)
        return True

    def health(self) -> ExecutorHealth:
        with self._lock:
            workers = list(self._workers.values())
            away = time.monotonic() - self._contact_at > AWAY_S
            lost = self._lost
        if away:
            return ExecutorHealth(state="defunct", error=GONE.as_dict(), restarts=lost, workers=0)
        ready = [info for info in workers if info.state == "ready"]
        busy = [info for info in ready if info.ticket]
        failed = next((info.error for info in workers if info.error), None)
        device = device_to_show(info.device for info in workers)
        if not ready:
            return ExecutorHealth(
                device=device,
                state="starting",
                loading=next((info.loading for info in workers if info.loading), None),
                error=failed,
                restarts=lost,
                workers=len(workers),
            )
        return ExecutorHealth(
            device=device,
            state="busy" if len(busy) == len(ready) else "setup_failed" if failed else "ready",
            job_id=busy[0].job_id if busy else None,
            error=failed,
            restarts=lost,
            workers=len(workers),
        )

    def close(self, grace_s: float) -> None:
        """Running jobs continue; the next server reads their messages."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._fleet.redis.close()
        self._reader.redis.close()

    # -- dispatch --------------------------------------------------------------------------------

    def _dispatch_jobs(self, lifecycle: JobLifecycle) -> None:
        watched, reporter = 0.0, LoadingReporter(lifecycle.store)
        while not self._closing:
            try:
                workers = self._fleet.workers()
                self._note_contact(workers)
                if time.monotonic() - watched > WATCH_S:
                    self._check_runs(lifecycle, workers)
                    watched = time.monotonic()
                if self._in_doubt:
                    self._requeue_unsent(lifecycle)
                more = self._dispatch(lifecycle, workers)
                self._report_loading(reporter, workers)
            except RedisError:
                more = False
            except Exception:  # the thread must survive; `_in_doubt` holds what was claimed
                log.exception("Dispatch failed, retrying.")
                more = False
                time.sleep(WATCH_S)
            if not more:
                with self._changed:
                    self._changed.wait_for(self._has_reason_to_dispatch, TICK_S)
                    self._has_new_job = self._freed = False

    def _has_reason_to_dispatch(self) -> bool:
        """While all workers are busy, another queued job changes nothing."""
        return self._closing or self._freed or (self._has_new_job and not self._all_busy)

    def _note_contact(self, workers: dict[str, WorkerInfo] | None = None) -> None:
        """Redis has answered, with the registered workers."""
        now = time.monotonic()
        with self._lock:
            if now - self._contact_at > AWAY_S:
                self._back_at = now
            self._contact_at = now
            self._workers = self._workers if workers is None else workers
            there = {info.machine for info in self._workers.values() if info.machine}
            self._machines = there or self._machines

    def _dispatch(self, lifecycle: JobLifecycle, workers: dict[str, WorkerInfo]) -> bool:
        """Sends queued jobs to idle workers; True if it should be called again at once."""
        idle = [info for info in workers.values() if info.state == "ready" and not info.ticket]
        taken = self._fleet.reserved(info.name for info in idle)
        free = [
            Free(c.name, frozenset(c.warm), frozenset(c.models) if c.models is not None else None)
            for c in idle
            if c.name not in taken
        ]
        self._all_busy = not free
        # the whole queue is read only when a worker is idle
        oldest_at = lifecycle.store.oldest_waiting()
        if not oldest_at:
            self._passed.clear()
        runnable = [
            at for m, at in oldest_at.items() if any(c.may_make(m) for c in workers.values())
        ]
        waited_s = time.time() - min(runnable) if runnable else None
        if waited_s is None or not free:
            self._publish_waiting(lifecycle, waited_s)
            return False
        queue = [WaitingJob(job.id, job.model or "") for job in lifecycle.store.waiting()]
        pairs = route(queue, free, self._passed)
        before = [w for w in self._fleet.others_wait(lifecycle.store.server) if w > waited_s]
        if not pairs or len(free) <= len(before):  # other servers' jobs have waited longer
            self._publish_waiting(lifecycle, waited_s if pairs else None)
            return False
        models = dict(queue)
        sent = {job for job, worker in pairs if self._send(lifecycle, job, worker, models[job])}
        for job_id in passed_over(queue, sent):
            self._passed[job_id] = self._passed.get(job_id, 0) + 1
        for job_id in sent:
            self._passed.pop(job_id, None)
        return bool(sent)

    def _send(self, lifecycle: JobLifecycle, job_id: str, worker: str, model: str) -> bool:
        ticket_id = secrets.token_hex(16)
        if not self._fleet.reserve(worker, ticket_id):
            return False
        try:
            job = lifecycle.claim({job_id})
        except Exception:  # the reply may be lost although the job was claimed
            self._in_doubt.add(job_id)
            self._fleet.release(worker, ticket_id)
            raise
        if job is None:
            self._fleet.release(worker, ticket_id)
            return False
        ticket = RunTicket(id=ticket_id, job=job, worker=worker, server=lifecycle.store.server)
        run = ActiveRun(job, ticket, self._deadline(job))
        with self._lock:
            self._runs[ticket_id] = run  # before its first message can arrive
        try:
            shared_loras = share_inputs(lifecycle.artifacts, job, self._settings)
            self._fleet.send(ticket.model_copy(update={"lent": shared_loras}), self._keep_s())
            run.seen_at = time.monotonic()
            what = lifecycle.stop_request(job_id)  # since the claim it could not reach the worker
            if what:
                self._fleet.request_stop(ticket_id, what, self._keep_s())
        except RedisError:
            # The job may have arrived all the same: then the worker finds its ticket revoked, or
            # its messages are ignored.
            self._requeue(lifecycle, run, "The queue could not be reached for a moment.")
            raise
        except KinoraError as error:
            self._revoke(run)
            self._fleet.release(worker, ticket_id)
            lifecycle.fail(job, error)
            self._remove_run(run)
        return True

    def _report_loading(self, reporter: LoadingReporter, workers: dict[str, WorkerInfo]) -> None:
        loading = [info.loading for info in workers.values() if info.state == "loading"]
        if len(loading) == len(workers) and any(loading):
            reporter.report(next(filter(None, loading)))

    def _publish_waiting(self, lifecycle: JobLifecycle, waited_s: float | None) -> None:
        if waited_s is not None or self._waits:
            self._fleet.wait(lifecycle.store.server, waited_s)
            self._waits = waited_s is not None

    # -- watching the workers --------------------------------------------------------------------

    def _check_runs(self, lifecycle: JobLifecycle, workers: dict[str, WorkerInfo]) -> None:
        self._find_orphans(lifecycle)
        now = time.monotonic()
        with self._lock:
            runs = list(self._runs.values())
            settled = now - self._back_at > SETTLED_S
        for run in runs:
            info = workers.get(run.ticket.worker)
            if info and info.ticket == run.ticket.id:
                run.seen_at, run.has_begun = now, True
            if settled and run.deadline.is_over():
                self._revoke(run)
                lifecycle.fail(run.job, KinoraError(ErrorCode.TIMEOUT))
                self._remove_run(run)
            elif settled and (info is None or now - run.seen_at > START_S):
                self._handle_lost(lifecycle, run, info)
            elif what := lifecycle.stop_request(run.job.id):  # again: Redis may have been away
                self._fleet.request_stop(run.ticket.id, what, self._keep_s())

    def _handle_lost(
        self, lifecycle: JobLifecycle, run: ActiveRun, info: WorkerInfo | None
    ) -> None:
        if not run.has_begun:
            self._requeue(lifecycle, run, "The worker did not start; the clip waits for another.")
            return
        log.error("Worker lost (worker=%s, job=%s).", run.ticket.worker, run.job.id)
        self._revoke(run)
        lifecycle.worker_lost(run.job)
        self._remove_run(run)
        if info is None:
            self._lost += 1
            self._fleet.remove(run.ticket)

    def _requeue(self, lifecycle: JobLifecycle, run: ActiveRun, why: str) -> None:
        """Queues a job again that the worker has not begun; it does not count as an attempt."""
        self._revoke(run)
        lifecycle.requeue(run.job, why, refund_attempt=True)
        self._remove_run(run)

    def _requeue_unsent(self, lifecycle: JobLifecycle) -> None:
        """Jobs whose claim may have succeeded though its reply was lost."""
        for job_id in list(self._in_doubt):
            job = lifecycle.store.get(job_id)
            if job and job.state is State.RUNNING:
                lifecycle.requeue(
                    job, "The clip was not started; it waits again.", refund_attempt=True
                )
            self._in_doubt.discard(job_id)

    def _revoke(self, run: ActiveRun) -> None:
        try:
            self._fleet.request_stop(run.ticket.id, "revoked", self._keep_s())
            self._fleet.forget(run.ticket)
        except RedisError:
            log.warning("Redis not reachable: run ticket not revoked (job=%s).", run.job.id)

    def _find_orphans(self, lifecycle: JobLifecycle) -> None:
        """Takes over the runs of a server that is gone; jobs without a worker are queued again."""
        with self._lock:
            orphans, self._orphans = self._orphans, []
        for number, job in enumerate(orphans):
            try:
                ticket = self._fleet.ticket(job.id)
            except RedisError:
                with self._lock:
                    self._orphans += orphans[number:]
                raise
            if ticket is None or ticket.job.started_at != job.started_at:
                lifecycle.worker_lost(job)
                continue
            with self._lock:
                self._runs[ticket.id] = ActiveRun(job, ticket, self._deadline(job), has_begun=True)
                self._streams.setdefault(ticket.server, "0")

    def _deadline(self, job: Job) -> Deadline:
        return Deadline(self._settings.request_timeout_s * job.fitted.parts + OVERDUE_S)

    # -- messages --------------------------------------------------------------------------------

    def _read_messages(self, lifecycle: JobLifecycle) -> None:
        while not self._closing:
            with self._lock:
                streams = dict(self._streams)
            try:
                entries = self._reader.read(streams, block_s=WATCH_S)
                self._note_contact()
                for server, entry, fields in entries:
                    self._store(lifecycle, fields)
                    self._streams[server] = entry
                for server in {server for server, _, _ in entries}:
                    self._reader.delete_messages(server, [e for s, e, _ in entries if s == server])
            except RedisError:
                time.sleep(TICK_S)
            except (
                Exception
            ):  # such as a database error; the message stays in Redis and is read again
                log.exception("Storing worker events failed, retrying.")
                time.sleep(WATCH_S)

    def _store(self, lifecycle: JobLifecycle, fields: dict[str, str]) -> None:
        with self._lock:
            run = self._runs.get(fields.get("ticket", ""))
        if run is None:
            return  # of a revoked run
        run.has_begun, run.seen_at = True, time.monotonic()
        try:
            message = from_fields(fields)
            if isinstance(message, RENEWS_DEADLINE):
                run.deadline.renew()
            ended = store_message(lifecycle, self._reader, run.job, message)
        except (ValidationError, ValueError, KeyError):
            log.exception("Invalid message dropped (worker=%s).", run.ticket.worker)
            return
        if ended:
            self._remove_run(run)
            self._reader.forget(run.ticket)
            with self._changed:
                self._freed = True
                self._changed.notify_all()

    def _remove_run(self, run: ActiveRun) -> None:
        with self._lock:
            self._runs.pop(run.ticket.id, None)

    def _preview_elsewhere(self, job_id: str) -> Preview | None:
        try:
            return self._fleet.preview(job_id)
        except RedisError:
            return None

    def _keep_s(self) -> float:
        return self._settings.request_timeout_s + 24 * 3600
