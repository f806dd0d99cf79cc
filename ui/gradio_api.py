"""The endpoints of `gradio_client` that wait: /text_to_video, /image_to_video, /video_to_video; and
/models, /estimate, /health.

A call waits for its clip; cancelling the call discards it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.utils import get_upload_folder
from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from jobs.event_types import PreviewReady, Requeued
from jobs.job import Job, State
from pipelines.models.drafts import draft_rules
from pipelines.models.loras import list_names
from pipelines.request import REQUEST_FIELDS, GenerationRequest, Task
from pipelines.request_fields import Kind, by_group
from pipelines.validation_errors import invalid_input
from ui import job_view
from ui.endpoint_parameters import (
    EndpointParameter,
    endpoint,
    fields_of,
    parameters_for,
    request_values,
)
from ui.routes import in_thread
from web.identity import owner_of

if TYPE_CHECKING:
    from jobs.service import JobService
    from ui.mcp_tools import Identify


HEARTBEAT_S = 15.0
CALL_AGAIN = (
    "The Hub's permission to use your GPU quota expired while this clip waited. Call again, or use "
    "/make_clip and then /clip_state: each of those calls brings a new permission."
)


CLIP_DOCS = {
    Task.TEXT_TO_VIDEO: (
        "text_to_video",
        "Make a clip from words. Returns the clip's file and a JSON of what was used.",
    ),
    Task.IMAGE_TO_VIDEO: (
        "image_to_video",
        "Make a clip that starts from a picture. Returns the clip's file and what was used.",
    ),
    Task.VIDEO_TO_VIDEO: (
        "video_to_video",
        "Make a clip over another one. Returns the new clip's file and what was used.",
    ),
}
ANYTHING = "anything"
"""A prompt for an estimate, which does not depend on it."""
OF_THE_PROMPT = ("style", "wildcards", "wildcard_seed")
"""Last among the parameters of an estimate: it shows the final prompt with them."""


class Endpoints:
    def __init__(self, service: JobService, identify: Identify | None = None) -> None:
        self.service = service
        self.identify = identify

    def add(self) -> None:
        """Add the endpoints to the Blocks that is being built."""
        outputs = [gr.File(label="clip", visible=False), gr.JSON(label="used", visible=False)]
        for task, (name, doc) in CLIP_DOCS.items():
            parameters = parameters_for(fields_of(task), task)
            function = endpoint(
                self.clip, name, doc, [replace(each, help="") for each in parameters],
                has_progress=True,
            )  # fmt: skip
            gr.on(
                [], function, [each.component() for each in parameters], outputs,
                api_name=name, concurrency_limit=None,
            )  # fmt: skip
        for function in (self.models, self._estimate_endpoint(), self.health):
            gr.api(function, api_name=function.__name__, concurrency_limit=None)

    async def clip(
        self, arguments: dict[str, Any], request: gr.Request, progress: gr.Progress
    ) -> tuple[str, dict[str, Any]]:
        who = owner(request)
        with errors_for_gradio():
            values = await self._with_files_stored(request_values(arguments), who)
        return await wait_for_clip(self.service, values, who, progress)

    async def _with_files_stored(self, values: dict[str, Any], who: str) -> dict[str, Any]:
        """With the ids of the pictures and clips instead of the paths of their uploads."""
        for name, path in values.items():
            field = REQUEST_FIELDS[name]
            if not field.is_file:
                continue
            is_picture = field.kind is Kind.PICTURE
            if not path and field.required_for:
                what = "picture" if is_picture else "clip"
                raise KinoraError(ErrorCode.INVALID_INPUT, f"Send a {what} as `{name}`.")
            if path and is_picture:
                data = Path(path).read_bytes()
                values[name] = (await in_thread(self.service.store_picture, data, who)).id
            elif path:
                values[name] = (await in_thread(self.service.store_video, Path(path), who)).id
        return values

    def models(self) -> list[dict[str, Any]]:
        """The models here: what each can do and takes (`rules`), its defaults and limits, and the
        `loras` that are here now, for those that take them."""
        loras = list_names(self.service.settings)
        return [
            card.model_dump(mode="json", exclude={"repo"} if card.is_local else None)
            | {
                "rules": card.rules.model_dump(mode="json"),
                "loras": loras if card.rules.lora else [],
                "drafts": draft_rules(card).model_dump(mode="json"),
            }
            for card in self.service.offered_cards().values()
        ]

    def _estimate_endpoint(self) -> Callable[..., Any]:
        fields = [f for f in by_group(REQUEST_FIELDS.values()) if f.affects_time]
        fields += [REQUEST_FIELDS[name] for name in OF_THE_PROMPT]
        prompt = EndpointParameter("prompt", default=ANYTHING)
        return endpoint(
            self.estimate,
            "estimate",
            "What a clip would take here, and what would be adjusted, before anything is made.",
            [prompt, *(replace(each, help="") for each in parameters_for(fields))],
        )

    def estimate(self, arguments: dict[str, Any], request: gr.Request) -> dict[str, Any]:
        values = arguments | {"prompt": arguments["prompt"] or ANYTHING}
        with errors_for_gradio():
            wanted = GenerationRequest.model_validate(values)
            fitted, took = self.service.estimate(wanted, self._owner_of_styles(request))
        return {
            "seconds": took.seconds,
            "low": took.low,
            "high": took.high,
            "learned": took.learned,
            "used": fitted.model_dump(mode="json"),
        }

    def _owner_of_styles(self, request: gr.Request) -> str:
        """The caller under whom styles are saved. Without a key, where one is needed for that, an
        estimate is made with the app's styles."""
        if self.identify and request.request:
            with contextlib.suppress(KinoraError):
                return self.identify(request.request).owner
        return owner(request)

    def health(self) -> dict[str, Any]:
        """Whether clips can be made right now."""
        hidden = ("job_id", "worker_pid")  # who knows an id may see an unnamed caller's clip
        return {name: value for name, value in self.service.health().items() if name not in hidden}


