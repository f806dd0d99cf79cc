"""A wording that was misread is encoded as one that is read; nothing else changes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, T5EncoderModel

from training.align_words import (
    PLAIN_WORDINGS,
    TokenAligner,
    align,
    embedding_distance,
    plain_wording,
    random_pairs,
)
from training.evaluation.clip_generator import POCKET
from training.loop import Clock


@pytest.fixture(scope="module")
def words() -> TokenAligner:
    return TokenAligner(AutoTokenizer.from_pretrained(POCKET / "tokenizer"))


@pytest.fixture
def encoder() -> T5EncoderModel:
    return T5EncoderModel.from_pretrained(POCKET / "text_encoder").float().eval()


@pytest.mark.parametrize(
    ("told", "meant", "rows"),
    [
        ("a cat at sea is up", "a cat on the waves is up", [0, 1, 2, 4, 5, 6]),
        ("from left to right a bus", "to the right a bus", [0, 1, 1, 2, 3, 4]),
        ("a sea turtle rests", "a sea turtle rests", [0, 1, 2, 3]),
    ],
)
def test_each_word_of_a_wording_has_its_own_in_the_plain_one(
    told: str, meant: str, rows: list[int]
) -> None:
    assert plain_wording(told) == (told, meant, rows)


def test_a_word_in_letters_keeps_what_comes_after_it_in_place(words: TokenAligner) -> None:
    pair = plain_wording("a zyx dog at sea")
    mine, theirs = words.aligned_tokens(pair)
    one, other = (
        words.tokenizer.convert_ids_to_tokens(words.ids([text])[0].tolist()) for text in pair[:2]
    )
    together = [(one[m], other[t]) for m, t in zip(mine, theirs, strict=True)]
    assert together[-4:] == [("▁dog", "▁dog"), ("▁at", "▁on"), ("▁sea", "▁waves"), ("</s>", "</s>")]
    assert all(m == t for m, t in together[:-3])


def test_half_of_the_sentences_hold_a_misread_wording() -> None:
    pairs = random_pairs(40, np.random.default_rng(0))
    assert [told != meant for told, meant, _ in pairs] == [True] * 20 + [False] * 20
    assert {told for told in PLAIN_WORDINGS if any(told in pair[0] for pair in pairs)} == set(
        PLAIN_WORDINGS
    )


def test_a_wording_that_was_forgotten_is_learned_again_and_nothing_else(
    encoder: T5EncoderModel, words: TokenAligner
) -> None:
    row = words.tokenizer.get_vocab()["▁sea"]
    with torch.no_grad():
        encoder.shared.weight[row] = encoder.shared.weight.mean(0)
    before, unseen = copy.deepcopy(encoder), random_pairs(48, np.random.default_rng(2))
    told, others = embedding_distance(encoder, before, words, unseen).detach().chunk(2)
    torch.manual_seed(0)
    align(encoder, words, Steps(12), np.random.default_rng(1), 1e-3)
    told_now, others_now = embedding_distance(encoder, before, words, unseen).detach().chunk(2)
    assert told_now.mean() < 0.7 * told.mean()
    assert others.mean() < 1e-6
    assert others_now.mean() < 0.3 * told.mean()


def test_the_shipped_encoder_reads_them_alike(encoder: T5EncoderModel, words: TokenAligner) -> None:
    pairs = random_pairs(64, np.random.default_rng(3))
    with torch.no_grad():
        apart = embedding_distance(encoder, encoder, words, pairs)[:32]
        made = encoder(words.ids([told for told, _, _ in pairs]))[0]
    assert apart.mean() < 0.02 * made[:, :8].var()


class Steps(Clock):
    """So many steps, however long each takes."""

    def __init__(self, count: int) -> None:
        super().__init__(count, warmup_s=2)

    def tick(self) -> None:
        self.spent_s += 1
