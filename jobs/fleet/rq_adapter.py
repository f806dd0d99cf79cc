"""An RQ worker that runs in this process, with one queue and one function.

Overrides parts of RQ 2.12 (pinned in requirements-scale.txt). The stock SimpleWorker sends no
heartbeat while it works and ignores the stop command, and any RQ worker imports and calls whatever
a job names. This can go when RQ has such a worker.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty

from jobs.fleet.protocol import queue_name

Make = Callable[[str, str], None]
"""(job id, ticket id): runs the job and reports on it; handles its own errors."""


class NoDeathPenalty(BaseDeathPenalty):
    """`run_job` keeps the timeout itself and ends between two steps, not in the middle of one."""

    def setup_death_penalty(self) -> None: ...

    def cancel_death_penalty(self) -> None: ...


class ClipJob(RqJob):
    """The function and the callbacks that it names are never imported."""

    make: Make | None = None

    def _execute(self) -> None:
        if self.make is None:
            raise ValueError("only a WarmWorker runs jobs")
        self.make(str(self.args[0]), self.id)

    def execute_success_callback(self, *_: Any) -> None: ...

    def execute_failure_callback(self, *_: Any) -> None: ...

    def execute_stopped_callback(self, *_: Any) -> None: ...

    def send_webhooks(self, *_: Any, **__: Any) -> None: ...


class WarmWorker(SimpleWorker):
    job_class = ClipJob
    death_penalty_class = NoDeathPenalty
    max_connection_wait_time = 2.0

    def __init__(
        self,
        name: str,
        redis: Redis,
        make: Make,
        discard: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        self._make = make
        self._discard = discard
        self._stop = stop
        self._job: RqJob | None = None
        super().__init__(
            [queue_name(name)],
            name=name,
            connection=redis,
            serializer=JSONSerializer,
            worker_ttl=30,
            log_job_description=False,
        )

    def execute_job(self, job: RqJob, queue: Queue) -> None:
        if not isinstance(job, ClipJob):
            raise TypeError("job_class must be ClipJob")
        job.make = self._make
        self._job = job
        try:
            super().execute_job(job, queue)
        finally:
            self._job = self._stopped_job_id = None

    def send_heartbeat(self) -> None:
        """RQ's own heartbeat, called from another thread while a job runs."""
        job = self._job
        if job and self.execution:
            with contextlib.suppress(AttributeError):  # the job has just ended
                self.maintain_heartbeats(job)

    def get_heartbeat_ttl(self, job: RqJob) -> int:
        return 15

    def kill_horse(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Called for RQ's stop command."""
        self._discard()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Needs no Redis, unlike the stock method, which could raise in the middle of a clip."""
        self._stop_requested = True  # read before the next wait, if the exception gets lost
        self._stop()
        if self._job is None:
            raise StopRequested

    def end(self) -> None:
        """Stops the pubsub thread, which RQ leaves running after an error."""
        if self.pubsub_thread:
            self.pubsub_thread.stop()
