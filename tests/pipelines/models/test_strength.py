"""Steps and strength: what they leave to do, and where they have no effect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.fit import Limits, SourceClip, fit
from pipelines.models.generic_card import generic_card
from pipelines.models.repository import Index
from pipelines.request import REQUEST_FIELDS, GenerationRequest, Task
from settings import ROOT
from ui.form import is_offered

CLIP = "1" * 64
GIVEN = SourceClip(640, 480, 2.0, 24.0)

CLASSES = (
    "AnimateDiffVideoToVideoPipeline",
    "CogVideoXVideoToVideoPipeline",
    "LTXConditionPipeline",
    "LucyEditPipeline",
    "VideoToVideoSDPipeline",
    "WanVACEPipeline",
    "WanVideoToVideoPipeline",
)


def pasted(class_name: str, **configs: dict[str, Any]) -> ModelCard:
    index = Index(class_name, {"scheduler": ("diffusers", "DDIMScheduler")})
    return generic_card(f"someone/{class_name}", index, configs)


CARDS = [
    *(card for card in load_cards(ROOT / "presets/models").values()),
    *(pasted(name) for name in CLASSES),
]
OVER_CLIPS = [card for card in CARDS if Task.VIDEO_TO_VIDEO in card.tasks]
KEPT = [card for card in OVER_CLIPS if card.rules.strength and card.rules.strength_skips_steps]
NAMED = {"argvalues": OVER_CLIPS, "ids": [card.name for card in OVER_CLIPS]}


def ask(card: ModelCard, **fields: Any) -> Any:
    request = GenerationRequest.model_validate({"prompt": "in oil", "video": CLIP, **fields})
    return fit(request, card, Limits(), clip=GIVEN)


def test_there_are_cards_of_every_kind() -> None:
    assert {"wan", "cogvideox", "generic"} <= {card.family for card in KEPT}
    others = {card.family for card in OVER_CLIPS if not card.rules.strength_skips_steps}
    assert {"ltx", "ltx2"} <= others


@given(card=st.sampled_from(OVER_CLIPS), steps=st.integers(1, 100), strength=st.floats(0.01, 1))
def test_a_strength_that_leaves_no_step_is_refused_and_no_other(
    card: ModelCard, steps: int, strength: float
) -> None:
    assume(card.limits.min_steps <= steps <= card.limits.max_steps)
    used = steps if card.rules.steps else card.defaults.num_inference_steps
    asked = {"num_inference_steps": steps, "strength": strength}
    if card not in KEPT or int(used * strength) >= 1:
        assert ask(card, **asked).num_inference_steps == used
        return
    with pytest.raises(KinoraError) as refused:
        ask(card, **asked)
    error = refused.value
    assert error.code is ErrorCode.INVALID_INPUT
    assert error.details == {"field": "strength"}
    assert f"with so few steps ({used})" in error.message
    assert error.action is not None
    assert ask(card, **(asked | error.action["set"])).strength is not None


@pytest.mark.parametrize("card", **NAMED)
def test_a_strength_without_effect_is_said_and_not_offered(card: ModelCard) -> None:
    fitted = ask(card, strength=0.9)
    said = [each for each in fitted.adjustments if each.field == "strength"]
    assert is_offered(REQUEST_FIELDS["strength"], card, Task.VIDEO_TO_VIDEO) is card.rules.strength
    if card.rules.strength:
        assert (fitted.strength, said) == (0.9, [])
        return
    assert fitted.strength is None
    assert [each.sentence for each in said] == [
        f"{card.name} has no strength setting: it is not used."
    ]
    assert not [a for a in fit(fitted.as_request(), card, Limits(), clip=GIVEN).adjustments if said]


def test_vace_and_editing_models_have_no_strength() -> None:
    without = {card.name for card in OVER_CLIPS if not card.rules.strength}
    assert {"Wan 2.1 VACE 1.3B", "Wan 2.1 VACE 14B", "someone/LucyEditPipeline"} <= without


def test_steps_without_effect_are_said_and_not_offered() -> None:
    card = pasted("LTX2DFRPipeline")
    assert not card.rules.steps
    own = card.defaults.num_inference_steps
    field = REQUEST_FIELDS["num_inference_steps"]
    assert not is_offered(field, card, Task.TEXT_TO_VIDEO)
    assert is_offered(field, pasted("AnyFlowPipeline"), Task.TEXT_TO_VIDEO)

    request = GenerationRequest(prompt="a dog", num_inference_steps=own + 7)
    fitted = fit(request, card, Limits(num_inference_steps=own + 3))
    assert fitted.num_inference_steps == own
    [said] = [each for each in fitted.adjustments if each.field == "num_inference_steps"]
    assert (said.asked, said.used) == (own + 7, own)
    assert "has its own number of steps" in said.sentence
    assert not fit(fitted.as_request(), card, Limits()).adjustments


def test_a_chunked_class_promises_whole_chunks() -> None:
    card = pasted("HeliosPipeline")
    fitted = fit(GenerationRequest(prompt="a dog", num_frames=40), card, Limits())
    assert fitted.num_frames == 33
    assert [each.field for each in fitted.adjustments] == ["num_frames"]


def test_a_clip_of_fixed_parts_has_one_length() -> None:
    card = pasted("AnyFlowFARPipeline", transformer={"chunk_partition": [1, 3, 3]})
    for asked in (None, 25):
        request = GenerationRequest(prompt="a dog", num_frames=asked)
        assert fit(request, card, Limits()).num_frames == 25
    with pytest.raises(KinoraError, match=r"25 frames .* is the longest clip"):
        fit(GenerationRequest(prompt="a dog", num_frames=49), card, Limits())
