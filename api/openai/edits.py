"""Videos made from videos, in the openai SDK's format: remix, edit, extend.

An edit works over the source; an extension continues it, and both are in one file. The source is a
finished video of the caller's, or a file. Characters are not supported: their routes return an
error.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from api import request_body
from api.core import ApiContext, IdentifiedCaller, JobId
from api.openai.schemas import from_openai_names
from errors import ErrorCode, KinoraError
from jobs.final_prompt import as_written
from jobs.job import Job
from pipelines.request import REQUEST_FIELDS, Task
from web.identity import Caller

if TYPE_CHECKING:
    from api.openai.videos import Videos

SOURCE = "video"
ITS_ID = f"{SOURCE}[id]"
ID = re.compile(r"[0-9a-f]{32}")
KEPT = tuple(name for name, field in REQUEST_FIELDS.items() if field.kept_by_edits)
"""What an edit or an extension takes over from its source, where the same model makes it."""


class Edits:
    def __init__(self, core: ApiContext, videos: Videos) -> None:
        self.core = core
        self.service = core.service
        self._videos = videos

    def add_to(self, router: APIRouter, answer: type) -> None:
        """Call it before the routes with an id in their path are added, which match these too."""
        for path, handler, method in (
            ("/edits", self.edit, "POST"),
            ("/extensions", self.extend, "POST"),
            ("/characters", self.create_character, "POST"),
            ("/characters/{character_id}", self.get_character, "GET"),
            ("/{video_id}/remix", self.remix, "POST"),
        ):
            router.add_api_route(
                path, handler, methods=[method], operation_id=f"videos_{handler.__name__}",
                response_model=answer,
            )  # fmt: skip

    async def remix(self, request: Request, video_id: JobId, caller: IdentifiedCaller) -> Response:
        """The same video with another prompt: its seed, its size, its picture, its style."""
        job = await self.core.get_job_in_thread(video_id, caller)
        body = from_openai_names(await request_body.read_body(request))
        _require_prompt(body)
        settings = as_written(job.fitted).model_dump(mode="json", exclude_none=True)
        if "duration_s" in body:  # a length of its own
            settings.pop("num_frames", None)
        return await self._make(settings | body, request, caller, job)

    async def edit(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Work over a video: `video` is a file or `{"id": ...}` of a finished one, `prompt` is
        what it becomes, `strength` (0 to 1) how far from it. Accepts any other setting."""
        return await self._from_source(request, caller, "video", Task.VIDEO_TO_VIDEO)

    async def extend(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Continue a video: `seconds` are added to `video`, a file or `{"id": ...}` of a finished
        one, and the answer's `seconds` are those of both in one file."""
        return await self._from_source(request, caller, "continue_from", Task.IMAGE_TO_VIDEO)

    async def create_character(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Not supported: no model here keeps a character."""
        self._no_characters()

    async def get_character(
        self, request: Request, character_id: str, caller: IdentifiedCaller
    ) -> Response:
        """Not supported: no model here keeps a character."""
        self._no_characters()

    def _no_characters(self) -> NoReturn:
        raise KinoraError(
            ErrorCode.TASK_NOT_SUPPORTED,
            "Characters are not supported here. Send a picture of yours as “input_reference”.",
        )

    async def _from_source(
        self, request: Request, caller: Caller, field: str, task: Task
    ) -> Response:
        body = await request_body.read_body(request)
        source = _source(body)
        body = from_openai_names(body)
        _require_prompt(body)
        if field == "continue_from" and not {"duration_s", "num_frames"} & set(body):
            raise _missing("seconds", "Say how many seconds are to be added, as “seconds”.")
        if isinstance(source, UploadFile):
            return await self._make(body | {field: source}, request, caller, None)
        job = await self.core.get_job_in_thread(source, caller)
        settings = await in_thread(self._settings_like, job, body, task)
        return await self._make(settings | body | {field: job.id}, request, caller, job)

    def _settings_like(self, job: Job, body: request_body.Body, task: Task) -> request_body.Body:
        """The source's model and settings, if that model has this task and no other is named."""
        card = self.service.cards.get(job.fitted.model)
        if card is None or task not in card.tasks or body.get("model", card.id) != card.id:
            return {}
        before = job.fitted.as_request().model_dump(mode="json", exclude_none=True)
        return {"model": card.id} | {name: before[name] for name in KEPT if name in before}

    async def _make(
        self, fields: request_body.Body, request: Request, caller: Caller, job: Job | None
    ) -> Response:
        parsed = await request_body.parse_request(
            fields, request, self.service, caller, {}, reuse=False
        )
        made, left = await self.core.submit(parsed, caller, parent=job.id if job else None)
        return await self._videos.shown(made, left)


def _source(body: request_body.Body) -> UploadFile | str:
    """Removes the source from the body: a file, or the id of a video in any of its notations."""
    sent: Any = body.pop(SOURCE, None)
    named = body.pop(ITS_ID, None)
    if isinstance(sent, str) and sent.lstrip().startswith("{"):
        try:
            sent = json.loads(sent)
        except (ValueError, RecursionError):
            sent = None
    if isinstance(sent, dict):
        sent = sent.get("id")
    sent = sent or named
    if isinstance(sent, UploadFile) or (isinstance(sent, str) and ID.fullmatch(sent)):
        return sent
    if isinstance(sent, str):
        raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
    raise _missing(SOURCE, "Send the video as a file, or the id of a finished one: “video”.")


def _require_prompt(body: request_body.Body) -> None:
    if not body.get("prompt"):
        raise _missing("prompt", "Say what is to be different: the prompt is empty.")


def _missing(field: str, sentence: str) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": field})
