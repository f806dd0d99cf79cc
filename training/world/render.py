"""Renders a random clip of the world: pixels, subject masks and caption."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.world.captions import caption
from training.world.motions import MOTIONS, Motion, Path, path
from training.world.places import PLACES, Place, backdrop
from training.world.subjects import SPRITE, SUBJECTS, Subject, pyramid

SIDE = 128
FRAMES = 17
FPS = 8
EDGE = 0.2
"""Width of a sprite seen edge-on, as a share of its full width."""


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
    colour: str = ""
    """Always empty here; subjects of the storybook have several colours."""


def draw_sprite(
    frame: np.ndarray,
    mask: np.ndarray | None,
    emoji: str,
    x: float,
    y: float,
    size: float,
    turn: float,
    mirror: bool,
) -> None:
    """Draws one sprite into [H, W, 3] float32 0..255, in place; centre and size in pixels."""
    levels = pyramid(emoji)
    level = 0 if size > SPRITE / 2 else 1 if size > SPRITE / 4 else 2
    source = levels[level]
    n = source.shape[0]
    reach = int(np.ceil(size * 0.5)) + 1
    x0, y0 = int(np.floor(x)) - reach, int(np.floor(y)) - reach
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = min(x0 + 2 * reach, frame.shape[1]), min(y0 + 2 * reach, frame.shape[0])
    if right <= left or bottom <= top:
        return
    k = size / n
    width = max(EDGE, abs(float(np.cos(turn))))
    columns = max(2, round(n * width))
    if columns < n:  # by area: a narrow sprite would shimmer otherwise
        source = cv2.resize(source, (columns, n), interpolation=cv2.INTER_AREA)
    across = k * n * width / columns * (-1.0 if mirror != (np.cos(turn) < 0) else 1.0)
    to_frame = np.array(
        [
            [across, 0, x - left - across * (columns - 1) / 2],
            [0, k, y - top - k * (n - 1) / 2],
        ]
    )
    drawn = cv2.warpAffine(source, to_frame, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    window = frame[top:bottom, left:right]
    window *= 1 - drawn[..., 3:]
    window += drawn[..., :3] * 255
    if mask is not None:
        mask[top:bottom, left:right] = drawn[..., 3] * 255


def draw_clip(
    subject: Subject, motion_name: str, curve: Path, back: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    side = back.shape[0]
    frames = len(curve.x)
    pixels = np.repeat(back[None], frames, 0)
    masks = np.zeros((frames, side, side), np.float32)
    mirror = subject.profile and motion_name == "right"
    for i in range(frames):
        draw_sprite(
            pixels[i],
            masks[i],
            subject.emoji,
            float(curve.x[i] * side),
            float(curve.y[i] * side),
            float(curve.size[i] * side),
            float(curve.turn[i]),
            mirror,
        )
    return (pixels + 0.5).clip(0, 255).astype(np.uint8), (masks + 0.5).clip(0, 255).astype(np.uint8)


def render_labels(
    rng: np.random.Generator,
    subject: Subject | None = None,
    place: Place | None = None,
    motion: Motion | None = None,
    choose: slice = slice(None),
    partial: float = 0.12,
) -> tuple[str, Subject, Place, Motion]:
    """Random caption and labels, without rendering."""
    subject = subject or SUBJECTS[rng.integers(len(SUBJECTS))]
    place = place or PLACES[rng.integers(len(PLACES))]
    motion = motion or MOTIONS[rng.integers(len(MOTIONS))]
    return (
        caption(subject, place, motion, rng, choose=choose, partial=partial),
        subject,
        place,
        motion,
    )


def render(
    rng: np.random.Generator,
    *,
    subject: Subject | None = None,
    place: Place | None = None,
    motion: Motion | None = None,
    choose: slice = slice(None),
    partial: float = 0.12,
    frames: int = FRAMES,
) -> RenderedClip:
    words, subject, place, motion = render_labels(rng, subject, place, motion, choose, partial)
    pixels, masks = draw_clip(
        subject, motion.name, path(motion.name, frames, rng), backdrop(place, SIDE, rng)
    )
    return RenderedClip(pixels, masks, words, subject, place, motion)
