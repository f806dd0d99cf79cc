"""What the evaluation asks: new to the model, evenly spread, and the same again tomorrow."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pytest

from training.captions_held_out import FRAMES
from training.evaluation.clip_generator import load_source
from training.evaluation.clip_request import ClipRequest
from training.evaluation.coverage import PAIRS, balanced_triples
from training.evaluation.evaluation_plan import (
    GUIDANCES,
    SECTIONS,
    STEPS,
    PlanSize,
    SamplingOptions,
    plan,
)
from training.evaluation.sentences import (
    NONSENSE,
    TAILS,
    sentences,
    unknown_words,
    with_unknown_words,
)
from training.world.captions import ENDINGS
from training.world.motions import MOTION_NAMES
from training.world.places import PLACE_NAMES
from training.world.subjects import SUBJECT_NAMES

NAMES = {"subject": SUBJECT_NAMES, "place": PLACE_NAMES, "motion": MOTION_NAMES}
SIZES = tuple(len(names) for names in NAMES.values())


def test_every_kind_is_asked_for_in_even_shares_however_short_the_run() -> None:
    expected = np.array(balanced_triples(240, seed=1))
    for count in (24, 100, 240):
        for column, kinds in enumerate(SIZES):
            shares = np.bincount(expected[:count, column], minlength=kinds)
            assert shares.max() - shares.min() <= 1


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_every_pair_is_asked_for_in_the_full_run(one: int, other: int) -> None:
    met = Counter((t[one], t[other]) for t in balanced_triples(500, seed=90_001))
    assert len(met) == SIZES[one] * SIZES[other]
    fair = 500 / len(met)
    assert max(met.values()) <= fair + 2


def test_the_full_run_is_as_long_as_was_asked_for() -> None:
    count = Counter(row.section for row in plan(PlanSize(), SamplingOptions()))
    assert count["text"] >= 500
    assert count["pictures"] >= 200
    assert count["samples"] == 64
    assert set(count) == set(SECTIONS)


def test_a_shorter_run_asks_for_less_of_the_same() -> None:
    whole = {row.request.key for row in plan(PlanSize(), SamplingOptions())}
    short = {row.request.key for row in plan(PlanSize(20, 5, 0.1), SamplingOptions())}
    assert short < whole


def test_the_same_plan_comes_again() -> None:
    assert plan(PlanSize(30, 5, 0.2), SamplingOptions()) == plan(
        PlanSize(30, 5, 0.2), SamplingOptions()
    )


def test_another_seed_is_another_plan() -> None:
    one, other = (
        {
            r.request.key
            for r in plan(PlanSize(30, 5, 0.2), SamplingOptions(seed=s), ("text", "pictures"))
        }
        for s in (1, 2)
    )
    assert not one & other


def test_a_section_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown section: txt"):
        plan(PlanSize(1, 1, 0.1), SamplingOptions(), ("txt",))


def test_whatever_is_asked_for_has_a_name_that_judges_can_give() -> None:
    for row in plan(PlanSize(), SamplingOptions()):
        for kind, names in row.expected.parts().items():
            assert set(names) <= set(NAMES[kind]), row


def test_samples_are_the_first_64_seeds() -> None:
    rows = plan(PlanSize(), SamplingOptions(), ("samples",))
    assert [row.request.seed for row in rows] == list(range(64))


def test_steps_are_compared_on_the_same_sentences_and_seeds() -> None:
    rows = plan(PlanSize(), SamplingOptions(), ("steps",))
    said = {g: [(r.request.words, r.request.seed) for r in rows if r.group == g] for g in
            {row.group for row in rows}}  # fmt: skip
    assert set(said) == {str(n) for n in STEPS}
    assert len(set(map(tuple, said.values()))) == 1


def test_a_model_without_guidance_is_not_asked_for_any() -> None:
    rows = plan(PlanSize(), SamplingOptions(steps=4, guidance=1.0), ("guidance",))
    assert {row.request.guidance for row in rows} == {1.0}
    usual = [row for row in plan(PlanSize(), SamplingOptions(), ("guidance",)) if row.group == "3"]
    assert [(r.request.words, r.request.seed) for r in rows] == [
        (r.request.words, r.request.seed) for r in usual
    ], "the same sentences and seeds as any other model's"


def test_at_every_guidance_the_same_sentences_meet_the_same_seeds() -> None:
    rows = plan(PlanSize(), SamplingOptions(), ("guidance",))
    said = {g: {(r.request.words, r.request.seed) for r in rows if r.group == g} for g in
            {row.group for row in rows}}  # fmt: skip
    assert set(said) == {f"{g:g}" for g in GUIDANCES}
    assert len(set(map(frozenset, said.values()))) == 1
    assert len({seed for _, seed in said["3"]}) >= 4


def test_the_negative_prompt_is_all_that_differs() -> None:
    rows = plan(PlanSize(), SamplingOptions(), ("negative",))
    without = {(r.request.words, r.request.seed) for r in rows if not r.request.negative}
    with_it = {(r.request.words, r.request.seed) for r in rows if r.request.negative == "dog"}
    assert without == with_it
    assert len(without) + len(with_it) == len(rows)


def test_sentences_are_in_wordings_that_training_never_uses() -> None:
    frames = [frame.split("{")[0].strip() for frame in FRAMES if not frame.startswith("{")]
    for row in plan(PlanSize(60, 20, 0.1), SamplingOptions(), ("text", "pictures")):
        words = row.request.words
        assert (
            any(words.startswith(start) for start in frames)
            or ", which is" in words
            or ("there is" in words)
        ), words


def test_strange_sentences_hold_a_word_that_the_world_does_not_know() -> None:
    for text, _ in chain.from_iterable(sentences().values()):
        assert unknown_words(text), text
    for tail in TAILS:
        assert unknown_words(tail), tail
        assert tail not in ENDINGS


def test_a_sentence_that_is_no_longer_strange_is_left_out() -> None:
    kept = with_unknown_words(
        [
            ("a dog in the snow", row.expected)
            for row in plan(PlanSize(1, 0, 0), SamplingOptions(), ("text",))
        ]
    )
    assert kept == []


def test_the_known_part_of_a_strange_sentence_is_said_in_known_words() -> None:
    """Otherwise what is measured is the vocabulary."""
    for text, expected in chain.from_iterable(sentences().values()):
        assert len(expected.parts()) == 2, text
        assert len(text.split()) - len(unknown_words(text)) >= 3, text


def test_nonsense_differs() -> None:
    assert len(set(NONSENSE)) == len(NONSENSE) >= 24


def test_equal_requests_share_a_key_and_others_do_not() -> None:
    one = ClipRequest("a dog", 1)
    assert one.key == ClipRequest("a dog", 1).key
    others = [ClipRequest("a dog", 2), ClipRequest("a cat", 1), ClipRequest("a dog", 1, steps=8),
              ClipRequest("a dog", 1, guidance=1.0), ClipRequest("a dog", 1, negative="cat"),
              ClipRequest("a dog", 1, picture="stranger:flat shapes:0")]  # fmt: skip
    assert len({r.key for r in [one, *others]}) == 7


def test_a_given_rendering_shows_what_the_row_asks_for() -> None:
    row = plan(PlanSize(0, 3, 0), SamplingOptions(), ("pictures",))[0]
    assert load_source(row.request.picture).shape == (17, 128, 128, 3)
    assert np.array_equal(load_source(row.request.picture), load_source(row.request.picture))
