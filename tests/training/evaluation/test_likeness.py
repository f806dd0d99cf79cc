"""A drawing is told from a smear of the same colours, and from another drawing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.training.evaluation import painted
from training.evaluation.confidence import Mean
from training.evaluation.evaluation_plan import PlanSize, SamplingOptions, plan
from training.evaluation.judged_clips import JudgedClips, render_expected
from training.evaluation.likeness import clip_likeness, evaluate_likeness, likeness
from training.evaluation.results_store import ResultsStore
from training.world.motions import MOTIONS
from training.world.places import PLACES
from training.world.render import SIDE, render
from training.world.subjects import SUBJECTS, Subject

EVERYBODY = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


def shown(subject: Subject, motion: str, seed: int = 3) -> np.ndarray:
    return render(
        np.random.default_rng(seed),
        subject=subject,
        place=PLACES[seed % len(PLACES)],
        motion=next(m for m in MOTIONS if m.name == motion),
    ).pixels


def smeared(clip: np.ndarray, pixels: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), pixels) for frame in clip])


@EVERYBODY
def test_what_is_drawn_is_found(subject: Subject) -> None:
    for motion in ("left", "right", "closer"):
        assert clip_likeness(shown(subject, motion), subject) > 0.7, motion


@EVERYBODY
def test_the_more_it_is_smeared_the_less_it_is_like(subject: Subject) -> None:
    clip = shown(subject, "left")
    values = [clip_likeness(c, subject) for c in (clip, smeared(clip, 2), smeared(clip, 4))]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[2] + 0.05


@EVERYBODY
def test_another_subject_is_not_it(subject: Subject) -> None:
    other = SUBJECTS[(SUBJECTS.index(subject) + 5) % len(SUBJECTS)]
    clip = shown(subject, "up")
    assert clip_likeness(clip, subject) > clip_likeness(clip, other) + 0.1


def test_colours_in_disorder_are_not_a_drawing() -> None:
    dog = SUBJECTS[0]
    frame = shown(dog, "left")[8]
    tiles = frame.reshape(16, 8, 16, 8, 3).swapaxes(1, 2).reshape(256, 8, 8, 3)
    tiles = np.random.default_rng(0).permutation(tiles)
    mixed = tiles.reshape(16, 16, 8, 8, 3).swapaxes(1, 2).reshape(SIDE, SIDE, 3)
    assert likeness(np.ascontiguousarray(mixed), dog) < likeness(frame, dog) - 0.2


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_frame_is_like_nothing(level: int) -> None:
    frame = np.full((SIDE, SIDE, 3), level, np.uint8)
    assert likeness(frame, SUBJECTS[0]) < 0.3


def test_the_report_measures_what_was_kept_in_full_size(tmp_path: Path) -> None:
    size = PlanSize(others=0.25)
    rows, shelf = painted.shelf(tmp_path, {}, size, "samples,autoencoder")
    samples = JudgedClips(rows, shelf, painted.judge).of("samples")
    spinning = sum(seen.row.expected.motion == ("spin",) for seen in samples)
    for seen in samples:
        shelf.save_clip(seen.row.request.key, render_expected(seen, 2)[1])
    found = evaluate_likeness(JudgedClips(rows, shelf, painted.judge))
    mine, real, soft = (
        found.figures[f"likeness_{name}"]
        for name in ("this_model", "renderings", "renderings_blurred_by_4_pixels")
    )
    assert isinstance(mine, Mean) and isinstance(real, Mean) and isinstance(soft, Mean)
    assert len(mine.values) == len(real.values) == len(samples) - spinning
    assert mine.value == pytest.approx(real.value, abs=0.06)
    assert soft.value < real.value - 0.1
    small = found.figures["likeness_autoencoder"]
    assert isinstance(small, Mean) and not small.values, "clips of 64 pixels tell nothing"


def test_without_samples_there_is_nothing_to_say(tmp_path: Path) -> None:
    rows = plan(PlanSize(clips=2), SamplingOptions(), ("text",))
    assert not evaluate_likeness(JudgedClips(rows, ResultsStore(tmp_path), painted.judge)).tables
