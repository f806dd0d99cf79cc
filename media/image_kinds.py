"""Detects the kind of an image file from its first bytes: file names are often wrong."""

from __future__ import annotations

import re
import struct

USE_READABLE = "Use a PNG, JPEG, WebP, AVIF, HEIC, GIF, BMP or TIFF."
"""For error messages: the formats that can be used instead."""

AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2",
     b"msf1"}
)  # fmt: skip
MAX_BRANDS = 64

OTHER_KINDS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("a camera raw file", re.compile(
        rb"....ftypcrx |FUJIFILMCCD-RAW|IIU\0|IIR[OS]|MMOR|II\*\0.{4}CR|\0MRM|FOVb", re.DOTALL)),
    ("a JPEG XL picture", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
    ("a JPEG 2000 picture", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
    ("a video", re.compile(
        rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|\0\0\x01\xba", re.DOTALL)),
    ("a sound file", re.compile(rb"RIFF....WAVE|ID3|OggS|fLaC|FORM....AIF", re.DOTALL)),
    ("a PDF", re.compile(rb"\s*%PDF")),
    ("a PostScript file", re.compile(rb"%!PS|\xc5\xd0\xd3\xc6")),
    ("a Photoshop document", re.compile(rb"8BP[SB]")),
    ("a GIMP document", re.compile(rb"gimp xcf")),
    ("an OpenEXR picture", re.compile(rb"v/1\x01")),
    ("a Radiance HDR picture", re.compile(rb"#\?R")),
    ("an icon", re.compile(rb"\0\0[\x01\x02]\0|icns")),
    ("a zip archive", re.compile(rb"PK\x03\x04|PK\x05\x06")),
    ("a web page", re.compile(rb"\s*<(!doctype html|html|head|body|script)\b", re.IGNORECASE)),
)  # fmt: skip


def picture_kind(data: bytes) -> str | None:
    """Pillow's name of the format, or None if the format is not supported."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:2] == b"BM":
        return "BMP"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None if refused_kind(data) else "TIFF"
    brands = _brands(data)
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & HEIF_BRANDS else None


def refused_kind(data: bytes) -> str | None:
    """Names an unsupported kind with its article, or None if it is unknown."""
    start = data[:4096].removeprefix(b"\xef\xbb\xbf")
    if start.lstrip().startswith(b"<") and b"<svg" in start.lower():
        return "an SVG drawing"
    return next((name for name, magic in OTHER_KINDS if magic.match(start)), None)


def _brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO base media file; empty for other files."""
    if data[4:8] != b"ftyp":
        return set()
    (size,) = struct.unpack(">I", data[:4])
    end = min(size, len(data), 16 + 4 * MAX_BRANDS)
    return {data[8:12], *(data[place : place + 4] for place in range(16, end, 4))}
