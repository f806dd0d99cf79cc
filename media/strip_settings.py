"""Copies a finished clip without the settings that are written in its file."""

from __future__ import annotations

import subprocess
from pathlib import Path

from errors import ErrorCode, KinoraError
from media import mp4
from media.ffmpeg import DISK_FULL, base_command
from media.stills import DEMUXERS

MUXERS = {".mp4": ("-movflags", "+faststart", "-f", "mp4"), ".webm": ("-f", "webm")}
TIMEOUT_S = 120.0


def copy_without_settings(clip: Path, target: Path, size: tuple[int, int]) -> None:
    """The same pictures and sound, packet by packet, and no other text or data. `size` is the
    width and height that the clip declares.

    Raises KinoraError(ENCODE | OUT_OF_DISK)."""
    muxer = MUXERS.get(clip.suffix, ("-f", "gif"))
    command = [
        *base_command(),
        *("-protocol_whitelist", "file", "-f", DEMUXERS[clip.suffix], "-i", f"file:{clip}"),
        *("-map", "0:v:0", "-map", "0:a:0?", "-map_metadata", "-1", "-map_chapters", "-1"),
        *("-c", "copy", "-fflags", "+bitexact", *muxer, f"file:{target}"),
    ]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603  # our own file, no shell
    if done.returncode or not target.is_file():
        output = done.stderr[-2000:].decode("utf-8", "replace")
        code = ErrorCode.OUT_OF_DISK if DISK_FULL.search(output) else ErrorCode.ENCODE
        raise KinoraError(code) from RuntimeError(f"ffmpeg: {output}")
    width, height = size
    if clip.suffix == ".mp4" and (width % 2 or height % 2):
        mp4.declare_size(target, width, height)  # ffmpeg writes the coded size
