"""Adds meaningless words and typos to captions, as augmentation.

A model trained on the world's words alone is distracted by others: with unknown words in the prompt
it drew the right subject in 78 % of clips, without them in all (docs/LOG.md). The added words are
made up, so that the evaluation's unknown words stay unseen.
"""

from __future__ import annotations

import numpy as np

from training.current_world import vocabulary

Rng = np.random.Generator

ONSETS = (*"bcdfghjklmnprstvwyz", "br", "ch", "cl", "fl", "gr", "qu", "sh", "st", "th", "wh")
VOWELS = (*"aeiou", *"aeiou", "ai", "ea", "ee", "ie", "oo", "ou")
CODAS = (*[""] * 8, *"bdglmnprstx", "ck", "ll", "nd", "ng", "nt", "rd", "ss", "st", "th")
MARKS = (":", ";", "!", "?", " -", " (", ")", ".")


def _pick(of: tuple[str, ...], rng: Rng) -> str:
    return of[int(rng.integers(len(of)))]


def made_up_word(rng: Rng) -> str:
    """A random pronounceable word that is in no caption."""
    while True:
        syllables = (1, 1, 2, 2, 3)[int(rng.integers(5))]
        word = "".join(
            _pick(part, rng) for _ in range(syllables) for part in (ONSETS, VOWELS, CODAS)
        )
        word = word[int(rng.integers(2)) :]
        if len(word) > 1 and word not in vocabulary():
            return word


def misspell(word: str, rng: Rng) -> str:
    """Drops or doubles a letter, swaps two, or appends an s."""
    at = int(rng.integers(len(word)))
    match int(rng.integers(4)):
        case 0:
            return word[:at] + word[at + 1 :]
        case 1:
            return word[:at] + word[at] + word[at:]
        case 2:
            return word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
        case _:
            return word + "s"


def add_noise_words(text: str, rng: Rng) -> str:
    """Leaves half of all captions unchanged; adds made-up words and punctuation, or a typo, to the
    others."""
    words = text.split()
    if not words or rng.random() < 0.5:
        return text
    if rng.random() < 0.15:
        at = int(rng.integers(len(words)))
        words[at] = misspell(words[at], rng)
        return " ".join(words)
    for _ in range(int(rng.integers(1, 4))):
        at = (0, len(words), int(rng.integers(len(words) + 1)))[int(rng.integers(3))]
        phrase = [made_up_word(rng) for _ in range(int(rng.integers(1, 4)))]
        if rng.random() < 0.2:
            phrase[-1] += _pick(MARKS, rng)
        words[at:at] = phrase
    return " ".join(words)
