"""The judge of motions, on outlines that are known: the model card's figures rest on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training import judges
from training.judges import SIDE, motion_of
from training.world import render
from training.world.motions import MOTION_NAMES
from training.world.render import RenderedClip
from training.world.subjects import SUBJECT_NAMES

Films = dict[str, list[RenderedClip]]
JudgedClip = dict[str, list[np.ndarray]]
"""Outlines [F, 64, 64]."""

BACKWARDS = {
    "left": "right",
    "right": "left",
    "up": "down",
    "down": "up",
    "closer": "away",
    "away": "closer",
}


def downscale(frames: np.ndarray) -> np.ndarray:
    """As the judge's network sees and draws: 64 x 64, 0..1."""
    return (
        np.stack([cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for f in frames]) / 255
    ).astype(np.float32)


@pytest.fixture(scope="module")
def seen(films: Films) -> JudgedClip:
    return {name: [downscale(clip.masks) for clip in clips] for name, clips in films.items()}


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


@pytest.mark.parametrize("motion", MOTION_NAMES)
def test_every_motion_is_recognised_by_its_true_outline(seen: JudgedClip, motion: str) -> None:
    said = Counter(motion_of(masks) for masks in seen[motion])
    assert said[motion] / len(seen[motion]) >= 0.9, said


def test_outlines_worse_than_a_network_draws_are_right_nine_times_in_ten(seen: JudgedClip) -> None:
    said: dict[str, Counter[str]] = {}
    for m, motion in enumerate(MOTION_NAMES):
        rng = np.random.default_rng((8, m))
        said[motion] = Counter(motion_of(worn(masks, rng)) for masks in seen[motion])
    right = [said[motion][motion] / said[motion].total() for motion in MOTION_NAMES]
    assert np.mean(right) >= 0.9, said
    assert min(right) >= 0.75, said


@pytest.mark.parametrize("motion", MOTION_NAMES)
def test_backwards_it_is_the_opposite(seen: JudgedClip, motion: str) -> None:
    for masks in seen[motion][:6]:
        assert motion_of(masks[::-1]) == BACKWARDS.get(motion, motion)


@pytest.mark.parametrize("motion", MOTION_NAMES)
def test_a_frozen_frame_stands_still(seen: JudgedClip, motion: str) -> None:
    for masks in seen[motion][:3]:
        assert motion_of(np.repeat(masks[8:9], 17, 0)) == "still"


@pytest.mark.parametrize(
    "motion", ["left", "right", "up", "down", "closer", "away", "circle", "spin"]
)
def test_leaping_about_is_not_moving_as_told(seen: JudgedClip, motion: str) -> None:
    """The same frames in any order: no credit for a subject that merely is somewhere else."""
    fooled = 0
    for i, masks in enumerate(seen[motion]):
        order = np.random.default_rng(i).permutation(len(masks))
        fooled += motion_of(masks[order]) == motion
    assert fooled <= 2


def squashed(mask: np.ndarray, width: float, height: float) -> np.ndarray:
    """About the middle of the picture, so that it also moves a little."""
    half = SIDE / 2
    scale = np.array([[width, 0, half * (1 - width)], [0, height, half * (1 - height)]])
    return cv2.warpAffine(mask, scale, (SIDE, SIDE))


def disc() -> np.ndarray:
    return cv2.circle(np.zeros((SIDE, SIDE), np.float32), (SIDE // 2, SIDE // 2), 14, 1, -1)


@pytest.mark.parametrize(
    ("narrowest", "said"), [(0.2, "spin"), (0.45, "spin"), (0.75, "still"), (1.0, "still")]
)
def test_a_turn_shows_it_narrow_twice(narrowest: float, said: str) -> None:
    widths = np.maximum(narrowest, np.abs(np.cos(2 * np.pi * np.linspace(0, 1, 17))))
    assert motion_of(np.stack([squashed(disc(), w, 1) for w in widths])) == said


def test_growing_and_shrinking_twice_is_no_turn() -> None:
    sizes = np.maximum(0.5, np.abs(np.cos(2 * np.pi * np.linspace(0, 1, 17))))
    assert motion_of(np.stack([squashed(disc(), s, s) for s in sizes])) != "spin"


def test_half_a_turn_is_none() -> None:
    widths = np.maximum(0.2, np.abs(np.cos(np.pi * np.linspace(0, 1, 17))))
    assert motion_of(np.stack([squashed(disc(), w, 1) for w in widths])) != "spin"


def test_no_subject_no_motion() -> None:
    assert motion_of(np.zeros((17, SIDE, SIDE))) == "none"


def test_a_subject_that_is_there_only_half_of_the_time_does_not_count(seen: JudgedClip) -> None:
    masks = seen["left"][0].copy()
    masks[::2] = 0
    assert motion_of(masks) == "none"


def test_judges_of_another_world_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "WEIGHTS_FILE", tmp_path / "scorers.pt")
    judges.train(steps=1)
    state = torch.load(judges.WEIGHTS_FILE, weights_only=True)
    assert judges.matches_world(state)
    assert not judges.matches_world({})
    with monkeypatch.context() as other:
        other.setattr(judges, "SUBJECT_NAMES", SUBJECT_NAMES[::-1])
        assert not judges.matches_world(state), "in another order the names mean others"
    with monkeypatch.context() as other:
        other.setattr(render, "EDGE", 0.5)
        assert not judges.matches_world(state), "a turn looks otherwise"
    assert judges.matches_world(state)
