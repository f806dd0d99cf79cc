"""Synthetic clips with many colours, edges and movements, to which the preview map is fitted."""

from __future__ import annotations

import numpy as np

COUNT = 16


def synthetic_clips(frames: int, side: int, count: int = COUNT, seed: int = 0) -> list[np.ndarray]:
    """`count` clips, float32 [3, frames, side, side] in -1..1, always the same for a seed."""
    rng = np.random.default_rng(seed)
    return [_synthetic_clip(rng, frames, side, plain=number % 8 == 0) for number in range(count)]


def _synthetic_clip(rng: np.random.Generator, frames: int, side: int, *, plain: bool) -> np.ndarray:
    """A gradient with a faint texture and moving shapes; if plain, one colour."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.clip(0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle), 0, 1)
    start, end = rng.uniform(-1, 1, (2, 3, 1, 1)).astype(np.float32)
    ground = start + (end - start) * (0 if plain else ramp)
    waves = rng.uniform(2, 24, 2)
    texture = np.sin(waves[0] * 6.28 * x + rng.uniform(0, 6)) * np.sin(waves[1] * 6.28 * y)
    ground = ground + (0 if plain else rng.uniform(0, 0.25)) * texture

    clip = np.repeat(ground[:, None], frames, axis=1).astype(np.float32)
    for _ in range(0 if plain else rng.integers(1, 6)):
        colour = rng.uniform(-1, 1, (3, 1)).astype(np.float32)
        centre, speed = rng.uniform(0, 1, 2), rng.uniform(-0.04, 0.04, 2)
        radius, round_ = rng.uniform(0.04, 0.3), rng.random() < 0.6
        for frame in range(frames):
            dx, dy = (
                np.abs(x - centre[0] - speed[0] * frame),
                np.abs(y - centre[1] - speed[1] * frame),
            )
            inside = np.hypot(dx, dy) < radius if round_ else np.maximum(dx, dy) < radius
            clip[:, frame, inside] = colour
    return np.clip(clip, -1, 1)
