"""Stores the files that operations read beside the clips: sound, LUTs, subtitles.

Sound is decoded with the precautions of `media/videos.py` and stored as FLAC; texts are stored as
UTF-8. What a text means is checked by the operation that reads it.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from errors import ErrorCode, KinoraError, megabytes
from media.ffmpeg import SOUND_RATE_HZ
from media.files import atomic_write
from media.probe import AUDIO_DECODERS, describe, run_ffmpeg, untrusted_input
from media.videos import DECODE_SLOTS, IMAGE_FILES

AttachmentKind = Literal["sound", "lut", "subtitles"]
SUFFIXES: dict[AttachmentKind, str] = {"sound": ".flac", "lut": ".cube", "subtitles": ".vtt"}

MAX_SOUND_S = 1800.0
MAX_TEXT_BYTES: dict[AttachmentKind, int] = {"lut": 16_000_000, "subtitles": 2_000_000}
TIMEOUT_S = 120.0
MAX_CHANNELS = 2
MAX_COVER_PIXELS = 100_000_000
"""Of the picture in a sound file, which is not decoded."""

SOUND_DEMUXERS = {
    "wav": re.compile(rb"RIFF....WAVE", re.DOTALL),
    "flac": re.compile(rb"fLaC"),
    "ogg": re.compile(rb"OggS"),
    "mov": re.compile(rb"....ftyp", re.DOTALL),
    "matroska": re.compile(rb"\x1aE\xdf\xa3"),
    "aac": re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"),
    "mp3": re.compile(rb"ID3|\xff[\xe2-\xef\xf2-\xf7\xfa-\xff]"),
}
CONTAINERS = ("mov", "matroska")
LUT = re.compile(r"^\s*LUT_[13]D_SIZE\s", re.MULTILINE)
UNKNOWN = (
    "This file is of no kind that an operation reads. Send a sound (MP3, WAV, FLAC, M4A or Ogg), "
    "a LUT (.cube) or subtitles (.srt or .vtt)."
)


def detect_kind(source: Path) -> AttachmentKind | Literal["clip", "picture"]:
    """By what is in the file. An MP4 or a WebM is a clip if it has pictures, else a sound. Raises
    KinoraError(INVALID_INPUT)."""
    with source.open("rb") as file:
        head = file.read(1 << 16)
    if any(magic.match(head) for magic in IMAGE_FILES.values()):
        return "picture"
    demuxer = _demuxer(head)
    if demuxer in CONTAINERS:
        found = describe(source, demuxer, MAX_SOUND_S, MAX_COVER_PIXELS, TIMEOUT_S)
        return "clip" if found.picture else "sound"
    if demuxer:
        return "sound"
    text = _decoded(head)
    if text is not None and LUT.search(text):
        return "lut"
    if text is not None and "-->" in text:
        return "subtitles"
    raise KinoraError(ErrorCode.INVALID_INPUT, UNKNOWN)


def store_attachment(source: Path, kind: AttachmentKind, folder: Path, max_bytes: int) -> str:
    """Stores the file as `folder/<id>` with the suffix of its kind; returns the id, the SHA-256 of
    what is stored. Raises KinoraError(INVALID_INPUT | TOO_LARGE | OUT_OF_DISK)."""
    most = MAX_TEXT_BYTES.get(kind, max_bytes)
    if source.stat().st_size > most:
        sentence = f"The file is larger than {megabytes(most)} MB. Use a smaller one."
        raise KinoraError(ErrorCode.TOO_LARGE, sentence)
    folder.mkdir(parents=True, exist_ok=True)
    if kind != "sound":
        text = _decoded(source.read_bytes())
        if text is None:
            raise KinoraError(ErrorCode.INVALID_INPUT, UNKNOWN)
        data = text.encode()
        name = hashlib.sha256(data).hexdigest()
        return _store(name, kind, folder, lambda part: part.write_bytes(data))
    with DECODE_SLOTS, tempfile.TemporaryDirectory(dir=folder, suffix=".part") as place:
        flac = Path(place).absolute() / "sound.flac"
        _decode_sound(source, flac)
        name = hashlib.sha256(flac.read_bytes()).hexdigest()
        return _store(name, kind, folder, flac.replace)


def _decode_sound(source: Path, target: Path) -> None:
    with source.open("rb") as file:
        demuxer = _demuxer(file.read(16))
    if demuxer is None:
        raise KinoraError(ErrorCode.INVALID_INPUT, UNKNOWN)
    how_to_read = (demuxer, MAX_SOUND_S, MAX_COVER_PIXELS)
    track = describe(source, *how_to_read, TIMEOUT_S).sound
    if track is None:
        raise KinoraError(ErrorCode.INVALID_INPUT, "This file has no sound. Use another one.")
    if not track.is_readable:
        sentence = f"The sound is encoded as {track.codec}. Use an MP3, WAV, FLAC or M4A."
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence)
    try:
        run_ffmpeg(
            [
                *untrusted_input(source, *how_to_read, "error", ",".join(AUDIO_DECODERS)),
                *("-map", f"0:{track.index}", "-vn", "-sn", "-dn", "-map_metadata", "-1"),
                *("-af", "aresample=async=1:first_pts=0", "-ar", str(SOUND_RATE_HZ)),
                *("-ac", str(max(1, min(track.channels, MAX_CHANNELS)))),
                *("-sample_fmt", "s16", "-c:a", "flac", "-fflags", "+bitexact"),
                *("-flags:a", "+bitexact", "-f", "flac", f"file:{target}"),
            ],
            TIMEOUT_S,
        )
    except KinoraError as error:
        if error.code is not ErrorCode.INVALID_VIDEO:
            raise
        sentence = "This sound is damaged, or takes too long to read. Use another file."
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence) from error


def _demuxer(head: bytes) -> str | None:
    return next((name for name, magic in SOUND_DEMUXERS.items() if magic.match(head)), None)


def _decoded(data: bytes) -> str | None:
    """None for what is no text. Subtitles are often in a Western encoding of before Unicode."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", "replace")
    return None if "\0" in text else text


def _store(name: str, kind: AttachmentKind, folder: Path, write: Callable[[Path], object]) -> str:
    path = folder / f"{name}{SUFFIXES[kind]}"
    if not path.exists():
        with atomic_write(path) as part:
            write(part)
    return name
