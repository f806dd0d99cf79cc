"""What every executor offers to the service.

Knows the desk where work is taken and reported. Does not know pages, visitors or HTTP.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from pydantic import BaseModel

from jobs.event_types import LoadingJson
from jobs.job import Asked, Job
from jobs.lifecycle import JobLifecycle
from jobs.zerogpu_requests import Drivers
from pipelines.planning import Device

WorkerState = Literal["starting", "ready", "busy", "setup_failed", "defunct"]


class Health(BaseModel):
    """starting: models load. setup_failed: they did not. defunct: the worker does not come up."""

    state: WorkerState
    worker_pid: int | None = None
    job_id: str | None = None
    loading: LoadingJson = None
    error: dict[str, Any] | None = None
    restarts: int = 0
    workers: int = 1
    device: Device | None = None
    """What the worker computes on, by its own word; None until it has said so."""


class Executor(Protocol):
    needs_request: bool
    """True where a job can only run with the web request of somebody who drives it (ZeroGPU)."""

    in_foreground: bool
    """True where a clip belongs to the process that makes it, and ends with it."""

    drivers: Drivers | None
    """The web requests that clips have been given, where they need one."""

    def start(self, desk: JobLifecycle) -> None:
        """Begins to take work. Returns at once, except where models must load first."""
        ...

    def notify(self) -> None:
        """There may be new work."""
        ...

    def ask(self, job_id: str, what: Asked) -> None:
        """Passes on what a person asked of a running job; the store has it already."""
        ...

    def drive(self, job_id: str, quota: str | None = None) -> None:
        """Gives the current web request, or a caller's quota token, to a job that needs one; the
        newest counts."""
        ...

    def resume(self, job: Job) -> bool:
        """True if its worker may still be at it though its server is gone; it is ours then."""
        ...

    def health(self) -> Health: ...

    def close(self, grace_s: float) -> None:
        """Takes no more work; what runs gets `grace_s` to end, else it goes back to the queue."""
        ...
