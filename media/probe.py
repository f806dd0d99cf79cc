"""What a clip's file says of itself: its tracks, colours and timestamps, read without decoding.

Knows how ffmpeg is asked and what it prints. Accepts or refuses nothing but by time and room.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg

from errors import ErrorCode, KinoraError

VIDEO_DECODERS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg4")
SOUND_DECODERS = (
    *("aac", "mp3float", "mp3", "opus", "vorbis", "flac", "alac", "ac3", "eac3"),
    *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
    *("pcm_f32le", "pcm_f32be", "pcm_u8", "pcm_mulaw", "pcm_alaw"),
)
DECODERS = ",".join(VIDEO_DECODERS + SOUND_DECODERS)
"""ffmpeg has 500; none of the others ever sees a stranger's bytes."""
MAX_ALLOC = 512 * 1024 * 1024
MOST_BYTES = 6_000_000
"""Of lines with timestamps: a minute of sound in packets of 2.5 ms has 24,000 of 50 letters."""
DISCARDED = 4
"""The flag of packets that an edit list leaves out."""

DURATION_LINE = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
# newer versions list tracks that refer to each other (a camera's timecode) in groups, further in
STREAM_LINE = re.compile(
    r"^ {2,8}Stream #0:(\d+)[^\n]*?: (Video|Audio): (\w+)([^\n]*)", re.MULTILINE
)
NEXT_STREAM = re.compile(r"^ {2,8}Stream ", re.MULTILINE)
SIZE = re.compile(r", (\d+)x(\d+)[ ,\n]")
PIXELS = re.compile(r", (\w+)(?:\(([^)]*)\))?, \d+x\d+")
SAR = re.compile(r"SAR ([1-9]\d*):([1-9]\d*)")
FPS = re.compile(r", ([\d.]+)(k?) fps")
DOLBY_VISION = re.compile(r"DOVI configuration record:.*?profile: (\d+).*?compatibility id: (\d+)")
CHANNELS = {"mono": 1, "stereo": 2, "2.1": 3, "quad": 4, "5.0": 5, "5.1": 6, "6.1": 7, "7.1": 8}
TIME_BASE = re.compile(r"^#tb (\d): (\d+)/(\d+)", re.MULTILINE)
PACKET = re.compile(
    r"^([01]), +-?\d+, +(-?\d+), +(-?\d+), +\d+, 0x[0-9a-f]+(?:, F=0x([0-9A-Fa-f]+))?", re.MULTILINE
)


@dataclass(frozen=True)
class PictureTrack:
    index: int
    codec: str
    width: int
    """0 where the file does not say."""
    height: int
    pix_fmt: str
    tags: tuple[str, str, str, str]
    """Matrix, primaries, transfer and range; "unknown" where the file does not say."""
    pixel_shape: Fraction
    """Width by height of one pixel as it is shown, between 1/4 and 4."""
    fps: Fraction | None
    """As the container counts it: an average."""
    dolby_vision: tuple[int, int] | None
    """Profile and compatibility: 0 means that nothing else can show it."""


@dataclass(frozen=True)
class SoundTrack:
    index: int
    codec: str
    channels: int

    @property
    def is_readable(self) -> bool:
        return self.codec in SOUND_DECODERS


@dataclass(frozen=True)
class Description:
    picture: PictureTrack | None
    sounds: tuple[SoundTrack, ...]
    lasts_s: float | None

    @property
    def sound(self) -> SoundTrack | None:
        """The first that can be read, else the first."""
        return next((s for s in self.sounds if s.is_readable), next(iter(self.sounds), None))


@dataclass(frozen=True)
class Timing:
    """In seconds from the moment the clip starts to play; what an edit list cuts is left out."""

    shown: tuple[Fraction, ...]
    """When each picture appears, in order."""
    tick: Fraction
    """The smallest difference that the file can express."""
    picture_ends: Fraction
    sound_ends: Fraction


def describe(
    source: Path, demuxer: str, limit_s: float, max_pixels: int, wait_s: float
) -> Description:
    """Reads the head of a file. `limit_s` is the most of it that is looked at."""
    said = run([*reading(source, demuxer, limit_s, max_pixels)], wait_s, may_fail=True)
    return parse_description(said)


def parse_description(said: str) -> Description:
    picture: PictureTrack | None = None
    sounds: dict[int, SoundTrack] = {}
    for found in STREAM_LINE.finditer(said):
        index, kind, codec, rest = found.groups()
        if kind == "Audio":
            layout = rest.split(", ")[2:3]
            channels = _channels(layout[0]) if layout else 0
            sounds[int(index)] = SoundTrack(int(index), codec, channels)
        elif picture is None and "(attached pic)" not in rest:
            following = NEXT_STREAM.split(said[found.end() :], 1)[0]
            picture = _picture_track(int(index), codec, rest + "\n", following)
    lasts_s = None
    if (duration := DURATION_LINE.search(said)) is not None:
        hours, minutes, seconds = duration.groups()
        lasts_s = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return Description(picture, tuple(sounds.values()), lasts_s)


