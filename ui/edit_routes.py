"""The page's routes for edits, as `api/clip_operations.py` has them for programs: also where the
API needs a key."""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from errors import KinoraError
from media.operations.edit_request import read_edit_request
from media.operations.outputs import OUTPUTS
from media.operations.registry import schemas
from ui import gallery_view, job_view
from ui.route_helpers import PREFIX, fresh_json, guarded, in_thread, read_json, read_limited
from web.errors import NO_STORE, SAFE

if TYPE_CHECKING:
    from jobs.service import JobService
    from settings import Settings

MAX_BODY = 1_000_000
"""Bytes: the text of a subtitle file is in it."""
WATCH_S = 0.25
"""How often a preview looks whether the page still waits for it."""


class EditRoutes:
    def __init__(self, service: JobService, settings: Settings, view: gallery_view.View) -> None:
        """`view` is that of a job on the page."""
        self.service = service
        self.settings = settings
        self.view = view

    def routes(self) -> list[Route]:
        here = f"{PREFIX}/operations"
        return [
            Route(here, guarded(self.operations)),
            Route(here, guarded(self.edit), methods=["POST"]),
            Route(f"{here}/estimate", guarded(self.estimate), methods=["POST"]),
            Route(f"{here}/preview", guarded(self.preview), methods=["POST"]),
            Route(f"{here}/files", guarded(self.add_file), methods=["POST"]),
        ]

    async def operations(self, request: Request, owner: str) -> Response:
        """The operations with their schemas, and the kinds of files."""
        formats = [{"format": name, "label": kind.label} for name, kind in OUTPUTS.items()]
        return fresh_json({"operations": await in_thread(schemas), "formats": formats})

    async def edit(self, request: Request, owner: str) -> Response:
        edit = read_edit_request(await read_json(request, MAX_BODY))

        def submit() -> dict[str, Any]:
            return self.view(self.service.submit_edit(edit, owner))

        return fresh_json(await in_thread(submit))

    async def estimate(self, request: Request, owner: str) -> Response:
        """What an edit would take and what would come out, as a line and notes for people."""
        edit = read_edit_request(await read_json(request, MAX_BODY))

        def plan() -> dict[str, Any]:
            planned, took = self.service.plan_edit(edit, owner)
            info = planned.chain.info
            return {
                "line": f"About {job_view.seconds(took.seconds)}",
                "width": info.width,
                "height": info.height,
                "fps": float(info.fps),
                "num_frames": info.num_frames,
                "duration_s": float(info.duration_s),
                "notes": list(planned.chain.notes),
            }

        return fresh_json(await in_thread(plan))

    async def preview(self, request: Request, owner: str) -> Response:
        """The first seconds of an edit, small, as an MP4. It is stopped when the page does not wait
        for it any more."""
        edit = read_edit_request(await read_json(request, MAX_BODY))
        is_left = threading.Event()

        async def watch() -> None:
            while not await request.is_disconnected():
                await anyio.sleep(WATCH_S)
            is_left.set()

        def make() -> bytes | KinoraError:
            try:
                return self.service.preview_edit(edit, owner, is_cancelled=is_left.is_set)
            except KinoraError as error:  # returned: a task group would raise a group of errors
                return error

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            made = await in_thread(make)
            tasks.cancel_scope.cancel()
        if isinstance(made, KinoraError):
            raise made
        return Response(made, headers={**NO_STORE, **SAFE}, media_type="video/mp4")

    async def add_file(self, request: Request, owner: str) -> Response:
        """Stores a clip, or a file that an operation reads, such as a soundtrack. `kind` says what
        it is to be, where it could be something else too."""
        kind = request.query_params.get("kind")
        with TemporaryDirectory(prefix="kinora-") as folder:
            path = Path(folder) / "given"
            with path.open("wb") as file:
                async for chunk in read_limited(request, "file", self.settings.max_video_upload_mb):
                    file.write(chunk)
            stored = await in_thread(
                self.service.store_edit_file, path, owner, "sound" if kind == "sound" else None
            )
        return fresh_json({"id": stored.id, "kind": stored.kind})
