"""After packing: fine-tunes the text encoder so that misread wordings encode like plain ones.

    python -m training.align_words --minutes 10

The text encoder is trained through the denoiser, whose gradients say little about wordings that
depend on order ("from left to right") or context ("on the sea", where "sea" alone may mean a
turtle). Here it is its own teacher: the tokens of such a wording should get the embeddings of a
plain wording with the same meaning; all other captions should keep theirs. Nothing else changes.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5EncoderModel

from training.caption_noise import add_noise_words
from training.current_world import PLACES, SUBJECTS, caption
from training.evaluation.clip_generator import POCKET
from training.loop import Clock
from training.models import TOKENS
from training.world.motions import MOTIONS

PLAIN_WORDINGS = {
    "on the sea": "on the waves",
    "at sea": "on the waves",
    "from left to right": "to the right",
    "from right to left": "to the left",
}
BATCH = 64
Pair = tuple[str, str, list[int]]
"""A caption, an equivalent one, and for each word of the first its word's index in the second."""


def plain_wording(text: str) -> Pair:
    """Replaces one misread wording; a caption without any is paired with itself."""
    words = text.split()
    for misread, plain in PLAIN_WORDINGS.items():
        reference, found, after = f" {text} ".partition(f" {misread} ")
        if found:
            head, tail, n, m = (
                reference.split(),
                after.split(),
                len(misread.split()),
                len(plain.split()),
            )
            middle = [round(i * (m - 1) / (n - 1)) for i in range(n)]
            rows = [*range(len(head)), *(len(head) + i for i in middle)]
            rows += [len(head) + m + i for i in range(len(tail))]
            return text, " ".join([*head, *plain.split(), *tail]), rows
    return text, text, list(range(len(words)))


def random_caption(rng: np.random.Generator) -> str:
    subject = SUBJECTS[rng.integers(len(SUBJECTS))]
    place, motion = PLACES[rng.integers(len(PLACES))], MOTIONS[rng.integers(len(MOTIONS))]
    return add_noise_words(caption(subject, place, motion, rng, partial=0.3), rng)


def random_pairs(count: int, rng: np.random.Generator) -> list[Pair]:
    """First half with a misread wording, second half without."""
    found: dict[bool, list[Pair]] = {True: [], False: []}
    while min(len(each) for each in found.values()) < count // 2:
        pair = plain_wording(random_caption(rng))
        each = found[pair[0] != pair[1]]
        if len(each) < count // 2:
            each.append(pair)
    return found[True] + found[False]


class TokenAligner:
    """Tokenises captions and aligns the tokens of a pair."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self._token_counts: dict[str, int] = {}

    def ids(self, texts: list[str]) -> Tensor:
        return self.tokenizer(
            texts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        ).input_ids

    def aligned_tokens(self, pair: Pair) -> tuple[list[int], list[int]]:
        """Indices of matching tokens in both captions; unknown words are several letter tokens."""
        one, other = self._spans(pair[0]), self._spans(pair[1])
        mine: list[int] = []
        theirs: list[int] = []
        for span, row in zip(one, pair[2], strict=True):
            if len(span) == 1 or len(span) == len(other[row]):
                mine += span
                theirs += (list(other[row]) * len(span))[: len(span)]
        mine.append(one[-1][-1] + 1)  # the end of the sentence
        theirs.append(other[-1][-1] + 1)
        return mine, theirs

    def _spans(self, text: str) -> list[range]:
        spans, begin = [], 0
        for word in text.split():
            spans.append(range(begin, begin + self._token_count(word)))
            begin = spans[-1].stop
        return spans

    def _token_count(self, word: str) -> int:
        if word not in self._token_counts:
            self._token_counts[word] = len(self.tokenizer(word, add_special_tokens=False).input_ids)
        return self._token_counts[word]


def embedding_distance(
    encoder: T5EncoderModel, reference: T5EncoderModel, words: TokenAligner, pairs: list[Pair]
) -> Tensor:
    """Mean squared error of each pair's embeddings to the reference encoder's: [pairs]."""
    with torch.autocast("cpu", torch.bfloat16):
        made = encoder(words.ids([misread for misread, _, _ in pairs]))[0].float()
        with torch.no_grad():
            wanted = reference(words.ids([plain for _, plain, _ in pairs]))[0].float()
    apart = []
    for number, pair in enumerate(pairs):
        mine, theirs = words.aligned_tokens(pair)
        apart.append((made[number, mine] - wanted[number, theirs]).square().mean())
    return torch.stack(apart)


def align(
    encoder: T5EncoderModel, words: TokenAligner, clock: Clock, rng: np.random.Generator, lr: float
) -> tuple[float, float]:
    """Trains in place; returns the final errors of misread wordings and of other captions."""
    reference = copy.deepcopy(encoder).eval().requires_grad_(False)
    encoder.eval()
    optimiser = torch.optim.AdamW(encoder.parameters(), lr, weight_decay=0.0)
    step = 0
    while not clock.is_over:
        clock.tick()
        for group in optimiser.param_groups:
            group["lr"] = lr * clock.lr_factor
        apart = embedding_distance(encoder, reference, words, random_pairs(BATCH, rng))
        optimiser.zero_grad(set_to_none=True)
        apart.mean().backward()
        optimiser.step()
        step += 1
        if step % 100 == 1:
            misread, others = (half.mean().item() for half in apart.detach().chunk(2))
            print(f"{step}: misread {misread:.5f}, others {others:.5f}", flush=True)
    with torch.no_grad():
        misread, others = embedding_distance(
            encoder, reference, words, random_pairs(256, rng)
        ).chunk(2)
    return misread.mean().item(), others.mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=POCKET)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=8)
    args = parser.parse_args()

    folder = args.weights / "text_encoder"
    encoder = T5EncoderModel.from_pretrained(folder).float()
    words = TokenAligner(AutoTokenizer.from_pretrained(args.weights / "tokenizer"))
    rng = np.random.default_rng(args.seed)
    with torch.no_grad():
        first = (
            embedding_distance(encoder, encoder, words, random_pairs(256, rng)).chunk(2)[0].mean()
        )
    misread, others = align(encoder, words, Clock(args.minutes * 60, 5), rng, args.lr)
    print(f"error: misread wordings {first:.5f} -> {misread:.5f}, other captions {others:.5f}")
    config = (folder / "config.json").read_text()
    encoder.half().save_pretrained(folder, safe_serialization=True)
    (folder / "config.json").write_text(config)  # keep the precision it is loaded in


if __name__ == "__main__":
    main()
