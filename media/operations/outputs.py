"""The files that an edit can make: what fits into each, and what is refused before any work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from errors import megabytes
from media.encode import GIF_MAX_FPS
from media.operations.operation import StreamInfo, refuse
from media.visible_mark import VisibleMark
from pipelines.request import Quality

OutputFormat = Literal["mp4", "webm", "webm-av1", "gif", "apng", "webp", "png-zip", "prores"]
FileFormat = OutputFormat | Literal["lossless"]
"""`lossless` is between two passes only."""
Tags = Literal["mp4", "webm", "gif", "mov", "png", "webp", "zip"]

MAX_TARGET_MB = 2000
SOUND_KBPS = ((1000, 128), (400, 96), (150, 64), (0, 32))
"""Of a file of a certain size: from so many kbit/s in all, so many are for the sound."""
MIN_BITS_PER_PIXEL = 0.008
"""Fewer show nothing but blocks."""
CONTAINER_SHARE = 0.97
"""Of the bytes that are left for the tracks."""
MEGABYTE = 1_000_000
"""The smaller one: a file of 10 MB is below a limit of 10 MB and of 10 MiB."""


@dataclass(frozen=True)
class OutputKind:
    label: str
    suffix: str
    media_type: str
    tags: Tags
    """How the file says what made it."""
    has_sound: bool = True
    is_even: bool = False
    """The codec needs even sides; the container declares the size that is shown."""
    max_fps: int | None = None
    has_bitrate: bool = False
    """Whether a size in MB can be aimed at."""


BETWEEN_PASSES = OutputKind("", ".mkv", "video/x-matroska", "webm")
OUTPUTS: dict[OutputFormat, OutputKind] = {
    "mp4": OutputKind("MP4", ".mp4", "video/mp4", "mp4", is_even=True, has_bitrate=True),
    "webm": OutputKind("WebM (VP9)", ".webm", "video/webm", "webm", has_bitrate=True),
    "webm-av1": OutputKind("WebM (AV1)", ".webm", "video/webm", "webm", has_bitrate=True),
    "gif": OutputKind("GIF", ".gif", "image/gif", "gif", has_sound=False, max_fps=GIF_MAX_FPS),
    "apng": OutputKind("Animated PNG", ".png", "image/apng", "png", has_sound=False),
    "webp": OutputKind("Animated WebP", ".webp", "image/webp", "webp", has_sound=False),
    "png-zip": OutputKind("PNG frames in a zip", ".zip", "application/zip", "zip"),
    "prores": OutputKind("ProRes", ".mov", "video/quicktime", "mov"),
}


@dataclass(frozen=True)
class OutputFile:
    """What file a chain is written to."""

    format: FileFormat = "mp4"
    quality: Quality = "medium"
    target_mb: float | None = None
    """The size that the file must not exceed, in place of a quality."""
    comment: str = ""
    """What made the clip and what was done to it, as JSON. GIF and WebP hold none."""
    is_generated: bool = False
    """Whether it is tagged as generated; `run_chain` sets this."""
    mark: VisibleMark | None = None
    """Drawn on every frame at last."""

    @property
    def kind(self) -> OutputKind:
        return BETWEEN_PASSES if self.format == "lossless" else OUTPUTS[self.format]

    @property
    def max_bytes(self) -> int:
        """Of `target_mb`."""
        return int((self.target_mb or MAX_TARGET_MB) * MEGABYTE)


@dataclass(frozen=True)
class Bitrates:
    """Bits a second."""

    video: int
    sound: int


def fit_output(info: StreamInfo, output: OutputFile) -> tuple[StreamInfo, tuple[str, ...]]:
    """What is in the file, and sentences about what does not fit into it.

    Raises KinoraError(INVALID_INPUT).
    """
    kind, notes = output.kind, list[str]()
    if output.target_mb is not None:
        choose_bitrates(info, output)
    if info.channels and not kind.has_sound:
        notes.append(f"{kind.label} has no sound, so it is left out.")
        info = replace(info, channels=0)
    if kind.max_fps is not None and info.fps > kind.max_fps:
        step = frame_step(info, kind)
        made = replace(info, fps=info.fps / step, num_frames=-(-info.num_frames // step))
        notes.append(
            f"{kind.label} shows at most {kind.max_fps} frames a second, so only one of {step} "
            f"frames is kept: {float(made.fps):.3g} frames a second."
        )
        info = made
    return info, tuple(notes)


def frame_step(info: StreamInfo, kind: OutputKind) -> int:
    """One of so many frames is kept."""
    return 1 if kind.max_fps is None else max(1, -(-info.fps // kind.max_fps))


def choose_bitrates(info: StreamInfo, output: OutputFile) -> Bitrates:
    """Those of a file of `target_mb`. Raises KinoraError(INVALID_INPUT) if it is too small."""
    if not output.kind.has_bitrate:
        names = " or ".join(kind.label for kind in OUTPUTS.values() if kind.has_bitrate)
        raise refuse(f"A size in MB can be chosen for {names} only. Choose one of these formats.")
    total = output.max_bytes * 8 * CONTAINER_SHARE / float(info.duration_s)
    sound = next(kbps for least, kbps in SOUND_KBPS if total >= least * 1000) * 1000
    sound = sound if info.channels and output.kind.has_sound else 0
    least = info.width * info.height * float(info.fps) * MIN_BITS_PER_PIXEL
    if total - sound < least:
        bits = (least + sound) * float(info.duration_s) / CONTAINER_SHARE
        raise refuse(
            f"{megabytes(output.max_bytes)} MB are too few for this clip: it needs at least "
            f"{max(0.1, bits / 8 / MEGABYTE + 0.05):.1f} MB. Make it shorter or smaller first."
        )
    return Bitrates(round(total - sound), sound)
