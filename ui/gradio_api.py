"""What `gradio_client` may call: /text_to_video, /image_to_video, /video_to_video, /models ...

Knows Gradio's API side. A call waits for its clip; cancelling the call discards it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components.api_component import Api
from gradio.utils import get_upload_folder
from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from jobs.event_types import PreviewReady, Requeued
from jobs.job import Job, State
from pipelines.models.cards import ModelCard
from pipelines.models.loras import offered
from pipelines.request import GenerationRequest
from ui import job_view
from ui.form import as_kinora_error
from ui.routes import in_thread
from web.identity import owner_of

if TYPE_CHECKING:
    from jobs.service import JobService


FILES = ("image", "last_image", "video")
NULL = {"type": "null"}
LORAS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "source": {
                "type": "string",
                "description": "A file in the LoRA folder, or owner/name on the Hub",
            },
            "weight": {"type": "number", "minimum": -4, "maximum": 4, "default": 1.0},
        },
        "required": ["source"],
    },
}
"""gr.JSON would describe itself as `{"type": {}}`, which is no JSON Schema: clients that check
schemas refuse every call of such a tool."""
STILL_HERE_S = 15.0
CALL_AGAIN = (
    "The Hub's permission to use your GPU quota expired while this clip waited. Call again, or use "
    "/make_clip and ask /clip_state for it: each of those calls brings a new permission."
)


def asked_in(given: dict[str, Any]) -> dict[str, Any]:
    """Of an endpoint's arguments, the fields of a request."""
    asked = {name: given[name] for name in GenerationRequest.model_fields if name in given}
    return asked if asked.get("loras") is not None else asked | {"loras": []}


def add(service: JobService, cards: Mapping[str, ModelCard]) -> None:
    """Add the endpoints to the Blocks that is being built."""

    async def text_to_video(
        prompt: str,
        negative_prompt: str | None = None,
        model: str | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        loras: list[dict[str, Any]] | None = None,
        upscale: bool = False,
        width: int | None = None,
        height: int | None = None,
        num_frames: int | None = None,
        duration_s: float | None = None,
        fps: int | None = None,
        format: str = "mp4",
        quality: str = "medium",
        allow_fallback: bool = True,
        request: gr.Request = None,  # type: ignore[assignment]  # given by Gradio
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # how Gradio asks for it
    ) -> tuple[str, dict[str, Any]]:
        """Make a clip from words. Returns the clip's file and a JSON of what was used."""
        return await make(service, asked_in(locals()), owner(request), progress)

    async def image_to_video(
        image: str,
        prompt: str = "",
        negative_prompt: str | None = None,
        focus_x: float = 0.5,
        focus_y: float = 0.5,
        last_image: str | None = None,
        motion_bucket_id: int | None = None,
        model: str | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        loras: list[dict[str, Any]] | None = None,
        upscale: bool = False,
        width: int | None = None,
        height: int | None = None,
        num_frames: int | None = None,
        duration_s: float | None = None,
        fps: int | None = None,
        format: str = "mp4",
        quality: str = "medium",
        allow_fallback: bool = True,
        request: gr.Request = None,  # type: ignore[assignment]  # given by Gradio
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # how Gradio asks for it
    ) -> tuple[str, dict[str, Any]]:
        """Make a clip that starts from a picture. Returns the clip's file and what was used."""
        who, asked = owner(request), asked_in(locals())
        with sentences():
            if not image:
                raise KinoraError(ErrorCode.INVALID_INPUT, "Send a picture as `image`.")
            for name in ("image", "last_image"):
                if asked[name]:
                    data = Path(asked[name]).read_bytes()
                    asked[name] = (await in_thread(service.store_picture, data, who)).id
        asked["focus"] = {"x": focus_x, "y": focus_y}
        return await make(service, asked, who, progress)

    async def video_to_video(
        video: str,
        prompt: str,
        negative_prompt: str | None = None,
        strength: float | None = None,
        focus_x: float = 0.5,
        focus_y: float = 0.5,
        model: str | None = None,
        seed: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        loras: list[dict[str, Any]] | None = None,
        upscale: bool = False,
        width: int | None = None,
        height: int | None = None,
        num_frames: int | None = None,
        duration_s: float | None = None,
        fps: int | None = None,
        format: str = "mp4",
        quality: str = "medium",
        allow_fallback: bool = True,
        request: gr.Request = None,  # type: ignore[assignment]  # given by Gradio
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # how Gradio asks for it
    ) -> tuple[str, dict[str, Any]]:
        """Make a clip over another one. Returns the new clip's file and what was used."""
        who, asked = owner(request), asked_in(locals())
        with sentences():
            if not video:
                raise KinoraError(ErrorCode.INVALID_INPUT, "Send a clip as `video`.")
            asked["video"] = (await in_thread(service.store_video, Path(video), who)).id
        asked["focus"] = {"x": focus_x, "y": focus_y}
        return await make(service, asked, who, progress)

    def models() -> list[dict[str, Any]]:
        """The models here: what each can do and takes (`rules`), its defaults and limits, and the
        `loras` that are here now, for those that take them."""
        loras = offered(service.settings)
        return [
            card.model_dump(mode="json", exclude={"repo"} if card.is_local else None)
            | {
                "rules": card.rules.model_dump(mode="json"),
                "loras": loras if card.rules.lora else [],
            }
            for card in service.offered_cards().values()
        ]

    def estimate(
        prompt: str = "anything",
        model: str | None = None,
        num_inference_steps: int | None = None,
        width: int | None = None,
        height: int | None = None,
        num_frames: int | None = None,
        duration_s: float | None = None,
        fps: int | None = None,
    ) -> dict[str, Any]:
        """What a clip would take here, and what would be adjusted, before anything is made."""
        asked = {
            "prompt": prompt or "anything",
            "model": model,
            "num_inference_steps": num_inference_steps,
            "width": width,
            "height": height,
            "num_frames": num_frames,
            "duration_s": duration_s,
            "fps": fps,
        }
        with sentences():
            fitted, took = service.estimate(GenerationRequest.model_validate(asked))
        return {
            "seconds": took.seconds,
            "low": took.low,
            "high": took.high,
            "learned": took.learned,
            "used": fitted.model_dump(mode="json"),
        }

    def health() -> dict[str, Any]:
        """Whether clips can be made right now."""
        hidden = ("job_id", "worker_pid")  # who knows an id may see an unnamed caller's clip
        return {name: value for name, value in service.health().items() if name not in hidden}

    clip, used = gr.File(label="clip", visible=False), gr.JSON(label="used", visible=False)
    gr.on(
        [], text_to_video, [*_inputs(text_to_video)], [clip, used],
        api_name="text_to_video", concurrency_limit=None,
    )  # fmt: skip
    gr.on(
        [], image_to_video, [*_inputs(image_to_video)], [clip, used],
        api_name="image_to_video", concurrency_limit=None,
    )  # fmt: skip
    gr.on(
        [], video_to_video, [*_inputs(video_to_video)], [clip, used],
        api_name="video_to_video", concurrency_limit=None,
    )  # fmt: skip
    gr.api(models, api_name="models", concurrency_limit=None)
    gr.api(estimate, api_name="estimate", concurrency_limit=None)
    gr.api(health, api_name="health", concurrency_limit=None)


