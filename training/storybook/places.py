"""The places: flat backdrops of a few bold shapes, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.storybook.drawing import HEIGHT, Drawing

Rng = np.random.Generator


def sky(d: Drawing) -> None:
    d.gradient("#4aa8ff", "#bfe4ff")
    for y in (16, 46, 80):
        for x in (0.22, 0.76):
            if d.rng.random() < 0.7:
                d.cloud(
                    d.width * (x + d.uniform(-0.16, 0.16)), y + d.uniform(-6, 8), d.uniform(7, 11)
                )


def sunset(d: Drawing) -> None:
    d.gradient("#6d4aa8", "#ff9a56")
    x, y, r = d.across(0.25, 0.75), d.uniform(58, 64), d.uniform(17, 21)
    d.disc(x, y, r * 1.35, "#ffb35c")
    d.disc(x, y, r, "#ffe08a")
    d.hills(76, 6, "#8c3f72", 60)
    d.hills(87, 5, "#5b2a5e", 45)


def night(d: Drawing) -> None:
    d.gradient("#131a4b", "#3a4a9a")
    for _ in range(int(d.rng.integers(14, 22))):
        d.disc(d.across(0.02, 0.98), d.uniform(3, 72), d.uniform(0.6, 1.1), "#fff3c4")
    x, y = d.width * d.uniform(0.12, 0.28), d.uniform(15, 22)
    if d.rng.random() < 0.5:
        x = d.width - x
    d.disc(x, y, 10, "#ffeebb")
    d.disc(x + 3, y - 3, 2.2, "#ecd692")
    d.disc(x - 4, y + 3, 1.6, "#ecd692")
    d.hills(86, 6, "#1d2a52", 55)


def ocean(d: Drawing) -> None:
    d.gradient("#9fd8ff", "#e3f5ff", 0, 45)
    d.disc(d.across(0.15, 0.85), d.uniform(12, 20), 7, "#ffd95e")
    d.gradient("#2f9be6", "#135bb0", 42, HEIGHT)
    for row in range(4):
        y, count = 50 + 13 * row, 3
        for i in range(count):
            x = d.width * (i + d.uniform(0.2, 0.8)) / count
            w = d.uniform(5, 8)
            d.line(
                f"M{x - w:.1f} {y:.1f} q{w / 2:.1f} -3.4 {w:.1f} 0 q{w / 2:.1f} 3.4 {w:.1f} 0",
                "#7cc8f7",
                1.5,
            )


def meadow(d: Drawing) -> None:
    d.gradient("#8fd0ff", "#e6f6ff", 0, 60)
    d.cloud(d.across(0.15, 0.85), d.uniform(12, 20), d.uniform(7, 9))
    d.hills(52, 9, "#8fd15f", 80)
    d.hills(66, 6, "#62b83f", 60)
    for i in range(7):
        x, y = d.width * (i + d.uniform(0.2, 0.8)) / 7, d.uniform(78, 95)
        petal = d.one_of("#ff6fa5", "#ffffff", "#ffd93d")
        d.line(f"M{x:.1f} {y:.1f} v5", "#3f8f2a", 0.9)
        for a in range(5):
            turn = a * 2 * np.pi / 5
            d.disc(x + 1.7 * float(np.sin(turn)), y - 1.7 * float(np.cos(turn)), 1.25, petal)
        d.disc(x, y, 1.1, "#f2a516")


def desert(d: Drawing) -> None:
    d.gradient("#ffd591", "#fff1d0", 0, 62)
    d.disc(d.across(0.15, 0.85), d.uniform(14, 20), 8, "#fff7cf")
    d.hills(56, 10, "#eeb25f", 90)
    x = d.width * (d.uniform(0.08, 0.25) if d.rng.random() < 0.5 else d.uniform(0.75, 0.92))
    y, green = d.uniform(66, 70), d.near("#3f9d5a")
    d.line(f"M{x:.1f} {y:.1f} v-26", green, 5)
    d.line(f"M{x:.1f} {y - 9:.1f} h-7 v-8", green, 3.6)
    d.line(f"M{x:.1f} {y - 6:.1f} h7 v-9", green, 3.6)
    d.hills(70, 7, "#e09a45", 70)


def snow(d: Drawing) -> None:
    d.gradient("#9cc3e6", "#e4f0fa", 0, 70)
    for share in (0.12, 0.3, 0.72, 0.9):
        if d.rng.random() < 0.6:
            _fir(d, d.width * share + d.uniform(-4, 4), 72, d.uniform(20, 28), "#5f9aa8", "#f7fbff")
    d.hills(66, 8, "#e9f2fb", 80)
    d.hills(82, 5, "#ffffff", 60)
    for _ in range(16):
        d.disc(d.across(0, 1), d.uniform(2, 62), d.uniform(0.8, 1.3), "#ffffff")


def _fir(d: Drawing, x: float, y: float, h: float, fill: str, snow: str = "") -> None:
    """A tree of three tiers that stands on y."""
    d.box(x - 0.05 * h, y - 0.18 * h, 0.1 * h, 0.2 * h, "#7a5236")
    for i, (top, half) in enumerate(((0.12, 0.3), (0.38, 0.24), (0.62, 0.18))):
        low = y - top * h
        d.polygon([(x - half * h, low), (x, low - 0.38 * h), (x + half * h, low)], fill)
        if snow and i == 2:
            d.polygon([(x - 0.09 * h, low - 0.19 * h), (x, y - h), (x + 0.09 * h, low - 0.19 * h)],
                      snow)  # fmt: skip


def city(d: Drawing) -> None:
    d.gradient("#a9d4f2", "#fbe9d2")
    x = -d.uniform(0, 10)
    while x < d.width:
        w, top = d.uniform(15, 21), d.uniform(18, 50)
        d.box(x, top, w, 70, d.near(d.one_of("#6f86b5", "#b5768a", "#5f9ea0", "#8b7bb8"), 0.05))
        rows = int((76 - top) // 10)
        for row in range(rows):
            for column in (0.27, 0.73):
                d.box(x + w * column - 2, top + 5 + 10 * row, 4, 5, "#ffe9a8", 0.6)
        x += w + d.uniform(0.5, 2.5)
    d.box(-1, 82, d.width + 2, 20, d.near("#5a5f6e"))
    d.box(-1, 80, d.width + 2, 3, "#c9ccd4")
    for i in range(int(d.width // 18) + 1):
        d.box(18 * i + 4, 90, 9, 1.8, "#f4e3a1", 0.9)


def space(d: Drawing) -> None:
    d.gradient("#0b0b2e", "#2b1450")
    for _ in range(int(d.rng.integers(20, 28))):
        d.disc(d.across(0.01, 0.99), d.uniform(2, 98), d.uniform(0.5, 1.0), "#ffffff")
    x, y, r = d.width * d.uniform(0.1, 0.24), d.uniform(18, 34), d.uniform(9, 12)
    if d.rng.random() < 0.5:
        x = d.width - x
    tone, dark = (("#ff9f68", "#e57a45"), ("#7bd0c1", "#4fae9e"), ("#c78bea", "#a463cc"))[
        int(d.rng.integers(3))
    ]
    d.disc(x, y, r, tone)
    d.ellipse(x - 0.3 * r, y - 0.3 * r, 0.32 * r, 0.22 * r, dark)
    d.ellipse(x + 0.3 * r, y + 0.35 * r, 0.38 * r, 0.22 * r, dark)
    d.line(
        f"M{x - 1.6 * r:.1f} {y + 0.5 * r:.1f} Q{x:.1f} {y + 0.55 * r:.1f} "
        f"{x + 1.6 * r:.1f} {y - 0.5 * r:.1f}",
        "#ffe3b0",
        1.6,
    )
    d.disc(d.width - x + d.uniform(-8, 8), d.uniform(74, 88), d.uniform(4, 6), d.near("#6f8fe8"))


def forest(d: Drawing) -> None:
    d.gradient("#cdebc0", "#eef8d8")
    for fill, base, size, count in (("#7fbf8e", 74, 44, 7), ("#3f8f5f", 84, 56, 5)):
        step = d.width / count
        for i in range(count + 1):
            x = step * (i + d.uniform(-0.25, 0.25))
            _fir(d, x, base, size * d.uniform(0.85, 1.1), d.near(fill))
    d.hills(82, 4, "#6aa84f", 60)


def beach(d: Drawing) -> None:
    d.gradient("#6cc5ff", "#d8f1ff", 0, 50)
    d.cloud(d.across(0.2, 0.8), d.uniform(14, 22), d.uniform(6, 8))
    d.gradient("#27b3c9", "#6fd6d6", 46, 84)
    d.hills(70, 3, "#ffffff", 50)
    d.hills(73, 3, "#f8dc9c", 50)
    left = d.rng.random() < 0.5
    x = d.width * (d.uniform(0.06, 0.16) if left else d.uniform(0.84, 0.94))
    lean = 6 if left else -6
    d.line(f"M{x:.1f} 84 Q{x:.1f} 60 {x + lean:.1f} 38", "#a9744a", 3.2)
    leaf = d.near("#3fae5a")
    for turn in (-155, -110, -60, -20, 20):
        a = np.deg2rad(turn)
        dx, dy = 9 * float(np.cos(a)), 6 * float(np.sin(a))
        d.ellipse(x + lean + dx, 38 + dy, 10, 2.6, leaf, float(np.rad2deg(np.arctan2(dy, dx))))


def mountains(d: Drawing) -> None:
    d.gradient("#7fb8ff", "#f3e9ff", 0, 80)
    for base, fill, cap in ((0.2, "#8f9ccf", "#ffffff"), (0.75, "#7c8bc4", "#ffffff")):
        x, top, half = d.width * (base + d.uniform(-0.1, 0.1)), d.uniform(16, 28), d.uniform(42, 52)
        d.polygon([(x - half, 84), (x, top), (x + half, 84)], d.near(fill))
        k = 0.3
        w, low = half * k, top + (84 - top) * k
        d.polygon(
            [(x - w, low), (x, top), (x + w, low), (x + 0.45 * w, low - 4), (x, low + 3),
             (x - 0.5 * w, low - 4)],
            cap,
        )  # fmt: skip
    d.hills(78, 6, "#6fbf73", 70)


def underwater(d: Drawing) -> None:
    d.gradient("#35c2e0", "#0a4f96")
    for _ in range(9):
        x, y, r = d.across(0.03, 0.97), d.uniform(8, 76), d.uniform(1.2, 2.6)
        d.disc(x, y, r, "#a6e6f5")
        d.disc(x + 0.3 * r, y - 0.3 * r, 0.3 * r, "#ffffff")
    d.hills(87, 4, "#e9cf97", 60)
    for share in (0.1, 0.3, 0.7, 0.9):
        x, h = d.width * share + d.uniform(-6, 6), d.uniform(18, 30)
        colour = d.one_of("#2fa36b", "#ff7f6e", "#7d5bd0")
        wave = f"q-5 {-h / 6:.1f} 0 {-h / 3:.1f} q5 {-h / 6:.1f} 0 {-h / 3:.1f}"
        d.line(f"M{x:.1f} 92 {wave} q-4 {-h / 6:.1f} 0 {-h / 3:.1f}", d.near(colour), 3.2)


def room(d: Drawing) -> None:
    wall = d.one_of("#f7d9c4", "#d4e7d0", "#e3d4f0")
    d.box(-1, -1, d.width + 2, 80, d.near(wall))
    d.box(-1, 76, d.width + 2, 30, d.near("#b97f4f"))
    d.box(-1, 74, d.width + 2, 3.4, "#fffaf2")
    left = d.rng.random() < 0.5
    x = d.width * (d.uniform(0.12, 0.22) if left else d.uniform(0.78, 0.88))
    d.box(x - 13, 14, 26, 34, "#ffffff", 1.5)
    d.box(x - 11, 16, 22, 30, "#a8dcff")
    d.box(x - 0.9, 15, 1.8, 32, "#ffffff")
    d.box(x - 12, 30, 24, 1.8, "#ffffff")
    x = d.width - x + d.uniform(-4, 4)
    d.box(x - 9, 20, 18, 14, d.near("#8d5b4c"), 1)
    d.box(x - 7.4, 21.6, 14.8, 10.8, d.near("#ffe08a"))
    d.disc(x, 28, 3, "#ff8a5c")
    d.ellipse(d.width / 2, 90, d.width * 0.36, 6.5, d.near(d.one_of("#d9534f", "#5a8fd6")))


@dataclass(frozen=True)
class Place:
    name: str
    paint: Callable[[Drawing], None]
    words: tuple[str, ...]


PLACES: tuple[Place, ...] = (
    Place("sky", sky, ("in the sky", "in a blue sky", "among the clouds", "high in the air")),
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
    Place("ocean", ocean, ("in the ocean", "on the sea", "over the water", "on the waves")),
    Place(
        "meadow",
        meadow,
        ("in a meadow", "on the grass", "in a green field", "among the flowers", "in a park"),
    ),
    Place("desert", desert, ("in the desert", "among the dunes", "in a hot desert")),
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
    Place(
        "beach",
        beach,
        ("on the beach", "at the beach", "on the shore", "under a palm tree", "on the sand"),
    ),
    Place(
        "mountains",
        mountains,
        ("in the mountains", "in front of the mountains", "among the peaks", "in the alps"),
    ),
    Place(
        "underwater",
        underwater,
        ("underwater", "under the sea", "at the bottom of the sea", "among the bubbles"),
    ),
    Place(
        "room",
        room,
        ("in a room", "in the living room", "at home", "in the house", "indoors"),
    ),
)
PLACE_NAMES = tuple(place.name for place in PLACES)


def backdrop(place: Place, width: int, height: int, rng: Rng) -> np.ndarray:
    """[height, width, 3] uint8."""
    drawing = Drawing(HEIGHT * width / height, rng)
    place.paint(drawing)
    return drawing.pixels(width, height)
