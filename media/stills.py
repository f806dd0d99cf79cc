"""Still images of a clip: poster, last frame and contact sheet."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from errors import ErrorCode, KinoraError
from media.ffmpeg import base_command
from media.files import atomic_write
from media.provenance.generated_mark import is_marked_as_generated
from media.provenance.plain_tags import XMP, png_info, tag_jpeg

TILES = (5, 4)
"""Columns and rows of a contact sheet, at most."""
TILE_WIDTH = 160
TIMEOUT_S = 60.0
DEMUXERS = {".mp4": "mov", ".webm": "matroska", ".gif": "gif"}


def write_poster(frames: np.ndarray, path: Path, *, is_generated: bool = True) -> None:
    """Writes the middle frame as a JPEG. frames: [F, H, W, 3] uint8."""
    tags = {"xmp": XMP} if is_generated else {}
    with atomic_write(path) as part:
        Image.fromarray(frames[len(frames) // 2]).save(part, format="JPEG", quality=88, **tags)


def write_last_frame(frames: np.ndarray, path: Path, *, is_generated: bool = True) -> None:
    """Writes the last frame as a PNG, lossless, so that a continuation starts from these pixels."""
    tags = png_info() if is_generated else None
    with atomic_write(path) as part:
        Image.fromarray(frames[-1]).save(part, format="PNG", pnginfo=tags)


def write_contact_sheet(clip: Path, num_frames: int, sheet: Path) -> Path:
    """Writes up to 20 evenly spaced frames as one JPEG, in reading order.

    Raises KinoraError(DECODE).
    """
    columns, rows = TILES
    step = max(1, math.ceil(num_frames / (columns * rows)))
    shown = math.ceil(num_frames / step)
    columns = min(columns, shown)
    rows = math.ceil(shown / columns)
    filters = f"select=not(mod(n\\,{step})),scale={TILE_WIDTH}:-2:flags=area,tile={columns}x{rows}"
    with atomic_write(sheet) as part:
        command = [
            *base_command(),
            *("-protocol_whitelist", "file", "-f", DEMUXERS[clip.suffix]),
            *("-i", f"file:{clip}", "-vf", filters, "-frames:v", "1", "-update", "1"),
            *("-threads", "1", "-q:v", "4", "-f", "image2", "-c:v", "mjpeg", f"file:{part}"),
        ]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603  # our own file, no shell
        if done.returncode or not part.is_file():
            raise KinoraError(ErrorCode.DECODE, "The frames of this clip could not be read.")
        if is_marked_as_generated(clip):
            tag_jpeg(part)
    return sheet
