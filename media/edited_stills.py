"""Single frames of an edited file, of every kind that an edit can make."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from errors import ErrorCode, KinoraError
from media.ffmpeg import base_command
from media.operations.encoders import TO_RGB
from media.operations.operation import StreamInfo

DEMUXERS = {".mp4": "mov", ".mov": "mov", ".webm": "matroska"}
TIMEOUT_S = 120.0


def read_frames(path: Path, info: StreamInfo, numbers: Sequence[int]) -> np.ndarray:
    """The frames of these numbers, ascending: uint8 [F, H, W, 3]. Raises KinoraError(DECODE)."""
    try:
        if path.suffix in DEMUXERS:
            frames = [_frame_of_video(path, info, number) for number in numbers]
        elif path.suffix == ".zip":
            frames = _frames_of_zip(path, numbers)
        else:
            frames = _frames_of_animation(path, numbers)
        return np.stack(frames)
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        raise KinoraError(ErrorCode.DECODE, "The frames of this clip could not be read.") from error


def _frame_of_video(path: Path, info: StreamInfo, number: int) -> np.ndarray:
    """Seeks to the middle between this frame and the one before, so that no rounding matters."""
    at = max(0.0, float((number - 0.5) / info.fps))
    filters = f"{TO_RGB},crop={info.width}:{info.height}:0:0"  # coded sizes may be even only
    command = [
        *base_command(),
        *("-protocol_whitelist", "file,pipe", "-f", DEMUXERS[path.suffix], "-threads", "1"),
        *("-ss", f"{at:.6f}", "-i", f"file:{path.absolute()}", "-map", "0:v:0", "-an"),
        *("-frames:v", "1", "-vf", filters, "-f", "rawvideo", "pipe:1"),
    ]
    done = subprocess.run(  # noqa: S603 - our own arguments, no shell
        command, capture_output=True, timeout=TIMEOUT_S, check=True
    )
    pixels = np.frombuffer(done.stdout, np.uint8)
    return pixels.reshape(info.height, info.width, 3)


def _frames_of_zip(path: Path, numbers: Sequence[int]) -> list[np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        return [_pixels(Image.open(io.BytesIO(archive.read(names[n])))) for n in numbers]


def _frames_of_animation(path: Path, numbers: Sequence[int]) -> list[np.ndarray]:
    """Equal frames may be stored as one: then the last one that is there is taken."""
    wanted, found = set(numbers), dict[int, np.ndarray]()
    with Image.open(path, formats=("GIF", "PNG", "WEBP")) as image:
        count = getattr(image, "n_frames", 1)
        wanted = {min(number, count - 1) for number in wanted}
        for n, frame in enumerate(ImageSequence.Iterator(image)):
            if n in wanted:
                found[n] = _pixels(frame)
    return [found[min(number, count - 1)] for number in numbers]


def _pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))
