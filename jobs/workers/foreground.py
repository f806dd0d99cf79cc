"""ForegroundExecutor: a clip is made right here, in the thread that asks. For the command line.

It takes no work of its own: `run` makes one job, named by whoever waits for it. Knows the desk.
"""

from __future__ import annotations

import contextlib
import time

from errors import ErrorCode, KinoraError
from jobs.event_types import WorkerEvent
from jobs.executor import Health
from jobs.job import Asked, Job, State
from jobs.lifecycle import JobLifecycle
from jobs.recovery import end_command
from jobs.workers.run import run_job
from jobs.zerogpu_requests import Drivers
from pipelines.models.cards import load_cards
from pipelines.planning import Device
from settings import Settings

LOOK_S = 1.0


class PolledStopRequests:
    """What a server that shares the database was asked of the clip. Who typed the command
    interrupts the thread instead."""

    def __init__(self, desk: JobLifecycle, job_id: str) -> None:
        self._desk, self._job_id = desk, job_id
        self._looked_at = time.monotonic()
        self._asked: Asked | None = None

    def cancelled(self) -> bool:
        return self._look() == "discard"

    def finish_now(self) -> bool:
        return self._look() == "finish"

    def _look(self) -> Asked | None:
        if time.monotonic() - self._looked_at >= LOOK_S:
            self._looked_at = time.monotonic()
            with contextlib.suppress(KinoraError):  # the database is away for a moment
                self._asked = self._desk.stop_request(self._job_id)
        return self._asked


class ForegroundExecutor:
    needs_request = False
    in_foreground = True
    drivers: Drivers | None = None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._device: Device | None = None
        self._desk: JobLifecycle

    def find_device(self) -> Device:
        """Imports torch, and looks again at what was accepted without it."""
        from pipelines.engine.device import torch_device

        self._device = torch_device()
        self._desk.check_queued()
        return self._device

    def run(self, job_id: str) -> None:
        """Returns when the clip has ended, well or not. An interrupt discards it and goes up,
        but leaves what an earlier attempt had sampled."""
        desk = self._desk
        job = desk.claim({job_id})
        if job is None:
            return
        was_sampled = desk.is_sampled(job_id)

        def emit(event: WorkerEvent) -> None:
            desk.progress(job, event)

        try:
            from pipelines.engine.manager import PipelineManager

            manager = PipelineManager(load_cards(self._settings.models_dir), self._settings)
            folder = desk.folder(job.id)
            stop = PolledStopRequests(desk, job.id)
            result = run_job(job, manager, emit, stop, folder, desk.pictures, self._settings)
        except KinoraError as error:
            desk.fail(job, error)
        except BaseException:
            if was_sampled:
                desk.fail(job, KinoraError(ErrorCode.WORKER_LOST, "It was stopped in the middle."))
            else:
                desk.cancel(job)
            raise
        else:
            desk.succeed(job, result)

    def end(self) -> None:
        """After an interrupt: a clip that was accepted and not begun must not wait for a server."""
        desk = self._desk
        for job in desk.store.unfinished(desk.store.server):
            if desk.is_sampled(job.id):  # it was to be developed again
                end_command(desk, desk.store.server)
            elif job.state is State.QUEUED:
                desk.cancel_queued(job.id)
            else:
                desk.cancel(job)

    # -- what every executor offers --------------------------------------------------------------

    def start(self, desk: JobLifecycle) -> None:
        """Claims nothing by itself: `run` is called for each job."""
        self._desk = desk

    def notify(self) -> None:
        """Work is done when `run` is called."""

    def ask(self, job_id: str, what: Asked) -> None:
        """The thread that makes the clip looks into the database."""

    def drive(self, job_id: str, quota: str | None = None) -> None:
        """Nothing to lend."""

    def resume(self, job: Job) -> bool:
        return False  # the worker went with its server

    def health(self) -> Health:
        return Health(state="ready", device=self._device)

    def close(self, grace_s: float) -> None:
        """Nothing runs any more."""
