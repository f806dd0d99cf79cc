"""The slate as data: what its controls offer for a card, and what they say as a request.

Knows cards and the request. Knows no Gradio component and no visitor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from pipelines.field_types import sentence_about, wrong_fields
from pipelines.models.cards import ModelCard
from pipelines.models.fit import DEFAULT_STRENGTH
from pipelines.request import MAX_SEED, Focus, GenerationRequest, Lora, Task
from settings import Settings

FOLLOW_PICTURE = "auto"
"""The shape of what was given: a picture, or a clip."""
LIKE_THE_CLIP = 0
"""As many frames as the given clip has."""
USUAL_MOTION = 127
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
    negative_prompt: str | None = None
    fps: int | None = None
    format: str = "mp4"
    quality: str = "medium"
    strength: float | None = None
    motion: int | None = None
    sampler: str = ""
    loras: Sequence[Mapping[str, Any]] = ()
    """[{"source", "weight"}, ...]"""
    last_image: str | None = None
    upscale: bool = False

    @classmethod
    def names(cls) -> list[str]:
        return [field.name for field in fields(cls)]


@dataclass(frozen=True)
class Offer:
    """What the controls offer for one card and task, and where they stand at first."""

    shapes: list[Choice]
    lengths: list[Choice]
    samplers: list[Choice]
    form: Form


def defaults(card: ModelCard, task: Task, settings: Settings) -> Form:
    d, m = card.defaults, card.limits
    size = f"{settings.video_width or d.width}x{settings.video_height or d.height}"
    steps = settings.video_inference_steps or d.num_inference_steps
    return Form(
        model=card.id,
        shape=size if task is Task.TEXT_TO_VIDEO else FOLLOW_PICTURE,
        frames=LIKE_THE_CLIP
        if task is Task.VIDEO_TO_VIDEO
        else settings.video_frames or d.num_frames,
        steps=min(max(steps, m.min_steps), m.max_steps),
        guidance=d.guidance_scale,
        negative_prompt=d.negative_prompt,
        fps=settings.video_frame_rate or d.fps,
        quality=settings.video_quality_preset,
        strength=d.strength or DEFAULT_STRENGTH,
        motion=d.motion_bucket_id or USUAL_MOTION,
    )


def offer(card: ModelCard, task: Task, settings: Settings, form: Form | None = None) -> Offer:
    """With `form`: its shape and length are among the choices even if the card lists others."""
    form = form or defaults(card, task, settings)
    fps = form.fps or card.defaults.fps
    return Offer(
        shapes=_shapes(card, task, form.shape),
        lengths=lengths(card, fps, settings.max_video_duration_s, form.frames, task),
        samplers=[("The model's own", ""), *((name, name) for name in card.rules.samplers)],
        form=form,
    )


def only_supported(form: Form, card: ModelCard, task: Task) -> Form:
    """The form without what this card has no use for: its control is not seen then, but keeps its
    value for the next model."""
    rules = card.rules
    return replace(
        form,
        prompt=form.prompt if rules.prompt else "",
        negative_prompt=form.negative_prompt if rules.negative_prompt else None,
        guidance=form.guidance if rules.guidance else None,
        strength=form.strength if task is Task.VIDEO_TO_VIDEO else None,
        motion=form.motion if rules.motion else None,
        sampler=form.sampler if form.sampler in rules.samplers else "",
        loras=form.loras if rules.lora else (),
        last_image=form.last_image if rules.last_image and task is Task.IMAGE_TO_VIDEO else None,
        upscale=bool(form.upscale) and rules.upscale,
    )


def adapt_to(
    form: Form, before: ModelCard | None, card: ModelCard, task: Task, settings: Settings
) -> Form:
    """The form for another card: what the person chose is kept where it still fits, what stood at
    the old card's defaults stands at the new one's."""
    new = defaults(card, task, settings)
    old = defaults(before, task, settings) if before else new
    m = card.limits

    def kept(name: str, low: float, high: float) -> Any:
        value: Any = getattr(form, name)
        if value is None or value == getattr(old, name) or not low <= value <= high:
            return getattr(new, name)
        return value

    fps = kept("fps", m.min_fps, m.max_fps)
    if m.fps_choices and fps not in m.fps_choices:
        fps = new.fps
    words = form.negative_prompt
    chosen_words = words is not None and words != old.negative_prompt
    return replace(
        form,
        model=card.id,
        shape=_moved_shape(form, old, new, card, task),
        frames=_moved_frames(form, old, new, card, fps or card.defaults.fps, settings),
        steps=kept("steps", m.min_steps, m.max_steps),
        guidance=kept("guidance", m.min_guidance, m.max_guidance),
        negative_prompt=form.negative_prompt if chosen_words else new.negative_prompt,
        fps=fps,
        strength=kept("strength", 0, 1),
        motion=kept("motion", 1, 255),
        sampler=form.sampler if form.sampler in card.rules.samplers else "",
    )


def _moved_shape(form: Form, old: Form, new: Form, card: ModelCard, task: Task) -> str | None:
    """The same size if the card offers it, else its size of the most similar shape."""
    offered = [value for _, value in _shapes(card, task, None)]
    if form.shape in (None, old.shape):
        return new.shape
    if form.shape in offered:
        return form.shape
    sizes = [value for value in offered if value != FOLLOW_PICTURE]
    aspect = _aspect(form.shape)
    return min(sizes, key=lambda size: abs(math.log(_aspect(size) / aspect)), default=new.shape)


def _aspect(shape: str | None) -> float:
    width, height = _size(shape)
    return (width or 1) / (height or 1)


def _moved_frames(
    form: Form, old: Form, new: Form, card: ModelCard, fps: int, settings: Settings
) -> int | None:
    """As many seconds as were chosen, if the model makes so many."""
    if not form.frames or form.frames == old.frames:
        return new.frames
    seconds = form.frames / (form.fps or fps)
    counts = [n for _, n in lengths(card, fps, settings.max_video_duration_s) if n]
    return min(counts, key=lambda n: abs(n / fps - seconds), default=new.frames)


def lengths(
    card: ModelCard,
    fps: int,
    longest_s: float,
    also: int | None = None,
    task: Task = Task.TEXT_TO_VIDEO,
) -> list[Choice]:
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
    like_it: list[Choice] = (
        [("Like the clip", LIKE_THE_CLIP)] if task is Task.VIDEO_TO_VIDEO else []
    )
    return [*like_it, *by_label.items()]


def bounds(low: float, high: float, step: float, shown: bool = True) -> dict[str, Any]:
    """A slider's ends. Where the model leaves no choice there is no slider to see."""
    return {"minimum": low, "maximum": max(high, low + step), "visible": shown and low < high}


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
    elif task is Task.VIDEO_TO_VIDEO:
        choices.insert(0, ("Like the clip", FOLLOW_PICTURE))
    return choices


