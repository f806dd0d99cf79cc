"""Edits of finished and uploaded clips: new clips, previews and estimates. See docs/editing.md."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from fastapi import APIRouter, Header
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from api import request_body, schemas
from api.core import ApiContext, IdentifiedCaller, JobId
from api.idempotency import idempotency_key_of
from errors import ErrorCode, KinoraError
from jobs.uploads import StoredFile
from media.operations.edit_request import EditRequest, read_edit_request
from media.operations.operation import FileKind
from media.operations.registry import parse_short_form
from media.operations.registry import schemas as operation_schemas
from pipelines.validation_errors import unusable
from web.addresses import address
from web.errors import ERRORS, NO_STORE, SAFE
from web.identity import Caller

if TYPE_CHECKING:
    from jobs.service import JobService

MAX_FILES = 24
FILE_KINDS: tuple[FileKind, ...] = get_args(FileKind)


class OperationView(BaseModel):
    """One operation: what it does and what it takes."""

    op: str
    title: str
    description: str
    by_position: list[str] = Field(
        description="The fields that the short form sets, in this order: `trim=1.0:3.5`."
    )
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema of its fields.")


class OperationList(BaseModel):
    operations: list[OperationView]


class EstimatedEdit(BaseModel):
    """What an edit would take, and what would come out."""

    seconds: float
    low: float
    high: float
    learned: bool = Field(description="From earlier edits here; else guessed.")
    width: int
    height: int
    num_frames: int
    fps: float
    duration_s: float
    megabytes: float = Field(description="About so large will the file be.")
    notes: list[str] = Field(description="What would be fitted, as sentences.")


class FileView(BaseModel):
    """A stored file, which operations name by its id."""

    id: str
    kind: FileKind


class ClipOperations:
    def __init__(self, core: ApiContext) -> None:
        self.core = core
        self.service: JobService = core.service

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api", responses=ERRORS)

        def add(path: str, handler: Any, method: str = "POST", **more: Any) -> None:
            more.setdefault("operation_id", handler.__name__)
            router.add_api_route(path, handler, methods=[method], **more)

        made = {"status_code": 202, "response_model": schemas.JobView}
        preview = {200: {"content": {"video/mp4": {}}, "description": "The file."}}
        add("/operations", self.operations, "GET", response_model=OperationList)
        add("/operations", self.edit, **made)
        add("/operations/estimate", self.estimate_edit, response_model=EstimatedEdit)
        add("/operations/preview", self.preview_edit, response_class=Response,
            response_model=None, responses={**ERRORS, **preview})  # fmt: skip
        add("/operations/files", self.store_edit_file, status_code=201, response_model=FileView)
        add("/clips/{job_id}/operations", self.edit_clip, **made)
        return router

    async def operations(self) -> Response:
        """The operations that can be done on clips, each with the schema of its fields."""
        found = [OperationView.model_validate(each) for each in operation_schemas()]
        return _json(OperationList(operations=found))

    async def edit(
        self,
        request: Request,
        caller: IdentifiedCaller,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        """Make a new clip of one or several: JSON, or a form with files. The clips that it is made
        of stay as they are."""
        return await self._edit(request, caller, None)

    async def edit_clip(
        self,
        job_id: JobId,
        request: Request,
        caller: IdentifiedCaller,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        """As /api/operations, for one clip: `clips` is left out, or names those that follow it."""
        return await self._edit(request, caller, job_id)

    async def estimate_edit(self, request: Request, caller: IdentifiedCaller) -> Response:
        """What an edit would take and what would come out. Makes nothing."""
        body = await request_body.read_body(request, MAX_FILES)
        edit = await read_edit(body, self.service, caller)

        def plan() -> Response:
            planned, took = self.service.plan_edit(edit, caller.owner, may_use=caller.may_see)
            info = planned.info
            return _json(
                EstimatedEdit(
                    seconds=took.seconds,
                    low=took.low,
                    high=took.high,
                    learned=took.learned,
                    width=info.width,
                    height=info.height,
                    num_frames=info.num_frames,
                    fps=float(info.fps),
                    duration_s=float(info.duration_s),
                    megabytes=round(planned.megabytes, 3),
                    notes=list(planned.notes),
                )
            )

        return await in_thread(plan)

    async def preview_edit(self, request: Request, caller: IdentifiedCaller) -> Response:
        """The first seconds of an edit, small and quick, as an MP4. Nothing is stored."""
        body = await request_body.read_body(request, MAX_FILES)
        edit = await read_edit(body, self.service, caller)
        data = await in_thread(
            lambda: self.service.preview_edit(edit, caller.owner, may_use=caller.may_see)
        )
        return Response(data, 200, {**NO_STORE, **SAFE}, "video/mp4")

    async def store_edit_file(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Store a file for an operation, such as a soundtrack: a form with `file`, and with `kind`
        if it is not what it looks like: clip, picture, sound, lut or subtitles."""
        body = await request_body.read_body(request)
        upload, kind = body.get("file"), body.get("kind")
        if not isinstance(upload, UploadFile):
            raise KinoraError(ErrorCode.INVALID_INPUT, "Send the file as “file”.")
        stored = await store_upload(upload, _file_kind(kind), self.service, caller)
        return _json(FileView(id=stored.id, kind=stored.kind), 201)

    async def _edit(self, request: Request, caller: Caller, first: str | None) -> Response:
        body = await request_body.read_body(request, MAX_FILES)
        key = body.pop("idempotency_key", None)
        edit = await read_edit(body, self.service, caller, first)
        once = idempotency_key_of(request, key, edit.model_dump_json(exclude_defaults=True))

        def accept() -> Response:
            with self.core.counted_clips(caller, needs_gpu=False) as limits:
                job = self.service.submit_edit(
                    edit, caller.owner, may_use=caller.may_see, idempotency_key=once
                )
            location = {"Location": address(f"/api/jobs/{job.id}")}
            return _json(schemas.job_view(self.service, job), 202, location | limits)

        return await in_thread(accept)


