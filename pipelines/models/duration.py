"""Fits the frame rate and the number of frames to a card's rules and this installation's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard
from pipelines.request import Adjustment, GenerationRequest, Task
from settings import Settings


@dataclass(frozen=True)
class Limits:
    """This installation's limits and defaults, for every model."""

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


@dataclass(frozen=True)
class SourceClip:
    """An uploaded or earlier clip that a request starts from: as it is stored, and in the `sent_*`
    fields as it was sent, where that differs."""

    width: int
    height: int
    seconds: float
    fps: float = 0.0
    sent_size: tuple[int, int] | None = None
    sent_fps: float | None = None
    sent_channels: int = 0
    sent_hdr: str | None = None
    """HLG or PQ."""
    lost_sound: str | None = None
    """The codec of a sound track that cannot be read."""


def fit_fps(
    request: GenerationRequest,
    card: ModelCard,
    limits: Limits,
    changes: list[Adjustment],
    usual: int | None = None,
) -> int:
    """The frames per second. `usual` is used where the request has none and the model offers it:
    the rate of an earlier clip. Raises KinoraError(INVALID_INPUT) outside the card's limits."""
    m = card.limits
    target_fps = int(
        value_in_range(
            "fps",
            "frames per second",
            request.fps,
            usual or limits.fps or card.defaults.fps,
            m.min_fps,
            m.max_fps,
        )
    )
    if not m.fps_choices:
        return target_fps
    used = min(m.fps_choices, key=lambda choice: (abs(choice - target_fps), -choice))
    if request.fps is not None and used != target_fps:
        choices = ", ".join(str(c) for c in m.fps_choices)
        changes.append(
            Adjustment(
                field="fps",
                asked=target_fps,
                used=used,
                sentence=f"The clip runs at {used} frames per second instead of {target_fps}: "
                f"{card.name} offers {choices}.",
            )
        )
    return used


def fit_num_frames(
    request: GenerationRequest,
    card: ModelCard,
    limits: Limits,
    fps: int,
    clip: SourceClip | None,
    changes: list[Adjustment],
    overlap: int = 0,
) -> int:
    """The number of frames, of which the first `overlap` repeat an earlier clip.

    From `num_frames`, else `duration_s`, else the source clip, else the defaults. Raises
    KinoraError(TOO_MANY_FRAMES) or KinoraError(INVALID_INPUT) outside the limits.
    """
    rule, m = card.rules.frames, card.limits
    by_count, by_time = request.num_frames, None
    if request.duration_s is not None:
        by_time = request.duration_s * fps + overlap
    source_frames = None if clip is None else max(1, math.floor(clip.seconds * fps + 0.5))
    target = by_count or by_time or source_frames or limits.num_frames or card.defaults.num_frames
    asked_for = by_count is not None or by_time is not None

    # 1. The longest that the model and this installation allow, as a legal count
    allowed = math.floor(limits.max_duration_s * fps + 1e-9)  # 4.1 * 30 is 122.99...
    longest = rule.nearest(min(m.max_frames, allowed), m.min_frames, m.max_frames)
    if longest > allowed and longest > m.min_frames:
        longest -= rule.of
    if longest > allowed:
        raise invalid_field(
            "fps",
            f"At {fps} frames per second even the shortest clip of {card.name} is longer than "
            f"the {limits.max_duration_s:g} s allowed here. Raise the frames per second.",
        )

    # 2. Too long or too short. A duration up to half a step beyond the longest is rounded to it; a
    # count is exact
    slack = rule.of / 2 if by_count is None and by_time is not None else 0
    if asked_for and target > longest + slack:
        requested = _requested_length(request, target, fps)
        seconds = math.floor(longest / fps * 10) / 10
        raise KinoraError(
            ErrorCode.TOO_MANY_FRAMES,
            f"{longest} frames ({seconds:g} s at {fps} frames per second) is the longest clip "
            f"{card.name} makes here; you asked for {requested}."
            f"{_continuation_hint(request, card)}",
            details={
                "field": "duration_s" if by_count is None else "num_frames",
                "longest_frames": longest,
                "longest_s": round(longest / fps, 3),
            },
            action={
                "label": f"Make it {longest} frames",
                "set": {"num_frames": longest, "duration_s": None},
            },
        )
    if asked_for and target < m.min_frames - slack:
        raise invalid_field(
            "duration_s" if by_count is None else "num_frames",
            f"{m.min_frames} frames ({m.min_frames / fps:.1f} s at {fps} frames per second) is "
            f"the shortest clip {card.name} makes; you asked for "
            f"{_requested_length(request, target, fps)}.",
        )

    # 3. The nearest legal count
    used = rule.nearest(target, m.min_frames, longest)
    if used <= overlap:  # at least one step of new frames
        used += rule.of
    agreed = used if by_time is None else rule.nearest(by_time, m.min_frames, longest)
    if by_count is not None and agreed != used:
        raise invalid_field(
            "duration_s",
            f"{by_count} frames at {fps} frames per second last {target / fps:.2f} s, not "
            f"{request.duration_s:g} s. Leave one of the two empty.",
        )
    if clip is not None and source_frames is not None:
        return _fit_to_source_clip(
            request, card, fps, clip, (used, source_frames, longest), changes
        )
    if by_count is not None and used != by_count:
        changes.append(
            Adjustment(
                field="num_frames",
                asked=by_count,
                used=used,
                sentence=f"The clip has {used} frames instead of {by_count}: "
                f"{card.name} makes {_frame_rule(card)} frames.",
            )
        )
    if request.duration_s is not None and used != by_time:
        changes.append(nearest_length(request.duration_s, card, fps, used, overlap))
    return used


