from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import KinoraError
from jobs.final_prompt import (
    as_composed,
    make_final_prompt,
    spread_wildcard_seeds,
    with_wildcard_seed,
)
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.request import MAX_SEED, FittedRequest, GenerationRequest
from pipelines.styles import load_styles
from pipelines.wildcard_files import WildcardFiles
from settings import ROOT

CARDS: Mapping[str, ModelCard] = load_cards(ROOT / "presets" / "models")
LISTS = WildcardFiles((ROOT / "presets" / "wildcards",))
WAN, DISTILLED, SVD = CARDS["wan-2.1-t2v-1.3b"], CARDS["pocket-distilled"], CARDS["svd"]
IMAGE = "a" * 64


def composed(card: ModelCard, **values: Any) -> FittedRequest:
    request = GenerationRequest.model_validate({"prompt": "a cat", "seed": 1} | values)
    final = make_final_prompt(request, card, LISTS, load_styles())
    return final.mark(fit(final.request, card, Limits(), source_size=(512, 512)))


def test_braces_stay_braces_where_wildcards_are_off() -> None:
    fitted = composed(WAN, prompt="a {red|blue} __animal__")
    assert fitted.prompt == "a {red|blue} __animal__"
    assert fitted.prompt_origin is None


def test_the_final_prompt_is_fitted_and_the_given_one_is_kept() -> None:
    fitted = composed(WAN, prompt="a {red} cat", wildcards=True, style="film-noir")
    assert fitted.prompt.startswith("a red cat, film noir, black and white")
    assert fitted.negative_prompt.startswith(WAN.defaults.negative_prompt)
    assert fitted.negative_prompt.endswith("cheerful, modern")
    assert fitted.adjustments == ()
    origin = fitted.prompt_origin
    assert origin is not None
    assert (origin.prompt, origin.style, origin.wildcard_seed) == ("a {red} cat", "film-noir", 1)


def test_again_makes_the_same_prompt_and_changes_nothing() -> None:
    fitted = composed(WAN, prompt=r"{a|b|c} \{x\}", wildcards=True, style="anime")
    again = fit(fitted.as_request(), WAN, Limits())
    assert again == fitted.model_copy(update={"prompt_origin": None})


def test_a_random_seed_chooses_and_is_the_clips() -> None:
    fitted = composed(WAN, prompt="{a|b|c|d|e|f}", wildcards=True, seed=None)
    assert fitted.prompt_origin is not None
    assert fitted.prompt_origin.wildcard_seed == fitted.seed
    once_more = composed(WAN, prompt="{a|b|c|d|e|f}", wildcards=True, seed=fitted.seed)
    assert once_more.prompt == fitted.prompt


def test_the_wildcards_own_seed_comes_before_the_clips() -> None:
    made = {
        composed(WAN, prompt="{a|b|c|d|e|f}", wildcards=True, wildcard_seed=9, seed=seed).prompt
        for seed in range(9)
    }
    assert len(made) == 1


def test_negative_prompts_have_wildcards_too() -> None:
    fitted = composed(WAN, negative_prompt="{blurred}", wildcards=True)
    assert fitted.negative_prompt == "blurred"
    with pytest.raises(KinoraError) as caught:
        composed(WAN, negative_prompt="x {", wildcards=True)
    assert caught.value.details == {"field": "negative_prompt", "column": 3}


def test_a_model_without_negative_prompt_says_nothing_of_the_styles() -> None:
    assert not DISTILLED.rules.negative_prompt
    fitted = composed(DISTILLED, style="anime")
    assert (fitted.negative_prompt, fitted.adjustments) == ("", ())
    unguided = composed(WAN, style="anime", guidance_scale=1.0)
    assert (unguided.negative_prompt, unguided.adjustments) == ("", ())


def test_a_model_without_words_says_that_the_style_is_not_used() -> None:
    fitted = composed(SVD, prompt="", image=IMAGE, style="anime")
    assert [change.field for change in fitted.adjustments] == ["style"]
    assert "takes no words" in fitted.adjustments[0].sentence
    assert fitted.prompt == ""


def test_a_style_alone_is_no_prompt() -> None:
    with pytest.raises(KinoraError, match="the prompt is empty"):
        composed(WAN, prompt=" ", style="anime")


def test_families_have_their_own_words() -> None:
    prompts = {
        composed(CARDS[name], style="cinematic").prompt for name in ("animatediff-v3", "mochi-1")
    }
    assert len(prompts) == 2


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_prompt_that_grows_too_long_is_refused(field: str) -> None:
    with pytest.raises(KinoraError, match="at most 2000") as caught:
        composed(WAN, **{field: "x" * 1990}, style="film-noir")
    assert caught.value.details["field"] == field


def test_another_model_gets_the_prompt_that_was_chosen() -> None:
    request = GenerationRequest(prompt="{a|b|c|d}", wildcards=True, style="anime", seed=3)
    fitted = composed(WAN, prompt="{a|b|c|d}", wildcards=True, style="anime", seed=3)
    other = as_composed(request, fitted)
    assert (other.prompt, other.style, other.wildcards) == (fitted.prompt, None, False)
    plain = GenerationRequest(prompt="{a|b}", wildcard_seed=3)
    assert as_composed(plain, fit(plain, WAN, Limits())).wildcard_seed is None


def test_a_batch_shares_out_its_wildcard_seed() -> None:
    same = GenerationRequest(prompt="x", wildcards=True, wildcard_seed=MAX_SEED)
    other = same.model_copy(update={"prompt": "y"})
    plain = GenerationRequest(prompt="x", wildcard_seed=3)
    spread = spread_wildcard_seeds([same, other, same, plain, plain, same])
    assert [each.wildcard_seed for each in spread] == [MAX_SEED, MAX_SEED, 0, 3, 3, 1]


def test_copies_with_other_seeds_keep_their_words_once_the_wildcards_have_a_seed() -> None:
    request = GenerationRequest(prompt="{a|b|c|d|e|f}", wildcards=True)
    fixed = with_wildcard_seed(request)
    assert fixed.wildcard_seed is not None
    assert with_wildcard_seed(fixed) == fixed
    assert with_wildcard_seed(request.model_copy(update={"seed": 5})).wildcard_seed == 5
    assert with_wildcard_seed(GenerationRequest(prompt="x")).wildcard_seed is None
    made = {
        composed(WAN, **fixed.model_dump() | {"model": None, "seed": seed}).prompt
        for seed in range(6)
    }
    assert len(made) == 1


@given(
    st.text(st.characters(max_codepoint=0x24F, exclude_categories=["Cc", "Cs"]), max_size=80),
    st.sampled_from([None, "anime", "film noir", "nonsense"]),
    st.booleans(),
    st.sampled_from([WAN, DISTILLED, SVD, CARDS["animatediff-v3"]]),
)
def test_any_words_are_fitted_or_refused_at_a_field(
    prompt: str, style: str | None, wildcards: bool, card: ModelCard
) -> None:
    try:
        fitted = composed(
            card, prompt=prompt, style=style, wildcards=wildcards,
            image=IMAGE if card is SVD else None,
        )  # fmt: skip
    except KinoraError as error:
        assert error.details["field"] in ("prompt", "style")
        return
    again = fit(fitted.as_request(), card, Limits(), source_size=(512, 512))
    assert (again.prompt, again.negative_prompt) == (fitted.prompt, fitted.negative_prompt)
