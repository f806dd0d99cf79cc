"""Encodes frames and sound as MP4 (H.264, AAC), WebM (VP9, Opus) or GIF, with ffmpeg.

Frames go through a pipe as raw RGB, so ffmpeg has no format to guess.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from typing_extensions import assert_never

from errors import ErrorCode, KinoraError, megabytes
from media import mp4
from media.ffmpeg import BT709, DISK_FULL, SOUND_RATE_HZ, base_command
from media.files import atomic_write
from media.provenance import plain_tags
from pipelines.request import Format, Quality
from pipelines.sound import Sound

if TYPE_CHECKING:
    from media.frame_marks import FrameMark
    from media.prefix import LeadIn

THREADS = 4
"""Fixed, because the number of threads changes the bits of an H.264 file."""
TIMEOUT_S = 900.0
GIF_MAX_FPS = 50
"""Browsers slow a GIF with frames shorter than 2/100 s down to 10 frames a second."""

H264 = ("-c:v", "libx264", "-preset", "fast", "-profile:v", "high")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "4", "-row-mt", "1")
CONTAINER_OPTIONS = {
    "mp4": ("-movflags", "+faststart", "-f", "mp4"),
    "webm": ("-cues_to_front", "1", "-f", "webm"),
    "gif": ("-loop", "0", "-f", "gif"),
}
H264_CRF = {"low": 28, "medium": 20, "high": 14}
VP9_CRF = {"low": 42, "medium": 32, "high": 20}
GIF_COLOURS = {"low": 64, "medium": 128, "high": 256}
GIF_DITHER = "paletteuse=dither=bayer:bayer_scale=5"


@dataclass(frozen=True)
class EncodedClip:
    path: Path
    width: int
    height: int
    num_frames: int
    fps: int
    size_bytes: int


def encode(
    frames: np.ndarray,
    path: Path,
    *,
    fps: int,
    format: Format = "mp4",
    quality: Quality = "medium",
    comment: str = "",
    max_bytes: int | None = None,
    sound: Sound | None = None,
    lead: LeadIn | None = None,
    mark: FrameMark | None = None,
) -> EncodedClip:
    """Writes frames, [F, H, W, 3] uint8, as one clip of exactly that length and size, after the
    frames of `lead` if there is one, and all of them with `mark`.

    `sound` is cut or padded to the clip's length; a GIF holds neither sound nor `comment`. Raises
    KinoraError(ENCODE | OUT_OF_DISK | TOO_LARGE), and then leaves no file.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise ValueError(f"expected uint8 frames [F, H, W, 3], got {frames.dtype} {frames.shape}")
    num_frames, height, width, _ = frames.shape
    stream: Iterable[np.ndarray] = frames
    if lead is not None:
        num_frames, sound = lead.count + num_frames, lead.prepend_sound(sound, fps)
        stream = itertools.chain(lead.frames(), frames)
    if mark is not None:
        stream = mark.draw_on_each(stream)
    return encode_stream(
        stream,
        (num_frames, height, width),
        path,
        fps=fps,
        format=format,
        quality=quality,
        comment=comment,
        max_bytes=max_bytes,
        sound=sound,
    )


