"""Reads the settings that made a clip, out of the clip or by a link to it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request

from api import request_body
from api.core import ApiContext, IdentifiedCaller
from errors import ErrorCode, KinoraError
from jobs.restored_settings import RestoredSettings
from web.errors import ERRORS
from web.restore_tools import RestoreTools


class SettingsReader:
    def __init__(self, core: ApiContext) -> None:
        self.tools = RestoreTools(core.service)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api", responses=ERRORS)
        router.add_api_route(
            "/settings/read",
            self.read_settings,
            methods=["POST"],
            operation_id="read_settings",
            response_model=RestoredSettings,
        )
        return router

    async def read_settings(self, request: Request, caller: IdentifiedCaller) -> RestoredSettings:
        """The settings that made a clip: send the MP4 or WebM as the body or as a form's `file`, or
        JSON with the `link` to a shared clip or to one of yours. `settings` can be sent as a
        request; `notes` say what is different here. Clips of ComfyUI, Wan2GP and SD.Next are read
        as far as their settings have a meaning here."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            link = (await request_body.read_body(request)).get("link")
            return await in_thread(self.tools.read_link, link, caller.owner)
        with tempfile.NamedTemporaryFile(prefix="kinora-") as stored:
            if kind.startswith("multipart/"):
                file = (await request_body.read_body(request)).get("file")
                if not isinstance(file, UploadFile):
                    raise KinoraError(ErrorCode.INVALID_INPUT, "Send the clip as “file”.")
                await in_thread(shutil.copyfileobj, file.file, stored)
            else:
                async for chunk in request.stream():
                    stored.write(chunk)
            stored.flush()
            return await in_thread(self.tools.read_file, Path(stored.name), caller.owner)
