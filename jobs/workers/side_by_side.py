"""SideBySideExecutor: runs edits beside clips, so that neither waits for the other.

An edit needs no model and no GPU. One executor runs the clips, another one the edits, each one job
at a time; a queued job is claimed by the executor of its lane only.
"""

from __future__ import annotations

import threading
from typing import Protocol

from jobs.executor import Executor, ExecutorHealth
from jobs.job import Job, WorkerStop
from jobs.lifecycle import JobLifecycle
from jobs.queue import Lane
from jobs.workers import edit_process
from jobs.workers.process import ProcessExecutor
from settings import Settings


class ClipExecutor(Protocol):
    """The class of an executor that makes clips."""

    def __call__(self, settings: Settings, *, lane: Lane) -> Executor: ...


def run_side_by_side(clips: ClipExecutor, settings: Settings) -> Executor:
    """Edits run beside clips, unless the server has a model for edits: it uses the GPU, which
    belongs to one job at a time."""
    if settings.interpolation_model or settings.upscale_model:
        return clips(settings, lane="all")
    edits = ProcessExecutor(settings, edit_process.MODULE, "edits")
    return SideBySideExecutor(clips(settings, lane="clips"), edits)


class SideBySideExecutor:
    in_foreground = False
    has_lanes = True

    def __init__(self, clips: Executor, edits: Executor) -> None:
        """Each must claim the jobs of its own lane only."""
        self._clips, self._edits = clips, edits
        self.needs_request = clips.needs_request
        self.drivers = clips.drivers

    def start(self, lifecycle: JobLifecycle) -> None:
        self._edits.start(lifecycle)  # first: on ZeroGPU the other one loads the models before
        self._clips.start(lifecycle)

    def notify(self) -> None:
        self._edits.notify()
        self._clips.notify()

    def request_stop(self, job_id: str, what: WorkerStop) -> None:
        is_edit = self._edits.health().job_id == job_id
        (self._edits if is_edit else self._clips).request_stop(job_id, what)

    def drive(self, job_id: str, quota: str | None = None) -> None:
        self._clips.drive(job_id, quota)  # an edit needs no GPU
        self._edits.notify()

    def resume(self, job: Job) -> bool:
        return self._clips.resume(job)

    def health(self) -> ExecutorHealth:
        """Of the worker that makes clips: the other one starts with the first edit."""
        return self._clips.health()

    def close(self, grace_s: float) -> None:
        edits = threading.Thread(target=self._edits.close, args=(grace_s,), name="close-edits")
        edits.start()
        self._clips.close(grace_s)
        edits.join()
