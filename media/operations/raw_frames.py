"""Raw frames between ffmpeg and Python, as they go through a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

import numpy as np

from media.ffmpeg import BT709
from media.operations.edit_sources import TAGGED
from media.operations.encoders import TO_RGB
from media.operations.operation import PixelFormat, StreamInfo

TO_RAW: dict[PixelFormat, str] = {"rgb24": TO_RGB, "yuv420p": BT709}
"""Filters that make the frames for the pipe."""
FROM_RAW: dict[PixelFormat, str] = {"rgb24": BT709, "yuv420p": TAGGED}
"""Filters for what comes out of it."""


def frame_shape(info: StreamInfo, pixels: PixelFormat) -> tuple[int, ...]:
    """RGB: [H, W, 3]. YUV 4:2:0: the values of the three planes, one after the other."""
    if pixels == "rgb24":
        return info.height, info.width, 3
    chroma = -(-info.width // 2) * -(-info.height // 2)
    return (info.width * info.height + 2 * chroma,)


def luminance(frame: np.ndarray, info: StreamInfo) -> np.ndarray:
    """The first plane of a frame in YUV 4:2:0, uint8 [H, W]."""
    return frame[: info.width * info.height].reshape(info.height, info.width)


def read_raw_frames(
    pipe: IO[bytes], info: StreamInfo, pixels: PixelFormat, check: Callable[[], None]
) -> Iterator[np.ndarray]:
    """Yields frames, uint8 of `frame_shape`, until the pipe ends. What `check` raises stops it."""
    shape = frame_shape(info, pixels)
    size = int(np.prod(shape))
    while len(data := pipe.read(size)) == size:
        check()
        yield np.frombuffer(data, np.uint8).reshape(shape)


def raw_input(info: StreamInfo, pixels: PixelFormat) -> tuple[str, ...]:
    """ffmpeg's options for such frames on standard input."""
    return (
        *("-protocol_whitelist", "pipe", "-f", "rawvideo", "-pix_fmt", pixels),
        *("-video_size", f"{info.width}x{info.height}", "-framerate", str(info.fps)),
        *("-i", "pipe:0"),
    )
