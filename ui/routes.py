"""The page's own routes beside Gradio's: the state of a job, its files, uploads.

For a visitor, jobs of others do not exist.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from errors import ErrorCode, KinoraError
from jobs.job import Job, State
from pipelines.request import Task
from ui import job_view, language_files, task_examples, theme
from ui.assets import STATIC, PreloadScript, Script
from ui.batch_routes import BatchRoutes
from ui.edit_routes import EditRoutes
from ui.film_routes import FilmRoutes
from ui.gallery_routes import GalleryRoutes
from ui.model_picker import Models
from ui.prompt_routes import PromptRoutes
from ui.restore_routes import RestoreRoutes
from ui.route_helpers import PREFIX, fresh_json, guarded, in_thread, read_limited
from ui.share_routes import PanelShareRoutes
from ui.signatures import Signatures
from ui.verify_page import VerifyPage
from web import sse
from web.files import send_file, send_preview
from web.identity import (
    Callers,
    VisitorCookie,
    load_secret,
    read_cookie,
)
from web.limits import windows_for
from web.prompt_tools import PromptTools
from web.restore_tools import RestoreTools
from web.share_tools import ShareTools

if TYPE_CHECKING:
    from jobs.service import JobService
    from settings import Settings

TICK_S = 1.0
"""How often a waiting job's place in the queue is looked up."""
RETRY_MS = 1500
PAGE = 24
LONGEST = 500
"""As many jobs as one read returns."""


class PageRoutes:
    """The handlers of the routes."""

    def __init__(self, service: JobService, settings: Settings) -> None:
        self.service = service
        self.settings = settings
        self.models = Models(service.cards, settings, service.planner)
        self.signatures = Signatures(load_secret(settings.data_dir / "secret"))

    def routes(self) -> list[Route]:
        job = f"{PREFIX}/jobs/{{id:str}}"
        return [
            Route(f"{PREFIX}/visitor", guarded(self.visitor)),
            Route(f"{PREFIX}/jobs", guarded(self.jobs)),
            Route(job, guarded(self.job), methods=["GET", "DELETE"]),
            Route(f"{job}/live", guarded(self.live, self.by_signature)),
            Route(f"{job}/preview", guarded(self.preview, self.by_signature)),
            Route(f"{job}/finish", guarded(self.finish), methods=["POST"]),
            Route(f"{job}/redo-part", guarded(self.redo_part), methods=["POST"]),
            Route(f"{job}/discard", guarded(self.discard), methods=["POST"]),
            Route(f"{job}/evaluation", guarded(self.evaluation)),
            Route(f"{job}/{{what:str}}", guarded(self.media, self.by_signature)),
            Route(f"{PREFIX}/pictures", guarded(self.add_picture), methods=["POST"]),
            Route(f"{PREFIX}/pictures/{{id:str}}", guarded(self.picture)),
            Route(f"{PREFIX}/videos", guarded(self.add_video), methods=["POST"]),
            Route(f"{PREFIX}/models", guarded(self.offer)),
        ]

    # ---- the visitor

    async def visitor(self, request: Request, owner: str) -> Response:
        """Whether the browser kept the cookie; each page requests this once. If not, the page sends
        the visitor's name with every request, and says so before a clip is submitted."""
        kept = read_cookie(request) is not None
        return fresh_json({"kept": kept, "visitor": None if kept else request.state.visitor})

    async def by_signature(self, request: Request) -> str | None:
        """The clip's owner, if the URL is signed for it."""
        if "sign" not in request.query_params:
            return None
        job = await in_thread(self.service.get, request.path_params["id"])
        is_signed = self.signatures.hold(job.id, job.owner, request.query_params)
        return job.owner if is_signed else None

    # ---- state

    async def jobs(self, request: Request, owner: str) -> Response:
        before = request.query_params.get("before")

        def read() -> dict[str, Any]:
            jobs = self.service.list(owner, PAGE, before)
            views = [self.view(job) for job in jobs if job.state is not State.CANCELLED]
            return {"jobs": views, "last": self._last(jobs, owner) if len(jobs) == PAGE else None}

        return fresh_json(await in_thread(read))

    def _last(self, jobs: Sequence[Job], owner: str) -> str:
        """The job after which the next page begins: beyond the batch that the last one is in, as
        the page shows a batch as one."""
        last = jobs[-1]
        if last.batch is None:
            return last.id
        older = self.service.list(owner, LONGEST, last.id)
        return [last, *takewhile(lambda job: job.batch == last.batch, older)][-1].id

    async def job(self, request: Request, owner: str) -> Response:
        job_id = request.path_params["id"]
        if request.method == "DELETE":
            await in_thread(self.service.delete, job_id, owner)
            return Response(status_code=204)

        def read() -> dict[str, Any]:
            return self.view(self.service.get(job_id, owner))

        return fresh_json(await in_thread(read))

    def view(self, job: Job, progress: job_view.Progress | None = None) -> dict[str, Any]:
        if progress is None:
            progress = job_view.Progress.of(self.service.events(job.id))
        estimate = self.service.queue_estimate(job) if job.state is State.QUEUED else None
        shown = job_view.view(
            job,
            progress,
            position=estimate.before if estimate else None,
            wait_s=estimate.seconds if estimate else None,
        )
        if self.service.needs_request and estimate:
            shown["drive"] = self.service.needs_new_request(job)
        return shown | {"signed": self.signatures.query(job.id, job.owner)}

    async def live(self, request: Request, owner: str) -> Response:
        """Server-sent events: each message is the whole state, so any of them may be missed."""
        job = await in_thread(self.service.get, request.path_params["id"], owner)
        return sse.EventStream(self._states(job.id, owner), retry_ms=RETRY_MS)

    def _states(self, job_id: str, owner: str) -> sse.Source:
        progress = job_view.Progress()

        async def changes() -> AsyncGenerator[None, None]:
            for event in await in_thread(self.service.events, job_id):
                progress.fold(event)
            yield
            events = self.service.afollow(job_id, progress.seen, TICK_S)
            async with aclosing(events):
                async for event in events:
                    if event is not None:
                        progress.fold(event)
                    yield

        def read() -> tuple[str, bool]:
            job = self.service.get(job_id, owner)
            is_last = job.state.ended and progress.phase == job.state.value
            return json.dumps(self.view(job, progress)), is_last

        return sse.states(changes(), partial(in_thread, read))

    async def finish(self, request: Request, owner: str) -> Response:
        await in_thread(self.service.finish, request.path_params["id"], owner)
        return Response(status_code=204)

    async def redo_part(self, request: Request, owner: str) -> Response:
        await in_thread(self.service.redo_part, request.path_params["id"], owner)
        return Response(status_code=204)

    async def discard(self, request: Request, owner: str) -> Response:
        await in_thread(self.service.cancel, request.path_params["id"], owner)
        return Response(status_code=204)

    # ---- files

    async def preview(self, request: Request, owner: str) -> Response:
        found = await in_thread(self.service.preview, request.path_params["id"], owner)
        if found is None:
            raise KinoraError(ErrorCode.NOT_FOUND)
        return send_preview(found)

    async def evaluation(self, request: Request, owner: str) -> Response:
        def evaluate() -> dict[str, Any]:
            job = self.service.get(request.path_params["id"], owner)
            return self.service.evaluation(job).model_dump()

        return fresh_json(await in_thread(evaluate))

    async def media(self, request: Request, owner: str) -> Response:
        job_id, what = request.path_params["id"], request.path_params["what"]
        find = {
            "clip": self.service.clip_path,
            "poster": self.service.poster_path,
            "last": self.service.last_frame_path,
        }.get(what)
        if find is None:
            raise KinoraError(ErrorCode.NOT_FOUND)
        path = await in_thread(find, job_id, owner)
        return send_file(request, path, f"kinora-{job_id[:8]}")

    async def picture(self, request: Request, owner: str) -> Response:
        """An uploaded picture or clip, for its owner."""
        path = await in_thread(self.service.upload_path, request.path_params["id"], owner)
        return send_file(request, path)

    async def add_picture(self, request: Request, owner: str) -> Response:
        data = bytearray()
        async for chunk in read_limited(request, "picture", self.settings.max_image_mb):
            data += chunk
        stored = await in_thread(self.service.store_picture, bytes(data), owner)
        return JSONResponse({"id": stored.id, "width": stored.width, "height": stored.height})

    async def add_video(self, request: Request, owner: str) -> Response:
        """Written to disk while it is received: a clip is large, and ffmpeg needs a file."""
        with TemporaryDirectory(prefix="kinora-") as folder:
            path = Path(folder) / "given"
            with path.open("wb") as file:
                async for chunk in read_limited(request, "clip", self.settings.max_video_upload_mb):
                    file.write(chunk)
            stored = await in_thread(self.service.store_video, path, owner)
        body = {"id": stored.id, "width": stored.width, "height": stored.height}
        return JSONResponse(body | {"seconds": stored.seconds})

    # ---- models

    async def offer(self, request: Request, owner: str) -> Response:
        """The models for the picker: a request of its own, as examining the machine is slow."""
        try:
            task = Task(request.query_params.get("task", ""))
        except ValueError:
            raise KinoraError(ErrorCode.INVALID_INPUT, "task is t2v, i2v or v2v.") from None
        return fresh_json(await in_thread(self.models.offer, task))


