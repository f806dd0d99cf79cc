from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.models.cards import load_cards
from pipelines.prompt_templates import PARTS, SHORT, SUGGESTIONS, load_parts, suggest
from settings import ROOT

KNOWS = load_cards(ROOT / "presets" / "models")["pocket"].knows


def test_a_short_prompt_is_completed_with_every_part() -> None:
    found = suggest("a cat")
    assert len(set(found.suggestions)) == SUGGESTIONS
    assert list(found.missing) == list(PARTS)
    for made in found.suggestions:
        assert made.startswith("a cat ")
        for name in PARTS:
            assert any(choice in made for choice in found.missing[name]), (name, made)


@pytest.mark.parametrize(
    ("prompt", "missing"),
    [
        ("a dog running in the snow at dusk, wide shot", []),
        ("a dog running in the snow at dusk", ["camera"]),
        ("close-up of a cat", ["action", "place", "light"]),
        ("", ["subject", *PARTS]),
    ],
)
def test_what_the_prompt_says_already_is_not_offered(prompt: str, missing: list[str]) -> None:
    found = suggest(prompt)
    assert list(found.missing) == missing
    assert bool(found.suggestions) == bool(missing)


def test_the_same_prompt_gets_the_same_and_others_get_others() -> None:
    assert suggest("a cat") == suggest("a cat")
    animals = ("cat", "dog", "cow", "pig", "hen")
    firsts = {suggest(f"a {animal}").suggestions[0][5:] for animal in animals}
    assert len(firsts) > 1


def test_a_sentence_stays_one() -> None:
    assert all(made.startswith("A dog runs. ") for made in suggest("A dog runs.").suggestions)


def test_a_long_prompt_is_left_alone() -> None:
    assert suggest("word " * (SHORT + 1)).suggestions == ()


def test_a_model_of_a_small_world_gets_words_that_it_knows() -> None:
    found = suggest("a dog", KNOWS)
    assert list(found.missing) == ["action", "place"]
    words = {word for each in KNOWS.values() for phrase in each for word in phrase.split()}
    for made in (*found.suggestions, *suggest("", KNOWS).suggestions):
        assert set(made.split()) - {"a", "an", "in", "at", "the", "moving"} <= words, made


def test_the_parts_have_choices_that_carry_their_own_sign() -> None:
    """So that a completed prompt is not completed again with the same part."""
    for prompt in ("a cat", ""):
        for made in suggest(prompt).suggestions:
            assert "place" not in suggest(made).missing
    assert all(len(getattr(load_parts(), name).choices) >= 4 for name in PARTS)


@given(st.text(st.characters(max_codepoint=0x24F), max_size=60))
def test_the_words_of_the_prompt_are_kept(prompt: str) -> None:
    for made in suggest(prompt).suggestions:
        assert made.startswith(prompt.rstrip().rstrip(",;").rstrip())
        assert made != prompt
