"""What every route of the API needs: the service, the caller, and how a request is submitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request

from api import request_body
from errors import ErrorCode, KinoraError
from jobs.job import Job
from web.identity import Caller

if TYPE_CHECKING:
    from jobs.service import JobService
    from web.limits import ClipLimits


JobId = Annotated[str, "32 hexadecimal digits"]


async def identified(request: Request) -> Caller:  # no thread is needed for it
    return request.app.state.callers.identify(request)


Who = Annotated[Caller, Depends(identified)]

NOBODYS_QUOTA = (
    "This Space makes clips with the caller's own GPU quota, and this call came without the Hub's "
    "token for it (X-IP-Token). Use the page, gradio_client or the Space's hf.space address."
)


class ApiContext:
    """What several doors need: the caller's job, and handing one in."""

    def __init__(self, service: JobService, limits: ClipLimits) -> None:
        self.service = service
        self.limits = limits

    async def job(self, job_id: str, caller: Caller) -> Job:
        return await in_thread(self.look, job_id, caller)

    def look(self, job_id: str, caller: Caller) -> Job:
        job = self.service.get(job_id)
        if not caller.may_see(job):
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
        self.service.use_quota(job, caller.quota)
        return job

    def lend(self, jobs: Sequence[Job], caller: Caller) -> None:
        """A caller who looks at clips that wait for a GPU drives them (ZeroGPU)."""
        for job in jobs:
            self.service.use_quota(job, caller.quota)

    def take(self, caller: Caller, clips: int = 1) -> dict[str, str]:
        """Headers that say what the caller has left, or a refusal."""
        if self.service.needs_request and not caller.quota:
            raise KinoraError(ErrorCode.UNAVAILABLE, NOBODYS_QUOTA)
        return self.limits.take(caller.limited_as, clips)

    async def submit(
        self, asked: request_body.ParsedRequest, caller: Caller, parent: str | None = None
    ) -> tuple[Job, dict[str, str]]:
        """The accepted job, and headers that say what the caller has left."""
        return await in_thread(self.accept, asked, caller, parent)

    def accept(
        self, asked: request_body.ParsedRequest, caller: Caller, parent: str | None = None
    ) -> tuple[Job, dict[str, str]]:
        left = self.take(caller)
        job = self.service.submit(
            asked.request,
            caller.owner,
            idempotency_key=asked.once,
            reuse=asked.reuse,
            parent=parent,
        )
        self.service.use_quota(job, caller.quota)
        return job, left
