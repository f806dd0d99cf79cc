"""Text for contact sheets and grid videos, drawn with the font that is included."""

from __future__ import annotations

import functools
from pathlib import Path

from PIL import ImageDraw, ImageFont

FONT = Path(__file__).parent / "fonts" / "DejaVuSans-subset.ttf"
"""Latin, Greek, Cyrillic, Hebrew and Arabic letters, and arrows, cut out of DejaVu Sans with
fontTools. Others are drawn as boxes."""
LINE_SPACING = 1.25
Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""Left, top, width, height in pixels."""


@functools.lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, size)


def wrap(text: str, size: int, width: int, most_lines: int) -> list[str]:
    """Lines that are at most `width` pixels wide; what does not fit is cut with an ellipsis. Words
    that are too long for a line are broken."""
    letters = font(size)
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if letters.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while word and letters.getlength(word) > width:
            count = _letters_that_fit(word, letters, width)
            lines.append(word[:count])
            word = word[count:]
        line = word
        if len(lines) > most_lines:
            break
    lines += [line] if line else []
    if len(lines) <= most_lines:
        return lines
    return [*lines[: most_lines - 1], _cut(f"{lines[most_lines - 1]}…", letters, width)]


def draw_text(
    draw: ImageDraw.ImageDraw, text: str, box: Box, size: int, colour: Colour, most_lines: int = 2
) -> None:
    """Centred in the box, in lines."""
    left, top, width, height = box
    lines = wrap(text, size, width, most_lines)
    step = round(size * LINE_SPACING)
    y = top + (height - step * len(lines)) / 2
    for line in lines:
        draw.text((left + width / 2, y + step / 2), line, colour, font(size), anchor="mm")
        y += step


def _letters_that_fit(word: str, letters: ImageFont.FreeTypeFont, width: int) -> int:
    count = len(word)
    while count > 1 and letters.getlength(word[:count]) > width:
        count -= 1
    return count


def _cut(line: str, letters: ImageFont.FreeTypeFont, width: int) -> str:
    while len(line) > 1 and letters.getlength(line) > width:
        line = f"{line[:-2]}…"
    return line
