"""200 pictures that nobody should send, the same ones each time.

Run as a program it stores those in a folder and prints what became of each, and the memory it took.
"""

from __future__ import annotations

import io
import json
import random
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from errors import KinoraError
from media.images import store_picture

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def scene(width: int = 96, height: int = 64) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG by hand, for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9))
    return SIGNATURE + body + chunk(b"IEND", b"")


def sound_ones() -> list[bytes]:
    image = scene()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "x" * 60_000
    frames = [image.rotate(angle) for angle in (90, 180)]
    return [
        saved(image, "PNG"),
        saved(image, "JPEG", quality=90, exif=exif),
        saved(image, "JPEG", progressive=True),
        saved(image.convert("CMYK"), "JPEG"),
        saved(image, "WEBP", quality=80),
        saved(image.convert("RGBA"), "WEBP", lossless=True),
        saved(image, "WEBP", save_all=True, append_images=frames),
        saved(image, "PNG", save_all=True, append_images=frames),
        saved(image.quantize(32), "PNG", transparency=3),
        saved(Image.fromarray(np.arange(6144, dtype=np.uint16).reshape(64, 96) * 10), "PNG"),
    ]


def truncated(rng: random.Random) -> Iterator[bytes]:
    for data in sound_ones() * 7:
        yield data[: rng.randrange(len(data))]


def flipped(rng: random.Random) -> Iterator[bytes]:
    for data in sound_ones() * 8:
        broken = bytearray(data)
        for _ in range(rng.choice([1, 3, 20])):
            # half of the flips in the head, where the structure is
            place = rng.randrange(min(64, len(broken)) if rng.random() < 0.5 else len(broken))
            broken[place] ^= 1 << rng.randrange(8)
        yield bytes(broken)


def bombs() -> Iterator[bytes]:
    for side in (5_001, 7_000, 8_192):  # a few kB each, up to 67 megapixels of one colour
        yield png(side, side, 1, 0, (b"\0" * (side // 8 + 2)) * side)
    yield png(5_000, 5_000, 8, 6, (b"\0" + b"\xff\0\0\x80" * 5_000) * 5_000)  # as large as allowed
    yield png(5_000, 5_000, 16, 0, (b"\0" + b"\xff\0" * 5_000) * 5_000)
    for width, height in ((20_000, 20_000), (2**31 - 1, 1), (1, 2**31 - 1), (9_000, 1), (0, 5)):
        yield png(width, height, 8, 2, b"\0" * 100)
    jpeg = bytearray(saved(scene(), "JPEG"))
    size = jpeg.index(b"\xff\xc0") + 5
    for height, width in ((65_500, 65_500), (8_000, 8_000), (0, 0)):
        jpeg[size : size + 4] = struct.pack(">HH", height, width)
        yield bytes(jpeg)
    yield saved(Image.new("RGB", (16_383, 1_600)), "WEBP", lossless=True, method=0, quality=0)
    turned = [scene().rotate(90)]
    webp = bytearray(saved(scene(), "WEBP", save_all=True, append_images=turned))
    canvas = webp.index(b"VP8X") + 12
    webp[canvas : canvas + 6] = b"\xfe\x3f\0" * 2  # a canvas of 16,383 x 16,383
    yield bytes(webp)
    pixel = b"\0\xff\xff\xff"
    squeezed = zlib.compress(b"\0" * 200_000_000, 9)
    for kind, head in ((b"iCCP", b"p\0\0"), (b"zTXt", b"t\0\0"), (b"iTXt", b"t\0\1\0\0\0")):
        yield png(1, 1, 8, 2, pixel, chunk(kind, head + squeezed))
    yield png(1, 1, 8, 2, pixel, chunk(b"tEXt", b"t\0" + b"x" * 200) * 20_000)
    yield png(4, 4, 8, 2, b"\0" * 200_000_000)  # far more rows than it says


def foreign(rng: random.Random) -> Iterator[bytes]:
    for format in ("GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "PDF", "EPS"):
        yield saved(scene(), format)
    yield b""
    yield b"\0"
    yield SIGNATURE
    yield b"\xff\xd8\xff"
    yield b"RIFF\xff\xff\xff\xffWEBP"
    yield b"\0\0\0\x18ftypheic" + b"\0" * 50
    yield b"\0\0\0\x18ftypavif" + b"\0" * 50
    yield b"\0\0\0\x18ftypisom" + b"\0" * 50
    yield b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield b"<!doctype html><script>alert(1)</script>"
    yield b"push graphic-context\nimage over 0,0 0,0 'https://127.0.0.1/x'\n"
    yield b"PK\x03\x04" + b"\0" * 100
    yield b"8BPS\0\x01" + b"\xff" * 100
    yield b"ffconcat version 1.0\nfile /etc/passwd\n"
    while True:
        yield rng.randbytes(rng.randrange(1, 2000))


def pictures() -> list[bytes]:
    rng = random.Random(20)
    made = [*truncated(rng), *flipped(rng), *bombs()]
    rest = foreign(rng)
    return made + [next(rest) for _ in range(200 - len(made))]


def peak_mb() -> float:
    """Of this process; `getrusage` would also count the one that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def main(source: Path, folder: Path) -> None:
    told, before = {}, peak_mb()
    for picture in sorted(source.iterdir()):
        try:
            told[picture.name] = store_picture(picture.read_bytes(), folder).id
        except KinoraError as error:
            told[picture.name] = error.code.value
    print(json.dumps({"told": told, "extra_mb": peak_mb() - before}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
