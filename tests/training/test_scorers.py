"""The judge of motions, on outlines that are known: the model card's figures rest on it."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest

from training.scorers import SIDE, fit, motion_of
from training.world.motions import MOTION_NAMES
from training.world.places import PLACE_NAMES
from training.world.render import Clip
from training.world.subjects import SUBJECT_NAMES

Films = dict[str, list[Clip]]

BACKWARDS = {
    "left": "right",
    "right": "left",
    "up": "down",
    "down": "up",
    "closer": "away",
    "away": "closer",
}


def shrunk(frames: np.ndarray) -> np.ndarray:
    """As the judge's network sees and draws: 64 x 64, 0..1."""
    return (
        np.stack([cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for f in frames]) / 255
    ).astype(np.float32)


@pytest.fixture(scope="module")
def seen(films: Films) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    return {
        name: [(shrunk(clip.masks), shrunk(clip.pixels)) for clip in clips]
        for name, clips in films.items()
    }


Seen = dict[str, list[tuple[np.ndarray, np.ndarray]]]


def worn(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Outlines as a network draws them: too thin, too fat, bitten, beside specks, or not at all."""
    drawn = []
    for mask in masks:
        fate = rng.random()
        if fate < 0.3:
            mask = cv2.erode(mask, np.ones((3, 3)))
        elif fate < 0.6:
            mask = cv2.dilate(mask, np.ones((3, 3)))
        mask = mask.copy()
        ink = np.argwhere(mask > 0.5)
        if len(ink) and rng.random() < 0.5:
            y, x = ink[rng.integers(len(ink))].tolist()
            cv2.circle(mask, (x, y), int(rng.integers(2, 5)), 0, -1)
        if rng.random() < 0.4:
            x, y = rng.integers(0, SIDE, 2).tolist()
            cv2.circle(mask, (x, y), int(rng.integers(1, 4)), 1, -1)
        drawn.append(mask * (rng.random() > 0.1))
    return np.stack(drawn)


def blurred(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.2) for frame in frames])
    return (soft + rng.normal(0, 0.05, soft.shape)).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("motion", MOTION_NAMES)
def test_every_motion_is_recognised_by_its_true_outline(seen: Seen, motion: str) -> None:
    said = Counter(motion_of(masks, frames) for masks, frames in seen[motion])
    assert said[motion] / len(seen[motion]) >= 0.9, said


def test_outlines_worse_than_a_network_draws_are_right_nine_times_in_ten(seen: Seen) -> None:
    said: dict[str, Counter[str]] = {}
    for m, motion in enumerate(MOTION_NAMES):
        rng = np.random.default_rng((8, m))
        said[motion] = Counter(motion_of(worn(a, rng), blurred(b, rng)) for a, b in seen[motion])
    right = [said[motion][motion] / said[motion].total() for motion in MOTION_NAMES]
    assert np.mean(right) >= 0.9, said
    assert min(right) >= 0.75, said


@pytest.mark.parametrize("motion", MOTION_NAMES)
def test_backwards_it_is_the_opposite(seen: Seen, motion: str) -> None:
    for masks, frames in seen[motion][:6]:
        assert motion_of(masks[::-1], frames[::-1]) == BACKWARDS.get(motion, motion)


@pytest.mark.parametrize("motion", MOTION_NAMES)
def test_a_frozen_frame_stands_still(seen: Seen, motion: str) -> None:
    for masks, frames in seen[motion][:3]:
        frozen = np.repeat(masks[8:9], 17, 0), np.repeat(frames[8:9], 17, 0)
        assert motion_of(*frozen) == "still"


@pytest.mark.parametrize("motion", ["left", "right", "up", "down", "closer", "away", "circle"])
def test_leaping_about_is_not_moving_as_told(seen: Seen, motion: str) -> None:
    """The same frames in any order: no credit for a subject that merely is somewhere else."""
    fooled = 0
    for i, (masks, frames) in enumerate(seen[motion]):
        order = np.random.default_rng(i).permutation(len(masks))
        fooled += motion_of(masks[order], frames[order]) == motion
    assert fooled <= 2


def test_no_subject_no_motion() -> None:
    rng = np.random.default_rng(0)
    frames = rng.random((17, SIDE, SIDE, 3)).astype(np.float32)
    assert motion_of(np.zeros((17, SIDE, SIDE)), frames) == "none"


def test_a_subject_that_is_there_only_half_of_the_time_does_not_count(seen: Seen) -> None:
    masks, frames = seen["left"][0]
    masks = masks.copy()
    masks[::2] = 0
    assert motion_of(masks, frames) == "none"


def test_judges_of_another_world_are_not_used() -> None:
    names = [list(SUBJECT_NAMES), list(PLACE_NAMES)]
    assert fit({"names": names})
    assert not fit({"names": [names[0][:-1], names[1]]})
    assert not fit({"names": [names[0][::-1], names[1]]}), "in another order they mean others"
    assert not fit({})
