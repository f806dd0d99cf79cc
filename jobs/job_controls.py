"""JobControls: cancels, finishes, deletes and retries the jobs that there are.

The part of `JobService` that changes a job and accepts none.
"""

from __future__ import annotations

import contextlib

from errors import ErrorCode, KinoraError
from jobs.admission import Admission
from jobs.clip_removal import ClipRemover
from jobs.disk_reserve import refuse_if_full
from jobs.job import Job, State, StopRequest, for_worker
from jobs.lifecycle import JobLifecycle
from jobs.moderation import Moderation
from jobs.queries import JobQueries
from settings import Settings


class JobControls(JobQueries):
    """Thread-safe. `owner=None` skips the owner check, as in `JobQueries`. The attributes are set
    by `JobService`."""

    settings: Settings
    moderation: Moderation
    _lifecycle: JobLifecycle
    _admission: Admission
    _remover: ClipRemover
    _paused: bool

    def cancel(self, job_id: str, owner: str | None = None) -> Job:
        """Discards a job: at once if it is queued, within a step if it runs. Idempotent."""
        job = self.get(job_id, owner)
        while not job.state.ended:
            if job.state is State.QUEUED:
                self._lifecycle.cancel_queued(job_id)
            elif self._request_stop(job, "discard"):
                return self.get(job_id, owner)
            job = self.get(job_id, owner)  # it has changed its state meanwhile
        return job

    def finish(self, job_id: str, owner: str | None = None) -> Job:
        """Finishes a running job now: its clip is made from the last step's estimate, a long one
        ends after the present window. One that failed or waits again after a window is made of
        those that are finished. Raises KinoraError(CONFLICT) for other queued ones, for an edit,
        and as `retry_decode`."""
        job = self.get(job_id, owner)
        if job.edit and not job.state.ended:
            raise KinoraError(
                ErrorCode.CONFLICT, "An edit cannot be finished early: wait for it, or discard it."
            )
        if job.state is State.QUEUED and self._lifecycle.has_windows(job_id):
            self._lifecycle.end_with_windows(job_id)
        elif job.state is State.QUEUED:
            raise KinoraError(
                ErrorCode.CONFLICT, "There is nothing to keep yet: the clip has not begun."
            )
        if job.state is State.RUNNING and job.asked is None:
            self._request_stop(job, "finish")
        if job.state is State.RUNNING and job.asked == "redo_part":
            self._lifecycle.end_with_windows(job_id)  # it is about to be queued again
        if job.state is State.FAILED and self._lifecycle.has_windows(job_id):
            return self._queue_again(job, owner, finish=True)
        return self.get(job_id, owner)

    def redo_part(self, job_id: str, owner: str | None = None) -> Job:
        """Discards the present part of a running long clip and makes it again, with another seed;
        the finished parts are kept. Raises KinoraError(CONFLICT) for any other job."""
        job = self.get(job_id, owner)
        if job.fitted.windows is None or job.edit:
            sentence = "This clip is made in one part: discard it, or wait and make it again."
            raise KinoraError(ErrorCode.CONFLICT, sentence)
        if job.state is not State.RUNNING or not self._request_stop(job, "redo_part"):
            sentence = "No part of this clip is being made now, so none can be made again."
            raise KinoraError(ErrorCode.CONFLICT, sentence)
        return self.get(job_id, owner)

    def delete(self, job_id: str, owner: str | None = None) -> None:
        """Removes a job, its events and its files. A queued one is discarded first. Raises
        KinoraError(CONFLICT) for a running one."""
        job = self.get(job_id, owner)
        if job.state is State.QUEUED:
            job = self.cancel(job_id, owner)
        if not self._remover.remove(job):
            raise KinoraError(ErrorCode.CONFLICT, "The clip is still being made: discard it first.")

    def can_retry_decode(self, job_id: str, owner: str | None = None) -> bool:
        """It failed after sampling, and its latents are still stored; or, of a long one, finished
        windows."""
        job = self.get(job_id, owner)
        return job.state is State.FAILED and self._lifecycle.has_checkpoint(job_id)

    def retry_decode(self, job_id: str, owner: str | None = None) -> Job:
        """Queues a failed job again, to decode its stored latents without sampling; a long one is
        continued from its finished windows. Returns the job unchanged if it is queued or running
        already. Raises KinoraError: CONFLICT if it did not fail or nothing is stored, UNAVAILABLE,
        QUEUE_FULL."""
        job = self.get(job_id, owner)
        if not job.state.ended:
            return job
        if job.state is not State.FAILED:
            raise KinoraError(ErrorCode.CONFLICT, "Only a failed clip can be decoded again.")
        if not self._lifecycle.has_checkpoint(job_id):
            raise KinoraError(
                ErrorCode.CONFLICT,
                "Nothing of this clip was kept: make it again from the start.",
            )
        return self._queue_again(job, owner)

    def _queue_again(self, job: Job, owner: str | None, *, finish: bool = False) -> Job:
        if self._paused or self._executor.health().state == "defunct":
            raise KinoraError(ErrorCode.UNAVAILABLE)
        queued = self._store.unfinished_here().get(State.QUEUED, 0) - len(self.idle())
        if queued >= self.settings.max_queue:
            raise KinoraError(ErrorCode.QUEUE_FULL)
        self._admission.check_allowed(job.fitted)
        requeued = self._lifecycle.retry_decode(job.id, finish=finish)
        self._executor.notify()
        return requeued or self.get(job.id, owner)

    def refuse_if_full(self) -> None:
        """Raises KinoraError where a clip or the database could not be written."""
        folders = (self.settings.data_dir, self._artifacts.root, self._store.database.folder)
        refuse_if_full(*filter(None, folders))

    def _refuse_new(self, owner: str) -> None:
        """Raises KinoraError where nothing can be accepted of this owner now."""
        self.refuse_if_full()
        self.moderation.refuse_blocked(owner)
        health = self._executor.health()
        if self._paused or health.state == "defunct":
            raise KinoraError(ErrorCode.UNAVAILABLE, (health.error or {}).get("message"))

    def _request_stop(self, job: Job, what: StopRequest) -> bool:
        """True if the request is stored, now or earlier; False if the job does not run any more."""
        if job.asked == "discard":
            return True
        if not self._store.request_stop(job.id, what):
            return False
        with contextlib.suppress(OSError):  # the store has it; the worker may be gone
            self._executor.request_stop(job.id, for_worker(what))
        return True
