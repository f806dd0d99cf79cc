"""Reads a clip's tracks, colours and timestamps with ffmpeg, without decoding.

Parses ffmpeg's output, because the bundled build has no ffprobe. Limits are checked by the caller.
"""

from __future__ import annotations

import itertools
import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from errors import ErrorCode, KinoraError
from media.ffmpeg import DISK_FULL, base_command

VIDEO_DECODERS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg4")
AUDIO_DECODERS = (
    *("aac", "mp3float", "mp3", "opus", "vorbis", "flac", "alac", "ac3", "eac3"),
    *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
    *("pcm_f32le", "pcm_f32be", "pcm_u8", "pcm_mulaw", "pcm_alaw"),
)
DECODERS = ",".join(VIDEO_DECODERS + AUDIO_DECODERS)
"""ffmpeg has 500 decoders; no other one ever sees untrusted bytes."""
MAX_ALLOC_BYTES = 512 * 1024 * 1024
MAX_TIMING_BYTES = 6_000_000
"""Limit on packet lines: a minute of sound in packets of 2.5 ms has 24,000 lines of 50 bytes."""
DISCARDED = 4
"""Flag of packets that an edit list removes (AV_PKT_FLAG_DISCARD)."""

DURATION_LINE = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
# newer versions group related tracks (a camera's timecode) and indent them further
STREAM_LINE = re.compile(
    r"^ {2,8}Stream #0:(\d+)[^\n]*?: (Video|Audio): (\w+)([^\n]*)", re.MULTILINE
)
NEXT_STREAM = re.compile(r"^ {2,8}Stream ", re.MULTILINE)
SIZE = re.compile(r", (\d+)x(\d+)[ ,\n]")
PIXEL_FORMAT = re.compile(r", (\w+)(?:\(([^)]*)\))?, \d+x\d+")
SAR = re.compile(r"SAR ([1-9]\d*):([1-9]\d*)")
FPS = re.compile(r", ([\d.]+)(k?) fps")
ROTATION = re.compile(r"displaymatrix: rotation of (-?[\d.]+) degrees")
DOLBY_VISION = re.compile(r"DOVI configuration record:.*?profile: (\d+).*?compatibility id: (\d+)")
CHANNELS = {"mono": 1, "stereo": 2, "2.1": 3, "quad": 4, "5.0": 5, "5.1": 6, "6.1": 7, "7.1": 8}
TIME_BASE = re.compile(r"^#tb (\d): (\d+)/(\d+)", re.MULTILINE)
PACKET = re.compile(
    r"^([01]), +-?\d+, +(-?\d+), +(-?\d+), +\d+, 0x[0-9a-f]+(?:, F=0x([0-9A-Fa-f]+))?", re.MULTILINE
)


@dataclass(frozen=True)
class VideoTrack:
    index: int
    codec: str
    width: int
    """0 if the file does not say."""
    height: int
    pix_fmt: str
    tags: tuple[str, str, str, str]
    """Matrix, primaries, transfer and range; "unknown" if the file does not say."""
    pixel_aspect: Fraction
    """Sample aspect ratio: width by height of one pixel, clamped to 1/4 to 4."""
    fps: Fraction | None
    """The container's average rate."""
    dolby_vision: tuple[int, int] | None
    """Profile and compatibility id; id 0 means that only Dolby Vision players can show it."""
    quarter_turns: int = 0
    """By which ffmpeg turns the frames upright when it decodes them."""


@dataclass(frozen=True)
class AudioTrack:
    index: int
    codec: str
    channels: int

    @property
    def is_readable(self) -> bool:
        return self.codec in AUDIO_DECODERS


@dataclass(frozen=True)
class Description:
    picture: VideoTrack | None
    audio: tuple[AudioTrack, ...]
    duration_s: float | None

    @property
    def sound(self) -> AudioTrack | None:
        """The first readable track, else the first track."""
        return next((s for s in self.audio if s.is_readable), next(iter(self.audio), None))


