"""Pictures that nobody should send, as many as wanted and the same ones each time, with a name.

The 200 of `malformed` are among them. Here are also: every format that Pillow writes under a wrong
ending, polyglots, notes as large as a file may be, and files that say one thing and hold another.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable, Iterator

from PIL import Image, ImageCms

from tests.media import malformed
from tests.media.malformed import SIGNATURE, chunk, png, saved, scene, sound_ones
from tests.media.test_strip_metadata import as_crumbs, as_segments, in_a_jpeg, in_a_png, with_passes

FORMATS = (
    "GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "PDF", "EPS", "JPEG2000", "ICNS", "DDS",
    "SGI", "IM", "SPIDER", "AVIF", "MPO", "QOI", "XBM", "MSP",
)  # fmt: skip
ENDINGS = ("png", "jpg", "webp", "gif", "svg", "html", "php", "exe", "", "png.php", "j" * 300)

Made = tuple[str, bytes]
"""A file's name, and what is in it."""


def named(rng: random.Random, kind: str, data: bytes) -> Made:
    return f"{kind}-{rng.randrange(10**6)}.{rng.choice(ENDINGS)}", data


def in_other_formats() -> Iterator[bytes]:
    for format in FORMATS:
        image = scene().convert("1") if format in ("XBM", "MSP") else scene()
        image = image.convert("F") if format == "SPIDER" else image
        try:
            yield saved(image, format)
        except (OSError, KeyError):  # not every build writes each of them
            yield format.encode() * 100
    yield b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + b"\0" * 4000
    yield b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;'
    yield b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n{1 1} loop\n"
    yield b"\xff\x4f\xff\x51" + b"\xff" * 500  # a JPEG 2000 codestream
    yield b"#define x_width 4\n#define x_height 999999999\n"


def polyglots() -> Iterator[bytes]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("../../evil.py", "import os")
    php, html = b"<?php system($_GET['c']); ?>", b"<html><script>alert(1)</script>"
    for base in (saved(scene(), "PNG"), saved(scene(), "JPEG"), saved(scene(), "WEBP")):
        for other in (archive.getvalue(), php, html, b"\x7fELF" + bytes(500), b"%PDF-1.7\n"):
            yield base + other
            yield other + base
    yield png(4, 4, 8, 2, (b"\0" + b"\1" * 12) * 4, chunk(b"tEXt", b"Comment\0" + php))
    yield b"GIF89a/*" + bytes(600) + b"*/=1;alert(1);"


def with_huge_notes() -> Iterator[bytes]:
    rows = (b"\0" + b"\1" * 12) * 4
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for size in (60_000, 900_000, 6_000_000):
        yield saved(scene(), "JPEG", icc_profile=profile + bytes(size))
        yield saved(scene(), "PNG", icc_profile=b"\xff" * size)
        yield saved(scene(), "WEBP", exif=b"Exif\0\0MM\0*" + b"\xff" * size, xmp=b"<x>" * 9000)
        yield png(4, 4, 8, 2, rows, chunk(b"eXIf", b"II*\0" + b"\xff" * size))
        yield png(4, 4, 8, 2, rows, chunk(b"tEXt", b"a\0" + b"x" * size))
    yield from (made() for made in (in_a_jpeg, in_a_png, as_crumbs, as_segments))
    yield with_passes(300)


def moving() -> Iterator[bytes]:
    frames = [Image.new("RGB", (8, 8), (n % 256, 0, 0)) for n in range(400)]
    for format in ("GIF", "WEBP", "PNG"):
        data = saved(frames[0], format, save_all=True, append_images=frames[1:], duration=1)
        yield from (data, data[: len(data) // 2], data[:-7])
    control = struct.pack(">IIIIIHHBB", 0, 2**31 - 1, 2**31 - 1, 9, 9, 1, 1, 0, 0)
    animation = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)) + chunk(b"fcTL", control)
    yield png(4, 4, 8, 2, (b"\0" + b"\1" * 12) * 4, animation)


