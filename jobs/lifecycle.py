"""JobLifecycle: the only place that changes the state of a job after it was accepted.

Executors claim jobs here and report on them; the service cancels and retries them here. It must not
import an executor.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError
from typing_extensions import assert_never

from errors import Cancelled, ErrorCode, KinoraError
from jobs.artifacts import MANIFEST as MANIFEST  # also for executors, which import only this module
from jobs.artifacts import Artifacts
from jobs.checkpoint import (
    DECODING,
    FINISH,
    LATENTS,
    REDONE,
    WINDOWS,
    drop_windows,
    is_worth_keeping,
    note_redone,
    window_file,
    with_note,
)
from jobs.estimate import Estimator
from jobs.event_types import (
    Decoding,
    Encoding,
    Failed,
    Fallback,
    JobCancelled,
    Loading,
    PreviewReady,
    Requeued,
    StepDone,
    Succeeded,
    WaitingForGpu,
    WorkerEvent,
)
from jobs.events import EventLog
from jobs.job import Job, Result, State, StopRequest, WorkerStop, for_worker
from jobs.queue import Lane, is_in_lane
from jobs.store import JobStore
from pipelines.preview import Preview

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 2


class JobLifecycle:
    """Thread-safe. Every change is a compare-and-set in the store: if two threads or processes try
    to end a job, one succeeds and the other changes nothing."""

    def __init__(
        self,
        store: JobStore,
        events: EventLog,
        estimator: Estimator,
        data: Path,
        artifacts: Artifacts | None = None,
    ) -> None:
        self.store = store
        self.events = events
        self.estimator = estimator
        self.artifacts = artifacts or Artifacts(data)
        self.pictures = self.artifacts.uploads_folder
        self._paused = False
        self.check_queued: Callable[[], None] = lambda: None
        """An executor calls this once its worker's device is known: jobs that were accepted before
        are checked against it."""
        self.sign: Callable[[Job, Result], Result] = lambda _, result: result
        """Signs the files of a finished clip and returns its result."""
        self.on_refusal: Callable[[Job, KinoraError], KinoraError] = lambda _, error: error
        """Called for a job that a worker refused by the content policy; returns its error."""

    def folder(self, job_id: str) -> Path:
        return self.artifacts.folder(job_id)

    # -- queued jobs -------------------------------------------------------------------------------

    def claim(self, candidates: Collection[str] | None = None, lane: Lane = "all") -> Job | None:
        """The next job of a lane in the queue, now running; only one of `candidates` if they are
        given."""
        return None if self._paused else self.store.claim(candidates, lane)

    def has_queued(self, lane: Lane) -> bool:
        """Whether a job of a lane waits."""
        models = self.store.oldest_waiting()
        return any(is_in_lane(lane, is_edit=not model) for model in models)

    def pause(self) -> None:
        """From now on `claim` returns None."""
        self._paused = True

    def cancel_queued(self, job_id: str) -> bool:
        """Cancels a queued job and removes what an earlier attempt wrote; False if it is not queued
        any more."""
        cancelled = self.store.move(job_id, State.QUEUED, State.CANCELLED, JobCancelled())
        if cancelled:
            self.artifacts.remove(job_id)
        return cancelled is not None

    def fail_queued(self, job_id: str, error: KinoraError, *, remove_files: bool = True) -> bool:
        """Fails a queued job; False if it is not queued any more."""
        failed = self.store.move(job_id, State.QUEUED, State.FAILED, Failed.of(error))
        if failed and remove_files:
            self.artifacts.remove(job_id)
        return failed is not None

    def retry_decode(self, job_id: str, *, finish: bool = False) -> Job | None:
        """Queues a failed job again; None if it is not failed any more. `finish`: a long clip is
        made of its finished windows."""
        if finish:
            self.end_with_windows(job_id)
        elif self.has_windows(job_id):
            self.artifacts.drop(job_id, FINISH)
        why = Requeued("The finished parts are joined." if finish else "Decoding is retried.")
        return self.store.move(job_id, State.FAILED, State.QUEUED, why)

    def end_with_windows(self, job_id: str) -> None:
        """The next run of a long clip makes no further window, but the clip of those that are
        finished."""
        mark = self.folder(job_id) / FINISH
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        self.artifacts.put(job_id, mark)

    # -- running jobs ------------------------------------------------------------------------------

    def stop_request(self, job_id: str) -> WorkerStop | None:
        """What a worker has to do about a running job: discard it, or finish it now."""
        request = self._stored_request(job_id)
        return for_worker(request) if request else None

    def _stored_request(self, job_id: str) -> StopRequest | None:
        job = self.store.get(job_id)
        return job.asked if job else None

    def progress(self, job: Job, event: WorkerEvent | WaitingForGpu) -> None:
        """Stores what the worker reports of a running job."""
        match event:
            case Preview():  # the JPEG stays in memory, out of the database
                kept = self.events.keep_preview(job.id, event)
                self.store.append(job.id, PreviewReady.of(kept))
            case Fallback():  # another model makes it: stored in the job
                if event.fitted:
                    self.store.replace_fitted(job.id, event.fitted)
                self.store.append(job.id, replace(event, fitted=None))
            case StepDone(eta_s=float() | int() as sampling_s):
                tail_s = self.estimator.estimate(job.fitted, job.edit).tail_s
                # each window of a long clip has one
                parts_left = (event.parts or 1) - (event.part or 1) + 1
                eta_s = round(sampling_s + tail_s * parts_left, 1)
                self.store.append(job.id, replace(event, eta_s=eta_s))
            case StepDone() | WaitingForGpu() | Loading() | Decoding() | Encoding():
                self.store.append(job.id, event)
            case _:
                assert_never(event)

    def succeed(self, job: Job, result: Result) -> None:
        """The clip is finished; cancels the job if it was discarded in the meantime."""
        self.artifacts.drop(job.id, LATENTS)
        made = self.store.get(job.id) or job
        if made.fitted.windows:
            drop_windows(self.artifacts, job.id, made.fitted.parts)
        result = self.sign(made, result)
        self.artifacts.keep(job.id)
        # before the event, so that subscribers to it already get the better estimate
        self.estimator.learn(made.model_copy(update={"result": result}))
        succeeded = self.store.move(
            job.id,
            State.RUNNING,
            State.SUCCEEDED,
            Succeeded(
                result.seconds,
                result.finished_early,
                signed=result.provenance.signed if result.provenance else None,
            ),
            result=result,
            unless_stop_request="discard",
            run=job.started_at,
        )
        if not succeeded:
            self.cancel(job)

    def fail(self, job: Job, error: KinoraError) -> None:
        """Fails a running job and keeps its latents if decoding them again may succeed; cancels it
        if it was discarded, and queues it again if only its present window was."""
        request = self._stored_request(job.id)
        if isinstance(error, Cancelled) and request == "redo_part":
            self._redo_part(job)
            return
        if isinstance(error, Cancelled) and request is None and job.fitted.windows:
            # the request belonged to the run before: `_redo_part` has queued the job since
            self.requeue(job, "The clip is continued.", refund_attempt=True, keep={REDONE})
            return
        if isinstance(error, Cancelled) or request == "discard":
            self.cancel(job)
            return
        if error.code is ErrorCode.CONTENT_POLICY:
            self.events.drop_preview(job.id)
            error = self.on_refusal(job, error)
        if is_worth_keeping(error) and self.has_checkpoint(job.id):
            error = with_note(error)
            self._clear(job, keep={LATENTS, DECODING})
        else:
            self._clear(job)
        self.store.move(
            job.id,
            State.RUNNING,
            State.FAILED,
            Failed.of(error),
            run=job.started_at,
        )

    def cancel(self, job: Job) -> None:
        """The worker has discarded a running job."""
        self._clear(job)
        self.store.move(job.id, State.RUNNING, State.CANCELLED, JobCancelled(), run=job.started_at)

    def _redo_part(self, job: Job) -> None:
        note_redone(self.artifacts, job.id)
        why = "This part is made again; the finished parts are kept."
        self.requeue(job, why, refund_attempt=True, keep={REDONE})

    def worker_lost(self, job: Job) -> None:
        """The worker of a running job is gone: the job succeeds if its clip is complete, is queued
        again after its first attempt, and else fails."""
        result = self.finished_result(job.id)
        request = self._stored_request(job.id)
        if job.asked == "discard" or request == "discard":
            self.cancel(job)
        elif result:
            self.succeed(job, result)
        elif request == "redo_part":
            self._redo_part(job)
        elif job.attempts < MAX_ATTEMPTS:
            why = "The worker stopped; the clip is made again from the start."
            if self.has_windows(job.id):
                why = "The worker stopped; the finished parts are kept."
            elif self.is_sampled(job.id):
                why = "The worker stopped; decoding is retried."
            self.requeue(job, why, keep={LATENTS, DECODING})
        else:
            self.fail(job, KinoraError(ErrorCode.WORKER_LOST))

    def recover_running(self, lane: Lane = "all") -> None:
        """Handles every job of a lane that is still marked as running while its worker is idle."""
        for job in self.store.running():
            if is_in_lane(lane, is_edit=job.edit is not None):
                self.worker_lost(job)

    def requeue(
        self,
        job: Job,
        why: str,
        *,
        refund_attempt: bool = False,
        keep: Collection[str] = (LATENTS,),
    ) -> None:
        """Queues a running job again. `keep` names the files that stay: with the latents, the next
        attempt does not sample again."""
        self._clear(job, keep)
        self.store.move(
            job.id,
            State.RUNNING,
            State.QUEUED,
            Requeued(why),
            refund_attempt=refund_attempt,
            run=job.started_at,
        )

    # -- artifacts ---------------------------------------------------------------------------------

    def finished_result(self, job_id: str) -> Result | None:
        """The result in the manifest, if all of the clip's files are there and complete."""
        try:
            result = Result.model_validate_json(self.artifacts.manifest(job_id) or b"")
        except (ValidationError, json.JSONDecodeError):
            return None
        others = (result.poster, result.last_frame)
        if any(self.artifacts.size(job_id, name) is None for name in others):
            return None
        size = self.artifacts.size(job_id, result.clip)
        is_complete = size is not None and size in (result.size_bytes, result.unsigned_size_bytes)
        return result if is_complete else None

    def is_sampled(self, job_id: str) -> bool:
        """The latents are stored: of a long clip, those of one window."""
        return bool(self.artifacts.size(job_id, LATENTS))

    def has_windows(self, job_id: str) -> bool:
        """Of a long clip, some windows are finished."""
        return bool(self.artifacts.size(job_id, window_file(1, "record")))

    def has_checkpoint(self, job_id: str) -> bool:
        """Not all of it has to be made again."""
        return self.is_sampled(job_id) or self.has_windows(job_id)

    def _clear(self, job: Job, keep: Collection[str] = ()) -> None:
        """Removes the files of this run, unless another worker has the job by now: then they
        belong to that one."""
        now = self.store.get(job.id)
        if now and (now.state, now.started_at) == (State.RUNNING, job.started_at):
            if keep and (
                self.has_windows(job.id)
                or any(self.artifacts.size(job.id, name) is not None for name in keep)
            ):
                self.artifacts.strip(job.id, frozenset(keep), WINDOWS)
            else:
                self.artifacts.remove(job.id)