@dataclass(frozen=True)
class Timing:
    """Times in seconds from the start of playback, without what an edit list cuts."""

    timestamps: tuple[Fraction, ...]
    """Presentation times of the frames, in order."""
    tick: Fraction
    """The time base: the smallest difference that the file can express."""
    video_end: Fraction
    audio_end: Fraction

    @property
    def longest_gap_s(self) -> Fraction:
        """Between two frames."""
        gaps = (after - before for before, after in itertools.pairwise(self.timestamps))
        return max(gaps, default=Fraction(0))


def describe(
    source: Path, demuxer: str, max_seconds: float, max_pixels: int, timeout_s: float
) -> Description:
    """Reads the header. At most `max_seconds` of the clip are looked at."""
    output = run_ffmpeg(
        [*untrusted_input(source, demuxer, max_seconds, max_pixels)], timeout_s, may_fail=True
    )
    return parse_description(output)


def parse_description(output: str) -> Description:
    picture: VideoTrack | None = None
    audio: dict[int, AudioTrack] = {}
    for found in STREAM_LINE.finditer(output):
        index, kind, codec, rest = found.groups()
        if kind == "Audio":
            layout = rest.split(", ")[2:3]
            channels = _count_channels(layout[0]) if layout else 0
            audio[int(index)] = AudioTrack(int(index), codec, channels)
        elif picture is None and "(attached pic)" not in rest:
            side_data = NEXT_STREAM.split(output[found.end() :], 1)[0]
            picture = _parse_video_track(int(index), codec, rest + "\n", side_data)
    duration_s = None
    if (duration := DURATION_LINE.search(output)) is not None:
        hours, minutes, seconds = duration.groups()
        duration_s = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return Description(picture, tuple(audio.values()), duration_s)


def _parse_video_track(index: int, codec: str, rest: str, side_data: str) -> VideoTrack:
    size, pix_fmt_match, fps = SIZE.search(rest), PIXEL_FORMAT.search(rest), FPS.search(rest)
    shape = SAR.search(rest)
    dovi, rotation = DOLBY_VISION.search(side_data), ROTATION.search(side_data)
    return VideoTrack(
        index=index,
        codec=codec,
        width=int(size[1]) if size else 0,
        height=int(size[2]) if size else 0,
        pix_fmt=pix_fmt_match[1] if pix_fmt_match else "",
        tags=_parse_colour_tags(pix_fmt_match[2] if pix_fmt_match and pix_fmt_match[2] else ""),
        pixel_aspect=min(max(Fraction(int(shape[1]), int(shape[2])), Fraction(1, 4)), Fraction(4))
        if shape
        else Fraction(1),
        fps=exact_rate(float(fps[1]) * (1000 if fps[2] else 1)) if fps else None,
        dolby_vision=(int(dovi[1]), int(dovi[2])) if dovi else None,
        quarter_turns=round(float(rotation[1]) / 90) % 4 if rotation else 0,
    )


def _parse_colour_tags(tags: str) -> tuple[str, str, str, str]:
    """Parses "tv, bt2020nc/bt2020/arib-std-b67, progressive", or "bt709" for all three."""
    words = [word.strip() for word in tags.split(",")]
    range_ = next((word for word in words if word in ("tv", "pc")), "unknown")
    three = next((word.split("/") for word in words if word.count("/") == 2), None)
    if three is None:
        others = ("tv", "pc", "progressive", "top first", "bottom first", "top coded first",
                  "bottom coded first", "")  # fmt: skip
        one = next((word for word in words if word not in others and " " not in word), "unknown")
        three = [one] * 3
    return three[0], three[1], three[2], range_


def _count_channels(layout: str) -> int:
    name = layout.partition("(")[0].strip()
    counted = re.match(r"(\d+) channels", name)
    return int(counted[1]) if counted else CHANNELS.get(name, 2)