def oddities() -> Iterator[bytes]:
    rows = b"\0" * 4096
    for bits in (0, 1, 2, 3, 4, 8, 16, 32, 255):
        for colour in (0, 1, 2, 3, 4, 5, 6, 7, 200):
            yield png(8, 8, bits, colour, rows)
    for width, height in (
        (0, 0),
        (0, 9),
        (9, 0),
        (2**32 - 1, 2**32 - 1),
        (1, 2**31),
        (65_536, 65_536),
    ):
        yield png(width, height, 8, 2, rows)
    sound = saved(scene(), "PNG")
    yield sound.replace(b"IEND", b"IENE")
    yield sound.replace(b"IDAT", b"IDAU")
    yield sound[:8] + sound[33:]  # no head
    yield sound[:33] + sound[8:]  # two heads
    yield SIGNATURE + struct.pack(">I", 2**32 - 1) + b"IHDR" + bytes(99)
    yield SIGNATURE + chunk(b"IDAT", b"x") * 50
    palette = saved(scene().quantize(200), "PNG")
    place = palette.index(b"PLTE")
    yield palette.replace(palette[place - 4 : place + 8], struct.pack(">I", 3) + b"PLTE\0\0\0")
    yield from (b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\xd8" * 999, b"\xff\xd8\xff\xda\0\2")
    jpeg = saved(scene(), "JPEG")
    frame = jpeg.index(b"\xff\xc0")
    for kind in range(0xC1, 0xD0):  # lossless, arithmetic, hierarchical: what nobody writes
        yield jpeg[:frame] + bytes([0xFF, kind]) + jpeg[frame + 2 :]
    for components in (0, 2, 5, 255):
        yield jpeg[: frame + 9] + bytes([components]) + jpeg[frame + 10 :]
    cmyk = saved(scene().convert("CMYK"), "JPEG")
    yield cmyk.replace(b"Adobe", b"Adobf")
    yield from (cmyk[:-2], cmyk + jpeg, jpeg[:-2] + jpeg, jpeg.replace(b"\xff\xdb", b"\xff\xc4"))
    webp = saved(scene(), "WEBP")
    for place in (4, 16, 20, 23, 26):
        yield webp[:place] + b"\xff\xff\xff\xff" + webp[place + 4 :]


def giants() -> Iterator[bytes]:
    """Kilobytes that say up to 400 megapixels, and those that are as large as allowed."""
    yield from malformed.bombs()
    for side in (9_000, 12_000, 16_000, 20_000):
        yield png(side, side, 1, 0, (b"\0" * (side // 8 + 2)) * side)
    yield saved(Image.new("L", (8_192, 3_000), 9), "JPEG", progressive=True)
    yield saved(Image.new("RGB", (3_000, 8_000)), "WEBP", quality=1, method=0)


def corpus(count: int) -> list[Made]:
    """Some of each kind; the more, the more of those with chance in them."""
    rng = random.Random(11)
    kinds: dict[str, Callable[[], Iterator[bytes]]] = {
        "format": in_other_formats,
        "polyglot": polyglots,
        "notes": with_huge_notes,
        "moving": moving,
        "odd": oddities,
        "giant": giants,
    }
    made = [named(rng, kind, data) for kind, each in kinds.items() for data in each()]
    if count < len(made):
        return rng.sample(made, count)
    sound = sound_ones()
    while len(made) < count:
        data = rng.choice(sound)
        if rng.random() < 0.4:
            made.append(named(rng, "cut", data[: rng.randrange(len(data))]))
        elif rng.random() < 0.9:
            broken = bytearray(data)
            for _ in range(rng.choice([1, 3, 20, 200])):
                place = rng.randrange(min(64, len(data)) if rng.random() < 0.5 else len(data))
                broken[place] ^= 1 << rng.randrange(8)
            made.append(named(rng, "flipped", bytes(broken)))
        else:
            made.append(named(rng, "noise", rng.randbytes(rng.randrange(1, 5000))))
    rng.shuffle(made)
    return made
