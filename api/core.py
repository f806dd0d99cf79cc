"""What all routes of the API share: the service, the caller, their jobs, submitting a request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request

from api import request_body
from errors import ErrorCode, KinoraError
from jobs.batch import BatchState
from jobs.job import Job
from web.identity import Caller

if TYPE_CHECKING:
    from jobs.service import JobService
    from web.limits import ClipLimits


JobId = Annotated[str, "32 hexadecimal digits"]


async def identify_caller(request: Request) -> Caller:  # async: it needs no thread
    return request.app.state.callers.identify(request)


IdentifiedCaller = Annotated[Caller, Depends(identify_caller)]

NO_QUOTA = (
    "This Space makes clips with the caller's own GPU quota, and this call came without the Hub's "
    "token for it (X-IP-Token). Use the page, gradio_client or the Space's hf.space address."
)


class ApiContext:
    """The service as one caller may use it."""

    def __init__(self, service: JobService, limits: ClipLimits) -> None:
        self.service = service
        self.limits = limits

    async def get_job_in_thread(self, job_id: str, caller: Caller) -> Job:
        return await in_thread(self.get_job, job_id, caller)

    def get_job(self, job_id: str, caller: Caller) -> Job:
        """Raises KinoraError(NOT_FOUND) if the caller may not see it."""
        job = self.service.get(job_id)
        if not caller.may_see(job):
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
        self.service.use_quota(job, caller.quota)
        return job

    def find_batch(self, batch_id: str, caller: Caller) -> BatchState:
        """Raises KinoraError(NOT_FOUND) if the caller may not see it."""
        found = self.service.find_batch(batch_id)
        if not caller.may_see(found.jobs[0]):
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such batch here.")
        self.use_quota(found.jobs, caller)
        return found

    def use_quota(self, jobs: Sequence[Job], caller: Caller) -> None:
        """Clips that wait for a GPU use the quota of a caller who reads their state (ZeroGPU)."""
        for job in jobs:
            self.service.use_quota(job, caller.quota)

    @contextmanager
    def counted_clips(
        self, caller: Caller, clips: int = 1, *, needs_gpu: bool = True
    ) -> Iterator[dict[str, str]]:
        """Counts clips against the caller's rate limit and yields the RateLimit headers; if they
        are refused inside, they do not count. Raises KinoraError: RATE_LIMITED, or UNAVAILABLE
        without the GPU quota that is needed."""
        if needs_gpu and self.service.needs_request and not caller.quota:
            raise KinoraError(ErrorCode.UNAVAILABLE, NO_QUOTA)
        headers = self.limits.take(caller.limited_as, clips)
        try:
            yield headers
        except KinoraError:
            self.limits.give_back(caller.limited_as, clips)
            raise

    async def submit(
        self, parsed: request_body.ParsedRequest, caller: Caller, parent: str | None = None
    ) -> tuple[Job, dict[str, str]]:
        """The accepted job and the RateLimit headers."""
        return await in_thread(self.accept, parsed, caller, parent)

    def accept(
        self, parsed: request_body.ParsedRequest, caller: Caller, parent: str | None = None
    ) -> tuple[Job, dict[str, str]]:
        with self.counted_clips(caller) as headers:
            job = self.service.submit(
                parsed.request,
                caller.owner,
                idempotency_key=parsed.once,
                reuse=parsed.reuse,
                parent=parent,
            )
        self.service.use_quota(job, caller.quota)
        return job, headers
