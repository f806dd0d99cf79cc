"""Plans clips that are longer than the model makes at once: in windows that overlap."""

from __future__ import annotations

import math

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard
from pipelines.models.duration import Limits, invalid_field, nearest_length
from pipelines.models.rules import Rules, Steps
from pipelines.request import Adjustment, GenerationRequest, Task
from pipelines.windows import ClipWindows

FEWEST_LEAD_FRAMES = 9
"""Fewer keep too little of the motion."""


def can_be_long(card: ModelCard, task: Task) -> bool:
    """Whether it makes clips in windows: each starts from the end of the one before it."""
    return Task.IMAGE_TO_VIDEO in card.tasks and task is not Task.VIDEO_TO_VIDEO


def fit_long_clip(
    request: GenerationRequest,
    card: ModelCard,
    limits: Limits,
    fps: int,
    changes: list[Adjustment],
    overlap: int = 0,
) -> tuple[int, ClipWindows] | None:
    """The number of frames and the windows of a clip that the model does not make at once; None for
    others. The first `overlap` frames repeat an earlier clip, as in `fit_num_frames`.

    Raises KinoraError(TOO_MANY_FRAMES) beyond this installation's limit, and
    KinoraError(INVALID_INPUT) where `num_frames` and `duration_s` differ.
    """
    if not can_be_long(card, request.task):
        return None
    by_count, by_time = request.num_frames, None
    if request.duration_s is not None:
        by_time = request.duration_s * fps + overlap
    target = by_count or by_time
    rule, m = card.rules.frames, card.limits
    slack = rule.of / 2 if by_count is None else 0  # as for clips that are made at once
    if target is None or target <= m.max_frames + slack:
        return None
    total = math.floor(target + 0.5)
    windows = plan_windows(total, card.rules, card.defaults.num_frames, m.min_frames)
    if windows is None or windows.divide(total)[0].kept <= overlap:
        return None
    if total - overlap > _allowed(limits, fps):
        raise _too_long(request, limits, fps, total, overlap)
    if by_count is not None and by_time is not None and abs(by_time - by_count) > 0.5:
        raise invalid_field(
            "duration_s",
            f"{by_count} frames at {fps} frames per second last {by_count / fps:.2f} s, not "
            f"{request.duration_s:g} s. Leave one of the two empty.",
        )
    if request.duration_s is not None and not math.isclose(by_time or 0, total):
        changes.append(nearest_length(request.duration_s, card, fps, total, overlap))
    changes.append(
        Adjustment(
            field="windows",
            asked=None,
            used=windows.count,
            sentence=f"The clip is made in {windows.count} parts, each from the end of the one "
            f"before it: {card.name} makes at most {m.max_frames / fps:.1f} s at once.",
        )
    )
    return total, windows


def plan_windows(total: int, rules: Rules, best: int, fewest: int) -> ClipWindows | None:
    """As few windows as possible of at most `best` frames, all about as long, for a clip of `total`
    frames. `fewest` is the shortest that the model makes. None if two windows cannot overlap."""
    overlap = window_overlap(rules, best)
    if best <= overlap or total <= best:
        return None
    count = math.ceil((total - overlap) / (best - overlap))
    lengths: list[int] = []
    remaining = total - overlap
    for windows_left in range(count, 0, -1):
        needed = overlap + math.ceil(remaining / windows_left)
        length = min(max(_round_up(needed, rules.frames), fewest), best)
        lengths.append(length)
        remaining -= length - overlap
    return ClipWindows(lengths=tuple(lengths), overlap=overlap)


def window_overlap(rules: Rules, window: int) -> int:
    """The frames by which windows of that length overlap: 9 or a few more where the model continues
    the motion of several frames, else one, the picture that it starts from."""
    if not rules.lead:
        return 1
    rule, fewest = rules.frames, rules.frames.of + rules.frames.plus
    most = min(rules.most_lead or window, window // 2)
    wanted = max(fewest, _round_up(FEWEST_LEAD_FRAMES, rule))
    while wanted > most and wanted > fewest:
        wanted -= rule.of
    return wanted if wanted <= most else 1


def _round_up(count: int, rule: Steps) -> int:
    """The least legal count of at least `count` frames."""
    return rule.plus + rule.of * max(0, -(-(count - rule.plus) // rule.of))


def _allowed(limits: Limits, fps: int) -> int:
    return math.floor(limits.max_duration_s * fps + 1e-9)  # 4.1 * 30 is 122.99...


def _too_long(
    request: GenerationRequest, limits: Limits, fps: int, total: int, overlap: int
) -> KinoraError:
    allowed = _allowed(limits, fps)
    by_count = request.num_frames is not None
    asked = f"{total} frames ({total / fps:.1f} s)" if by_count else f"{request.duration_s:g} s"
    return KinoraError(
        ErrorCode.TOO_MANY_FRAMES,
        f"{limits.max_duration_s:g} s is the longest clip that is made here; you asked for "
        f"{asked}.",
        details={
            "field": "num_frames" if by_count else "duration_s",
            "longest_frames": allowed + overlap,
            "longest_s": round(allowed / fps, 3),
        },
        action={
            "label": f"Make it {allowed + overlap} frames",
            "set": {"num_frames": allowed + overlap, "duration_s": None},
        },
    )
