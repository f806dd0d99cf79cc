"""Endpoints of `gradio_client` and tools of MCP that help to write prompts. They make no clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from pipelines.request import REQUEST_FIELDS
from ui.endpoint_parameters import EndpointParameter, endpoint, parameters_for
from ui.gradio_api import errors_for_gradio
from ui.mcp_tools import Identify, ToolCaller
from web.limits import windows_for
from web.prompt_tools import PromptTools

if TYPE_CHECKING:
    from jobs.service import JobService

PROMPT_FIELDS = ("prompt", "negative_prompt", "style", "wildcards", "wildcard_seed", "model")
SETTINGS = (
    "Fields of a clip's request, such as prompt, style, model, guidance_scale. Pictures and clips "
    "are left out."
)


class PromptEndpoints:
    def __init__(self, service: JobService, identify: Identify) -> None:
        self.tools = PromptTools(service, windows_for(service.settings))
        self.identify = identify

    def add(self) -> None:
        """Add the endpoints to the Blocks that is being built."""
        fields = [REQUEST_FIELDS[name] for name in PROMPT_FIELDS]
        prompt = EndpointParameter("prompt", help="A short prompt.")
        (model,) = parameters_for([REQUEST_FIELDS["model"]])
        words = parameters_for(fields)
        found = [
            endpoint(
                self.styles,
                "styles",
                "List the styles that a clip may have, with their templates for the model.",
                [model],
            ),
            endpoint(
                self.final_prompt,
                "final_prompt",
                "Show the prompt that a clip would be made with, after wildcards and style.",
                words,
            ),
            endpoint(
                self.suggest_prompts,
                "suggest_prompts",
                "Complete a short prompt with an action, a place, the camera and the light.",
                [prompt, model],
            ),
        ]
        name = EndpointParameter("name", help="The look's name.")
        found += [
            endpoint(
                self.looks,
                "looks",
                "List your looks: prompts and settings that you saved by name, to share or apply.",
                [],
            ),
            endpoint(
                self.save_look,
                "save_look",
                "Save a prompt and settings by name. One of yours with that name is replaced.",
                [name, EndpointParameter("settings", type=dict[str, Any], help=SETTINGS)],
            ),
            endpoint(self.delete_look, "delete_look", "Delete one of your looks.", [name]),
        ]
        if self.tools.enhancer.is_there:
            found.append(
                endpoint(
                    self.improve_prompt,
                    "improve_prompt",
                    "Improve a prompt with a language model. Returns both prompts.",
                    [prompt, model],
                )
            )
        for function in found:
            gr.api(function, api_name=function.__name__, concurrency_limit=None)

    def styles(self, arguments: dict[str, Any], request: gr.Request) -> list[dict[str, Any]]:
        with errors_for_gradio():
            found = self.tools.styles(self._caller(request).owner, arguments["model"])
        return [style.model_dump() for style in found.styles]

    def final_prompt(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            made = self.tools.final_prompt(arguments, self._caller(request).owner)
        return made.model_dump(mode="json")

    def suggest_prompts(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            self._caller(request)
            return self.tools.suggestions(arguments).model_dump(mode="json")

    def looks(self, _arguments: dict[str, Any], request: gr.Request) -> list[dict[str, Any]]:
        with errors_for_gradio():
            found = self.tools.looks(self._caller(request).named())
        return [look.model_dump(mode="json") for look in found.looks]

    def save_look(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            caller = self._caller(request)
            body = {"settings": arguments["settings"]}
            saved = self.tools.save_look(caller.named(), arguments["name"], body, caller.limited_as)
        return saved.model_dump(mode="json")

    def delete_look(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            self.tools.service.looks.delete(self._caller(request).named(), arguments["name"])
        return {"deleted": arguments["name"]}

    async def improve_prompt(
        self, arguments: dict[str, Any], request: gr.Request
    ) -> dict[str, Any]:
        with errors_for_gradio():
            caller = self._caller(request)
            return (await self.tools.improve(arguments, caller.limited_as)).model_dump()

    def _caller(self, request: gr.Request) -> ToolCaller:
        if request.request is None:
            raise RuntimeError("Gradio called a tool without the web request")
        return self.identify(request.request)