def _inputs(function: Any) -> list[Any]:
    """An unseen component for each parameter, so that the API's schema is typed."""
    kinds: dict[str, type] = {
        "str": gr.Textbox,
        "int": gr.Number,
        "float": gr.Number,
        "bool": gr.Checkbox,
    }
    made: list[Any] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("request", "progress"):
            continue
        hint = str(parameter.annotation)
        if name in FILES:
            made.append(gr.File(label=name, visible=False, type="filepath"))
            continue
        if name == "loras":
            made.append(Api(None, {"oneOf": [NULL, LORAS]}, label=name))  # type: ignore[arg-type]
            continue
        kind = kinds[hint.removesuffix(" | None")]
        extra: dict[str, Any] = {"precision": 0} if hint.startswith("int") else {}
        if parameter.default is not parameter.empty:  # a value makes it optional for clients
            extra["value"] = parameter.default
        component = kind(label=name, visible=False, **extra)
        if hint.endswith(" | None"):
            _accept_null(component)
        component.preprocess = as_sent
        made.append(component)
    return made


def _accept_null(component: Any) -> None:
    """Programs, models above all, send `null` for what they leave to us; the schema says so too."""
    schema = {"oneOf": [NULL, component.api_info()]}
    component.api_info = lambda: schema


def as_sent(payload: Any) -> Any:
    """What came, for the request to read: a component would round 3.7 to 4, and make a text of
    a list."""
    return payload


async def make(
    service: JobService, asked: dict[str, Any], who: str, progress: gr.Progress
) -> tuple[str, dict[str, Any]]:
    with sentences():
        request = GenerationRequest.model_validate(asked)
        job = await in_thread(service.submit, request, who)
        await in_thread(service.drive, job.id, who)
    try:
        seen = job_view.Progress()
        async for event in service.afollow(job.id, tick_s=STILL_HERE_S):
            service.keep_request_alive(job.id)
            if event is None:
                continue
            seen.fold(event)
            if isinstance(event.body, Requeued) and service.waits_for(job) == "caller":
                # this call has one token only, and the Hub gives no other to a call that waits
                service.cancel(job.id, who)
                raise _as_gradio(KinoraError(ErrorCode.UNAVAILABLE, CALL_AGAIN))
            if not isinstance(event.body, PreviewReady):
                progress(
                    *_told(seen),
                    desc=job_view.line(await _now(service, job, who), seen, None, None),
                )
    except asyncio.CancelledError:
        with contextlib.suppress(KinoraError):
            service.cancel(job.id, who)
        raise
    with sentences():
        done = await _now(service, job, who)
        if done.state is not State.SUCCEEDED:
            raise KinoraError.from_dict(
                done.error or {"error": "cancelled", "message": "The clip was discarded."}
            )
        path = await in_thread(service.clip_path, job.id, who)
        copy = await in_thread(hand_out, path)
    return str(copy), {"job_id": job.id, **used(done)}


def _told(seen: job_view.Progress) -> tuple[Any]:
    if seen.phase == "denoise" and seen.total:
        return ((seen.step, seen.total),)
    return (seen.ring,)


async def _now(service: JobService, job: Job, who: str) -> Job:
    return await in_thread(service.get, job.id, who)


def used(job: Job) -> dict[str, Any]:
    """What the API says about a finished clip."""
    result = job.result
    return {
        **job_view.used(job),
        "duration_s": job.fitted.duration_s,
        "adjustments": [a.sentence for a in job_view.changes(job)],
        "finished_early": bool(result and result.finished_early),
        "seconds": dict(result.seconds) if result else {},
        "size_bytes": result.size_bytes if result else 0,
    }


def hand_out(path: Path) -> Path:
    """A link or copy in Gradio's own folder, which Gradio serves to clients and clears by age."""
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
def sentences() -> Any:
    """Our errors as Gradio's, so that a client sees the sentence and nothing else."""
    try:
        yield
    except ValidationError as error:
        raise _as_gradio(as_kinora_error(error)) from None
    except KinoraError as error:
        raise _as_gradio(error) from None


def _as_gradio(error: KinoraError) -> gr.Error:
    return gr.Error(error.message, title=error.code.value, print_exception=False)
