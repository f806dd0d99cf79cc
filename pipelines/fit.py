"""From what was asked to what will be made: snap to the card's rules, and say each change.

Knows cards and limits. Does not know torch, jobs, or who asked. `fit` is idempotent: fitting
what it returned changes nothing.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from errors import ErrorCode, KinoraError
from pipelines.cards import ModelCard, Shape
from pipelines.request import MAX_SEED, Adjustment, FittedRequest, GenerationRequest, Task
from settings import Settings

DEFAULT_STRENGTH = 0.8
VERBS = {
    Task.TEXT_TO_VIDEO: "start from words",
    Task.IMAGE_TO_VIDEO: "animate a picture",
    Task.VIDEO_TO_VIDEO: "work over a clip",
}


@dataclass(frozen=True)
class Limits:
    """What this installation allows and prefers, whatever the model."""

    max_duration_s: float = 30.0
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    fps: int | None = None
    num_inference_steps: int | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        return cls(
            max_duration_s=settings.max_video_duration_s,
            width=settings.video_width,
            height=settings.video_height,
            num_frames=settings.video_frames,
            fps=settings.video_frame_rate,
            num_inference_steps=settings.video_inference_steps,
        )


def pick_card(
    request: GenerationRequest, cards: Mapping[str, ModelCard], settings: Settings
) -> ModelCard:
    """The card a request names, by id or by repository, or the default for its task."""
    image = request.task is Task.IMAGE_TO_VIDEO
    default = (
        settings.default_image_to_video_model if image else settings.default_text_to_video_model
    )
    wanted = request.model or default
    card = cards.get(wanted) or next((c for c in cards.values() if c.repo == wanted), None)
    if card is None:
        names = ", ".join(cards)
        raise KinoraError(
            ErrorCode.UNKNOWN_MODEL,
            f"There is no model called “{wanted}” here. Choose one of: {names}.",
        )
    return card


def fit(
    request: GenerationRequest,
    card: ModelCard,
    limits: Limits,
    *,
    source_size: tuple[int, int] | None = None,
) -> FittedRequest:
    """`source_size` is the picture's (width, height): an unset size then follows its shape."""
    changes: list[Adjustment] = []

    # 1. Can this be made at all?
    if request.task not in card.tasks:
        raise KinoraError(
            ErrorCode.TASK_NOT_SUPPORTED, f"{card.name} cannot {VERBS[request.task]}."
        )
    if request.task is Task.TEXT_TO_VIDEO and not request.prompt:
        raise _bad("prompt", "Say what should happen in the clip: the prompt is empty.")
    _refuse_what_it_does_not_take(request, card)

    # 2. Steps and guidance: used as asked, or refused
    steps = _within(
        "num_inference_steps",
        "steps",
        request.num_inference_steps,
        limits.num_inference_steps or card.defaults.num_inference_steps,
        card.limits.min_steps,
        card.limits.max_steps,
    )
    rules = card.rules
    guidance = _within(
        "guidance_scale",
        "guidance",
        request.guidance_scale if rules.guidance else None,
        card.defaults.guidance_scale,
        card.limits.min_guidance,
        card.limits.max_guidance,
    )

    # 3. Size: the nearest legal one
    width, height = _size(request, card, limits, source_size, changes)

    # 4. Time: frames per second, then frames
    fps = _fps(request, card, limits, changes)
    frames = _frames(request, card, limits, fps, changes)

    return FittedRequest(
        task=request.task,
        model=card.id,
        prompt=request.prompt if rules.prompt else "",
        negative_prompt=(request.negative_prompt or card.defaults.negative_prompt)
        if rules.negative_prompt
        else "",
        image=request.image,
        focus=request.focus,
        last_image=request.last_image,
        video=request.video,
        strength=(request.strength or card.defaults.strength or DEFAULT_STRENGTH)
        if request.video
        else None,
        motion_bucket_id=(request.motion_bucket_id or card.defaults.motion_bucket_id)
        if rules.motion
        else None,
        sampler=request.sampler,
        loras=request.loras,
        seed=secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed,
        num_inference_steps=int(steps),
        guidance_scale=guidance,
        width=width,
        height=height,
        num_frames=frames,
        fps=fps,
        format=request.format,
        quality=request.quality,
        adjustments=tuple(changes),
    )


