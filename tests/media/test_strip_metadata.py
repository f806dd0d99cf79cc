"""What a picture says about itself is neither believed nor read at length."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import KinoraError
from media.images import load_picture, store_picture
from media.strip_metadata import read_orientation, strip_metadata
from tests.media.malformed import chunk, peak_mb, png, saved, scene

ROWS = (b"\0" + b"\1" * 12) * 4


def directory(entries: int, each_bytes: int, room: int) -> bytes:
    """EXIF whose every entry names the same bytes."""
    entry = (struct.pack("<HHII", n + 1, 1, each_bytes, 8) for n in range(entries))
    made = b"II*\0\x08\0\0\0" + struct.pack("<H", entries) + b"".join(entry)
    return made + bytes(room - len(made))


def with_exif(exif: bytes, part: int = 60_000) -> bytes:
    jpeg = saved(scene(), "JPEG")
    parts = (exif[n : n + part] for n in range(0, len(exif), part))
    segments = (b"\xff\xe1" + struct.pack(">H", len(p) + 8) + b"Exif\0\0" + p for p in parts)
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def with_passes(count: int) -> bytes:
    """Kilobytes that go over 25 megapixels again and again."""
    jpeg = saved(Image.new("L", (4992, 4992), 128), "JPEG", progressive=True, quality=50)
    last, end = jpeg.rindex(b"\xff\xda"), jpeg.rindex(b"\xff\xd9")
    return jpeg[:last] + jpeg[last:end] * count + jpeg[end:]


def in_a_jpeg() -> bytes:
    return with_exif(directory(4_000, 240_000, 600_000))


def in_a_png() -> bytes:
    return png(4, 4, 8, 2, ROWS, chunk(b"eXIf", directory(60_000, 700_000, 1_000_000)))


def as_crumbs() -> bytes:
    return png(4, 4, 8, 2, ROWS, chunk(b"xxXx", b"") * 1_000_000)


def as_segments() -> bytes:
    jpeg = saved(scene(), "JPEG")
    return jpeg[:2] + b"\xff\xe5\0\2" * 4_000_000 + jpeg[2:]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(
    "made", [in_a_jpeg, in_a_png, as_crumbs, as_segments, lambda: with_passes(300)]
)
def test_a_small_file_costs_neither_memory_nor_time(
    made: Callable[[], bytes], tmp_path: Path
) -> None:
    """Each took up to 4 GB, or up to nine seconds, before its notes were taken out."""
    data = made()
    before, began = peak_mb(), time.process_time()
    try:
        store_picture(data, tmp_path)
    except KinoraError as error:
        assert error.code.value == "invalid_image"
    assert peak_mb() - before < 100
    assert time.process_time() - began < 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_of_the_notes_the_orientation_is_read(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "at home" * 1000, orientation
    plain = strip_metadata(saved(scene(), kind, exif=exif))
    assert plain.orientation == orientation
    assert kind == "WEBP" or b"at home" not in plain.data


@pytest.mark.parametrize("exif", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"x" * 99, bytes(99)])
def test_notes_that_make_no_sense_say_nothing(exif: bytes) -> None:
    assert read_orientation(exif) is None


@pytest.mark.parametrize("size", [(5000, 3000), (2561, 2), (3, 7999), (7001, 600)], ids=str)
def test_bands_meet_without_a_seam(size: tuple[int, int], tmp_path: Path) -> None:
    """A large picture is reduced as Pillow reduces it in one go."""
    image = scene(*size)
    stored = store_picture(image, tmp_path)
    kept = np.asarray(load_picture(stored.id, tmp_path)).astype(int)
    whole = image.resize((stored.width, stored.height), Image.Resampling.LANCZOS)
    assert np.abs(kept - np.asarray(whole)).max() <= 1
