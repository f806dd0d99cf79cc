"""The page's routes for batches: their state, their files, what a draft takes when it is rendered,
and what can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from errors import ErrorCode, KinoraError
from jobs.batch import BatchState
from media.picture_zips import about_file, pictures_in
from pipelines.models.selection import find_card
from pipelines.request import Task
from ui import batch_view, job_view
from ui.comparable_settings import comparable_settings
from ui.form import seconds_label
from ui.model_picker import Models
from ui.route_helpers import PREFIX, fresh_json, guarded, in_thread
from ui.signatures import Signatures
from web import sse
from web.errors import NO_STORE, SAFE
from web.files import send_file
from web.limits import limited

if TYPE_CHECKING:
    from jobs.service import JobService

RETRY_MS = 1500
PAGE = 20
HELD_BYTES = 1_000_000
"""Of a zip that is received; a larger one goes to the disk."""
PAUSE_S, LONG_PAUSE_S, MANY = 0.4, 2.0, 50
"""Between two states of a batch; longer where it has many clips, as each is the whole state."""


class BatchRoutes:
    def __init__(self, service: JobService, models: Models, signatures: Signatures) -> None:
        self.service = service
        self.models = models
        self.signatures = signatures

    def routes(self) -> list[Route]:
        one = f"{PREFIX}/batches/{{id:str}}"
        return [
            Route(f"{PREFIX}/batches", guarded(self.batches)),
            Route(one, guarded(self.batch), methods=["GET", "DELETE"]),
            Route(f"{one}/live", guarded(self.live, self.by_signature)),
            Route(f"{one}/discard", guarded(self.discard), methods=["POST"]),
            Route(f"{one}/clips.zip", guarded(self.clips, self.by_signature)),
            Route(f"{one}/{{file:str}}", guarded(self.file, self.by_signature)),
            Route(f"{PREFIX}/jobs/{{id:str}}/full", guarded(self.full)),
            Route(f"{PREFIX}/comparable", guarded(self.comparable)),
            Route(f"{PREFIX}/zips", guarded(self.add_zip), methods=["POST"]),
        ]

    async def by_signature(self, request: Request) -> str | None:
        """The batch's owner, if the URL is signed for it."""
        if "sign" not in request.query_params:
            return None
        batch = (await in_thread(self.service.find_batch, request.path_params["id"])).batch
        is_signed = self.signatures.hold(batch.id, batch.owner, request.query_params)
        return batch.owner if is_signed else None

    # ---- state

    async def batches(self, request: Request, owner: str) -> Response:
        try:
            before = request.query_params.get("before")
            earliest = float(before) if before else None
        except ValueError:
            raise KinoraError(ErrorCode.INVALID_INPUT, "before is a time in seconds.") from None

        def read() -> dict[str, Any]:
            found = self.service.batches(owner, PAGE, earliest)
            last = found[-1].batch.created_at if len(found) == PAGE else None
            shown = [batch_view.summary(self.service, each) for each in found]
            return {"batches": shown, "next": last}

        return fresh_json(await in_thread(read))

    async def batch(self, request: Request, owner: str) -> Response:
        if request.method == "DELETE":
            found = await self._find(request, owner)
            await in_thread(lambda: [self.service.delete(job.id, owner) for job in found.jobs])
            return Response(status_code=204)
        return fresh_json(await in_thread(self._view, request.path_params["id"], owner))

    def _view(self, batch_id: str, owner: str) -> dict[str, Any]:
        found = self.service.find_batch(batch_id, owner)
        return batch_view.view(self.service, found, self.signatures)

    async def live(self, request: Request, owner: str) -> Response:
        """Server-sent events: each message is the whole state. Connect again if a clip is made
        again after the last one."""
        found = await self._find(request, owner)
        batch_id = found.batch.id

        def read() -> tuple[str, bool]:
            shown = self._view(batch_id, owner)
            return json.dumps(shown), shown["ended"]

        changes = self.service.abatch_changes(batch_id, sse.HEARTBEAT_S)
        pause_s = LONG_PAUSE_S if len(found.jobs) > MANY else PAUSE_S
        states = sse.states(changes, partial(in_thread, read), pause_s=pause_s)
        return sse.EventStream(states, retry_ms=RETRY_MS)

    async def discard(self, request: Request, owner: str) -> Response:
        """Discards every clip that is not finished."""

        def discard(found: BatchState) -> None:
            # those that wait first, or they would begin in between
            for job in reversed(found.jobs):
                self.service.cancel(job.id, owner)

        await in_thread(discard, await self._find(request, owner))
        return Response(status_code=204)

    async def full(self, request: Request, owner: str) -> Response:
        """What the full clip of a draft would take, and whether it may show something else."""

        def plan() -> dict[str, Any]:
            draft = self.service.get(request.path_params["id"], owner)
            planned = self.service.plans.render(draft)
            fitted, estimate = self.service.estimate(planned.request, owner)
            width, height = fitted.made_size
            shape = f"{width}×{height}, {seconds_label(fitted.duration_s)}"
            return {
                "line": f"In full: about {job_view.seconds(estimate.seconds)} · {shape}",
                "notes": [note.sentence for note in planned.notes],
            }

        return fresh_json(await in_thread(plan))

    async def comparable(self, request: Request, owner: str) -> Response:
        """What can be compared with a model."""
        query = request.query_params
        try:
            task = Task(query.get("task", ""))
        except ValueError:
            raise KinoraError(ErrorCode.INVALID_INPUT, "task is t2v, i2v or v2v.") from None

        def read() -> dict[str, Any]:
            card = find_card(query.get("model", ""), self.service.cards)
            return {
                "settings": comparable_settings(self.service, self.models, card, task, owner),
            }

        return fresh_json(await in_thread(read))

    # ---- files

    async def add_zip(self, request: Request, owner: str) -> Response:
        """Stores the pictures of a zip; the body is the file."""
        settings = self.service.settings
        limit = settings.max_video_file_size_bytes
        receive = limited(request.scope, request.receive, limit)

        def store(file: IO[bytes]) -> dict[str, Any]:
            pictures = pictures_in(file, settings.max_batch, settings.max_image_bytes)
            return {"pictures": [self._stored(name, data, owner) for name, data in pictures]}

        with SpooledTemporaryFile(max_size=HELD_BYTES) as file:
            async for chunk in Request(request.scope, receive).stream():
                await in_thread(file.write, chunk)
            return fresh_json(await in_thread(store, file))

    def _stored(self, name: str, data: bytes, owner: str) -> dict[str, str]:
        try:
            return {"name": name, "id": self.service.store_picture(data, owner).id}
        except KinoraError as error:
            raise about_file(name, error) from error

    async def file(self, request: Request, owner: str) -> Response:
        makers: dict[str, Callable[[BatchState], Path]] = {
            "sheet.png": self.service.batch_files.sheet,
            "grid.mp4": self.service.batch_files.grid,
        }
        make = makers.get(request.path_params["file"])
        if make is None:
            raise KinoraError(ErrorCode.NOT_FOUND)
        found = await self._find(request, owner)
        response = send_file(request, await in_thread(make, found), _name(found))
        response.headers["Cache-Control"] = "private, no-cache"  # it changes with its clips
        return response

    async def clips(self, request: Request, owner: str) -> Response:
        """The zip of the finished clips."""
        found = await self._find(request, owner)
        pieces = await in_thread(self.service.batch_files.zip, found)
        name = f'attachment; filename="{_name(found)}.zip"'
        headers = {"Content-Disposition": name, **NO_STORE, **SAFE}
        return StreamingResponse(pieces, media_type="application/zip", headers=headers)

    async def _find(self, request: Request, owner: str) -> BatchState:
        return await in_thread(self.service.find_batch, request.path_params["id"], owner)


def _name(found: BatchState) -> str:
    return f"kinora-{found.batch.id[:8]}"
