"""Measures a clip by its pixels alone: motion smoothness, temporal consistency, flicker.

Definitions and sources are in docs/evaluation.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from media.block_motion import is_outside, motion, motion_between, warp

SIDE = 192
"""Frames are measured at this size: enough for motion, and independent of the clip's own."""
MOST_FRAMES = 600
MOST_SAMPLES = 12
"""Frames at which motion is estimated, evenly spread over the clip."""
FLICKER_BLOCK = 16
SAME_PLACE_PX = 1.5
"""There and back leads to the same place within this, or the pixel is hidden in one frame."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""BT.709."""


@dataclass(frozen=True)
class ClipMetrics:
    """None where the clip has too few frames."""

    frames: int
    motion_smoothness: float | None
    """0..1: how well a frame is predicted by the motion between its neighbours."""
    temporal_consistency: float | None
    """0..1: how well a frame agrees with the one before it, where that is moved along."""
    flicker: float | None
    """Levels of 255 by which the brightness of things goes up and down; 0 is steady."""


def measure(frames: np.ndarray) -> ClipMetrics:
    """`frames` are uint8 [F, H, W, 3], of any size."""
    grey = frames.astype(np.float32) @ LUMINANCE
    count = len(grey)
    with_neighbours = _spread(1, count - 1)
    smoothness = [_interpolation_error(*grey[at - 1 : at + 2]) for at in with_neighbours]
    consistency = [_warping_error(*grey[at - 1 : at + 1]) for at in _spread(1, count)]
    flicker = [_brightness_change(*grey[at - 1 : at + 2]) for at in with_neighbours]
    return ClipMetrics(
        frames=count,
        motion_smoothness=_score(smoothness),
        temporal_consistency=_score(consistency),
        flicker=round(float(np.mean(flicker)), 3) if flicker else None,
    )


def _spread(first: int, end: int) -> list[int]:
    """At most MOST_SAMPLES of the numbers from `first` to before `end`, evenly spread."""
    count = max(0, min(end - first, MOST_SAMPLES))
    return [int(each) for each in np.linspace(first, end - 1, count).round()] if count else []


def _score(errors: list[float]) -> float | None:
    return round(1 - float(np.mean(errors)) / 255, 4) if errors else None


def _interpolation_error(before: np.ndarray, frame: np.ndarray, after: np.ndarray) -> float:
    """Mean difference of a frame from the one that the motion between its neighbours predicts."""
    vectors = motion_between(before, after)
    difference = np.abs((warp(before, -vectors) + warp(after, vectors)) / 2 - frame)
    return _mean(difference, unseen=is_outside(vectors) | is_outside(-vectors))


def _warping_error(before: np.ndarray, frame: np.ndarray) -> float:
    """Mean difference of a frame from the one before it, moved along, where both show the same."""
    back, forth = motion(frame, before), motion(before, frame)
    # there and back again: what does not return was hidden in one of the frames
    there = np.stack([warp(forth[..., axis], back) for axis in (0, 1)], axis=-1)
    astray = np.abs(back + there).max(axis=-1) > SAME_PLACE_PX
    return _mean(np.abs(warp(before, back) - frame), unseen=astray | is_outside(back))


def _brightness_change(before: np.ndarray, frame: np.ndarray, after: np.ndarray) -> float:
    """Mean difference of a block's brightness from what it was and will be, as it moves along.

    Grain and edges cancel out within a block, and a steady fade between the neighbours; a change of
    exposure, or of a region's tone, does not.
    """
    back, forth = motion(frame, before), motion(frame, after)
    change = frame - (warp(before, back) + warp(after, forth)) / 2
    change[is_outside(back) | is_outside(forth)] = 0
    height, width = change.shape
    side = min(FLICKER_BLOCK, height, width)
    rows, columns = height // side, width // side
    blocks = change[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return float(np.abs(blocks.mean(axis=(1, 3))).mean())


def _mean(difference: np.ndarray, unseen: np.ndarray) -> float:
    """Over the pixels that both frames show; over all where there are none, as at a cut."""
    return float((difference if unseen.all() else difference[~unseen]).mean())
