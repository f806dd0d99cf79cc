"""Clips from strangers: measured, decoded with care, and kept as plain H.264 files without sound.

Knows containers, codecs and limits. Does not know who sent a clip or what it is for.

ffmpeg sees a stranger's file under a forced container, with a short list of decoders, no protocol
but `file`, a ceiling on pixels, seconds and single allocations, and a clock. Everything after that
(the page, the worker) only ever sees the file that was written here.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, cast

import imageio_ffmpeg
import numpy as np
from PIL import Image

from errors import ErrorCode, KinoraError
from media.encode import BT709
from media.files import whole
from media.images import crop_to
from pipelines.request import Focus

KEPT_SIDE = 1280
"""Larger clips are reduced to this: no model here works over more."""
KEPT_FPS = 60
SMALLEST_SIDE = 16
USUAL_FPS = 30.0
"""For a file that does not say how fast it runs."""

DEMUXERS = {"mov": re.compile(rb"....ftyp", re.DOTALL), "matroska": re.compile(rb"\x1aE\xdf\xa3")}
DECODERS = "h264,hevc,vp8,vp9,libdav1d,mpeg4"
"""ffmpeg has 500; none of the others ever sees a stranger's bytes, and no sound is decoded."""
MAX_ALLOC = 512 * 1024 * 1024

CENTRE = Focus()
AT_ONCE = threading.BoundedSemaphore(2)
"""Clips decoded at the same time: many givers wait for each other, not the machine for them."""

VIDEO_LINE = re.compile(r"^  Stream #0:\d+[^\n]*?: Video: (\w+)([^\n]*)", re.MULTILINE)
DURATION_LINE = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
SIZE = re.compile(r", (\d+)x(\d+)[ ,\n]")
FPS = re.compile(r", ([\d.]+)(k?) fps")
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
    """`id` is the SHA-256 of the stored file; the figures are the stored, upright ones."""

    id: str
    width: int
    height: int
    fps: float
    num_frames: int

    @property
    def seconds(self) -> float:
        return self.num_frames / self.fps


def store_video(
    source: Path, folder: Path, limits: VideoLimits = VideoLimits(), *, sound: bool = False
) -> StoredVideo:
    """Keeps a clip as `folder/<id>.mp4`, its figures beside it. The same bytes, the same id.

    `sound` keeps the sound, as it is: for clips that were made here, and no others."""
    # 1. What it is and says of itself, read from its head
    size_bytes = source.stat().st_size
    if size_bytes > limits.max_bytes:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip is {size_bytes / 2**20:.1f} MB; at most {limits.max_bytes / 2**20:.0f} MB "
            "are accepted.",
        )
    demuxer = _demuxer_of(source)
    said = _run(_reading(source, demuxer, limits), limits.timeout_s, may_fail=True)
    fps = _checked(said, limits)

    # 2. Its pictures, decoded under the same limits whatever it said, and written anew
    folder.mkdir(parents=True, exist_ok=True)
    with AT_ONCE, tempfile.TemporaryDirectory(dir=folder, suffix=".part") as place:
        written = Path(place) / "clip.mp4"
        told = _run(
            [
                *_reading(source, demuxer, limits),
                *("-map", "0:v:0", *(("-map", "0:a:0?", "-c:a", "copy") if sound else ("-an",))),
                *("-sn", "-dn", "-map_metadata", "-1"),
                *("-map_chapters", "-1", "-vf", _plain(fps), "-threads", "2"),
                *("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-g", "30"),
                *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"),
                *("-progress", "pipe:1", "-nostats", "-f", "mp4", f"file:{written}"),
            ],
            limits.timeout_s,
        )
        # 3. What was written, under the name of its content
        stored = _described(written, told, limits)
        path = folder / f"{stored.id}.mp4"
        with whole(path.with_suffix(".json")) as part:
            part.write_text(json.dumps(asdict(stored)), encoding="utf-8")
        if not path.exists():
            with whole(path) as part:
                written.replace(part)
    return stored


