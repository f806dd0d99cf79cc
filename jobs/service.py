"""JobService: everything a door (page, client, command line) may do with clips.

Knows requests, owners and the rules between them. Does not know HTTP, Gradio, or how a worker
works: an executor does that, and reports at the desk.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from errors import ErrorCode, KinoraError
from jobs.admission import Admission
from jobs.artifacts import Artifacts
from jobs.disk_reserve import refuse_if_full
from jobs.estimate import Estimate, Estimator
from jobs.event_types import Event, Failed, JobCancelled, Requeued, WaitingForGpu
from jobs.events import EventLog
from jobs.executor import Executor
from jobs.job import Asked, IdempotencyKey, Job, State, new_id
from jobs.lifecycle import JobLifecycle
from jobs.liveness import presence_for
from jobs.queue_eta import QueueEstimate, QueueEta
from jobs.recovery import end_commands, pass_on_asked, recover
from jobs.retention import Housekeeper
from jobs.store import JobStore
from jobs.uploads import Uploads
from pipelines.models.cards import ModelCard
from pipelines.models.catalog import Catalog
from pipelines.planning import Planner
from pipelines.preview import Preview
from pipelines.request import FittedRequest, GenerationRequest
from settings import Settings

if TYPE_CHECKING:
    from media.images import StoredPicture
    from media.videos import StoredVideo

log = logging.getLogger(__name__)

Jobs = list[Job]


class JobService:
    """Thread-safe. `owner=None` means nobody in particular: no owner check, for operators only."""

    def __init__(
        self,
        store: JobStore,
        executor: Executor,
        cards: Mapping[str, ModelCard],
        settings: Settings,
    ) -> None:
        self.settings = settings
        self.cards = cards if isinstance(cards, Catalog) else Catalog(cards, settings)
        self.executor = executor
        self.artifacts = Artifacts(settings.data_dir, settings.artifacts_url)
        self.pictures = self.artifacts.given
        self.given = Uploads(self.pictures, settings)
        self._presence = presence_for(
            store.database, settings.data_dir, command=executor.in_foreground
        )
        self.store = store
        store.server = self._presence.name
        self.events = EventLog(self.store)
        self.planner = Planner(settings, device=lambda: self.executor.health().device)
        self.estimator = Estimator(self.store, self.cards, planner=self.planner)
        self.desk = JobLifecycle(
            self.store, self.events, self.estimator, settings.data_dir, self.artifacts
        )
        self.desk.judge_waiting = self._judge_waiting
        self._housekeeper = Housekeeper(self.desk, settings)
        drivers = executor.drivers
        self._turns = QueueEta(
            store,
            self.events,
            self.estimator,
            lambda: self.executor.health().workers,
            *([drivers.idle] if drivers else []),
        )
        self._intake = Admission(
            self.desk, self.cards, self.given, self.planner, settings, self.idle
        )
        self._began = time.monotonic()
        self._resting = self._closed = False

    def start(self) -> None:
        """Takes up what an earlier server left, then begins to work."""
        self._recover()
        self._presence.watch(self._look_around)
        self._housekeeper.start()
        self.executor.start(self.desk)
        self.executor.notify()

    def rest(self) -> None:
        """From now on nothing is accepted and nothing new is begun; what runs goes on."""
        self._resting = True
        self.desk.rest()

    def close(self, grace_s: float = 10.0) -> None:
        """A clip in the making gets the grace time; then it waits for the next start."""
        if self._closed:
            return
        self._closed = True
        self.rest()
        self.executor.close(grace_s)
        self._housekeeper.close()
        self.events.close()
        self._presence.close()
        self.store.close()

    def _recover(self) -> None:
        if recover(self.desk, self._presence, self.executor.resume):
            self.executor.notify()

    def _judge_waiting(self) -> None:
        """Clips that were accepted for a GPU which the worker, as it says now, cannot use, or
        before a restart with another: those that cannot be made without it fail with a sentence,
        instead of keeping the CPU busy for hours."""
        for job in self.store.unfinished(self.store.server, State.QUEUED):
            try:
                self._intake.refuse_what_cannot_run(job.fitted)
            except KinoraError as error:
                self.store.move(job.id, State.QUEUED, State.FAILED, Failed.of(error))

    def _look_around(self) -> None:
        """Now and then: what other processes that use the same database did or left."""
        if self._closed:
            return
        if not self.store.has_others and self._presence.has_others():
            self.store.has_others = True
            self.events.wake_all()  # who watches must look into the database from now on
        self._recover()
        pass_on_asked(self.desk, self.executor.ask)

    def end_commands(self) -> None:
        """What killed command lines left: for one that starts, which takes up nothing else."""
        end_commands(self.desk, self._presence)

    def __enter__(self) -> JobService:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- asking for clips ------------------------------------------------------------------------

    def submit(
        self,
        request: GenerationRequest,
        owner: str,
        *,
        once: IdempotencyKey | None = None,
        reuse: bool = False,
        parent: str | None = None,
    ) -> Job:
        """Accepts a request; it will not be lost once this returns. KinoraError on bad input.

        Under a key that was used before (`once`), the job of that time. `reuse` allows a clip of
        the owner's that is there already, which takes a seed: without one, each clip is new.
        """
        return self._accept([request], owner, once=once, reuse=reuse, parent=parent)[0]

    def submit_batch(
        self,
        requests: Sequence[GenerationRequest],
        owner: str,
        *,
        once: IdempotencyKey | None = None,
        reuse: bool = False,
    ) -> Jobs:
        """Accepts all of them or none; they are followed as one under `job.batch`."""
        if not 1 <= len(requests) <= self.settings.max_batch:
            raise KinoraError(
                ErrorCode.INVALID_INPUT,
                f"A batch has 1 to {self.settings.max_batch} clips; this one has {len(requests)}.",
            )
        return self._accept(requests, owner, once=once, reuse=reuse, batch=new_id())

    def refuse_if_full(self) -> None:
        """KinoraError where a clip could not be written, or the database not."""
        folders = (self.settings.data_dir, self.artifacts.root, self.store.database.folder)
        refuse_if_full(*filter(None, folders))

    def _accept(self, requests: Sequence[GenerationRequest], owner: str, **how: Any) -> Jobs:
        self.refuse_if_full()
        health = self.executor.health()
        if self._resting or health.state == "defunct":
            raise KinoraError(ErrorCode.UNAVAILABLE, (health.error or {}).get("message"))
        accepted = self._intake.accept(requests, owner, **how)
        self.executor.notify()
        return accepted

    def fit(self, request: GenerationRequest) -> FittedRequest:
        """What would be made, with every change explained."""
        return self._intake.fit(request)

    def offered(self) -> dict[str, ModelCard]:
        """The installed cards that may be used here: on a Space, not all of them."""
        return self._intake.offered()

    def estimate(self, request: GenerationRequest) -> tuple[FittedRequest, Estimate]:
        fitted = self.fit(request)
        return fitted, self.estimator.estimate(fitted)

    def store_picture(self, data: bytes, owner: str) -> StoredPicture:
        """Keeps a picture; a request names it by its id. Pictures that are not used go in a day."""
        return self.given.store_picture(data, owner)

    def store_video(self, source: Path, owner: str) -> StoredVideo:
        """Keeps a clip to work over, as pictures are kept."""
        return self.given.store_video(source, owner)

    def store_made(self, job_id: str, owner: str) -> StoredVideo:
        """A finished clip as one to work over or to go on from, with its sound."""
        return self.given.store_video(self.clip_path(job_id), owner, made_here=True)

    # -- looking ---------------------------------------------------------------------------------

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """Another owner's clip does not exist for you."""
        job = self.store.get(job_id)
        if job is None or owner not in (None, job.owner):
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
        return job

    def list(
        self,
        owner: str,
        limit: int = 50,
        before: str | None = None,
        *,
        oldest_first: bool = False,
    ) -> Jobs:
        """The owner's clips, newest first; `before` is the id of the last one already seen."""
        size = max(1, min(limit, 500))
        return self.store.history(owner, size, before, oldest_first=oldest_first)

    def batch(self, batch_id: str) -> Jobs:
        """The clips that were handed in together, in their order; none if there is no such batch.
        They have one owner, which is for the caller to check."""
        return self.store.batch(batch_id)

    def watch(self, job_id: str, owner: str | None = None, after: int = 0) -> Iterator[Event]:
        """The events after that number, and new ones as they come, until the clip has ended."""
        self.get(job_id, owner)
        return self.events.watch(job_id, after)

    def awatch(self, job_id: str, owner: str | None = None, after: int = 0) -> AsyncIterator[Event]:
        self.get(job_id, owner)
        return self.events.awatch(job_id, after)

    def drive(
        self, job_id: str, owner: str | None = None, after: int = 0, tick_s: float = 0.5
    ) -> Iterator[Event | None]:
        """As `watch`, from within a web request, which is lent to the clip where it needs one
        (ZeroGPU). Yields None as a heartbeat. Closing it stops nothing but the watching."""
        job = self.get(job_id, owner)
        if not job.state.ended:
            self.executor.drive(job_id)
        return self.events.follow(job_id, after, tick_s)

    def lend(self, job: Job, quota: str | None) -> None:
        """Where a clip needs a caller's GPU quota (ZeroGPU), this caller's token is used from now
        on: the newest is valid the longest, also for a second attempt."""
        if quota and self.executor.needs_request and not job.state.ended:
            self.executor.drive(job.id, quota)

    def wants_request(self, job: Job) -> bool:
        """True where the clip waits and a page that shows it should drive it again: its web
        request is gone, or its token gets old (ZeroGPU)."""
        drivers = self.executor.drivers
        return bool(drivers and job.state is State.QUEUED and drivers.wants_request(job.id))

    def waits_for(self, job: Job) -> Literal["gpu", "caller"] | None:
        """What keeps a clip waiting besides its turn (ZeroGPU): a GPU, or a caller with a token."""
        drivers = self.executor.drivers
        if drivers is None or job.state.ended:
            return None
        if job.state is State.QUEUED:
            return "caller" if drivers.newest(job.id) is None else None
        newest = self.events.since(job.id)[-1:]
        return "gpu" if newest and isinstance(newest[0].body, WaitingForGpu) else None

    def idle(self) -> set[str]:
        """The waiting clips that nobody drives (ZeroGPU): they count for nothing."""
        drivers = self.executor.drivers
        return drivers.idle(self.store.who_waits()[0]) if drivers else set()

    def oldest_waiting_s(self) -> float:
        """How long the next in turn has waited."""
        idle = self.idle()
        first = next((job for job in self.store.waiting() if job.id not in idle), None)
        return max(0.0, time.time() - first.created_at) if first else 0.0

    def outlook(self, job: Job) -> QueueEstimate:
        """How many clips go before it, and seconds until it is there, as far as one can tell."""
        if job.state is State.QUEUED:
            return self._turns.outlook(job)
        return QueueEstimate(0, self._turns.remaining_s(job) if job.state is State.RUNNING else 0.0)

    def position(self, job_id: str) -> int:
        """How many clips go before this one; 0 once it runs or has ended."""
        return self.outlook(self.get(job_id)).before

    def eta_s(self, job_id: str) -> float | None:
        """Seconds until the clip is there, as far as one can tell."""
        job = self.get(job_id)
        return None if job.state.ended else self.outlook(job).seconds

    def preview(self, job_id: str, owner: str | None = None) -> Preview | None:
        """The newest preview."""
        self.get(job_id, owner)
        return self.events.latest_preview(job_id)

    def clip_path(self, job_id: str, owner: str | None = None) -> Path:
        return self._artifact(job_id, owner, "clip")

    def clip_address(
        self, job_id: str, owner: str | None = None, *, as_name: str | None = None
    ) -> str | None:
        """Where a browser may fetch the clip itself for an hour (object stores); else None.
        `as_name`, without a suffix, makes it a download."""
        result = self.get(job_id, owner).result
        if result is None or result.gone:
            return None
        name = as_name and as_name + Path(result.clip).suffix
        return self.artifacts.address(job_id, result.clip, as_name=name)

    def poster_path(self, job_id: str, owner: str | None = None) -> Path:
        return self._artifact(job_id, owner, "poster")

    def last_frame_path(self, job_id: str, owner: str | None = None) -> Path:
        return self._artifact(job_id, owner, "last_frame")

    def health(self) -> dict[str, Any]:
        """starting | ready | busy | setup_failed | defunct, and the figures behind it."""
        here = self.store.unfinished_here()
        return self.executor.health().model_dump() | {
            "queued": here.get(State.QUEUED, 0) - len(self.idle()),
            "running": here.get(State.RUNNING, 0),
            "uptime_s": round(time.monotonic() - self._began, 1),
        }

    # -- stopping --------------------------------------------------------------------------------

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Discards: at once if it waits, within a step if it runs. Asked again, the same answer."""
        job = self.get(job_id, owner)
        while not job.state.ended:
            if job.state is State.QUEUED:
                if self.store.move(job_id, State.QUEUED, State.CANCELLED, JobCancelled()):
                    self.artifacts.remove(job_id)  # what an earlier attempt left
            elif self._ask(job, "discard"):
                return self.get(job_id, owner)
            job = self.get(job_id, owner)
        return job

    def finish(self, job_id: str, owner: str | None = None) -> Job:
        """Keeps what is there: the clip is made from the last step's estimate."""
        job = self.get(job_id, owner)
        if job.state is State.QUEUED:
            raise KinoraError(
                ErrorCode.CONFLICT, "There is nothing to keep yet: the clip has not begun."
            )
        if job.state is State.RUNNING and job.asked is None:
            self._ask(job, "finish")
        return self.get(job_id, owner)

    def delete(self, job_id: str, owner: str | None = None) -> None:
        """Removes a clip and all that belongs to it. A waiting one is discarded first."""
        job = self.get(job_id, owner)
        if job.state is State.QUEUED:
            job = self.cancel(job_id, owner)
        try:
            is_gone = self.store.delete(job_id)
        except KinoraError as error:
            if error.code is not ErrorCode.OUT_OF_DISK or not job.state.ended:
                raise
            self.artifacts.remove(job_id)  # a full disk: the files first, to make room
            is_gone = self.store.delete(job_id)
        if not is_gone:
            raise KinoraError(ErrorCode.CONFLICT, "The clip is still being made: discard it first.")
        self.events.forget(job_id)
        self.artifacts.remove(job_id)
        self.store.database.reserve.refill()

    # -- once more -------------------------------------------------------------------------------

    def can_retry_decode(self, job_id: str, owner: str | None = None) -> bool:
        """It failed after it was sampled, and what was sampled is still there."""
        job = self.get(job_id, owner)
        return job.state is State.FAILED and self.desk.is_sampled(job_id)

    def retry_decode(self, job_id: str, owner: str | None = None) -> Job:
        """Decodes a failed clip again, without sampling: in seconds, and days later as well.
        Asked again meanwhile, the same answer."""
        job = self.get(job_id, owner)
        if not job.state.ended:
            return job
        if job.state is not State.FAILED:
            raise KinoraError(ErrorCode.CONFLICT, "Only a failed clip can be decoded again.")
        if not self.desk.is_sampled(job_id):
            raise KinoraError(
                ErrorCode.CONFLICT,
                "Nothing of this clip was kept: make it again from the start.",
            )
        if self._resting or self.executor.health().state == "defunct":
            raise KinoraError(ErrorCode.UNAVAILABLE)
        waiting = self.store.unfinished_here().get(State.QUEUED, 0) - len(self.idle())
        if waiting >= self.settings.max_queue:
            raise KinoraError(ErrorCode.QUEUE_FULL)
        self._intake.check_allowed(job.fitted)
        again = Requeued("Decoding is retried.")
        moved = self.store.move(job_id, State.FAILED, State.QUEUED, again)
        self.executor.notify()
        return moved or self.get(job_id, owner)

    # -- inside ----------------------------------------------------------------------------------

    def _ask(self, job: Job, what: Asked) -> bool:
        """True if it is written down, now or earlier; False if the clip does not run any more."""
        if job.asked == "discard":
            return True
        if not self.store.ask(job.id, what):
            return False
        with contextlib.suppress(OSError):  # the store has it; the worker may be gone
            self.executor.ask(job.id, what)
        return True

    def _artifact(self, job_id: str, owner: str | None, field: str) -> Path:
        job = self.get(job_id, owner)
        if job.result is None:
            raise KinoraError(ErrorCode.NOT_FOUND, "This clip has no file.")
        if job.result.gone:
            raise KinoraError(ErrorCode.GONE, job.result.gone.sentence)
        path = self.artifacts.fetch(job_id, getattr(job.result, field))
        if path is None:
            raise KinoraError(ErrorCode.GONE)
        return path
