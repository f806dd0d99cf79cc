"""The slate as data: what its controls offer for a card, and what they say as a request.

Knows cards and the request. Knows no Gradio component and no visitor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from pipelines.cards import ModelCard
from pipelines.request import MAX_SEED, Focus, GenerationRequest, Task
from settings import Settings

FOLLOW_PICTURE = "auto"
SECONDS_OFFERED = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30)
Choice = tuple[str, Any]


@dataclass(frozen=True)
class Form:
    """The values of the controls, in the order in which Gradio hands them over."""

    prompt: str = ""
    model: str | None = None
    shape: str | None = None
    frames: int | None = None
    seed: str = ""
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str = ""
    fps: int | None = None
    format: str = "mp4"
    quality: str = "medium"

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]


@dataclass(frozen=True)
class Offer:
    """What the controls offer for one card and task, and where they stand at first."""

    shapes: list[Choice]
    lengths: list[Choice]
    form: Form


def defaults(card: ModelCard, task: Task, settings: Settings) -> Form:
    d, m = card.defaults, card.limits
    size = f"{settings.video_width or d.width}x{settings.video_height or d.height}"
    steps = settings.video_inference_steps or d.num_inference_steps
    return Form(
        model=card.id,
        shape=FOLLOW_PICTURE if task is Task.IMAGE_TO_VIDEO else size,
        frames=settings.video_frames or d.num_frames,
        steps=min(max(steps, m.min_steps), m.max_steps),
        guidance=d.guidance_scale,
        negative_prompt=d.negative_prompt,
        fps=settings.video_frame_rate or d.fps,
        quality=settings.video_quality_preset,
    )


def offer(card: ModelCard, task: Task, settings: Settings, form: Form | None = None) -> Offer:
    """With `form`: its shape and length are among the choices even if the card lists others."""
    form = form or defaults(card, task, settings)
    fps = form.fps or card.defaults.fps
    return Offer(
        shapes=_shapes(card, task, form.shape),
        lengths=lengths(card, fps, settings.max_video_duration_s, form.frames),
        form=form,
    )


def lengths(card: ModelCard, fps: int, longest_s: float, also: int | None = None) -> list[Choice]:
    """Frame counts the model makes, each with the seconds it lasts as its label."""
    rule, m = card.rules.frames, card.limits
    most = min(m.max_frames, int(longest_s * fps))
    counts = {rule.nearest(s * fps, m.min_frames, most) for s in SECONDS_OFFERED}
    counts |= {rule.nearest(card.defaults.num_frames, m.min_frames, most)}
    counts |= {rule.nearest(most, m.min_frames, most)}
    if also:
        counts.add(int(also))
    by_label: dict[str, int] = {}
    for count in sorted(counts):
        label = seconds_label(count / fps)
        if label not in by_label or count in (also, card.defaults.num_frames):
            by_label[label] = count
    return list(by_label.items())


def bounds(low: float, high: float, step: float) -> dict[str, Any]:
    """A slider's ends. Where the model leaves no choice there is no slider to see."""
    return {"minimum": low, "maximum": max(high, low + step), "visible": low < high}


def seconds_label(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _shapes(card: ModelCard, task: Task, also: str | None) -> list[Choice]:
    d = card.defaults
    choices: list[Choice] = [
        (f"{s.label} · {s.width}×{s.height}", f"{s.width}x{s.height}") for s in card.shapes
    ]
    known = {value for _, value in choices}
    for size in (f"{d.width}x{d.height}", also):
        if size and size != FOLLOW_PICTURE and size not in known:
            choices.append((size.replace("x", "×"), size))
            known.add(size)
    if task is Task.IMAGE_TO_VIDEO:
        choices.insert(0, ("Like the picture", FOLLOW_PICTURE))
    return choices


def read(form: Form, picture: Mapping[str, Any] | None = None) -> GenerationRequest:
    """The request the controls ask for. `picture` is {"id", "focus": {"x", "y"}} from the stage."""
    width, height = _size(form.shape)
    try:
        return GenerationRequest(
            prompt=form.prompt or "",
            negative_prompt=form.negative_prompt or "",
            image=(picture or {}).get("id"),
            focus=Focus(**((picture or {}).get("focus") or {})),
            model=form.model or None,
            seed=_seed(form.seed),
            num_inference_steps=form.steps,
            guidance_scale=form.guidance,
            width=width,
            height=height,
            num_frames=form.frames,
            fps=form.fps,
            format=form.format,  # type: ignore[arg-type]  # checked by the model
            quality=form.quality,  # type: ignore[arg-type]
        )
    except (ValidationError, TypeError) as error:
        raise as_kinora_error(error) from error


def as_kinora_error(error: ValidationError | TypeError) -> KinoraError:
    """A sentence for a value the schema refuses."""
    if isinstance(error, TypeError):
        return KinoraError(ErrorCode.INVALID_INPUT)
    first = error.errors()[0]
    name = str(first["loc"][0]).replace("_", " ") if first["loc"] else "setting"
    return KinoraError(
        ErrorCode.INVALID_INPUT,
        f"The {name} cannot be used: {first['msg'].removeprefix('Input ').lower()}.",
        details={"field": str(first["loc"][0]) if first["loc"] else ""},
    )


def write(request: GenerationRequest, card: ModelCard, settings: Settings) -> Form:
    """The controls that would ask for this request: what `read` made, read back."""
    plain = defaults(card, request.task, settings)
    return Form(
        prompt=request.prompt,
        model=card.id,
        shape=f"{request.width}x{request.height}"
        if request.width and request.height
        else plain.shape,
        frames=request.num_frames or plain.frames,
        seed="" if request.seed is None else str(request.seed),
        steps=request.num_inference_steps or plain.steps,
        guidance=plain.guidance if request.guidance_scale is None else request.guidance_scale,
        negative_prompt=request.negative_prompt,
        fps=request.fps or plain.fps,
        format=request.format,
        quality=request.quality,
    )


def _size(shape: str | None) -> tuple[int | None, int | None]:
    if not shape or shape == FOLLOW_PICTURE:
        return None, None
    try:
        width, height = (int(part) for part in str(shape).split("x"))
    except ValueError:
        raise KinoraError(ErrorCode.INVALID_INPUT, "Choose a shape from the list.") from None
    return width, height


def _seed(text: str | int | None) -> int | None:
    digits = str(text if text is not None else "").strip()
    if not digits:
        return None
    if not (digits.isascii() and digits.isdigit() and int(digits) <= MAX_SEED):
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            f"The seed is a whole number from 0 to {MAX_SEED}, or empty for a new one each time.",
            details={"field": "seed"},
            action={"label": "Use a random seed", "set": {"seed": None}},
        )
    return int(digits)


def repaired(form: Form, changes: Mapping[str, Any]) -> Form:
    """The form after an error's repair, given in the request's words ({"num_frames": 97})."""
    width, height = _size(form.shape)
    width, height = changes.get("width", width), changes.get("height", height)
    values: dict[str, Any] = {}
    if "width" in changes or "height" in changes:
        side = width or height
        values["shape"] = f"{width or side}x{height or side}"
    renamed = {
        "num_frames": "frames",
        "num_inference_steps": "steps",
        "guidance_scale": "guidance",
    }
    for name, value in changes.items():
        field = renamed.get(name, name)
        if field in Form.names() and field != "prompt":
            values[field] = ("" if value is None else str(value)) if field == "seed" else value
    return replace(form, **values)
