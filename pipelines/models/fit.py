"""Fits a request to a card's rules, with an adjustment for each change.

Idempotent: fitting what `fit` returned changes nothing.
"""

from __future__ import annotations

import math
import secrets

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard, NamedSize
from pipelines.models.continuation import (
    Join,
    fit_size,
    note_conversions,
    note_fps_change,
    plan_join,
)
from pipelines.models.duration import (
    Limits,
    SourceClip,
    fit_fps,
    fit_num_frames,
    invalid_field,
    value_in_range,
)
from pipelines.models.long_clips import fit_long_clip
from pipelines.models.selection import unsupported_task
from pipelines.models.unused_fields import note_unused_fields
from pipelines.request import (
    DEFAULT_STRENGTH,
    MAX_SEED,
    Adjustment,
    FittedRequest,
    Focus,
    GenerationRequest,
    Task,
)

__all__ = ["Limits", "SourceClip", "fit"]


def fit(
    request: GenerationRequest,
    card: ModelCard,
    limits: Limits,
    *,
    source_size: tuple[int, int] | None = None,
    clip: SourceClip | None = None,
) -> FittedRequest:
    """The request as this model can make it.

    `source_size` is the image's (width, height): an unset size follows its aspect ratio. `clip` is
    the video to work over, whose aspect ratio and length are followed, or the clip to continue.
    Raises KinoraError, with the field in its details, for what cannot be made.
    """
    before, clip = (clip, None) if request.continue_from else (None, clip)
    if clip is not None:
        source_size = clip.width, clip.height
    changes: list[Adjustment] = []

    # 1. Task and inputs: refused where the model does not support them
    if request.task not in card.tasks:
        if request.continue_from:
            sentence = f"{card.name} cannot continue a clip."
            raise KinoraError(ErrorCode.TASK_NOT_SUPPORTED, sentence)
        raise unsupported_task(card, request.task)
    if request.task is Task.TEXT_TO_VIDEO and not request.prompt.strip():
        raise invalid_field("prompt", "Say what should happen in the clip: the prompt is empty.")
    if request.task is Task.VIDEO_TO_VIDEO and card.rules.prompt and not request.prompt.strip():
        raise invalid_field("prompt", "Say what the clip should become: the prompt is empty.")
    _refuse_unsupported_inputs(request, card)

    # 2. Steps, strength and guidance: as requested, or refused
    rules, default_steps = card.rules, card.defaults.num_inference_steps
    steps = value_in_range(
        "num_inference_steps",
        "steps",
        request.num_inference_steps if rules.steps else None,
        (rules.steps and limits.num_inference_steps) or default_steps,
        card.limits.min_steps,
        card.limits.max_steps,
    )
    strength = None
    if request.video and rules.strength:
        strength = request.strength or card.defaults.strength or DEFAULT_STRENGTH
        _refuse_too_few_steps(int(steps), strength, card)
    guidance = value_in_range(
        "guidance_scale",
        "guidance",
        request.guidance_scale if rules.guidance else None,
        card.defaults.guidance_scale,
        card.limits.min_guidance,
        card.limits.max_guidance,
    )

    # 3. Size: the nearest legal one
    if before is not None:
        width, height = fit_size(request, card, before, changes)
    else:
        width, height = _fit_size(request, card, limits, source_size, changes)

    # 4. Time: frames per second, then frames
    fps = fit_fps(request, card, limits, changes, round(before.fps) if before else None)
    join = plan_join(request, card, before, fps) if before else Join()
    if before is not None:
        note_fps_change(card, before, fps, changes)
    windows = None
    if (long_clip := fit_long_clip(request, card, limits, fps, changes, join.overlap)) is not None:
        frames, windows = long_clip
    else:
        frames = fit_num_frames(request, card, limits, fps, clip, changes, join.overlap)
    if (source := before or clip) is not None:
        field = "continue_from" if before else "video"
        note_conversions(field, source, request.format, changes)

    # 5. Settings without effect on this model or task: left out, with an adjustment
    note_unused_fields(request, card, guidance, changes)
    negative = request.negative_prompt
    if negative is None:
        negative = card.defaults.negative_prompt
    if guidance <= 1 and rules.negative_by_guidance:
        negative = ""
    is_cropped = bool(request.image or request.video or request.continue_from)

    return FittedRequest(
        task=request.task,
        model=card.id,
        prompt=request.prompt if rules.prompt else "",
        negative_prompt=negative if rules.negative_prompt else "",
        image=request.image,
        focus=request.focus if is_cropped else Focus(),
        last_image=request.last_image,
        video=request.video,
        continue_from=request.continue_from,
        lead_frames=join.lead_frames,
        overlap=join.overlap,
        strength=strength,
        motion_bucket_id=(request.motion_bucket_id or card.defaults.motion_bucket_id)
        if rules.motion
        else None,
        sampler=request.sampler,
        loras=request.loras,
        upscale=request.upscale,
        seed=secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed,
        num_inference_steps=int(steps),
        guidance_scale=guidance,
        width=width,
        height=height,
        num_frames=frames,
        fps=fps,
        windows=windows,
        format=request.format,
        quality=request.quality,
        allow_fallback=request.allow_fallback,
        adjustments=tuple(changes),
    )


