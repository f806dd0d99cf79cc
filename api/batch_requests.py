"""The requests of a batch, from a body: prompts, images, a zip of images, a CSV, or whole
requests."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile

from api import request_body
from errors import ErrorCode, KinoraError
from media.picture_zips import about_file, pictures_in, shown
from pipelines.request import GenerationRequest
from pipelines.request_csv import FIELD, MAX_BYTES, decode_csv, parse_csv
from pipelines.validation_errors import unusable
from web.identity import Caller

if TYPE_CHECKING:
    from jobs.service import JobService


NamedPicture = tuple[str, str]
"""The name of a file, and the id under which it is stored."""


class BatchRequests:
    def __init__(self, service: JobService) -> None:
        self.service = service

    async def read(self, body: request_body.Body, caller: Caller) -> list[GenerationRequest]:
        """The requests of a body in their order. Raises KinoraError."""
        table = body.pop(FIELD, None)
        named = await self._pictures(body, caller)
        if table is not None:
            return await self._from_csv(table, named, body, caller)
        pictures = [picture for _, picture in named]
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
                ErrorCode.INVALID_INPUT,
                "A batch needs “prompts”, “images”, a “zip”, a “csv” or “requests”.",
            )
        most = self.service.settings.max_batch
        if len(each) > most:
            raise unusable("batch", f"it has {len(each)} clips; at most {most} are accepted")
        return [request_body.build_request(one) for one in each]

    async def _from_csv(
        self, table: Any, named: list[NamedPicture], body: request_body.Body, caller: Caller
    ) -> list[GenerationRequest]:
        """One request for each line. A cell of a picture names one of the pictures that were sent,
        or is what the field itself accepts."""
        for other in ("prompts", "requests"):
            if other in body:
                raise unusable(FIELD, f"it stands alone, without “{other}”")
        text = await _csv_text(table)
        rows = parse_csv(text, self.service.settings.max_batch)
        common = await request_body.store_files(body, self.service, caller)
        common = request_body.parse_structured(common)
        by_name = dict(named)
        used: set[str] = set()
        requests: list[GenerationRequest] = []
        for row in rows:
            files: request_body.Body = {}
            for name in (*request_body.PICTURES, *request_body.CLIPS):
                if name not in row.values:
                    continue
                cell = row.values[name]
                if cell in by_name:
                    used.add(cell)
                    files[name] = by_name[cell]
                    continue
                try:
                    files |= await request_body.store_files({name: cell}, self.service, caller)
                except KinoraError as error:
                    raise row.error(name, error) from error
            request = row.build(common, files)
            await in_thread(row.check, request, partial(self.service.fit, owner=caller.owner))
            requests.append(request)
        if unused := [name for name in by_name if name not in used]:
            raise unusable("images", f"no line of the CSV names “{shown(unused[0])}”")
        return requests

    async def _pictures(self, body: request_body.Body, caller: Caller) -> list[NamedPicture]:
        """The pictures in their order, and the names of their files."""
        sent = body.pop("images", [])
        pictures: list[Any] = list(sent) if isinstance(sent, list) else [sent]
        zipped = body.pop("zip", None)
        most, settings = self.service.settings.max_batch, self.service.settings
        if len(pictures) > most:
            raise unusable("images", f"there are {len(pictures)}; at most {most} are accepted")
        ids = [
            (_name_of(n, each), await self._picture(n, each, caller))
            for n, each in enumerate(pictures, 1)
        ]
        if zipped is not None:
            if not isinstance(zipped, UploadFile):
                raise unusable("zip", "send it as a file")

            def store() -> list[NamedPicture]:
                files = pictures_in(zipped.file, most, settings.max_image_bytes)
                return [(name, self._stored(name, data, caller)) for name, data in files]

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
        try:
            found = await request_body.store_picture_field("images", value, self.service, caller)
        except KinoraError as error:
            if error.code is ErrorCode.INVALID_INPUT:
                raise
            raise about_file(_name_of(number, value), error) from error
        return str(found)

    def _stored(self, name: str, data: bytes, caller: Caller) -> str:
        try:
            return self.service.store_picture(data, caller.owner).id
        except KinoraError as error:
            raise about_file(name, error) from error


def _name_of(number: int, value: object) -> str:
    name = value.filename if isinstance(value, UploadFile) else None
    return name or f"picture {number}"


async def _csv_text(table: object) -> str:
    if isinstance(table, UploadFile):
        return decode_csv(await table.read(MAX_BYTES + 1))
    if isinstance(table, str):
        return table
    raise unusable(FIELD, "send it as a file or as text")


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
