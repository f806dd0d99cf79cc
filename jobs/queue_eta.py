"""The position of each queued job and the estimated time until its clip is finished.

A thousand waiting clients poll every second, and all of them need the same queue. So they share one
snapshot of it: read again when the queue has changed, or, while a long queue changes all the time,
as often as that costs little.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from jobs.estimate import Estimator
from jobs.event_types import TERMINAL_KINDS, Event, Loading, StepDone, WaitingForGpu
from jobs.events import EventLog
from jobs.executor import Executor
from jobs.job import Job
from jobs.queue import Lane, Waiting, by_owner, counts_before, is_in_lane
from jobs.store import JobStore
from jobs.store_queries import Wanted

FRESH_S = 1.0  # other processes change the queue too
LONG = 50  # jobs: of a shorter queue, no outdated snapshot is ever used
SHARE = 20  # a long queue is read again after this many times as long as reading it took
STALE_S = 5.0  # so long an old snapshot of a long queue is used while another thread reads it again
CHANGING = TERMINAL_KINDS | {"queued", "requeued", "started", "fallback"}


@dataclass(frozen=True)
class QueueEstimate:
    """The jobs that run before this one, and the seconds until its clip is finished."""

    before: int
    seconds: float


@dataclass
class QueueSnapshot:
    """The queue at one moment."""

    waits_s: dict[str, list[float]] = field(default_factory=dict)
    """By owner, the next to be served first: the seconds of the first job, of the first two, ..."""
    places: dict[str, int] = field(default_factory=dict)
    """By job: its place among its owner's jobs, from 0."""
    running: int = 0
    running_s: float = 0.0
    workers: int = 1
    read_at: float = 0.0
    cost_s: float = 0.0
    version: int = -1


class QueueEta:
    def __init__(
        self,
        store: JobStore,
        events: EventLog,
        estimator: Estimator,
        workers: Callable[[], int],
        idle: Callable[[Iterable[Waiting]], set[str]] = lambda _waiting: set(),
        lane: Lane = "all",
        edits: QueueEta | None = None,
    ) -> None:
        """`idle` returns those of the queued jobs that delay no others: they cannot run now.
        `edits`: the queue of edits, where they run beside the jobs of this one."""
        self._edits = edits
        self._idle = idle
        self._lane: Lane = lane
        self._store = store
        self._events = events
        self._estimator = estimator
        self._workers = workers
        self._snapshot = QueueSnapshot()
        self._reading = threading.Lock()
        self._fitted: dict[str, Wanted] = {}
        self._version = 0
        store.subscribe(self._on_event)

    def estimate(self, job: Job) -> QueueEstimate:
        """For a queued job. One that is newer than the snapshot is counted as its owner's last."""
        if self._edits is not None and job.edit is not None:
            return self._edits.estimate(job)
        snapshot = self._current()
        place = snapshot.places.get(job.id)
        if place is None:
            place = len(snapshot.waits_s.get(job.owner, ()))
        before, wait_s = snapshot.running, snapshot.running_s
        for owner, count in counts_before(job.owner, place, snapshot.waits_s):
            before += count
            wait_s += snapshot.waits_s[owner][count - 1] if count else 0.0
        own_s = self._estimator.estimate(job.fitted, job.edit).seconds
        return QueueEstimate(before, wait_s / max(1, snapshot.workers) + own_s)

    def remaining_s(self, job: Job) -> float:
        """For a running job."""
        now = time.time()
        last = self._events.newest(job.id, StepDone)
        if last is not None and last[1].eta_s is not None:
            return max(0.0, last[1].eta_s - (now - last[0].at))
        started_at = job.started_at
        queued = self._events.newest(job.id, WaitingForGpu)
        if queued is not None:  # the time runs from when the GPU is there
            granted = self._events.newest(job.id, Loading)
            started_at = granted[0].at if granted and granted[0].n > queued[0].n else None
        spent = now - (started_at or now)
        return max(0.0, self._estimator.estimate(job.fitted, job.edit).seconds - spent)

    def _on_event(self, event: Event) -> None:
        if event.kind in CHANGING:
            self._version += 1

    def _current(self) -> QueueSnapshot:
        snapshot = self._snapshot
        if self._is_fresh(snapshot):
            return snapshot
        if not self._reading.acquire(blocking=not self._is_good_enough(snapshot)):
            return snapshot
        try:
            if not self._is_fresh(self._snapshot):  # another thread has read it meanwhile
                self._snapshot = self._read()
            return self._snapshot
        finally:
            self._reading.release()

    def _is_fresh(self, snapshot: QueueSnapshot) -> bool:
        age_s = time.monotonic() - snapshot.read_at
        if snapshot.version == self._version:
            return age_s < FRESH_S
        is_long = len(snapshot.places) >= LONG
        return is_long and age_s < min(FRESH_S, SHARE * snapshot.cost_s)

    def _is_good_enough(self, snapshot: QueueSnapshot) -> bool:
        """While another thread reads the queue: a thousand threads must not wait for it."""
        return len(snapshot.places) >= LONG and time.monotonic() - snapshot.read_at < STALE_S

    def _read(self) -> QueueSnapshot:
        version, started = self._version, time.monotonic()
        lane = self._lane
        queued, last_served = self._store.queued()
        waiting = [job for job in queued if is_in_lane(lane, is_edit=job.is_edit)]
        idle = self._idle(waiting)
        waiting = [job for job in waiting if job.id not in idle]
        new = self._store.wanted([job.id for job in waiting if job.id not in self._fitted])
        known = self._fitted | new
        self._fitted = {job.id: known[job.id] for job in waiting if job.id in known}
        seconds = {i: self._estimator.estimate(*w).seconds for i, w in self._fitted.items()}
        queues = by_owner(waiting, last_served)
        running = [
            job for job in self._store.running() if is_in_lane(lane, is_edit=job.edit is not None)
        ]
        snapshot = QueueSnapshot(
            waits_s={
                owner: list(itertools.accumulate(seconds.get(job.id, 0.0) for job in jobs))
                for owner, jobs in queues.items()
            },
            places={job.id: n for jobs in queues.values() for n, job in enumerate(jobs)},
            running=len(running),
            running_s=sum(map(self.remaining_s, running)),
            workers=self._workers(),
            version=version,
            read_at=time.monotonic(),
        )
        snapshot.cost_s = snapshot.read_at - started
        return snapshot


def queue_eta_of(
    executor: Executor, store: JobStore, events: EventLog, estimator: Estimator
) -> QueueEta:
    """The estimates for what this executor runs."""
    idle = [executor.drivers.idle] if executor.drivers else []

    def eta(lane: Lane, edits: QueueEta | None = None) -> QueueEta:
        workers = lambda: executor.health().workers  # noqa: E731
        return QueueEta(store, events, estimator, workers, *idle, lane=lane, edits=edits)

    return eta("clips", eta("edits")) if executor.has_lanes else eta("all")
