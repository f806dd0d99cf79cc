"""Measures what people would see of windows: jumps at seams, drifting colours."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from pipelines.windows import ClipWindow


def seam_ratio(
    frames: np.ndarray, windows: tuple[ClipWindow, ...], usual: Callable[..., Any] = np.mean
) -> float:
    """The largest change from frame to frame at a seam, over the overlap and its two ends, in
    shares of the usual change inside windows. `frames`: [F, H, W, 3]."""
    changes = np.array([np.abs(b.astype(float) - a).mean() for a, b in pairwise(frames)])
    at_seams = np.zeros(len(changes), bool)
    position = windows[0].kept
    for window in windows[1:]:
        at_seams[position - window.overlap - 1 : position] = True
        position += window.kept - window.overlap
    return float(max(changes[at_seams]) / usual(changes[~at_seams]))


def window_colours(
    frames: np.ndarray, windows: tuple[ClipWindow, ...]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and contrast (standard deviation) of each window's own frames, by colour: [3] each."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    position = 0
    for window in windows:
        own = frames[position : position + window.kept - window.overlap].astype(float)
        found.append((own.mean(axis=(0, 1, 2)), own.std(axis=(0, 1, 2))))
        position += len(own)
    return found
