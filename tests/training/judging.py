"""Cheap judges of a clip, with nothing learned in them: optical flow, and the painter's own places.

They know neither subjects nor the finer motions; `training.judges` does, and learns for it.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import cv2
import numpy as np

from training.world.places import PLACES, backdrop
from training.world.render import SIDE

STANDING = 8
"""A subject that drifts by fewer pixels in all has not gone anywhere."""


def drift(clip: np.ndarray) -> np.ndarray:
    """(x, y) in pixels: how far what moves has moved, frame by frame, over [F, H, W, 3] uint8."""
    grey = [cv2.GaussianBlur(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (0, 0), 1) for frame in clip]
    total = np.zeros(2)
    for a, b in pairwise(grey):
        still = np.zeros((*a.shape, 2), np.float32)
        flow = cv2.calcOpticalFlowFarneback(a, b, still, 0.5, 3, 21, 3, 7, 1.5, 0)
        moved = np.abs(b.astype(int) - a) > 12
        if moved.any():
            total += flow[moved].mean(0)
    return total


def direction(clip: np.ndarray) -> str:
    x, y = drift(clip)
    if max(abs(x), abs(y)) < STANDING:
        return "nowhere"
    if abs(x) > abs(y):
        return "right" if x > 0 else "left"
    return "down" if y > 0 else "up"


def _coarse(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture.astype(np.float32), (8, 8), interpolation=cv2.INTER_AREA)


@cache
def _templates() -> dict[str, np.ndarray]:
    """Each place as it is painted on average."""
    return {
        place.name: np.mean(
            [_coarse(backdrop(place, SIDE, np.random.default_rng((1, i)))) for i in range(12)], 0
        )
        for place in PLACES
    }


def place(clip: np.ndarray) -> str:
    """The place nearest in colour, over the half of the frame that fits it best."""
    middle = _coarse(np.median(clip, 0))
    costs = {
        name: float(np.median(np.abs(middle - template).mean(-1)))
        for name, template in _templates().items()
    }
    return min(costs, key=costs.__getitem__)
