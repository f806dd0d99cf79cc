"""Decodes a clip to small frames, for measurements."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np

from errors import ErrorCode, KinoraError
from media.probe import DECODERS, untrusted_input
from media.videos import DEMUXERS, VideoLimits

GIF = re.compile(rb"GIF8")
PPM_HEADER = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")


def read_small_frames(
    clip: Path, longest_side: int, most_frames: int, limits: VideoLimits | None = None
) -> np.ndarray:
    """uint8 [F, H, W, 3]: the first frames of an MP4, WebM or GIF, none left out, the longer side
    at most `longest_side` pixels. The file is read as an untrusted one.

    Raises KinoraError(INVALID_VIDEO) for a file without frames that can be read.
    """
    limits = limits or VideoLimits()
    demuxer, decoders = _choose_decoders(clip)
    side = longest_side
    scaled = f"scale='min({side},iw)':'min({side},ih)':force_original_aspect_ratio=decrease"
    command = [
        *untrusted_input(clip, demuxer, limits.max_seconds, limits.max_pixels, "error", decoders),
        *("-map", "0:v:0", "-vf", f"{scaled}:flags=area,format=rgb24"),
        *("-fps_mode", "passthrough", "-frames:v", str(most_frames)),
        # each picture states its size, which depends on the clip's rotation
        *("-c:v", "ppm", "-f", "image2pipe", "pipe:1"),
    ]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unusable(clip, "takes too long to read. Make it shorter or smaller") from error
    header = PPM_HEADER.match(done.stdout)
    if header is None:
        raise _unusable(clip, "has no frames that can be read")
    width, height = int(header[1]), int(header[2])
    size = header.end() + width * height * 3
    count = len(done.stdout) // size
    pictures = np.frombuffer(done.stdout, np.uint8, count * size).reshape(count, size)
    return pictures[:, header.end() :].reshape(count, height, width, 3)


def _choose_decoders(clip: Path) -> tuple[str, str]:
    """The container, and the decoders that may read what is in it."""
    with clip.open("rb") as file:
        head = file.read(16)
    if GIF.match(head):
        return "gif", "gif"
    for name, magic in DEMUXERS.items():
        if magic.match(head):
            return name, DECODERS
    raise _unusable(clip, "is not a clip. Use an MP4, a WebM or a GIF")


def _unusable(clip: Path, why: str) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_VIDEO, f"{clip.name} {why}.")
