"""Endpoints of `gradio_client` and tools of MCP that edit clips."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components.api_component import Api

from errors import ErrorCode, KinoraError
from jobs.job import Job
from media.operations.edit_request import EditRequest, read_edit_request
from media.operations.registry import parse_short_form, schemas
from pipelines.request_fields import Kind
from ui import job_view
from ui.endpoint_parameters import EndpointParameter, endpoint
from ui.gradio_api import errors_for_gradio, follow_clip, owner
from ui.mcp_tools import Identify, ToolCaller
from ui.routes import in_thread
from web.addresses import public_root

if TYPE_CHECKING:
    from starlette.requests import Request

    from jobs.service import JobService

OPERATIONS_HELP = (
    "What is done, in this order, each as its name and values: trim=1.0:3.5, speed=0.5, reverse. "
    "clip_operations lists all of them."
)
STEPS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}


class EditEndpoints:
    def __init__(self, service: JobService, identify: Identify) -> None:
        self.service = service
        self.identify = identify

    def add(self) -> None:
        """Add the endpoints to the Blocks that is being built."""
        operations = EndpointParameter("operations", type=list[str], help=OPERATIONS_HELP)
        format = EndpointParameter(
            "format", is_optional=True, default=None, help="The kind of file. Left out: mp4."
        )
        edit = endpoint(
            self.edit_clip,
            "edit_clip",
            inspect.cleandoc(
                """Start an edit of finished clips and return at once with a job_id of its own: trim
                them, join them, change their speed, and more. The clips stay as they are. Call
                clip_state to follow it."""
            ),
            [
                EndpointParameter(
                    "job_ids", type=list[str], help="The clips, as make_clip returned them."
                ),
                operations,
                format,
            ],
        )
        listed = endpoint(
            self.clip_operations,
            "clip_operations",
            "List what edit_clip can do: each operation with the schema of its values.",
            [],
        )
        for function in (edit, listed):
            gr.api(function, api_name=function.__name__, concurrency_limit=None)
        file = EndpointParameter("clip", Kind.CLIP)
        wait = endpoint(
            self.edit_file,
            "edit_file",
            "Edit a clip file. Returns the new clip's file and what was done.",
            [file, operations, format],
            has_progress=True,
        )
        steps = Api(None, STEPS, label="operations")  # type: ignore[arg-type]
        outputs = [gr.File(label="clip", visible=False), gr.JSON(label="used", visible=False)]
        gr.on(
            [], wait, [file.component(), steps, format.component()], outputs,
            api_name="edit_file", concurrency_limit=None,
        )  # fmt: skip

    def edit_clip(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        with errors_for_gradio():
            web = _web_request(request)
            caller: ToolCaller = self.identify(web)
            edit = read_edit(arguments["job_ids"], arguments)
            job = self.service.submit_edit(edit, caller.owner, may_use=caller.may_see)
            return self._started(job, web)

    def clip_operations(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        return {"operations": schemas()}

    async def edit_file(
        self, arguments: dict[str, Any], request: gr.Request, progress: gr.Progress
    ) -> tuple[str, dict[str, Any]]:
        who = owner(request)
        with errors_for_gradio():
            if not arguments["clip"]:
                raise KinoraError(ErrorCode.INVALID_INPUT, "Send a clip as `clip`.")
            path = Path(arguments["clip"])
            stored = await in_thread(self.service.store_clip_to_edit, path, who)
            edit = read_edit([stored.id], arguments)
            job = await in_thread(self.service.submit_edit, edit, who)
        clip, used = await follow_clip(self.service, job, who, progress)
        return clip, used | {"operations": arguments["operations"]}

    def _started(self, job: Job, request: Request) -> dict[str, Any]:
        """As clip_state reports it."""
        return {
            "job_id": job.id,
            "state": job.state.value,
            "progress": 0.0,
            "eta_seconds": self.service.eta_s(job.id),
            "line": job_view.line(job, job_view.Progress(), None, None),
            "url": f"{public_root(request)}/api/result/{job.id}",
        }


def read_edit(clips: list[str], arguments: dict[str, Any]) -> EditRequest:
    """Raises KinoraError."""
    operations = [parse_short_form(each) for each in arguments["operations"] or ()]
    values: dict[str, Any] = {"clips": clips, "operations": operations}
    if arguments["format"]:
        values["format"] = arguments["format"]
    return read_edit_request(values)


def _web_request(request: gr.Request) -> Request:
    if request.request is None:
        raise RuntimeError("Gradio called a tool without the web request")
    return request.request
