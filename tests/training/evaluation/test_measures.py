"""The measures tell a calm clip from a restless, a blurred and a noisy one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.evaluation.ood_images import KINDS, crop_photograph, draw_image, installed_photographs
from training.evaluation.ood_prompts import is_stable, out_of_range, unrest_limit
from training.evaluation.pixel_metrics import SHARPNESS_BOUNDS, measure, pairwise_distance, psnr
from training.world.render import SIDE, RenderedClip

Films = dict[str, list[RenderedClip]]


@pytest.fixture(scope="module")
def unrest() -> float:
    return unrest_limit(40)


def noisy(clip: np.ndarray, levels: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, levels, clip.shape)
    return (clip + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("motion", ["left", "still", "bounce", "spin", "circle"])
def test_renderings_are_calm(films: Films, motion: str, unrest: float) -> None:
    assert np.mean([is_stable(measure(clip.pixels), unrest) for clip in films[motion]]) >= 0.75


def test_flicker_is_the_noise_in_levels() -> None:
    grey = np.full((17, SIDE, SIDE, 3), 128, np.uint8)
    rng = np.random.default_rng(3)
    flickering = (grey + rng.normal(0, 6, (17, SIDE, SIDE, 1)).round()).astype(np.uint8)
    assert measure(grey)["flicker"] == 0
    assert measure(flickering)["flicker"] == pytest.approx(6, rel=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_stands_still_is_calm_and_one_that_dissolves_is_not(
    kind: str, unrest: float
) -> None:
    still = np.repeat(draw_image(kind, 1)[None], 17, 0)
    assert is_stable(measure(still), unrest)
    assert not is_stable(measure(noisy(still, 20)), unrest), "noise"
    blurred = still.copy()
    for t in range(1, 17):
        blurred[t] = cv2.GaussianBlur(still[t], (0, 0), 0.4 * t)
    assert not is_stable(measure(blurred), unrest), "it melts away"
    flashing = still.copy()
    flashing[::2] = (flashing[::2] * 0.8).astype(np.uint8)
    assert not is_stable(measure(flashing), unrest), "it flashes"


def test_growing_grain_is_seen() -> None:
    picture = draw_image("photographs", 0)
    clip = np.stack([noisy(picture, t) for t in range(17)])
    assert measure(clip)["sharpness_kept"] > SHARPNESS_BOUNDS[1]


def test_a_subject_that_moves_does_not_flicker(films: Films) -> None:
    for clip in films["left"]:
        assert measure(clip.pixels)["flicker"] < 1
        assert measure(clip.pixels)["unrest"] > 1


def test_what_is_ordinary_and_what_is_not() -> None:
    assert out_of_range({"contrast": 5.0}, {"contrast": (1.0, 9.0)}) == []
    assert out_of_range({"contrast": 50.0}, {"contrast": (1.0, 9.0)}) == ["contrast"]


def test_decibels() -> None:
    a = np.zeros((4, 4, 3), np.uint8)
    assert psnr(a, a + 255) == pytest.approx(0)
    assert psnr(a, a + 16) == pytest.approx(24.05, abs=0.01)


def test_every_clip_is_held_against_every_other() -> None:
    clips = [np.full((1, 2, 2, 3), v, np.uint8) for v in (0, 10, 40)]
    assert sorted(pairwise_distance(clips)) == [10, 30, 40]


@pytest.mark.parametrize("kind", KINDS)
def test_strangers_pictures_differ_and_come_again(kind: str) -> None:
    pictures = [draw_image(kind, i) for i in range(4)]
    assert all(p.shape == (SIDE, SIDE, 3) and p.dtype == np.uint8 for p in pictures)
    assert min(pairwise_distance(pictures)) > 2
    assert np.array_equal(pictures[2], draw_image(kind, 2))
    assert min(p.std() for p in pictures) > 10


def test_real_photographs_are_found_where_the_app_is_installed() -> None:
    assert installed_photographs()
    assert crop_photograph(np.random.default_rng(0)).shape == (SIDE, SIDE, 3)
