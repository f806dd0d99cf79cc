"""Whatever a picker offers is read: every format, mode, depth, turn and colour space."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from errors import ErrorCode, KinoraError
from media import image_sandbox
from media.image_kinds import picture_kind
from media.image_limits import MAX_PIXELS, PictureLimits
from media.images import load_picture, store_picture
from media.nclx import HLG, PQ, Nclx, converter
from media.pixels import MAX_STORED_SIDE
from tests.media.formats import (
    AS_SHOT,
    MODES,
    TURNED,
    Sample,
    as_display_p3,
    display_p3,
    sample,
    smooth,
)
from tests.media.malformed import chunk, peak_mb, png, saved

APART = ("TIFF", "AVIF", "HEIF")
"""Decoded in a process of their own, which takes a moment for each."""
HERE = tuple(format for format in MODES if format not in APART)
NOT_SHRUNK = [phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]
IN_ANY_FOLDER = [HealthCheck.function_scoped_fixture]


def kept(data: bytes, folder: Path) -> np.ndarray:
    return np.asarray(load_picture(store_picture(data, folder).id, folder)).astype(int)


def check(each: Sample, folder: Path) -> None:
    found = kept(each.data, folder)
    assert found.shape == each.shown.shape
    assert np.abs(found - each.shown).max() <= each.within


def any_sample(formats: tuple[str, ...]) -> st.SearchStrategy[Sample]:
    def of(format: str) -> st.SearchStrategy[Sample]:
        return st.builds(
            sample,
            st.just(format),
            st.sampled_from(MODES[format]),
            st.sampled_from([1, *AS_SHOT]) if format in TURNED else st.just(1),
            st.tuples(st.integers(17, 90), st.integers(17, 90)),
        )

    return st.sampled_from(formats).flatmap(of)


@given(any_sample(HERE))
@settings(max_examples=80, deadline=None, suppress_health_check=IN_ANY_FOLDER)
def test_a_picture_looks_the_same_in_every_format_mode_and_turn(
    tmp_path: Path, each: Sample
) -> None:
    check(each, tmp_path)


@given(any_sample(APART))
@settings(max_examples=10, deadline=None, suppress_health_check=IN_ANY_FOLDER, phases=NOT_SHRUNK)
def test_a_picture_decoded_apart_looks_the_same_in_every_format_mode_and_turn(
    tmp_path: Path, each: Sample
) -> None:
    check(each, tmp_path)


@pytest.mark.parametrize("mode", ["LAB", "F", "I;16", "CMYK"])
def test_a_tiff_of_an_unusual_kind_is_read(mode: str, tmp_path: Path) -> None:
    check(sample("TIFF", mode, 6), tmp_path)


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", [5, 8])
def test_a_turned_phone_picture_is_stored_upright(
    format: str, orientation: int, tmp_path: Path
) -> None:
    check(sample(format, "RGB", orientation, (60, 34)), tmp_path)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_wide_colours_by_profile_come_back_as_the_same_colours(format: str, tmp_path: Path) -> None:
    """A picture known in sRGB, written in Display P3."""
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True},
               "AVIF": {"quality": 100, "subsampling": "4:4:4"},
               "HEIF": {"quality": -1, "chroma": 444}}.get(format, {})  # fmt: skip
    data = saved(as_display_p3(smooth(48, 32)), format, icc_profile=display_p3(), **options)
    far = np.abs(kept(data, tmp_path) - np.asarray(smooth(48, 32)))
    assert far.max() <= 12 and far.mean() < 2


@pytest.mark.parametrize("format", ["AVIF", "HEIF", "PNG"])
def test_wide_colours_by_number_come_back_as_the_same_colours(format: str, tmp_path: Path) -> None:
    image = as_display_p3(smooth(48, 32))
    if format == "AVIF":
        data = bytearray(saved(image, "AVIF", quality=100, subsampling="4:4:4"))
        struct.pack_into(">H", data, data.index(b"colrnclx") + 8, 12)
    elif format == "PNG":
        data = saved(image, "PNG")
        data = data[:33] + chunk(b"cICP", bytes([12, 13, 0, 1])) + data[33:]
    else:
        data = saved(image, "HEIF", quality=-1, chroma=444, color_primaries=12)
        assert b"colrnclx\0\x0c" in data
    far = np.abs(kept(bytes(data), tmp_path) - np.asarray(smooth(48, 32)))
    assert far.max() <= 12 and far.mean() < 2


@pytest.mark.parametrize(("transfer", "white"), [(PQ, 148), (HLG, 191)])
def test_pictures_in_high_dynamic_range_keep_white_and_hue(transfer: int, white: int) -> None:
    convert = converter(Nclx(9, transfer))
    assert convert is not None
    grey = np.asarray(convert(Image.new("RGB", (4, 4), (white,) * 3)))[0, 0]
    assert grey.min() > 235 and grey.max() - grey.min() <= 1
    ramp = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2))
    steps = np.asarray(convert(ramp)).astype(int)[0, :, 0]
    assert (np.diff(steps) >= 0).all() and steps[0] == 0 and steps[-1] >= 250


def test_the_name_and_the_kind_that_is_said_do_not_matter(tmp_path: Path) -> None:
    """An iPhone's picture is often called .jpg and is HEIC: only bytes are looked at."""
    assert picture_kind(sample("HEIF", "RGB").data) == "HEIF"
    assert picture_kind(sample("AVIF", "RGB").data) == "AVIF"
    check(sample("HEIF", "RGB"), tmp_path)


