"""One clip on ZeroGPU: how long a GPU is asked for, and what is done where it is not granted.

Knows the desk, the drivers and what ZeroGPU answers. Does not know how a clip is made.
"""

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
from jobs.zerogpu_requests import MOST_EXPIRED, Drivers, Lent
from pipelines.models.cards import ModelCard
from pipelines.planning import ClipShape, Planner
from settings import Settings

log = logging.getLogger(__name__)

ASKED = "asked"
GPU_STARTS = Loading("starting on the GPU", absent=frozenset({"fraction"}))
GPU_START_S = 10.0  # the fork, and the weights' way to the GPU
GPU_LEAST_START_S = 4.0  # the same where it goes well
NEARLY = 0.9
"""A task that was aborted after this share of its time was aborted for its time."""

Run = Callable[[JobLifecycle, Job, int, str | None], None]
"""Makes the clip on a GPU of that size that is asked for so many seconds. Raises NoGpu."""


class NoGpu(Exception):
    """What `spaces` raised."""

    def __init__(self, why: Exception) -> None:
        self.why = why
        super().__init__(str(why))


class FileControl:
    """What a person asked, as a file: the one thing both sides of a fork can see."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / ASKED
        self._asked: str | None = None

    def cancelled(self) -> bool:
        return self._read() == "discard"

    def finish_now(self) -> bool:
        return self._read() == "finish"

    def _read(self) -> str | None:
        if self._asked != "discard" and self._file.exists():
            self._asked = self._file.read_text(encoding="utf-8")
        return self._asked


@dataclass(frozen=True)
class _Spent:
    """What was asked for, what that counts, and how long it took until it was refused or ended."""

    asked: int
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

    def make(self, desk: JobLifecycle, job: Job, lent: Lent | None) -> None:
        """Asks for a GPU for as long as the clip may take, or for less where only that is granted
        and is still enough. The clip has ended or waits again when this returns."""
        size = self.size_for(job)
        charge, seconds = zerogpu.charge_of(size), self._seconds(desk, job)
        control = FileControl(desk.folder(job.id))

        def check() -> None:
            if control.cancelled():
                raise Cancelled

        level = self._levels.get(job.owner)
        ask = zerogpu.first_ask_s(seconds, level, charge)
        if ask is None:
            self._levels.forget(job.owner)
            needed = math.ceil(seconds.needed)
            desk.fail(job, zerogpu.refusal("illegal", Watch(level=level), needed, charge))
        while ask is not None:
            watch = Watch(
                on_queue=lambda why: desk.progress(job, WaitingForGpu(why)),
                on_gpu=lambda: desk.progress(job, GPU_STARTS),
                check=check,
            )
            zerogpu.watch_with(watch)
            # until the GPU is there nothing is loaded, whether ZeroGPU says so at once or not
            desk.progress(job, WaitingForGpu())
            began, refused = time.monotonic(), None
            try:
                self._run(desk, job, ask, size)
            except NoGpu as error:
                refused = error.why
            self._levels.learn(job.owner, watch.level)
            if refused is None:
                return
            spent = _Spent(ask, charge, time.monotonic() - began)
            ask = self._after_refusal(desk, job, lent, refused, watch, seconds, spent)

    def size_for(self, job: Job) -> str | None:
        """`xlarge` where the clip needs it, which takes twice the quota. Else None, the default:
        `spaces` makes that xlarge where all that is loaded needs it."""
        card = self._cards.get(job.fitted.model)
        size = self._planner.plan(card, ClipShape.of(job.fitted)).gpu_size if card else None
        return size if size == "xlarge" else None

    def _after_refusal(
        self,
        desk: JobLifecycle,
        job: Job,
        lent: Lent | None,
        error: Exception,
        watch: Watch,
        seconds: Seconds,
        spent: _Spent,
    ) -> int | None:
        """No quota, no GPU, a task that took too long, a page that closed. Returns the seconds to
        ask for instead, or None where the clip has ended or waits again."""
        if isinstance(error, Cancelled):
            desk.cancel(job)
            return None
        outcome = zerogpu.outcome_of(error, watch)
        match outcome:
            case "closed":
                self._drivers.drop(job.id, lent)
                desk.requeue(job, "The page closed before a GPU was free.", refund_attempt=True)
            case "expired" if self._drivers.count_expired(job.id) < MOST_EXPIRED:
                self._drivers.drop(job.id, lent)
                again = "The Hub's permission to use your GPU quota expired; it is renewed."
                desk.requeue(job, again, refund_attempt=True)
            case "aborted" if self._was_too_short(desk, job, spent):
                desk.fail(job, zerogpu.too_short(spent.asked))
            case "aborted":
                desk.worker_lost(job)
            case _:
                less = zerogpu.next_ask_s(watch, spent.asked, seconds, spent.charge)
                if less is not None:
                    text = "ZeroGPU does not grant %d s, asking for %d s (job=%s)."
                    log.info(text, spent.asked, less, job.id)
                    return less
                unknown = error if outcome == "error" else None
                log.warning("No GPU was granted: %s (job=%s).", outcome, job.id, exc_info=unknown)
                desk.fail(job, zerogpu.refusal(outcome, watch, spent.asked, spent.charge))
        return None

    def _was_too_short(self, desk: JobLifecycle, job: Job, spent: _Spent) -> bool:
        """It was ended for its time, and no more time could be asked for."""
        most = zerogpu.most_s(self._levels.get(job.owner), spent.charge)
        took_all = spent.seconds >= spent.asked * NEARLY
        return took_all and spent.asked >= most and not desk.is_sampled(job.id)

    def _seconds(self, desk: JobLifecycle, job: Job) -> Seconds:
        estimate = desk.estimator.estimate(job.fitted)
        wanted = (GPU_START_S + estimate.high) * job.attempts
        least = estimate.seconds if estimate.learned else estimate.low
        return Seconds(wanted, min(wanted, GPU_LEAST_START_S + least))