def _picture_track(index: int, codec: str, rest: str, following: str) -> PictureTrack:
    size, pixels, fps = SIZE.search(rest), PIXELS.search(rest), FPS.search(rest)
    shape = SAR.search(rest)
    vision = DOLBY_VISION.search(following)
    return PictureTrack(
        index=index,
        codec=codec,
        width=int(size[1]) if size else 0,
        height=int(size[2]) if size else 0,
        pix_fmt=pixels[1] if pixels else "",
        tags=_colour_tags(pixels[2] if pixels and pixels[2] else ""),
        pixel_shape=min(max(Fraction(int(shape[1]), int(shape[2])), Fraction(1, 4)), Fraction(4))
        if shape
        else Fraction(1),
        fps=exact_rate(float(fps[1]) * (1000 if fps[2] else 1)) if fps else None,
        dolby_vision=(int(vision[1]), int(vision[2])) if vision else None,
    )


def _colour_tags(notes: str) -> tuple[str, str, str, str]:
    """From such as "tv, bt2020nc/bt2020/arib-std-b67, progressive", or "bt709" for all three."""
    words = [word.strip() for word in notes.split(",")]
    range_ = next((word for word in words if word in ("tv", "pc")), "unknown")
    three = next((word.split("/") for word in words if word.count("/") == 2), None)
    if three is None:
        others = ("tv", "pc", "progressive", "top first", "bottom first", "top coded first",
                  "bottom coded first", "")  # fmt: skip
        one = next((word for word in words if word not in others and " " not in word), "unknown")
        three = [one] * 3
    return three[0], three[1], three[2], range_


def _channels(layout: str) -> int:
    name = layout.partition("(")[0].strip()
    counted = re.match(r"(\d+) channels", name)
    return int(counted[1]) if counted else CHANNELS.get(name, 2)


def exact_rate(fps: float) -> Fraction | None:
    """23.98 and its like are rounded: what is meant are the rates of television."""
    for whole in (24, 30, 48, 60, 120):
        if abs(fps - whole / 1.001) < 0.006:
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001) if fps > 0 else None


def read_timing(
    source: Path,
    demuxer: str,
    limit_s: float,
    max_pixels: int,
    wait_s: float,
    tracks: tuple[int, int | None],
) -> Timing | None:
    """The timestamps of all packets. None where the file has none that can be read."""
    maps = [word for index in tracks if index is not None for word in ("-map", f"0:{index}")]
    said = run(
        [
            *reading(source, demuxer, limit_s, max_pixels, "error"),
            *(*maps, "-c", "copy", "-copyinkf", "-fs", str(MOST_BYTES)),
            *("-f", "framecrc", "pipe:1"),
        ],
        wait_s,
        may_fail=True,
        keep=2 * MOST_BYTES,
    )
    return parse_timing(said)


def parse_timing(said: str) -> Timing | None:
    bases = {
        int(track): Fraction(int(count), int(of))
        for track, count, of in TIME_BASE.findall(said)
        if int(of)
    }
    shown: list[Fraction] = []
    ends = [Fraction(0), Fraction(0)]
    for track, pts, lasts, flags in PACKET.findall(said):
        tick = bases.get(int(track))
        at = int(pts)
        if tick is None or (flags and int(flags, 16) & DISCARDED) or at <= -(2**62):
            continue
        ends[int(track)] = max(ends[int(track)], (at + max(int(lasts), 0)) * tick)
        if track == "0" and at >= 0:
            shown.append(at * tick)
    if not shown:
        return None
    return Timing(tuple(sorted(shown)), bases[0], max(ends[0], max(shown)), ends[1])


def reading(
    source: Path, demuxer: str, limit_s: float, max_pixels: int, level: str = "info"
) -> list[str]:
    """ffmpeg's words to read a stranger's file, and nothing else."""
    return [
        *quiet(level),
        *("-max_alloc", str(MAX_ALLOC), "-protocol_whitelist", "file", "-f", demuxer),
        *("-codec_whitelist", DECODERS, "-max_pixels", str(max_pixels)),
        *("-max_streams", "20", "-threads", "2", "-t", f"{limit_s:g}"),
        *("-i", f"file:{source.absolute()}"),
    ]


def quiet(level: str = "error") -> tuple[str, ...]:
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    return (ffmpeg, "-hide_banner", "-loglevel", level, "-nostdin", "-y")


def run(
    command: list[str],
    timeout_s: float,
    *,
    may_fail: bool = False,
    keep: int = 200_000,
    folder: Path | None = None,
) -> str:
    """What ffmpeg printed. Raises KinoraError: INVALID_VIDEO, or OUT_OF_DISK."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words and numbers, and no shell
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
    said = done.stdout[-keep:].decode("utf-8", "replace")
    if re.search("No space left on device|Disk quota exceeded", said):
        raise KinoraError(ErrorCode.OUT_OF_DISK)
    if done.returncode and not may_fail:
        cause = RuntimeError(f"ffmpeg: {said[-2000:]}")
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip is damaged.") from cause
    return said
