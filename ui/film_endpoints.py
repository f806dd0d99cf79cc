"""Endpoints of `gradio_client` and tools of MCP that make films of several shots."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import gradio as gr

from errors import ErrorCode, KinoraError
from jobs.film import FilmState
from jobs.film_requests import read_film, read_redo
from pipelines.request_fields import Kind
from ui import film_view
from ui.endpoint_parameters import EndpointParameter, endpoint
from ui.gradio_api import errors_for_gradio
from ui.mcp_tools import Identify, ToolCaller
from web.addresses import public_root

if TYPE_CHECKING:
    from starlette.requests import Request

    from jobs.service import JobService

SHOTS_HELP = (
    "The shots in order, each an object: prompt; cut, which is how it follows the one before it "
    "(continue: starts from its last frames; hard: a cut; crossfade); and optionally duration_s "
    "and seed."
)
SETTINGS_HELP = (
    "Settings that hold for all shots, by the names of make_clip: model, width, height, fps, "
    "negative_prompt, style, seed, and crossfade_s. Left out: the model's own."
)


class FilmEndpoints:
    def __init__(self, service: JobService, identify: Identify) -> None:
        self.service = service
        self.identify = identify

    def add(self) -> None:
        """Add the endpoints to the Blocks that is being built."""
        film_id = EndpointParameter("film_id", help="As make_film returned it.")
        number = EndpointParameter("number", Kind.INTEGER, help="The place of the shot, from 1.")
        prompt = EndpointParameter(
            "prompt", is_optional=True, default=None, help="Left out: as it was, with another seed."
        )
        tools = (
            endpoint(
                self.make_film,
                "make_film",
                inspect.cleandoc(
                    """Start a film of several shots and return at once with its film_id. Each shot
                    becomes a clip of its own, and at the end they are joined to one file. Call
                    film_state to follow it."""
                ),
                [
                    EndpointParameter("shots", type=list[dict[str, Any]], help=SHOTS_HELP),
                    EndpointParameter(
                        "settings",
                        type=dict[str, Any],
                        is_optional=True,
                        default=None,
                        help=SETTINGS_HELP,
                    ),
                ],
            ),
            endpoint(
                self.film_state,
                "film_state",
                "Say how far a film is: each of its shots, and the address of its file when it is "
                "there.",
                [film_id],
            ),
            endpoint(
                self.redo_shot,
                "redo_shot",
                "Make one shot of a film again. All others stay, and the film is joined again.",
                [film_id, number, prompt],
            ),
            endpoint(
                self.cancel_film,
                "cancel_film",
                "Discard what is not finished of a film. The finished shots stay.",
                [film_id],
            ),
        )
        for function in tools:
            gr.api(function, api_name=function.__name__, concurrency_limit=None)

    def make_film(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            web, caller = self._caller(request)
            film = read_film({"shots": arguments["shots"]} | (arguments["settings"] or {}))
            return self._state(self.service.submit_film(film, caller.owner), web)

    def film_state(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            web, caller = self._caller(request)
            return self._state(self._find(arguments["film_id"], caller), web)

    def redo_shot(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            web, caller = self._caller(request)
            number, prompt = int(arguments["number"]), arguments["prompt"]
            wanted = read_redo(number, {} if prompt is None else {"prompt": prompt})
            film_id = self._find(arguments["film_id"], caller).film.id
            return self._state(self.service.redo_shot(film_id, number, wanted), web)

    def cancel_film(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            web, caller = self._caller(request)
            film_id = self._find(arguments["film_id"], caller).film.id
            return self._state(self.service.cancel_film(film_id), web)

    def _find(self, film_id: str, caller: ToolCaller) -> FilmState:
        return self.service.find_film(film_id, caller.owner)

    def _state(self, state: FilmState, request: Request) -> dict[str, Any]:
        return film_view.brief(state, f"{public_root(request)}/api")

    def _caller(self, request: gr.Request) -> tuple[Request, ToolCaller]:
        if request.request is None:
            raise KinoraError(ErrorCode.INTERNAL)
        return request.request, self.identify(request.request)
