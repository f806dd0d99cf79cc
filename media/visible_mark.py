"""A visible mark, drawn on frames before they are encoded."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from errors import ErrorCode, KinoraError
from media.labels import font

log = logging.getLogger(__name__)

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]

MAX_WIDTH = 0.9
"""Of the clip's width: a longer mark is made smaller."""
MAX_PIXELS = 16_000_000


@dataclass(frozen=True)
class VisibleMark:
    """`picture` is used in place of `text`. `size`: its height, as a part of the shorter side."""

    text: str = ""
    picture: Path | None = None
    corner: Corner = "bottom-right"
    size: float = 0.06
    opacity: float = 0.7

    def draw_on(self, frames: np.ndarray) -> np.ndarray:
        """A copy of the frames with the mark: uint8 [F, H, W, 3]. Raises as `layer`."""
        _, height, width, _ = frames.shape
        rows, columns, colour, alpha = self.layer(width, height)
        marked = frames.copy()
        for frame in marked:
            _blend(frame[rows, columns], colour, alpha)
        return marked

    def draw_on_each(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """As `draw_on`, one frame at a time."""
        for frame in frames:
            yield self.draw_on(frame[None])[0]

    def layer(self, width: int, height: int) -> tuple[slice, slice, np.ndarray, np.ndarray]:
        """Rows and columns of the mark, its colours [h, w, 3] and its opacity [h, w, 1], 0 to 1.
        Raises KinoraError(ENCODE) if the picture cannot be read: without its mark, no clip is
        made."""
        return _layer(self, width, height)


@lru_cache(maxsize=4)
def _layer(
    mark: VisibleMark, width: int, height: int
) -> tuple[slice, slice, np.ndarray, np.ndarray]:
    tall = max(4, round(min(width, height) * mark.size))
    image = _open(mark.picture) if mark.picture else _write(mark.text, tall)
    scale = min(tall / image.height, width * MAX_WIDTH / image.width)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float32)
    margin = max(1, tall // 3)
    h, w = pixels.shape[:2]
    vertical, horizontal = mark.corner.split("-")
    top = margin if vertical == "top" else height - margin - h
    left = margin if horizontal == "left" else width - margin - w
    top, left = max(0, min(top, height - h)), max(0, min(left, width - w))
    alpha = pixels[..., 3:] / 255 * mark.opacity
    return slice(top, top + h), slice(left, left + w), pixels[..., :3], alpha


def _blend(area: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
    area[:] = np.rint(area * (1 - alpha) + colour * alpha).astype(np.uint8)


def _write(text: str, tall: int) -> Image.Image:
    """White letters with a dark rim, which are legible on any frame."""
    letters = font(max(8, tall))
    rim = max(1, tall // 12)
    left, top, right, bottom = letters.getbbox(text, stroke_width=rim)
    size = max(1, round(right - left)), max(1, round(bottom - top))
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(image).text(
        (-left, -top), text, (255, 255, 255, 255), letters, stroke_width=rim,
        stroke_fill=(0, 0, 0, 255),
    )  # fmt: skip
    return image


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError("it has more than 16 megapixels")
            return image.convert("RGBA")
    except Exception as error:  # whatever Pillow raises for a damaged file
        log.error("The picture of the visible mark cannot be used: %s", error)
        raise KinoraError(
            ErrorCode.ENCODE,
            "The visible mark of this server could not be drawn. Let its operator know.",
        ) from error
