"""The native REST API: submit a clip, follow it, stop it, download it. See docs/api.md.

For a caller, jobs of others do not exist.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api import request_body, schemas
from api.batch_views import EstimateResponse, estimate_of
from api.core import ApiContext, IdentifiedCaller, JobId
from api.job_streams import JobStreams
from errors import ErrorCode, KinoraError
from jobs.evaluation import Evaluation
from jobs.job import Job
from jobs.verification import verify
from media.provenance.credential_report import Report
from pipelines.models.drafts import draft_rules
from pipelines.models.loras import list_names
from web.addresses import address
from web.errors import ERRORS, NO_STORE, SAFE
from web.files import send_file, send_preview
from web.identity import Caller


class VerifyResponse(BaseModel):
    """What a file says about how it was made."""

    signed: bool = Field(description="Content Credentials are there, and valid.")
    settings: dict[str, Any] | None = Field(
        description="The settings in the file. If it is not `signed`, anybody may have written "
        "them."
    )
    provenance: Report


class Native:
    def __init__(self, core: ApiContext) -> None:
        self.core = core
        self.service = core.service
        self.streams = JobStreams(core.service)

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
        add("/result/{job_id}", self.result, responses=_responses(video), **clip)
        router.head("/result/{job_id}", include_in_schema=False)(self.result)
        add("/jobs", self.jobs, response_model=schemas.JobList)
        add("/jobs/{job_id}", self.one, response_model=schemas.JobView)
        add("/jobs/{job_id}", self.delete, "DELETE", status_code=204)
        add("/jobs/{job_id}/cancel", self.cancel, "POST", response_model=schemas.JobView)
        add("/jobs/{job_id}/finish", self.finish, "POST", response_model=schemas.JobView)
        add("/jobs/{job_id}/redo-part", self.redo_part, "POST", response_model=schemas.JobView)
        add(
            "/jobs/{job_id}/retry-decode", self.retry_decode, "POST", response_model=schemas.JobView
        )
        add("/jobs/{job_id}/events", self.events, responses=_responses(sse), **clip)
        add("/jobs/{job_id}/preview", self.preview, responses=_responses(jpeg), **clip)
        add("/jobs/{job_id}/evaluation", self.evaluation, response_model=Evaluation)
        add("/jobs/{job_id}/poster", self.poster, responses=_responses(jpeg), **clip)
        add("/jobs/{job_id}/last-frame", self.last_frame, responses=_responses(png), **clip)
        add(
            "/jobs/{job_id}/credentials",
            self.credentials,
            responses=_responses({200: {"content": {"application/c2pa": {}}}}),
            **clip,
        )
        add("/models", self.models)
        add("/estimate", self.estimate, "POST", response_model=EstimateResponse)
        add("/verify", self.verify, "POST", response_model=VerifyResponse)
        return router

    # ---- submit

    async def generate(
        self,
        request: Request,
        caller: IdentifiedCaller,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        """Submit a clip: JSON, or a form with the picture as `image`. Once this responds, the job
        is stored. Under the same Idempotency-Key, 24 hours long, the same job comes back.

        With a `seed`, a clip that you made before with the same settings is returned at once
        (`reused`); with `"reuse": false` it is made again."""
        parsed = await request_body.read_request(request, self.service, caller)

        def accept() -> Response:
            job, limits = self.core.accept(parsed, caller)
            location = {"Location": address(f"/api/jobs/{job.id}")}
            return _json(schemas.job_view(self.service, job), 202, location | limits)

        return await in_thread(accept)

    async def estimate(self, request: Request, caller: IdentifiedCaller) -> Response:
        """What it would take and what would be adjusted. Makes nothing."""
        body = await request_body.read_body(request)
        request_body.refuse_settings_in_query(request)
        body.pop("reuse", None)
        wanted = request_body.build_request(
            await request_body.store_files(body, self.service, caller)
            | ({} if body.get("prompt") else {"prompt": "anything"})
        )
        fitted, estimate = await in_thread(self.service.estimate, wanted, caller.owner)
        return _json(estimate_of(fitted, estimate))

    # ---- read

    async def status(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """How far a clip is, in four words: queued, running, succeeded, failed."""
        return await in_thread(
            lambda: _json(schemas.status(self.service, self.core.get_job(job_id, caller)))
        )

    async def jobs(
        self,
        caller: IdentifiedCaller,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        before: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        """Your clips, newest first."""
        owner = caller.named()

        def read() -> schemas.JobList:
            found = self.service.list(owner, limit, before)
            self.core.use_quota(found, caller)
            views = [schemas.job_view(self.service, job) for job in found]
            return schemas.JobList(jobs=views, next=found[-1].id if len(found) == limit else None)

        return _json(await in_thread(read))

    async def one(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """All about one clip."""
        return await self._job_response(job_id, caller)

    async def events(
        self,
        request: Request,
        job_id: JobId,
        caller: IdentifiedCaller,
        after: Annotated[int | None, Query(ge=0, le=10**15)] = None,
        previews: Literal["url", "inline"] = "url",
    ) -> Response:
        """Follow a clip as server-sent events. Come back after a cut with Last-Event-ID: nothing
        is missed. `previews=inline` puts each picture into its event."""
        job = await self.core.get_job_in_thread(job_id, caller)
        return await self.streams.response(request, job, after, previews == "inline")

    async def preview(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """The newest look at a clip in the making: a JPEG strip, frames side by side."""
        job = await self.core.get_job_in_thread(job_id, caller)
        found = await in_thread(self.service.preview, job.id)
        if found is None:
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no preview of this clip yet.")
        return send_preview(found)

    # ---- files

    async def result(
        self,
        request: Request,
        job_id: JobId,
        caller: IdentifiedCaller,
        range: Annotated[str | None, Header()] = None,
    ) -> Response:
        """The finished file. Range and If-None-Match work; `?download` makes it an attachment.
        From an object store, the address where the caller may fetch it for an hour."""
        job = await self.core.get_job_in_thread(job_id, caller)
        if not job.result:
            raise KinoraError(
                ErrorCode.CONFLICT,
                f"This clip has no file: it is {job.state.value}.",
                details={"state": job.state.value, "why": schemas.job_error(job)},
            )
        name = f"kinora-{job.id[:8]}"
        if request.method == "GET":  # a URL is signed for one method
            download_name = name if "download" in request.query_params else None
            url = await in_thread(self.service.signed_clip_url, job.id, download_name=download_name)
            if url:
                return RedirectResponse(url, 307, headers={**NO_STORE, **SAFE})
        return send_file(request, await in_thread(self.service.clip_path, job.id), name)

    async def poster(self, request: Request, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """The middle frame of a finished clip."""
        job = await self.core.get_job_in_thread(job_id, caller)
        path = await in_thread(self.service.poster_path, job.id)
        return send_file(request, path, f"kinora-{job.id[:8]}")

    async def evaluation(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """Motion smoothness, temporal consistency and flicker of a finished clip, and how well it
        shows the prompt where the operator has set a CLIP model."""
        job = await self.core.get_job_in_thread(job_id, caller)
        return _json(await in_thread(self.service.evaluation, job))

    async def last_frame(
        self, request: Request, job_id: JobId, caller: IdentifiedCaller
    ) -> Response:
        """The last frame, every pixel: a clip made from it continues exactly there."""
        job = await self.core.get_job_in_thread(job_id, caller)
        path = await in_thread(self.service.last_frame_path, job.id)
        return send_file(request, path, f"kinora-{job.id[:8]}-last")

    async def credentials(
        self, request: Request, job_id: JobId, caller: IdentifiedCaller
    ) -> Response:
        """The Content Credentials of a WebM, which has no place for them; other clips have them
        inside."""
        job = await self.core.get_job_in_thread(job_id, caller)
        path = await in_thread(self.service.credentials_path, job.id)
        return send_file(request, path, f"kinora-{job.id[:8]}.webm")

    # ---- stop

    async def cancel(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """Discard a clip: at once if it waits, within a step if it runs."""
        return await self._job_response(job_id, caller, self.service.cancel)

    async def finish(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """Keep what is there: the clip is made of the last step's estimate."""
        return await self._job_response(job_id, caller, self.service.finish)

    async def redo_part(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """Make the present part of a long clip again, with another seed: the finished parts are
        kept."""
        return await self._job_response(job_id, caller, self.service.redo_part)

    async def retry_decode(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """Decode again from the stored latents."""
        return await self._job_response(job_id, caller, self.service.retry_decode)

    async def delete(self, job_id: JobId, caller: IdentifiedCaller) -> Response:
        """Remove a clip and all that belongs to it."""
        job = await self.core.get_job_in_thread(job_id, caller)
        await in_thread(self.service.delete, job.id)
        return Response(status_code=204)

    # ---- models, verify

    async def models(self) -> list[dict[str, Any]]:
        """The models here: what each can do, its defaults and limits, and the `loras` that are here
        now, for those that take them."""
        hidden = {"repo", "folder"}
        cards = self.service.offered_cards().values()
        loras = await in_thread(list_names, self.service.settings)
        return [
            card.model_dump(mode="json", exclude=hidden)
            | {
                "loras": loras if card.rules.lora else [],
                "drafts": draft_rules(card).model_dump(mode="json"),
            }
            for card in cards
        ]

    async def verify(self, request: Request) -> VerifyResponse:
        """Who signed a file, whether it was changed since, and what it says about its making. Send
        the file, as a body or as a form's `file`; a WebM's `.c2pa` file as the form's
        `credentials`. Nothing is stored, and nothing is fetched from the internet."""
        with tempfile.TemporaryDirectory(prefix="kinora-") as folder:
            path, sidecar, name = Path(folder) / "file", None, ""
            if request.headers.get("content-type", "").startswith("multipart/"):
                form = await request_body.read_body(request)
                file, credentials = form.get("file"), form.get("credentials")
                if not isinstance(file, UploadFile):
                    raise KinoraError(ErrorCode.INVALID_INPUT, "Send the clip as “file”.")
                name = file.filename or ""
                await in_thread(_store, file, path)
                if isinstance(credentials, UploadFile):
                    sidecar = Path(folder) / "credentials"
                    await in_thread(_store, credentials, sidecar)
            else:
                with path.open("wb") as stored:
                    async for chunk in request.stream():
                        stored.write(chunk)
            found = await in_thread(
                lambda: verify(path, self.service.settings, sidecar=sidecar, name=name)
            )
        return VerifyResponse(
            signed=found.is_valid, settings=found.settings, provenance=found.report
        )

    async def _job_response(
        self, job_id: str, caller: Caller, change: Callable[[str], Job] | None = None
    ) -> Response:
        """In one thread: each switch between threads waits for the interpreter under load."""

        def respond() -> Response:
            job = self.core.get_job(job_id, caller)
            job = change(job.id) if change else job
            return _json(schemas.job_view(self.service, job))

        return await in_thread(respond)


def _store(upload: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file)


def _json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    headers = {**NO_STORE, **SAFE, **(headers or {})}
    return Response(body.model_dump_json(), status, headers, "application/json")


def _responses(responses: dict[int, Any]) -> dict[int | str, dict[str, Any]]:
    """The entries of a route's `responses`, with their descriptions."""
    words = {200: "The file.", 204: "There is nothing more.", 206: "A part.", 304: "Unchanged.",
             307: "It is there."}  # fmt: skip
    described = {status: {"description": words[status]} | r for status, r in responses.items()}
    return {**ERRORS, **described}
