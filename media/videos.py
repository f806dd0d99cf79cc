"""Clips from strangers: measured, decoded with care, and kept as plain H.264 with their sound.

Knows containers, codecs and limits. Does not know who sent a clip or what it is for.

ffmpeg sees a stranger's file under a forced container, with a short list of decoders, no protocol
but `file`, a ceiling on pixels, seconds and single allocations, and a clock. Everything after that
(the page, the worker) only ever sees the file that was written here: upright, square pixels, SDR
BT.709, an even frame rate, each picture at its time, lossless sound from the first moment on.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from PIL import Image

from errors import ErrorCode, KinoraError
from media.colours import Colours, decide_colours, describe_conversion, write_tables
from media.files import atomic_write
from media.images import crop_to
from media.probe import (
    Description,
    PictureTrack,
    SoundTrack,
    Timing,
    describe,
    parse_description,
    quiet,
    read_timing,
    reading,
    run,
)
from media.rates import choose_rate
from pipelines.request import Focus

KEPT_SIDE = 1280
"""Larger clips are reduced to this: no model here works over more."""
SMALLEST_SIDE = 16
SOUND_RATE_HZ = 48_000
MOST_CHANNELS = 2
SHORTEST_HOLD_S = Fraction(1, 10)
"""Where the sound lasts longer than the pictures by more than this, the last picture is held until
it ends. Encoders fill the sound's last packet up, which is less."""

DEMUXERS = {
    # QuickTime files of old begin without `ftyp`
    "mov": re.compile(rb"....(ftyp|moov|mdat|wide|free|skip|pnot)", re.DOTALL),
    "matroska": re.compile(rb"\x1aE\xdf\xa3"),
}
PICTURES = {
    "an AVIF picture": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "an HEIC picture": re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.DOTALL),
    "a PNG picture": re.compile(rb"\x89PNG"),
    "a JPEG picture": re.compile(rb"\xff\xd8\xff"),
    "a WebP picture": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
OTHER_CONTAINERS = {
    "a GIF": re.compile(rb"GIF8"),
    "an AVI file": re.compile(rb"RIFF....AVI ", re.DOTALL),
    "a Windows Media file": re.compile(rb"\x30\x26\xb2\x75"),
    "a Flash video": re.compile(rb"FLV\x01"),
    "an MPEG program stream": re.compile(rb"\0\0\x01\xba"),
    "an MPEG transport stream": re.compile(rb"\x47.{3}|.{4}\x47", re.DOTALL),
    "an Ogg file": re.compile(rb"OggS"),
}
CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4")

CENTRE = Focus()
AT_ONCE = threading.BoundedSemaphore(2)
"""Clips decoded at the same time: many givers wait for each other, not the machine for them."""

