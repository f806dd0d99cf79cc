"""What a model does not read of a prompt is named, before the worker where that can be known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.engine.truncation import _original_position, _TruncationWatch
from pipelines.models.call_signatures import call_signature
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.models.prompt_length import (
    ARGUMENT,
    note_truncation,
    token_limit,
    truncation_adjustment,
)
from pipelines.models.rules import FAMILY_OF_CLASS, RULES
from pipelines.request import GenerationRequest, Task
from settings import ROOT

LONG = "a red fish swims to the left, " * 20
LATTE_READS = 120
"""Written into its pipeline's code, not into its signature."""


@pytest.fixture(scope="module")
def pocket() -> ModelCard:
    return load_cards(ROOT / "presets" / "models")["pocket"]


def test_the_model_in_the_repository_says_before_the_worker_what_it_does_not_read(
    pocket: ModelCard,
) -> None:
    request = GenerationRequest(prompt=LONG, negative_prompt=LONG)
    fitted = note_truncation(fit(request, pocket, Limits()), pocket)
    told = {change.field: change for change in fitted.adjustments}
    assert set(told) == {"prompt", "negative_prompt"}
    assert fitted.prompt == LONG, "nothing is cut: the model's tokenizer does that"
    used = str(told["prompt"].used)
    assert LONG.startswith(used)
    assert "reads the first 128 tokens of the prompt" in told["prompt"].sentence
    assert LONG[len(used) :].split()[0] in told["prompt"].sentence
    again = note_truncation(fit(GenerationRequest(prompt=used), pocket, Limits()), pocket)
    assert again.adjustments == ()


def test_a_card_says_how_much_its_model_reads(pocket: ModelCard) -> None:
    assert token_limit(pocket, Task.TEXT_TO_VIDEO) == 128
    assert token_limit(pocket, Task.VIDEO_TO_VIDEO) == 256, "its class has another default"
    own = pocket.model_copy(update={"call": {ARGUMENT: 40}})
    assert token_limit(own, Task.TEXT_TO_VIDEO) == 40


@pytest.mark.parametrize("name", FAMILY_OF_CLASS)
def test_what_a_family_reads_is_what_its_pipelines_say(name: str) -> None:
    call, reads = call_signature(name), RULES[FAMILY_OF_CLASS[name]].prompt_tokens
    assert call is not None
    default = call.parameters.get(ARGUMENT)
    if reads is None or name == "LTXConditionPipeline":  # cards name that class
        return
    assert reads in (default, 77 if default is None else 0, LATTE_READS)


@given(text=st.text(max_size=60), share=st.floats(0, 1))
def test_what_is_read_and_what_is_not_are_the_whole_text(text: str, share: float) -> None:
    read = int(share * len(text))
    change = truncation_adjustment("Tiny", "prompt", text, read, 5)
    used = str(change.used)
    assert text.startswith(used)
    assert len(used) <= read
    assert change.asked == text


@given(text=st.text(max_size=60), plain=st.integers(0, 80))
def test_a_place_in_cleaned_words_is_found_in_those_that_were_typed(text: str, plain: int) -> None:
    at = _original_position(text, plain)
    assert 0 <= at <= len(text)
    assert len(" ".join(text[:at].lower().split())) <= max(plain, 0) or at == len(text)


def test_a_pipeline_that_shortens_the_text_itself_is_seen_through() -> None:
    """As Kandinsky does: what goes into the tokenizer is short enough already."""
    prompt = "A ship on the sea at night, and a lighthouse"
    watch = _TruncationWatch({"prompt": prompt})
    given_text = "Describe this: a ship on the sea at night,"
    watch.record(given_text, len(given_text), 30)
    read, _ = watch.read["prompt"]
    assert prompt[:read].rstrip() == "A ship on the sea at night,"


def test_of_two_encoders_the_one_that_reads_more_counts() -> None:
    prompt = "a ship on the sea at night, and a lighthouse"
    watch = _TruncationWatch({"prompt": prompt})
    watch.record(f"<s>{prompt}</s>", 4 + len(prompt), 77)
    watch.record(prompt, 10, 12)
    assert watch.read["prompt"] == (len(prompt), 77)


def test_a_tokenizer_that_is_not_here_is_left_to_the_worker(tmp_path: Path) -> None:
    card = load_cards(ROOT / "presets" / "models")["cogvideox-5b"]
    fitted = fit(GenerationRequest(prompt=LONG), card, Limits())
    assert note_truncation(fitted, card) == fitted
