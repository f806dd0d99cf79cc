"""Removes metadata from an image file before a decoder sees it: only pixels and colours stay.

Pillow parses metadata eagerly, in Python: a PNG of 1 MB whose EXIF refers to the same megabyte
60,000 times used up all memory, and a JPEG of 100 kB with 300 scans took nine seconds. So chunks
and segments are walked and counted here, and of the metadata only the orientation is read. Of a GIF
or TIFF only the first image is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from media.nclx import Nclx
from media.strip_tiff import first_tiff_page

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT", b"IEND"})
EXIF, ICC = b"Exif\0\0", b"ICC_PROFILE\0"
ORIENTATION, SHORT = 0x0112, 3

MAX_PARTS = 20_000
"""Chunks or segments. Encoders write them in 8 kB and more; many tiny ones only cost time."""
MAX_SCANS = 64
"""Scans of a progressive JPEG; encoders make about ten."""
MAX_ENTRIES = 500
MAX_EXIF_BYTES = 1_000_000
MAX_GIF_BLOCKS = 500_000
"""Of up to 255 bytes each."""

APP0, APP1, APP2, APP14, APP15, COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
START_OF_SCAN, END = 0xDA, 0xD9
GIF_EXTENSION, GIF_CONTROL, GIF_PICTURE, GIF_END = 0x21, 0xF9, 0x2C, b";"
WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


class StrippedImage(NamedTuple):
    data: bytes
    orientation: int | None
    nclx: Nclx | None = None
    """A PNG's cICP chunk, as in macOS and HDR screenshots."""


def strip_metadata(data: bytes) -> StrippedImage:
    """Raises ValueError if the file is damaged or has too many parts."""
    if data.startswith(PNG):
        return _strip_png(data)
    if data.startswith(JPEG):
        return _strip_jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return StrippedImage(data, _webp_orientation(data))
    if data[:4] == b"GIF8":
        return StrippedImage(_first_gif_frame(data), None)
    if data[:4] in TIFF:
        return StrippedImage(
            first_tiff_page(data), None
        )  # Pillow applies its orientation tag itself
    return StrippedImage(data, None)


def _strip_png(data: bytes) -> StrippedImage:
    kept, orientation, nclx = [data[:8]], None, None
    position, count = 8, 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        count += 1
        _check_part_count(count)
        if kind == b"eXIf" and orientation is None:
            orientation = read_orientation(data[position + 8 : end - 4])
        if kind == b"cICP" and length == 4 and end <= len(data):
            nclx = Nclx(data[position + 8], data[position + 9])
        if kind in PNG_KEPT:
            kept.append(data[position:end])
        if kind == b"IEND":
            break
        position = end
    return StrippedImage(b"".join(kept), orientation, nclx)


def _strip_jpeg(data: bytes) -> StrippedImage:
    kept, orientation = [data[:2]], None
    position = 2
    for count, (marker, start, end) in enumerate(_segments(data)):
        _check_part_count(count)
        body = data[start + 4 : end]
        if marker == APP1 and orientation is None and body.startswith(EXIF):
            orientation = read_orientation(body[len(EXIF) :])
        is_note = (APP0 < marker <= APP15 and marker != APP14) or marker == COMMENT
        if not is_note or (marker == APP2 and body.startswith(ICC)):
            kept.append(data[start:end])
        position = end
    pixels = data[position:]
    if (end := pixels.find(b"\xff\xd9")) >= 0:
        pixels = pixels[: end + 2]
    if pixels.count(b"\xff\xda") > MAX_SCANS:
        raise ValueError("too many scans")
    return StrippedImage(b"".join(kept) + pixels, orientation)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields (marker, start, end) of each segment before the pixels."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise ValueError("missing marker")
        marker = data[position + 1]
        if marker in (START_OF_SCAN, END):
            return
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker == 0 or marker in WITHOUT_LENGTH:
            raise ValueError("unexpected marker")
        end = position + 2 + struct.unpack_from(">H", data, position + 2)[0]
        if end < position + 4:
            raise ValueError("segment shorter than its header")
        yield marker, position, end
        position = end


def _webp_orientation(data: bytes) -> int | None:
    position, count = 12, 0
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        count += 1
        _check_part_count(count)
        if kind == b"EXIF":
            return read_orientation(data[position + 8 : position + 8 + length].removeprefix(EXIF))
        position += 8 + length + length % 2
    return None


def _first_gif_frame(data: bytes) -> bytes:
    """Header, first frame, and the control block that names its transparent colour."""
    try:
        position = 13 + _gif_table_bytes(data[10])
        kept, control = data[:position], b""
        for _ in range(MAX_PARTS):
            if data[position] == GIF_PICTURE:
                start = position + 10 + _gif_table_bytes(data[position + 9]) + 1
                end = _gif_blocks_end(data, start)
                return kept + control + data[position:end] + GIF_END
            if data[position] != GIF_EXTENSION:
                break
            end = _gif_blocks_end(data, position + 2)
            if data[position + 1] == GIF_CONTROL:
                control = data[position:end]
            position = end
    except IndexError:
        pass
    raise ValueError("no image")


def _gif_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_blocks_end(data: bytes, position: int) -> int:
    for _ in range(MAX_GIF_BLOCKS):
        if data[position] == 0:
            return position + 1
        position += data[position] + 1
    raise ValueError("too many parts")


def read_orientation(exif: bytes) -> int | None:
    """The orientation, 1 to 8, from the first EXIF directory; None if it is missing or damaged."""
    exif = exif[:MAX_EXIF_BYTES].removeprefix(EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is None:
            return None
        (position,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, position)
        for n in range(min(entries, MAX_ENTRIES)):
            entry = struct.unpack_from(f"{order}HHIH", exif, position + 2 + 12 * n)
            tag, kind, count, value = entry
            if (tag, kind, count) == (ORIENTATION, SHORT, 1):
                return value if 1 <= value <= 8 else None
    except struct.error:
        pass
    return None


def _check_part_count(parts: int) -> None:
    if parts > MAX_PARTS:
        raise ValueError("too many parts")
