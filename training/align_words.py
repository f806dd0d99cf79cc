"""After packing: a wording that the denoiser misreads is encoded as one that it reads.

    python -m training.align_words --minutes 10

The text encoder learns through the denoiser, which tells it little of a wording that needs its
order ("from left to right") or its neighbours ("on the sea", where "sea" alone may mean a turtle).
Here it learns from itself: of each such wording's tokens, what it makes of a plain one that means
the same, in sentences that are otherwise alike; of all other sentences, what it made before.
Nothing else of the model changes. Knows no clip.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5EncoderModel

from training.caption_noise import as_people_write
from training.current_world import PLACES, SUBJECTS, caption
from training.evaluate import POCKET
from training.loop import Clock
from training.models import TOKENS
from training.world.motions import MOTIONS

MEANS = {
    "on the sea": "on the waves",
    "at sea": "on the waves",
    "from left to right": "to the right",
    "from right to left": "to the left",
}
BATCH = 64
Pair = tuple[str, str, list[int]]
"""A sentence; one that means the same; and of each word of the first, which of the second's."""


def other_wording(text: str) -> Pair:
    """With one misread wording put plainly; a sentence without any is its own."""
    words = text.split()
    for told, meant in MEANS.items():
        before, found, after = f" {text} ".partition(f" {told} ")
        if found:
            head, tail, n, m = before.split(), after.split(), len(told.split()), len(meant.split())
            middle = [round(i * (m - 1) / (n - 1)) for i in range(n)]
            rows = [*range(len(head)), *(len(head) + i for i in middle)]
            rows += [len(head) + m + i for i in range(len(tail))]
            return text, " ".join([*head, *meant.split(), *tail]), rows
    return text, text, list(range(len(words)))


def sentence(rng: np.random.Generator) -> str:
    subject = SUBJECTS[rng.integers(len(SUBJECTS))]
    place, motion = PLACES[rng.integers(len(PLACES))], MOTIONS[rng.integers(len(MOTIONS))]
    return as_people_write(caption(subject, place, motion, rng, partial=0.3), rng)


def sentences(count: int, rng: np.random.Generator) -> list[Pair]:
    """Half with a misread wording, half without."""
    found: dict[bool, list[Pair]] = {True: [], False: []}
    while min(len(each) for each in found.values()) < count // 2:
        pair = other_wording(sentence(rng))
        each = found[pair[0] != pair[1]]
        if len(each) < count // 2:
            each.append(pair)
    return found[True] + found[False]


class Words:
    """Sentences as tokens, and which tokens of two sentences belong together."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self._lengths: dict[str, int] = {}

    def ids(self, texts: list[str]) -> Tensor:
        return self.tokenizer(
            texts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        ).input_ids

    def rows(self, pair: Pair) -> tuple[list[int], list[int]]:
        """Token numbers in the one, and theirs in the other; a word may be many letters."""
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
            spans.append(range(begin, begin + self._length(word)))
            begin = spans[-1].stop
        return spans

    def _length(self, word: str) -> int:
        if word not in self._lengths:
            self._lengths[word] = len(self.tokenizer(word, add_special_tokens=False).input_ids)
        return self._lengths[word]


def distance(
    encoder: T5EncoderModel, before: T5EncoderModel, words: Words, pairs: list[Pair]
) -> Tensor:
    """How far the encoder is from what it should say of each sentence: [pairs]."""
    with torch.autocast("cpu", torch.bfloat16):
        made = encoder(words.ids([told for told, _, _ in pairs]))[0].float()
        with torch.no_grad():
            wanted = before(words.ids([meant for _, meant, _ in pairs]))[0].float()
    apart = []
    for number, pair in enumerate(pairs):
        mine, theirs = words.rows(pair)
        apart.append((made[number, mine] - wanted[number, theirs]).square().mean())
    return torch.stack(apart)


def align(
    encoder: T5EncoderModel, words: Words, clock: Clock, rng: np.random.Generator, lr: float
) -> tuple[float, float]:
    """How far misread wordings, and all others, are from what is wanted at the end."""
    before = copy.deepcopy(encoder).eval().requires_grad_(False)
    encoder.eval()
    optimiser = torch.optim.AdamW(encoder.parameters(), lr, weight_decay=0.0)
    step = 0
    while not clock.over:
        clock.tick()
        for group in optimiser.param_groups:
            group["lr"] = lr * clock.factor
        apart = distance(encoder, before, words, sentences(BATCH, rng))
        optimiser.zero_grad(set_to_none=True)
        apart.mean().backward()
        optimiser.step()
        step += 1
        if step % 100 == 1:
            told, others = (half.mean().item() for half in apart.detach().chunk(2))
            print(f"{step}: misread {told:.5f}, others {others:.5f}", flush=True)
    with torch.no_grad():
        told, others = distance(encoder, before, words, sentences(256, rng)).chunk(2)
    return told.mean().item(), others.mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=POCKET)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=8)
    args = parser.parse_args()

    folder = args.weights / "text_encoder"
    encoder = T5EncoderModel.from_pretrained(folder).float()
    words = Words(AutoTokenizer.from_pretrained(args.weights / "tokenizer"))
    rng = np.random.default_rng(args.seed)
    with torch.no_grad():
        first = distance(encoder, encoder, words, sentences(256, rng)).chunk(2)[0].mean()
    told, others = align(encoder, words, Clock(args.minutes * 60, 5), rng, args.lr)
    print(f"misread wordings {first:.5f} -> {told:.5f}, all others 0 -> {others:.5f}")
    config = (folder / "config.json").read_text()
    encoder.half().save_pretrained(folder, safe_serialization=True)
    (folder / "config.json").write_text(config)  # which names the precision to load it in


if __name__ == "__main__":
    main()
