"""The native REST: make a clip, follow it, stop it, fetch it. See docs/api.md.

Knows HTTP and the service. Every route asks as its caller; what is not theirs is not there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api import request_body, schemas, sse
from api.core import ApiContext, JobId, Who
from errors import ErrorCode, KinoraError
from jobs.job import Job
from pipelines.models.loras import offered
from pipelines.request import FittedRequest
from web.addresses import address
from web.errors import ERRORS, NO_STORE, SAFE
from web.files import send_file
from web.identity import Caller

if TYPE_CHECKING:
    pass


class EstimateResponse(BaseModel):
    """What a clip would take here, before anything is made."""

    seconds: float
    low: float
    high: float
    learned: bool
    used: FittedRequest


class VerifyResponse(BaseModel):
    """What a file says about its making."""

    signed: bool
    settings: dict[str, Any] | None


class Native:
    def __init__(self, core: ApiContext) -> None:
        self.core = core
        self.service = core.service
        self.streams = sse.Streams(core.service)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api", responses=ERRORS)

        def add(path: str, handler: Any, method: str = "GET", **more: Any) -> None:
            more.setdefault("operation_id", handler.__name__)
            router.add_api_route(path, handler, methods=[method], **more)

        clip = {"response_class": Response, "response_model": None}
        video = {
            200: {"content": {"video/mp4": {}}},
            206: {"content": {"video/mp4": {}}},
            304: {},
            307: {},
        }
        jpeg, png = ({200: {"content": {f"image/{kind}": {}}}} for kind in ("jpeg", "png"))
        sse = {200: {"content": {"text/event-stream": {}}}, 204: {}}
        add("/generate", self.generate, "POST", status_code=202, response_model=schemas.JobView)
        add("/status/{job_id}", self.status, response_model=schemas.Status)
        add("/result/{job_id}", self.result, responses=_told(video), **clip)
        router.head("/result/{job_id}", include_in_schema=False)(self.result)
        add("/jobs", self.jobs, response_model=schemas.JobList)
        add("/jobs/{job_id}", self.one, response_model=schemas.JobView)
        add("/jobs/{job_id}", self.delete, "DELETE", status_code=204)
        add("/jobs/{job_id}/cancel", self.cancel, "POST", response_model=schemas.JobView)
        add("/jobs/{job_id}/finish", self.finish, "POST", response_model=schemas.JobView)
        add(
            "/jobs/{job_id}/retry-decode", self.retry_decode, "POST", response_model=schemas.JobView
        )
        add("/jobs/{job_id}/events", self.events, responses=_told(sse), **clip)
        add("/jobs/{job_id}/preview", self.preview, responses=_told(jpeg), **clip)
        add("/jobs/{job_id}/poster", self.poster, responses=_told(jpeg), **clip)
        add("/jobs/{job_id}/last-frame", self.last_frame, responses=_told(png), **clip)
        add("/models", self.models)
        add("/estimate", self.estimate, "POST", response_model=EstimateResponse)
        add("/verify", self.verify, "POST", response_model=VerifyResponse)
        return router

    # ---- making

    async def generate(
        self,
        request: Request,
        caller: Who,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        """Ask for a clip: JSON, or a form with the picture as `image`. It is accepted for good when
        this answers. Under the same Idempotency-Key, 24 hours long, the same job comes back.

        With a `seed`, a clip that you had made of the very same settings is given again at once
        (`reused`); `"reuse": false` makes it anew."""
        asked = await request_body.read_request(request, self.service, caller)

        def accept() -> Response:
            job, left = self.core.accept(asked, caller)
            where = {"Location": address(f"/api/jobs/{job.id}")}
            return _json(schemas.job_view(self.service, job), 202, where | left)

        return await in_thread(accept)

    async def estimate(self, request: Request, caller: Who) -> Response:
        """What it would take and what would be adjusted. Makes nothing."""
        body = await request_body.read_body(request)
        request_body.refuse_settings_in_query(request)
        body.pop("reuse", None)
        wanted = request_body.build_request(
            await request_body.store_files(body, self.service, caller)
            | ({} if body.get("prompt") else {"prompt": "anything"})
        )
        fitted, took = await in_thread(self.service.estimate, wanted)
        shown = took.model_dump(include={"seconds", "low", "high", "learned"})
        return _json(EstimateResponse(**shown, used=fitted))

    # ---- looking

    async def status(self, job_id: JobId, caller: Who) -> Response:
        """How far a clip is, in four words: queued, running, succeeded, failed."""
        return await in_thread(
            lambda: _json(schemas.status(self.service, self.core.look(job_id, caller)))
        )

    async def jobs(
        self,
        caller: Who,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        before: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        """Your clips, newest first."""
        owner = caller.named()

        def read() -> schemas.JobList:
            found = self.service.list(owner, limit, before)
            self.core.lend(found, caller)
            views = [schemas.job_view(self.service, job) for job in found]
            return schemas.JobList(jobs=views, next=found[-1].id if len(found) == limit else None)

        return _json(await in_thread(read))

    async def one(self, job_id: JobId, caller: Who) -> Response:
        """All about one clip."""
        return await self._shown(job_id, caller)

    async def events(
        self,
        request: Request,
        job_id: JobId,
        caller: Who,
        after: Annotated[int | None, Query(ge=0, le=10**15)] = None,
        previews: Literal["url", "inline"] = "url",
    ) -> Response:
        """Follow a clip as server-sent events. Come back after a cut with Last-Event-ID: nothing
        is missed. `previews=inline` puts each picture into its event."""
        job = await self.core.job(job_id, caller)
        return await self.streams.answer(request, job, after, previews == "inline")

    async def preview(self, job_id: JobId, caller: Who) -> Response:
        """The newest look at a clip in the making: a JPEG strip, frames side by side."""
        job = await self.core.job(job_id, caller)
        found = await in_thread(self.service.preview, job.id)
        if found is None:
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no preview of this clip yet.")
        number, jpeg, meta = found
        headers = {"X-Kinora-Preview": str(number), "X-Kinora-Frames": str(meta.get("frames", 1))}
        return Response(jpeg, media_type="image/jpeg", headers={**headers, **NO_STORE, **SAFE})

    # ---- files

    async def result(
        self,
        request: Request,
        job_id: JobId,
        caller: Who,
        range: Annotated[str | None, Header()] = None,
    ) -> Response:
        """The finished file. Range and If-None-Match work; `?download` makes it an attachment.
        From an object store, the address where the caller may fetch it for an hour."""
        job = await self.core.job(job_id, caller)
        if not job.result:
            raise KinoraError(
                ErrorCode.CONFLICT,
                f"This clip has no file: it is {job.state.value}.",
                details={"state": job.state.value, "why": schemas.job_error(job)},
            )
        name = f"kinora-{job.id[:8]}"
        if request.method == "GET":  # an address is signed for that alone
            as_name = name if "download" in request.query_params else None
            there = await in_thread(self.service.clip_address, job.id, as_name=as_name)
            if there:
                return RedirectResponse(there, 307, headers={**NO_STORE, **SAFE})
        return send_file(request, await in_thread(self.service.clip_path, job.id), name)

    async def poster(self, request: Request, job_id: JobId, caller: Who) -> Response:
        """The middle frame of a finished clip."""
        job = await self.core.job(job_id, caller)
        path = await in_thread(self.service.poster_path, job.id)
        return send_file(request, path, f"kinora-{job.id[:8]}")

    async def last_frame(self, request: Request, job_id: JobId, caller: Who) -> Response:
        """The last frame, every pixel: a clip made from it goes on exactly there."""
        job = await self.core.job(job_id, caller)
        path = await in_thread(self.service.last_frame_path, job.id)
        return send_file(request, path, f"kinora-{job.id[:8]}-last")

    # ---- stopping

    async def cancel(self, job_id: JobId, caller: Who) -> Response:
        """Discard a clip: at once if it waits, within a step if it runs."""
        return await self._shown(job_id, caller, self.service.cancel)

    async def finish(self, job_id: JobId, caller: Who) -> Response:
        """Keep what is there: the clip is made of the last step's estimate."""
        return await self._shown(job_id, caller, self.service.finish)

    async def retry_decode(self, job_id: JobId, caller: Who) -> Response:
        """Decode again from the stored latents."""
        return await self._shown(job_id, caller, self.service.retry_decode)

    async def delete(self, job_id: JobId, caller: Who) -> Response:
        """Remove a clip and all that belongs to it."""
        job = await self.core.job(job_id, caller)
        await in_thread(self.service.delete, job.id)
        return Response(status_code=204)

    # ---- the rest

    async def models(self) -> list[dict[str, Any]]:
        """The models here: what each can do, its defaults and limits, and the `loras` that are here
        now, for those that take them."""
        hidden = {"repo", "folder"}
        cards = self.service.offered().values()
        loras = await in_thread(offered, self.service.settings)
        return [
            card.model_dump(mode="json", exclude=hidden)
            | {"loras": loras if card.rules.lora else []}
            for card in cards
        ]

    async def verify(self, request: Request) -> VerifyResponse:
        """What a clip says about its making: send the file, as a body or as a form's `file`."""
        from media.metadata import read_comment

        with tempfile.NamedTemporaryFile(prefix="kinora-") as kept:
            if request.headers.get("content-type", "").startswith("multipart/"):
                file = (await request_body.read_body(request)).get("file")
                if not isinstance(file, UploadFile):
                    raise KinoraError(ErrorCode.INVALID_INPUT, "Send the clip as “file”.")
                await in_thread(shutil.copyfileobj, file.file, kept)
            else:
                async for chunk in request.stream():
                    kept.write(chunk)
            kept.flush()
            comment = await in_thread(read_comment, Path(kept.name))
        return VerifyResponse(signed=False, settings=comment)

    async def _shown(
        self, job_id: str, caller: Caller, change: Callable[[str], Job] | None = None
    ) -> Response:
        """All of it in one thread: each hop waits for the interpreter where much goes on."""

        def show() -> Response:
            job = self.core.look(job_id, caller)
            job = change(job.id) if change else job
            return _json(schemas.job_view(self.service, job))

        return await in_thread(show)


def _json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    headers = {**NO_STORE, **SAFE, **(headers or {})}
    return Response(body.model_dump_json(), status, headers, "application/json")


def _told(responses: dict[int, Any]) -> dict[int | str, dict[str, Any]]:
    words = {200: "The file.", 204: "There is nothing more.", 206: "A part.", 304: "Unchanged.",
             307: "It is there."}  # fmt: skip
    told = {status: {"description": words[status]} | more for status, more in responses.items()}
    return {**ERRORS, **told}
