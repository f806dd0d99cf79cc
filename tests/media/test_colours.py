"""HDR, wide gamuts and untagged clips keep the colours that other players show."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import KinoraError
from media.prefix import LeadIn
from media.videos import StoredVideo, load_frames, store_video
from tests.media.making import (
    FFMPEG,
    PATCH,
    TO_2020,
    TO_P3,
    as_hlg,
    as_pq,
    as_wide,
    gamma_of,
    in_yuv,
    light_of,
    patches,
    write_raw,
)
from tests.media.reading import read

WHITE, RED, GREY, BLACK = (255, 255, 255), (220, 30, 30), (128, 128, 128), (0, 0, 0)
COLOURS = np.array([
    WHITE, RED, (30, 160, 60), (40, 60, 200), GREY, (240, 200, 40), BLACK, (200, 150, 120),
])  # fmt: skip
COLUMNS = 4
CLOSE = 6
"""Of 255: eight bits, a lossy codec and colour at half the resolution."""

QUICK = {
    "h264": ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "4"),
    "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "qp=6:log-level=error",
             "-tag:v", "hvc1"),
    "vp9": ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-crf", "4", "-b:v", "0"),
    "av1": ("-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "8"),
    "vp8": ("-c:v", "libvpx", "-cpu-used", "8", "-crf", "4", "-b:v", "4M"),
}  # fmt: skip
HDR = {
    "HLG": (as_hlg, "bt2020nc bt2020 arib-std-b67 tv"),
    "PQ": (as_pq, "bt2020nc bt2020 smpte2084 tv"),
}


def colours_in(picture: np.ndarray, columns: int = COLUMNS) -> np.ndarray:
    """The middle of each patch."""
    height, width = picture.shape[:2]
    side = width // columns
    return np.array([
        picture[y + side // 4 : y + 3 * side // 4, x + side // 4 : x + 3 * side // 4]
        .reshape(-1, 3).mean(axis=0)
        for y in range(0, height, side) for x in range(0, width, side)
    ])  # fmt: skip


def shown(stored: StoredVideo, folder: Path) -> np.ndarray:
    (frame,) = load_frames(
        stored.id, folder, fps=8, num_frames=1, width=stored.width, height=stored.height
    )
    return np.asarray(frame)


def far_off(got: np.ndarray, meant: np.ndarray) -> float:
    return float(np.abs(got - meant).max())


def hdr_clip(path: Path, kind: str, codec: str, colours: np.ndarray = COLOURS) -> Path:
    encode, tags = HDR[kind]
    picture = patches(encode(colours), COLUMNS)
    height, width = picture.shape[:2]
    pixels = in_yuv(picture, "bt2020", bits=10)
    return write_raw(path, pixels, (width, height), "yuv420p10le", *QUICK[codec],
                     "-pix_fmt", "yuv420p10le", tags=tags)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "codec", "name"),
    [
        ("HLG", "hevc", "phone.mov"),
        ("PQ", "hevc", "hdr10.mp4"),
        ("HLG", "vp9", "hlg.webm"),
        ("PQ", "vp9", "pq.mkv"),
        ("PQ", "av1", "pq.mp4"),
    ],
)
def test_hdr_clips_are_shown_as_sdr(tmp_path: Path, kind: str, codec: str, name: str) -> None:
    stored = store_video(hdr_clip(tmp_path / name, kind, codec), tmp_path)
    assert stored.sent_hdr == kind
    assert far_off(colours_in(shown(stored, tmp_path)), COLOURS) <= CLOSE
    # and in the file itself, which the page shows, and where a clip goes on from it
    kept = read(tmp_path / f"{stored.id}.mp4")
    assert kept.colour == (1, 1, 1, 1)
    assert far_off(colours_in(kept.frames[0]), COLOURS) <= CLOSE
    first = LeadIn(stored.id, tmp_path, 8, 4, width=stored.width, height=stored.height)
    assert far_off(colours_in(np.asarray(first.last_images(1)[0])), COLOURS) <= CLOSE


@pytest.mark.parametrize("kind", HDR)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_any_sdr_colour_in_hdr_comes_back(kind: str, seed: int) -> None:
    colours = np.random.default_rng(seed).integers(0, 256, (24, 3))
    with tempfile.TemporaryDirectory() as place:
        stored = store_video(hdr_clip(Path(place) / "c.mp4", kind, "h264", colours), Path(place))
        got = colours_in(shown(stored, Path(place)))
    # what is left are eight bits of colour difference, which a dark channel shows most
    assert far_off(got.clip(24), colours.clip(24)) <= 2 * CLOSE, (got - colours).round()
    assert np.abs(got - colours).mean() <= 1.5


@pytest.mark.parametrize("kind", HDR)
def test_highlights_keep_their_hue_and_their_order(tmp_path: Path, kind: str) -> None:
    """Light of up to five times SDR white: never darker than what is darker, never another hue."""
    base = np.array([(255, 255, 255), (255, 120, 40), (90, 140, 255), (255, 240, 200)])
    encode, tags = HDR[kind]
    steps = [encode(base, nits) for nits in (203.0, 400.0, 700.0, 1000.0)]
    picture = patches(np.concatenate(steps), COLUMNS)
    pixels = in_yuv(picture, "bt2020", bits=10)
    made = write_raw(tmp_path / "bright.mp4", pixels, (64, 64), "yuv420p10le", *QUICK["h264"],
                     "-pix_fmt", "yuv420p10le", tags=tags)  # fmt: skip
    got = colours_in(shown(store_video(made, tmp_path), tmp_path)).reshape(4, 4, 3)
    assert got[:, 0].min() >= 250, "white stays white"
    assert (np.diff(got.max(axis=2), axis=0) >= -2).all()
    for brighter in got[1:]:
        ratio = light_of(brighter) / light_of(brighter).max(axis=1, keepdims=True)
        meant = light_of(base) / light_of(base).max(axis=1, keepdims=True)
        assert np.abs(gamma_of(ratio) - gamma_of(meant)).max() < 0.05


def test_a_rotated_hdr_clip_of_odd_size_is_upright_and_of_its_colours(tmp_path: Path) -> None:
    flat = hdr_clip(tmp_path / "flat.mp4", "HLG", "hevc")
    turned = tmp_path / "turned.mov"
    subprocess.run([FFMPEG, "-y", "-loglevel", "error", "-display_rotation", "90", "-i", flat,
                    "-c", "copy", turned], check=True)  # fmt: skip
    stored = store_video(turned, tmp_path)
    assert (stored.width, stored.height) == (2 * PATCH, 4 * PATCH)
    upright = np.rot90(shown(stored, tmp_path), -1)
    assert far_off(colours_in(upright), COLOURS) <= CLOSE
    # an odd number of columns: 63 of the 64
    odd = write_raw(tmp_path / "odd.mp4", in_yuv(patches(as_hlg(COLOURS), 4)[:, :63], "bt2020",
                    bits=10, half=False), (63, 32), "yuv444p10le", *QUICK["hevc"], "-pix_fmt",
                    "yuv444p10le", tags=HDR["HLG"][1])  # fmt: skip
    small = store_video(odd, tmp_path)
    got = np.pad(shown(small, tmp_path), ((0, 0), (0, 64 - small.width), (0, 0)), mode="edge")
    assert far_off(colours_in(got), COLOURS) <= CLOSE


def boxed(data: bytes, profile: int, compatibility: int) -> bytes:
    """An HEVC file in MP4 with a Dolby Vision record, as phones write it."""
    record = bytes([1, 0, profile << 1, (1 << 3) | 0b101, compatibility << 4]) + bytes(19)
    box = (8 + len(record)).to_bytes(4, "big") + (b"dvvC" if profile > 7 else b"dvcC") + record
    place = data.index(b"hvc1", data.index(b"stsd")) - 4
    end = place + int.from_bytes(data[place : place + 4], "big")
    out = bytearray(data[:end] + box + data[end:])
    # every box around it grows; the samples lie before, so that their offsets stay
    assert data.index(b"mdat") < data.index(b"moov")
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1"):
        start = data.rindex(name, 0, place + 8) - 4
        grown = int.from_bytes(out[start : start + 4], "big") + len(box)
        out[start : start + 4] = grown.to_bytes(4, "big")
    return bytes(out)


def test_dolby_vision_is_read_where_it_is_hlg_as_well_and_refused_where_it_is_not(
    tmp_path: Path,
) -> None:
    plain = hdr_clip(tmp_path / "plain.mp4", "HLG", "hevc").read_bytes()
    phone = tmp_path / "phone.mov"
    phone.write_bytes(boxed(plain, profile=8, compatibility=4))
    stored = store_video(phone, tmp_path)
    assert far_off(colours_in(shown(stored, tmp_path)), COLOURS) <= CLOSE
    phone.write_bytes(boxed(plain, profile=5, compatibility=0))
    with pytest.raises(KinoraError, match="Dolby Vision profile 5"):
        store_video(phone, tmp_path)


# -- SDR in other clothes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "matrix", "numbers", "how"),
    [
        ("bt709 bt709 bt709 tv", "bt709", COLOURS / 255, {}),
        ("bt709 bt709 bt709 pc", "bt709", COLOURS / 255, {"full": True}),
        ("smpte170m smpte170m smpte170m tv", "bt601", COLOURS / 255, {}),
        ("bt470bg bt709 bt709 tv", "bt601", COLOURS / 255, {}),
        ("bt709 bt709 iec61966-2-1 tv", "bt709", COLOURS / 255, {"bits": 10}),
        ("bt2020nc bt2020 bt2020-10 tv", "bt2020", as_wide(COLOURS, TO_2020), {"bits": 10}),
        ("bt2020nc - - tv", "bt2020", as_wide(COLOURS, TO_2020), {}),
        ("bt709 smpte432 bt709 tv", "bt709", as_wide(COLOURS, TO_P3), {}),
        ("bt709 smpte432 iec61966-2-1 pc", "bt709", as_wide(COLOURS, TO_P3), {"full": True}),
        ("bt709 bt709 linear tv", "bt709", light_of(COLOURS), {"bits": 10}),
        ("bt709 bt709 bt709 tv", "bt709", COLOURS / 255, {"half": False}),
    ],
)
def test_tagged_clips_are_read_as_they_say(
    tmp_path: Path, tags: str, matrix: str, numbers: np.ndarray, how: dict[str, Any]
) -> None:
    picture = patches(numbers, COLUMNS)
    form = f"yuv{420 if how.get('half', True) else 444}p{'10le' if how.get('bits') else ''}"
    made = write_raw(tmp_path / "c.mp4", in_yuv(picture, matrix, **how), (64, 32), form,
                     *QUICK["h264"], "-pix_fmt", form, tags=tags)  # fmt: skip
    stored = store_video(made, tmp_path)
    assert stored.sent_hdr is None
    assert far_off(colours_in(shown(stored, tmp_path)), COLOURS) <= CLOSE + 2


def test_rgb_inside_h264_is_not_taken_for_yuv(tmp_path: Path) -> None:
    picture = patches(COLOURS, COLUMNS).astype(np.uint8)
    made = write_raw(tmp_path / "rgb.mp4", picture.tobytes(), (64, 32), "rgb24", "-c:v",
                     "libx264rgb", "-qp", "2")  # fmt: skip
    assert far_off(colours_in(shown(store_video(made, tmp_path), tmp_path)), COLOURS) <= CLOSE


@pytest.mark.parametrize(
    ("codec", "size", "name", "matrix"),
    [
        # as Chromium 156 draws them: docs/LOG.md
        ("h264", (128, 96), "c.mp4", "bt601"),
        ("h264", (720, 576), "c.mp4", "bt601"),
        ("h264", (1024, 576), "c.mkv", "bt601"),
        ("h264", (1280, 720), "c.mp4", "bt709"),
        ("h264", (544, 960), "c.mov", "bt709"),
        ("vp8", (128, 96), "c.webm", "bt601"),
        ("vp8", (1280, 720), "c.webm", "bt709"),
        ("vp9", (128, 96), "c.webm", "bt601"),
        ("vp9", (1280, 720), "c.webm", "bt601"),
        ("av1", (1280, 720), "c.mp4", "bt601"),
    ],
)
def test_untagged_clips_are_read_as_browsers_read_them(
    tmp_path: Path, codec: str, size: tuple[int, int], name: str, matrix: str
) -> None:
    picture = np.broadcast_to(np.array(RED) / 255, (size[1], size[0], 3))
    made = write_raw(tmp_path / name, in_yuv(picture, matrix), size, "yuv420p", *QUICK[codec])
    stored = store_video(made, tmp_path)
    assert far_off(shown(stored, tmp_path).reshape(-1, 3).mean(axis=0), np.array(RED)) <= CLOSE


def test_a_matrix_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    picture = patches(COLOURS / 255, COLUMNS)
    made = write_raw(tmp_path / "c.mp4", in_yuv(picture, "bt709"), (64, 32), "yuv420p",
                     *QUICK["h264"], tags="ictcp bt2020 smpte2084 tv")  # fmt: skip
    with pytest.raises(KinoraError, match="ictcp"):
        store_video(made, tmp_path)
