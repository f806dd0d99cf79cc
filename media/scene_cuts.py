"""Finds cuts between frames, for operations that mix neighbouring frames.

ffmpeg's `scdet` and the detection of its `minterpolate` compare frames without motion, so a cut
between two scenes that move is missed, and a fast pan is taken for a cut.
"""

from __future__ import annotations

import numpy as np

from media.block_motion import is_outside, motion, warp
from media.clip_metrics import LUMINANCE

SIDE = 64
"""Frames are compared at this size."""
LEAST_LEVELS = 1.5
"""Of 255: below this mean difference, mixing both frames is not seen."""
JUMP_LEVELS = 24.0
"""A change of the mean brightness by this is a cut or a flash; neither is mixed."""
UNEXPLAINED = 0.48
"""The share of a frame's contrast that motion leaves unexplained: 0.53 and more at cuts, below 0.35
in pans and zooms (docs/LOG.md)."""
SAMPLES = 4
"""Pixels in each direction that are read of a square."""


class CutDetector:
    """Compares each frame with the one before it."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None

    def is_cut(self, frame: np.ndarray) -> bool:
        """Whether a scene begins with `frame`, uint8 RGB [H, W, 3] or luminance [H, W]; False for
        the first one."""
        before, self._before = self._before, shrink(frame)
        return before is not None and is_cut_between(before, self._before)


def is_cut_between(before: np.ndarray, after: np.ndarray) -> bool:
    """Both are results of `shrink`."""
    if abs(float(after.mean() - before.mean())) >= JUMP_LEVELS:
        return True
    # a fade changes the brightness of the same scene
    before, after = before - before.mean(), after - after.mean()
    least = max(LEAST_LEVELS, UNEXPLAINED * float(before.std() + after.std()) / 2)
    if float(np.abs(after - before).mean()) < least:
        return False  # motion can only explain more; the search for it takes longer than all else
    vectors = motion(before, after)
    left = np.abs(warp(after, vectors) - before)
    seen = ~is_outside(vectors)
    return float(left[seen].mean() if seen.any() else left.mean()) >= least


def shrink(frame: np.ndarray) -> np.ndarray:
    """Luminance, float32 [h, w], by means over squares; the longer side has 64 to 127 pixels."""
    height, width = frame.shape[:2]
    side = max(1, max(height, width) // SIDE)
    step = max(1, side // SAMPLES)
    sampled = frame[::step, ::step].astype(np.float32)
    if sampled.ndim == 3:
        sampled = sampled @ LUMINANCE
    side = max(1, side // step)
    rows, columns = (max(1, size // side) for size in sampled.shape)
    down, right = min(side, sampled.shape[0]), min(side, sampled.shape[1])
    cropped = sampled[: rows * down, : columns * right]
    return _blurred(_blurred(cropped.reshape(rows, down, columns, right).mean((1, 3))).T).T


def _blurred(frame: np.ndarray) -> np.ndarray:
    """By 1-2-1 along columns: without it, fine texture changes as it moves across squares."""
    padded = np.pad(frame, ((1, 1), (0, 0)), mode="edge")
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
