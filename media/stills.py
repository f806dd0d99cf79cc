"""Two stills of a clip: one to show before it plays, one to go on from.

Knows frames and files. Does not know the clip's own file.
"""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from errors import ErrorCode, KinoraError
from media.files import atomic_write


def write_poster(frames: np.ndarray, path: Path) -> None:
    """The middle frame as a JPEG."""
    with atomic_write(path) as part:
        Image.fromarray(frames[len(frames) // 2]).save(part, format="JPEG", quality=88)


def write_last_frame(frames: np.ndarray, path: Path) -> None:
    """The last frame, every pixel as it was decoded: a clip that goes on from it fits exactly."""
    with atomic_write(path) as part:
        Image.fromarray(frames[-1]).save(part, format="PNG")


TILES = (5, 4)

TILE_WIDTH = 160

TIMEOUT_S = 60.0

DEMUXERS = {".mp4": "mov", ".webm": "matroska", ".gif": "gif"}


def write_contact_sheet(clip: Path, num_frames: int, sheet: Path) -> Path:
    """Up to 20 frames, evenly spaced, in reading order."""
    columns, rows = TILES
    every = max(1, math.ceil(num_frames / (columns * rows)))
    shown = math.ceil(num_frames / every)
    columns = min(columns, shown)
    rows = math.ceil(shown / columns)
    filters = f"select=not(mod(n\\,{every})),scale={TILE_WIDTH}:-2:flags=area,tile={columns}x{rows}"
    with atomic_write(sheet) as part:
        command = [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin"),
            *("-y", "-protocol_whitelist", "file", "-f", DEMUXERS[clip.suffix]),
            *("-i", f"file:{clip}", "-vf", filters, "-frames:v", "1", "-update", "1"),
            *("-threads", "1", "-q:v", "4", "-f", "image2", "-c:v", "mjpeg", f"file:{part}"),
        ]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603  # our own file, no shell
        if done.returncode or not part.is_file():
            raise KinoraError(ErrorCode.DECODE, "The clip's frames could not be read.")
    return sheet