def _refuse_what_it_does_not_take(request: GenerationRequest, card: ModelCard) -> None:
    """Inputs that would silently do nothing. Words it cannot use are dropped, as every form has
    them."""
    rules = card.rules
    if request.last_image and not rules.last_image:
        raise _bad("last_image", f"{card.name} cannot end on a given picture.")
    if request.last_image and not request.image:
        raise _bad(
            "last_image", "A last picture needs a first one: choose the picture to begin with."
        )
    if request.image and request.video:
        raise _bad("video", "Give a picture or a clip to work over, not both.")
    if request.loras and not rules.lora:
        raise _bad("loras", f"{card.name} takes no LoRA.")
    if request.sampler is not None and request.sampler not in rules.samplers:
        offer = ", ".join(rules.samplers) or "its own only"
        raise _bad(
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
            raise _bad(
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


def _fps(
    request: GenerationRequest, card: ModelCard, limits: Limits, changes: list[Adjustment]
) -> int:
    m = card.limits
    wanted = int(
        _within(
            "fps",
            "frames per second",
            request.fps,
            limits.fps or card.defaults.fps,
            m.min_fps,
            m.max_fps,
        )
    )
    if not m.fps_choices:
        return wanted
    used = min(m.fps_choices, key=lambda choice: (abs(choice - wanted), -choice))
    if request.fps is not None and used != wanted:
        choices = ", ".join(str(c) for c in m.fps_choices)
        changes.append(
            Adjustment(
                field="fps",
                asked=wanted,
                used=used,
                sentence=f"The clip runs at {used} frames per second instead of {wanted}: "
                f"{card.name} offers {choices}.",
            )
        )
    return used


def _frames(
    request: GenerationRequest,
    card: ModelCard,
    limits: Limits,
    fps: int,
    changes: list[Adjustment],
) -> int:
    rule, m = card.rules.frames, card.limits
    by_count, by_time = request.num_frames, None
    if request.duration_s is not None:
        by_time = request.duration_s * fps
    wanted = by_count or by_time or limits.num_frames or card.defaults.num_frames
    asked_for = by_count is not None or by_time is not None

    # the longest this model and this installation make, as a legal count
    allowed = math.floor(limits.max_duration_s * fps + 1e-9)
    longest = rule.nearest(min(m.max_frames, allowed), m.min_frames, m.max_frames)
    if longest > allowed and longest > m.min_frames:
        longest -= rule.of
    if longest > allowed:
        raise _bad(
            "fps",
            f"At {fps} frames per second even the shortest clip of {card.name} is longer than "
            f"the {limits.max_duration_s:g} s allowed here. Raise the frames per second.",
        )

    # half a step past the longest still rounds to it when time was asked for; a count is exact
    slack = rule.of / 2 if by_count is None and by_time is not None else 0
    if asked_for and wanted > longest + slack:
        asked = _asked_length(request, wanted, fps)
        seconds = math.floor(longest / fps * 10) / 10
        raise KinoraError(
            ErrorCode.TOO_MANY_FRAMES,
            f"{longest} frames ({seconds:g} s at {fps} frames per second) is the longest clip "
            f"{card.name} makes here; you asked for {asked}.",
            details={"field": "duration_s" if by_count is None else "num_frames"},
            action={
                "label": f"Make it {longest} frames",
                "set": {"num_frames": longest, "duration_s": None},
            },
        )
    if asked_for and wanted < m.min_frames - slack:
        raise _bad(
            "duration_s" if by_count is None else "num_frames",
            f"{m.min_frames} frames ({m.min_frames / fps:.1f} s at {fps} frames per second) is "
            f"the shortest clip {card.name} makes; you asked for "
            f"{_asked_length(request, wanted, fps)}.",
        )

    used = rule.nearest(wanted, m.min_frames, longest)
    if by_count is None or by_time is None:
        agreed = used
    else:
        agreed = rule.nearest(by_time, m.min_frames, longest)
    if agreed != used:
        raise _bad(
            "duration_s",
            f"{by_count} frames at {fps} frames per second last {wanted / fps:.2f} s, not "
            f"{request.duration_s:g} s. Leave one of the two empty.",
        )
    if by_count is not None and used != by_count:
        steps = f"{rule.of}k+{rule.plus}" if rule.plus else f"{rule.of}k"
        changes.append(
            Adjustment(
                field="num_frames",
                asked=by_count,
                used=used,
                sentence=f"The clip has {used} frames instead of {by_count}: "
                f"{card.name} makes {steps} frames.",
            )
        )
    elif request.duration_s is not None and used != by_time:
        changes.append(
            Adjustment(
                field="duration_s",
                asked=request.duration_s,
                used=used / fps,
                sentence=f"The clip lasts {used / fps:.2f} s instead of {request.duration_s:g} s: "
                f"{used} frames is the nearest length {card.name} makes.",
            )
        )
    return used


def _asked_length(request: GenerationRequest, frames: float, fps: int) -> str:
    if request.num_frames is not None:
        return f"{request.num_frames} ({frames / fps:.1f} s)"
    return f"{request.duration_s:g} s"


def _within(
    field: str, words: str, asked: float | None, default: float, low: float, high: float
) -> float:
    """What was asked if it lies within [low, high]; an operator's default is brought inside."""
    if asked is None:
        return min(max(default, low), high)
    if not low <= asked <= high:
        raise _bad(
            field,
            f"The {words} must be between {low:g} and {high:g}; you asked for {asked:g}.",
            use=low if asked < low else high,
        )
    return asked


def _bad(field: str, sentence: str, use: float | None = None) -> KinoraError:
    action: dict[str, Any] | None = None
    if use is not None:
        action = {"label": f"Use {use:g}", "set": {field: use}}
    return KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": field}, action=action)
