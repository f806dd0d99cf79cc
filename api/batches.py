"""Batches: several jobs submitted and followed as one, from prompts, images or a zip of images."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Header
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api import request_body, schemas
from api.core import ApiContext, IdentifiedCaller, JobId
from api.idempotency import hashed_content, idempotency_key_of
from api.zips import about_file, pictures_in
from errors import ErrorCode, KinoraError
from jobs.job import Job, State
from pipelines.request import GenerationRequest
from pipelines.validation_errors import unusable
from web import sse
from web.addresses import address
from web.errors import ERRORS, NO_STORE, SAFE
from web.identity import Caller

if TYPE_CHECKING:
    from jobs.service import JobService

PAUSE_S = 0.5
"""Between two states of a batch: it has as many events as all of its clips together."""


class BatchView(BaseModel):
    """Several clips, followed as one."""

    batch_id: str
    state: Literal["queued", "running", "ended"]
    progress: float
    counts: dict[State, int]
    jobs: list[schemas.JobView]
    urls: dict[str, str]


class Batches:
    def __init__(self, core: ApiContext) -> None:
        self.core = core
        self.service: JobService = core.service

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/batches", responses=ERRORS)

        def add(path: str, handler: Any, method: str = "GET", **more: Any) -> None:
            name = f"batches_{handler.__name__}"
            router.add_api_route(path, handler, methods=[method], operation_id=name, **more)

        stream = {200: {"content": {"text/event-stream": {}}, "description": "Whole states."}}
        add("", self.create, "POST", status_code=202, response_model=BatchView)
        add("/{batch_id}", self.one, response_model=BatchView)
        add("/{batch_id}/cancel", self.cancel, "POST", response_model=BatchView)
        add("/{batch_id}/events", self.events, response_class=Response, response_model=None,
            responses={**ERRORS, **stream})  # fmt: skip
        return router

    async def create(
        self,
        request: Request,
        caller: IdentifiedCaller,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        """Submit many clips: `prompts` (a list), `images` (files, or one `zip` of them), or
        `requests` (a list of whole requests). Other settings hold for all of them. All are accepted
        or none."""
        request_body.refuse_settings_in_query(request)
        body = await request_body.read_body(request, self.service.settings.max_batch + 1)
        key, reuse = body.pop("idempotency_key", None), body.pop("reuse", True)
        wanted = await self._requests(body, caller)
        once = idempotency_key_of(request, key, *map(hashed_content, wanted))
        reuse = request_body.as_bool(reuse, "reuse")
        left = await in_thread(self.core.count_clips, caller, len(wanted))

        def submit() -> list[Job]:
            jobs = self.service.submit_batch(
                wanted, caller.owner, idempotency_key=once, reuse=reuse
            )
            self.core.use_quota(jobs, caller)
            return jobs

        jobs = await in_thread(submit)
        where = {"Location": address(f"/api/batches/{jobs[0].batch}"), **left}
        return _json(await in_thread(self._view, jobs), 202, where)

    async def one(self, batch_id: JobId, caller: IdentifiedCaller) -> Response:
        """All clips of a batch."""
        return _json(await in_thread(self._view, await self._jobs(batch_id, caller)))

    async def cancel(self, batch_id: JobId, caller: IdentifiedCaller) -> Response:
        """Discard every clip of a batch that is not finished."""
        jobs = await self._jobs(batch_id, caller)

        def cancel() -> BatchView:
            for job in reversed(jobs):  # those that wait first, or they would begin in between
                self.service.cancel(job.id)
            return self._view(self.service.batch(batch_id))

        return _json(await in_thread(cancel))

    async def events(self, batch_id: JobId, caller: IdentifiedCaller) -> Response:
        """Follow a batch as server-sent events: each is the whole state, so any may be missed."""
        jobs = await self._jobs(batch_id, caller)

        async def read() -> tuple[str, bool]:
            brief = await in_thread(self._brief, batch_id)
            return json.dumps(brief), brief["state"] == "ended"

        changes = self.service.achanges([job.id for job in jobs], sse.HEARTBEAT_S)
        return sse.EventStream(sse.states(changes, read, event="state", pause_s=PAUSE_S))

    def _brief(self, batch_id: str) -> dict[str, Any]:
        jobs = self.service.batch(batch_id)
        each = [
            {"job_id": job.id, "state": job.state.value, **_progress(self.service, job)}
            for job in jobs
        ]
        done = sum(one["progress"] for one in each)
        return {
            "batch_id": batch_id,
            "state": _state(jobs),
            "progress": round(done / max(1, len(jobs)), 4),
            "counts": _counts(jobs),
            "jobs": each,
        }

    def _view(self, jobs: list[Job]) -> BatchView:
        batch_id = jobs[0].batch or ""
        views = [schemas.job_view(self.service, job) for job in jobs]
        ended = sum(1.0 if job.state.ended else one.progress for job, one in zip(jobs, views))  # noqa: B905
        here = address(f"/api/batches/{batch_id}")
        return BatchView(
            batch_id=batch_id,
            state=_state(jobs),
            progress=round(ended / len(jobs), 4),
            counts=_counts(jobs),
            jobs=views,
            urls={"self": here, "events": f"{here}/events", "cancel": f"{here}/cancel"},
        )

    async def _jobs(self, batch_id: str, caller: Caller) -> list[Job]:
        jobs = await in_thread(self.service.batch, batch_id)
        if not jobs or not caller.may_see(jobs[0]):
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such batch here.")
        await in_thread(self.core.use_quota, jobs, caller)
        return jobs

    # ---- request

    async def _requests(self, body: request_body.Body, caller: Caller) -> list[GenerationRequest]:
        pictures = await self._pictures(body, caller)
        lists = {name: _listed(name, body.pop(name)) for name in ("prompts", "requests")
                 if name in body}  # fmt: skip
        common = await request_body.store_files(body, self.service, caller)
        prompts = lists.get("prompts", [])
        for each, many, is_listed in (
            ("prompt", "prompts", prompts),
            ("image", "images", pictures),
        ):
            if each in body and is_listed:
                raise unusable(each, f"it stands beside “{many}”, which says the same of each clip")
        if "requests" in lists and (prompts or pictures):
            raise unusable("requests", "it stands alone, without prompts and pictures")
        if "requests" in lists:
            wanted = [_whole(each) for each in lists["requests"]]
            stored = [await self._whole(n, w, caller) for n, w in enumerate(wanted, 1)]
            each = [common | own for own in stored]
        elif pictures and prompts and len(pictures) != len(prompts):
            raise unusable("prompts", f"{len(prompts)} prompts do not fit {len(pictures)} pictures")
        elif pictures:
            words = [{"prompt": prompt} for prompt in prompts] or [{}] * len(pictures)
            each = [common | {"image": i} | w for i, w in zip(pictures, words)]  # noqa: B905
        else:
            each = [common | {"prompt": prompt} for prompt in prompts]
        if not each:
            raise KinoraError(
                ErrorCode.INVALID_INPUT, "A batch needs “prompts”, “images”, a “zip” or “requests”."
            )
        most = self.service.settings.max_batch
        if len(each) > most:
            raise unusable("batch", f"it has {len(each)} clips; at most {most} are accepted")
        return [request_body.build_request(one) for one in each]

    async def _pictures(self, body: request_body.Body, caller: Caller) -> list[str]:
        sent = body.pop("images", [])
        pictures: list[Any] = list(sent) if isinstance(sent, list) else [sent]
        zipped = body.pop("zip", None)
        most, settings = self.service.settings.max_batch, self.service.settings
        if len(pictures) > most:
            raise unusable("images", f"there are {len(pictures)}; at most {most} are accepted")
        ids = [await self._picture(n, each, caller) for n, each in enumerate(pictures, 1)]
        if zipped is not None:
            if not isinstance(zipped, UploadFile):
                raise unusable("zip", "send it as a file")

            def store() -> list[str]:
                files = pictures_in(zipped.file, most, settings.max_image_bytes)
                return [self._stored(name, data, caller) for name, data in files]

            ids += await in_thread(store)
        return ids

    async def _whole(
        self, number: int, wanted: request_body.Body, caller: Caller
    ) -> request_body.Body:
        try:
            return await request_body.store_files(wanted, self.service, caller)
        except KinoraError as error:
            if error.code is ErrorCode.INVALID_INPUT:
                raise
            raise about_file(f"request {number}", error) from error

    async def _picture(self, number: int, value: Any, caller: Caller) -> str:
        """In the order in which they were sent. What cannot be read is called by its name."""
        name = value.filename if isinstance(value, UploadFile) else None
        try:
            found = await request_body.store_picture_field("images", value, self.service, caller)
        except KinoraError as error:
            if error.code is ErrorCode.INVALID_INPUT:
                raise
            raise about_file(name or f"picture {number}", error) from error
        return str(found)

    def _stored(self, name: str, data: bytes, caller: Caller) -> str:
        try:
            return self.service.store_picture(data, caller.owner).id
        except KinoraError as error:
            raise about_file(name, error) from error


def _listed(name: str, value: object) -> list[Any]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise unusable(name, "it must be a JSON list") from None
    return value if isinstance(value, list) else [value]


def _whole(value: object) -> request_body.Body:
    if not isinstance(value, dict):
        raise unusable("requests", "each of them must be an object")
    return dict(value)


def _state(jobs: list[Job]) -> Literal["queued", "running", "ended"]:
    if all(job.state.ended for job in jobs):
        return "ended"
    waits = all(job.state is State.QUEUED for job in jobs)
    return "queued" if waits else "running"


def _counts(jobs: list[Job]) -> dict[State, int]:
    return dict(Counter(job.state for job in jobs))


def _progress(service: JobService, job: Job) -> dict[str, float]:
    if job.state is State.QUEUED:
        return {"progress": 0.0}
    return {"progress": 1.0 if job.state.ended else schemas.job_progress(service, job).progress}


def _json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    headers = {**NO_STORE, **SAFE, **(headers or {})}
    return JSONResponse(body.model_dump(mode="json"), status, headers=headers)
