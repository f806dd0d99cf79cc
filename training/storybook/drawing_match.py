"""Finds a subject's drawing in a frame by template matching, first at low resolution.

Masked, normalised correlation at every size and colour, also mirrored: 1 is the drawing on a plain
background. A ring of background around the drawing is compared as well, because some flat icons
have a single colour and are recognised by their outline alone. At full resolution this would take
seconds, so position, size and colour are searched in a frame of 64 pixels, and the best matches are
refined in the frame itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.storybook.subjects import LEVELS, Subject, sprite

SIZES = np.geomspace(0.19, 0.76, 13)
"""Sprite sizes as shares of the frame's height, from far to near."""
COARSE = 64
"""Height of the frame in the coarse search."""
COARSE_MATCHES = 3
"""Number of coarse matches that are refined."""
FINE_SCALES = (0.92, 0.95, 0.975, 1.0, 1.025, 1.05, 1.08)
RING = 0.06
"""Width of the background ring that is compared, as a share of the drawing's side."""


@dataclass(frozen=True)
class DrawingMatch:
    value: float
    """The correlation, -1 to 1."""
    colour: str
    size: float
    """Of the sprite, as a share of the frame's height."""
    mirrored: bool
    x: float
    y: float
    """Its top left corner, as shares of the frame's height."""


def _drawing(subject: Subject, colour: str, side: int, mirrored: bool) -> np.ndarray:
    """[side + 2 ring, side + 2 ring, 4] float32, premultiplied, 0..255."""
    largest = sprite(subject, colour, LEVELS[0])
    drawn = cv2.resize(largest, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    ring = _ring(side)
    padded = cv2.copyMakeBorder(drawn, ring, ring, ring, ring, cv2.BORDER_CONSTANT, value=0)
    return np.ascontiguousarray(padded[:, ::-1]) if mirrored else padded


def _ring(side: int) -> int:
    """Width in pixels of the background ring around a drawing."""
    return max(1, round(RING * side))


def _comparison_mask(drawn: np.ndarray, side: int) -> np.ndarray:
    """[H, W] uint8: 1 on the drawing and on the ring around it."""
    around = 2 * _ring(side) + 1
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (around, around))
    return cv2.dilate((drawn[..., 3] > 127).astype(np.uint8), shape)


def _correlate(
    pixels: np.ndarray, drawn: np.ndarray, side: int, background: np.ndarray
) -> tuple[float, int, int]:
    """(best correlation, x, y) of a drawing on a plain background. pixels: [H, W, 3] float32."""
    if min(pixels.shape[:2]) < drawn.shape[0]:
        return -1.0, 0, 0
    colours = np.ascontiguousarray(drawn[..., :3] + (1 - drawn[..., 3:] / 255) * background)
    mask = _comparison_mask(drawn, side)[..., None].repeat(3, 2).astype(np.float32)
    fits = cv2.matchTemplate(pixels, colours, cv2.TM_CCOEFF_NORMED, mask=mask)
    # flat patches divide by zero
    fits = np.where(np.isfinite(fits) & (np.abs(fits) <= 1.001), fits, -1.0)
    at = int(fits.argmax())
    return float(fits.flat[at]), at % fits.shape[1], at // fits.shape[1]


def _ring_colour(pixels: np.ndarray, drawn: np.ndarray, side: int, x: int, y: int) -> np.ndarray:
    """[3]: median colour of the ring around a drawing. x, y: top left corner of its box."""
    ring = (_comparison_mask(drawn, side) > 0) & (drawn[..., 3] < 1)
    box = pixels[y : y + drawn.shape[0], x : x + drawn.shape[1]]
    return np.median(box[ring], 0)


def find_drawing(
    frame: np.ndarray, subject: Subject, colours: tuple[str, ...] = ()
) -> DrawingMatch:
    """The best match in all colours, or in `colours`. frame: [H, W, 3] uint8."""
    height = frame.shape[0]
    scale = COARSE / height
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small, whole = small.astype(np.float32), frame.astype(np.float32)
    background = np.median(small.reshape(-1, 3), 0)
    coarse: list[DrawingMatch] = []
    for colour in colours or subject.colours:
        for mirrored in (False, True) if subject.profile else (False,):
            for size in SIZES:
                side = round(size * COARSE)
                drawn = _drawing(subject, colour, side, mirrored)
                value, x, y = _correlate(small, drawn, side, background)
                if value > -1:  # again, with the local background colour
                    local_background = _ring_colour(small, drawn, side, x, y)
                    value, x, y = _correlate(small, drawn, side, local_background)
                coarse.append(
                    DrawingMatch(value, colour, float(size), mirrored, x / COARSE, y / COARSE)
                )
    coarse.sort(key=lambda one: -one.value)
    best = DrawingMatch(-1.0, coarse[0].colour, coarse[0].size, coarse[0].mirrored, 0, 0)
    for one in coarse[:COARSE_MATCHES]:
        for factor in FINE_SCALES:
            side = round(one.size * factor * height)
            drawn = _drawing(subject, one.colour, side, one.mirrored)
            half = drawn.shape[0] / 2
            # same centre, with a margin of two coarse pixels
            extent = one.size * (1 + 2 * RING)
            middle = [(v + extent / 2) * height for v in (one.x, one.y)]
            room = half + 2 * height / COARSE
            left, top = (max(0, int(v - room)) for v in middle)
            right, bottom = (int(v + room) + 1 for v in middle)
            near = np.ascontiguousarray(whole[top:bottom, left:right])
            if min(near.shape[:2]) < drawn.shape[0]:
                continue
            x, y = (
                int(np.clip(v - half - begin, 0, n - drawn.shape[0]))
                for v, begin, n in zip(middle, (left, top), near.shape[1::-1], strict=True)
            )
            value, x, y = _correlate(near, drawn, side, _ring_colour(near, drawn, side, x, y))
            if value > best.value:
                ring = _ring(side)
                best = DrawingMatch(value, one.colour, side / height, one.mirrored,
                            (left + x + ring) / height, (top + y + ring) / height)  # fmt: skip
    return best


def likeness(frame: np.ndarray, subject: Subject) -> float:
    """Best correlation, -1 to 1. frame: [H, W, 3] uint8."""
    return find_drawing(frame, subject).value