FRAMES_WRITTEN = re.compile(r"^frame=\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class VideoLimits:
    """What is refused before a picture is decoded."""

    max_bytes: int = 100 * 1024 * 1024
    max_pixels: int = 3840 * 2160
    max_seconds: float = 60.0
    timeout_s: float = 120.0


@dataclass(frozen=True)
class StoredVideo:
    """`id` is the SHA-256 of the stored file; the figures are the stored, upright ones. Those of
    the file that was sent begin with `sent`."""

    id: str
    width: int
    height: int
    fps: float
    num_frames: int
    channels: int = 0
    """Of its sound; 0 where it has none."""
    sent_size: tuple[int, int] | None = None
    sent_fps: float | None = None
    sent_channels: int = 0
    sent_hdr: str | None = None
    """HLG or PQ."""
    lost_sound: str | None = None
    """The codec of a sound that cannot be read here."""

    @property
    def seconds(self) -> float:
        return self.num_frames / self.fps


@dataclass(frozen=True)
class _Source:
    """A file that may be decoded, and how."""

    path: Path
    demuxer: str
    limits: VideoLimits
    picture: PictureTrack
    sound: SoundTrack | None
    lost_sound: str | None
    colours: Colours
    rate: Fraction
    num_frames: int
    sent_fps: float


def store_video(
    source: Path, folder: Path, limits: VideoLimits = VideoLimits(), *, sound: bool = True
) -> StoredVideo:
    """Keeps a clip as `folder/<id>.mp4`, its figures beside it. The same bytes, the same id.

    Without `sound` its sound is not even decoded."""
    # 1. What it is and says of itself, read from its head and its timestamps
    size_bytes = source.stat().st_size
    if size_bytes > limits.max_bytes:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip is {size_bytes / 2**20:.1f} MB; at most {limits.max_bytes / 2**20:.0f} MB "
            "are accepted.",
        )
    clip = _examined(source, limits, sound)

    # 2. Its pictures, decoded under the same limits whatever it said, and written anew
    folder.mkdir(parents=True, exist_ok=True)
    with AT_ONCE, tempfile.TemporaryDirectory(dir=folder, suffix=".part") as place:
        written = Path(place).absolute() / "clip.mp4"
        write_tables(clip.colours, written.parent)
        try:
            counted = _write(clip, written)
        except KinoraError as error:
            if clip.sound is None or error.code is not ErrorCode.INVALID_VIDEO:
                raise
            clip = replace(clip, sound=None, lost_sound=clip.sound.codec)  # it may be the sound
            counted = _write(clip, written)
        # 3. What was written, under the name of its content
        stored = _described(written, counted, clip)
        path = folder / f"{stored.id}.mp4"
        with atomic_write(path.with_suffix(".json")) as part:
            part.write_text(json.dumps(asdict(stored)), encoding="utf-8")
        if not path.exists():
            with atomic_write(path) as part:
                written.replace(part)
    return stored


def find_video(video_id: str, folder: Path) -> StoredVideo:
    """The figures of a clip that was stored here."""
    path = folder / f"{video_id}.json"
    if re.fullmatch(r"[0-9a-f]{64}", video_id) and path.with_suffix(".mp4").is_file():
        try:
            figures = json.loads(path.read_text(encoding="utf-8"))
            size = figures.get("sent_size")
            return StoredVideo(**figures | {"sent_size": tuple(size) if size else None})
        except (OSError, ValueError, TypeError):
            pass
    raise KinoraError(ErrorCode.NOT_FOUND, "That clip is not here any more. Add it again.")


def load_frames(
    video_id: str,
    folder: Path,
    *,
    fps: int,
    num_frames: int,
    width: int,
    height: int,
    focus: Focus = CENTRE,
) -> tuple[Image.Image, ...]:
    """The clip's beginning at another pace and shape; its last picture is held if it is short."""
    stored = find_video(video_id, folder)
    frames: list[Image.Image] = []
    for picture in pictures_of(folder / f"{video_id}.mp4", stored, fps, num_frames):
        frames.append(crop_to(picture, width, height, focus))
    if not frames:
        raise KinoraError(ErrorCode.INVALID_VIDEO)
    frames += [frames[-1]] * (num_frames - len(frames))
    return tuple(frames)


