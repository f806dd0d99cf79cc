"""Flat SVG drawings with random variation. The height is 100 units, y points down."""

from __future__ import annotations

import colorsys

import numpy as np

from training.storybook.subjects import rasterise

Rng = np.random.Generator
HEIGHT = 100.0


class Drawing:
    def __init__(self, width: float, rng: Rng) -> None:
        self.width, self.rng = width, rng
        self.shapes: list[str] = []
        self.definitions: list[str] = []

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def across(self, low: float, high: float) -> float:
        """A random x between two shares of the width."""
        return self.width * self.uniform(low, high)

    def one_of(self, *options: str) -> str:
        return options[int(self.rng.integers(len(options)))]

    def near(self, colour: str, spread: float = 0.035) -> str:
        """This colour with random small changes of hue and brightness."""
        r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        h, s, v = colorsys.rgb_to_hsv(r, g, b)
        h += float(self.rng.normal(0, spread / 3))
        v = min(1.0, max(0.0, v * (1 + float(self.rng.normal(0, spread)))))
        r, g, b = colorsys.hsv_to_rgb(h % 1, s, v)
        return "#" + "".join(f"{round(255 * c):02x}" for c in (r, g, b))

    def gradient(self, top: str, bottom: str, y0: float = 0, y1: float = HEIGHT) -> None:
        name = f"g{len(self.definitions)}"
        self.definitions.append(
            f'<linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1">'
            f'<stop offset="0" stop-color="{self.near(top)}"/>'
            f'<stop offset="1" stop-color="{self.near(bottom)}"/></linearGradient>'
        )
        self.box(-1, y0, self.width + 2, y1 - y0 + 0.5, f"url(#{name})")

    def box(self, x: float, y: float, w: float, h: float, fill: str, r: float = 0) -> None:
        self.shapes.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{w:.2f}" height="{h:.2f}" '
            f'rx="{r:.2f}" fill="{fill}"/>'
        )

    def disc(self, x: float, y: float, r: float, fill: str) -> None:
        self.shapes.append(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:.2f}" fill="{fill}"/>')

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: str, turn: float = 0) -> None:
        self.shapes.append(
            f'<ellipse cx="{x:.2f}" cy="{y:.2f}" rx="{rx:.2f}" ry="{ry:.2f}" fill="{fill}" '
            f'transform="rotate({turn:.1f} {x:.2f} {y:.2f})"/>'
        )

    def path(self, d: str, fill: str) -> None:
        self.shapes.append(f'<path d="{d}" fill="{fill}"/>')

    def line(self, d: str, colour: str, width: float) -> None:
        self.shapes.append(
            f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="{width:.2f}" '
            'stroke-linecap="round" stroke-linejoin="round"/>'
        )

    def polygon(self, points: list[tuple[float, float]], fill: str) -> None:
        self.path("M" + " L".join(f"{x:.2f} {y:.2f}" for x, y in points) + "Z", fill)

    def hills(self, y: float, height: float, fill: str, hill: float = 70) -> None:
        """Rolling ground below y; `hill` is the distance between crests."""
        x, d = -self.uniform(0, hill) - hill, f"M{-2 * hill:.1f} {y:.1f}"
        up = True
        while x < self.width + hill:
            reach = hill / 2 * self.uniform(0.85, 1.2)
            end = y + (-height if up else height) / 2
            d += f" S{x + reach * 0.45:.1f} {end:.1f} {x + reach:.1f} {end:.1f}"
            x, up = x + reach, not up
        self.path(d + f" V{HEIGHT + 2} H{-2 * hill:.1f}Z", self.near(fill))

    def cloud(self, x: float, y: float, s: float, fill: str = "#ffffff") -> None:
        """Flat at the bottom, two bumps on top; 2.6 s wide."""
        self.box(x - 1.3 * s, y - 0.35 * s, 2.6 * s, 0.7 * s, fill, 0.35 * s)
        self.disc(x - 0.55 * s, y - 0.35 * s, 0.48 * s, fill)
        self.disc(x + 0.2 * s, y - 0.5 * s, 0.65 * s, fill)

    def svg(self) -> str:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.3f} {HEIGHT:g}">'
            f"<defs>{''.join(self.definitions)}</defs>{''.join(self.shapes)}</svg>"
        )

    def pixels(self, width: int, height: int) -> np.ndarray:
        """[height, width, 3] uint8."""
        return np.ascontiguousarray(rasterise(self.svg(), width, height)[..., :3])
