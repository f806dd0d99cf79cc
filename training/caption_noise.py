"""Captions as people write them: with words between that the world does not know, and slips.

A model that saw only its own words takes any other for a sign of something: of sentences with
unknown words in them it made the right subject in 78 %, of its own in all (docs/LOG.md). So in
training half of all captions hold words that mean nothing. They are made up, never taken from a
language, so that the evaluation's own words stay new.
"""

from __future__ import annotations

import numpy as np

from training.current_world import vocabulary

Rng = np.random.Generator

ONSETS = (*"bcdfghjklmnprstvwyz", "br", "ch", "cl", "fl", "gr", "qu", "sh", "st", "th", "wh")
VOWELS = (*"aeiou", *"aeiou", "ai", "ea", "ee", "ie", "oo", "ou")
CODAS = (*[""] * 8, *"bdglmnprstx", "ck", "ll", "nd", "ng", "nt", "rd", "ss", "st", "th")
MARKS = (":", ";", "!", "?", " -", " (", ")", ".")


def _one(of: tuple[str, ...], rng: Rng) -> str:
    return of[int(rng.integers(len(of)))]


def made_up(rng: Rng) -> str:
    """A word that is in no caption."""
    while True:
        syllables = (1, 1, 2, 2, 3)[int(rng.integers(5))]
        word = "".join(
            _one(part, rng) for _ in range(syllables) for part in (ONSETS, VOWELS, CODAS)
        )
        word = word[int(rng.integers(2)) :]
        if len(word) > 1 and word not in vocabulary():
            return word


def misspelt(word: str, rng: Rng) -> str:
    """One letter dropped, doubled, or swapped with the next; or an s behind it."""
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


def as_people_write(text: str, rng: Rng) -> str:
    """Half of all captions as they are, the others with made-up words, marks or a slip in them."""
    words = text.split()
    if not words or rng.random() < 0.5:
        return text
    if rng.random() < 0.15:
        at = int(rng.integers(len(words)))
        words[at] = misspelt(words[at], rng)
        return " ".join(words)
    for _ in range(int(rng.integers(1, 4))):
        at = (0, len(words), int(rng.integers(len(words) + 1)))[int(rng.integers(3))]
        phrase = [made_up(rng) for _ in range(int(rng.integers(1, 4)))]
        if rng.random() < 0.2:
            phrase[-1] += _one(MARKS, rng)
        words[at:at] = phrase
    return " ".join(words)