def pictures_of(path: Path, stored: StoredVideo, fps: int, count: int) -> Iterator[Image.Image]:
    """From our own file, one at a time: a clip's pixels are many times its file."""
    size = stored.width * stored.height * 3
    # `up`: picture n is the one that is shown at n / fps, also where the clip is one picture long
    rgb = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int,format=rgb24"
    command = [
        *quiet(),
        *("-protocol_whitelist", "file,pipe", "-f", "mov", "-i", f"file:{path}"),
        *("-map", "0:v:0", "-vf", f"fps={fps}:round=up,{rgb}", "-frames:v", str(count)),
        *("-f", "rawvideo", "pipe:1"),
    ]
    with subprocess.Popen(  # noqa: S603 - our own words and numbers, and no shell
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as ffmpeg:
        try:
            pipe = cast(BinaryIO, ffmpeg.stdout)
            while len(data := pipe.read(size)) == size:
                pixels = np.frombuffer(data, np.uint8).reshape(stored.height, stored.width, 3)
                yield Image.fromarray(pixels)
        finally:
            ffmpeg.kill()


def _demuxer_of(source: Path) -> str:
    with source.open("rb") as file:
        head = file.read(16)
    for what, magic in PICTURES.items():
        if magic.match(head):
            raise KinoraError(
                ErrorCode.INVALID_VIDEO,
                f"This is {what}, not a clip. Add it as a picture instead, or use an MP4 or WebM.",
            )
    for name, magic in DEMUXERS.items():
        if magic.match(head):
            return name
    what = next((what for what, magic in OTHER_CONTAINERS.items() if magic.match(head)), None)
    raise KinoraError(
        ErrorCode.INVALID_VIDEO, f"This is {what}. Use an MP4 or WebM." if what else None
    )


def _examined(source: Path, limits: VideoLimits, with_sound: bool) -> _Source:
    demuxer = _demuxer_of(source)
    how = (demuxer, limits.max_seconds, limits.max_pixels, limits.timeout_s)
    said = describe(source, *how)
    picture = _checked(said, limits)
    colours = decide_colours(
        picture.pix_fmt, *picture.tags, codec=picture.codec, height=picture.height
    )
    sound = said.sound if with_sound else None
    readable = sound if sound and sound.is_readable else None
    tracks = picture.index, readable.index if readable else None
    timing = read_timing(source, *how, tracks)
    rate = (
        choose_rate(timing.shown, timing.picture_ends, timing.tick, picture.fps)
        if timing
        else choose_rate((), Fraction(0), Fraction(1), picture.fps)
    )
    return _Source(
        path=source,
        demuxer=demuxer,
        limits=limits,
        picture=picture,
        sound=readable,
        lost_sound=sound.codec if sound and not readable else None,
        colours=colours,
        rate=rate,
        num_frames=_count_frames(timing, said.lasts_s, rate, limits),
        sent_fps=float(picture.fps) if picture.fps and picture.fps > rate else float(rate),
    )


def _checked(said: Description, limits: VideoLimits) -> PictureTrack:
    """Its pictures, once codec, size and length are known to be acceptable."""
    picture = said.picture
    if picture is None and not said.sounds:
        sentence = "This clip is damaged or not complete: no track of it can be read."
        raise KinoraError(ErrorCode.INVALID_VIDEO, sentence)
    if picture is None:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "There is no picture track in this clip.")
    if picture.codec not in CODECS:
        raise KinoraError(
            ErrorCode.INVALID_VIDEO,
            f"This clip is coded as {picture.codec}. Use an MP4 with H.264 or a WebM.",
        )
    width, height = picture.width, picture.height
    if not width or not height:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip does not say how large it is.")
    if width * height > limits.max_pixels:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip is {width} x {height}; at most {limits.max_pixels / 1e6:.1f} megapixels "
            "are accepted. Make it smaller first.",
        )
    if said.lasts_s is not None and said.lasts_s > limits.max_seconds + 0.5:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip lasts {said.lasts_s:.0f} s; at most {limits.max_seconds:g} s are accepted. "
            "Cut it first.",
        )
    if picture.dolby_vision is not None and picture.dolby_vision[1] == 0:
        raise KinoraError(
            ErrorCode.INVALID_VIDEO,
            f"This clip is Dolby Vision profile {picture.dolby_vision[0]}, whose colours cannot be "
            "read here. Export it as HDR (HLG or HDR10) or as SDR.",
        )
    return picture


