"""Reads clips back with PyAV, which shares no code with ours."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.plane import VideoPlane

BT709_CODE = 1
TV_RANGE = 1


@dataclass(frozen=True)
class Read:
    codec: str
    profile: str | None
    pix_fmt: str
    width: int
    height: int
    rate: Fraction
    duration_s: float
    times: list[Fraction]
    colour: tuple[int, int, int, int]
    """primaries, transfer, matrix, range"""
    tags: dict[str, str]
    frames: np.ndarray
    """RGB, by the BT.709 matrix in floating point: our own arithmetic, not a library's guess."""


def read(path: Path) -> Read:
    with av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        decoded = list(clip.decode(stream))
        context = stream.codec_context
        assert clip.duration is not None and stream.average_rate is not None
        return Read(
            codec=context.name,
            profile=stream.profile,
            pix_fmt=str(context.pix_fmt),
            width=stream.width,
            height=stream.height,
            rate=stream.average_rate,
            duration_s=clip.duration / 1e6,
            times=[Fraction(frame.pts or 0) * (frame.time_base or 0) for frame in decoded],
            colour=(
                int(context.color_primaries),
                int(context.color_trc),
                int(context.colorspace),
                int(context.color_range),
            ),
            tags={key.lower(): value for key, value in clip.metadata.items()},
            frames=np.stack([_rgb(frame) for frame in decoded]),
        )


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    if frame.format.name != "yuv420p":
        return frame.to_ndarray(format="rgb24")
    y, cb, cr = (_plane(plane) for plane in frame.planes)
    cb, cr = (
        chroma.repeat(2, 0).repeat(2, 1)[: frame.height, : frame.width] for chroma in (cb, cr)
    )
    luma, blue, red = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    rgb = [
        luma + 1.5748 * red,
        luma - 0.187324 * blue - 0.468124 * red,
        luma + 1.8556 * blue,
    ]
    return (np.stack(rgb, axis=-1) * 255).round().clip(0, 255).astype(np.uint8)


def _plane(plane: VideoPlane) -> np.ndarray:
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width].astype(float)
