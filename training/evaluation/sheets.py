"""Contact sheets of the clips of seeds 0 to 63, uncurated."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.current_world import FRAMES

COLUMNS = 4
PICK = (0, (FRAMES - 1) // 2, FRAMES - 1)
"""First, middle and last frame of each clip."""
SIDE = 104
LINE = 24
SHEET_LIMIT_BYTES = 400_000
MOVING_SIDE = 64
MOVING_COLUMNS = 8


def contact_sheet(clips: list[np.ndarray], words: list[str], path: Path) -> None:
    """Writes three frames and the prompt of each clip as a JPEG under SHEET_LIMIT_BYTES."""
    wide, high = SIDE * len(PICK) + 8, SIDE + LINE + 6
    rows = -(-len(clips) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * wide + 8, rows * high + 8), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(10)
    for i, (clip, text) in enumerate(zip(clips, words, strict=True)):
        x, y = 8 + i % COLUMNS * wide, 8 + i // COLUMNS * high
        for k, frame in enumerate(PICK):
            small = cv2.resize(clip[frame], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            page.paste(Image.fromarray(small), (x + k * SIDE, y))
        for k, line in enumerate(_lines(f"{i}: {text}", font, wide - 8)):
            pen.text((x, y + SIDE + 1 + 11 * k), line, "black", font)
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in range(88, 20, -6):
        page.save(path, quality=quality, optimize=True, progressive=True)
        if path.stat().st_size < SHEET_LIMIT_BYTES:
            return


def _lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """At most two lines; longer text is cut with an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        elif len(lines) == 2:
            return [lines[0], lines[1][:-1] + "…"]
        else:
            lines.append(word)
    return lines


def moving_sheet(clips: list[np.ndarray], path: Path, fps: int) -> None:
    """Writes all clips in a grid as an animated WebP."""
    rows = -(-len(clips) // MOVING_COLUMNS)
    side = MOVING_SIDE
    frames = np.full((len(clips[0]), rows * side, MOVING_COLUMNS * side, 3), 255, np.uint8)
    for i, clip in enumerate(clips):
        y, x = i // MOVING_COLUMNS * side, i % MOVING_COLUMNS * side
        for t, frame in enumerate(clip):
            frames[t, y : y + side, x : x + side] = cv2.resize(
                frame, (side, side), interpolation=cv2.INTER_AREA
            )
    first, *rest = (Image.fromarray(frame) for frame in frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    first.save(path, save_all=True, append_images=rest, duration=1000 // fps, loop=0, quality=55,
               method=6)  # fmt: skip