def launch_kwargs(service: JobService, settings: Settings) -> dict[str, Any]:
    """The arguments of `Blocks.launch` that put the page, its routes and the cookie on one port."""
    # The Hub sets it to True on Spaces. Gradio's front end on Node would then answer /health,
    # /api/* and all our other paths with its own page. `ssr_mode` below is not enough: some code
    # reads the variable itself.
    os.environ["GRADIO_SSR_MODE"] = "False"
    script = Script.read()
    page = PageRoutes(service, settings)
    batches = BatchRoutes(service, page.models, page.signatures)
    gallery = GalleryRoutes(service, page.view, page.signatures)
    films = FilmRoutes(service, page.view, page.signatures)
    edits = EditRoutes(service, settings, page.view)
    tools = PromptTools(service, windows_for(settings))
    prompts = PromptRoutes(tools, Callers(settings))
    shares = PanelShareRoutes(ShareTools(service))
    restore = RestoreRoutes(RestoreTools(service), settings)
    return {
        "ssr_mode": False,
        "show_error": False,
        "max_file_size": max(settings.max_image_bytes, settings.max_video_upload_bytes),
        "enable_monitoring": False,
        "run_history": False,
        "state_session_capacity": 1000,
        "footer_links": ["api", "settings"],
        "theme": theme.build(),
        "head": script.head(),
        "favicon_path": str(STATIC / "favicon.svg"),
        "app_kwargs": {
            "routes": [
                *batches.routes(),
                *shares.routes(),
                *restore.routes(),
                *gallery.routes(),
                *films.routes(),
                *edits.routes(),
                *page.routes(),
                *prompts.routes(),
                *VerifyPage(settings).routes(),
                script.route(),
                task_examples.route(),
                language_files.route(),
            ],
            "middleware": [
                Middleware(VisitorCookie, framed=settings.may_be_framed),
                Middleware(PreloadScript, link=script.preload(), more=language_files.preload),
            ],
            "openapi_url": None,
        },
    }
