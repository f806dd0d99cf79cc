"""Executor: the protocol between the service and what runs the jobs."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from pydantic import BaseModel

from jobs.event_types import LoadingJson
from jobs.job import Job, WorkerStop
from jobs.lifecycle import JobLifecycle
from jobs.zerogpu_requests import Drivers
from pipelines.planning import Device

WorkerState = Literal["starting", "ready", "busy", "setup_failed", "defunct"]


class ExecutorHealth(BaseModel):
    """starting: models are loading. setup_failed: loading failed. defunct: the worker repeatedly
    died before it was ready."""

    state: WorkerState
    worker_pid: int | None = None
    job_id: str | None = None
    loading: LoadingJson = None
    error: dict[str, Any] | None = None
    restarts: int = 0
    workers: int = 1
    device: Device | None = None
    """What the worker computes on; None until it has reported it."""


class Executor(Protocol):
    needs_request: bool
    """True where a job needs a caller's web request for its GPU quota (ZeroGPU)."""

    in_foreground: bool
    """True where jobs end with the process that runs them (the command line)."""

    has_lanes: bool
    """True where an edit and a clip run at the same time."""

    drivers: Drivers | None
    """The web requests of the jobs, where they need one."""

    def start(self, lifecycle: JobLifecycle, /) -> None:
        """Starts to claim jobs. Returns at once, except where models must load first."""
        ...

    def notify(self) -> None:
        """The queue may have new jobs."""
        ...

    def request_stop(self, job_id: str, what: WorkerStop) -> None:
        """Passes a stop request on to the worker of a running job; the store has it already."""
        ...

    def drive(self, job_id: str, quota: str | None = None) -> None:
        """A job that needs a web request uses the current one, or a caller's quota token, from now
        on."""
        ...

    def resume(self, job: Job) -> bool:
        """True if the worker of a job that was taken over may still be running; then this executor
        is responsible for it."""
        ...

    def health(self) -> ExecutorHealth: ...

    def close(self, grace_s: float) -> None:
        """Claims no more jobs; a running one gets `grace_s` seconds, else it is queued again."""
        ...
