"""JobQueries: reads the state, events, previews and files of jobs, and their place in the queue.

The reading half of `JobService`; nothing here changes a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.batch import Batch, BatchState, Layout
from jobs.evaluation import Evaluation, Evaluator
from jobs.event_types import Event, WaitingForGpu
from jobs.events import EventLog
from jobs.executor import Executor
from jobs.job import Job, State
from jobs.queue_eta import QueueEstimate, QueueEta
from jobs.signing import Signing
from jobs.store import JobStore
from pipelines.preview import Preview

Jobs = list[Job]  # in the class, `list` is the method
Events = list[Event]
BatchStates = list[BatchState]


class JobQueries:
    """Thread-safe. `owner=None` skips the owner check: for operators and for callers that check
    access themselves. Where an owner is given, another owner's job raises KinoraError(NOT_FOUND).
    """

    def __init__(
        self,
        store: JobStore,
        events: EventLog,
        artifacts: Artifacts,
        executor: Executor,
        queue_eta: QueueEta,
        evaluator: Evaluator,
        signing: Signing,
    ) -> None:
        self._store = store
        self._events = events
        self._artifacts = artifacts
        self._executor = executor
        self._queue_eta = queue_eta
        self._evaluator = evaluator
        self._signing = signing
        self._started_at = time.monotonic()

    # -- jobs --------------------------------------------------------------------------------------

    def get(self, job_id: str, owner: str | None = None) -> Job:
        job = self._store.get(job_id)
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
        """The owner's jobs, newest first; `before` is the last id of the previous page."""
        size = max(1, min(limit, 500))
        return self._store.history(owner, size, before, oldest_first=oldest_first)

    def batch(self, batch_id: str) -> Jobs:
        """The jobs of a batch in their order; empty if there is no such batch. They have one owner,
        which the caller checks."""
        return self._store.batch(batch_id)

    def find_batch(self, batch_id: str, owner: str | None = None) -> BatchState:
        """A batch with its jobs, in the order of its cells. Raises KinoraError(NOT_FOUND), also
        once all of its jobs are deleted."""
        jobs = self._store.batch(batch_id)
        if not jobs or owner not in (None, jobs[0].owner):
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such batch here.")
        batch = self._store.batch_row(batch_id)
        if batch is None:  # of version 0.1.0
            layout = Layout.of_jobs([job.id for job in jobs])
            first = jobs[0]
            at = first.created_at
            batch = Batch(id=batch_id, owner=first.owner, created_at=at, layout=layout)
        by_id = {job.id: job for job in jobs}
        placed = dict.fromkeys(cell.job_id for cell in batch.layout.cells)
        return BatchState(batch, tuple(by_id[each] for each in placed if each in by_id))

    def batches(self, owner: str, limit: int, before: float | None = None) -> BatchStates:
        """The owner's batches, newest first, created before that time."""
        found: BatchStates = []
        for batch_id in self._store.newest_batches(owner, limit, before):
            with contextlib.suppress(KinoraError):  # deleted meanwhile
                found.append(self.find_batch(batch_id))
        return found

    def counts(self) -> dict[tuple[str, str], int]:
        """The number of jobs by (state, model)."""
        return self._store.counts()

    def model_of(self, job_id: str) -> str:
        """The id of the model that makes it; empty if there is no such job."""
        return self._store.model(job_id)

    # -- events ------------------------------------------------------------------------------------

    def events(self, job_id: str, after: int = 0) -> Events:
        """The events with a number above `after` so far. No owner check."""
        return self._events.since(job_id, after)

    def watch(self, job_id: str, owner: str | None = None, after: int = 0) -> Iterator[Event]:
        """The events after that number, and new ones as they come, until the job has ended."""
        self.get(job_id, owner)
        return self._events.watch(job_id, after)

    def awatch(self, job_id: str, owner: str | None = None, after: int = 0) -> AsyncIterator[Event]:
        self.get(job_id, owner)
        return self._events.awatch(job_id, after)

    def afollow(
        self, job_id: str, after: int = 0, tick_s: float | None = None
    ) -> AsyncGenerator[Event | None, None]:
        """As `awatch`, with None as a heartbeat whenever nothing happened for `tick_s` seconds. No
        owner check."""
        return self._events.afollow(job_id, after, tick_s)

    def achanges(self, job_ids: Collection[str], tick_s: float) -> AsyncGenerator[None, None]:
        """Yields whenever any of these jobs may have changed; see `EventLog.achanges`. No owner
        check."""
        return self._events.achanges(job_ids, tick_s)

    async def abatch_changes(self, batch_id: str, tick_s: float) -> AsyncGenerator[None, None]:
        """As `achanges`, for the jobs that are in a batch at the time: one that is made again takes
        the place of another."""
        while True:
            job_ids = await asyncio.to_thread(self._store.batch_ids, batch_id)
            async with aclosing(self._events.achanges(job_ids, tick_s)) as changes:
                async for _ in changes:
                    yield
                    now = await asyncio.to_thread(self._store.batch_ids, batch_id)
                    if now != job_ids:
                        break
                else:
                    return

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        """Calls it for each event of this process: see `JobStore.subscribe`."""
        self._store.subscribe(subscriber)

    def preview(self, job_id: str, owner: str | None = None) -> Preview | None:
        """The newest preview: a JPEG strip of frames. None for a clip that was refused."""
        job = self.get(job_id, owner)
        if job.error and job.error.get("error") == ErrorCode.CONTENT_POLICY.value:
            return None
        return self._events.latest_preview(job_id)

    # -- the queue ---------------------------------------------------------------------------------

    def queue_estimate(self, job: Job) -> QueueEstimate:
        """How many jobs run before it, and the estimated seconds until its clip is finished."""
        if job.state is State.QUEUED:
            return self._queue_eta.estimate(job)
        is_running = job.state is State.RUNNING
        return QueueEstimate(0, self._queue_eta.remaining_s(job) if is_running else 0.0)

    def position(self, job_id: str) -> int:
        """How many jobs run before this one; 0 once it runs or has ended."""
        return self.queue_estimate(self.get(job_id)).before

    def eta_s(self, job_id: str) -> float | None:
        """Estimated seconds until the clip is finished; None once the job has ended."""
        job = self.get(job_id)
        return None if job.state.ended else self.queue_estimate(job).seconds

    def oldest_waiting_s(self) -> float:
        """How long the next job in the queue has waited."""
        idle = self.idle()
        first = next((job for job in self._store.waiting() if job.id not in idle), None)
        return max(0.0, time.time() - first.created_at) if first else 0.0

    def health(self) -> dict[str, Any]:
        """`state` (starting | ready | busy | setup_failed | defunct) and the figures behind it."""
        here = self._store.unfinished_here()
        return self._executor.health().model_dump() | {
            "queued": here.get(State.QUEUED, 0) - len(self.idle()),
            "running": here.get(State.RUNNING, 0),
            "uptime_s": round(time.monotonic() - self._started_at, 1),
        }

    def worker_pid(self) -> int | None:
        """The process of the worker on this machine, if there is one."""
        return self._executor.health().worker_pid

    # -- ZeroGPU -----------------------------------------------------------------------------------

    @property
    def needs_request(self) -> bool:
        """True where a clip is made with the GPU quota of a caller's web request (ZeroGPU)."""
        return self._executor.needs_request

    def needs_new_request(self, job: Job) -> bool:
        """True where a queued clip has no web request, or one whose token expires soon: a page that
        shows the clip should send a new one (ZeroGPU)."""
        drivers = self._executor.drivers
        if drivers is None or job.state is not State.QUEUED or job.edit:
            return False
        return drivers.wants_request(job.id)

    def waits_for(self, job: Job) -> Literal["gpu", "caller"] | None:
        """What the clip waits for besides its turn (ZeroGPU): a GPU, or a caller with a token."""
        drivers = self._executor.drivers
        if drivers is None or job.state.ended or job.edit:
            return None
        if job.state is State.QUEUED:
            return "caller" if drivers.newest(job.id) is None else None
        newest = self._events.since(job.id)[-1:]
        return "gpu" if newest and isinstance(newest[0].body, WaitingForGpu) else None

    def idle(self) -> set[str]:
        """The queued clips without a web request (ZeroGPU); they count for no limit."""
        drivers = self._executor.drivers
        return drivers.idle(self._store.queued()[0]) if drivers else set()

    # -- files -------------------------------------------------------------------------------------

    def clip_path(self, job_id: str, owner: str | None = None) -> Path:
        """Raises KinoraError: NOT_FOUND before the clip is finished, GONE once it was removed."""
        return self._artifact(job_id, owner, "clip")

    def poster_path(self, job_id: str, owner: str | None = None) -> Path:
        """The middle frame as a JPEG. Raises as `clip_path`."""
        return self._artifact(job_id, owner, "poster")

    def last_frame_path(self, job_id: str, owner: str | None = None) -> Path:
        """The last frame as a PNG. Raises as `clip_path`."""
        return self._artifact(job_id, owner, "last_frame")

    def credentials_path(self, job_id: str, owner: str | None = None) -> Path:
        """The Content Credentials beside a clip whose container has no place for them. Raises as
        `clip_path`, also where the clip has them inside."""
        result = self.get(job_id, owner).result
        provenance = result and result.provenance
        sidecar = provenance and provenance.sidecar
        clip = self.clip_path(job_id, owner)
        path = self._artifacts.fetch(job_id, sidecar) if sidecar else None
        if path is None:
            sentence = f"There is no file of Content Credentials beside {clip.name}."
            raise KinoraError(ErrorCode.NOT_FOUND, sentence)
        return path

    def contact_sheet_path(self, job: Job) -> Path:
        """Up to 20 frames of a clip as one JPEG, made the first time. Raises as `clip_path`, and
        KinoraError(DECODE)."""
        from media.stills import write_contact_sheet

        clip = self.clip_path(job.id)
        sheet = clip.with_name("contact.jpg")
        if not sheet.is_file() and job.result is not None:
            made = clip.with_name(f"unsigned-{threading.get_ident()}.jpg")
            try:
                write_contact_sheet(clip, job.result.num_frames, made)
                self._signing.sign_copy(made, f"kinora-{job.id[:8]}.jpg")
                made.replace(sheet)
            finally:
                made.unlink(missing_ok=True)
        return sheet

    def evaluation(self, job: Job) -> Evaluation:
        """Measurements of a finished clip; takes seconds the first time. Raises as `clip_path`, and
        KinoraError where a CLIP model is set that cannot be used."""
        return self._evaluator.evaluate(job.id, self.clip_path(job.id), job.fitted.prompt)

    def signed_clip_url(
        self, job_id: str, owner: str | None = None, *, download_name: str | None = None
    ) -> str | None:
        """A URL of the object store from which a browser may fetch the clip for an hour; None where
        clips are on a disk. `download_name`, without a suffix, makes it a download."""
        result = self.get(job_id, owner).result
        if result is None or result.gone:
            return None
        name = download_name and download_name + Path(result.clip).suffix
        return self._artifacts.address(job_id, result.clip, as_name=name)

    def _artifact(self, job_id: str, owner: str | None, field: str) -> Path:
        job = self.get(job_id, owner)
        if job.result is None:
            raise KinoraError(ErrorCode.NOT_FOUND, "This clip has no file.")
        if job.result.gone:
            raise KinoraError(ErrorCode.GONE, job.result.gone.sentence)
        path = self._artifacts.fetch(job_id, getattr(job.result, field))
        if path is None:
            raise KinoraError(ErrorCode.GONE)
        return path
