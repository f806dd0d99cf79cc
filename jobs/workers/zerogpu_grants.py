"""Grants: requests a GPU from ZeroGPU for one job, and handles refusals."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from errors import Cancelled
from jobs.event_types import Loading, WaitingForGpu
from jobs.job import Job
from jobs.lifecycle import JobLifecycle
from jobs.workers import zerogpu
from jobs.workers.zerogpu import Seconds, Watch
from jobs.zerogpu_requests import MOST_EXPIRED, CallerRequest, Drivers
from pipelines.models.cards import ModelCard
from pipelines.planning import ClipShape, Planner
from settings import Settings

log = logging.getLogger(__name__)

STOP_FILE = "asked"
GPU_STARTS = Loading("starting on the GPU", absent=frozenset({"fraction"}))
GPU_START_S = 10.0  # the fork, and the weights' way to the GPU
GPU_LEAST_START_S = 4.0  # the same where it goes well
NEARLY = 0.9
"""A task that was aborted after this share of its time was aborted for a timeout."""

Run = Callable[[JobLifecycle, Job, int, str | None], None]
"""Runs the job on a GPU of that size, requested for so many seconds. Raises NoGpu."""


class NoGpu(Exception):
    """`spaces` raised `why` instead of granting a GPU."""

    def __init__(self, why: Exception) -> None:
        self.why = why
        super().__init__(str(why))


class FileControl:
    """Stop requests through a file, because both sides of a fork can see it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / STOP_FILE
        self._stop_request: str | None = None

    def cancelled(self) -> bool:
        return self._read() == "discard"

    def finish_now(self) -> bool:
        return self._read() == "finish"

    def _read(self) -> str | None:
        if self._stop_request != "discard" and self._file.exists():
            self._stop_request = self._file.read_text(encoding="utf-8")
        return self._stop_request


@dataclass(frozen=True)
class _Spent:
    """The requested seconds, their factor in quota, and the time until the refusal or the end."""

    requested_s: int
    charge: float
    seconds: float


class Grants:
    def __init__(
        self, run: Run, drivers: Drivers, cards: Mapping[str, ModelCard], settings: Settings
    ) -> None:
        self._run = run
        self._drivers = drivers
        self._cards = cards
        self._planner = Planner(settings)
        self._levels = zerogpu.Levels()

    def make(self, lifecycle: JobLifecycle, job: Job, request: CallerRequest | None) -> None:
        """Requests a GPU for as long as the job may take, or for less if only that is granted and
        is still enough. The job has ended or is queued again when this returns."""
        size = self.size_for(job)
        charge, seconds = zerogpu.charge_of(size), self._seconds(lifecycle, job)
        control = FileControl(lifecycle.folder(job.id))

        def check() -> None:
            if control.cancelled():
                raise Cancelled

        level = self._levels.get(job.owner)
        requested_s = zerogpu.first_request_s(seconds, level, charge)
        if requested_s is None:
            self._levels.forget(job.owner)
            needed = math.ceil(seconds.needed)
            lifecycle.fail(job, zerogpu.refusal("illegal", Watch(level=level), needed, charge))
        while requested_s is not None:
            watch = Watch(
                on_queue=lambda why: lifecycle.progress(job, WaitingForGpu(why)),
                on_gpu=lambda: lifecycle.progress(job, GPU_STARTS),
                check=check,
            )
            zerogpu.watch_with(watch)
            # nothing is loaded before the GPU is granted, even if ZeroGPU reports no queue
            lifecycle.progress(job, WaitingForGpu())
            began, refused = time.monotonic(), None
            try:
                self._run(lifecycle, job, requested_s, size)
            except NoGpu as error:
                refused = error.why
            self._levels.learn(job.owner, watch.level)
            if refused is None:
                return
            spent = _Spent(requested_s, charge, time.monotonic() - began)
            requested_s = self._after_refusal(
                lifecycle, job, request, refused, watch, seconds, spent
            )

    def size_for(self, job: Job) -> str | None:
        """`xlarge` if the job needs it, which takes twice the quota; else None, the default, which
        `spaces` makes xlarge if the loaded models need it."""
        card = self._cards.get(job.fitted.model)
        size = self._planner.plan(card, ClipShape.of(job.fitted)).gpu_size if card else None
        return size if size == "xlarge" else None

    def _after_refusal(
        self,
        lifecycle: JobLifecycle,
        job: Job,
        request: CallerRequest | None,
        error: Exception,
        watch: Watch,
        seconds: Seconds,
        spent: _Spent,
    ) -> int | None:
        """No quota, no GPU, a timeout, or a closed page. Returns the seconds to request instead, or
        None if the job has ended or is queued again."""
        if isinstance(error, Cancelled):
            lifecycle.fail(job, error)
            return None
        outcome = zerogpu.outcome_of(error, watch)
        match outcome:
            case "closed":
                self._drivers.drop(job.id, request)
                lifecycle.requeue(
                    job, "The page closed before a GPU was free.", refund_attempt=True
                )
            case "expired" if self._drivers.count_expired(job.id) < MOST_EXPIRED:
                self._drivers.drop(job.id, request)
                again = "The Hub's permission to use your GPU quota expired; it is renewed."
                lifecycle.requeue(job, again, refund_attempt=True)
            case "aborted" if self._was_too_short(lifecycle, job, spent):
                lifecycle.fail(job, zerogpu.too_short(spent.requested_s))
            case "aborted":
                lifecycle.worker_lost(job)
            case _:
                less = zerogpu.next_request_s(watch, spent.requested_s, seconds, spent.charge)
                if less is not None:
                    text = "ZeroGPU did not grant %d s, requesting %d s (job=%s)."
                    log.info(text, spent.requested_s, less, job.id)
                    return less
                unknown = error if outcome == "error" else None
                log.warning("GPU request failed: %s (job=%s).", outcome, job.id, exc_info=unknown)
                lifecycle.fail(
                    job, zerogpu.refusal(outcome, watch, spent.requested_s, spent.charge)
                )
        return None

    def _was_too_short(self, lifecycle: JobLifecycle, job: Job, spent: _Spent) -> bool:
        """The task timed out, and no longer request is allowed."""
        most = zerogpu.most_s(self._levels.get(job.owner), spent.charge)
        took_all = spent.seconds >= spent.requested_s * NEARLY
        return took_all and spent.requested_s >= most and not lifecycle.has_checkpoint(job.id)

    def _seconds(self, lifecycle: JobLifecycle, job: Job) -> Seconds:
        estimate = lifecycle.estimator.estimate(job.fitted)
        wanted = (GPU_START_S + estimate.high) * job.attempts
        least = estimate.seconds if estimate.learned else estimate.low
        return Seconds(wanted, min(wanted, GPU_LEAST_START_S + least))
