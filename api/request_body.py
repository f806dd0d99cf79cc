"""Parses a body, JSON or a form, into a GenerationRequest and stores its pictures and clips.

No value of a body is ever used as a path or as an address to fetch.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request

from api.data_uris import is_data_uri, read_data_uri
from api.idempotency import hashed_content, idempotency_key_of
from errors import ErrorCode, KinoraError
from jobs.job import IdempotencyKey
from media.image_limits import check_bytes
from pipelines.request import REQUEST_FIELDS, GenerationRequest
from pipelines.request_fields import Kind, names_of
from pipelines.validation_errors import invalid_input, unusable
from web.identity import Caller

if TYPE_CHECKING:
    from jobs.service import JobService
    from media.videos import StoredVideo

PICTURES = names_of(REQUEST_FIELDS.values(), Kind.PICTURE)
CLIPS = names_of(REQUEST_FIELDS.values(), Kind.CLIP)
STRUCTURED = names_of(REQUEST_FIELDS.values(), Kind.POINT, Kind.LORAS)
"""Fields that a form sends as JSON."""
STORED = re.compile(r"[0-9a-f]{64}")
JOB = re.compile(r"[0-9a-f]{32}")
MOST_FILES, MOST_FIELDS = 8, 64
BOOL = TypeAdapter(bool)


@dataclass(frozen=True)
class ParsedRequest:
    """The request, whether a stored clip may be returned, and the idempotency key."""

    request: GenerationRequest
    reuse: bool
    once: IdempotencyKey | None


Body = dict[str, Any]
"""Plain values, and uploads where files came."""


async def read_body(request: Request, most_files: int = MOST_FILES) -> Body:
    """The fields of a JSON object or of a form; a name that comes twice gives a list."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        form = await request.form(max_files=most_files, max_fields=MOST_FIELDS)
        request.state.forms.append(form)  # its files are closed after the response
        fields: Body = {}
        for name in form:
            values = [value for value in form.getlist(name) if value != ""]
            if values:
                fields[name] = values[0] if len(values) == 1 else values
        return fields
    data = await request.body()
    if kind not in ("", "application/json") and data:
        raise _unreadable("Send JSON, or a form (multipart/form-data).")
    try:
        body = json.loads(data or b"{}", object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        raise _unreadable("The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise _unreadable("The body must be a JSON object.")
    return body


def _without_repeats(pairs: list[tuple[str, Any]]) -> Body:
    """Refuses repeated names, of which JSON parsers silently keep the last."""
    body = dict(pairs)
    if len(body) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise unusable(twice, "it is given twice")
    return body


def rename_aliases(body: Body, aliases: Mapping[str, str]) -> Body:
    """The body with the request's own names. Two names for one setting must agree."""
    found: Body = {}
    for name, value in body.items():
        own = aliases.get(name, name)
        if own in found and found[own] != value:
            raise unusable(name, f"it was sent under two names, one of them “{own}”")
        found[own] = value
    return found


def refuse_settings_in_query(request: Request) -> None:
    """Settings in the query string would be ignored."""
    for name in request.query_params:
        if name in GenerationRequest.model_fields or name in ("reuse", "idempotency_key"):
            raise unusable(name, "send it in the body, as JSON or a form; not in the address")


async def read_request(
    request: Request,
    service: JobService,
    caller: Caller,
    *,
    aliases: Mapping[str, str] | None = None,
    reuse: bool = True,
) -> ParsedRequest:
    body = await read_body(request)
    return await parse_request(body, request, service, caller, aliases or {}, reuse)


async def parse_request(
    body: Body,
    request: Request,
    service: JobService,
    caller: Caller,
    aliases: Mapping[str, str],
    reuse: bool,
) -> ParsedRequest:
    refuse_settings_in_query(request)
    body = rename_aliases(body, aliases)
    key = body.pop("idempotency_key", None)
    reuse = as_bool(body.pop("reuse", reuse), "reuse")
    wanted = build_request(await store_files(body, service, caller))
    return ParsedRequest(
        wanted, reuse, idempotency_key_of(request, key, hashed_content(wanted), str(reuse))
    )


def build_request(fields: Body) -> GenerationRequest:
    try:
        return GenerationRequest.model_validate(parse_structured(fields))
    except ValidationError as error:
        raise invalid_input(error) from None


def parse_structured(fields: Body) -> Body:
    """With the values of fields that a form sends as JSON."""
    fields = dict(fields)
    for name in STRUCTURED:
        if isinstance(fields.get(name), str):
            try:
                fields[name] = json.loads(fields[name])
            except (ValueError, RecursionError):
                raise unusable(name, "it must be JSON") from None
    return fields


async def store_files(fields: Body, service: JobService, caller: Caller) -> Body:
    fields = dict(fields)
    for name, value in fields.items():
        if name in PICTURES:
            fields[name] = await store_picture_field(name, value, service, caller)
        elif name in CLIPS:
            fields[name] = await store_clip_field(name, value, service, caller)
        elif isinstance(value, UploadFile):
            raise unusable(name, "it is no picture field; send the picture as “image”")
    return fields


async def store_picture_field(
    name: str, value: object, service: JobService, caller: Caller
) -> object:
    """Stores an uploaded picture or data: URI and returns its id; returns an id as it is."""
    if isinstance(value, UploadFile):
        data = await read_picture_upload(value, service.settings.max_image_bytes)
    elif isinstance(value, str) and is_data_uri(value):
        data = await in_thread(_decode_data_uri, name, value)
    elif value is None or (isinstance(value, str) and STORED.fullmatch(value)):
        return value
    else:
        raise unusable(
            name, "send the picture itself, as a file or a data: URI; nothing is fetched"
        )
    return (await in_thread(service.store_picture, data, caller.owner)).id


async def store_clip_field(name: str, value: object, service: JobService, caller: Caller) -> object:
    """Stores an uploaded clip, or that of a finished job, and returns its id; returns the id of a
    stored clip as it is."""
    if isinstance(value, UploadFile):
        return await store_clip_upload(value, service, caller)
    if isinstance(value, str) and JOB.fullmatch(value):
        return (await in_thread(made_clip, value, service, caller)).id
    if value is None or (isinstance(value, str) and STORED.fullmatch(value)):
        return value
    raise unusable(
        name, "send the clip itself as a file, or the id of one of yours; nothing is fetched"
    )


def made_clip(job_id: str, service: JobService, caller: Caller) -> StoredVideo:
    """Stores a finished clip of the caller's, to be worked over or continued."""
    job = service.get(job_id)
    if not caller.may_see(job):
        raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
    if job.result is None:
        sentence = f"That clip has no file to continue: it is {job.state.value}."
        raise KinoraError(ErrorCode.CONFLICT, sentence)
    return service.store_finished_clip(job_id, caller.owner)


async def store_clip_upload(upload: UploadFile, service: JobService, caller: Caller) -> str:
    def store() -> str:
        with tempfile.NamedTemporaryFile(prefix="kinora-") as kept:
            shutil.copyfileobj(upload.file, kept)
            kept.flush()
            return service.store_video(Path(kept.name), caller.owner).id

    return await in_thread(store)


async def read_picture_upload(upload: UploadFile, most: int) -> bytes:
    data = await upload.read(most + 1)
    check_bytes(len(data), most)
    return data


def as_bool(value: object, name: str) -> bool:
    """As the request's own fields are read: "yes" and 1 are true as well."""
    try:
        return BOOL.validate_python(value)
    except ValidationError:
        raise unusable(name, "it must be true or false") from None


def _decode_data_uri(name: str, uri: str) -> bytes:
    try:
        return read_data_uri(uri)
    except ValueError as error:
        raise unusable(name, str(error)) from None


def _unreadable(sentence: str) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, sentence)
