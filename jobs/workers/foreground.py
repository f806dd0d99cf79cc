"""ForegroundExecutor, for the command line: runs a job in the calling thread.

It claims no jobs by itself: `run` claims and runs the one that it is given.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from errors import ErrorCode, KinoraError
from jobs.event_types import WorkerEvent
from jobs.executor import ExecutorHealth
from jobs.job import Job, State, WorkerStop
from jobs.lifecycle import JobLifecycle
from jobs.recovery import end_command
from jobs.workers.run import run_job
from jobs.zerogpu_requests import Drivers
from pipelines.models.cards import load_cards
from pipelines.planning import Device
from settings import Settings

if TYPE_CHECKING:
    from pipelines.engine.manager import PipelineManager

POLL_S = 1.0


class PolledStopRequests:
    """Reads stop requests from the database, where another process may have stored them. The person
    at the terminal interrupts the thread instead."""

    def __init__(self, lifecycle: JobLifecycle, job_id: str) -> None:
        self._lifecycle, self._job_id = lifecycle, job_id
        self._read_at = time.monotonic()
        self._stop_request: WorkerStop | None = None

    def cancelled(self) -> bool:
        return self._read() == "discard"

    def finish_now(self) -> bool:
        return self._read() == "finish"

    def _read(self) -> WorkerStop | None:
        if time.monotonic() - self._read_at >= POLL_S:
            self._read_at = time.monotonic()
            with contextlib.suppress(KinoraError):  # the database is unavailable for a moment
                self._stop_request = self._lifecycle.stop_request(self._job_id)
        return self._stop_request


class ForegroundExecutor:
    needs_request = False
    in_foreground = True
    has_lanes = False
    drivers: Drivers | None = None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._device: Device | None = None
        self._manager: PipelineManager | None = None
        self._lifecycle: JobLifecycle

    def find_device(self) -> Device:
        """Imports torch, and checks jobs again that were accepted before the device was known."""
        from pipelines.engine.torch_device import torch_device

        self._device = torch_device()
        self._lifecycle.check_queued()
        return self._device

    def run(self, job_id: str) -> None:
        """Returns when the job has ended, also if it failed. An interrupt discards the job and is
        raised again; latents of an earlier attempt are kept."""
        lifecycle = self._lifecycle
        job = lifecycle.claim({job_id})
        if job is None:
            return
        was_sampled = lifecycle.has_checkpoint(job_id)

        def emit(event: WorkerEvent) -> None:
            lifecycle.progress(job, event)

        try:
            manager = None if job.edit else self._loaded_manager()
            folder = lifecycle.folder(job.id)
            stop = PolledStopRequests(lifecycle, job.id)
            result = run_job(job, manager, emit, stop, folder, lifecycle.pictures, self._settings)
        except KinoraError as error:
            lifecycle.fail(job, error)
        except BaseException:
            if was_sampled:
                lifecycle.fail(
                    job, KinoraError(ErrorCode.WORKER_LOST, "The command was interrupted.")
                )
            else:
                lifecycle.cancel(job)
            raise
        else:
            lifecycle.succeed(job, result)

    def _loaded_manager(self) -> PipelineManager:
        """One for all jobs of a command, so that a model is loaded once."""
        from pipelines.engine.manager import PipelineManager

        if self._manager is None:
            cards = load_cards(self._settings.models_dir)
            self._manager = PipelineManager(cards, self._settings)
        return self._manager

    def end(self) -> None:
        """After an interrupt: cancels accepted jobs, which would otherwise wait for a server."""
        lifecycle = self._lifecycle
        for job in lifecycle.store.unfinished(lifecycle.store.server):
            if lifecycle.has_checkpoint(job.id):  # its decoding was to be retried
                end_command(lifecycle, lifecycle.store.server)
            elif job.state is State.QUEUED:
                lifecycle.cancel_queued(job.id)
            else:
                lifecycle.cancel(job)

    # -- Executor --------------------------------------------------------------------------------

    def start(self, lifecycle: JobLifecycle) -> None:
        """Claims nothing: `run` is called for each job."""
        self._lifecycle = lifecycle

    def notify(self) -> None:
        """Nothing to do: `run` is called for each job."""

    def request_stop(self, job_id: str, what: WorkerStop) -> None:
        """Nothing to do: the running job reads the database."""

    def drive(self, job_id: str, quota: str | None = None) -> None:
        """Nothing to do: it needs no web request."""

    def resume(self, job: Job) -> bool:
        return False  # the worker ended with its server

    def health(self) -> ExecutorHealth:
        return ExecutorHealth(state="ready", device=self._device)

    def close(self, grace_s: float) -> None:
        """No job is running; only the models are released."""
        if self._manager is not None:
            self._manager.close()
            self._manager = None
