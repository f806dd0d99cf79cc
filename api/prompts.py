"""What helps to write prompts: the final prompt, styles, looks, suggestions, improvement."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool as in_thread
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from api import request_body
from api.core import ApiContext, IdentifiedCaller
from jobs.looks import Look
from pipelines.prompt_templates import Suggestions
from pipelines.styles import MAX_FILE
from pipelines.validation_errors import unusable
from web.enhancer import Improvement
from web.errors import ERRORS, NO_STORE, SAFE
from web.limits import windows_for
from web.prompt_tools import (
    FinalPromptView,
    LookList,
    PromptOffer,
    PromptTools,
    StyleList,
    StyleView,
)

YAML = "application/yaml"


class Prompts:
    def __init__(self, core: ApiContext) -> None:
        self.service = core.service
        self.tools = PromptTools(core.service, windows_for(core.service.settings))

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api", responses=ERRORS)

        def add(path: str, handler: Any, method: str = "GET", **more: Any) -> None:
            more.setdefault("operation_id", handler.__name__)
            router.add_api_route(path, handler, methods=[method], **more)

        file = {200: {"content": {YAML: {}}, "description": "The file."}}
        add("/prompt", self.prompt_tools, response_model=PromptOffer)
        add("/prompt", self.final_prompt, "POST", response_model=FinalPromptView)
        add("/prompt/suggestions", self.suggestions, "POST", response_model=Suggestions)
        add("/prompt/improve", self.improve, "POST", response_model=Improvement,
            include_in_schema=self.tools.enhancer.is_there)  # fmt: skip
        add("/styles", self.styles, response_model=StyleList)
        add("/styles/export", self.styles_export, response_class=Response, response_model=None,
            responses={**ERRORS, **file})  # fmt: skip
        add("/styles/import", self.styles_import, "POST", response_model=StyleList)
        add("/styles/{style_id}", self.style_save, "PUT", response_model=StyleView)
        add("/styles/{style_id}", self.style_delete, "DELETE", status_code=204)
        add("/looks", self.looks, response_model=LookList)
        add("/looks/{name}", self.look, response_model=Look)
        add("/looks/{name}", self.look_save, "PUT", response_model=Look)
        add("/looks/{name}", self.look_delete, "DELETE", status_code=204)
        return router

    # ---- prompts

    async def prompt_tools(self) -> Response:
        """What helps to write prompts here: the lists of wildcards, and whether a language model
        can improve a prompt."""
        return _json(await in_thread(self.tools.offer))

    async def final_prompt(self, request: Request, caller: IdentifiedCaller) -> Response:
        """The prompt that this request would be made with, wildcards chosen and style applied.
        Makes nothing. Send the `wildcard_seed` of the response along to get the same choices."""
        body = await request_body.read_body(request)
        return _json(await in_thread(self.tools.final_prompt, body, caller.owner))

    async def suggestions(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Complete a short `prompt`: whole suggestions, and the parts that it lacks (action, place,
        camera, light) with choices. For a `model`. From templates, without a language model."""
        body = await request_body.read_body(request)
        return _json(await in_thread(self.tools.suggestions, body))

    async def improve(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Improve a `prompt` for a `model` and `task` with the operator's language model. `prompt`
        comes back as it was sent, with `improved` beside it, or a `message` why there is none."""
        body = await request_body.read_body(request)
        return _json(await self.tools.improve(body, caller.limited_as))

    # ---- styles

    async def styles(
        self,
        caller: IdentifiedCaller,
        model: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """The styles that a request may name, your own first. With a `model`: the templates for
        it."""
        owner = None if caller.kind == "anyone" else caller.owner
        return _json(await in_thread(self.tools.styles, owner, model))

    async def style_save(
        self, request: Request, style_id: str, caller: IdentifiedCaller
    ) -> Response:
        """Save a style of your own: `name`, `prompt` with `{prompt}` in it, and `negative_prompt`,
        `example` and `families` as you like. Replaces yours of that id."""
        body = await request_body.read_body(request)
        save = self.tools.save_style
        return _json(await in_thread(save, caller.named(), style_id, body, caller.limited_as))

    async def style_delete(self, style_id: str, caller: IdentifiedCaller) -> Response:
        """Delete a style of your own."""
        await in_thread(self.service.styles.delete, caller.named(), style_id)
        return Response(status_code=204)

    async def styles_export(self, caller: IdentifiedCaller) -> Response:
        """Your own styles as a YAML file."""
        text = await in_thread(self.service.styles.export_yaml, caller.named())
        attachment = {"Content-Disposition": 'attachment; filename="kinora-styles.yaml"'}
        return Response(text, 200, {**NO_STORE, **SAFE, **attachment}, YAML)

    async def styles_import(self, request: Request, caller: IdentifiedCaller) -> Response:
        """Save the styles of a YAML file, sent as the body or as a form's `file`: all of them or
        none. Yours of the same ids are replaced."""
        owner, data = caller.named(), await _file(request)
        return _json(await in_thread(self.tools.import_styles, owner, data, caller.limited_as))

    # ---- looks

    async def looks(self, caller: IdentifiedCaller) -> Response:
        """Your looks: prompts and settings, saved by name."""
        return _json(await in_thread(self.tools.looks, caller.named()))

    async def look(self, name: str, caller: IdentifiedCaller) -> Response:
        """One look, to share: others save it with PUT."""
        return _json(await in_thread(self.service.looks.get, caller.named(), name))

    async def look_save(self, request: Request, name: str, caller: IdentifiedCaller) -> Response:
        """Save a look: `settings` has fields of a request. Pictures and clips are left out."""
        body = await request_body.read_body(request)
        save = self.tools.save_look
        return _json(await in_thread(save, caller.named(), name, body, caller.limited_as))

    async def look_delete(self, name: str, caller: IdentifiedCaller) -> Response:
        """Delete a look."""
        await in_thread(self.service.looks.delete, caller.named(), name)
        return Response(status_code=204)


async def _file(request: Request) -> bytes:
    if request.headers.get("content-type", "").startswith("multipart/"):
        file = (await request_body.read_body(request)).get("file")
        if not isinstance(file, UploadFile):
            raise unusable("file", "send the styles as a file")
        return await file.read(MAX_FILE + 1)
    return await request.body()


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), 200, {**NO_STORE, **SAFE}, "application/json")