def find_video(video_id: str, folder: Path) -> StoredVideo:
    """The figures of a clip that was stored here."""
    path = folder / f"{video_id}.json"
    if re.fullmatch(r"[0-9a-f]{64}", video_id) and path.with_suffix(".mp4").is_file():
        try:
            return StoredVideo(**json.loads(path.read_text(encoding="utf-8")))
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
    rgb = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int,format=rgb24"
    command = [
        *_quiet(),
        *("-protocol_whitelist", "file,pipe", "-f", "mov", "-i", f"file:{path}"),
        *("-map", "0:v:0", "-vf", f"fps={fps}:round=near,{rgb}", "-frames:v", str(count)),
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
    for name, magic in DEMUXERS.items():
        if magic.match(head):
            return name
    what = "a GIF" if head.startswith(b"GIF8") else None
    raise KinoraError(
        ErrorCode.INVALID_VIDEO, f"This is {what}. Use an MP4 or WebM." if what else None
    )


def _reading(source: Path, demuxer: str, limits: VideoLimits) -> list[str]:
    return [
        *_quiet("info"),
        *("-max_alloc", str(MAX_ALLOC), "-protocol_whitelist", "file", "-f", demuxer),
        *("-codec_whitelist", DECODERS, "-max_pixels", str(limits.max_pixels)),
        *("-max_streams", "20", "-threads", "2", "-t", f"{limits.max_seconds:g}"),
        *("-i", f"file:{source}"),
    ]


def _quiet(level: str = "error") -> tuple[str, ...]:
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    return (ffmpeg, "-hide_banner", "-loglevel", level, "-nostdin", "-y")


def _checked(said: str, limits: VideoLimits) -> float:
    """Its frames per second, once codec, size and length are known to be acceptable."""
    stream = VIDEO_LINE.search(said)
    if stream is None:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "There is no picture track in this clip.")
    codec, rest = stream.groups()
    if codec not in ("h264", "hevc", "vp8", "vp9", "av1", "mpeg4"):
        raise KinoraError(
            ErrorCode.INVALID_VIDEO,
            f"This clip is coded as {codec}. Use an MP4 with H.264 or a WebM.",
        )
    size = SIZE.search(rest + "\n")
    if size is None:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip does not say how large it is.")
    width, height = int(size[1]), int(size[2])
    if width * height > limits.max_pixels:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip is {width} x {height}; at most {limits.max_pixels / 1e6:.1f} megapixels "
            "are accepted. Make it smaller first.",
        )
    if (duration := DURATION_LINE.search(said)) is not None:
        hours, minutes, seconds = duration.groups()
        lasts = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        if lasts > limits.max_seconds + 0.5:
            raise KinoraError(
                ErrorCode.TOO_LARGE,
                f"The clip lasts {lasts:.0f} s; at most {limits.max_seconds:g} s are accepted. "
                "Cut it first.",
            )
    found = FPS.search(rest)
    fps = float(found[1]) * (1000 if found[2] else 1) if found else USUAL_FPS
    return min(max(fps, 1.0), KEPT_FPS)


def _plain(fps: float) -> str:
    """Square pixels, an even pace, at most the kept size, colours as BT.709."""
    return (
        f"fps={fps:g},scale=w='max(2,iw*min(max(sar,0.25),4))':h=ih,setsar=1,"
        f"scale=w='min({KEPT_SIDE},iw)':h='min({KEPT_SIDE},ih)'"
        f":force_original_aspect_ratio=decrease:force_divisible_by=2,{BT709}"
    )


def _described(written: Path, told: str, limits: VideoLimits) -> StoredVideo:
    """Counted and measured in the file we wrote, not believed."""
    counted = FRAMES_WRITTEN.findall(told)
    said = _run([*_quiet("info"), "-f", "mov", "-i", f"file:{written}"], 30, may_fail=True)
    stream = VIDEO_LINE.search(said)
    size = SIZE.search(stream[2] + "\n") if stream else None
    if not counted or int(counted[-1]) < 1 or size is None:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip is damaged: it holds no picture.")
    width, height = int(size[1]), int(size[2])
    if min(width, height) < SMALLEST_SIDE:
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip is too narrow to work over.")
    found = FPS.search(stream[2]) if stream else None
    return StoredVideo(
        id=hashlib.sha256(written.read_bytes()).hexdigest(),
        width=width,
        height=height,
        fps=float(found[1]) if found else USUAL_FPS,
        num_frames=int(counted[-1]),
    )


def _run(command: list[str], timeout_s: float, *, may_fail: bool = False) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own words and numbers, and no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise KinoraError(
            ErrorCode.INVALID_VIDEO, "This clip takes too long to read. Make it shorter or smaller."
        ) from error
    said = done.stdout[-200_000:].decode("utf-8", "replace")
    if re.search("No space left on device|Disk quota exceeded", said):
        raise KinoraError(ErrorCode.OUT_OF_DISK)
    if done.returncode and not may_fail:
        cause = RuntimeError(f"ffmpeg: {said[-2000:]}")
        raise KinoraError(ErrorCode.INVALID_VIDEO, "This clip is damaged.") from cause
    return said
