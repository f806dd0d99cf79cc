"""Drafts: their seeds, steps and sizes, and what is promised of the full clip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.models.cards import DraftRules, ModelCard, NamedSize, load_cards
from pipelines.models.drafts import (
    composition_notes,
    draft_of,
    draft_rules,
    draft_seeds,
    draft_size,
    full_request,
)
from pipelines.models.fit import Limits, SourceClip, fit
from pipelines.request import MAX_SEED, GenerationRequest
from settings import ROOT

CARDS = load_cards(ROOT / "presets" / "models")
DOG = GenerationRequest(prompt="a dog", seed=3)


@given(st.integers(0, MAX_SEED), st.integers(1, 8), st.integers(1, 8))
def test_seeds_are_different_and_can_be_made_again(first: int, count: int, fewer: int) -> None:
    seeds = draft_seeds(first, count)
    assert seeds[0] == first
    assert len(set(seeds)) == len(seeds) == count
    assert all(0 <= seed <= MAX_SEED for seed in seeds)
    assert draft_seeds(first, fewer)[:count] == seeds[:fewer], "more begin as fewer"


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_every_model_has_drafts_that_it_can_make(card: ModelCard) -> None:
    task = card.tasks[0].value
    inputs = {"i2v": {"image": "0" * 64}, "v2v": {"video": "0" * 64}}.get(task, {})
    request = DOG.model_copy(update={"model": card.id, **inputs})
    clip = SourceClip(width=512, height=512, seconds=3.0, fps=16) if task == "v2v" else None
    full = fit(request, card, Limits(), clip=clip)
    draft = fit(draft_of(request, full, card, 5), card, Limits(), clip=clip)
    assert (draft.seed, draft.num_frames, draft.fps) == (5, full.num_frames, full.fps)
    assert draft.num_inference_steps <= full.num_inference_steps
    assert draft.width <= full.width and draft.height <= full.height
    if full.num_inference_steps > 16:
        taken = draft.num_inference_steps * (full.strength or 1)
        assert 4 <= taken <= full.num_inference_steps / 2


def test_a_third_of_the_steps_but_distilled_models_keep_theirs() -> None:
    card = CARDS["pocket"].model_copy(update={"drafts": DraftRules()})

    def steps(usual: int, **takes: bool) -> int | None:
        defaults = card.defaults.model_copy(update={"num_inference_steps": usual})
        changes = {"defaults": defaults, "takes": takes}
        return draft_rules(card.model_copy(update=changes)).steps

    assert [steps(usual) for usual in (2, 4, 8, 9, 20, 50)] == [2, 4, 8, 4, 7, 17]
    assert [steps(usual, guidance=False) for usual in (8, 16, 20, 50)] == [8, 16, 7, 17]


def test_the_included_models_have_steps_that_were_tested() -> None:
    assert draft_rules(CARDS["pocket"]) == DraftRules(steps=6, scale=1)
    assert draft_rules(CARDS["pocket-distilled"]) == DraftRules(steps=2, scale=1)


def test_a_request_of_few_steps_has_drafts_of_no_more() -> None:
    request = DOG.model_copy(update={"num_inference_steps": 3})
    full = fit(request, CARDS["pocket"], Limits())
    assert draft_of(request, full, CARDS["pocket"], 1).num_inference_steps == 3


def sized(scale: float | None, *shapes: tuple[int, int]) -> ModelCard:
    card = CARDS["wan-2.1-t2v-14b"]
    named = tuple(NamedSize(label="", width=w, height=h) for w, h in shapes)
    return card.model_copy(update={"drafts": DraftRules(scale=scale), "shapes": named})


def test_a_draft_is_smaller_only_where_the_model_says_so() -> None:
    def size(card: ModelCard, **over: int) -> tuple[int, int]:
        return draft_size(fit(DOG.model_copy(update=over), card, Limits()), card)

    whole = {"width": 832, "height": 512}
    assert size(sized(None), **whole) == (832, 512)
    assert size(sized(None, (416, 256), (480, 480)), **whole) == (416, 256), "of the same shape"
    assert size(sized(None, (208, 128)), **whole) == (832, 512), "too small to show anything"
    assert size(sized(0.5), **whole) == (416, 256)
    assert size(sized(1, (416, 256)), **whole) == (832, 512), "the card has the last word"


def test_another_size_says_that_the_composition_may_differ() -> None:
    card = sized(0.5)
    request = DOG.model_copy(update={"width": 832, "height": 512})
    full = fit(request, card, Limits())
    draft = fit(draft_of(request, full, card, 9), card, Limits())
    (note,) = composition_notes(draft, full)
    assert (note.asked, note.used) == ("416x256", "832x512")
    assert "another composition" in note.sentence
    assert composition_notes(full, full) == ()


def test_the_full_clip_of_a_draft_is_the_request_with_its_seed() -> None:
    request = GenerationRequest(prompt="a dog", duration_s=2, upscale=False)
    full = fit(request, CARDS["pocket"], Limits())
    wanted = full_request(request, full, 77)
    assert wanted == request.model_copy(update={"seed": 77, "model": "pocket"})


def test_a_clip_worked_over_in_part_takes_enough_steps() -> None:
    card = CARDS["pocket"]
    request = DOG.model_copy(update={"video": "0" * 64, "strength": 0.5})
    clip = SourceClip(width=128, height=128, seconds=2.125, fps=8)
    full = fit(request, card, Limits(), clip=clip)
    assert draft_of(request, full, card, 1).num_inference_steps == 12
