"""RQ's worker as we need it: in this process, one queue, and never anybody else's code.

What stands here overrides RQ 2.12 (pinned in requirements-scale.txt). The stock SimpleWorker shows
no sign of life while it works and ignores the stop command; and any RQ worker imports and calls
whatever a job names. Ours calls one function. Can go when RQ has a worker like that.
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
"""(job id, ticket id): makes the clip and tells about it; raises nothing that is expected."""


class NoDeathPenalty(BaseDeathPenalty):
    """Time is kept in run_job, which ends between two steps and not in the middle of one."""

    def setup_death_penalty(self) -> None: ...

    def cancel_death_penalty(self) -> None: ...


class ClipJob(RqJob):
    """What it names as function or callback is never looked up."""

    make: Make | None = None

    def _execute(self) -> None:
        if self.make is None:
            raise ValueError("only a WarmWorker makes clips")
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
            raise TypeError("job_class says otherwise")
        job.make = self._make
        self._job = job
        try:
            super().execute_job(job, queue)
        finally:
            self._job = self._stopped_job_id = None

    def show_life(self) -> None:
        """RQ's own heartbeat, called from another thread while a job runs."""
        job = self._job
        if job and self.execution:
            with contextlib.suppress(AttributeError):  # it ended this very moment
                self.maintain_heartbeats(job)

    def get_heartbeat_ttl(self, job: RqJob) -> int:
        return 15

    def kill_horse(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Reached by RQ's stop command."""
        self._discard()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Without Redis, which may be away: the stock one would raise in the middle of a clip."""
        self._stop_requested = True  # read before it waits again, should what is raised get lost
        self._stop()
        if self._job is None:
            raise StopRequested

    def end(self) -> None:
        """After an error, where RQ leaves its listening thread behind."""
        if self.pubsub_thread:
            self.pubsub_thread.stop()