def _refuse_unsupported_inputs(request: GenerationRequest, card: ModelCard) -> None:
    """Raises KinoraError(INVALID_INPUT) for inputs that the model cannot use and that would make
    another clip. Settings without effect, which every form sends, only get an adjustment
    (`note_unused_fields`)."""
    rules = card.rules
    if request.last_image and not rules.last_image:
        raise invalid_field("last_image", f"{card.name} cannot end on a given picture.")
    if request.last_image and not request.image:
        raise invalid_field(
            "last_image", "A last picture needs a first one: choose the picture to begin with."
        )
    if request.image and request.video:
        raise invalid_field("video", "Give a picture or a clip to work over, not both.")
    if request.continue_from and request.video:
        raise invalid_field(
            "continue_from", "A clip is worked over or continued, not both at once."
        )
    if request.continue_from and request.upscale:
        raise invalid_field(
            "upscale", "A continuation keeps the size of its clip. Leave upscale off."
        )
    if request.loras and not rules.lora:
        raise invalid_field("loras", f"{card.name} takes no LoRA.")
    if request.upscale and not rules.upscale:
        sentence = f"{card.name} cannot make its clips twice as large. Leave upscale off."
        error = invalid_field("upscale", sentence)
        error.action = {"label": "Leave it off", "set": {"upscale": False}}
        raise error
    if request.sampler is not None and request.sampler not in rules.samplers:
        offer = f"It offers: {', '.join(rules.samplers)}."
        if not rules.samplers:
            offer = "It has only its own sampler."
        sentence = f"{card.name} does not sample with “{request.sampler}”. {offer}"
        raise invalid_field("sampler", sentence)


def _refuse_too_few_steps(steps: int, strength: float, card: ModelCard) -> None:
    """Raises KinoraError(INVALID_INPUT) where strength leaves no step to sample."""
    if not card.rules.strength_skips_steps or int(steps * strength) >= 1:
        return
    least = math.ceil(100 / steps) / 100
    change = f"Use a strength of at least {least:g}."
    if card.rules.steps:
        change = f"Use a strength of at least {least:g} or more steps."
    error = invalid_field(
        "strength",
        f"A strength of {strength:g} changes nothing with so few steps ({steps}). {change}",
    )
    error.action = {"label": f"Use a strength of {least:g}", "set": {"strength": least}}
    raise error


def _fit_size(
    request: GenerationRequest,
    card: ModelCard,
    limits: Limits,
    source_size: tuple[int, int] | None,
    changes: list[Adjustment],
) -> tuple[int, int]:
    rule, m = card.rules.size, card.limits
    for field, requested, low, high in [
        ("width", request.width, m.min_width, m.max_width),
        ("height", request.height, m.min_height, m.max_height),
    ]:
        if requested is not None and not low <= requested <= high:
            bounds = f"{low} to {high}" if low < high else f"{low}"
            raise invalid_field(
                field,
                f"{card.name} makes clips with a {field} of {bounds} pixels; "
                f"you asked for {requested}.",
                use=min(max(requested, low), high),
            )

    unset = _default_size(card, limits, source_size)
    aspect = unset.width / unset.height
    wanted_width = request.width or (
        request.height * aspect if request.height is not None else unset.width
    )
    wanted_height = request.height or (
        request.width / aspect if request.width is not None else unset.height
    )
    width = rule.nearest(wanted_width, m.min_width, m.max_width)
    height = rule.nearest(wanted_height, m.min_height, m.max_height)

    if m.max_pixels is not None and width * height > m.max_pixels:
        scale = math.sqrt(m.max_pixels / (width * height))
        use = [
            max(rule.of * int(side * scale / rule.of), low)
            for side, low in ((width, m.min_width), (height, m.min_height))
        ]
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"{width}x{height} is larger than {card.name} makes. Try {use[0]}x{use[1]}.",
            details={"field": "width"},
            action={
                "label": f"Use {use[0]}x{use[1]}",
                "set": {"width": use[0], "height": use[1]},
            },
        )
    for field, requested, used in (
        ("width", request.width, width),
        ("height", request.height, height),
    ):
        if requested is not None and requested != used:
            changes.append(
                Adjustment(
                    field=field,
                    asked=requested,
                    used=used,
                    sentence=f"The {field} is {used} instead of {requested}: "
                    f"{card.name} works in steps of {rule.of} pixels.",
                )
            )
    return width, height


def _default_size(
    card: ModelCard, limits: Limits, source_size: tuple[int, int] | None
) -> NamedSize:
    """The size where the request has none: the card's size nearest to the image's aspect ratio,
    else the operator's, else the card's default."""
    default = NamedSize(
        label="default",
        width=limits.width or card.defaults.width,
        height=limits.height or card.defaults.height,
    )
    if source_size is None or not card.shapes:
        return default
    aspect = math.log(source_size[0] / source_size[1])
    card_default = NamedSize(
        label="default", width=card.defaults.width, height=card.defaults.height
    )
    return min(
        (card_default, *card.shapes), key=lambda s: abs(math.log(s.width / s.height) - aspect)
    )
