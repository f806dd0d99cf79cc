"""What comes out of `encode`, as a parser that is not ours reads it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from media.encode import encode
from media.files import part_name, remove_partial
from media.metadata import read_comment
from pipelines.request import Format, Quality
from tests.media.reading import BT709_CODE, TV_RANGE, read

ROOT = Path(__file__).resolve().parents[2]


def moving(num_frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours that drift: unlike noise, they survive compression."""
    t, y, x = np.meshgrid(*(np.arange(n) for n in (num_frames, height, width)), indexing="ij")
    waves = [np.sin((x * a + y * b) / 24 + t / 3 + seed) for a, b in ((1, 0), (0, 1), (1, 1))]
    return (128 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def plain(colour: tuple[int, int, int], num_frames: int = 3) -> np.ndarray:
    return np.full((num_frames, 48, 64, 3), colour, np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_an_mp4_is_h264_high_in_420_and_says_that_it_is_bt709(tmp_path: Path) -> None:
    clip = read(encode(moving(17, 128, 128), tmp_path / "clip.mp4", fps=8).path)
    assert (clip.codec, clip.profile, clip.pix_fmt) == ("h264", "High", "yuv420p")
    assert clip.colour == (BT709_CODE, BT709_CODE, BT709_CODE, TV_RANGE)


@pytest.mark.parametrize("fps", [1, 7, 8, 24, 30, 60])
def test_the_frame_rate_is_constant_and_the_duration_exact(tmp_path: Path, fps: int) -> None:
    clip = read(encode(moving(9, 32, 32), tmp_path / "clip.mp4", fps=fps).path)
    assert clip.rate == fps
    assert [time * fps for time in clip.times] == list(range(9))
    assert clip.duration_s == pytest.approx(9 / fps, abs=1e-4)


@pytest.mark.parametrize(
    "colour",
    [(255, 0, 0), (0, 255, 0), (0, 0, 255), *((grey,) * 3 for grey in (0, 16, 64, 128, 235, 255))],
    ids=str,
)
@pytest.mark.parametrize("format", ["mp4", "webm"])
def test_colours_come_back_within_3_of_255(
    tmp_path: Path, colour: tuple[int, int, int], format: Format
) -> None:
    path = tmp_path / f"clip.{format}"
    shown = read(encode(plain(colour), path, fps=8, format=format, quality="high").path).frames
    assert np.abs(shown.astype(int) - colour).max() <= 3


def test_the_index_comes_before_the_pictures(tmp_path: Path) -> None:
    data = encode(moving(9, 64, 64), tmp_path / "clip.mp4", fps=8).path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("format", get_args(Format))
@given(
    num_frames=st.integers(1, 5),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    quality=st.sampled_from(get_args(Quality)),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_size_and_any_count_come_out_exactly(
    tmp_path: Path, format: Format, num_frames: int, width: int, height: int, quality: Quality
) -> None:
    path = tmp_path / f"clip.{format}"
    frames = moving(num_frames, height, width)
    clip = encode(frames, path, fps=8, format=format, quality=quality)
    shown = read(path)
    assert shown.frames.shape == frames.shape
    assert (shown.width, shown.height) == (width, height) == (clip.width, clip.height)
    assert clip.num_frames == num_frames and clip.size_bytes == path.stat().st_size


@pytest.mark.parametrize("size", [(49, 65), (48, 65), (49, 64)], ids=str)
def test_an_odd_mp4_shows_the_right_pixels_and_no_seam(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    frames = moving(5, *size)
    shown = read(encode(frames, tmp_path / "clip.mp4", fps=8, quality="high").path)
    assert shown.frames.shape == frames.shape
    assert psnr(shown.frames, frames) > 33
    assert psnr(shown.frames[:, -1], frames[:, -1]) > 30
    assert psnr(shown.frames[:, :, -1], frames[:, :, -1]) > 30


def test_a_clip_of_one_frame_is_a_clip(tmp_path: Path) -> None:
    shown = read(encode(moving(1, 64, 64), tmp_path / "clip.mp4", fps=8).path)
    assert len(shown.frames) == 1 and shown.duration_s == pytest.approx(0.125)


def test_better_quality_is_nearer_to_the_frames_and_larger(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = (moving(9, 64, 64) * 0.8 + rng.integers(0, 50, (9, 64, 64, 3))).astype(np.uint8)
    for format in ("mp4", "webm"):
        path = tmp_path / f"clip.{format}"
        sizes, nearness = [], []
        for quality in ("low", "medium", "high"):
            clip = encode(frames, path, fps=8, format=format, quality=quality)
            sizes.append(clip.size_bytes)
            nearness.append(psnr(read(path).frames, frames))
        assert sizes == sorted(sizes) and nearness == sorted(nearness)


def test_the_same_frames_make_the_same_file(tmp_path: Path) -> None:
    files = [
        encode(moving(9, 64, 64), tmp_path / name, fps=8, comment="{}").path.read_bytes()
        for name in ("a.mp4", "b.mp4")
    ]
    assert files[0] == files[1]


def test_a_webm_is_vp9_and_carries_the_comment(tmp_path: Path) -> None:
    path = tmp_path / "clip.webm"
    shown = read(encode(moving(9, 64, 64), path, fps=8, format="webm", comment='{"a":"🚀"}').path)
    assert (shown.codec, shown.pix_fmt) == ("vp9", "yuv420p")
    assert shown.colour == (BT709_CODE, BT709_CODE, BT709_CODE, TV_RANGE)
    assert shown.tags["comment"] == '{"a":"🚀"}'


def test_a_fast_gif_is_thinned_so_that_browsers_play_it_in_time(tmp_path: Path) -> None:
    clip = encode(moving(60, 16, 16), tmp_path / "clip.gif", fps=60, format="gif")
    shown = read(clip.path)
    assert (clip.num_frames, clip.fps) == (30, 30) and len(shown.frames) == 30
    assert shown.duration_s == pytest.approx(1, abs=0.05)


def test_a_gif_loops_for_ever(tmp_path: Path) -> None:
    path = encode(moving(3, 16, 16), tmp_path / "clip.gif", fps=8, format="gif").path
    assert b"NETSCAPE2.0\x03\x01\x00\x00" in path.read_bytes()


def test_a_clip_larger_than_allowed_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 128, 128, 3), dtype=np.uint8)
    with pytest.raises(KinoraError, match="larger than") as refusal:
        encode(noise, tmp_path / "clip.mp4", fps=8, quality="high", max_bytes=200_000)
    assert refusal.value.code is ErrorCode.TOO_LARGE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_as_such_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    part_name(path).symlink_to("/dev/full")
    with pytest.raises(KinoraError) as refusal:
        encode(moving(9, 64, 64), path, fps=8)
    assert refusal.value.code is ErrorCode.OUT_OF_DISK
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_is_told_without_paths_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    with pytest.raises(KinoraError) as refusal:
        encode(moving(200, 64, 64), tmp_path / "clip.mp4", fps=8)
    assert refusal.value.code is ErrorCode.ENCODE
    assert str(tmp_path) not in str(refusal.value.as_dict())
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_clip_that_was_there(tmp_path: Path) -> None:
    path = encode(moving(3, 32, 32), tmp_path / "clip.mp4", fps=8).path
    before = path.read_bytes()
    with pytest.raises(KinoraError):
        encode(moving(30, 64, 64), path, fps=8, max_bytes=100)
    assert path.read_bytes() == before


ENDLESS = """
import sys, numpy as np
from pathlib import Path
from media.encode import encode
noise = np.random.default_rng(0).integers(0, 255, (1, 256, 256, 3), dtype=np.uint8)
encode(np.broadcast_to(noise, (100_000, 256, 256, 3)), Path(sys.argv[1]), fps=8)
"""


def test_a_killed_process_leaves_no_clip_and_its_remains_are_swept(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 30
        while not any(part.stat().st_size for part in tmp_path.glob("clip*.part")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not path.exists()
    time.sleep(1)  # ffmpeg sees the end of its pipe and goes
    assert remove_partial(tmp_path) > 0 and list(tmp_path.iterdir()) == []


def test_two_clips_at_once_do_not_touch_each_other(tmp_path: Path) -> None:
    def work(n: int) -> None:
        encode(moving(9, 64, 64, seed=n), tmp_path / f"{n}.mp4", fps=8, comment=f'{{"n":{n}}}')

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(4):
        path = tmp_path / f"{n}.mp4"
        assert read_comment(path) == {"n": n}
        assert psnr(read(path).frames, moving(9, 64, 64, seed=n)) > 28


@pytest.mark.parametrize(
    "frames",
    [np.zeros((0, 4, 4, 3), np.uint8), np.zeros((1, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8)],
    ids=["none", "floats", "a picture"],
)
def test_what_are_not_frames_is_refused(tmp_path: Path, frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8 frames"):
        encode(frames, tmp_path / "clip.mp4", fps=8)