def nearest_length(
    duration_s: float, card: ModelCard, fps: int, used: int, overlap: int
) -> Adjustment:
    """Another duration than was requested: of `used` frames, without the first `overlap`."""
    return Adjustment(
        field="duration_s",
        asked=duration_s,
        used=(used - overlap) / fps,
        sentence=_nearest_length(duration_s, card, used, fps, overlap),
    )


def _fit_to_source_clip(
    request: GenerationRequest,
    card: ModelCard,
    fps: int,
    clip: SourceClip,
    counts: tuple[int, int, int],
    changes: list[Adjustment],
) -> int:
    """As many frames as are requested and the source clip has, from its beginning. If it is shorter
    than the model's shortest clip, its last frame is held."""
    used, source_frames, longest = counts
    rule, m = card.rules.frames, card.limits
    requested = request.num_frames is not None or request.duration_s is not None
    if used > source_frames:  # the next legal count below, where there is one
        used = max(rule.nearest(source_frames - rule.of / 2, m.min_frames, longest), m.min_frames)
    digits = 1 if clip.seconds >= 0.1 else 2
    if used > source_frames and request.num_frames != used:
        sentence = (
            f"The clip lasts {clip.seconds:.{digits}f} s; its last frame is held until "
            f"{used / fps:.1f} s, the shortest clip {card.name} makes."
        )
    elif request.num_frames is not None and used != request.num_frames:
        sentence = (
            f"The clip has {used} frames instead of {request.num_frames}: "
            f"{card.name} makes {_frame_rule(card)} frames."
        )
        if request.num_frames > source_frames:
            sentence = (
                f"The clip has {used} frames instead of {request.num_frames}: "
                f"The clip lasts {clip.seconds:.{digits}f} s."
            )
    elif not requested and source_frames - used >= rule.of:
        sentence = (
            f"The first {used / fps:.1f} s of the clip's {clip.seconds:.1f} s are used: "
            f"{card.name} makes no longer clips."
        )
    elif request.duration_s is not None and used != request.duration_s * fps:
        sentence = _nearest_length(request.duration_s, card, used, fps)
        if request.duration_s > clip.seconds:
            sentence = (
                f"The clip lasts {used / fps:.2f} s instead of {request.duration_s:g} s: the one "
                f"it is made from lasts {clip.seconds:.{digits}f} s."
            )
    else:
        return used
    for field, value in (("num_frames", request.num_frames), ("duration_s", request.duration_s)):
        if value is not None:
            made = used if field == "num_frames" else used / fps
            if made != value:
                changes.append(Adjustment(field=field, asked=value, used=made, sentence=sentence))
    if not requested:
        changes.append(Adjustment(field="num_frames", asked=None, used=used, sentence=sentence))
    return used


def _nearest_length(
    duration_s: float, card: ModelCard, frames: int, fps: int, overlap: int = 0
) -> str:
    seconds = (frames - overlap) / fps
    if overlap:
        return (
            f"It adds {seconds:.2f} s instead of {duration_s:g} s: "
            f"{frames} frames is the nearest length {card.name} makes."
        )
    return (
        f"The clip lasts {seconds:.2f} s instead of {duration_s:g} s: "
        f"{frames} frames is the nearest length {card.name} makes."
    )


def _frame_rule(card: ModelCard) -> str:
    rule = card.rules.frames
    return f"{rule.of}k+{rule.plus}" if rule.plus else f"{rule.of}k"


def _continuation_hint(request: GenerationRequest, card: ModelCard) -> str:
    if Task.IMAGE_TO_VIDEO not in card.tasks or request.video:
        return ""
    return " For a longer one, continue the clip once it is finished."


def _requested_length(request: GenerationRequest, frames: float, fps: int) -> str:
    if request.num_frames is not None:
        return f"{request.num_frames} ({frames / fps:.1f} s)"
    return f"{request.duration_s:g} s"


def value_in_range(
    field: str, words: str, requested: float | None, default: float, low: float, high: float
) -> float:
    """`requested` if it is within [low, high], else `default`, which is clamped to it.

    Raises KinoraError(INVALID_INPUT) with the nearest legal value as its action."""
    if requested is None:
        return min(max(default, low), high)
    if not low <= requested <= high:
        raise invalid_field(
            field,
            f"The {words} must be between {low:g} and {high:g}; you asked for {requested:g}.",
            use=low if requested < low else high,
        )
    return requested


def invalid_field(field: str, sentence: str, use: float | None = None) -> KinoraError:
    action: dict[str, Any] | None = None
    if use is not None:
        action = {"label": f"Use {use:g}", "set": {field: use}}
    return KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": field}, action=action)
