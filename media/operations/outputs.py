"""The files that an edit can make, and ffmpeg's options for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from media.encode import GIF_COLOURS, GIF_DITHER, GIF_MAX_FPS, codec_options
from media.ffmpeg import BT709, SOUND_RATE_HZ
from media.operations.filter_graph import FilterGraph, Label
from media.operations.operation import StreamInfo
from pipelines.request import Format, Quality

OutputFormat = Literal["mp4", "webm", "gif"]


@dataclass(frozen=True)
class OutputKind:
    suffix: str
    media_type: str
    container: Format
    """Whose tags `media.provenance.plain_tags` writes."""
    has_sound: bool = True
    is_even: bool = False
    """The codec needs even sides; the container declares the size that is shown."""
    max_fps: int | None = None


OUTPUTS: dict[OutputFormat, OutputKind] = {
    "mp4": OutputKind(".mp4", "video/mp4", "mp4", is_even=True),
    "webm": OutputKind(".webm", "video/webm", "webm"),
    "gif": OutputKind(".gif", "image/gif", "gif", has_sound=False, max_fps=GIF_MAX_FPS),
}


def add_pixel_format(
    graph: FilterGraph, video: Label, info: StreamInfo, format: OutputFormat, quality: Quality
) -> Label:
    """Adds the filters between the last operation and the encoder."""
    if format == "gif":
        frames, copy = graph.split(video)
        palette = graph.video(f"palettegen=max_colors={GIF_COLOURS[quality]}", copy)
        return graph.video(GIF_DITHER, frames, palette)
    width, height = info.width, info.height
    if OUTPUTS[format].is_even and (width % 2 or height % 2):
        right, bottom = width % 2, height % 2
        return graph.video(
            f"format=yuv444p,pad={width + right}:{height + bottom}:0:0,"
            f"fillborders=right={right}:bottom={bottom}:mode=smear,{BT709}",
            video,
        )
    return graph.video(BT709, video)


def encoder_options(info: StreamInfo, format: OutputFormat, quality: Quality) -> list[str]:
    """ffmpeg's options for the pictures and the container."""
    return codec_options(OUTPUTS[format].container, quality, float(info.fps))


def sound_options(format: OutputFormat) -> list[str]:
    # at this bitrate the fast coder is the better one: the other adds up to 3 dB to a loud start
    aac = ["aac", "-aac_coder", "fast", "-b:a", "192k"]
    codec = aac if format == "mp4" else ["libopus", "-b:a", "128k"]
    return ["-ar", str(SOUND_RATE_HZ), "-c:a", *codec, "-flags:a", "+bitexact"]
