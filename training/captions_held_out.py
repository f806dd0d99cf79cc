"""Prompts for evaluation only: the world's words in sentence patterns that training never uses."""

from __future__ import annotations

import numpy as np

from training.world.captions import PARTICIPLES
from training.world.motions import Motion
from training.world.places import Place
from training.world.subjects import Subject

FRAMES = (
    "we see {noun} that is {does} {where}",
    "{noun}, which is {does}, {where}",
    "look at {noun} {does} {where}",
    "{where} there is {noun} {does}",
    "here comes {noun}: {does} {where}",
    "my favourite {bare} is {does} {where}",
)


def sentence(
    subject: Subject, place: Place, motion: Motion, rng: np.random.Generator, colour: str = ""
) -> str:
    bare = (f"{colour} " if colour else "") + subject.words[rng.integers(len(subject.words))]
    going = PARTICIPLES[subject.verb][rng.integers(len(PARTICIPLES[subject.verb]))]
    return FRAMES[rng.integers(len(FRAMES))].format(
        noun=("an " if bare[0] in "aeiou" else "a ") + bare,
        bare=bare,
        does=motion.words[rng.integers(len(motion.words))].format(go=going),
        where=place.words[rng.integers(len(place.words))],
    )
