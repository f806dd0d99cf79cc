"""The places: soft backdrops, painted at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Rng = np.random.Generator
Colour = tuple[float, float, float]

OVER = 2
"""Backdrops are painted this many times larger, then averaged down."""


class Canvas:
    """A [side * OVER]^2 RGB painting, 0..255; coordinates are fractions of the side, y down."""

    def __init__(self, side: int, rng: Rng) -> None:
        self.n = side * OVER
        self.side = side
        self.rng = rng
        self.pixels = np.zeros((self.n, self.n, 3), np.float32)

    def near(self, colour: Colour, spread: float = 10) -> Colour:
        r, g, b = np.clip(np.asarray(colour) + self.rng.normal(0, spread, 3), 0, 255)
        return float(r), float(g), float(b)

    def gradient(self, top: Colour, bottom: Colour, y0: float = 0, y1: float = 1) -> None:
        top, bottom = self.near(top), self.near(bottom)
        a, b = int(y0 * self.n), int(y1 * self.n)
        t = np.linspace(0, 1, max(b - a, 1), dtype=np.float32)[:, None, None]
        self.pixels[a:b] = (
            np.asarray(top, np.float32) * (1 - t) + np.asarray(bottom, np.float32) * t
        )

    def disc(self, x: float, y: float, r: float, colour: Colour) -> None:
        self.ellipse(x, y, r, r, colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        n = self.n
        cv2.ellipse(
            self.pixels,
            (int(x * n), int(y * n)),
            (int(rx * n), int(ry * n)),
            0,
            0,
            360,
            colour,
            -1,
            cv2.LINE_AA,
        )

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        n = self.n
        cv2.rectangle(
            self.pixels, (int(x0 * n), int(y0 * n)), (int(x1 * n), int(y1 * n)), colour, -1
        )

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        cv2.fillPoly(
            self.pixels, [(np.asarray(points) * self.n).astype(np.int32)], colour, cv2.LINE_AA
        )

    def hills(self, y: float, height: float, colour: Colour, waves: float = 1.5) -> None:
        phase = self.rng.uniform(0, 6.28)
        x = np.linspace(0, 1, 40)
        crest = y + height * np.sin(x * 6.28 * waves + phase) * 0.5
        self.polygon(
            [(0, 1.01), *zip(x.tolist(), crest.tolist(), strict=True), (1.01, 1.01)],
            self.near(colour),
        )

    def done(self) -> np.ndarray:
        return cv2.resize(self.pixels, (self.side, self.side), interpolation=cv2.INTER_AREA)


def _cloud(c: Canvas, x: float, y: float, s: float) -> None:
    white = c.near((250, 252, 255), 3)
    for dx, dy, r in ((-1, 0.2, 0.7), (0, -0.2, 1), (1, 0.2, 0.75), (0.2, 0.35, 0.8)):
        c.ellipse(x + dx * s, y + dy * s, r * s, r * s * 0.75, white)


def _stars(c: Canvas, count: int, bottom: float) -> None:
    for _ in range(count):
        x, y = c.rng.uniform(0.02, 0.98), c.rng.uniform(0.02, bottom)
        c.disc(x, y, c.rng.uniform(0.006, 0.012), (255, 250, 215))


def sky(c: Canvas) -> None:
    c.gradient((70, 160, 245), (175, 222, 255))
    for i in range(int(c.rng.integers(2, 4))):
        _cloud(
            c,
            c.rng.uniform(0.1, 0.9),
            (0.15 + 0.3 * i + c.rng.uniform(-0.05, 0.1)),
            c.rng.uniform(0.07, 0.11),
        )


def sunset(c: Canvas) -> None:
    c.gradient((120, 60, 140), (255, 165, 70))
    c.disc(c.rng.uniform(0.25, 0.75), 0.72, c.rng.uniform(0.13, 0.18), (255, 215, 90))
    c.hills(0.77, 0.04, (85, 40, 85))


def night(c: Canvas) -> None:
    c.gradient((12, 16, 58), (48, 58, 120))
    _stars(c, int(c.rng.integers(16, 26)), 0.78)
    c.disc(
        c.rng.choice([c.rng.uniform(0.12, 0.3), c.rng.uniform(0.7, 0.88)]),
        0.17,
        0.09,
        (250, 240, 190),
    )
    c.hills(0.9, 0.05, (14, 22, 44))


def ocean(c: Canvas) -> None:
    c.gradient((150, 210, 250), (205, 236, 250))
    c.gradient((30, 125, 205), (8, 60, 135), 0.42, 1)
    for _ in range(7):
        x, y = c.rng.uniform(0, 1), c.rng.uniform(0.48, 0.97)
        w = c.rng.uniform(0.05, 0.1)
        c.ellipse(x, y, w, 0.007, (130, 195, 240))


def meadow(c: Canvas) -> None:
    c.gradient((140, 205, 250), (215, 240, 250))
    c.hills(0.5, 0.09, (120, 195, 85))
    c.hills(0.64, 0.05, (85, 170, 60))
    for _ in range(8):
        colour = c.near(((255, 235, 80), (250, 120, 150), (255, 255, 255))[c.rng.integers(3)], 4)
        c.disc(c.rng.uniform(0, 1), c.rng.uniform(0.74, 0.97), 0.013, colour)


def desert(c: Canvas) -> None:
    c.gradient((255, 205, 130), (255, 235, 190))
    c.hills(0.52, 0.09, (225, 165, 90))
    c.hills(0.7, 0.1, (240, 190, 110), 1)
    x = c.rng.uniform(0.08, 0.92)
    green = c.near((60, 140, 75), 6)
    c.box(x - 0.02, 0.42, x + 0.02, 0.66, green)
    c.box(x - 0.07, 0.48, x - 0.04, 0.55, green)
    c.box(x - 0.07, 0.53, x, 0.56, green)
    c.box(x + 0.04, 0.45, x + 0.07, 0.52, green)
    c.box(x, 0.5, x + 0.07, 0.53, green)


def snow(c: Canvas) -> None:
    c.gradient((150, 180, 215), (215, 228, 242))
    c.hills(0.64, 0.08, (235, 242, 250))
    c.hills(0.76, 0.05, (250, 252, 255))
    for _ in range(14):
        c.disc(
            c.rng.uniform(0, 1),
            c.rng.uniform(0, 0.62),
            c.rng.uniform(0.009, 0.014),
            (255, 255, 255),
        )


def city(c: Canvas) -> None:
    c.gradient((165, 185, 210), (225, 215, 205))
    x = -0.02
    while x < 1:
        w, top = c.rng.uniform(0.13, 0.2), c.rng.uniform(0.15, 0.5)
        c.box(
            x,
            top,
            x + w,
            0.82,
            c.near(((95, 105, 130), (130, 110, 120), (80, 95, 110))[c.rng.integers(3)], 8),
        )
        for wy in np.arange(top + 0.05, 0.76, 0.09):
            for wx in (x + w * 0.28, x + w * 0.72):
                c.box(wx - 0.016, wy, wx + 0.016, wy + 0.035, (250, 225, 140))
        x += w + 0.01
    c.box(0, 0.82, 1.01, 1.01, c.near((70, 72, 80), 4))
    for x in (0.08, 0.42, 0.76):
        c.box(x, 0.9, x + 0.16, 0.92, (235, 230, 210))


def space(c: Canvas) -> None:
    c.gradient((10, 5, 22), (34, 10, 52))
    _stars(c, int(c.rng.integers(18, 28)), 0.98)
    x, y = (
        c.rng.uniform(0.15, 0.85),
        c.rng.choice([c.rng.uniform(0.12, 0.25), c.rng.uniform(0.78, 0.88)]),
    )
    colour = c.near(((215, 120, 75), (100, 165, 195), (190, 130, 210))[c.rng.integers(3)], 8)
    c.disc(x, y, 0.11, colour)
    c.ellipse(x, y, 0.19, 0.02, c.near((230, 205, 160), 6))
    c.ellipse(x, y - 0.035, 0.1, 0.05, colour)


def forest(c: Canvas) -> None:
    c.gradient((120, 175, 130), (185, 215, 160))
    for x in np.arange(0.04, 1.05, 0.155):
        x = float(x + c.rng.uniform(-0.03, 0.03))
        dark = c.near((28, 88, 52), 8)
        c.box(x - 0.016, 0.55, x + 0.016, 0.82, (85, 58, 40))
        top = c.rng.uniform(0.1, 0.24)
        for k in range(3):
            y = top + 0.14 * k
            c.polygon(
                [(x, y), (x - 0.06 - 0.025 * k, y + 0.22), (x + 0.06 + 0.025 * k, y + 0.22)], dark
            )
    c.hills(0.8, 0.03, (62, 105, 50))


@dataclass(frozen=True)
class Place:
    name: str
    paint: Callable[[Canvas], None]
    words: tuple[str, ...]


PLACES: tuple[Place, ...] = (
    Place(
        "sky",
        sky,
        ("in the sky", "in a blue sky", "among the clouds", "high in the air", "on a clear day"),
    ),
    Place(
        "sunset",
        sunset,
        ("at sunset", "in the evening sun", "at dusk", "in front of the setting sun"),
    ),
    Place(
        "night",
        night,
        (
            "at night",
            "in a starry night sky",
            "in the night",
            "under the stars",
            "in the moonlight",
        ),
    ),
    Place(
        "ocean", ocean, ("in the ocean", "on the sea", "over the water", "at sea", "on the waves")
    ),
    Place(
        "meadow",
        meadow,
        ("in a meadow", "on the grass", "in a green field", "among the flowers", "in a park"),
    ),
    Place("desert", desert, ("in the desert", "on the sand", "among the dunes", "in a hot desert")),
    Place(
        "snow",
        snow,
        ("in the snow", "in winter", "on a snowy hill", "on the ice", "in a snowy landscape"),
    ),
    Place(
        "city",
        city,
        ("in the city", "on the street", "in front of the skyscrapers", "downtown", "in a town"),
    ),
    Place(
        "space",
        space,
        ("in space", "in outer space", "among the planets", "in the galaxy", "near a planet"),
    ),
    Place(
        "forest",
        forest,
        ("in the forest", "in the woods", "among the trees", "in a dark forest", "in a jungle"),
    ),
)
PLACE_NAMES = tuple(place.name for place in PLACES)


def backdrop(place: Place, side: int, rng: Rng) -> np.ndarray:
    """[side, side, 3] float32, 0..255."""
    canvas = Canvas(side, rng)
    place.paint(canvas)
    return canvas.done()