@pytest.mark.parametrize("format", ["GIF", "TIFF", "AVIF"])
def test_of_several_pictures_the_first_is_taken(format: str, tmp_path: Path) -> None:
    images = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    options = {"comment": b"x" * 5000} if format == "GIF" else {}
    data = saved(images[0], format, save_all=True, append_images=images[1:], **options)
    assert np.abs(kept(data, tmp_path) - [255, 0, 0]).max() <= 3


def test_a_gif_whose_first_picture_is_smaller_is_white_around_it(tmp_path: Path) -> None:
    image = Image.new("P", (10, 10), 1)
    image.putpalette([0, 0, 255, 255, 0, 0])
    data = bytearray(saved(image, "GIF"))
    struct.pack_into("<HH", data, 6, 20, 20)
    struct.pack_into("<HH", data, data.index(b",", 13 + 6) + 1, 5, 5)
    shown = kept(bytes(data), tmp_path)
    assert shown[0, 0].tolist() == shown[19, 19].tolist() == [255, 255, 255]
    assert shown[10, 10].tolist() == [255, 0, 0]


def test_a_clear_colour_of_a_gif_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 255, 255, 0, 0])
    assert (kept(saved(image, "GIF", transparency=1), tmp_path) == 255).all()


# ---- very large ones


def flat_png(width: int, height: int) -> bytes:
    """One bit a pixel, white: kilobytes for any size."""
    squeeze = zlib.compressobj(9)
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    body = b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("size", "format"),
    [((12_000, 9_000), "JPEG"), ((6500, 4500), "AVIF"), ((30_000, 4_000), "JPEG"),
     ((2_000, 14_000), "WEBP")],
)  # fmt: skip
def test_large_photos_and_panoramas_are_reduced(
    size: tuple[int, int], format: str, tmp_path: Path
) -> None:
    image = Image.linear_gradient("L").resize(size, Image.Resampling.BILINEAR)
    options = {"AVIF": {"speed": 10, "quality": 40}, "WEBP": {"method": 0, "quality": 40}}
    data = saved(image, format, **options.get(format, {}))
    before = peak_mb()
    stored = store_picture(data, tmp_path)
    assert peak_mb() - before < 150  # whatever it took, this process did not
    scale = MAX_STORED_SIDE / max(size)
    assert (stored.width, stored.height) == (round(size[0] * scale), round(size[1] * scale))
    shown = np.asarray(load_picture(stored.id, tmp_path)).astype(int)
    expected = np.asarray(image.resize((stored.width, stored.height), Image.Resampling.BOX))
    assert np.abs(shown[..., 0] - expected).max() <= 8


