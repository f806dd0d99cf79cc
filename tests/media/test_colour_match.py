"""Windows of a long clip are matched to the first one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.colour_match import (
    MOST_GAIN,
    MOST_SHIFT,
    ColourMap,
    ColourStats,
    WindowMatch,
    blend,
    find_cut,
)

LENGTH = 17


def scene(index: int) -> np.ndarray:
    """A texture that moves, float [H, W, 3] of middle brightness."""
    texture = np.random.default_rng(1).random((48, 64, 3)) * 0.6 + 0.2
    return np.roll(texture, (index, 2 * index), (0, 1))


def as_frames(values: list[np.ndarray]) -> np.ndarray:
    return (np.stack(values).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def look_of(frame: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Gain and shift of each colour in a frame, beside the scene."""
    fits = [
        np.polyfit(scene(index)[..., c].ravel(), frame[..., c].ravel() / 255, 1) for c in range(3)
    ]
    return np.array([f[0] for f in fits]), np.array([f[1] for f in fits])


def drifting_window(before: np.ndarray, start: int, jump: float, growth: float) -> np.ndarray:
    """What a model makes that starts from a picture: in its colours, and drifting from there."""
    gain, shift = look_of(before, start)
    frames: list[np.ndarray] = []
    for index in range(LENGTH):
        much = jump + growth * index / (LENGTH - 1)
        values = scene(start + index) * gain + shift
        frames.append(
            (values - 0.5) * (1 + 0.06 * much) + 0.5 + np.array([0.04, 0.02, -0.03]) * much
        )
    return as_frames(frames)


@pytest.mark.parametrize(("jump", "growth"), [(0, 1), (1, 0), (0.5, 0.5), (0, -1)])
def test_a_drift_does_not_add_up(jump: float, growth: float) -> None:
    first = as_frames([scene(index) for index in range(LENGTH)])
    anchor, mean, contrast = (
        ColourStats.of_frames(first),
        first.mean((0, 1, 2)),
        first.std((0, 1, 2)),
    )
    clip, end = [first], LENGTH - 1
    for _ in range(5):
        window = drifting_window(clip[-1][-1], end, jump, growth)
        match = WindowMatch.plan(window, clip[-1][-1:], anchor)
        matched = np.stack(list(match.apply(window)))
        # it begins in the colours that the one before it ended with
        assert abs(matched[0].mean((0, 1)) - clip[-1][-1].mean((0, 1))).max() < 1
        clip.append(matched[1:])
        end += LENGTH - 1
    for part in clip[1:]:
        assert abs(part.mean((0, 1, 2)) / mean - 1).max() < 0.01
        assert abs(part.std((0, 1, 2)) / contrast - 1).max() < 0.01
    means = [frame.mean() for frame in np.concatenate(clip)]
    assert max(abs(b - a) for a, b in pairwise(means)) < 1.5


def test_what_has_not_drifted_is_not_touched() -> None:
    first = as_frames([scene(index) for index in range(LENGTH)])
    window = as_frames([scene(LENGTH - 1 + index) for index in range(LENGTH)])
    match = WindowMatch.plan(window, first[-1:], ColourStats.of_frames(first))
    assert all(a is b or (a == b).all() for a, b in zip(window, match.apply(window), strict=True))


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), flat=st.booleans())
def test_a_match_is_never_stronger_than_allowed(seed: int, flat: bool) -> None:
    random = np.random.default_rng(seed)
    low, high = sorted(random.integers(0, 256, 2))
    frames = random.integers(low, high + 1, (6, 16, 16, 3)).astype(np.uint8)
    if flat:
        frames[:] = random.integers(0, 256, 3)
    target = random.integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    match = WindowMatch.plan(frames, target, ColourStats.of_frames(target))
    for change in (match.join, match.drift):
        values = np.linalg.eigvalsh(change.matrix)
        assert values.min() >= 1 / MOST_GAIN - 1e-9 and values.max() <= MOST_GAIN + 1e-9
    matched = list(match.apply(frames))
    assert len(matched) == 6 and all(each.dtype == np.uint8 for each in matched)


def test_a_map_gives_one_statistic_the_other() -> None:
    random = np.random.default_rng(3)
    mix = random.random((3, 3)) * 0.2
    source = ColourStats.of(random.random((1000, 3)) * 0.5)
    target = ColourStats.of(random.random((1000, 3)) @ mix + 0.3)
    values = random.multivariate_normal(source.mean, source.covariance, 200_000)
    change = ColourMap.between(source, target)
    mapped = values @ change.matrix.T + change.shift
    assert np.allclose(mapped.mean(axis=0), target.mean, atol=5e-3)
    assert np.allclose(np.cov(mapped.T), target.covariance, atol=1e-3)
    limited = change.limited(source)
    moved = limited.matrix @ np.array(source.mean) + limited.shift - np.array(source.mean)
    assert abs(moved).max() <= MOST_SHIFT + 1e-9


def test_a_hard_cut_is_found_and_fast_motion_is_none() -> None:
    other = 1 - scene(0) * np.array([0.2, 1, 0.4])
    frames = as_frames([scene(n) for n in range(6)])
    assert find_cut(frames) is None
    smooth = np.linspace(0, 1, 64)[None, :, None] * np.ones((48, 64, 3))
    still = as_frames([smooth * (1 + 0.01 * n) for n in range(5)])
    after = as_frames([other * (1 + 0.01 * n) for n in range(4)])
    assert find_cut(np.concatenate([still, after])) == 5
    assert find_cut(np.concatenate([still, after, still[:, :, ::-1]])) == 9
    assert find_cut(still) is None
    assert find_cut(still[:2]) is None


def test_frames_are_blended_from_one_to_the_other() -> None:
    dark, bright = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 200, np.uint8)
    mixed = [int(frame[0, 0, 0]) for frame in blend([dark] * 3, [bright] * 3)]
    assert mixed == [50, 100, 150]
    assert list(blend([], [])) == []
