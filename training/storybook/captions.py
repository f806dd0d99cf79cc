"""Random captions of the storybook: those of world/captions.py, sometimes with a colour."""

from __future__ import annotations

from functools import cache

import numpy as np

from training.storybook.places import PLACES, Place
from training.storybook.subjects import PLAIN_COLOUR, SHADES, SUBJECTS, Subject
from training.world import captions as shared
from training.world.captions import split_words
from training.world.motions import Motion

COLOUR_NAMED_SHARE = 0.7
"""Share of captions that name the colour of a subject that comes in several."""


def caption(
    subject: Subject,
    place: Place,
    motion: Motion,
    rng: np.random.Generator,
    *,
    colour: str = PLAIN_COLOUR,
    partial: float = 0.2,
    choose: slice = slice(None),
) -> str:
    if colour != PLAIN_COLOUR and rng.random() > COLOUR_NAMED_SHARE:
        colour = PLAIN_COLOUR
    return shared.caption(
        subject, place, motion, rng, colour=colour, partial=partial, choose=choose
    )


@cache
def vocabulary() -> frozenset[str]:
    """All words that captions of this world can contain."""
    names = (words for kind in (SUBJECTS, PLACES) for one in kind for words in one.words)
    return shared.common_vocabulary() | {
        word for phrase in (*names, *SHADES) for word in split_words(phrase)
    }