def exact_rate(fps: float) -> Fraction | None:
    """Undoes ffmpeg's rounding: 23.98 is 24000/1001, and so on."""
    for whole in (24, 30, 48, 60, 120):
        if abs(fps - whole / 1.001) < 0.006:
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001) if fps > 0 else None


def read_timing(
    source: Path,
    demuxer: str,
    max_seconds: float,
    max_pixels: int,
    timeout_s: float,
    tracks: tuple[int, int | None],
) -> Timing | None:
    """Reads the timestamps of all packets of a video and an optional audio track, by index.

    Returns None if the file has none that can be read.
    """
    maps = [word for index in tracks if index is not None for word in ("-map", f"0:{index}")]
    output = run_ffmpeg(
        [
            *untrusted_input(source, demuxer, max_seconds, max_pixels, "error"),
            *(*maps, "-c", "copy", "-copyinkf", "-fs", str(MAX_TIMING_BYTES)),
            *("-f", "framecrc", "pipe:1"),
        ],
        timeout_s,
        may_fail=True,
        max_output_bytes=2 * MAX_TIMING_BYTES,
    )
    return parse_timing(output)


def parse_timing(output: str) -> Timing | None:
    bases = {
        int(track): Fraction(int(count), int(of))
        for track, count, of in TIME_BASE.findall(output)
        if int(of)
    }
    timestamps: list[Fraction] = []
    track_ends = [Fraction(0), Fraction(0)]
    for track, pts, length, flags in PACKET.findall(output):
        tick = bases.get(int(track))
        at = int(pts)
        if tick is None or (flags and int(flags, 16) & DISCARDED) or at <= -(2**62):
            continue
        track_ends[int(track)] = max(track_ends[int(track)], (at + max(int(length), 0)) * tick)
        if track == "0" and at >= 0:
            timestamps.append(at * tick)
    if not timestamps:
        return None
    return Timing(
        tuple(sorted(timestamps)), bases[0], max(track_ends[0], max(timestamps)), track_ends[1]
    )


def untrusted_input(
    source: Path,
    demuxer: str,
    max_seconds: float,
    max_pixels: int,
    level: str = "info",
    decoders: str = DECODERS,
) -> list[str]:
    """ffmpeg options that read an untrusted file: a fixed container, our decoders, no other file or
    protocol, limits on pixels, streams, memory and seconds."""
    return [
        *base_command(level),
        *("-max_alloc", str(MAX_ALLOC_BYTES)),
        *untrusted_input_options(source, demuxer, max_seconds, max_pixels, decoders),
    ]


def untrusted_input_options(
    source: Path, demuxer: str, max_seconds: float, max_pixels: int, decoders: str = DECODERS
) -> list[str]:
    """The same without the start of the command, for one input of several."""
    return [
        *("-protocol_whitelist", "file", "-f", demuxer),
        *("-codec_whitelist", decoders, "-max_pixels", str(max_pixels)),
        *("-max_streams", "20", "-threads", "2", "-t", f"{max_seconds:g}"),
        *("-i", f"file:{source.absolute()}"),
    ]


def run_ffmpeg(
    command: list[str],
    timeout_s: float,
    *,
    may_fail: bool = False,
    max_output_bytes: int = 200_000,
    folder: Path | None = None,
) -> str:
    """Returns the end of what ffmpeg printed. Raises KinoraError(INVALID_VIDEO | OUT_OF_DISK)."""
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        raise KinoraError(
            ErrorCode.INVALID_VIDEO, "This clip takes too long to read. Make it shorter or smaller."
        ) from error
    output = done.stdout[-max_output_bytes:].decode("utf-8", "replace")
    if DISK_FULL.search(output):
        raise KinoraError(ErrorCode.OUT_OF_DISK)
    if done.returncode and not may_fail:
        cause = RuntimeError(f"ffmpeg: {output[-2000:]}")
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip is damaged.") from cause
    return output
