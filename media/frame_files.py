"""Frames in a file without any loss (H.264 without quantisation), written and read one at a time.

Only for our own files: the windows of a long clip, until the clip is written.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from errors import ErrorCode, KinoraError
from media.ffmpeg import DISK_FULL, base_command
from media.files import atomic_write

TIMEOUT_S = 60.0
"""For ffmpeg to end after its last frame."""
THREADS = 2


@dataclass(frozen=True)
class FrameFile:
    """`count` frames, uint8 [H, W, 3]."""

    path: Path
    count: int
    height: int
    width: int

    def frames(self) -> Generator[np.ndarray]:
        """Raises KinoraError(DECODE) for a file that is damaged or too short."""
        command = [
            *base_command(),
            *("-protocol_whitelist", "file,pipe", "-f", "matroska", "-threads", str(THREADS)),
            *("-i", f"file:{self.path}", "-map", "0:v:0", "-fps_mode", "passthrough"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"),
        ]
        frame_bytes = self.height * self.width * 3
        with subprocess.Popen(  # noqa: S603 - our own file, no shell
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as ffmpeg:
            pipe = cast(BinaryIO, ffmpeg.stdout)
            try:
                for _ in range(self.count):
                    data = pipe.read(frame_bytes)
                    if len(data) < frame_bytes:
                        raise KinoraError(
                            ErrorCode.DECODE, "A finished part of this clip cannot be read."
                        )
                    yield np.frombuffer(data, np.uint8).reshape(self.height, self.width, 3)
            finally:  # also where the reader stops early
                ffmpeg.kill()


def write_frames(frames: Iterable[np.ndarray], path: Path) -> FrameFile:
    """Frames are uint8 [H, W, 3]; at least one. Raises KinoraError(ENCODE | OUT_OF_DISK), and then
    leaves no file."""
    iterator = iter(frames)
    first = next(iterator)
    height, width, _ = first.shape
    count = 0
    with atomic_write(path) as part, tempfile.TemporaryFile() as log:
        command = [
            *base_command(),
            *("-protocol_whitelist", "pipe", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-video_size", f"{width}x{height}", "-framerate", "25", "-i", "pipe:0"),
            # as small as FFV1 in half the time; Ut Video, the quickest, cannot read all it writes
            *("-c:v", "libx264rgb", "-qp", "0", "-preset", "ultrafast", "-pix_fmt", "rgb24"),
            *("-threads", str(THREADS)),
            *("-f", "matroska", f"file:{part}"),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log) as ffmpeg:  # noqa: S603  # our own arguments, no shell
            try:
                with cast(BinaryIO, ffmpeg.stdin) as pipe:
                    for frame in _chain(first, iterator):
                        pipe.write(np.ascontiguousarray(frame).data)
                        count += 1
                failed = ffmpeg.wait(TIMEOUT_S) != 0
            except (BrokenPipeError, subprocess.TimeoutExpired):
                failed = True
            finally:
                ffmpeg.kill()
        if failed:
            log.seek(0)
            output = log.read()[-2000:].decode("utf-8", "replace")
            code = ErrorCode.OUT_OF_DISK if DISK_FULL.search(output) else ErrorCode.ENCODE
            raise KinoraError(code) from RuntimeError(f"ffmpeg: {output}")
    return FrameFile(path, count, height, width)


def _chain(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest
