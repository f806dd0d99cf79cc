"""The pocket model's tokenizer: one token per word of the world, letters for other words."""

from __future__ import annotations

import math
import string
from collections import Counter

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from training.current_world import render_labels
from training.models import TOKENS
from training.world.captions import split_words

LETTERS = string.ascii_lowercase + string.digits
MARKS = ".,;:!?'\"()-"
LETTER_SCORE = -20.0
"""So low that a known word is never split into letters."""


def build_tokenizer(captions: int = 40_000, seed: int = 3) -> PreTrainedTokenizerFast:
    """Unigram model with word scores from the frequencies in this many random captions."""
    rng = np.random.default_rng(seed)
    counts = Counter(word for _ in range(captions) for word in split_words(render_labels(rng)[0]))
    total = sum(counts.values())
    words = [(f"▁{word}", math.log(count / total)) for word, count in sorted(counts.items())]
    known = {word for word, _ in words}
    letters = [
        (f"{start}{c}", LETTER_SCORE)
        for start in ("▁", "")
        for c in LETTERS
        if f"{start}{c}" not in known
    ]
    marks = [(f"▁{mark}", -5.0) for mark in MARKS]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *words, *letters, *marks]
    backend = Tokenizer(models.Unigram(vocab, unk_id=2, byte_fallback=False))
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Strip(),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Metaspace(split=True),
        ]
    )
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=TOKENS,
        padding_side="right",
    )
