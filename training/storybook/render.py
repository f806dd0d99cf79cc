"""Renders a random clip of the storybook: pixels, subject masks and caption."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.storybook.captions import caption
from training.storybook.places import PLACES, Place, backdrop
from training.storybook.subjects import LEVELS, SUBJECTS, Subject, sprite
from training.world.motions import MOTIONS, Motion, Path, path

SIDE = 256
FRAMES = 25
FPS = 12
EDGE = 0.2
"""Width of a sprite seen edge-on, as a share of its full width."""
FINER = 2
"""Supersampling factor of sprites, which keeps edges sharp in motion."""


@dataclass(frozen=True)
class RenderedClip:
    pixels: np.ndarray
    """[F, H, W, 3] uint8."""
    masks: np.ndarray
    """[F, H, W] uint8: the subject's coverage of each pixel."""
    caption: str
    subject: Subject
    place: Place
    motion: Motion
    colour: str


def draw_sprite(
    frame: np.ndarray,
    mask: np.ndarray,
    levels: tuple[np.ndarray, ...],
    x: float,
    y: float,
    size: float,
    turn: float,
    mirror: bool,
) -> None:
    """Draws one sprite into [H, W, 3] uint8, in place; centre and size in pixels."""
    fitting = [level for level in levels if level.shape[0] >= size * FINER]
    source = fitting[-1] if fitting else levels[0]
    n = source.shape[0]
    reach = int(np.ceil(size * 0.5)) + 1
    x0, y0 = int(np.floor(x)) - reach, int(np.floor(y)) - reach
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = min(x0 + 2 * reach, frame.shape[1]), min(y0 + 2 * reach, frame.shape[0])
    if right <= left or bottom <= top:
        return
    width = max(EDGE, abs(float(np.cos(turn))))
    columns = max(2, round(n * width))
    if columns < n:  # by area: a narrow sprite would shimmer otherwise
        source = cv2.resize(source, (columns, n), interpolation=cv2.INTER_AREA)
    k = FINER * size / n
    across = k * n * width / columns * (-1.0 if mirror != (np.cos(turn) < 0) else 1.0)
    # pixel centres: the sprite's middle, (columns - 1) / 2, falls on the frame's x, minus one half
    to_grid = np.array(
        [
            [across, 0, FINER * (x - left) - 0.5 - across * (columns - 1) / 2],
            [0, k, FINER * (y - top) - 0.5 - k * (n - 1) / 2],
        ]
    )
    grid = ((right - left) * FINER, (bottom - top) * FINER)
    fine = cv2.warpAffine(source, to_grid, grid, flags=cv2.INTER_LINEAR)
    drawn = cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    window = frame[top:bottom, left:right]
    keep = (255 - drawn[..., 3:]).astype(np.uint16)
    window[:] = drawn[..., :3] + ((window * keep + 127) // 255).astype(np.uint8)
    mask[top:bottom, left:right] = drawn[..., 3]


def draw_clip(
    subject: Subject, colour: str, motion_name: str, curve: Path, back: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(pixels [F, H, W, 3], masks [F, H, W]); back: [H, W, 3] uint8."""
    height, width = back.shape[:2]
    frames = len(curve.x)
    pixels = np.repeat(back[None], frames, 0)
    masks = np.zeros((frames, height, width), np.uint8)
    levels = tuple(sprite(subject, colour, side) for side in LEVELS)
    for i in range(frames):
        draw_sprite(
            pixels[i],
            masks[i],
            levels,
            float(curve.x[i] * width),
            float(curve.y[i] * height),
            float(curve.size[i] * min(width, height)),
            float(curve.turn[i]),
            subject.mirrored(motion_name),
        )
    return pixels, masks


def draw_labels(
    rng: np.random.Generator,
    subject: Subject | None = None,
    place: Place | None = None,
    motion: Motion | None = None,
) -> tuple[Subject, Place, Motion, str]:
    """Labels that are None are sampled uniformly; the colour is one of the subject's."""
    subject = subject or SUBJECTS[rng.integers(len(SUBJECTS))]
    place = place or PLACES[rng.integers(len(PLACES))]
    motion = motion or MOTIONS[rng.integers(len(MOTIONS))]
    return subject, place, motion, subject.colours[rng.integers(len(subject.colours))]


def render_labels(
    rng: np.random.Generator,
    subject: Subject | None = None,
    place: Place | None = None,
    motion: Motion | None = None,
    choose: slice = slice(None),
    partial: float = 0.12,
) -> tuple[str, Subject, Place, Motion]:
    """Random caption and labels, without rendering."""
    subject, place, motion, colour = draw_labels(rng, subject, place, motion)
    words = caption(subject, place, motion, rng, colour=colour, choose=choose, partial=partial)
    return words, subject, place, motion


def render(
    rng: np.random.Generator,
    *,
    subject: Subject | None = None,
    place: Place | None = None,
    motion: Motion | None = None,
    colour: str | None = None,
    choose: slice = slice(None),
    partial: float = 0.12,
    frames: int = FRAMES,
    width: int = SIDE,
    height: int = SIDE,
) -> RenderedClip:
    subject, place, motion, drawn = draw_labels(rng, subject, place, motion)
    colour = drawn if colour is None else colour
    words = caption(subject, place, motion, rng, colour=colour, choose=choose, partial=partial)
    back = backdrop(place, width, height, rng)
    curve = path(motion.name, frames, rng)
    pixels, masks = draw_clip(subject, colour, motion.name, curve, back)
    return RenderedClip(pixels, masks, words, subject, place, motion, colour)
