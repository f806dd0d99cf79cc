"""Made-up words stand between a caption's own and take none of them away."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from training.caption_noise import add_noise_words, made_up_word, misspell
from training.world.captions import split_words, vocabulary
from training.world.render import render_labels

seeds = st.integers(0, 2**32 - 1)


def told(seed: int) -> tuple[str, str]:
    """A caption, and the same as people write it."""
    rng = np.random.default_rng(seed)
    text = render_labels(rng)[0]
    return text, add_noise_words(text, rng)


def survives(text: str, within: str) -> bool:
    left = iter(split_words(within))
    return all(word in left for word in split_words(text))


@given(seeds)
def test_a_made_up_word_is_none_of_the_worlds(seed: int) -> None:
    word = made_up_word(np.random.default_rng(seed))
    assert split_words(word) == [word]
    assert word not in vocabulary()


def test_no_made_up_word_is_one_token(words: PreTrainedTokenizerFast) -> None:
    rng = np.random.default_rng(0)
    for word in (made_up_word(rng) for _ in range(300)):
        pieces = words.convert_ids_to_tokens(words(word).input_ids)[:-1]  # type: ignore[index]
        assert len(pieces) > 1
        assert "".join(pieces) == f"▁{word}"


@given(seeds, st.sampled_from(sorted(vocabulary())))
def test_a_slip_is_a_letter_more_or_less_or_two_swapped(seed: int, word: str) -> None:
    slip = misspell(word, np.random.default_rng(seed))
    more, less = Counter(slip) - Counter(word), Counter(word) - Counter(slip)
    assert more.total() + less.total() <= 1


def test_half_stay_as_they_are_and_nearly_all_others_keep_every_word() -> None:
    pairs = [told(seed) for seed in range(2000)]
    changed = [(text, written) for text, written in pairs if text != written]
    kept = [survives(text, written) for text, written in changed]
    assert 0.4 < len(changed) / len(pairs) < 0.6
    assert 0.8 < sum(kept) / len(kept) < 0.95, "the rest holds a slip"


def test_an_empty_caption_stays_empty() -> None:
    rng = np.random.default_rng(0)
    assert {add_noise_words("", rng) for _ in range(50)} == {""}