def to_request(
    form: Form, given: Mapping[str, Any] | None = None, task: Task = Task.IMAGE_TO_VIDEO
) -> GenerationRequest:
    """The request the controls ask for. `given` is the stage's picture, or in video to video its
    clip: {"id", "focus": {"x", "y"}}."""
    width, height = _size(form.shape)
    over = task is Task.VIDEO_TO_VIDEO
    try:
        return GenerationRequest(
            prompt=form.prompt or "",
            negative_prompt=form.negative_prompt,
            image=None if over else (given or {}).get("id"),
            video=(given or {}).get("id") if over else None,
            focus=Focus(**((given or {}).get("focus") or {})),
            last_image=form.last_image or None,
            strength=form.strength if over else None,
            motion_bucket_id=form.motion,
            sampler=form.sampler or None,
            loras=tuple(
                _lora(row) for row in form.loras or () if str(row.get("source") or "").strip()
            ),
            upscale=form.upscale or False,
            model=form.model or None,
            seed=_seed(form.seed),
            num_inference_steps=form.steps,
            guidance_scale=form.guidance,
            width=width,
            height=height,
            num_frames=form.frames or None,
            fps=form.fps,
            format=form.format,  # type: ignore[arg-type]  # checked by the model
            quality=form.quality,  # type: ignore[arg-type]
        )
    except (ValidationError, TypeError, AttributeError) as error:
        raise as_kinora_error(error) from error


def _lora(row: Mapping[str, Any]) -> Lora:
    """A row as it was typed. What is no name at all is told apart from a name that is not there."""
    source, weight = row["source"], row.get("weight", 1.0)
    try:
        return Lora.model_validate({"source": source, "weight": weight})
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("weight",):
            sentence = f"The weight of the LoRA “{source}” must be a number between -4 and 4."
        else:
            sentence = (
                f"“{str(source)[:80]}” cannot be the name of a LoRA. Name a file of the LoRA "
                "folder, or an id such as owner/name."
            )
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": "loras"}) from error


def as_kinora_error(error: ValidationError | TypeError | AttributeError) -> KinoraError:
    """A sentence for a value the schema refuses."""
    if not isinstance(error, ValidationError):
        return KinoraError(ErrorCode.INVALID_INPUT)
    field, why = wrong_fields(error)[0]
    name = f"The {field.replace('_', ' ')}" if field else "This"
    return KinoraError(
        ErrorCode.INVALID_INPUT,
        sentence_about(field, why, name),
        details={"field": field.partition(".")[0]},
    )


def from_request(request: GenerationRequest, card: ModelCard, settings: Settings) -> Form:
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
        negative_prompt=plain.negative_prompt
        if request.negative_prompt is None
        else request.negative_prompt,
        fps=request.fps or plain.fps,
        format=request.format,
        quality=request.quality,
        strength=request.strength or plain.strength,
        motion=request.motion_bucket_id or plain.motion,
        sampler=request.sampler or "",
        loras=tuple(lora.model_dump() for lora in request.loras),
        last_image=request.last_image,
        upscale=request.upscale,
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
    try:
        return GenerationRequest.model_validate({"seed": digits}).seed
    except ValidationError as error:
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            f"The seed is a whole number from 0 to {MAX_SEED}, or empty for a new one each time.",
            details={"field": "seed"},
            action={"label": "Use a random seed", "set": {"seed": None}},
        ) from error


def apply_repair(form: Form, changes: Mapping[str, Any]) -> Form:
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
        "motion_bucket_id": "motion",
    }
    for name, value in changes.items():
        field = renamed.get(name, name)
        if field in Form.names() and field != "prompt":
            values[field] = ("" if value is None else str(value)) if field == "seed" else value
    return replace(form, **values)