def _count_frames(
    timing: Timing | None, lasts_s: float | None, rate: Fraction, limits: VideoLimits
) -> int:
    """Until its pictures end, or its sound if that goes on for longer."""
    most = Fraction(limits.max_seconds)
    if lasts_s is not None:  # what an edit list cuts off is still in the packets
        most = min(most, Fraction(lasts_s) + Fraction(1, 100))
    if timing is None:
        return max(1, int(most * rate))
    ends = min(max(timing.picture_ends, timing.shown[-1] + timing.tick), most)
    if timing.picture_ends == timing.shown[-1]:  # some files do not say how long the last one is
        ends = min(timing.shown[-1] + 1 / rate, most)
    sound_ends = min(timing.sound_ends, most)
    if sound_ends > ends + SHORTEST_HOLD_S:
        ends = sound_ends
    count = math.floor(ends * rate + Fraction(1, 2))
    if ends - timing.shown[-1] >= 1 / (2 * rate):  # long enough to be seen: it has a place
        count = max(count, math.floor(timing.shown[-1] * rate + Fraction(1, 2)) + 1)
    return max(1, min(count, math.ceil(most * rate)))


def _write(clip: _Source, written: Path) -> int:
    """Decodes, converts and encodes; returns how many frames there are."""
    limits, sound = clip.limits, clip.sound
    heard: list[str] = ["-an"]
    if sound is not None:
        heard = [
            # silence where it begins later than the pictures or has a gap, so that nothing moves
            *("-map", f"0:{sound.index}", "-af", "aresample=async=1:first_pts=0"),
            *("-ac", str(min(sound.channels, MOST_CHANNELS)), "-ar", str(SOUND_RATE_HZ)),
            *("-sample_fmt", "s16", "-c:a", "flac", "-strict", "experimental"),
            *("-flags:a", "+bitexact"),
        ]
    told = run(
        [
            *reading(clip.path, clip.demuxer, limits.max_seconds, limits.max_pixels),
            *("-map", f"0:{clip.picture.index}", "-vf", _filters(clip)),
            *(*heard, "-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1", "-threads", "2"),
            *("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-g", "30"),
            *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"),
            *("-progress", "pipe:1", "-nostats", "-f", "mp4", f"file:{written}"),
        ],
        limits.timeout_s,
        folder=written.parent,
    )
    counted = FRAMES_WRITTEN.findall(told)
    return int(counted[-1]) if counted else 0


def _filters(clip: _Source) -> str:
    """Each picture at its time, square pixels, at most the kept size, colours as BT.709."""
    return (
        f"fps={clip.rate}:round=near:start_time=0:eof_action=pass,tpad=stop={clip.num_frames}:stop_mode=clone,"
        # not -frames:v, which would end the sound as well
        f"trim=end_frame={clip.num_frames},"
        f"scale=w='max(2,iw*min(max(sar,0.25),4))':h=ih,setsar=1,"
        f"scale=w='min({KEPT_SIDE},iw)':h='min({KEPT_SIDE},ih)'"
        f":force_original_aspect_ratio=decrease:force_divisible_by=2,"
        f"{describe_conversion(clip.colours)}"
    )


def _described(written: Path, counted: int, clip: _Source) -> StoredVideo:
    """Counted and measured in the file we wrote, not believed."""
    head = run([*quiet("info"), "-f", "mov", "-i", f"file:{written}"], 30, may_fail=True)
    said = parse_description(head)
    if counted < 1 or said.picture is None or not said.picture.width:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip is damaged: it holds no picture.")
    width, height = said.picture.width, said.picture.height
    if min(width, height) < SMALLEST_SIDE:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip is too narrow to work over.")
    sent = max(1, round(clip.picture.width * clip.picture.pixel_shape)), clip.picture.height
    if (width > height) != (sent[0] > sent[1]):  # it was turned upright
        sent = sent[1], sent[0]
    return StoredVideo(
        id=hashlib.sha256(written.read_bytes()).hexdigest(),
        width=width,
        height=height,
        fps=float(clip.rate),
        num_frames=counted,
        channels=said.sound.channels if said.sound else 0,
        sent_size=sent,
        sent_fps=clip.sent_fps,
        sent_channels=clip.sound.channels if clip.sound else 0,
        sent_hdr=clip.colours.hdr,
        lost_sound=clip.lost_sound,
    )
