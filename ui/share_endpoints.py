"""Endpoints of `gradio_client` and tools of MCP that share a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr
from starlette.requests import Request

from errors import ErrorCode, KinoraError
from pipelines.request_fields import Kind
from ui.endpoint_parameters import EndpointParameter, endpoint
from ui.gradio_api import errors_for_gradio
from ui.mcp_tools import Identify, ToolCaller
from web.identity import ANYONE
from web.share_tools import EXPIRES_IN, ShareTools, root_of

if TYPE_CHECKING:
    from jobs.service import JobService

DAY_S = 24 * 3600
NO_NAME = (
    "Links are made for callers with a name. Send a secret of your own as Authorization: Bearer, "
    "when you make clips and here."
)


class ShareEndpoints:
    def __init__(self, service: JobService, identify: Identify) -> None:
        self.tools = ShareTools(service)
        self.identify = identify

    def add(self) -> None:
        """Add the endpoints to the Blocks that is being built."""
        job_id = EndpointParameter("job_id", help="What make_clip returned.")
        share = endpoint(
            self.share_clip,
            "share_clip",
            """Make a link by which anyone may watch a finished clip of yours, and return its
            address as `url`. Called again, it changes what the link shows.""",
            [
                job_id,
                EndpointParameter("title", default="", help="The title of its page."),
                EndpointParameter(
                    "hide_prompt", Kind.BOOLEAN, default=False, help="Leave out the prompt."
                ),
                EndpointParameter(
                    "hide_settings", Kind.BOOLEAN, default=False, help="Leave out the settings."
                ),
                EndpointParameter(
                    "expires_in_days", Kind.NUMBER, is_optional=True, default=None,
                    help="After how many days the link stops working. Left out: never.",
                ),
            ],
        )  # fmt: skip
        unshare = endpoint(
            self.unshare_clip,
            "unshare_clip",
            "Revoke the link of a clip: it leads nowhere from then on.",
            [job_id],
        )
        for function in (share, unshare):
            gr.api(function, api_name=function.__name__, concurrency_limit=None)

    def share_clip(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        body = {name: arguments[name] for name in ("title", "hide_prompt", "hide_settings")}
        with errors_for_gradio():
            web = _web_request(request)
            owner = self._owner(web)
            days = arguments["expires_in_days"]
            if days is not None:
                body[EXPIRES_IN] = days * DAY_S if isinstance(days, int | float) else days
            found = self.tools.put(arguments["job_id"], owner, body, root_of(web))
            return found.model_dump(mode="json")

    def unshare_clip(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            self.tools.revoke(arguments["job_id"], self._owner(_web_request(request)))
        return {"job_id": arguments["job_id"], "shared": False}

    def _owner(self, request: Request) -> str:
        caller: ToolCaller = self.identify(request)
        if caller.owner.startswith(ANYONE):
            raise KinoraError(ErrorCode.UNAUTHORIZED, NO_NAME)
        return caller.owner


def _web_request(request: gr.Request) -> Request:
    if request.request is None:
        raise RuntimeError("Gradio called a tool without the web request")
    return request.request
