"""RedisExecutor: clips are made by workers on any machine, reached through Redis.

The store stays the truth: a job is claimed here when a worker is free for it, and what the worker
says is written down at the desk. Redis may go away: for a moment nobody notices, for longer new
requests are refused and clips in the making go on; whatever was lost meanwhile is made again.
A server that stops leaves its clips to their workers, and the next one listens on.

Two threads: one hands out work and watches over the workers, one hears the news. `_lock` guards
`_runs` and the fields that `health` reads. Knows the desk and the fleet's keys; knows no model.
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
from jobs.executor import Health
from jobs.fleet.client import connect
from jobs.fleet.messages import RENEWS_DEADLINE, from_fields, store_message
from jobs.fleet.protocol import ALIVE_S, RedisProtocol, RunTicket, WorkerInfo, device_to_show
from jobs.fleet.routing import Free, Wants, passed_over, route
from jobs.job import Asked, Job, State
from jobs.lifecycle import JobLifecycle
from jobs.workers.inputs import lend
from jobs.workers.loading_events import LoadingReporter
from jobs.workers.timing import Deadline
from jobs.zerogpu_requests import Drivers
from pipelines.preview import Preview
from settings import Settings

log = logging.getLogger(__name__)

TICK_S = 0.25
WATCH_S = 1.0
AWAY_S = 5.0  # without Redis for so long: say so, and accept nothing more
SETTLED_S = ALIVE_S + 2.0  # after Redis came back, every living worker has shown itself by then
START_S = 10.0  # a worker that does not begin by then never got the work
OVERDUE_S = 60.0  # past the request timeout; the worker ends itself after 30 s
GONE = KinoraError(
    ErrorCode.UNAVAILABLE, "The queue (Redis) cannot be reached right now. Try again in a minute."
)


@dataclass
class ActiveRun:
    """A job in the making, somewhere."""

    job: Job
    ticket: RunTicket
    deadline: Deadline
    heard: bool = False
    seen_at: float = field(default_factory=time.monotonic)


class RedisExecutor:
    needs_request = False
    in_foreground = False
    drivers: Drivers | None = None

    def __init__(self, settings: Settings) -> None:
        if not settings.redis_address:
            raise KinoraError(ErrorCode.INVALID_INPUT, "REDIS_URL must say where Redis is.")
        self._settings = settings
        self._fleet = RedisProtocol(connect(settings.redis_address))
        self._ears = RedisProtocol(connect(settings.redis_address))
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
        self._news = False
        self._freed = False
        self._all_busy = False
        self._in_doubt: set[str] = set()
        self._closing = False
        self._waits = False
        self._threads: list[threading.Thread] = []

    # -- for the service -------------------------------------------------------------------------

    def start(self, desk: JobLifecycle) -> None:
        self._streams.setdefault(desk.store.server, "0")
        desk.events.preview_elsewhere = self._preview_elsewhere
        desk.estimator.machines = lambda: self._machines
        for work in (self._hand_out_work, self._listen):
            thread = threading.Thread(target=work, args=(desk,), name=work.__name__, daemon=True)
            self._threads.append(thread)
            thread.start()

    def notify(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def ask(self, job_id: str, what: Asked) -> None:
        try:
            ticket = self._fleet.ticket(job_id)
            if ticket:
                self._fleet.ask(ticket.id, what, self._keep_s())
        except RedisError:
            log.warning("Redis not reachable: stop request delayed (job=%s).", job_id)

    def drive(self, job_id: str, quota: str | None = None) -> None:
        """Nothing to lend: the workers need no web request."""

    def resume(self, job: Job) -> bool:
        """Its server is gone, its worker perhaps not: found out as soon as Redis answers."""
        with self._lock:
            self._orphans.append(job)
        return True

    def health(self) -> Health:
        with self._lock:
            cards = list(self._workers.values())
            away = time.monotonic() - self._contact_at > AWAY_S
            lost = self._lost
        if away:
            return Health(state="defunct", error=GONE.as_dict(), restarts=lost, workers=0)
        ready = [card for card in cards if card.state == "ready"]
        busy = [card for card in ready if card.ticket]
        failed = next((card.error for card in cards if card.error), None)
        device = device_to_show(card.device for card in cards)
        if not ready:
            return Health(
                device=device,
                state="starting",
                loading=next((card.loading for card in cards if card.loading), None),
                error=failed,
                restarts=lost,
                workers=len(cards),
            )
        return Health(
            device=device,
            state="busy" if len(busy) == len(ready) else "setup_failed" if failed else "ready",
            job_id=busy[0].job_id if busy else None,
            error=failed,
            restarts=lost,
            workers=len(cards),
        )

    def close(self, grace_s: float) -> None:
        """The workers go on; whoever serves next hears what they made."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._fleet.redis.close()
        self._ears.redis.close()

    # -- handing out -----------------------------------------------------------------------------

    def _hand_out_work(self, desk: JobLifecycle) -> None:
        watched, preparing = 0.0, LoadingReporter(desk.store)
        while not self._closing:
            try:
                cards = self._fleet.workers()
                self._answered(cards)
                if time.monotonic() - watched > WATCH_S:
                    self._watch_over(desk, cards)
                    watched = time.monotonic()
                if self._in_doubt:
                    self._take_back_unsent(desk)
                more = self._dispatch(desk, cards)
                self._say_what_loads(preparing, cards)
            except RedisError:
                more = False
            except Exception:  # the thread must live; what was claimed is looked at next time
                log.exception("Dispatch failed, retrying.")
                more = False
                time.sleep(WATCH_S)
            if not more:
                with self._changed:
                    self._changed.wait_for(self._is_worth_a_look, TICK_S)
                    self._news = self._freed = False

    def _is_worth_a_look(self) -> bool:
        """While nobody is free, one more clip that waits changes nothing."""
        return self._closing or self._freed or (self._news and not self._all_busy)

    def _answered(self, cards: dict[str, WorkerInfo] | None = None) -> None:
        """Redis is there."""
        now = time.monotonic()
        with self._lock:
            if now - self._contact_at > AWAY_S:
                self._back_at = now
            self._contact_at = now
            self._workers = self._workers if cards is None else cards
            there = {card.machine for card in self._workers.values() if card.machine}
            self._machines = there or self._machines

    def _dispatch(self, desk: JobLifecycle, cards: dict[str, WorkerInfo]) -> bool:
        """Sends what can be sent now; True if there may be more."""
        idle = [card for card in cards.values() if card.state == "ready" and not card.ticket]
        taken = self._fleet.reserved(card.name for card in idle)
        free = [
            Free(c.name, frozenset(c.warm), frozenset(c.models) if c.models is not None else None)
            for c in idle
            if c.name not in taken
        ]
        self._all_busy = not free
        # the whole line is read only when there is somebody to work on it
        oldest_at = desk.store.oldest_waiting()
        if not oldest_at:
            self._passed.clear()
        makeable = [at for m, at in oldest_at.items() if any(c.may_make(m) for c in cards.values())]
        waited_s = time.time() - min(makeable) if makeable else None
        if waited_s is None or not free:
            self._say_waiting(desk, waited_s)
            return False
        line = [Wants(job.id, job.model or "") for job in desk.store.waiting()]
        pairs = route(line, free, self._passed)
        before = [w for w in self._fleet.others_wait(desk.store.server) if w > waited_s]
        if not pairs or len(free) <= len(before):  # other servers' clips have waited longer
            self._say_waiting(desk, waited_s if pairs else None)
            return False
        models = dict(line)
        sent = {job for job, worker in pairs if self._send(desk, job, worker, models[job])}
        for job_id in passed_over(line, sent):
            self._passed[job_id] = self._passed.get(job_id, 0) + 1
        for job_id in sent:
            self._passed.pop(job_id, None)
        return bool(sent)

    def _send(self, desk: JobLifecycle, job_id: str, worker: str, model: str) -> bool:
        ticket_id = secrets.token_hex(16)
        if not self._fleet.reserve(worker, ticket_id):
            return False
        try:
            job = desk.claim({job_id})
        except Exception:  # the answer may be lost, and the clip claimed all the same
            self._in_doubt.add(job_id)
            self._fleet.release(worker, ticket_id)
            raise
        if job is None:
            self._fleet.release(worker, ticket_id)
            return False
        ticket = RunTicket(id=ticket_id, job=job, worker=worker, server=desk.store.server)
        run = ActiveRun(job, ticket, self._deadline())
        with self._lock:
            self._runs[ticket_id] = run  # before the first news of it can come
        try:
            lent = lend(desk.artifacts, job, self._settings)
            self._fleet.send(ticket.model_copy(update={"lent": lent}), self._keep_s())
            run.seen_at = time.monotonic()
            asked = desk.stop_request(
                job_id
            )  # between the claim and here nobody could tell the worker
            if asked:
                self._fleet.ask(ticket_id, asked, self._keep_s())
        except RedisError:
            # It may have arrived all the same: then the worker finds no such ticket, or does the
            # work and is not heard.
            self._take_back(desk, run, "The queue was away for a moment.")
            raise
        except KinoraError as error:
            self._revoke(run)
            self._fleet.release(worker, ticket_id)
            desk.fail(job, error)
            self._over(run)
        return True

    def _say_what_loads(self, preparing: LoadingReporter, cards: dict[str, WorkerInfo]) -> None:
        loading = [card.loading for card in cards.values() if card.state == "loading"]
        if len(loading) == len(cards) and any(loading):  # nobody could begin
            preparing.tell(next(filter(None, loading)))

    def _say_waiting(self, desk: JobLifecycle, waited_s: float | None) -> None:
        if waited_s is not None or self._waits:
            self._fleet.wait(desk.store.server, waited_s)
            self._waits = waited_s is not None

    # -- watching over the workers ---------------------------------------------------------------

    def _watch_over(self, desk: JobLifecycle, cards: dict[str, WorkerInfo]) -> None:
        self._find_orphans(desk)
        now = time.monotonic()
        with self._lock:
            runs = list(self._runs.values())
            settled = now - self._back_at > SETTLED_S
        for run in runs:
            card = cards.get(run.ticket.worker)
            if card and card.ticket == run.ticket.id:
                run.seen_at, run.heard = now, True
            if settled and run.deadline.is_over():
                self._revoke(run)
                desk.fail(run.job, KinoraError(ErrorCode.TIMEOUT))
                self._over(run)
            elif settled and (card is None or now - run.seen_at > START_S):
                self._give_up(desk, run, card)
            elif asked := desk.stop_request(run.job.id):  # once more, in case Redis was away
                self._fleet.ask(run.ticket.id, asked, self._keep_s())

    def _give_up(self, desk: JobLifecycle, run: ActiveRun, card: WorkerInfo | None) -> None:
        if not run.heard:
            self._take_back(desk, run, "The worker did not begin; the clip waits for another.")
            return
        log.error("Worker %s lost (job=%s).", run.ticket.worker, run.job.id)
        self._revoke(run)
        desk.worker_lost(run.job)
        self._over(run)
        if card is None:
            self._lost += 1
            self._fleet.bury(run.ticket)

    def _take_back(self, desk: JobLifecycle, run: ActiveRun, why: str) -> None:
        """It was not begun: nobody's fault, and no attempt."""
        self._revoke(run)
        desk.requeue(run.job, why, refund_attempt=True)
        self._over(run)

    def _take_back_unsent(self, desk: JobLifecycle) -> None:
        """Clips that were claimed, perhaps, which whoever claimed them never heard."""
        for job_id in list(self._in_doubt):
            job = desk.store.get(job_id)
            if job and job.state is State.RUNNING:
                desk.requeue(job, "It was not begun; it waits on.", refund_attempt=True)
            self._in_doubt.discard(job_id)

    def _revoke(self, run: ActiveRun) -> None:
        try:
            self._fleet.ask(run.ticket.id, "revoked", self._keep_s())
            self._fleet.forget(run.ticket)
        except RedisError:
            log.warning("Redis not reachable: run ticket not revoked (job=%s).", run.job.id)

    def _find_orphans(self, desk: JobLifecycle) -> None:
        """Clips of a server that is gone: heard from now on, or made again if nobody makes them."""
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
                desk.worker_lost(job)
                continue
            with self._lock:
                self._runs[ticket.id] = ActiveRun(job, ticket, self._deadline(), heard=True)
                self._streams.setdefault(ticket.server, "0")

    def _deadline(self) -> Deadline:
        return Deadline(self._settings.request_timeout_s + OVERDUE_S)

    # -- hearing ---------------------------------------------------------------------------------

    def _listen(self, desk: JobLifecycle) -> None:
        while not self._closing:
            with self._lock:
                streams = dict(self._streams)
            try:
                entries = self._ears.read(streams, block_s=WATCH_S)
                self._answered()
                for server, entry, fields in entries:
                    self._hear(desk, fields)
                    self._streams[server] = entry
                for server in {server for server, _, _ in entries}:
                    self._ears.done_with(server, [e for s, e, _ in entries if s == server])
            except RedisError:
                time.sleep(TICK_S)
            except Exception:  # the database, say; unread news stays in Redis and is read again
                log.exception("Storing worker events failed, retrying.")
                time.sleep(WATCH_S)

    def _hear(self, desk: JobLifecycle, fields: dict[str, str]) -> None:
        with self._lock:
            run = self._runs.get(fields.get("ticket", ""))
        if run is None:
            return  # of a run that was given up
        run.heard, run.seen_at = True, time.monotonic()
        try:
            message = from_fields(fields)
            if isinstance(message, RENEWS_DEADLINE):
                run.deadline.renew()
            ended = store_message(desk, self._ears, run.job, message)
        except (ValidationError, ValueError, KeyError):
            log.exception("Worker %s sent an invalid message.", run.ticket.worker)
            return
        if ended:
            self._over(run)
            self._ears.forget(run.ticket)
            with self._changed:
                self._freed = True
                self._changed.notify_all()

    def _over(self, run: ActiveRun) -> None:
        with self._lock:
            self._runs.pop(run.ticket.id, None)

    def _preview_elsewhere(self, job_id: str) -> Preview | None:
        try:
            return self._fleet.preview(job_id)
        except RedisError:
            return None

    def _keep_s(self) -> float:
        return self._settings.request_timeout_s + 24 * 3600