async def wait_for_clip(
    service: JobService, values: dict[str, Any], who: str, progress: gr.Progress
) -> tuple[str, dict[str, Any]]:
    """Submits the request and waits for its clip, as `follow_clip`."""
    with errors_for_gradio():
        request = GenerationRequest.model_validate(values)
        job = await in_thread(service.submit, request, who)
        await in_thread(service.drive, job.id, who)
    return await follow_clip(service, job, who, progress)


async def follow_clip(
    service: JobService, job: Job, who: str, progress: gr.Progress
) -> tuple[str, dict[str, Any]]:
    """Waits for the clip of a job. A cancelled call discards it."""
    try:
        seen = job_view.Progress()
        async for event in service.afollow(job.id, tick_s=HEARTBEAT_S):
            service.keep_request_alive(job.id)
            if event is None:
                continue
            seen.fold(event)
            if isinstance(event.body, Requeued) and service.waits_for(job) == "caller":
                # this call has one token, and the Hub issues no other to a call that waits
                service.cancel(job.id, who)
                raise _as_gradio(KinoraError(ErrorCode.UNAVAILABLE, CALL_AGAIN))
            if not isinstance(event.body, PreviewReady):
                progress(
                    *_progress_of(seen),
                    desc=job_view.line(await _current_job(service, job, who), seen, None, None),
                )
    except asyncio.CancelledError:
        with contextlib.suppress(KinoraError):
            service.cancel(job.id, who)
        raise
    with errors_for_gradio():
        done = await _current_job(service, job, who)
        if done.state is not State.SUCCEEDED:
            raise KinoraError.from_dict(
                done.error or {"error": "cancelled", "message": "The clip was discarded."}
            )
        path = await in_thread(service.clip_path, job.id, who)
        copy = await in_thread(copy_for_client, path)
    return str(copy), {"job_id": job.id, **used(done)}


def _progress_of(seen: job_view.Progress) -> tuple[Any]:
    if seen.phase == "denoise" and seen.total:
        return ((seen.step, seen.total),)
    return (seen.ring,)


async def _current_job(service: JobService, job: Job, who: str) -> Job:
    return await in_thread(service.get, job.id, who)


def used(job: Job) -> dict[str, Any]:
    """The settings and figures of a finished clip."""
    result = job.result
    return {
        **job_view.used(job),
        "duration_s": job.fitted.duration_s,
        "adjustments": [a.sentence for a in job_view.changes(job)],
        "finished_early": bool(result and result.finished_early),
        "seconds": dict(result.seconds) if result else {},
        "size_bytes": result.size_bytes if result else 0,
    }


def copy_for_client(path: Path) -> Path:
    """Links or copies the file into Gradio's own folder, which Gradio serves and clears by age."""
    folder = Path(get_upload_folder()) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    copy = folder / f"clip{path.suffix}"
    try:
        os.link(path, copy)
    except OSError:
        shutil.copyfile(path, copy)
    return copy


def owner(request: gr.Request | None) -> str:
    raw = request.request if request else None
    visitor = getattr(raw.state, "visitor", None) if raw else None
    return owner_of(visitor) if visitor else f"client:{secrets.token_hex(16)}"


@contextlib.contextmanager
def errors_for_gradio() -> Any:
    """Converts errors to gr.Error, so that a client sees the sentence and nothing else."""
    try:
        yield
    except ValidationError as error:
        raise _as_gradio(invalid_input(error)) from None
    except KinoraError as error:
        raise _as_gradio(error) from None


def _as_gradio(error: KinoraError) -> gr.Error:
    return gr.Error(error.message, title=error.code.value, print_exception=False)
