"""The evaluation, shortened: a few clips of the shipped weights, in ranges that broken ones miss.

The judges that learned take minutes to train, so that here those judge that learned nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training import judging
from training.evaluation.clip_generator import ClipGenerator
from training.evaluation.clip_request import ClipRequest, PlannedClip
from training.evaluation.evaluation_plan import PlanSize, SamplingOptions, plan
from training.evaluation.likeness import clip_likeness
from training.evaluation.missing_clips import generate_one
from training.evaluation.ood_prompts import is_stable, unrest_limit
from training.evaluation.pixel_metrics import FLICKER_BOUND, measure
from training.evaluation.results_store import ClipResult, ResultsStore
from training.train_student import STEPS, STUDENT
from training.world.subjects import SUBJECTS

pytestmark = pytest.mark.slow

DIRECTIONS = ("left", "right", "up", "down")
EACH = 2
ENOUGH = 6
"""Right directions of eight: guessing gets so far four times in a thousand."""
DRAWN = 0.45
"""Likeness of subjects; renderings have 0.93, another subject 0.40."""
AT_BEST_DB = 0.7
"""The first frame is given: only the decoder stands between it and the clip."""
CALM_SHARE = 0.75


@dataclass(frozen=True)
class Shipped:
    maker: ClipGenerator
    words: SamplingOptions
    pictures: SamplingOptions
    """Fewer steps, where they are enough to see whether a picture is kept."""


def directed(settings: SamplingOptions) -> list[PlannedClip]:
    rows = plan(PlanSize(clips=80), settings, ("text",))
    by_way = [[row for row in rows if row.expected.motion == (name,)] for name in DIRECTIONS]
    return [row for way in by_way for row in way[:EACH]]


Films = list[tuple[PlannedClip, ClipResult, np.ndarray]]


def films(maker: ClipGenerator, folder: Path, rows: list[PlannedClip]) -> Films:
    shelf = ResultsStore(folder)
    made = [generate_one(maker, shelf, row.request, full_size=True) for row in rows]
    return [(r, m, shelf.clip(m.key)) for r, m in zip(rows, made, strict=True)]


@pytest.fixture(scope="module")
def maker() -> ClipGenerator:
    return ClipGenerator()


@pytest.fixture(scope="module")
def unrest() -> float:
    return unrest_limit(40)


@pytest.fixture(scope="module", params=["teacher", "student"])
def shipped(request: pytest.FixtureRequest, maker: ClipGenerator) -> Shipped:
    if request.param == "teacher":
        return Shipped(maker, SamplingOptions(), SamplingOptions(steps=8))
    few = SamplingOptions(steps=STEPS, guidance=1.0)
    return Shipped(ClipGenerator(transformer=STUDENT), few, few)


@pytest.fixture(scope="module")
def told(shipped: Shipped, tmp_path_factory: pytest.TempPathFactory) -> Films:
    return films(shipped.maker, tmp_path_factory.mktemp("told"), directed(shipped.words))


@pytest.fixture(scope="module")
def strangers(shipped: Shipped, tmp_path_factory: pytest.TempPathFactory) -> Films:
    rows = plan(PlanSize(others=0.34), shipped.pictures, ("strange pictures",))
    kept = [row for row in rows if row.group == "photographs"]
    kept += [row for row in rows if row.group == "line drawings"][:1]
    return films(shipped.maker, tmp_path_factory.mktemp("strangers"), kept)


def test_subjects_go_where_sentences_of_new_wording_say(told: Films) -> None:
    said = [(row.expected.motion[0], judging.direction(clip)) for row, _, clip in told]
    assert sum(expected == found for expected, found in said) >= ENOUGH, said


def test_places_are_those_of_the_sentence(told: Films) -> None:
    said = [(row.expected.place[0], judging.place(clip)) for row, _, clip in told]
    assert sum(expected == found for expected, found in said) >= ENOUGH, said


def test_subjects_are_drawn(told: Films) -> None:
    values = [
        clip_likeness(clip, next(s for s in SUBJECTS if row.expected.subject == (s.name,)))
        for row, _, clip in told
    ]
    assert np.mean(values) > DRAWN, values


def test_clips_are_as_calm_and_as_rich_as_renderings(told: Films, unrest: float) -> None:
    calmly = [
        made.measures["unrest"] <= unrest and made.measures["flicker"] <= FLICKER_BOUND
        for _, made, _ in told
    ]
    assert sum(calmly) >= ENOUGH, [made.measures for _, made, _ in told]
    for row, made, _ in told:
        assert made.measures["contrast"] > 12, row.request.words
        assert made.measures["change"] > 0.5, row.request.words


def test_no_two_clips_are_alike(told: Films) -> None:
    means = [clip.astype(float).mean(0) for _, _, clip in told]
    apart = [np.abs(a - b).mean() for i, a in enumerate(means) for b in means[:i]]
    assert min(apart) > 5


def test_pictures_by_other_hands_give_a_calm_clip_that_begins_with_them(
    strangers: Films, unrest: float
) -> None:
    told = [
        (row.group, is_stable(made.measures, unrest), made.measures) for row, made, _ in strangers
    ]
    assert sum(good for _, good, _ in told) >= CALM_SHARE * len(told), told
    for row, made, _ in strangers:
        facts = made.measures
        assert facts["first_frame_db"] > facts["first_frame_at_best_db"] - AT_BEST_DB, row.group


def test_what_the_autoencoder_gives_back_is_the_clip(maker: ClipGenerator) -> None:
    row = plan(PlanSize(others=0.01), SamplingOptions(), ("autoencoder",))[0]
    facts = maker.compute_metrics(row.request, maker.clip(row.request))
    assert facts["clip_db"] > 21
    assert facts["edges_kept"] > 0.35


def test_broken_weights_are_found_out(maker: ClipGenerator, unrest: float) -> None:
    """The same bounds, with as much noise as signal in every matrix of the denoiser."""
    generator = torch.Generator().manual_seed(0)
    whole = {k: v.clone() for k, v in maker.text.transformer.state_dict().items()}
    try:
        with torch.no_grad():
            for value in maker.text.transformer.parameters():
                noise = torch.randn(value.shape, generator=generator)
                value.add_(noise * value.std() if value.ndim > 1 else 0)
        row = directed(SamplingOptions())[0]
        clip = maker.clip(ClipRequest(row.request.words, row.request.seed, steps=8))
    finally:
        maker.text.transformer.load_state_dict(whole)
    facts = measure(clip)
    fails = {
        "place": judging.place(clip) != row.expected.place[0],
        "direction": judging.direction(clip) != row.expected.motion[0],
        "calm": not is_stable(facts, unrest),
    }
    assert sum(fails.values()) >= 2, (fails, facts)