def test_as_many_pixels_as_are_accepted_are_reduced(tmp_path: Path) -> None:
    stored = store_picture(flat_png(20_000, MAX_PIXELS // 20_000), tmp_path)
    assert max(stored.width, stored.height) == MAX_STORED_SIDE


def tiff_that_says(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.new("L", (9, 9)), "TIFF", compression="tiff_lzw"))
    for tag, value in ((256, width), (257, height)):
        place = data.index(struct.pack("<HHI", tag, 3, 1))
        struct.pack_into("<I", data, place + 8, value)
    return bytes(data)


@pytest.mark.parametrize(
    "make", [lambda w, h: png(w, h, 8, 2, b""), tiff_that_says], ids=["PNG", "TIFF"]
)
def test_above_the_cap_it_is_refused_with_a_sentence_that_names_it(
    make: Callable[[int, int], bytes], tmp_path: Path
) -> None:
    with pytest.raises(KinoraError, match="at most 2 megapixels") as refusal:
        store_picture(make(2000, 1001), tmp_path, PictureLimits(max_pixels=2_000_000))
    assert refusal.value.code is ErrorCode.TOO_LARGE


# ---- what cannot be used, and what nobody should send

NOT_USED = {
    "an SVG drawing": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a PDF": b"%PDF-1.7\n",
    "a Photoshop document": b"8BPS\0\1" + bytes(40),
    "a JPEG XL picture": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40),
    "a JPEG 2000 picture": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "a camera raw file": b"II*\0\x10\0\0\0CR\2\0" + bytes(40),
    "a video": b"\0\0\0\x18ftypisom" + bytes(40),
    "an icon": b"\0\0\1\0\1\0" + bytes(40),
    "a web page": b"<!doctype html><script>alert(1)</script>",
    "a zip archive": b"PK\3\4" + bytes(40),
}


@pytest.mark.parametrize("what", NOT_USED)
def test_what_cannot_be_used_is_named_with_what_can(what: str, tmp_path: Path) -> None:
    with pytest.raises(KinoraError, match=f"This is {what}.* Use a PNG, JPEG, .*HEIC") as refusal:
        store_picture(NOT_USED[what], tmp_path)
    assert refusal.value.code is ErrorCode.INVALID_IMAGE


@pytest.mark.parametrize("format", ["TIFF", "HEIF"])
def test_a_rare_variant_is_not_only_called_damaged(format: str, tmp_path: Path) -> None:
    data = bytearray(sample(format, "RGB").data)
    if format == "TIFF":  # 48 bits a sample
        place = data.index(struct.pack("<HHI", 258, 3, 3))
        (there,) = struct.unpack_from("<I", data, place + 8)
        data[there : there + 6] = struct.pack("<3H", 48, 48, 48)
    else:  # an unknown codec
        data = data.replace(b"hvc1", b"xvc1")
    with pytest.raises(KinoraError, match=r"not supported. Save it as PNG or JPEG") as refusal:
        store_picture(bytes(data), tmp_path)
    assert refusal.value.code is ErrorCode.INVALID_IMAGE


def test_a_raw_file_that_looks_like_a_tiff_is_refused_by_name(tmp_path: Path) -> None:
    dng = saved(smooth(20, 20), "TIFF", tiffinfo={0xC612: b"\1\4\0\0"})
    with pytest.raises(KinoraError, match="a camera raw file"):
        store_picture(dng, tmp_path)


def crumbs_of_a_gif() -> bytes:
    head = saved(Image.new("P", (4, 4)), "GIF")[:19]
    return head + b"!\xfe" + b"\1x" * 6_000_000


