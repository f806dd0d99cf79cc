"""The page's routes for writing prompts, as `api/prompts.py` has them for programs: also where the
API needs a key."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from errors import ErrorCode, KinoraError
from pipelines.models.selection import find_card
from pipelines.styles import MAX_FILE
from ui.route_helpers import PREFIX, fresh_json, guarded, in_thread
from web.errors import NO_STORE, SAFE
from web.files import send_file
from web.identity import Callers
from web.prompt_tools import PromptTools

log = logging.getLogger(__name__)

MAX_BODY = 64_000


class PromptRoutes:
    def __init__(self, tools: PromptTools, callers: Callers) -> None:
        self.tools = tools
        self.service = tools.service
        self.callers = callers

    def routes(self) -> list[Route]:
        def route(path: str, handler: Any, method: str = "GET") -> Route:
            return Route(f"{PREFIX}{path}", guarded(handler), methods=[method])

        return [
            route("/prompt", self.offer),
            route("/prompt", self.final_prompt, "POST"),
            route("/prompt/suggestions", self.suggestions, "POST"),
            route("/prompt/improve", self.improve, "POST"),
            route("/styles", self.styles),
            route("/styles/export", self.export_styles),
            route("/styles/thumbnails/{name:str}", self.style_thumbnail),
            route("/styles/import", self.import_styles, "POST"),
            route("/styles/{id:str}", self.save_style, "PUT"),
            route("/styles/{id:str}", self.delete_style, "DELETE"),
            route("/looks", self.looks),
            route("/looks/{name:str}", self.look),
            route("/looks/{name:str}", self.save_look, "PUT"),
            route("/looks/{name:str}", self.delete_look, "DELETE"),
        ]

    # ---- prompts

    async def offer(self, request: Request, owner: str) -> Response:
        return await _answer(self.tools.offer)

    async def final_prompt(self, request: Request, owner: str) -> Response:
        return await _answer(self.tools.final_prompt, await _body(request), owner)

    async def suggestions(self, request: Request, owner: str) -> Response:
        return await _answer(self.tools.suggestions, await _body(request))

    async def improve(self, request: Request, owner: str) -> Response:
        improved = await self.tools.improve(await _body(request), self.callers.limited_as(request))
        return fresh_json(improved.model_dump(mode="json"))

    # ---- styles

    async def styles(self, request: Request, owner: str) -> Response:
        found = await in_thread(self._styles, owner, request.query_params.get("model"))
        return fresh_json({"styles": found})

    def _styles(self, owner: str, model: str | None) -> list[dict[str, Any]]:
        """With the file names of the thumbnails that this model made."""
        card = find_card(model, self.service.cards) if model else None
        try:
            thumbnails = self.service.thumbnails.find(card) if card else {}
        except KinoraError:  # the object store is away: names are enough to choose
            log.warning("Thumbnails of the styles not listed; showing names.", exc_info=True)
            thumbnails = {}
        return [
            style.model_dump(mode="json")
            | {"thumbnail": None if style.own else thumbnails.get(style.id)}
            for style in self.tools.styles(owner, model).styles
        ]

    async def style_thumbnail(self, request: Request, owner: str) -> Response:
        path = await in_thread(self.service.thumbnails.path, request.path_params["name"])
        return send_file(request, path)

    async def save_style(self, request: Request, owner: str) -> Response:
        style_id, by = request.path_params["id"], self.callers.limited_as(request)
        return await _answer(self.tools.save_style, owner, style_id, await _body(request), by)

    async def delete_style(self, request: Request, owner: str) -> Response:
        await in_thread(self.service.styles.delete, owner, request.path_params["id"])
        return Response(status_code=204)

    async def export_styles(self, request: Request, owner: str) -> Response:
        text = await in_thread(self.service.styles.export_yaml, owner)
        attachment = {"Content-Disposition": 'attachment; filename="kinora-styles.yaml"'}
        return Response(text, 200, {**NO_STORE, **SAFE, **attachment}, "application/yaml")

    async def import_styles(self, request: Request, owner: str) -> Response:
        """The file is the body."""
        data = await _read(request, MAX_FILE + 1)
        by = self.callers.limited_as(request)
        return await _answer(self.tools.import_styles, owner, data, by)

    # ---- looks

    async def looks(self, request: Request, owner: str) -> Response:
        return await _answer(self.tools.looks, owner)

    async def look(self, request: Request, owner: str) -> Response:
        return await _answer(self.service.looks.get, owner, request.path_params["name"])

    async def save_look(self, request: Request, owner: str) -> Response:
        name, by = request.path_params["name"], self.callers.limited_as(request)
        return await _answer(self.tools.save_look, owner, name, await _body(request), by)

    async def delete_look(self, request: Request, owner: str) -> Response:
        await in_thread(self.service.looks.delete, owner, request.path_params["name"])
        return Response(status_code=204)


async def _answer(function: Callable[..., BaseModel], *arguments: Any) -> Response:
    found = await in_thread(function, *arguments)
    return fresh_json(found.model_dump(mode="json"))


async def _read(request: Request, most: int) -> bytes:
    """Up to so many bytes."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) >= most:
            break
    return bytes(data)


async def _body(request: Request) -> dict[str, Any]:
    data = await _read(request, MAX_BODY + 1)
    if len(data) > MAX_BODY:
        raise KinoraError(ErrorCode.TOO_LARGE, "This is too large to be saved.")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise KinoraError(ErrorCode.INVALID_INPUT, "The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise KinoraError(ErrorCode.INVALID_INPUT, "The body must be a JSON object.")
    return body
