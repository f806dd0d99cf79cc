"""Long clips of every family that continues the motion of several frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jobs.job import Job, State, new_id
from jobs.workers.run import run_job
from media.images import store_picture
from media.soundtrack import load_sound
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.models.long_clips import window_overlap
from pipelines.models.rules import RULES
from pipelines.request import GenerationRequest
from tests.media.reading import read
from tests.media.seams import seam_ratio
from tests.pipelines.engine.families.case import ALL, Person, home_of, picture
from tests.zoo import Specimen

CASES = {
    "ltx": "ltx-0.9.5",
    "ltx2": "ltx-2",
    "ltx2_in_context": "ltx-2-in-context",
    "cosmos": "cosmos-predict-2.5",
    "helios": "helios-base-one-window",
}
"""A specimen of each family."""
HAS_JOINTS = ("helios",)
"""It decodes chunks of 33 frames by itself. With random weights these meet in a jump each, also
within a window: a seam is compared with those."""
WINDOWS = 6
SEAM = 1.5


def with_room_for_a_lead(specimen: Specimen) -> Specimen:
    """Its best and longest length are the shortest in which two windows overlap by enough."""
    limits = specimen.card["limits"]
    takes = specimen.card.get("takes", {}) | {"lead": True}
    of = ModelCard.model_validate(specimen.card | {"takes": takes, "id": "x", "repo": "nowhere"})
    frames = of.rules.frames
    length = frames.of + frames.plus
    while window_overlap(of.rules, length) < min(of.rules.most_lead or 9, 9):
        length += frames.of
    card = specimen.card | {
        "defaults": specimen.card["defaults"] | {"num_frames": length, "num_inference_steps": 2},
        "limits": limits | {"max_frames": length},
        "takes": takes,
    }
    return replace(specimen, card=card)


def test_there_is_a_case_for_every_family_with_a_lead() -> None:
    assert {name for name, rules in RULES.items() if rules.lead} | {"ltx"} == set(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("family", CASES)
def test_six_windows_make_one_clip_without_a_jump_at_the_seams(
    family: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    specimen = with_room_for_a_lead(ALL[CASES[family]])
    with specimen.packages():
        home = home_of(specimen, {}, tmp_path_factory)
        card = home.manager.cards[specimen.name]
        length, overlap = (
            card.defaults.num_frames,
            window_overlap(card.rules, card.defaults.num_frames),
        )
        assert overlap > 1
        total = overlap + WINDOWS * (length - overlap)
        image = store_picture(picture(64, 64), tmp_path / "pictures").id
        request = GenerationRequest(
            prompt="a dog", seed=3, num_frames=total, image=image, quality="high"
        )
        fitted = fit(request, card, Limits(max_duration_s=100))
        assert fitted.parts == WINDOWS
        job = Job(
            id=new_id(), owner="me", state=State.RUNNING, request=request, fitted=fitted,
            created_at=0.0,
        )  # fmt: skip
        result = run_job(
            job, home.manager, lambda _: None, Person(), tmp_path / "clip",
            tmp_path / "pictures", home.settings,
        )  # fmt: skip
    assert (result.num_frames, result.parts) == (total, WINDOWS)
    made = tmp_path / "clip" / result.clip
    frames = read(made).frames
    assert len(frames) == total
    usual = np.max if family in HAS_JOINTS else np.mean
    ratio = seam_ratio(frames, fitted.divide(), usual)
    assert ratio <= SEAM
    sound = load_sound(made, 48_000, 2)
    assert (sound is not None) == card.rules.sound
    if sound is not None:
        assert abs(sound.samples.shape[1] / 48_000 - total / fitted.fps) < 0.05
