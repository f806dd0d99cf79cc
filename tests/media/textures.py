"""Frames of scenes that move: views of smoothed noise."""

from __future__ import annotations

import numpy as np

HEIGHT, WIDTH = 96, 128
ROOM = 60


def texture(seed: int, grain: int, contrast: float) -> np.ndarray:
    """Smoothed noise around a middle grey, float [H, W]. `grain`: pixels of its blobs."""
    values = np.random.default_rng(seed).random((HEIGHT + ROOM, WIDTH + ROOM))
    for axis in (0, 1, 0, 1):
        total = np.cumsum(np.concatenate([values, values.take(range(grain), axis)], axis), axis)
        size = values.shape[axis]
        values = total.take(range(grain, grain + size), axis) - total.take(range(size), axis)
    return (values - values.mean()) / values.std() * contrast / 6 + 128


def view(scene: np.ndarray, right: int, down: int) -> np.ndarray:
    """A frame, uint8 [HEIGHT, WIDTH, 3], that shows the scene from a place on."""
    part = scene[down : down + HEIGHT, right : right + WIDTH]
    return np.repeat(part.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


def planar(frame: np.ndarray) -> np.ndarray:
    """A grey frame as it goes through a pipe in YUV 4:2:0; its luminance is the grey."""
    height, width, _ = frame.shape
    chroma = np.full(2 * -(-height // 2) * -(-width // 2), 128, np.uint8)
    return np.concatenate([frame[..., 0].ravel(), chroma])
