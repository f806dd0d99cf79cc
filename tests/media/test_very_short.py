"""Clips of one picture or none, pictures that are called clips, and containers by their names."""

from __future__ import annotations

import io
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import ErrorCode, KinoraError
from media.encode import encode
from media.prefix import LeadIn
from media.videos import load_frames, store_video
from tests.media.making import FFMPEG, write_timed
from tests.media.reading import read


@pytest.mark.parametrize(
    "lasts", [Fraction(1, 25), Fraction(1, 60), Fraction(1, 1000), Fraction(2)]
)
@pytest.mark.parametrize("count", [1, 2])
def test_one_picture_is_enough_at_any_pace(tmp_path: Path, lasts: Fraction, count: int) -> None:
    times = [n * lasts / count for n in range(count)]
    source = write_timed(tmp_path / "one.mp4", [90] * count, times, lasts)
    stored = store_video(source, tmp_path)
    assert stored.seconds <= max(lasts, Fraction(1, 8)) + Fraction(1, 100)
    for fps in (4, 24, 60):
        frames = load_frames(stored.id, tmp_path, fps=fps, num_frames=9, width=64, height=48)
        assert len(frames) == 9
        assert {round(float(np.asarray(frame).mean())) for frame in frames} <= {89, 90, 91}
        lead_frames = max(1, round(stored.seconds * fps))
        first = LeadIn(stored.id, tmp_path, fps, lead_frames, 64, 48)
        made = encode(np.full((3, 48, 64, 3), 200, np.uint8), tmp_path / f"{fps}.mp4", fps=fps,
                      lead=first)  # fmt: skip
        greys = read(made.path).frames.mean(axis=(1, 2, 3)).round()
        assert len(greys) == lead_frames + 3
        assert np.abs(greys - [*[90] * lead_frames, 200, 200, 200]).max() <= 2


def refusal(source: Path) -> str:
    with pytest.raises(KinoraError) as error:
        store_video(source, source.parent / "kept")
    assert error.value.code is ErrorCode.INVALID_VIDEO
    return error.value.message


def test_a_clip_without_any_picture_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    subprocess.run(
        [FFMPEG, "-y", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=8",
         "-t", "0", "-c:v", "libx264", empty], check=True,
    )  # fmt: skip
    assert refusal(empty)
    assert not list((tmp_path / "kept").rglob("*.mp4"))


@pytest.mark.parametrize(
    ("format", "what"),
    [("PNG", "a PNG picture"), ("JPEG", "a JPEG picture"), ("WEBP", "a WebP picture"),
     ("AVIF", "an AVIF picture"), ("GIF", "a GIF")],
)  # fmt: skip
def test_a_picture_that_is_called_a_clip_is_named(tmp_path: Path, format: str, what: str) -> None:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(data, format)
    disguised = tmp_path / "clip.mp4"
    disguised.write_bytes(data.getvalue())
    assert f"This is {what}" in refusal(disguised)


def test_an_heic_picture_is_named(tmp_path: Path) -> None:
    disguised = tmp_path / "clip.mov"
    disguised.write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + b"\0" * 4000)
    assert "This is an HEIC picture, not a clip" in refusal(disguised)


@pytest.mark.parametrize(
    ("name", "what"),
    [("c.avi", "an AVI file"), ("c.flv", "a Flash video"), ("c.wmv", "a Windows Media file"),
     ("c.mpg", "an MPEG program stream"), ("c.ts", "an MPEG transport stream"),
     ("c.ogv", "an Ogg file")],
)  # fmt: skip
def test_a_container_that_is_not_read_is_named(tmp_path: Path, name: str, what: str) -> None:
    other = tmp_path / name
    codec = {"c.ogv": "libtheora", "c.wmv": "wmv2", "c.mpg": "mpeg1video"}.get(name, "libx264")
    subprocess.run(
        [FFMPEG, "-y", "-loglevel", "error", "-f", "lavfi", "-i",
         "testsrc=size=64x64:rate=25:duration=1", "-c:v", codec, "-pix_fmt", "yuv420p", other],
        check=True,
    )  # fmt: skip
    assert refusal(other) == f"This is {what}. Use an MP4 or WebM."


@pytest.mark.parametrize("name", ["c.mp4", "c.mov", "c.m4v", "c.mkv", "c.webm", "c.3gp"])
def test_containers_that_are_read(tmp_path: Path, name: str) -> None:
    source = write_timed(tmp_path / "a.mp4", [40, 80, 120], [Fraction(n, 8) for n in range(3)],
                         Fraction(3, 8))  # fmt: skip
    other = tmp_path / name
    codec = ("libvpx",) if name == "c.webm" else ("copy",)
    if source != other:
        subprocess.run([FFMPEG, "-y", "-loglevel", "error", "-i", source, "-c:v", *codec, other],
                       check=True)  # fmt: skip
    assert store_video(other, tmp_path).num_frames == 3


def test_tracks_beside_the_pictures_and_the_sound_do_not_matter(tmp_path: Path) -> None:
    """A camera's timecode, which newer versions of ffmpeg list in a group, and a cover picture."""
    values, times = [40, 80, 120], [Fraction(n, 8) for n in range(3)]
    source = write_timed(tmp_path / "a.mp4", values, times, Fraction(3, 8))
    cover = tmp_path / "cover.png"
    Image.new("RGB", (64, 64), "red").save(cover)
    for name, *how in (
        ("timecode.mov", "-i", source, "-c", "copy", "-timecode", "01:00:00:00"),
        ("cover.mp4", "-i", cover, "-i", source, "-map", "0", "-map", "1", "-c:v:0", "png",
         "-c:v:1", "copy", "-disposition:v:0", "attached_pic"),
    ):  # fmt: skip
        subprocess.run([FFMPEG, "-y", "-loglevel", "error", *how, tmp_path / name], check=True)
        assert store_video(tmp_path / name, tmp_path).num_frames == 3


def test_half_an_upload_is_called_damaged(tmp_path: Path) -> None:
    source = write_timed(tmp_path / "a.mp4", [40] * 9, [Fraction(n, 8) for n in range(9)],
                         Fraction(9, 8))  # fmt: skip
    source.write_bytes(source.read_bytes()[:-300])
    assert "damaged or incomplete" in refusal(source)


def test_an_old_quicktime_file_without_a_type_is_read(tmp_path: Path) -> None:
    """Cameras of before 2001 begin a file with its samples."""
    source = write_timed(tmp_path / "a.mov", [40, 80, 120], [Fraction(n, 8) for n in range(3)],
                         Fraction(3, 8))  # fmt: skip
    data = source.read_bytes()
    head = int.from_bytes(data[:4], "big")
    old = tmp_path / "old.mov"
    old.write_bytes(head.to_bytes(4, "big") + b"free" + data[8:])
    assert store_video(old, tmp_path).num_frames == 3
