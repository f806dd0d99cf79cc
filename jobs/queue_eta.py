"""Where each waiting clip stands, and how long until it is there: read once for all who ask.

A thousand who wait ask every second, and what they ask about is one line. It is read anew when it
has changed; where it is long and changes all the time, as often as costs little. Knows the store,
the log and the estimator.
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
from jobs.job import Job
from jobs.queue import Waiting, lines_of, places_before
from jobs.store import JobStore
from pipelines.request import FittedRequest

FRESH_S = 1.0  # other processes change the line too
LONG = 50  # clips: a shorter line is never told from memory once it has changed
SHARE = 20  # a long line is read again after this many times what reading it took
STALE_S = 5.0  # a long line that somebody else reads anew is told as it was, so long
CHANGING = TERMINAL_KINDS | {"queued", "requeued", "started", "fallback"}


@dataclass(frozen=True)
class QueueEstimate:
    """Clips that go first, and seconds until this one is there."""

    before: int
    seconds: float


@dataclass
class QueueSnapshot:
    """As it was at one moment."""

    waits_s: dict[str, list[float]] = field(default_factory=dict)
    """By owner, whoever is next first: what their first clip takes, their first two, and so on."""
    places: dict[str, int] = field(default_factory=dict)
    """By job: its place in its owner's line."""
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
    ) -> None:
        """`idle` names the clips that stand in nobody's way: none of them is made as things are."""
        self._idle = idle
        self._store = store
        self._events = events
        self._estimator = estimator
        self._workers = workers
        self._line = QueueSnapshot()
        self._reading = threading.Lock()
        self._fitted: dict[str, FittedRequest] = {}
        self._version = 0
        store.subscribe(self._on_event)

    def outlook(self, job: Job) -> QueueEstimate:
        """Of a clip that waits. One that came after the line was read stands where it will."""
        line = self._read()
        place = line.places.get(job.id)
        if place is None:
            place = len(line.waits_s.get(job.owner, ()))
        before, wait_s = line.running, line.running_s
        for owner, count in places_before(job.owner, place, line.waits_s):
            before += count
            wait_s += line.waits_s[owner][count - 1] if count else 0.0
        own_s = self._estimator.estimate(job.fitted).seconds
        return QueueEstimate(before, wait_s / max(1, line.workers) + own_s)

    def remaining_s(self, job: Job) -> float:
        """Of a clip that is being made."""
        now = time.time()
        last = self._events.newest(job.id, StepDone)
        if last is not None and last[1].eta_s is not None:
            return max(0.0, last[1].eta_s - (now - last[0].at))
        began = job.started_at
        queued = self._events.newest(job.id, WaitingForGpu)
        if queued is not None:  # the time runs from when the GPU is there
            granted = self._events.newest(job.id, Loading)
            began = granted[0].at if granted and granted[0].n > queued[0].n else None
        spent = now - (began or now)
        return max(0.0, self._estimator.estimate(job.fitted).seconds - spent)

    def _on_event(self, event: Event) -> None:
        if event.kind in CHANGING:
            self._version += 1

    def _read(self) -> QueueSnapshot:
        line = self._line
        if self._is_good(line):
            return line
        if not self._reading.acquire(blocking=not self._will_do(line)):
            return line
        try:
            if not self._is_good(self._line):
                self._line = self._read_anew()
            return self._line
        finally:
            self._reading.release()

    def _is_good(self, line: QueueSnapshot) -> bool:
        age = time.monotonic() - line.read_at
        if line.version == self._version:
            return age < FRESH_S
        return len(line.places) >= LONG and age < min(FRESH_S, SHARE * line.cost_s)

    def _will_do(self, line: QueueSnapshot) -> bool:
        """While somebody else reads it: a thousand who ask do not wait for one who looks."""
        return len(line.places) >= LONG and time.monotonic() - line.read_at < STALE_S

    def _read_anew(self) -> QueueSnapshot:
        version, began = self._version, time.monotonic()
        waiting, last_served = self._store.who_waits()
        idle = self._idle(waiting)
        waiting = [job for job in waiting if job.id not in idle]
        new = self._store.fitted([job.id for job in waiting if job.id not in self._fitted])
        known = self._fitted | new
        self._fitted = {job.id: known[job.id] for job in waiting if job.id in known}
        takes_s = {i: self._estimator.estimate(f).seconds for i, f in self._fitted.items()}
        lines = lines_of(waiting, last_served)
        running = self._store.running()
        line = QueueSnapshot(
            waits_s={
                owner: list(itertools.accumulate(takes_s.get(job.id, 0.0) for job in jobs))
                for owner, jobs in lines.items()
            },
            places={job.id: n for jobs in lines.values() for n, job in enumerate(jobs)},
            running=len(running),
            running_s=sum(map(self.remaining_s, running)),
            workers=self._workers(),
            version=version,
            read_at=time.monotonic(),
        )
        line.cost_s = line.read_at - began
        return line
