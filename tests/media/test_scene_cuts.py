"""Cuts between frames, against motion that is not one."""

from __future__ import annotations

import numpy as np
import pytest

from media.scene_cuts import CutDetector
from tests.media.textures import texture, view


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    detector = CutDetector()
    assert not detector.is_cut(before)
    return detector.is_cut(after)


@pytest.mark.parametrize("grain", [6, 12, 40])
@pytest.mark.parametrize("contrast", [60, 200])
def test_another_scene_is_a_cut_and_motion_is_none(grain: int, contrast: int) -> None:
    here, there = (texture(seed, grain, contrast) for seed in (1, 2))
    for right, down in ((0, 0), (2, 1), (9, 4), (30, 0)):
        assert not is_cut(view(here, 0, 0), view(here, right, down))
    assert is_cut(view(here, 0, 0), view(there, 0, 0))
    assert is_cut(view(here, 12, 3), view(there, 40, 9))


def test_a_cut_is_found_while_both_scenes_move() -> None:
    here, there = texture(1, 12, 200), texture(2, 12, 200)
    frames = [view(here, 4 * n, 0) for n in range(6)] + [view(there, 3 * n, n) for n in range(6)]
    detector = CutDetector()
    assert [number for number, frame in enumerate(frames) if detector.is_cut(frame)] == [6]


def test_a_cut_between_plain_colours_is_found_and_a_fade_is_none() -> None:
    black, grey = (np.full((48, 64, 3), level, np.uint8) for level in (0, 90))
    assert is_cut(black, grey)
    fade = [np.full((48, 64, 3), 2 * n, np.uint8) for n in range(40)]
    detector = CutDetector()
    assert not any(detector.is_cut(frame) for frame in fade)


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (500, 2), (17, 33), (1080, 1920)])
def test_frames_may_have_any_size(shape: tuple[int, int]) -> None:
    black, white = (np.full((*shape, 3), level, np.uint8) for level in (0, 255))
    assert is_cut(black, white) and not is_cut(white, white)
