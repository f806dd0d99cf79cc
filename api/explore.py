"""Drafts and comparisons: one request made in several ways, to choose from."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.requests import Request
from starlette.responses import Response

from api import batch_views, request_body, schemas
from api.batch_views import BatchEstimate, BatchView
from api.batches import accepted, as_json
from api.core import ApiContext, IdentifiedCaller, JobId
from api.idempotency import hashed_content, idempotency_key_of
from jobs.job import IdempotencyKey, Job
from pipelines.models.comparison import FIELD, parse_settings
from pipelines.models.drafts import FIELD as DRAFTS
from pipelines.models.drafts import USUAL_DRAFTS, parse_count
from pipelines.request import GenerationRequest
from pipelines.validation_errors import unusable
from web.addresses import address
from web.errors import ERRORS

if TYPE_CHECKING:
    from jobs.batch_plans import BatchPlan
    from jobs.service import JobService

Key = Annotated[str | None, Header(max_length=255)]
MakePlan = Callable[[], "BatchPlan"]


class Explore:
    def __init__(self, core: ApiContext) -> None:
        self.core = core
        self.service: JobService = core.service

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api", responses=ERRORS)

        def add(path: str, handler: Any, response: Any, status: int = 200) -> None:
            router.add_api_route(
                path,
                handler,
                methods=["POST"],
                operation_id=handler.__name__,
                status_code=status,
                response_model=response,
            )

        add("/drafts", self.drafts, BatchView, 202)
        add("/drafts/estimate", self.estimate_drafts, BatchEstimate)
        add("/comparisons", self.comparisons, BatchView, 202)
        add("/comparisons/estimate", self.estimate_comparison, BatchEstimate)
        add("/jobs/{job_id}/render", self.render, schemas.JobView, 202)
        add("/jobs/{job_id}/again", self.again, schemas.JobView, 202)
        return router

    # ---- drafts

    async def drafts(
        self, request: Request, caller: IdentifiedCaller, idempotency_key: Key = None
    ) -> Response:
        """Submit quick versions of a clip with different seeds: the body is that of a clip, and
        `drafts` says how many (2 to 8). The first has the `seed` of the body; the others are
        derived from it. All are accepted or none."""
        return await self._submit(request, caller, self._plan_drafts)

    async def estimate_drafts(self, request: Request, caller: IdentifiedCaller) -> Response:
        """What the drafts would take, and what the full clip would. Makes nothing."""
        return await self._estimate(request, caller, self._plan_drafts)

    async def render(
        self, job_id: JobId, caller: IdentifiedCaller, request: Request, idempotency_key: Key = None
    ) -> Response:
        """Submit the full clip of a draft, with its seed. The draft need not be finished. Where the
        full clip has another size, `adjustments` says that the composition may differ."""

        def render(once: IdempotencyKey | None) -> Job:
            return self.service.render(job_id, caller.owner, idempotency_key=once, reuse=True)

        return await self._variation(job_id, caller, request, render)

    async def again(
        self, job_id: JobId, caller: IdentifiedCaller, request: Request, idempotency_key: Key = None
    ) -> Response:
        """Submit a clip again that failed, was discarded or is not kept any more, with the same
        seed. In a batch, it takes the place of the old one."""

        def make_again(once: IdempotencyKey | None) -> Job:
            return self.service.make_again(job_id, caller.owner, idempotency_key=once)

        return await self._variation(job_id, caller, request, make_again)

    # ---- comparisons

    async def comparisons(
        self, request: Request, caller: IdentifiedCaller, idempotency_key: Key = None
    ) -> Response:
        """Submit a clip with one or two settings varied: the body is that of a clip, and `compare`
        lists the settings, as `{"field": "guidance_scale", "values": [2, 4]}` or
        `"guidance_scale=2,4"`. All clips have the same seed; a cell that cannot be made says why.
        """
        return await self._submit(request, caller, self._plan_comparison)

    async def estimate_comparison(self, request: Request, caller: IdentifiedCaller) -> Response:
        """What a comparison would take, and which of its cells can be made. Makes nothing."""
        return await self._estimate(request, caller, self._plan_comparison)

    # ---- shared

    def _plan_drafts(self, body: request_body.Body) -> tuple[str, Callable[..., BatchPlan]]:
        count = parse_count(body.pop(DRAFTS, USUAL_DRAFTS))
        return str(count), lambda request, owner: self.service.plans.drafts(request, count, owner)

    def _plan_comparison(self, body: request_body.Body) -> tuple[str, Callable[..., BatchPlan]]:
        if FIELD not in body:
            raise unusable(FIELD, "it is missing; write guidance_scale=2,4,6")
        settings = parse_settings(body.pop(FIELD))
        content = json.dumps([[each.name, each.values] for each in settings])
        return content, lambda request, owner: self.service.plans.comparison(
            request, settings, owner
        )

    async def _read(
        self,
        request: Request,
        caller: IdentifiedCaller,
        planned: Callable[[request_body.Body], tuple[str, Callable[..., BatchPlan]]],
    ) -> tuple[GenerationRequest, MakePlan, bool, IdempotencyKey | None]:
        request_body.refuse_settings_in_query(request)
        body = await request_body.read_body(request)
        key = body.pop("idempotency_key", None)
        reuse = request_body.as_bool(body.pop("reuse", True), "reuse")
        content, plan = planned(body)
        stored = await request_body.store_files(body, self.service, caller)
        wanted = request_body.build_request(stored)
        once = idempotency_key_of(request, key, hashed_content(wanted), content, str(reuse))
        return wanted, lambda: plan(wanted, caller.owner), reuse, once

    async def _submit(
        self,
        request: Request,
        caller: IdentifiedCaller,
        planned: Callable[[request_body.Body], tuple[str, Callable[..., BatchPlan]]],
    ) -> Response:
        _, make_plan, reuse, once = await self._read(request, caller, planned)

        def submit() -> Response:
            plan = make_plan()
            with self.core.counted_clips(caller, len(plan.jobs)) as headers:
                jobs = self.service.submit_plan(
                    plan, caller.owner, idempotency_key=once, reuse=reuse
                )
            return accepted(self.core, jobs, caller, headers)

        return await in_thread(submit)

    async def _estimate(
        self,
        request: Request,
        caller: IdentifiedCaller,
        planned: Callable[[request_body.Body], tuple[str, Callable[..., BatchPlan]]],
    ) -> Response:
        _, make_plan, _, _ = await self._read(request, caller, planned)

        def estimate() -> Response:
            plan = make_plan()
            full = self.service.estimate_fitted(plan.full) if plan.full else None
            total = self.service.estimate_plan(plan)
            return as_json(batch_views.estimate_view(plan, total, full))

        return await in_thread(estimate)

    async def _variation(
        self,
        job_id: str,
        caller: IdentifiedCaller,
        request: Request,
        submit: Callable[[IdempotencyKey | None], Job],
    ) -> Response:
        once = idempotency_key_of(request, None)

        def accept() -> Response:
            self.core.get_job(job_id, caller)
            with self.core.counted_clips(caller) as headers:
                job = submit(once)
            self.service.use_quota(job, caller.quota)
            location = {"Location": address(f"/api/jobs/{job.id}")}
            return as_json(schemas.job_view(self.service, job), 202, location | headers)

        return await in_thread(accept)
