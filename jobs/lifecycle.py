"""The desk where executors take work and report: the only way a worker changes a job.

Knows the store, the log, the estimator and the artifact folders. Knows no executor and no visitor.
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
from jobs.artifacts import MANIFEST as MANIFEST  # also for those who know the desk only
from jobs.artifacts import Artifacts
from jobs.checkpoint import DECODING, LATENTS, is_worth_keeping, with_note
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
from jobs.job import Asked, Job, Result, State
from jobs.store import JobStore
from pipelines.preview import Preview

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 2


class JobLifecycle:
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
        self.pictures = self.artifacts.given
        self._resting = False
        self.judge_waiting: Callable[[], None] = lambda: None
        """Called by an executor once it is known what its worker computes on: clips that were
        accepted by a guess of that are looked at again."""

    def folder(self, job_id: str) -> Path:
        return self.artifacts.folder(job_id)

    # -- for executors ---------------------------------------------------------------------------

    def claim(self, among: Collection[str] | None = None) -> Job | None:
        """The next job in turn, now running; `among` limits whose turn it can be."""
        return None if self._resting else self.store.claim(among)

    def rest(self) -> None:
        """Nobody gets new work here any more."""
        self._resting = True

    def asked(self, job_id: str) -> Asked | None:
        job = self.store.get(job_id)
        return job.asked if job else None

    def progress(self, job: Job, event: WorkerEvent | WaitingForGpu) -> None:
        """Stores what the worker reports of a running job."""
        match event:
            case Preview():  # the JPEG stays in memory, out of the database
                kept = self.events.keep_preview(job.id, event)
                self.store.append(job.id, PreviewReady.of(kept))
            case Fallback():  # another model makes it: the job says so from now on
                if event.fitted:
                    self.store.refit(job.id, event.fitted)
                self.store.append(job.id, replace(event, fitted=None))
            case StepDone(eta_s=float() | int() as sampling_s):
                tail_s = self.estimator.estimate(job.fitted).tail_s
                eta_s = round(sampling_s + tail_s, 1)
                self.store.append(job.id, replace(event, eta_s=eta_s))
            case StepDone() | WaitingForGpu() | Loading() | Decoding() | Encoding():
                self.store.append(job.id, event)
            case _:
                assert_never(event)

    def succeed(self, job: Job, result: Result) -> None:
        self.artifacts.drop(job.id, LATENTS)
        self.artifacts.keep(job.id)
        # learned before it is told, so that whoever hears of it gets the better estimate
        made = self.store.get(job.id) or job
        self.estimator.learn(made.model_copy(update={"result": result}))
        done = self.store.move(
            job.id,
            State.RUNNING,
            State.SUCCEEDED,
            Succeeded(result.seconds, result.finished_early),
            result=result,
            unless_asked="discard",
            run=job.started_at,
        )
        if not done:
            self.cancelled(job)

    def fail(self, job: Job, error: KinoraError) -> None:
        if isinstance(error, Cancelled) or self.asked(job.id) == "discard":
            self.cancelled(job)
            return
        if is_worth_keeping(error) and self.is_sampled(job.id):
            error = with_note(error)
            self._clear(job, but={LATENTS, DECODING})
        else:
            self._clear(job)
        self.store.move(
            job.id,
            State.RUNNING,
            State.FAILED,
            Failed.of(error),
            run=job.started_at,
        )

    def cancelled(self, job: Job) -> None:
        self._clear(job)
        self.store.move(job.id, State.RUNNING, State.CANCELLED, JobCancelled(), run=job.started_at)

    def give_up(self, job_id: str, error: KinoraError) -> None:
        """A clip that waits is not made any more; nothing happens to one that runs or has ended."""
        if self.store.move(job_id, State.QUEUED, State.FAILED, Failed.of(error)):
            self.artifacts.remove(job_id)

    def lost(self, job: Job) -> None:
        """Whoever worked on it is gone: kept if its clip is whole, else done again, once."""
        result = self.finished_result(job.id)
        if job.asked == "discard" or self.asked(job.id) == "discard":
            self.cancelled(job)
        elif result:
            self.succeed(job, result)
        elif job.attempts < MAX_ATTEMPTS:
            again = "The worker stopped; the clip is made again from the start."
            if self.is_sampled(job.id):
                again = "The worker stopped; decoding is retried."
            self.requeue(job, again, but={LATENTS, DECODING})
        else:
            self.fail(job, KinoraError(ErrorCode.WORKER_LOST))

    def settle(self) -> None:
        """Clips that are said to run while nobody is at work: kept if whole, else made again."""
        for job in self.store.running():
            self.lost(job)

    def requeue(
        self,
        job: Job,
        why: str,
        *,
        refund_attempt: bool = False,
        but: Collection[str] = (LATENTS,),
    ) -> None:
        """`but` names the files that stay: with the latents, nothing is sampled again."""
        self._clear(job, but)
        self.store.move(
            job.id,
            State.RUNNING,
            State.QUEUED,
            Requeued(why),
            refund_attempt=refund_attempt,
            run=job.started_at,
        )

    # -- artifacts -------------------------------------------------------------------------------

    def finished_result(self, job_id: str) -> Result | None:
        """The result a worker left, if every file of it is there and whole."""
        try:
            result = Result.model_validate_json(self.artifacts.manifest(job_id) or b"")
        except (ValidationError, json.JSONDecodeError):
            return None
        others = (result.poster, result.last_frame)
        if any(self.artifacts.size(job_id, name) is None for name in others):
            return None
        is_whole = self.artifacts.size(job_id, result.clip) == result.size_bytes
        return result if is_whole else None

    def is_sampled(self, job_id: str) -> bool:
        """What was sampled is there, and only the frames must be decoded."""
        return bool(self.artifacts.size(job_id, LATENTS))

    def _clear(self, job: Job, but: Collection[str] = ()) -> None:
        """Unless it was given up meanwhile and somebody else makes it now."""
        now = self.store.get(job.id)
        if now and (now.state, now.started_at) == (State.RUNNING, job.started_at):
            if but and any(self.artifacts.size(job.id, name) is not None for name in but):
                self.artifacts.strip(job.id, frozenset(but))
            else:
                self.artifacts.remove(job.id)
