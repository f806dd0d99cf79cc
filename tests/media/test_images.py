"""Pictures from strangers become upright, plain RGB PNG files, or a clear refusal."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from errors import ErrorCode, KinoraError
from media.files import part_name
from media.image_limits import PictureLimits
from media.images import crop_to, load_picture, store_picture
from media.pixels import MAX_STORED_SIDE
from pipelines.request import Focus
from tests.media.malformed import chunk, pictures, png, saved, scene

ROOT = Path(__file__).resolve().parents[2]
CENTRE = Focus(x=0.5, y=0.5)


def kept(data: bytes | Image.Image, folder: Path) -> np.ndarray:
    return np.asarray(load_picture(store_picture(data, folder).id, folder)).astype(int)


def code_of(data: bytes, folder: Path, limits: PictureLimits | None = None) -> ErrorCode:
    with pytest.raises(KinoraError) as refusal:
        store_picture(data, folder, limits or PictureLimits())
    assert list(folder.iterdir()) == []
    return refusal.value.code


def test_a_png_keeps_every_pixel(tmp_path: Path) -> None:
    assert (kept(saved(scene(), "PNG"), tmp_path) == np.asarray(scene())).all()


def test_a_picture_made_here_keeps_every_pixel(tmp_path: Path) -> None:
    assert (kept(scene(), tmp_path) == np.asarray(scene())).all()


def test_storing_a_picture_leaves_the_one_that_was_given_alone(tmp_path: Path) -> None:
    image = scene(3000, 40)
    image.info["mine"] = 1
    store_picture(image, tmp_path)
    assert image.size == (3000, 40) and image.info == {"mine": 1}


def test_the_name_is_the_hash_of_the_file_and_equal_pictures_share_it(tmp_path: Path) -> None:
    first = store_picture(saved(scene(), "PNG"), tmp_path)
    again = store_picture(saved(scene(), "WEBP", lossless=True, exact=True), tmp_path)
    (path,) = tmp_path.iterdir()
    assert first == again and (first.width, first.height) == scene().size
    assert path.name == f"{hashlib.sha256(path.read_bytes()).hexdigest()}.png"


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_a_lossy_picture_looks_the_same(tmp_path: Path, format: str) -> None:
    data = saved(scene(), format, quality=95)
    assert np.abs(kept(data, tmp_path) - np.asarray(scene())).mean() < 4


def test_nothing_of_the_metadata_is_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home" * 8_000
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved(scene(), "JPEG", exif=exif, icc_profile=profile, comment="mine", quality=95)
    stored = store_picture(data, tmp_path)
    with Image.open(tmp_path / f"{stored.id}.png") as image:
        image.load()
        assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})
    assert b"at home" not in (tmp_path / f"{stored.id}.png").read_bytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_stored_upright(tmp_path: Path, orientation: int) -> None:
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the camera's way back
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = scene().transpose(turned[orientation]) if orientation in turned else scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (kept(saved(image, "PNG", exif=exif), tmp_path) == np.asarray(scene())).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + b"\xff" * 60_000]
)
def test_a_broken_note_about_a_picture_does_not_spoil_it(tmp_path: Path, exif: bytes) -> None:
    data = saved(scene(), "JPEG", quality=95, exif=exif)
    assert np.abs(kept(data, tmp_path) - np.asarray(scene())).mean() < 4


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert (kept(saved(clear, "PNG"), tmp_path) == 255).all()
    assert np.abs(kept(saved(half, "WEBP", lossless=True), tmp_path) - 127).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_every_way_of_writing_grey_is_the_same_grey(tmp_path: Path, mode: str) -> None:
    halves = np.repeat(np.array([[0, 255]], np.uint8), 16, axis=1)
    grey = Image.fromarray(halves)
    assert (kept(saved(grey.convert(mode), "PNG"), tmp_path) == np.asarray(grey)[..., None]).all()


def test_a_palette_with_a_transparent_colour_shows_white_there(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    data = saved(image, "PNG", transparency=1)
    assert kept(data, tmp_path).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_sixteen_bits_of_grey_are_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(1, 64)
    shown = kept(saved(Image.fromarray(ramp), "PNG"), tmp_path)
    assert np.abs(shown[0, :, 0] - ramp[0] / 257).max() <= 1


def test_sixteen_bits_of_colour_are_read(tmp_path: Path) -> None:
    rows = b"\0" + struct.pack(">6H", 65535, 32768, 0, 0, 257 * 9, 65535)
    shown = kept(png(2, 1, 16, 2, rows), tmp_path)
    assert np.abs(shown - [[[255, 128, 0], [0, 9, 255]]]).max() <= 1


def test_cmyk_is_read(tmp_path: Path) -> None:
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    assert np.abs(kept(saved(red, "JPEG", quality=95), tmp_path) - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_picture(tmp_path: Path, format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    later = [scene().rotate(90), scene().rotate(180)]
    data = saved(scene(), format, save_all=True, append_images=later, **options)
    assert (kept(data, tmp_path) == np.asarray(scene())).all()


def test_colours_are_shown_as_their_profile_means_them(tmp_path: Path) -> None:
    # sRGB with red and blue exchanged: more telling than a real wide-gamut profile
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    data = saved(Image.new("RGB", (4, 4), (255, 0, 0)), "PNG", icc_profile=bytes(profile))
    assert np.abs(kept(data, tmp_path) - [0, 0, 255]).max() <= 3


@pytest.mark.parametrize("profile", [b"\xff" * 900_000, b"", b"acsp" * 40], ids=len)
def test_a_broken_profile_is_ignored(tmp_path: Path, profile: bytes) -> None:
    data = saved(scene(), "PNG", icc_profile=profile)
    assert (kept(data, tmp_path) == np.asarray(scene())).all()


def test_a_very_large_picture_is_kept_smaller(tmp_path: Path) -> None:
    stored = store_picture(png(5000, 2500, 1, 0, (b"\0" * 626) * 2500), tmp_path)
    assert (stored.width, stored.height) == (MAX_STORED_SIDE, MAX_STORED_SIDE // 2)


def test_too_many_bytes_are_refused_unread(tmp_path: Path) -> None:
    assert code_of(b"\0" * 2_000, tmp_path, PictureLimits(max_bytes=1_000)) is ErrorCode.TOO_LARGE


@pytest.mark.parametrize(
    "size", [(65_536, 1), (1, 65_536), (14_143, 14_143), (60_000, 60_000)], ids=str
)
def test_too_many_pixels_are_refused_by_the_header_alone(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    assert code_of(png(*size, 8, 2, b""), tmp_path) is ErrorCode.TOO_LARGE


def test_another_kind_of_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(KinoraError, match=r"This is a PDF, .* Use a PNG, JPEG"):
        store_picture(saved(scene(), "PDF"), tmp_path)


def test_text_inside_a_picture_cannot_fill_the_memory(tmp_path: Path) -> None:
    extra = chunk(b"tEXt", b"a\0" + b"x" * 500) * 10_000
    data = png(1, 1, 8, 2, b"\0\x01\x02\x03", extra)
    assert kept(data, tmp_path).tolist() == [[[1, 2, 3]]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    stored = store_picture(scene(), tmp_path)
    path = tmp_path / f"{stored.id}.png"
    path.unlink()
    part_name(path).symlink_to("/dev/full")
    with pytest.raises(KinoraError) as refusal:
        store_picture(scene(), tmp_path)
    assert refusal.value.code is ErrorCode.OUT_OF_DISK and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "0" * 64, "../../etc/passwd", "A" * 64])
def test_a_picture_that_is_not_there_is_told_as_such(tmp_path: Path, name: str) -> None:
    with pytest.raises(KinoraError) as refusal:
        load_picture(name, tmp_path)
    assert refusal.value.code is ErrorCode.NOT_FOUND


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_200_malformed_pictures_are_refused_or_read_and_memory_stays_bounded(
    tmp_path: Path,
) -> None:
    source, folder = tmp_path / "sent", tmp_path / "kept"
    source.mkdir()
    sent = pictures()
    for n, data in enumerate(sent):
        (source / f"{n:03}").write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-m", "tests.media.malformed", str(source), str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    fates = report["told"].values()
    assert len(sent) == len(fates) == 200
    refusals = {ErrorCode.INVALID_IMAGE.value, ErrorCode.TOO_LARGE.value}
    ids = set(fates) - refusals
    assert ids and refusals <= set(fates)
    assert {path.name for path in folder.iterdir()} == {f"{name}.png" for name in ids}
    for name in ids:
        with Image.open(folder / f"{name}.png") as image:
            image.load()
            assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})
    assert report["extra_mb"] < 320


def test_a_crop_of_the_same_size_is_the_picture_itself() -> None:
    assert (np.asarray(crop_to(scene(), 96, 64, CENTRE)) == np.asarray(scene())).all()


@pytest.mark.parametrize("focus", [0.0, 0.25, 0.5, 1.0])
def test_a_crop_sits_where_the_focus_puts_it(focus: float) -> None:
    wide = np.asarray(crop_to(scene(96, 64), 64, 64, Focus(x=focus, y=0.5)))
    left = round(32 * focus)
    assert (wide == np.asarray(scene(96, 64))[:, left : left + 64]).all()
    tall = np.asarray(crop_to(scene(64, 96), 64, 64, Focus(x=0.5, y=focus)))
    assert (tall == np.asarray(scene(64, 96))[left : left + 64]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 7), (127, 129)], ids=str)
@pytest.mark.parametrize("target", [(128, 128), (96, 160), (1, 1), (160, 96)], ids=str)
def test_any_picture_fills_any_clip(size: tuple[int, int], target: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (9, 8, 7))
    for focus in (Focus(x=0, y=0), CENTRE, Focus(x=1, y=1)):
        shown = crop_to(image, *target, focus)
        assert shown.size == target and (np.asarray(shown) == (9, 8, 7)).all()
