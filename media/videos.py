"""Transcodes untrusted clips to plain H.264 with lossless sound, and reads the stored clips.

ffmpeg opens an upload with a fixed container, a short list of decoders, no protocol but `file`, a
time limit, and limits on pixels, seconds and single allocations. The page and the workers only ever
see the file that is written here: upright, square pixels, SDR BT.709, a constant frame rate that
keeps each picture at its time, sound that starts with the first frame.
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

from errors import ErrorCode, KinoraError, megabytes
from media.colours import Colours, decide_colours, describe_conversion, write_tables
from media.ffmpeg import SOUND_RATE_HZ, base_command
from media.files import atomic_write
from media.images import crop_to
from media.probe import (
    AudioTrack,
    Description,
    Timing,
    VideoTrack,
    describe,
    parse_description,
    read_timing,
    run_ffmpeg,
    untrusted_input,
)
from media.provenance.generated_mark import is_marked_as_generated
from media.provenance.plain_tags import append_xmp
from media.rates import MAX_FPS, choose_rate
from pipelines.request import Focus

MAX_STORED_SIDE = 1280
"""Larger clips are scaled down to this: no model here takes more."""
MIN_SIDE = 16
MAX_CHANNELS = 2
MIN_HOLD_S = Fraction(1, 10)
"""If the sound is longer than the pictures by more than this, the last picture is held until the
sound ends. Smaller differences are encoders padding the last audio packet."""

DEMUXERS = {
    # old QuickTime files have no `ftyp`
    "mov": re.compile(rb"....(ftyp|moov|mdat|wide|free|skip|pnot)", re.DOTALL),
    "matroska": re.compile(rb"\x1aE\xdf\xa3"),
}
IMAGE_FILES = {
    "an AVIF picture": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "an HEIC picture": re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.DOTALL),
    "a PNG picture": re.compile(rb"\x89PNG"),
    "a JPEG picture": re.compile(rb"\xff\xd8\xff"),
    "a WebP picture": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
OTHER_CONTAINERS = {
    "This is a GIF.": re.compile(rb"GIF8"),
    "This is an AVI file.": re.compile(rb"RIFF....AVI ", re.DOTALL),
    "This is a Windows Media file.": re.compile(rb"\x30\x26\xb2\x75"),
    "This is a Flash video.": re.compile(rb"FLV\x01"),
    "This is an MPEG program stream.": re.compile(rb"\0\0\x01\xba"),
    "This is an MPEG transport stream.": re.compile(rb"\x47.{3}|.{4}\x47", re.DOTALL),
    "This is an Ogg file.": re.compile(rb"OggS"),
}
CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4")

CENTRE = Focus()
DECODE_SLOTS = threading.BoundedSemaphore(2)
"""Clips decoded at the same time; further uploads wait, so that they cannot occupy all cores."""

FRAMES_WRITTEN = re.compile(r"^frame=\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class VideoLimits:
    """Checked before anything is decoded."""

    max_bytes: int = 100_000_000
    max_pixels: int = 3840 * 2160
    max_seconds: float = 60.0
    timeout_s: float = 120.0
    max_side: int = MAX_STORED_SIDE
    """Larger clips are stored in this size."""
    max_fps: int = MAX_FPS
    """Of a faster clip, only one of several frames is read."""
    reads_gif: bool = False
    """For files of our own: an upload is no GIF."""


@dataclass(frozen=True)
class StoredVideo:
    """`id` is the SHA-256 of the stored file. Size, rate and length are those of the stored clip;
    the `sent_` fields are those of the uploaded file. Stored as JSON beside the clip."""

    id: str
    width: int
    height: int
    fps: float
    num_frames: int
    channels: int = 0
    """Audio channels; 0 without sound."""
    sent_size: tuple[int, int] | None = None
    sent_fps: float | None = None
    sent_channels: int = 0
    sent_hdr: str | None = None
    """HLG or PQ."""
    lost_sound: str | None = None
    """The codec of an audio track that could not be decoded."""

    @property
    def seconds(self) -> float:
        return self.num_frames / self.fps


@dataclass(frozen=True)
class InspectedVideo:
    """An uploaded file that passed the checks, and how to decode it."""

    path: Path
    demuxer: str
    limits: VideoLimits
    picture: VideoTrack
    sound: AudioTrack | None
    lost_sound: str | None
    colours: Colours
    rate: Fraction
    num_frames: int
    sent_fps: float
    longest_gap_s: Fraction | None
    """Between two frames; None if the file has no timestamps."""


def store_video(
    source: Path, folder: Path, limits: VideoLimits = VideoLimits(), *, sound: bool = True
) -> StoredVideo:
    """Stores an upload as `folder/<id>.mp4` with `<id>.json` beside it. Equal files get equal ids.

    Without `sound`, audio is not decoded at all. Raises KinoraError(INVALID_VIDEO | TOO_LARGE |
    OUT_OF_DISK).
    """
    # 1. Read header and timestamps, check the limits
    size_bytes = source.stat().st_size
    if size_bytes > limits.max_bytes:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip is {megabytes(size_bytes)} MB; at most {megabytes(limits.max_bytes)} MB are "
            "accepted.",
        )
    clip = inspect_video(source, limits, sound)

    # 2. Transcode, under the same limits whatever the header says
    folder.mkdir(parents=True, exist_ok=True)
    with DECODE_SLOTS, tempfile.TemporaryDirectory(dir=folder, suffix=".part") as place:
        output = Path(place).absolute() / "clip.mp4"
        write_tables(clip.colours, output.parent)
        try:
            num_frames = _transcode(clip, output)
        except KinoraError as error:
            if clip.sound is None or error.code is not ErrorCode.INVALID_VIDEO:
                raise
            clip = replace(
                clip, sound=None, lost_sound=clip.sound.codec
            )  # maybe only the sound is damaged
            num_frames = _transcode(clip, output)
        if is_marked_as_generated(source):  # the output has none of the upload's tags
            append_xmp(output)
        # 3. Store the output under its hash
        stored = _describe_output(output, num_frames, clip)
        path = folder / f"{stored.id}.mp4"
        with atomic_write(path.with_suffix(".json")) as part:
            part.write_text(json.dumps(asdict(stored)), encoding="utf-8")
        if not path.exists():
            with atomic_write(path) as part:
                output.replace(part)
    return stored


def find_video(video_id: str, folder: Path) -> StoredVideo:
    """Reads the stored figures of a clip. Raises KinoraError(NOT_FOUND)."""
    path = folder / f"{video_id}.json"
    if re.fullmatch(r"[0-9a-f]{64}", video_id) and path.with_suffix(".mp4").is_file():
        try:
            figures = json.loads(path.read_text(encoding="utf-8"))
            size = figures.get("sent_size")
            return StoredVideo(**figures | {"sent_size": tuple(size) if size else None})
        except (OSError, ValueError, TypeError):
            pass
    raise KinoraError(ErrorCode.NOT_FOUND, "This clip is no longer available. Add it again.")


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
    """The start of a clip at another rate and size; the last image is repeated if it is short."""
    stored = find_video(video_id, folder)
    frames: list[Image.Image] = []
    for picture in read_images(folder / f"{video_id}.mp4", stored, fps, num_frames):
        frames.append(crop_to(picture, width, height, focus))
    if not frames:
        raise KinoraError(ErrorCode.INVALID_VIDEO)
    frames += [frames[-1]] * (num_frames - len(frames))
    return tuple(frames)


def read_images(path: Path, stored: StoredVideo, fps: int, count: int) -> Iterator[Image.Image]:
    """Yields up to `count` images of a stored clip at `fps`, one at a time to save memory."""
    size = stored.width * stored.height * 3
    # round=up: image n is the one shown at n / fps, also if the clip is one image long
    rgb = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int,format=rgb24"
    command = [
        *base_command(),
        *("-protocol_whitelist", "file,pipe", "-f", "mov", "-i", f"file:{path}"),
        *("-map", "0:v:0", "-vf", f"fps={fps}:round=up,{rgb}", "-frames:v", str(count)),
        *("-f", "rawvideo", "pipe:1"),
    ]
    with subprocess.Popen(  # noqa: S603 - our own arguments, no shell
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as ffmpeg:
        try:
            pipe = cast(BinaryIO, ffmpeg.stdout)
            while len(data := pipe.read(size)) == size:
                pixels = np.frombuffer(data, np.uint8).reshape(stored.height, stored.width, 3)
                yield Image.fromarray(pixels)
        finally:
            ffmpeg.kill()


def _choose_demuxer(source: Path, limits: VideoLimits) -> str:
    with source.open("rb") as file:
        head = file.read(16)
    if limits.reads_gif and head.startswith(b"GIF8"):
        return "gif"
    for kind, magic in IMAGE_FILES.items():
        if magic.match(head):
            raise KinoraError(
                ErrorCode.INVALID_VIDEO,
                f"This is {kind}, not a clip. Add it as a picture instead, or use an MP4 or WebM.",
            )
    for name, magic in DEMUXERS.items():
        if magic.match(head):
            return name
    found = next((said for said, magic in OTHER_CONTAINERS.items() if magic.match(head)), None)
    sentence = " ".join((found, "Use an MP4 or WebM.")) if found else None
    raise KinoraError(ErrorCode.INVALID_VIDEO, sentence)


def inspect_video(source: Path, limits: VideoLimits, with_sound: bool) -> InspectedVideo:
    """Reads header and timestamps, no frames. Raises KinoraError(INVALID_VIDEO | TOO_LARGE)."""
    demuxer = _choose_demuxer(source, limits)
    how_to_read = (demuxer, limits.max_seconds, limits.max_pixels, limits.timeout_s)
    description = describe(source, *how_to_read)
    picture = _check_limits(description, limits)
    colours = decide_colours(
        picture.pix_fmt, *picture.tags, codec=picture.codec, height=picture.height
    )
    sound = description.sound if with_sound else None
    readable = sound if sound and sound.is_readable else None
    tracks = picture.index, readable.index if readable else None
    timing = read_timing(source, *how_to_read, tracks)
    rate = (
        choose_rate(timing.timestamps, timing.video_end, timing.tick, picture.fps, limits.max_fps)
        if timing
        else choose_rate((), Fraction(0), Fraction(1), picture.fps, limits.max_fps)
    )
    return InspectedVideo(
        path=source,
        demuxer=demuxer,
        limits=limits,
        picture=picture,
        sound=readable,
        lost_sound=sound.codec if sound and not readable else None,
        colours=colours,
        rate=rate,
        num_frames=_count_frames(timing, description.duration_s, rate, limits),
        sent_fps=float(picture.fps) if picture.fps and picture.fps > rate else float(rate),
        longest_gap_s=timing.longest_gap_s if timing else None,
    )


def _check_limits(description: Description, limits: VideoLimits) -> VideoTrack:
    """Returns the video track if codec, size and length are acceptable.

    Raises KinoraError(INVALID_VIDEO | TOO_LARGE).
    """
    picture = description.picture
    if picture is None and not description.audio:
        sentence = "This clip is damaged or incomplete: it has no readable track."
        raise KinoraError(ErrorCode.INVALID_VIDEO, sentence)
    if picture is None:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip has no video track.")
    if picture.codec not in CODECS and not (picture.codec == "gif" and limits.reads_gif):
        raise KinoraError(
            ErrorCode.INVALID_VIDEO,
            f"This clip is encoded as {picture.codec}. Use an MP4 with H.264 or a WebM.",
        )
    width, height = picture.width, picture.height
    if not width or not height:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip does not state its size.")
    if width * height > limits.max_pixels:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip is {width} x {height}; at most {limits.max_pixels / 1e6:.1f} megapixels "
            "are accepted. Scale it down first.",
        )
    if description.duration_s is not None and description.duration_s > limits.max_seconds + 0.5:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip lasts {description.duration_s:.0f} s; at most {limits.max_seconds:g} s "
            "are accepted. Trim it first.",
        )
    if picture.dolby_vision is not None and picture.dolby_vision[1] == 0:
        raise KinoraError(
            ErrorCode.INVALID_VIDEO,
            f"This clip uses Dolby Vision profile {picture.dolby_vision[0]}, which is not "
            "supported. Export it as HDR (HLG or HDR10) or as SDR.",
        )
    return picture


def _count_frames(
    timing: Timing | None, duration_s: float | None, rate: Fraction, limits: VideoLimits
) -> int:
    """Frames at `rate` until the pictures end, or until the sound ends if that is later."""
    longest = Fraction(limits.max_seconds)
    if duration_s is not None:  # packets that an edit list cuts are still in the file
        longest = min(longest, Fraction(duration_s) + Fraction(1, 100))
    if timing is None:
        return max(1, int(longest * rate))
    end = min(max(timing.video_end, timing.timestamps[-1] + timing.tick), longest)
    if timing.video_end == timing.timestamps[-1]:  # no duration for the last frame
        end = min(timing.timestamps[-1] + 1 / rate, longest)
    audio_end = min(timing.audio_end, longest)
    if audio_end > end + MIN_HOLD_S:
        end = audio_end
    count = math.floor(end * rate + Fraction(1, 2))
    if end - timing.timestamps[-1] >= 1 / (2 * rate):  # long enough for a frame of its own
        count = max(count, math.floor(timing.timestamps[-1] * rate + Fraction(1, 2)) + 1)
    return max(1, min(count, math.ceil(longest * rate)))


def _transcode(clip: InspectedVideo, output: Path) -> int:
    """Decodes, converts and encodes; returns the number of frames written."""
    limits, sound = clip.limits, clip.sound
    sound_options: list[str] = ["-an"]
    if sound is not None:
        sound_options = [
            # fills gaps and a late start with silence, so that sound and pictures stay in sync
            *("-map", f"0:{sound.index}", "-af", "aresample=async=1:first_pts=0"),
            *("-ac", str(min(sound.channels, MAX_CHANNELS)), "-ar", str(SOUND_RATE_HZ)),
            *("-sample_fmt", "s16", "-c:a", "flac", "-strict", "experimental"),
            *("-flags:a", "+bitexact"),
        ]
    progress = run_ffmpeg(
        [
            *untrusted_input(clip.path, clip.demuxer, limits.max_seconds, limits.max_pixels),
            *("-map", f"0:{clip.picture.index}", "-vf", _build_filters(clip)),
            *(
                *sound_options,
                "-sn",
                "-dn",
                "-map_metadata",
                "-1",
                "-map_chapters",
                "-1",
                "-threads",
                "2",
            ),
            *("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-g", "30"),
            *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"),
            *("-progress", "pipe:1", "-nostats", "-f", "mp4", f"file:{output}"),
        ],
        limits.timeout_s,
        folder=output.parent,
    )
    counts = FRAMES_WRITTEN.findall(progress)
    return int(counts[-1]) if counts else 0


def _build_filters(clip: InspectedVideo) -> str:
    """Constant rate, square pixels, no side above the limit, BT.709 colours."""
    side = clip.limits.max_side
    return (
        f"fps={clip.rate}:round=near:start_time=0:eof_action=pass,tpad=stop={clip.num_frames}:stop_mode=clone,"
        # not -frames:v, which would end the sound as well
        f"trim=end_frame={clip.num_frames},"
        f"scale=w='max(2,iw*min(max(sar,0.25),4))':h=ih,setsar=1,"
        f"scale=w='min({side},iw)':h='min({side},ih)'"
        f":force_original_aspect_ratio=decrease:force_divisible_by=2,"
        f"{describe_conversion(clip.colours)}"
    )


def _describe_output(output: Path, num_frames: int, clip: InspectedVideo) -> StoredVideo:
    """Measures the file we wrote instead of trusting the uploaded header."""
    head = run_ffmpeg(
        [*base_command("info"), "-f", "mov", "-i", f"file:{output}"], 30, may_fail=True
    )
    description = parse_description(head)
    if num_frames < 1 or description.picture is None or not description.picture.width:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip is damaged: it contains no frames.")
    width, height = description.picture.width, description.picture.height
    if min(width, height) < MIN_SIDE:
        raise KinoraError(
            ErrorCode.INVALID_VIDEO,
            f"This clip is too small: both sides need at least {MIN_SIDE} pixels.",
        )
    sent = max(1, round(clip.picture.width * clip.picture.pixel_aspect)), clip.picture.height
    if (width > height) != (sent[0] > sent[1]):  # rotated upright while decoding
        sent = sent[1], sent[0]
    return StoredVideo(
        id=hashlib.sha256(output.read_bytes()).hexdigest(),
        width=width,
        height=height,
        fps=float(clip.rate),
        num_frames=num_frames,
        channels=description.sound.channels if description.sound else 0,
        sent_size=sent,
        sent_fps=clip.sent_fps,
        sent_channels=clip.sound.channels if clip.sound else 0,
        sent_hdr=clip.colours.hdr,
        lost_sound=clip.lost_sound,
    )
