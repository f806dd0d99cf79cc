"""Clips from outside the world, like the pictures that users upload.

The autoencoder learns to reconstruct them, and the denoiser to keep a given first frame unchanged
except for the one object that moves. The evaluation uses other pictures (evaluation/ood_images.py).
"""

from __future__ import annotations

import cv2
import numpy as np

from training.world.motions import MOTIONS, Motion, path
from training.world.render import FRAMES, SIDE, draw_sprite
from training.world.subjects import other_emoji

Rng = np.random.Generator
STILL = next(motion for motion in MOTIONS if motion.name == "still")


def emoji_clip(rng: Rng, frames: int = FRAMES, side: int = SIDE) -> np.ndarray:
    """[F, H, W, 3] uint8: one or two emoji that are not subjects, each on its own path."""
    pixels = np.repeat(draw_polygons(rng, side)[None], frames, 0)
    for _ in range(int(rng.integers(1, 3))):
        _animate_emoji(pixels, None, MOTIONS[rng.integers(len(MOTIONS))], rng)
    return (pixels + 0.5).clip(0, 255).astype(np.uint8)


def single_object_clip(
    rng: Rng, frames: int = FRAMES, side: int = SIDE
) -> tuple[np.ndarray, np.ndarray, Motion]:
    """(pixels [F, H, W, 3], mask [F, H, W], both uint8, motion): a background and one object.

    In half of the clips nothing moves; half of those have no object.
    """
    back = (draw_polygons, draw_texture, draw_strokes)[rng.integers(3)](rng, side)
    pixels = np.repeat(back[None], frames, 0)
    mask = np.zeros(pixels.shape[:3], np.float32)
    motion = STILL if rng.random() < 0.5 else MOTIONS[rng.integers(len(MOTIONS))]
    if motion is not STILL or rng.random() < 0.5:
        _animate_emoji(pixels, mask, motion, rng)
    return (pixels + 0.5).clip(0, 255).astype(np.uint8), (mask + 0.5).astype(np.uint8), motion


def draw_polygons(rng: Rng, side: int = SIDE) -> np.ndarray:
    """Up to four polygons on a gradient: [H, W, 3] float32 in 0..255, as from the others."""
    corners = rng.uniform(0, 255, (3, 3, 3)).astype(np.float32)
    back = cv2.resize(corners, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    for _ in range(int(rng.integers(0, 5))):
        points = (rng.uniform(0, side, (int(rng.integers(3, 6)), 2))).astype(np.int32)
        cv2.fillPoly(back, [points], rng.uniform(0, 255, 3).tolist(), cv2.LINE_AA)
    return back


def draw_texture(rng: Rng, side: int = SIDE) -> np.ndarray:
    """Noise in six octaves, with less contrast in the finer ones."""
    falloff = rng.uniform(0.4, 1.3)
    back = np.full((side, side, 3), rng.uniform(60, 190, 3), np.float32)
    for octave in range(1, 7):
        cells = 2**octave
        grey = rng.standard_normal((cells, cells, 1))
        patches = (0.7 * grey + 0.4 * rng.standard_normal((cells, cells, 3))).astype(np.float32)
        fine = cv2.resize(patches, (side, side), interpolation=cv2.INTER_CUBIC)
        back += 45 * cells**-falloff * fine
    return back.clip(0, 255)


def draw_strokes(rng: Rng, side: int = SIDE) -> np.ndarray:
    """Random pen strokes on plain paper."""
    paper, ink = rng.uniform(150, 255, 3), rng.uniform(0, 110, 3)
    if rng.random() < 0.3:
        paper, ink = ink, paper
    large = np.full((2 * side, 2 * side, 3), paper, np.float32)
    for _ in range(int(rng.integers(3, 12))):
        start = rng.uniform(0, 2 * side, 2)
        turns = np.cumsum(rng.normal(0, rng.uniform(0.05, 0.9), int(rng.integers(3, 24))))
        steps = rng.uniform(4, 24) * np.stack([np.cos(turns), np.sin(turns)], -1)
        points = (start + np.cumsum(steps, 0)).astype(np.int32)
        closed = bool(rng.random() < 0.3)
        cv2.polylines(large, [points], closed, ink.tolist(), int(rng.integers(2, 7)), cv2.LINE_AA)
    return cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)


def _animate_emoji(pixels: np.ndarray, mask: np.ndarray | None, motion: Motion, rng: Rng) -> None:
    emoji = other_emoji()[rng.integers(len(other_emoji()))]
    curve = path(motion.name, len(pixels), rng)
    for i in range(len(pixels)):
        x, y, size = (float(v[i]) * pixels.shape[1] for v in (curve.x, curve.y, curve.size))
        here = None if mask is None else mask[i]
        draw_sprite(pixels[i], here, emoji, x, y, size, float(curve.turn[i]), False)
