"""A given clip of a single picture, for every model of the catalogue: made, or refused at once."""

from __future__ import annotations

import pytest

from errors import KinoraError
from pipelines.models.cards import ROOT, ModelCard, load_cards
from pipelines.models.fit import Limits, SourceClip, fit
from pipelines.request import GenerationRequest, Task

CLIP = "c" * 64
CARDS = load_cards(ROOT / "presets" / "models")


def one_picture(card: ModelCard, fps: float, count: int = 1) -> SourceClip:
    return SourceClip(card.defaults.width, card.defaults.height, count / fps, fps)


def is_legal(card: ModelCard, frames: int) -> bool:
    return card.limits.min_frames <= frames <= card.limits.max_frames and card.rules.frames.allows(
        frames
    )


@pytest.mark.parametrize("fps", [0.2, 8.0, 25.0, 30_000 / 1001, 60.0, 1000.0])
@pytest.mark.parametrize("asked", [{}, {"duration_s": 0.5}, {"num_frames": 1}], ids=str)
def test_it_is_worked_over_as_long_as_the_model_can_or_refused_with_a_sentence(
    fps: float, asked: dict[str, float]
) -> None:
    able = [card for card in CARDS.values() if Task.VIDEO_TO_VIDEO in card.tasks]
    assert len(able) > 3
    for card in able:
        request = GenerationRequest.model_validate(
            {"prompt": "in oil", "video": CLIP, "model": card.id} | asked
        )
        clip = one_picture(card, fps)
        try:
            fitted = fit(request, card, Limits(), clip=clip)
        except KinoraError as error:
            assert asked, f"{card.id}: nothing was asked that could be refused"
            assert "shortest clip" in error.message or "longest clip" in error.message
            continue
        assert is_legal(card, fitted.num_frames), card.id
        if fitted.num_frames > round(clip.seconds * fitted.fps + 0.5):
            assert "its last frame is held until" in fitted.adjustments[0].sentence
            assert "lasts 0.0 s" not in fitted.adjustments[0].sentence or fps == 1000


@pytest.mark.parametrize("fps", [0.2, 8.0, 25.0, 30_000 / 1001, 60.0, 1000.0])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_it_is_gone_on_from_with_what_is_there(fps: float, count: int) -> None:
    able = [card for card in CARDS.values() if Task.IMAGE_TO_VIDEO in card.tasks]
    assert len(able) > 10
    for card in able:
        request = GenerationRequest(prompt="on", continue_from=CLIP, model=card.id)
        clip = one_picture(card, fps, count)
        fitted = fit(request, card, Limits(), clip=clip)
        assert is_legal(card, fitted.num_frames), card.id
        assert 1 <= fitted.overlap <= fitted.lead_frames, "no more is repeated than is there"
        assert fitted.num_frames > fitted.overlap, "something is new"
        assert fitted.lead_frames / fitted.fps == pytest.approx(clip.seconds, abs=1 / fitted.fps)
        if abs(fps - fitted.fps) >= 0.005:
            sentence = next(c.sentence for c in fitted.adjustments if c.field == "fps")
            assert f"at {fitted.fps} frames per second instead of" in sentence
