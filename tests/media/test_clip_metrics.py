"""Each measure falls with the fault that it is named after, and not with the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import ErrorCode, KinoraError
from media.block_motion import motion, motion_between
from media.clip_metrics import ClipMetrics, measure
from media.encode import encode
from media.small_frames import read_small_frames
from pipelines.request import Format

WIDTH, HEIGHT, FRAMES = 112, 64, 5


def texture(seed: int = 0) -> np.ndarray:
    """A smooth random picture, float32 [160, 640]."""
    noise = np.random.default_rng(seed).integers(0, 255, (16, 64), dtype=np.uint8)
    large = Image.fromarray(noise).resize((640, 160), Image.Resampling.BICUBIC)
    return np.asarray(large, np.float32) * 0.7 + 30


def view(picture: np.ndarray, left: float) -> np.ndarray:
    """What a camera sees that stands at `left`."""
    whole, part = int(left), left - int(left)
    cut = picture[40 : 40 + HEIGHT, whole : whole + WIDTH + 1]
    return cut[:, :-1] * (1 - part) + cut[:, 1:] * part


def clip(
    speed: float = 0.0, jerk: float = 0.0, pump: float = 0.0, grain: float = 0.0, fade: float = 0.0
) -> np.ndarray:
    """A camera that pans by `speed` pixels a frame, and is off by `jerk` every other one."""
    random, picture = np.random.default_rng(1), texture()
    frames = [
        view(picture, 100 + speed * n + jerk * (n % 2))
        + pump * (n % 2)
        + fade * n
        + grain * random.standard_normal((HEIGHT, WIDTH))
        for n in range(FRAMES)
    ]
    grey = np.clip(np.stack(frames), 0, 255).astype(np.uint8)
    return grey[..., None].repeat(3, axis=-1)


def of(**faults: float) -> tuple[float, float, float]:
    found = measure(clip(**faults))
    assert found.frames == FRAMES
    assert found.motion_smoothness is not None
    assert found.temporal_consistency is not None
    assert found.flicker is not None
    return found.motion_smoothness, found.temporal_consistency, found.flicker


def test_a_still_picture_has_no_fault() -> None:
    assert of() == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("speed", [0.7, 3.0, 8.5])
def test_a_smooth_pan_is_smooth_consistent_and_steady(speed: float) -> None:
    smoothness, consistency, flicker = of(speed=speed)
    assert smoothness > 0.985
    assert consistency > 0.985
    assert flicker < 0.8


def test_a_jerky_camera_costs_smoothness_alone() -> None:
    (smooth, *_), (smoothness, consistency, flicker) = of(speed=3), of(speed=3, jerk=5)
    assert smoothness < smooth - 0.03
    assert consistency > 0.99
    assert flicker < 1.0


@pytest.mark.parametrize("pump", [4.0, 12.0])
def test_pumping_exposure_flickers_by_about_its_size(pump: float) -> None:
    *_, flicker = of(speed=1, pump=pump)
    assert 0.4 * pump < flicker < 1.2 * pump


def test_grain_costs_consistency_and_flickers_little() -> None:
    _, consistency, flicker = of(speed=1, grain=10)
    assert consistency < 0.98
    assert flicker < 1.5


def test_a_fade_is_no_flicker() -> None:
    assert of(fade=4)[2] < 0.5 < 3 < of(pump=8)[2]


def test_a_cut_costs_everything_and_breaks_nothing() -> None:
    shots = np.concatenate([clip()[:3], 255 - clip(speed=2)[:3]])
    found = measure(shots)
    assert found.motion_smoothness is not None
    assert found.motion_smoothness < 0.97


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (17, 9)])
def test_any_size_and_length_is_measured(count: int, size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (count, *size, 3), dtype=np.uint8)
    found = measure(frames)
    assert found.frames == count
    assert (found.temporal_consistency is None) == (count < 2)
    assert (found.flicker is None) == (found.motion_smoothness is None) == (count < 3)


@pytest.mark.parametrize("moved", [(0, 0), (3, -5), (-2, 11)])
def test_motion_is_found_in_both_senses(moved: tuple[int, int]) -> None:
    picture, (down, right) = texture(2), moved
    before = picture[40:120, 100:228]
    after = picture[40 - down : 120 - down, 100 - right : 228 - right]
    inside = (slice(16, -16), slice(24, -24))
    for vectors in (motion(before, after), 2 * motion_between(before, after)):
        # a block in a flat place may follow its neighbours only in part
        astray = np.abs(vectors[inside] - moved).max(axis=-1) > 0.5
        assert astray.mean() < 0.2


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif"])
def test_every_format_is_read_frame_by_frame(tmp_path: Path, kind: Format) -> None:
    frames, path = clip(speed=2), tmp_path / f"clip.{kind}"
    encode(frames, path, fps=8, format=kind, quality="high")
    small = read_small_frames(path, longest_side=64, most_frames=100)
    assert small.shape == (FRAMES, 37, 64, 3)
    assert len(read_small_frames(path, longest_side=64, most_frames=4)) == 4
    assert isinstance(measure(small), ClipMetrics)


@pytest.mark.parametrize("content", [b"", b"not a clip", b"GIF89a", b"\0\0\0\x18ftypmp42" * 9])
def test_other_files_are_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.mp4"
    path.write_bytes(content)
    with pytest.raises(KinoraError) as refused:
        read_small_frames(path, 64, 10)
    assert refused.value.code is ErrorCode.INVALID_VIDEO
    assert "file.mp4" in refused.value.message
    assert str(tmp_path) not in refused.value.message
