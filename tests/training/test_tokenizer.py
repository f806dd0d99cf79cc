"""The tokenizer: the world's words whole, everything else in letters."""

from __future__ import annotations

import itertools
import json
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from training.models import TOKENS
from training.tokenizer import build_tokenizer
from training.world.captions import ADJECTIVES, ENDINGS, FINITE, OPENINGS, PARTICIPLES
from training.world.motions import MOTIONS
from training.world.places import PLACES
from training.world.subjects import SUBJECTS

PAD, END, UNKNOWN = 0, 1, 2

patient = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pieces(words: PreTrainedTokenizerFast, text: str) -> list[str]:
    return words.convert_ids_to_tokens(words(text).input_ids)[:-1]  # type: ignore[index]


def ids(words: PreTrainedTokenizerFast, text: str) -> list[int]:
    """As the pipeline asks for them."""
    return words(text, padding="max_length", max_length=TOKENS, truncation=True).input_ids  # type: ignore[return-value]


def vocabulary_of_the_world() -> list[str]:
    texts = [*OPENINGS, *ENDINGS, *ADJECTIVES, *FINITE.values()]
    texts += [text for item in (*SUBJECTS, *PLACES) for text in item.words]
    texts += [
        text.format(go=go)
        for motion in MOTIONS
        for text in motion.words
        for go in itertools.chain.from_iterable(PARTICIPLES.values())
    ]
    return sorted({word for text in texts for word in text.replace(",", " ").split()})


def test_every_word_of_the_world_is_one_token(words: PreTrainedTokenizerFast) -> None:
    known = vocabulary_of_the_world()
    assert len(known) > 200
    assert {word: pieces(words, word) for word in known} == {word: [f"▁{word}"] for word in known}


def test_a_known_word_is_never_spelled_in_a_sentence(words: PreTrainedTokenizerFast) -> None:
    text = "a golden retriever is jumping up and down under the stars"
    assert pieces(words, text) == [f"▁{word}" for word in text.split()]


@pytest.mark.parametrize("word", ["zebra", "xylophone", "kinora", "qq", "2031"])
def test_a_word_it_never_saw_falls_into_letters(words: PreTrainedTokenizerFast, word: str) -> None:
    assert pieces(words, word) == [f"▁{word[0]}", *word[1:]]


def test_a_comma_is_a_token_of_its_own(words: PreTrainedTokenizerFast) -> None:
    assert pieces(words, "dog, cat!") == ["▁dog", "▁,", "▁cat", "▁!"]


@patient
@given(st.text(max_size=300))
def test_no_text_fails(words: PreTrainedTokenizerFast, text: str) -> None:
    found = ids(words, text)
    assert len(found) == TOKENS
    assert all(0 <= i < len(words) for i in found)
    assert found.count(END) == 1
    assert set(found[found.index(END) + 1 :]) <= {PAD}, "padding is on the right, and nowhere else"
    assert PAD not in found[: found.index(END)]


@patient
@given(st.text(alphabet=string.ascii_letters + string.digits + " .,;:!?'\"()-", max_size=120))
def test_plain_text_has_no_unknown_pieces(words: PreTrainedTokenizerFast, text: str) -> None:
    assert UNKNOWN not in ids(words, text)


@patient
@given(st.text(alphabet=string.ascii_letters + " ", max_size=120))
def test_capitals_mean_the_same(words: PreTrainedTokenizerFast, text: str) -> None:
    assert ids(words, text.upper()) == ids(words, text.lower()) == ids(words, text)


def test_accents_and_spaces_mean_nothing(words: PreTrainedTokenizerFast) -> None:
    assert ids(words, "  à dög \n rùnning ") == ids(words, "a dog running")


def test_an_empty_prompt_is_its_end_alone(words: PreTrainedTokenizerFast) -> None:
    assert ids(words, "") == [END] + [PAD] * (TOKENS - 1)


def test_a_very_long_prompt_keeps_its_beginning_and_its_end_mark(
    words: PreTrainedTokenizerFast,
) -> None:
    found = ids(words, "a dog in the snow " * 500)
    assert len(found) == TOKENS
    assert found[:5] == ids(words, "a dog in the snow")[:5]
    assert found[-1] == END


def test_a_saved_tokenizer_comes_back_the_same(
    words: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    words.save_pretrained(tmp_path)
    texts = ["", "A rocket flying up, cinematic", "zebra ñandú 日本 🐕 it's (4k)", "dog " * 400]
    for kind in (PreTrainedTokenizerFast, AutoTokenizer):
        loaded = kind.from_pretrained(tmp_path, local_files_only=True)
        assert len(loaded) == len(words)
        assert loaded.model_max_length == TOKENS
        for text in texts:
            assert ids(loaded, text) == ids(words, text)


def test_the_vocabulary_is_the_same_every_time(words: PreTrainedTokenizerFast) -> None:
    """Weights are worth nothing with another one."""
    both = (words, build_tokenizer())
    once, again = (json.loads(each.backend_tokenizer.to_str()) for each in both)
    for part in ("model", "normalizer", "pre_tokenizer", "post_processor", "added_tokens"):
        assert again[part] == once[part]
