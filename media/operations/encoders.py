"""ffmpeg's filters and options behind the last operation, for each kind of file."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from PIL import Image
from typing_extensions import assert_never

from media.encode import (
    CONTAINER_OPTIONS,
    GIF_COLOURS,
    GIF_DITHER,
    H264,
    H264_CRF,
    VP9,
    VP9_CRF,
)
from media.ffmpeg import BT709, SOUND_RATE_HZ
from media.operations.filter_graph import FilterGraph, Label
from media.operations.operation import StreamInfo
from media.operations.outputs import Bitrates, OutputFile, frame_step
from pipelines.request import Quality

AV1_CRF: dict[Quality, int] = {"low": 48, "medium": 34, "high": 24}
WEBP_QUALITY: dict[Quality, int] = {"low": 45, "medium": 75, "high": 92}
PRORES_PROFILE: dict[Quality, str] = {"low": "lt", "medium": "standard", "high": "hq"}
PNG_PACKING = ("-pred", "mixed", "-compression_level", "5")
"""One level below the default: files are 3 % larger, and made in 60 % of the time."""
MIN_SVT_SIDE = 64
MAX_GIF_BYTES = 512 * 2**20
# with planes between: to packed RGB at once, swscale takes twice as long, with the same result
TO_RGB = (
    "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int,format=gbrp,"
    "format=rgb24"
)
PASS_LOG, PALETTE, MARK = "passes", "palette.png", "mark.png"
FRAMES, SOUND = "frames", "sound.wav"
FRAME_NAME = "frame-%06d.png"


def add_final_filters(
    graph: FilterGraph, video: Label, info: StreamInfo, output: OutputFile
) -> Label:
    """Mark, frame rate and pixel format. info: before `fit_output`."""
    if output.mark is not None:
        video = _add_mark(graph, video, info, output)
    rate = info.fps / (step := frame_step(info, output.kind))
    # `fps` changes nothing here, but says what the rate is: encoders would assume another one
    timing = f"framestep={step},settb={1 / rate},setpts=N,fps={rate}"
    return graph.video(f"{timing},{_pixel_filters(info, output)}", video)


def _pixel_filters(info: StreamInfo, output: OutputFile) -> str:
    match output.format:
        case "mp4" | "webm" | "webm-av1":
            right, bottom = info.width % 2, info.height % 2
            if not output.kind.is_even or not (right or bottom):
                return BT709
            # H.264 needs even sides: the last column or row is repeated, and players crop it
            return (
                f"format=yuv444p,pad={info.width + right}:{info.height + bottom}:0:0,"
                f"fillborders=right={right}:bottom={bottom}:mode=smear,{BT709}"
            )
        case "prores":
            return BT709.replace("format=yuv420p", "format=yuv422p10le")
        case "apng" | "png-zip":
            return TO_RGB
        case "lossless":  # H.264 has odd sizes in 4:4:4 only
            is_odd = info.width % 2 or info.height % 2
            return BT709.replace("yuv420p", "yuv444p") if is_odd else BT709
        case "webp":  # libwebp converts RGB to its own BT.601
            return TO_RGB.replace("rgb24", "bgra")
        case "gif":  # finer steps of colour would only cost time: it has 256 at most
            return "scale=in_color_matrix=bt709:in_range=tv,format=bgra"
        case _:
            assert_never(output.format)


def _add_mark(graph: FilterGraph, video: Label, info: StreamInfo, output: OutputFile) -> Label:
    assert output.mark is not None  # noqa: S101 - the caller's condition
    rows, columns, colours, alpha = output.mark.layer(info.width, info.height)
    pixels = np.concatenate([colours, alpha * 255], axis=-1).round().astype(np.uint8)
    Image.fromarray(pixels, "RGBA").save(graph.folder / MARK)
    full = graph.video("format=yuv444p", video)
    place = f"{columns.start}:{rows.start}"
    return graph.video(
        f"overlay={place}:format=yuv444:eof_action=repeat", full, _add_picture(graph, MARK)
    )


def _add_picture(graph: FilterGraph, name: str) -> Label:
    """One of our own PNG files in the folder of the graph."""
    path = graph.folder / name
    options = ("-protocol_whitelist", "file", "-f", "png_pipe", "-i", f"file:{path}")
    return graph.stream("video", f"{graph.add_input(*options)}:v")


def needs_first_pass(info: StreamInfo, output: OutputFile) -> bool:
    if output.format == "gif":  # in one pass, all frames are in memory until the palette is known
        return info.num_frames * info.width * info.height * 4 > MAX_GIF_BYTES
    return output.target_mb is not None


def first_pass(
    graph: FilterGraph, video: Label, info: StreamInfo, output: OutputFile, rates: Bitrates | None
) -> tuple[Label, list[str]]:
    """The pass before: a palette for all frames, or statistics for the bitrate. Returns the label
    that it reads, and the options of its output."""
    if output.format == "gif":
        file = ["-frames:v", "1", "-f", "image2", "-update", "1", PALETTE]
        return graph.video(_find_palette(output), video), file
    options = _video_options(info, output, rates, passes=1)
    return video, [*options, "-f", "null", "pipe:2"]


def add_palette(graph: FilterGraph, video: Label, output: OutputFile, *, was_found: bool) -> Label:
    """For a GIF: the colours that the first pass found, or those of all frames."""
    if was_found:
        return graph.video(GIF_DITHER, video, _add_picture(graph, PALETTE))
    frames, copy = graph.split(video)
    return graph.video(GIF_DITHER, frames, graph.video(_find_palette(output), copy))


def _find_palette(output: OutputFile) -> str:
    return f"palettegen=max_colors={GIF_COLOURS[output.quality]}"


def output_options(
    video: Label,
    sound: Label | None,
    info: StreamInfo,
    output: OutputFile,
    file: Path,
    metadata: int,
    rates: Bitrates | None,
) -> list[str]:
    """Everything after the filters of the pass that writes the file. metadata: number of the input
    with the tags."""
    tags = ["-map_metadata", str(metadata), "-map_chapters", "-1"]
    plain = ["-fflags", "+bitexact", "-flags:v", "+bitexact"]
    options = _video_options(info, output, rates, passes=2 if rates else 0)
    if output.format == "png-zip":
        frames = ["-map", str(video), *plain, *options, "-f", "image2", f"{FRAMES}/{FRAME_NAME}"]
        if sound is None:
            return frames
        return [*frames, "-map", str(sound), "-c:a", "pcm_s16le", "-f", "wav", SOUND]
    maps = itertools.chain.from_iterable(("-map", str(each)) for each in (video, sound) if each)
    sound_options = _sound_options(output, rates) if sound else []
    container = _container_options(output)
    return [*maps, *tags, *plain, *options, *sound_options, *container, f"file:{file}"]


def _video_options(
    info: StreamInfo, output: OutputFile, rates: Bitrates | None, passes: int
) -> list[str]:
    quality, interval = output.quality, ["-g", str(max(1, round(2 * info.fps)))]
    passing = ["-pass", str(passes), "-passlogfile", PASS_LOG] if passes else []
    bits = ["-b:v", str(rates.video)] if rates else []
    match output.format:
        case "mp4":
            rate = bits or ["-crf", str(H264_CRF[quality])]
            return [*H264, *rate, *passing, *interval]
        case "webm":
            rate = bits or ["-crf", str(VP9_CRF[quality]), "-b:v", "0"]
            return [*VP9, *rate, *passing, *interval]
        case "webm-av1":
            rate = bits or ["-crf", str(AV1_CRF[quality])]
            return [*_av1_encoder(info), *rate, *passing, *interval]
        case "gif":
            return ["-c:v", "gif"]
        case "apng":
            return ["-c:v", "apng", *PNG_PACKING]
        case "webp":
            return ["-c:v", "libwebp_anim", "-quality", str(WEBP_QUALITY[quality])]
        case "png-zip":
            return ["-c:v", "png", *PNG_PACKING]
        case "lossless":
            return ["-c:v", "libx264", "-qp", "0", "-preset", "ultrafast"]
        case "prores":
            return ["-c:v", "prores_ks", "-profile:v", PRORES_PROFILE[quality], "-vendor", "apl0"]
        case _:
            assert_never(output.format)


def _av1_encoder(info: StreamInfo) -> list[str]:
    sides = (info.width, info.height)
    if min(sides) < MIN_SVT_SIDE or any(side % 2 for side in sides):
        return ["-c:v", "libaom-av1", "-cpu-used", "8", "-row-mt", "1"]
    return ["-c:v", "libsvtav1", "-preset", "8"]


def _sound_options(output: OutputFile, rates: Bitrates | None) -> list[str]:
    rate = ["-ar", str(SOUND_RATE_HZ), "-flags:a", "+bitexact"]
    match output.format:
        case "prores" | "lossless":
            return [*rate, "-c:a", "pcm_s16le"]
        case "mp4":
            bits = rates.sound if rates else 192_000
            # the other coder adds up to 3 dB to a loud start; it is better at low bitrates only
            coder = "fast" if bits > 64_000 else "twoloop"
            return [*rate, "-c:a", "aac", "-aac_coder", coder, "-b:a", str(bits)]
        case _:
            return [*rate, "-c:a", "libopus", "-b:a", str(rates.sound) if rates else "128k"]


def _container_options(output: OutputFile) -> list[str]:
    match output.format:
        case "mp4" | "webm" | "gif":
            return list(CONTAINER_OPTIONS[output.format])
        case "webm-av1":
            return list(CONTAINER_OPTIONS["webm"])
        case "apng":
            return ["-plays", "0", "-f", "apng"]
        case "webp":
            return ["-loop", "0", "-f", "webp"]
        case "prores":
            return ["-movflags", "+faststart+use_metadata_tags+write_colr", "-f", "mov"]
        case "png-zip":
            return []
        case "lossless":
            return ["-f", "matroska"]
        case _:
            assert_never(output.format)
