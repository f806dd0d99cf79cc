"""Prompts with unknown styles, actions, places and subjects, and nonsense.

The known parts of a prompt must still be right. `with_unknown_words` leaves out prompts whose words
are all in the vocabulary by now.
"""

from __future__ import annotations

import numpy as np

from training.current_world import vocabulary
from training.evaluation.clip_request import Expected
from training.world.captions import split_words

TAILS = (
    " in cinematic style, 4k, unreal engine",
    ", watercolour painting, soft pastel tones",
    ", shot on 35mm film, shallow depth of field",
    ", photorealistic, octane render, trending on artstation",
    " in the style of van gogh, award winning",
    ", volumetric lighting, ultra detailed masterpiece",
    ", pixar style, studio quality, hyperdetailed",
    ", black and white noir movie, dramatic shadows",
)

UNKNOWN_ACTIONS = (
    ("a golden retriever surfing at sunset in cinematic style", "dog", ("sunset", "ocean")),
    ("a golden retriever surfing at sunset", "dog", ("sunset", "ocean")),
    ("a fluffy kitten wearing a hat in the snow", "cat", "snow"),
    ("an adorable penguin sliding on the ice", "penguin", "snow"),
    ("a horse galloping majestically through the desert", "horse", "desert"),
    ("an astronaut's rocket exploring outer space", "rocket", "space"),
    ("a frog croaking loudly in the forest", "frog", "forest"),
    ("a vintage car parked downtown", "car", "city"),
    ("a whale splashing joyfully in the ocean", "whale", "ocean"),
    ("an old robot wandering among the dunes", "robot", "desert"),
    ("a ghost haunting the woods at midnight", "ghost", ("forest", "night")),
    ("a turtle munching leaves on the grass", "turtle", "meadow"),
    ("a sailboat battling a storm at sea", "boat", "ocean"),
    ("a butterfly fluttering among the flowers", "butterfly", "meadow"),
    ("an owl hooting under the stars", "owl", "night"),
    ("a dinosaur roaring in a jungle", "dinosaur", "forest"),
    ("a shiny balloon escaping over skyscrapers in the city", "balloon", "city"),
    ("a bee pollinating daisies in a park", "bee", "meadow"),
)
UNKNOWN_PLACES = (
    ("a cat jumping up and down in a kitchen", "cat", "bounce"),
    ("a dog running to the left across my living room", "dog", "left"),
    ("a car driving to the right along a racetrack", "car", "right"),
    ("a robot spinning around inside a laboratory", "robot", "spin"),
    ("a balloon rising up over paris", "balloon", "up"),
    ("an apple falling down onto a wooden table", "apple", "down"),
    ("a horse coming closer through thick fog", "horse", "closer"),
    ("a bus going away down a country lane", "bus", "away"),
    ("a bee flying around in circles beside a hive", "bee", "circle"),
    ("an elephant standing still at a watering hole", "elephant", "still"),
)
UNKNOWN_SUBJECTS = (
    ("a dragon flying up in a starry night sky", "night", "up"),
    ("a princess walking to the right in the forest", "forest", "right"),
    ("a unicorn jumping up and down in a meadow", "meadow", "bounce"),
    ("a pirate going to the left on the sea", "ocean", "left"),
    ("a wizard spinning around at sunset", "sunset", "spin"),
    ("a snowman standing still in the snow", "snow", "still"),
    ("a submarine sinking down in the ocean", "ocean", "down"),
    ("a helicopter coming closer in the sky", "sky", "closer"),
    ("a scooter going away in the city", "city", "away"),
    ("a satellite circling in outer space", "space", "circle"),
)
NONSENSE = (
    "",
    "asdf qwer zxcv",
    "?!?!?!",
    "the",
    "colourless green ideas sleep furiously",
    "lorem ipsum dolor sit amet consectetur adipiscing elit",
    "42",
    "brgl xnork ptui",
    "собака бежит по снегу",
    "一只小狗在雪地里奔跑",
    "SELECT * FROM clips; DROP TABLE clips",
    "🦄🌈✨",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "nothing",
    "quarterly revenue grew by seven percent",
    "why is there something rather than nothing",
    "down up left right spinning still",
    "dog dog dog dog dog dog dog dog",
    "a very long description " * 30,
    "justice, melancholy and the smell of rain",
    "0x7fffffff null undefined NaN",
    "<b>hello</b>",
    "mmm",
    "tomorrow never knows",
)


def _as_tuple(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def sentences() -> dict[str, list[tuple[str, Expected]]]:
    """Prompts and expected labels, grouped by what is unknown. Tails are added by the plan."""
    return {
        "an unknown doing": with_unknown_words(
            [(w, Expected(subject=_as_tuple(s), place=_as_tuple(p))) for w, s, p in UNKNOWN_ACTIONS]
        ),
        "an unknown place": with_unknown_words(
            [(w, Expected(subject=_as_tuple(s), motion=_as_tuple(m))) for w, s, m in UNKNOWN_PLACES]
        ),
        "an unknown subject": with_unknown_words(
            [(w, Expected(place=_as_tuple(p), motion=_as_tuple(m))) for w, p, m in UNKNOWN_SUBJECTS]
        ),
    }


def unknown_words(text: str) -> set[str]:
    return set(split_words(text)) - vocabulary()


def with_unknown_words(expected: list[tuple[str, Expected]]) -> list[tuple[str, Expected]]:
    return [(text, parts) for text, parts in expected if unknown_words(text)]


def random_tail(rng: np.random.Generator) -> str:
    return TAILS[rng.integers(len(TAILS))]
