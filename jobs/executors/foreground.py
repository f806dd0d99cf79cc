"""ForegroundExecutor: a clip is made right here, in the thread that asks. For the command line.

It takes no work of its own: `run` makes one job, named by whoever waits for it. Knows the desk.
"""

from __future__ import annotations

from typing import Any

from errors import ErrorCode, KinoraError
from jobs.desk import Desk
from jobs.executors.base import Health
from jobs.executors.drivers import Drivers
from jobs.job import Asked, Job
from jobs.run import run_job
from pipelines.cards import load_cards
from settings import Settings


class GoOn:
    """Nobody asks anything of the clip: who wants it to end interrupts the thread."""

    def cancelled(self) -> bool:
        return False

    def finish_now(self) -> bool:
        return False


class ForegroundExecutor:
    needs_request = False
    drivers: Drivers | None = None

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self, desk: Desk, job_id: str) -> None:
        """Returns when the clip has ended, well or not. An interrupt discards it and goes up,
        but leaves what an earlier attempt had sampled."""
        job = desk.claim({job_id})
        if job is None:
            return
        was_sampled = desk.is_sampled(job_id)

        def emit(kind: str, data: dict[str, Any]) -> None:
            desk.progress(job, kind, data)

        try:
            from pipelines.manager import PipelineManager

            manager = PipelineManager(load_cards(self._settings.models_dir), self._settings)
            folder = desk.folder(job.id)
            result = run_job(job, manager, emit, GoOn(), folder, desk.pictures, self._settings)
        except KinoraError as error:
            desk.fail(job, error)
        except BaseException:
            if was_sampled:
                desk.fail(job, KinoraError(ErrorCode.WORKER_LOST, "It was stopped in the middle."))
            else:
                desk.cancelled(job)
            raise
        else:
            desk.succeed(job, result)

    # -- what every executor offers --------------------------------------------------------------

    def start(self, desk: Desk) -> None:
        """Nothing to begin with."""

    def notify(self) -> None:
        """Work is done when `run` is called."""

    def ask(self, job_id: str, what: Asked) -> None:
        """Nobody else can ask."""

    def drive(self, job_id: str) -> None:
        """Nothing to lend."""

    def resume(self, job: Job) -> bool:
        return False  # the worker went with its server

    def health(self) -> Health:
        return Health(state="ready")

    def close(self, grace_s: float) -> None:
        """Nothing runs any more."""
