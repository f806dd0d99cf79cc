"""Near copies of a clip are found, and other clips are not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media.ffmpeg import base_command
from media.perceptual_hash import (
    BITS,
    CROPS,
    blocked_hashes,
    clip_frames,
    distances,
    from_text,
    hash_frames,
    is_near_copy,
    near_part,
    picture_frames,
    to_text,
)


def scene(seed: int, count: int = 8, width: int = 160, height: int = 96) -> np.ndarray:
    """Soft moving blobs over a gradient, another picture for each seed. uint8 [F, H, W, 3]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]  # type: ignore[misc]
    slope = random.uniform(-1, 1, (3, 2))
    frames = np.stack([s[0] * x + s[1] * y for s in slope], axis=-1)[None].repeat(count, 0)
    for _ in range(9):
        centre, speed = random.uniform(0, 1, 2), random.uniform(-0.1, 0.1, 2)
        size, colour = random.uniform(0.04, 0.2), random.uniform(-1.5, 1.5, 3)
        for n in range(count):
            at = centre + speed * n / count
            blob = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / size**2)
            frames[n] += blob[..., None] * colour
    low, high = frames.min(), frames.max()
    return ((frames - low) / (high - low) * 255).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.78, 1.0), st.integers(48, 400), st.floats(0.7, 1.2))
def test_resized_cropped_and_brightened_frames_are_near(
    seed: int, part: float, width: int, light: float
) -> None:
    frames = scene(seed)
    blocked = blocked_hashes(frames)
    height, across = frames.shape[1:3]
    top, left = round(height * (1 - part) / 2), round(across * (1 - part) / 2)
    cut = frames[:, top : height - top, left : across - left].astype(float) * light
    changed = np.stack([
        np.asarray(Image.fromarray(each).resize((width, width // 2)))
        for each in np.clip(cut, 0, 255).astype(np.uint8)
    ])  # fmt: skip
    assert is_near_copy(hash_frames(changed), blocked)
    assert is_near_copy(hash_frames(changed[:, :, ::-1]), blocked)


def test_other_scenes_are_not_near() -> None:
    """No hash separates all pictures in the world: of these 1,560 pairs, it separates each."""
    scenes = [scene(seed, 2) for seed in range(40)]
    found = [hash_frames(frames) for frames in scenes]
    blocked = [blocked_hashes(frames) for frames in scenes]
    for one in range(40):
        near = [other for other in range(40) if is_near_copy(found[one], blocked[other])]
        assert near == [one]


def test_empty_frames_are_copies_of_nothing() -> None:
    black = np.zeros((4, 32, 32, 3), np.uint8)
    noise = np.random.default_rng(0).integers(0, 3, (4, 32, 32, 3), np.uint8)
    for flat in (black, noise):
        assert len(hash_frames(flat)) == 0
        assert near_part(hash_frames(flat), hash_frames(scene(1))) == 0.0


def test_hashes_are_stored_as_text() -> None:
    hashes = hash_frames(scene(3), CROPS)
    assert np.array_equal(from_text(to_text(hashes)), hashes)
    assert distances(hashes, hashes).diagonal().max() == 0
    assert distances(hashes, ~hashes).diagonal().min() >= BITS
    assert len(from_text("")) == 0


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_a_clip_that_was_encoded_again_is_near(tmp_path: Path, suffix: str) -> None:
    frames = scene(5, 12)
    original, copy = tmp_path / "clip.mp4", tmp_path / f"copy.{suffix}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "160x96", "-r", "8", "-i", "pipe:0"]
    subprocess.run(
        [*base_command(), *raw, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(original)],
        input=frames.tobytes(), check=True, capture_output=True,
    )  # fmt: skip
    worse = ["-crf", "40"] if suffix == "mp4" else []
    scaled = ["-vf", "scale=96:-2,fps=6", *worse, str(copy)]
    subprocess.run([*base_command(), "-i", str(original), *scaled], check=True, capture_output=True)
    blocked = hash_frames(clip_frames(original), CROPS)
    assert is_near_copy(hash_frames(clip_frames(copy)), blocked)
    still = tmp_path / "still.png"
    Image.fromarray(frames[6]).save(still)
    assert is_near_copy(hash_frames(picture_frames(still)), blocked)
