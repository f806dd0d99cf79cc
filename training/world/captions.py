"""Random captions: subject, motion and place in many wordings and orders, or only some of them."""

from __future__ import annotations

import re
from functools import cache
from typing import Protocol

import numpy as np

from training.world.motions import MOTIONS, Motion
from training.world.places import PLACES
from training.world.subjects import SUBJECTS

Rng = np.random.Generator

PARTICIPLES = {
    "run": ("running", "walking", "going"),
    "fly": ("flying", "soaring", "gliding"),
    "swim": ("swimming", "diving", "gliding"),
    "drive": ("driving", "racing", "going"),
    "sail": ("sailing", "cruising", "drifting"),
    "float": ("floating", "drifting", "flying"),
    "roll": ("rolling", "flying", "moving"),
}
GENERIC_PARTICIPLES = ("going", "moving", "running", "flying")
FINITE = {
    "running": "runs",
    "walking": "walks",
    "going": "goes",
    "flying": "flies",
    "soaring": "soars",
    "gliding": "glides",
    "swimming": "swims",
    "diving": "dives",
    "driving": "drives",
    "racing": "races",
    "sailing": "sails",
    "cruising": "cruises",
    "drifting": "drifts",
    "floating": "floats",
    "rolling": "rolls",
    "moving": "moves",
    "heading": "heads",
    "rising": "rises",
    "taking": "takes",
    "climbing": "climbs",
    "falling": "falls",
    "landing": "lands",
    "sinking": "sinks",
    "bouncing": "bounces",
    "jumping": "jumps",
    "hopping": "hops",
    "spinning": "spins",
    "turning": "turns",
    "rotating": "rotates",
    "twirling": "twirls",
    "approaching": "approaches",
    "getting": "gets",
    "disappearing": "disappears",
    "leaving": "leaves",
    "circling": "circles",
    "making": "makes",
    "standing": "stands",
    "resting": "rests",
    "waiting": "waits",
    "staying": "stays",
}
"""Without "comes", which fits any motion, as in "here comes a dog"."""
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


def _with_article(noun: str, rng: Rng) -> str:
    match int(rng.integers(8)):
        case 0:
            return f"the {noun}"
        case 1:
            return noun
        case _:
            return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def finite(does: str) -> str:
    """ "running to the left" -> "runs to the left"; unchanged without a known finite form."""
    verb, space, rest = does.partition(" ")
    return FINITE.get(verb, verb) + space + rest


@cache
def common_vocabulary() -> frozenset[str]:
    """Words of captions that all worlds share: all but the names of subjects and places."""
    phrases = [
        *OPENINGS,
        *ENDINGS,
        *ADJECTIVES,
        *GENERIC_PARTICIPLES,
        *FINITE.values(),
        *(word for going in PARTICIPLES.values() for word in going),
        *(words for motion in MOTIONS for words in motion.words),
        "a an the is",
    ]
    return frozenset(word for phrase in phrases for word in split_words(phrase.format(go="")))


@cache
def vocabulary() -> frozenset[str]:
    """All words that captions of this world can contain."""
    names = (words for kind in (SUBJECTS, PLACES) for one in kind for words in one.words)
    return common_vocabulary() | {word for phrase in names for word in split_words(phrase)}


class Named(Protocol):
    """A subject or a place of any world."""

    @property
    def words(self) -> tuple[str, ...]: ...


class Moving(Named, Protocol):
    @property
    def verb(self) -> str: ...


def split_words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def caption(
    subject: Moving,
    place: Named,
    motion: Motion,
    rng: Rng,
    *,
    colour: str = "",
    partial: float = 0.2,
    choose: slice = slice(None),
) -> str:
    """Returns a random caption.

    choose: the wordings to choose from; an evaluation can hold some out. colour: named before the
    subject. partial: share of captions without some of the parts, most often without the motion,
    as in prompts of users.
    """

    def pick(words: tuple[str, ...]) -> str:
        words = words[choose] or words
        return words[rng.integers(len(words))]

    going = PARTICIPLES[subject.verb] if rng.random() < 0.75 else GENERIC_PARTICIPLES
    adjectives = ADJECTIVES[rng.integers(len(ADJECTIVES))] + (f"{colour} " if colour else "")
    noun = _with_article(adjectives + pick(subject.words), rng)
    does = pick(motion.words).format(go=going[rng.integers(len(going))])
    where = pick(place.words)
    if rng.random() < partial:
        match int(rng.integers(6)):
            case 0:
                text = noun
            case 1 | 2 | 3:
                text = f"{noun} {where}"
            case 4:
                text = f"{noun} {does}"
            case _:
                text = where
    else:
        match int(rng.integers(8)):
            case 0:
                text = f"{where}, {noun} {does}"
            case 1:
                text = f"{noun} {where} {does}"
            case 2:
                text = f"{noun} is {does} {where}"
            case 3:
                text = f"{noun}, {does}, {where}"
            case 4 | 5:
                text = f"{noun} {finite(does)} {where}"
            case _:
                text = f"{noun} {does} {where}"
    return OPENINGS[rng.integers(len(OPENINGS))] + text + ENDINGS[rng.integers(len(ENDINGS))]
