"""Images not drawn by our renderer: flat shapes, line drawings, photographs.

The repository contains no photographs: photo-like images are synthesised from noise with a natural
spectrum, and the few that are installed with gradio are used if present.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from training.current_world import SIDE

Rng = np.random.Generator
LARGE = SIDE * 4
"""Drawn at this size and averaged down, for smooth edges."""


def _colour(rng: Rng, low: int = 20, high: int = 236) -> list[float]:
    return [float(v) for v in rng.integers(low, high, 3)]


def _scale_down(large: np.ndarray) -> np.ndarray:
    small = cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return (small + 0.5).clip(0, 255).astype(np.uint8)


def draw_shapes(rng: Rng) -> np.ndarray:
    """Two to five flat discs, boxes and triangles on a plain background."""
    page = np.full((LARGE, LARGE, 3), _colour(rng), np.float32)
    for _ in range(int(rng.integers(2, 6))):
        x, y, r = (int(v * LARGE) for v in rng.uniform((0.2, 0.2, 0.08), (0.8, 0.8, 0.22)))
        colour = _colour(rng)
        match int(rng.integers(3)):
            case 0:
                cv2.circle(page, (x, y), r, colour, -1)
            case 1:
                cv2.rectangle(page, (x - r, y - r), (x + r, y + r // 2), colour, -1)
            case _:
                corners = np.array([(x, y - r), (x - r, y + r), (x + r, y + r)], np.int32)
                cv2.fillPoly(page, [corners], colour)
    return _scale_down(page)


def draw_lines(rng: Rng) -> np.ndarray:
    """A pen drawing on white: hills, the sun, and a house, a stick figure or a tree."""
    page = np.full((LARGE, LARGE, 3), 252, np.float32)
    ink = [float(rng.integers(0, 70))] * 3
    pen = int(rng.integers(8, 15))

    def stroke(*points: tuple[float, float]) -> None:
        cv2.polylines(page, [(np.array(points) * LARGE).astype(np.int32)], False, ink, pen)

    def ring(x: float, y: float, r: float) -> None:
        cv2.circle(page, (int(x * LARGE), int(y * LARGE)), int(r * LARGE), ink, pen)

    ground = float(rng.uniform(0.75, 0.85))
    wave = rng.uniform(0, 0.03)
    stroke(*((x, ground + wave * np.sin(9 * x)) for x in np.linspace(0, 1, 30)))
    x = float(rng.uniform(0.25, 0.75))
    match int(rng.integers(3)):
        case 0:
            w, h = 0.18, float(rng.uniform(0.25, 0.35))
            stroke((x - w, ground), (x - w, ground - h), (x + w, ground - h), (x + w, ground))
            stroke((x - w, ground - h), (x, ground - h - 0.2), (x + w, ground - h))
        case 1:
            ring(x, ground - 0.48, 0.08)
            stroke((x, ground - 0.4), (x, ground - 0.18))
            stroke((x - 0.12, ground), (x, ground - 0.18), (x + 0.12, ground))
            stroke((x - 0.14, ground - 0.3), (x + 0.14, ground - 0.34))
        case _:
            stroke((x, ground), (x, ground - 0.3))
            ring(x, ground - 0.42, 0.14)
    ring(0.15 if x > 0.5 else 0.85, 0.15, 0.07)
    return _scale_down(page)


def _spectral_noise(rng: Rng, slope: float) -> np.ndarray:
    """[SIDE, SIDE], about -1..1: noise whose amplitude is frequency to the power -`slope`."""
    f = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None])
    f[0, 0] = 1
    spectrum = np.fft.fft2(rng.standard_normal((SIDE, SIDE))) / f**slope
    spectrum[0, 0] = 0
    field = np.fft.ifft2(spectrum).real
    return field / (2 * field.std())


def paint_photograph(rng: Rng) -> np.ndarray:
    """Side light, a blurred background, a textured object in focus, vignetting, grain."""
    light = cv2.resize(
        rng.uniform(40, 215, (2, 2, 3)).astype(np.float32),
        (SIDE, SIDE),
        interpolation=cv2.INTER_CUBIC,
    )
    tint = rng.uniform(-1, 1, 3)
    back = (
        light
        + 28 * _spectral_noise(rng, 1.8)[..., None]
        + 10 * _spectral_noise(rng, 1.4)[..., None] * tint
    )
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    cx, cy = rng.uniform(0.35, 0.65, 2)
    bumpy = 0.06 * _spectral_noise(rng, 2.2)
    inside = np.hypot((x - cx) / rng.uniform(0.8, 1.3), y - cy) + bumpy < rng.uniform(0.18, 0.3)
    alpha = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.8)[..., None]
    shade = 1.15 - 0.9 * np.hypot(x - cx + 0.12, y - cy + 0.12)[..., None]
    thing = np.array(_colour(rng, 50, 220)) * shade + 22 * _spectral_noise(rng, 1.1)[..., None]
    mixed = back * (1 - alpha) + thing * alpha
    lens = 1.05 - 0.35 * np.hypot(x - 0.5, y - 0.5)[..., None]
    return (mixed * lens + rng.normal(0, 2, mixed.shape)).clip(0, 255).astype(np.uint8)


@cache
def installed_photographs() -> tuple[Path, ...]:
    """Photographs in installed packages."""
    spec = find_spec("gradio")
    if spec is None or spec.origin is None:
        return ()
    folder = Path(spec.origin).parent / "media_assets" / "images"
    names = ("cheetah1.jpg", "lion.jpg", "tower.jpg", "cheetah.jpg")
    return tuple(folder / name for name in names if (folder / name).exists())


def crop_photograph(rng: Rng) -> np.ndarray:
    """A random square of a photograph, scaled down; synthetic if none is installed."""
    if not installed_photographs():
        return paint_photograph(rng)
    with Image.open(installed_photographs()[rng.integers(len(installed_photographs()))]) as picture:
        whole = np.asarray(picture.convert("RGB"))
    side = int(min(whole.shape[:2]) * rng.uniform(0.7, 1))
    top, left = (int(rng.integers(0, n - side + 1)) for n in whole.shape[:2])
    return _scale_down(whole[top : top + side, left : left + side].astype(np.float32))


KINDS: dict[str, Callable[[Rng], np.ndarray]] = {
    "flat shapes": draw_shapes,
    "line drawings": draw_lines,
    "painted photographs": paint_photograph,
    "photographs": crop_photograph,
}


def draw_image(kind: str, number: int) -> np.ndarray:
    """[SIDE, SIDE, 3] uint8."""
    return KINDS[kind](np.random.default_rng((55, list(KINDS).index(kind), number)))
