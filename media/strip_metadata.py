"""A picture's file without its notes, before a decoder sees it: what is not pixels or colours goes.

Pillow reads notes eagerly, and in Python: a PNG of 1 MB whose EXIF names the same megabyte 60,000
times took all the memory there was, and a JPEG of 100 kB with 300 passes over its pixels took nine
seconds. So chunks and segments are walked and counted here, by hand, and of the notes only the
orientation is read. Of GIF and TIFF only the first
picture is kept. Knows the containers; decodes nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from media.nclx import Nclx
from media.strip_tiff import first_tiff_picture

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"IDAT", b"IEND"})
EXIF, ICC = b"Exif\0\0", b"ICC_PROFILE\0"
ORIENTATION, SHORT = 0x0112, 3

MOST_PARTS = 20_000
"""Encoders write pixels in parts of 8 kB and more; a file of crumbs costs more than it shows."""
MOST_PASSES = 64
"""Over the pixels of a progressive JPEG; encoders make about ten."""
MOST_ENTRIES = 500
MAX_EXIF_BYTES = 1_000_000
MOST_GIF_BLOCKS = 500_000
"""Of up to 255 bytes each."""

APP0, APP1, APP2, APP14, APP15, COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
START_OF_SCAN, END = 0xDA, 0xD9
GIF_EXTENSION, GIF_CONTROL, GIF_PICTURE, GIF_END = 0x21, 0xF9, 0x2C, b";"
WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


class Bare(NamedTuple):
    data: bytes
    orientation: int | None
    nclx: Nclx | None = None
    """A PNG's colours by number (cICP), as macOS and HDR screenshots have them."""


def bare(data: bytes) -> Bare:
    """ValueError where the file is damaged, or a maze."""
    if data.startswith(PNG):
        return _png(data)
    if data.startswith(JPEG):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Bare(data, _webp_orientation(data))
    if data[:4] == b"GIF8":
        return Bare(_first_gif_picture(data), None)
    if data[:4] in TIFF:
        return Bare(first_tiff_picture(data), None)  # Pillow turns it upright by its tag
    return Bare(data, None)


def _png(data: bytes) -> Bare:
    kept, orientation, nclx = [data[:8]], None, None
    place, count = 8, 0
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        count += 1
        _refuse_crumbs(count)
        if kind == b"eXIf" and orientation is None:
            orientation = orientation_in(data[place + 8 : end - 4])
        if kind == b"cICP" and length == 4 and end <= len(data):
            nclx = Nclx(data[place + 8], data[place + 9])
        if kind in PNG_KEPT:
            kept.append(data[place:end])
        if kind == b"IEND":
            break
        place = end
    return Bare(b"".join(kept), orientation, nclx)


def _jpeg(data: bytes) -> Bare:
    kept, orientation = [data[:2]], None
    place = 2
    for count, (marker, start, end) in enumerate(_segments(data)):
        _refuse_crumbs(count)
        body = data[start + 4 : end]
        if marker == APP1 and orientation is None and body.startswith(EXIF):
            orientation = orientation_in(body[len(EXIF) :])
        is_note = (APP0 < marker <= APP15 and marker != APP14) or marker == COMMENT
        if not is_note or (marker == APP2 and body.startswith(ICC)):
            kept.append(data[start:end])
        place = end
    pixels = data[place:]
    if (end := pixels.find(b"\xff\xd9")) >= 0:
        pixels = pixels[: end + 2]
    if pixels.count(b"\xff\xda") > MOST_PASSES:
        raise ValueError("too many passes over the pixels")
    return Bare(b"".join(kept) + pixels, orientation)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of those before the pixels."""
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            raise ValueError("no marker where one should be")
        marker = data[place + 1]
        if marker in (START_OF_SCAN, END):
            return
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == 0 or marker in WITHOUT_LENGTH:
            raise ValueError("a marker that has no place here")
        end = place + 2 + struct.unpack_from(">H", data, place + 2)[0]
        if end < place + 4:
            raise ValueError("a segment shorter than its head")
        yield marker, place, end
        place = end


def _webp_orientation(data: bytes) -> int | None:
    place, count = 12, 0
    while place + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        count += 1
        _refuse_crumbs(count)
        if kind == b"EXIF":
            return orientation_in(data[place + 8 : place + 8 + length].removeprefix(EXIF))
        place += 8 + length + length % 2
    return None


def _first_gif_picture(data: bytes) -> bytes:
    """The head, the first picture and the control block that says which of its colours is clear."""
    try:
        place = 13 + _gif_table_bytes(data[10])
        kept, control = data[:place], b""
        for _ in range(MOST_PARTS):
            if data[place] == GIF_PICTURE:
                start = place + 10 + _gif_table_bytes(data[place + 9]) + 1
                end = _gif_blocks_end(data, start)
                return kept + control + data[place:end] + GIF_END
            if data[place] != GIF_EXTENSION:
                break
            end = _gif_blocks_end(data, place + 2)
            if data[place + 1] == GIF_CONTROL:
                control = data[place:end]
            place = end
    except IndexError:
        pass
    raise ValueError("no picture where one should be")


def _gif_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_blocks_end(data: bytes, place: int) -> int:
    for _ in range(MOST_GIF_BLOCKS):
        if data[place] == 0:
            return place + 1
        place += data[place] + 1
    raise ValueError("too many parts")


def orientation_in(exif: bytes) -> int | None:
    """1 to 8, if the first directory says so in the usual way."""
    exif = exif[:MAX_EXIF_BYTES].removeprefix(EXIF)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is None:
            return None
        (place,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, place)
        for n in range(min(entries, MOST_ENTRIES)):
            entry = struct.unpack_from(f"{order}HHIH", exif, place + 2 + 12 * n)
            tag, kind, count, value = entry
            if (tag, kind, count) == (ORIENTATION, SHORT, 1):
                return value if 1 <= value <= 8 else None
    except struct.error:
        pass
    return None


def _refuse_crumbs(parts: int) -> None:
    if parts > MOST_PARTS:
        raise ValueError("too many parts")
