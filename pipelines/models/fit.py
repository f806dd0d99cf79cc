"""From what was asked to what will be made: snap to the card's rules, and say each change.

Knows cards and limits. Does not know torch, jobs, or who asked. `fit` is idempotent: fitting
what it returned changes nothing.
"""

from __future__ import annotations

import math
import secrets

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard, Shape
from pipelines.models.continuation import Join, join_of, note_conversions, note_pace, size_of
from pipelines.models.duration import GivenClip, Limits, bad, frames_of, pace, within
from pipelines.models.selection import VERBS
from pipelines.models.unused_fields import note_what_is_not_used
from pipelines.request import (
    DEFAULT_STRENGTH,
    MAX_SEED,
    Adjustment,
    FittedRequest,
    Focus,
    GenerationRequest,
    Task,
)

__all__ = ["GivenClip", "Limits", "fit"]


def fit(
    request: GenerationRequest,
    card: ModelCard,
    limits: Limits,
    *,
    source_size: tuple[int, int] | None = None,
    clip: GivenClip | None = None,
) -> FittedRequest:
    """`source_size` is the picture's (width, height): an unset size then follows its shape, as it
    follows the given clip's; the frames are then at most as many as that clip has. A clip to go
    on from is given as `clip` too."""
    before, clip = (clip, None) if request.continue_from else (None, clip)
    if clip is not None:
        source_size = clip.width, clip.height
    changes: list[Adjustment] = []

    # 1. Can this be made at all?
    if request.task not in card.tasks:
        verb = "go on from a clip" if request.continue_from else VERBS[request.task]
        raise KinoraError(ErrorCode.TASK_NOT_SUPPORTED, f"{card.name} cannot {verb}.")
    if request.task is Task.TEXT_TO_VIDEO and not request.prompt.strip():
        raise bad("prompt", "Say what should happen in the clip: the prompt is empty.")
    if request.task is Task.VIDEO_TO_VIDEO and card.rules.prompt and not request.prompt.strip():
        raise bad("prompt", "Say what the clip should become: the prompt is empty.")
    _refuse_what_it_does_not_take(request, card)

    # 2. Steps and guidance: used as asked, or refused
    steps = within(
        "num_inference_steps",
        "steps",
        request.num_inference_steps,
        limits.num_inference_steps or card.defaults.num_inference_steps,
        card.limits.min_steps,
        card.limits.max_steps,
    )
    rules = card.rules
    guidance = within(
        "guidance_scale",
        "guidance",
        request.guidance_scale if rules.guidance else None,
        card.defaults.guidance_scale,
        card.limits.min_guidance,
        card.limits.max_guidance,
    )

    # 3. Size: the nearest legal one
    if before is not None:
        width, height = size_of(request, card, before, changes)
    else:
        width, height = _size(request, card, limits, source_size, changes)

    # 4. Time: frames per second, then frames
    fps = pace(request, card, limits, changes, round(before.fps) if before else None)
    join = join_of(request, card, before, fps) if before else Join()
    if before is not None:
        note_pace(card, before, fps, changes)
    frames = frames_of(request, card, limits, fps, clip, changes, join.overlap)
    if (given := before or clip) is not None:
        field = "continue_from" if before else "video"
        note_conversions(field, given, request.format, changes)

    # 5. What this model or task has no use for: left out, and said
    note_what_is_not_used(request, card, guidance, changes)
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
        strength=(request.strength or card.defaults.strength or DEFAULT_STRENGTH)
        if request.video
        else None,
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
        format=request.format,
        quality=request.quality,
        allow_fallback=request.allow_fallback,
        adjustments=tuple(changes),
    )


def _refuse_what_it_does_not_take(request: GenerationRequest, card: ModelCard) -> None:
    """Inputs that would do nothing and change what the clip is. Words and figures that do nothing
    are left out by `note_what_is_not_used`, as every form has them."""
    rules = card.rules
    if request.last_image and not rules.last_image:
        raise bad("last_image", f"{card.name} cannot end on a given picture.")
    if request.last_image and not request.image:
        raise bad(
            "last_image", "A last picture needs a first one: choose the picture to begin with."
        )
    if request.image and request.video:
        raise bad("video", "Give a picture or a clip to work over, not both.")
    if request.continue_from and request.video:
        raise bad("continue_from", "A clip is worked over or gone on from, not both at once.")
    if request.continue_from and request.upscale:
        raise bad("upscale", "What goes on from a clip keeps its size. Leave upscale off.")
    if request.loras and not rules.lora:
        raise bad("loras", f"{card.name} takes no LoRA.")
    if request.upscale and not rules.upscale:
        sentence = f"{card.name} cannot make its clips twice as large. Leave upscale off."
        error = bad("upscale", sentence)
        error.action = {"label": "Leave it off", "set": {"upscale": False}}
        raise error
    if request.sampler is not None and request.sampler not in rules.samplers:
        offer = ", ".join(rules.samplers) or "its own only"
        raise bad(
            "sampler", f"{card.name} does not sample with “{request.sampler}”. It offers: {offer}."
        )


def _size(
    request: GenerationRequest,
    card: ModelCard,
    limits: Limits,
    source_size: tuple[int, int] | None,
    changes: list[Adjustment],
) -> tuple[int, int]:
    rule, m = card.rules.size, card.limits
    for field, asked, low, high in [
        ("width", request.width, m.min_width, m.max_width),
        ("height", request.height, m.min_height, m.max_height),
    ]:
        if asked is not None and not low <= asked <= high:
            bounds = f"{low} to {high}" if low < high else f"{low}"
            raise bad(
                field,
                f"{card.name} makes clips with a {field} of {bounds} pixels; "
                f"you asked for {asked}.",
                use=min(max(asked, low), high),
            )

    unset = _unset_shape(card, limits, source_size)
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
    for field, asked, used in (("width", request.width, width), ("height", request.height, height)):
        if asked is not None and asked != used:
            changes.append(
                Adjustment(
                    field=field,
                    asked=asked,
                    used=used,
                    sentence=f"The {field} is {used} instead of {asked}: "
                    f"{card.name} works in steps of {rule.of} pixels.",
                )
            )
    return width, height


def _unset_shape(card: ModelCard, limits: Limits, source_size: tuple[int, int] | None) -> Shape:
    """The size to use where none is asked for: the picture's shape, the operator's, the card's."""
    default = Shape(
        label="default",
        width=limits.width or card.defaults.width,
        height=limits.height or card.defaults.height,
    )
    if source_size is None or not card.shapes:
        return default
    aspect = math.log(source_size[0] / source_size[1])
    here = Shape(label="default", width=card.defaults.width, height=card.defaults.height)
    return min((here, *card.shapes), key=lambda s: abs(math.log(s.width / s.height) - aspect))
