"""Contact sheets (PNG) and grid videos (MP4) of several clips, with labels on both axes.

Frames are read and composed one at a time, so memory does not grow with the length of the clips.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from PIL import Image, ImageDraw

from media.encode import EncodedClip, encode_stream
from media.ffmpeg import base_command
from media.files import atomic_write
from media.labels import Colour, draw_text
from media.provenance.plain_tags import png_info
from media.stills import DEMUXERS

MAX_SIDE = 2560
"""Of a sheet or a video, with its labels."""
MIN_CELL = 192
"""Smaller clips are enlarged to this width or height: labels need room."""
MAX_FPS = 60
GAP = 4
GROUND: Colour = (18, 20, 24)
MISSING: Colour = (58, 61, 69)
TEXT: Colour = (236, 237, 240)
MISSING_TEXT: Colour = (190, 193, 200)


@dataclass(frozen=True)
class GridClip:
    """A finished clip and its middle frame."""

    path: Path
    poster: Path
    width: int
    height: int
    num_frames: int
    fps: int


@dataclass(frozen=True)
class GridCell:
    """A clip, or the words that stand where there is none. `caption` stands under it."""

    clip: GridClip | None
    words: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Grid:
    """Cells row by row. `columns` and `rows` are the labels of a comparison; without them, the
    cells are arranged in a square."""

    cells: tuple[GridCell, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    column_title: str = ""
    row_title: str = ""

    @property
    def width(self) -> int:
        return len(self.columns) or math.ceil(math.sqrt(len(self.cells)))

    @property
    def height(self) -> int:
        return -(-len(self.cells) // self.width)


@dataclass(frozen=True)
class GridLayout:
    """Where everything is, in pixels. All sizes are even, as H.264 needs."""

    cell: tuple[int, int]
    left: int
    top: int
    caption: int
    text: int
    size: tuple[int, int]

    @classmethod
    def of(cls, grid: Grid) -> GridLayout:
        clips = [cell.clip for cell in grid.cells if cell.clip]
        width = max((clip.width for clip in clips), default=MIN_CELL)
        height = max((clip.height for clip in clips), default=MIN_CELL)
        scale = max(1.0, MIN_CELL / max(width, height))
        while True:
            layout = cls._scaled(grid, width * scale, height * scale)
            excess = max(layout.size) / MAX_SIDE
            if excess <= 1 or min(layout.cell) <= 16:
                return layout
            scale /= max(excess, 1.01)

    @classmethod
    def _scaled(cls, grid: Grid, width: float, height: float) -> GridLayout:
        cell = max(16, 2 * round(width / 2)), max(16, 2 * round(height / 2))
        text = min(28, max(9, min(cell) // 14))
        left = 2 * (max(cell[0] // 4, 5 * text) // 2) if grid.rows else GAP
        top = (6 if grid.column_title or grid.row_title else 4) * text if grid.columns else GAP
        has_captions = any(cell.caption for cell in grid.cells)
        caption = 2 * (text * 3 // 2) if has_captions else 0
        total = (
            left + grid.width * (cell[0] + GAP),
            top + top % 2 + grid.height * (cell[1] + caption + GAP),
        )
        return cls(cell, left, top + top % 2, caption, text, total)

    def place(self, grid: Grid, index: int) -> tuple[int, int]:
        """The left upper corner of a cell."""
        row, column = divmod(index, grid.width)
        return (
            self.left + column * (self.cell[0] + GAP),
            self.top + row * (self.cell[1] + self.caption + GAP),
        )


def write_sheet(grid: Grid, path: Path) -> Path:
    """Writes the middle frames of the clips as one PNG."""
    layout = GridLayout.of(grid)
    canvas = _canvas(grid, layout)
    for index, cell in enumerate(grid.cells):
        if cell.clip is None:
            continue
        with Image.open(cell.clip.poster) as poster:
            fitted = _fit(poster.convert("RGB"), layout.cell)
        canvas.paste(fitted, layout.place(grid, index))
    with atomic_write(path) as part:
        canvas.save(part, format="PNG", pnginfo=png_info())
    return path


def write_grid(
    grid: Grid, path: Path, *, max_bytes: int | None = None, comment: str = ""
) -> EncodedClip:
    """Writes the clips as one MP4 in which they play in step; a shorter one holds its last frame.
    They have the rate of the fastest. Raises as `encode`, and ValueError without any clip."""
    clips = [cell.clip for cell in grid.cells if cell.clip]
    if not clips:
        raise ValueError("a grid video needs a clip")
    fps = min(MAX_FPS, max(clip.fps for clip in clips))
    count = max(math.ceil(clip.num_frames * fps / clip.fps) for clip in clips)
    layout = GridLayout.of(grid)
    width, height = layout.size
    with contextlib.closing(_frames(grid, layout, fps, count)) as frames:
        return encode_stream(
            frames, (count, height, width), path, fps=fps, max_bytes=max_bytes, comment=comment
        )


def _frames(
    grid: Grid, layout: GridLayout, fps: int, count: int
) -> Generator[np.ndarray, None, None]:
    canvas = np.asarray(_canvas(grid, layout)).copy()
    width, height = layout.cell
    with ExitStack() as stack:
        places: list[tuple[np.ndarray, Iterator[np.ndarray]]] = []
        for index, cell in enumerate(grid.cells):
            if cell.clip is None:
                continue
            x, y = layout.place(grid, index)
            reader = contextlib.closing(_read_frames(cell.clip, layout.cell, fps))
            places.append((canvas[y : y + height, x : x + width], stack.enter_context(reader)))
        for _ in range(count):
            for place, reader in places:
                frame = next(reader, None)
                if frame is not None:  # else the clip has ended, and its last frame stays
                    place[:] = frame
            yield canvas


def _read_frames(
    clip: GridClip, cell: tuple[int, int], fps: int
) -> Generator[np.ndarray, None, None]:
    """The frames of a clip at another rate, fitted into a cell, [H, W, 3] uint8."""
    width, height = cell
    rgb = (
        f"scale={width}:{height}:force_original_aspect_ratio=decrease:flags=bicubic+accurate_rnd"
        f"+full_chroma_int{'' if clip.path.suffix == '.gif' else ':in_color_matrix=bt709'},"
        f"format=rgb24,pad={width}:{height}:-1:-1:color=0x{bytes(GROUND).hex()}"
    )
    command = [
        *base_command(),
        *("-protocol_whitelist", "file,pipe", "-threads", "1"),
        *("-f", DEMUXERS[clip.path.suffix], "-i", f"file:{clip.path}"),
        *("-map", "0:v:0", "-vf", f"fps={fps}:round=up,{rgb}"),
        *("-f", "rawvideo", "pipe:1"),
    ]
    with subprocess.Popen(  # noqa: S603 - our own arguments, no shell
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as ffmpeg:
        try:
            pipe = cast(BinaryIO, ffmpeg.stdout)
            size = width * height * 3
            while len(data := pipe.read(size)) == size:
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
        finally:
            ffmpeg.kill()


def _canvas(grid: Grid, layout: GridLayout) -> Image.Image:
    """Everything but the clips: labels, captions and the cells without a clip."""
    canvas = Image.new("RGB", layout.size, GROUND)
    draw = ImageDraw.Draw(canvas)
    _draw_axes(draw, grid, layout)
    width, height = layout.cell
    for index, cell in enumerate(grid.cells):
        x, y = layout.place(grid, index)
        if cell.clip is None:
            draw.rectangle((x, y, x + width - 1, y + height - 1), MISSING)
            inside = (x + width // 12, y, width - width // 6, height)
            draw_text(draw, cell.words, inside, layout.text, MISSING_TEXT, most_lines=6)
        if cell.caption:
            box = (x, y + height, width, layout.caption)
            draw_text(draw, cell.caption, box, layout.text, TEXT, most_lines=2)
    return canvas


def _draw_axes(draw: ImageDraw.ImageDraw, grid: Grid, layout: GridLayout) -> None:
    width, height = layout.cell
    title = layout.top - 4 * layout.text if grid.columns else 0
    if title > 0:
        whole = layout.size[0] - layout.left
        box = (layout.left, 0, whole, title)
        draw_text(draw, grid.column_title, box, layout.text, MISSING_TEXT, most_lines=1)
        box = (0, 0, layout.left, title)
        draw_text(draw, grid.row_title, box, layout.text, MISSING_TEXT, most_lines=1)
    for column, label in enumerate(grid.columns):
        x, _ = layout.place(grid, column)
        box = (x, title, width, layout.top - title)
        draw_text(draw, label, box, layout.text, TEXT, most_lines=2)
    for row, label in enumerate(grid.rows):
        _, y = layout.place(grid, row * grid.width)
        draw_text(draw, label, (0, y, layout.left, height), layout.text, TEXT, most_lines=4)


def _fit(image: Image.Image, cell: Sequence[int]) -> Image.Image:
    """The whole image in the middle of a cell."""
    scale = min(cell[0] / image.width, cell[1] / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    fitted = Image.new("RGB", (cell[0], cell[1]), GROUND)
    place = (cell[0] - size[0]) // 2, (cell[1] - size[1]) // 2
    fitted.paste(image.resize(size, Image.Resampling.BICUBIC), place)
    return fitted
