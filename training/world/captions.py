"""What is said of a clip: many wordings, any order, sometimes only a part."""

from __future__ import annotations

import numpy as np

from training.world.motions import Motion
from training.world.places import Place
from training.world.subjects import Subject

Rng = np.random.Generator

GOING = {
    "run": ("running", "walking", "going"),
    "fly": ("flying", "soaring", "gliding"),
    "swim": ("swimming", "diving", "gliding"),
    "drive": ("driving", "racing", "going"),
    "sail": ("sailing", "cruising", "drifting"),
    "float": ("floating", "drifting", "flying"),
    "roll": ("rolling", "flying", "moving"),
}
ANY_GOING = ("going", "moving", "running", "flying")
OPENINGS = (
    "",
    "",
    "",
    "",
    "a video of ",
    "a clip of ",
    "a cartoon of ",
    "an animation of ",
    "a scene with ",
)
ENDINGS = (
    "",
    "",
    "",
    "",
    "",
    ", cartoon",
    ", cinematic",
    " in cinematic style",
    ", high quality",
    ", cute",
    ", 4k",
)
ADJECTIVES = (
    "",
    "",
    "",
    "",
    "cute ",
    "little ",
    "happy ",
    "big ",
    "beautiful ",
    "funny ",
    "small ",
    "lonely ",
)


def _article(noun: str, rng: Rng) -> str:
    match int(rng.integers(8)):
        case 0:
            return f"the {noun}"
        case 1:
            return noun
        case _:
            return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def caption(
    subject: Subject,
    place: Place,
    motion: Motion,
    rng: Rng,
    *,
    partial: float = 0.12,
    choose: slice = slice(None),
) -> str:
    """`choose` restricts the wordings, so that an evaluation may keep some for itself."""

    def pick(words: tuple[str, ...]) -> str:
        words = words[choose] or words
        return words[rng.integers(len(words))]

    going = GOING[subject.verb] if rng.random() < 0.75 else ANY_GOING
    noun = _article(ADJECTIVES[rng.integers(len(ADJECTIVES))] + pick(subject.words), rng)
    does = pick(motion.words).format(go=going[rng.integers(len(going))])
    where = pick(place.words)
    if rng.random() < partial:
        match int(rng.integers(4)):
            case 0:
                text = noun
            case 1:
                text = f"{noun} {where}"
            case 2:
                text = f"{noun} {does}"
            case _:
                text = where
    else:
        match int(rng.integers(6)):
            case 0:
                text = f"{where}, {noun} {does}"
            case 1:
                text = f"{noun} {where} {does}"
            case 2:
                text = f"{noun} is {does} {where}"
            case 3:
                text = f"{noun}, {does}, {where}"
            case _:
                text = f"{noun} {does} {where}"
    return OPENINGS[rng.integers(len(OPENINGS))] + text + ENDINGS[rng.integers(len(ENDINGS))]