def encode_stream(
    stream: Iterable[np.ndarray],
    shape: tuple[int, int, int],
    path: Path,
    *,
    fps: int,
    format: Format = "mp4",
    quality: Quality = "medium",
    comment: str = "",
    max_bytes: int | None = None,
    sound: Sound | None = None,
) -> EncodedClip:
    """As `encode`, for frames that are made one at a time: as many as `shape`, [F, H, W], says."""
    # 1. Fit frames, rate and sound to the format.
    num_frames, height, width = shape
    if format == "gif" and fps > GIF_MAX_FPS:
        frame_step = -(-fps // GIF_MAX_FPS)
        stream, num_frames = (
            itertools.islice(stream, 0, None, frame_step),
            -(-num_frames // frame_step),
        )
        fps = round(fps / frame_step)
    is_odd = format == "mp4" and (height % 2 or width % 2)
    if is_odd:
        stream = (_pad_to_even(frame) for frame in stream)
    coded_height, coded_width = (
        (height + height % 2, width + width % 2) if is_odd else (height, width)
    )

    if format == "gif":
        sound = None

    trimmed = None if sound is None else sound.lasting(num_frames / fps)
    with (
        atomic_write(path) as part,
        metadata_file(part, format, comment) as metadata,
        _sound_file(part, trimmed) as sound_input,
    ):
        # 2. Encode.
        command = [
            *base_command(),
            *("-protocol_whitelist", "pipe", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-video_size", f"{coded_width}x{coded_height}", "-framerate", str(fps)),
            *("-i", "pipe:0"),
            *("-protocol_whitelist", "file", "-f", "ffmetadata", "-i", f"file:{metadata}"),
            *sound_input,
            *("-map", "0:v:0", "-map_metadata", "1", "-threads", str(THREADS)),
            *("-fflags", "+bitexact", "-flags:v", "+bitexact"),
            *("-vf", _filters(format, quality)),
            *_codec(format, quality, fps),
            *(_sound_codec(format) if sound_input else ()),
            f"file:{part}",
        ]
        _run_ffmpeg(command, stream, part, max_bytes)

        # 3. Declare the odd size, add the tags that ffmpeg cannot write, and measure the file.
        if is_odd:
            mp4.declare_size(part, width, height)
        if format == "mp4":
            plain_tags.tag_mp4(part)
        elif format == "gif":
            plain_tags.tag_gif(part)
        size_bytes = part.stat().st_size
    return EncodedClip(path, width, height, num_frames, fps, size_bytes)


def _filters(format: Format, quality: Quality) -> str:
    if format != "gif":
        return BT709
    palette = f"palettegen=max_colors={GIF_COLOURS[quality]}"
    return f"split[a][b];[a]{palette}[p];[b][p]{GIF_DITHER}"


def _codec(format: Format, quality: Quality, fps: int) -> list[str]:
    key_frame_interval = ("-g", str(2 * fps))
    match format:
        case "mp4":
            return [
                *(*H264, "-crf", str(H264_CRF[quality]), *key_frame_interval),
                *CONTAINER_OPTIONS["mp4"],
            ]
        case "webm":
            return [
                *(*VP9, "-crf", str(VP9_CRF[quality]), "-b:v", "0"),
                *(*key_frame_interval, *CONTAINER_OPTIONS["webm"]),
            ]
        case "gif":
            return list(CONTAINER_OPTIONS["gif"])
        case _:
            assert_never(format)


def _sound_codec(format: Format) -> list[str]:
    codec = ["aac", "-b:a", "192k"] if format == "mp4" else ["libopus", "-b:a", "128k"]
    rate = ("-ar", str(SOUND_RATE_HZ))
    return ["-map", "2:a:0", *rate, "-c:a", *codec, "-flags:a", "+bitexact"]


def _pad_to_even(frame: np.ndarray) -> np.ndarray:
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _run_ffmpeg(
    command: list[str], frames: Iterable[np.ndarray], part: Path, max_bytes: int | None
) -> None:
    """Pipes the frames to ffmpeg. The process has ended when this returns or raises."""
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(  # noqa: S603 - our own arguments, no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
        ) as ffmpeg,
    ):
        watchdog = threading.Timer(TIMEOUT_S, ffmpeg.kill)
        watchdog.start()
        try:
            _write_frames(ffmpeg, frames, part, max_bytes)
            failed = ffmpeg.wait() != 0
        finally:
            watchdog.cancel()
            ffmpeg.kill()
        if failed:
            log.seek(0)
            output = log.read()[-2000:].decode("utf-8", "replace")
            code = ErrorCode.OUT_OF_DISK if DISK_FULL.search(output) else ErrorCode.ENCODE
            raise KinoraError(code) from RuntimeError(f"ffmpeg: {output}")
    _check_size(part, max_bytes)


def _write_frames(
    ffmpeg: subprocess.Popen[bytes],
    frames: Iterable[np.ndarray],
    part: Path,
    max_bytes: int | None,
) -> None:
    # a broken pipe means that ffmpeg exited; the caller reads the reason from its log
    with contextlib.suppress(BrokenPipeError), cast(BinaryIO, ffmpeg.stdin) as pipe:
        for frame in frames:
            pipe.write(np.ascontiguousarray(frame).data)
            _check_size(part, max_bytes)


def _check_size(part: Path, max_bytes: int | None) -> None:
    if max_bytes is not None and part.exists() and part.stat().st_size > max_bytes:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip would be larger than {megabytes(max_bytes)} MB, the limit of this server. "
            "Make it shorter or smaller, or choose a lower quality.",
        )


@contextlib.contextmanager
def metadata_file(
    part: Path, format: str, comment: str, *, is_generated: bool = True
) -> Iterator[Path]:
    """The tags in a file: a command line is limited in length and visible to other users."""
    tags = {"comment": comment, **(plain_tags.ffmpeg_tags(format) if is_generated else {})}
    metadata = part.with_name(f"notes-{part.name}")
    try:
        lines = (name.encode() + b"=" + _escaped(text) + b"\n" for name, text in tags.items())
        metadata.write_bytes(b";FFMETADATA1\n" + b"".join(lines))
        yield metadata
    finally:
        metadata.unlink(missing_ok=True)


def _escaped(text: str) -> bytes:
    # UTF-8 cannot encode a lone surrogate; its backslash escape is valid JSON
    return re.sub(rb"([=;#\\\n])", rb"\\\1", text.encode("utf-8", "backslashreplace"))


@contextlib.contextmanager
def _sound_file(part: Path, sound: Sound | None) -> Iterator[list[str]]:
    """The samples in a file, since stdin carries the frames; yields ffmpeg's input options."""
    if sound is None:
        yield []
        return
    channels, _ = sound.samples.shape
    raw = part.with_name(f"sound-{part.name}")
    try:
        sound.samples.T.astype("<f4").tofile(raw)
        yield [
            *("-protocol_whitelist", "file", "-f", "f32le", "-ar", str(sound.rate_hz)),
            *("-ac", str(channels), "-i", f"file:{raw}"),
        ]
    finally:
        raw.unlink(missing_ok=True)
