"""Frames into a clip that plays everywhere: MP4 (H.264), WebM (VP9) or GIF, through ffmpeg.

With a sound, the clip has a track of exactly its own length: AAC in MP4, Opus in WebM.

Knows codecs and colours. Does not know where frames come from; reads no file but its own.

Every frame goes through a pipe as plain RGB, so ffmpeg never guesses what it is given.
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

import imageio_ffmpeg
import numpy as np
from typing_extensions import assert_never

from errors import ErrorCode, KinoraError
from media import mp4
from media.ffmpeg import BT709
from media.files import atomic_write
from pipelines.request import Format, Quality
from pipelines.sound import Sound

if TYPE_CHECKING:
    from media.prefix import Lead

THREADS = 4
"""Fixed, because the number of threads changes the bits of an H.264 file."""
TIMEOUT_S = 900.0
GIF_MAX_FPS = 50
"""Browsers play a GIF whose frames last less than 2/100 s at 10 frames a second."""

H264_CRF = {"low": 28, "medium": 20, "high": 14}
VP9_CRF = {"low": 42, "medium": 32, "high": 20}
SOUND_RATE_HZ = 48_000
"""What Opus works in, and every player plays."""
GIF_COLOURS = {"low": 64, "medium": 128, "high": 256}


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
    lead: Lead | None = None,
) -> EncodedClip:
    """Writes uint8 frames [F, H, W, 3] as one clip of exactly that many frames of that size, after
    the frames of `lead` if there is one.

    `comment` and `sound` go into the file (a GIF has no place for them). On any failure nothing
    is left.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
        raise ValueError(f"not frames: {frames.dtype} {frames.shape}")

    # 1. What this format can hold.
    num_frames, height, width, _ = frames.shape
    stream: Iterable[np.ndarray] = frames
    if lead is not None:
        num_frames, sound = lead.count + num_frames, lead.heard_before(sound, fps)
        stream = itertools.chain(lead.frames(), frames)
    if format == "gif" and fps > GIF_MAX_FPS:
        every = -(-fps // GIF_MAX_FPS)
        stream, num_frames = itertools.islice(stream, 0, None, every), -(-num_frames // every)
        fps = round(fps / every)
    odd = format == "mp4" and (height % 2 or width % 2)
    if odd:
        stream = (_made_even(frame) for frame in stream)
    coded_height, coded_width = (height + height % 2, width + width % 2) if odd else (height, width)

    if format == "gif":
        sound = None

    heard = None if sound is None else sound.lasting(num_frames / fps)
    with atomic_write(path) as part, _notes(part, comment) as notes, _heard(part, heard) as track:
        # 2. The file.
        command = [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin"),
            *("-y", "-protocol_whitelist", "pipe", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-video_size", f"{coded_width}x{coded_height}", "-framerate", str(fps)),
            *("-i", "pipe:0"),
            *("-protocol_whitelist", "file", "-f", "ffmetadata", "-i", f"file:{notes}"),
            *track,
            *("-map", "0:v:0", "-map_metadata", "1", "-threads", str(THREADS)),
            *("-fflags", "+bitexact", "-flags:v", "+bitexact"),
            *_codec(format, quality, fps),
            *(_sound_codec(format) if track else ()),
            f"file:{part}",
        ]
        _run(command, stream, part, max_bytes)

        # 3. Its size, in pixels and in bytes.
        if odd:
            mp4.declare_size(part, width, height)
        size_bytes = part.stat().st_size
    return EncodedClip(path, width, height, num_frames, fps, size_bytes)


def _codec(format: Format, quality: Quality, fps: int) -> list[str]:
    a_key_frame_every_2_s = ("-g", str(2 * fps))
    match format:
        case "mp4":
            return [
                *("-vf", BT709, "-c:v", "libx264", "-preset", "fast", "-profile:v", "high"),
                *("-crf", str(H264_CRF[quality]), *a_key_frame_every_2_s),
                *("-movflags", "+faststart", "-f", "mp4"),
            ]
        case "webm":
            return [
                *("-vf", BT709, "-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "4"),
                *("-row-mt", "1", "-crf", str(VP9_CRF[quality]), "-b:v", "0"),
                *(*a_key_frame_every_2_s, "-cues_to_front", "1", "-f", "webm"),
            ]
        case "gif":
            palette = f"palettegen=max_colors={GIF_COLOURS[quality]}"
            return [
                *(
                    "-vf",
                    f"split[a][b];[a]{palette}[p];[b][p]paletteuse=dither=bayer:bayer_scale=5",
                ),
                *("-loop", "0", "-f", "gif"),
            ]
        case _:
            assert_never(format)


def _sound_codec(format: Format) -> list[str]:
    codec = ["aac", "-b:a", "192k"] if format == "mp4" else ["libopus", "-b:a", "128k"]
    rate = ("-ar", str(SOUND_RATE_HZ))
    return ["-map", "2:a:0", *rate, "-c:a", *codec, "-flags:a", "+bitexact"]


def _made_even(frame: np.ndarray) -> np.ndarray:
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _run(
    command: list[str], frames: Iterable[np.ndarray], part: Path, max_bytes: int | None
) -> None:
    """Feeds the frames to ffmpeg; it is gone when this returns or raises."""
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(  # noqa: S603 - a list of our own words and numbers, and no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
        ) as ffmpeg,
    ):
        overdue = threading.Timer(TIMEOUT_S, ffmpeg.kill)
        overdue.start()
        try:
            _feed(ffmpeg, frames, part, max_bytes)
            failed = ffmpeg.wait() != 0
        finally:
            overdue.cancel()
            ffmpeg.kill()
        if failed:
            log.seek(0)
            said = log.read()[-2000:].decode("utf-8", "replace")
            full = re.search("No space left on device|Disk quota exceeded", said)
            code = ErrorCode.OUT_OF_DISK if full else ErrorCode.ENCODE
            raise KinoraError(code) from RuntimeError(f"ffmpeg: {said}")
    _check_size(part, max_bytes)


def _feed(
    ffmpeg: subprocess.Popen[bytes],
    frames: Iterable[np.ndarray],
    part: Path,
    max_bytes: int | None,
) -> None:
    # a pipe that breaks means that ffmpeg gave up, and its log says why
    with contextlib.suppress(BrokenPipeError), cast(BinaryIO, ffmpeg.stdin) as pipe:
        for frame in frames:
            pipe.write(np.ascontiguousarray(frame).data)
            _check_size(part, max_bytes)


def _check_size(part: Path, max_bytes: int | None) -> None:
    if max_bytes is not None and part.exists() and part.stat().st_size > max_bytes:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip would be larger than {max_bytes / 2**20:.3g} MB, the most that is kept "
            "here. Make it shorter or smaller, or choose a lower quality.",
        )


@contextlib.contextmanager
def _notes(part: Path, comment: str) -> Iterator[Path]:
    """The comment in a file of its own: a command line is short, and everyone may read it."""
    # a lone surrogate, which UTF-8 has no bytes for, becomes the escape that JSON reads back
    text = re.sub(rb"([=;#\\\n])", rb"\\\1", comment.encode("utf-8", "backslashreplace"))
    notes = part.with_name(f"notes-{part.name}")
    try:
        notes.write_bytes(b";FFMETADATA1\ncomment=" + text + b"\n")
        yield notes
    finally:
        notes.unlink(missing_ok=True)


@contextlib.contextmanager
def _heard(part: Path, sound: Sound | None) -> Iterator[list[str]]:
    """The sound in a file of its own, since the pipe is taken, and the words to read it."""
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
