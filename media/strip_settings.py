"""Copies a finished clip or its poster without what is written in the file about its making, but
with the tags that say that it is generated, if it has them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from PIL import Image

from errors import ErrorCode, KinoraError
from media import mp4
from media.ffmpeg import DISK_FULL, base_command
from media.provenance import plain_tags
from media.provenance.generated_mark import is_marked_as_generated
from media.stills import DEMUXERS

MUXERS = {".mp4": ("-movflags", "+faststart", "-f", "mp4"), ".webm": ("-f", "webm")}
LOOP = b"\x0bNETSCAPE2.0"
"""The only application extension of a GIF that matters for how it is shown."""
EXTENSION, APPLICATION, COMMENT, TRAILER = 0x21, 0xFF, 0xFE, 0x3B
TIMEOUT_S = 120.0


def copy_without_settings(clip: Path, target: Path, size: tuple[int, int]) -> None:
    """The same pictures and sound, packet by packet, and no other text or data but the plain tags.
    `size` is the width and height that the clip declares.

    Raises KinoraError(ENCODE | OUT_OF_DISK)."""
    is_generated = is_marked_as_generated(clip)
    if clip.suffix == ".gif":
        # not by ffmpeg: it copies what follows an XMP extension wrongly
        target.write_bytes(_plain_gif(clip.read_bytes()))
        if is_generated:
            plain_tags.tag_gif(target)
        return
    tags = plain_tags.ffmpeg_tags(clip.suffix.removeprefix(".")) if is_generated else {}
    command = [
        *base_command(),
        *("-protocol_whitelist", "file", "-f", DEMUXERS[clip.suffix], "-i", f"file:{clip}"),
        *("-map", "0:v:0", "-map", "0:a:0?", "-map_metadata", "-1", "-map_chapters", "-1"),
        *(part for name, text in tags.items() for part in ("-metadata", f"{name}={text}")),
        *("-c", "copy", "-fflags", "+bitexact", *MUXERS[clip.suffix], f"file:{target}"),
    ]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603  # our own file, no shell
    if done.returncode or not target.is_file():
        output = done.stderr[-2000:].decode("utf-8", "replace")
        code = ErrorCode.OUT_OF_DISK if DISK_FULL.search(output) else ErrorCode.ENCODE
        raise KinoraError(code) from RuntimeError(f"ffmpeg: {output}")
    width, height = size
    if clip.suffix == ".mp4" and (width % 2 or height % 2):
        mp4.declare_size(target, width, height)  # ffmpeg writes the coded size
    if clip.suffix == ".mp4" and is_generated:
        plain_tags.tag_mp4(target)


def _plain_gif(data: bytes) -> bytes:
    """Without comments and without application extensions but that of the loop (GIF89a)."""
    at = 13 + _table_bytes(data[10])
    parts = [data[:at]]
    while data[at] != TRAILER:
        start, kind = at, data[at + 1]
        if data[at] == EXTENSION:
            at += 2
        else:
            at += 11 + _table_bytes(data[at + 9])  # with the code size of LZW
        while data[at]:
            at += 1 + data[at]
        at += 1
        is_text = data[start] == EXTENSION and (
            kind == COMMENT or (kind == APPLICATION and not data.startswith(LOOP, start + 2))
        )
        if not is_text:
            parts.append(data[start:at])
    return b"".join([*parts, bytes([TRAILER])])


def _table_bytes(flags: int) -> int:
    """Size of the color table that these flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def copy_poster_without_settings(poster: Path, target: Path) -> None:
    """The same JPEG data without Content Credentials and other segments, but with the plain tag."""
    with Image.open(poster) as picture:
        picture.save(target, "JPEG", quality="keep")
    if is_marked_as_generated(poster):
        plain_tags.tag_jpeg(target)