def comments_of_a_gif() -> bytes:
    head = saved(Image.new("P", (4, 4)), "GIF")[:19]
    return head + (b"!\xfe" + (b"\xff" + b"x" * 255) * 4 + b"\0") * 15_000 + b";"


def directories_of_a_tiff() -> bytes:
    """Every tag names the same 4 MB."""
    entries = b"".join(struct.pack("<HHII", 40_000 + n, 1, 4_000_000, 8) for n in range(4_000))
    return (
        b"II*\0"
        + struct.pack("<I", 4_000_008)
        + bytes(4_000_000)
        + struct.pack("<H", 4_000)
        + entries
        + bytes(4)
    )


def a_bomb_in_a_tiff() -> bytes:
    return tiff_that_says(60_000, 60_000)


@pytest.mark.parametrize(
    "made", [crumbs_of_a_gif, comments_of_a_gif, directories_of_a_tiff, a_bomb_in_a_tiff]
)
def test_a_hostile_file_of_a_new_format_costs_neither_memory_nor_time(
    made: Callable[[], bytes], tmp_path: Path
) -> None:
    data = made()
    before, began = peak_mb(), time.process_time()
    with pytest.raises(KinoraError) as refusal:
        store_picture(data, tmp_path)
    assert refusal.value.code in (ErrorCode.INVALID_IMAGE, ErrorCode.TOO_LARGE)
    assert peak_mb() - before < 150
    assert time.process_time() - began < 2


@given(
    st.sampled_from([sample(format, "RGB").data for format in ("GIF", "BMP")]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=20),
    st.floats(0.02, 1),
)
@settings(max_examples=80, deadline=None, suppress_health_check=IN_ANY_FOLDER)
def test_a_damaged_file_is_read_or_refused(
    tmp_path: Path, data: bytes, changes: list[tuple[int, int]], part: float
) -> None:
    _read_or_refused(data, changes, part, tmp_path)


@given(
    st.sampled_from([sample(format, "RGB").data for format in APART]),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=20),
    st.floats(0.3, 1),
)
@settings(max_examples=10, deadline=None, suppress_health_check=IN_ANY_FOLDER, phases=NOT_SHRUNK)
def test_a_damaged_file_that_is_decoded_apart_is_read_or_refused(
    tmp_path: Path, data: bytes, changes: list[tuple[int, int]], part: float
) -> None:
    _read_or_refused(data, changes, part, tmp_path)


def _read_or_refused(
    data: bytes, changes: list[tuple[int, int]], part: float, folder: Path
) -> None:
    broken = bytearray(data[: max(1, int(len(data) * part))])
    for place, value in changes:
        broken[place % len(broken)] = value
    try:
        store_picture(bytes(broken), folder)
    except KinoraError as error:
        assert error.code in (ErrorCode.INVALID_IMAGE, ErrorCode.TOO_LARGE)


def test_a_phone_photo_of_many_tiles_is_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = smooth(300, 200)
    data = saved(image.transpose(AS_SHOT[6]), "HEIF", quality=90, tile_size=64, exif=exif.tobytes())
    assert b"grid" in data
    assert np.abs(kept(data, tmp_path) - np.asarray(image)).mean() < 4


def test_only_some_may_wait_for_a_picture_that_is_decoded_apart(tmp_path: Path) -> None:
    """Each holds a thread of the server's."""
    data = sample("AVIF", "RGB").data
    held = [image_sandbox.QUEUE_SLOTS.acquire(blocking=False) for _ in range(8)]
    try:
        assert all(held)
        with pytest.raises(KinoraError) as refusal:
            store_picture(data, tmp_path)
    finally:
        for _ in held:
            image_sandbox.QUEUE_SLOTS.release()
    assert refusal.value.code is ErrorCode.UNAVAILABLE
    store_picture(data, tmp_path)