async def read_edit(
    body: request_body.Body, service: JobService, caller: Caller, first: str | None = None
) -> EditRequest:
    """Of JSON, or of a form: there, `clips` are files or ids, `operations` are JSON or short forms,
    and an operation names another file of the form as `@its-field`."""
    fields = dict(body)
    clips = _as_list(fields.pop("clips", []))
    operations = _operations(fields.pop("operations", []))
    files = {name: value for name, value in fields.items() if isinstance(value, UploadFile)}
    for name, upload in files.items():
        del fields[name]
        stored = await store_upload(upload, None, service, caller)
        operations = [_with_file(each, f"@{name}", stored.id) for each in operations]
    ids = [await _clip_id(each, service, caller) for each in clips]
    return read_edit_request(
        fields
        | {
            "clips": [*([first] if first else []), *ids],
            "operations": [_parsed(each) for each in operations],
        }
    )


async def _clip_id(value: object, service: JobService, caller: Caller) -> object:
    if isinstance(value, UploadFile):
        return (await store_upload(value, "clip", service, caller)).id
    return value


async def store_upload(
    upload: UploadFile, kind: FileKind | None, service: JobService, caller: Caller
) -> StoredFile:
    def store() -> StoredFile:
        with tempfile.NamedTemporaryFile(prefix="kinora-") as kept:
            shutil.copyfileobj(upload.file, kept)
            kept.flush()
            return service.store_edit_file(Path(kept.name), caller.owner, kind)

    return await in_thread(store)


def _operations(value: object) -> list[Any]:
    """A list of objects and short forms, or either alone; a form sends them as JSON."""
    found: list[Any] = []
    for each in _as_list(value):
        if isinstance(each, str) and each.lstrip().startswith(("[", "{")):
            try:
                found += _as_list(json.loads(each))
            except (ValueError, RecursionError):
                raise unusable("operations", "it must be JSON") from None
        else:
            found.append(each)
    return found


def _with_file(operation: Any, name: str, file_id: str) -> Any:
    if isinstance(operation, str):
        return re.sub(rf"(?<=[=:]){re.escape(name)}(?=:|$)", file_id, operation)
    if isinstance(operation, dict):
        return {key: file_id if value == name else value for key, value in operation.items()}
    return operation


def _parsed(operation: Any) -> Any:
    return parse_short_form(operation) if isinstance(operation, str) else operation


def _file_kind(value: object) -> FileKind | None:
    if value is None:
        return None
    for kind in FILE_KINDS:
        if value == kind:
            return kind
    raise unusable("kind", f"it must be one of {', '.join(FILE_KINDS)}")


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _json(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    headers = {**NO_STORE, **SAFE, **(headers or {})}
    return Response(body.model_dump_json(by_alias=True), status, headers, "application/json")
