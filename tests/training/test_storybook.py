"""The storybook world draws what its words say, at any size."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from training.storybook.captions import caption, vocabulary
from training.storybook.places import PLACE_NAMES, PLACES, Place, backdrop
from training.storybook.render import FRAMES, SIDE, draw_clip, render
from training.storybook.subjects import (
    COLOURS,
    FRONT,
    ICONS,
    LEFT,
    PLAIN_COLOUR,
    RIGHT,
    SHADES,
    SUBJECT_NAMES,
    SUBJECTS,
    Subject,
    sprite,
)
from training.world.captions import split_words
from training.world.motions import MOTION_NAMES, MOTIONS, Path, path

Clips = dict[str, list[np.ndarray]]
CLIPS_A_MOTION = 4
GROUND = (201, 3, 251)
"""No subject is of this colour alone, so that a mask can be checked against the picture."""


def standing(side: int, size: float = 0.45) -> Path:
    middle, one = 0.5, np.ones(1)
    return Path(x=one * middle, y=one * middle, size=one * size, turn=one * 0)


def plain(width: int, height: int) -> np.ndarray:
    return np.broadcast_to(np.array(GROUND, np.uint8), (height, width, 3)).copy()


def coloured(subjects: tuple[Subject, ...] = SUBJECTS) -> list[tuple[Subject, str]]:
    return [(s, colour) for s in subjects for colour in s.colours]


@pytest.fixture(scope="module")
def masks() -> Clips:
    """By motion: where the subject is, from seeds that no training draws."""
    found: Clips = {}
    for m, motion in enumerate(MOTIONS):
        found[motion.name] = []
        for i in range(CLIPS_A_MOTION):
            rng = np.random.default_rng((41, m, i))
            subject = SUBJECTS[int(rng.integers(len(SUBJECTS)))]
            curve = path(motion.name, FRAMES, rng)
            back = plain(128, 128)
            found[motion.name].append(
                draw_clip(subject, subject.colours[0], motion.name, curve, back)[1]
            )
    return found


def centres(mask: np.ndarray) -> np.ndarray:
    """[F, 2]: x and y of the centre of mass, as fractions of the frame."""
    grid = (np.arange(mask.shape[1]) + 0.5) / mask.shape[1]
    mass = mask.astype(np.float64)
    total = mass.sum((1, 2))
    return np.stack([(mass.sum(1) @ grid) / total, (mass.sum(2) @ grid) / total], 1)


def cropped(mask: np.ndarray) -> np.ndarray:
    """What lies inside the box around it."""
    rows, columns = np.flatnonzero((mask > 127).any(1)), np.flatnonzero((mask > 127).any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_the_storybook_holds_forty_subjects_and_twelve_places() -> None:
    assert len(set(SUBJECT_NAMES)) >= 40
    assert len(set(PLACE_NAMES)) >= 12
    assert len(set(MOTION_NAMES)) >= 10
    assert {subject.icon for subject in SUBJECTS} == set(ICONS), "nothing is shipped unused"


@pytest.mark.parametrize("of", ["subjects", "places"])
def test_no_words_mean_two_things(of: str) -> None:
    kind = SUBJECTS if of == "subjects" else PLACES
    for one, other in itertools.combinations(kind, 2):
        assert not set(one.words) & set(other.words), (one.name, other.name)


@pytest.mark.parametrize(("subject", "colour"), coloured(), ids=lambda v: getattr(v, "name", v))
def test_every_subject_is_found_where_it_was_drawn(subject: Subject, colour: str) -> None:
    pixels, masks = draw_clip(subject, colour, "still", standing(128), plain(128, 128))
    changed = np.abs(pixels[0].astype(int) - np.array(GROUND)).max(-1)
    assert (changed[masks[0] == 0] == 0).all(), "nothing is painted outside the mask"
    assert (changed[masks[0] == 255] > 8).mean() > 0.98
    rows, columns = np.flatnonzero(masks[0].any(1)), np.flatnonzero(masks[0].any(0))
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    assert abs(extent - 0.45 * 128) <= 2, "a third to a half of the frame's height"
    assert (
        abs((rows[0] + rows[-1]) / 2 - 63.5) <= 1
        and abs((columns[0] + columns[-1]) / 2 - 63.5) <= 1
    )
    assert np.ptp(pixels[0].reshape(-1, 3), 0).max() > 90, "bold colours"


def test_no_two_subjects_look_the_same() -> None:
    sprites = [sprite(subject, colour, 128).astype(int) for subject, colour in coloured()]
    for one, other in itertools.combinations(sprites, 2):
        assert np.abs(one - other).mean() > 4


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if s.profile], ids=lambda s: s.name)
def test_what_is_seen_from_the_side_faces_the_way_it_moves(subject: Subject) -> None:
    colour, curve = subject.colours[0], standing(128)
    made = {
        m: draw_clip(subject, colour, m, curve, plain(128, 128))[0] for m in (LEFT, RIGHT, "still")
    }
    flipped = made[LEFT][:, :, ::-1]
    assert np.abs(made[RIGHT].astype(int) - flipped).max() <= 2
    assert np.abs(made[LEFT].astype(int) - made[RIGHT]).mean() > 0.5, "it has a front"
    assert np.array_equal(made["still"], made[subject.faces])


@pytest.mark.parametrize(
    ("name", "tone"), [("dog", "#212121"), ("pig", "#1c1c1c"), ("bee", "#212121")]
)
def test_an_eye_lies_on_the_side_that_the_icon_faces(name: str, tone: str) -> None:
    subject = next(s for s in SUBJECTS if s.name == name)
    rgb = np.array([int(tone[i : i + 2], 16) for i in (1, 3, 5)])
    pixels = sprite(subject, subject.colours[0], 128)
    near = (np.abs(pixels[..., :3].astype(int) - rgb).max(-1) < 12) & (pixels[..., 3] > 250)
    assert (np.flatnonzero(near.any(0)).min() < 64) == (subject.faces == LEFT)


def test_what_faces_us_is_never_mirrored() -> None:
    for subject in SUBJECTS:
        assert not (subject.faces == FRONT and (subject.mirrored(LEFT) or subject.mirrored(RIGHT)))


@pytest.mark.parametrize(
    "subject", [s for s in SUBJECTS if len(s.colours) > 1], ids=lambda s: s.name
)
def test_a_colours_word_is_the_colour_of_most_of_the_subject(subject: Subject) -> None:
    for colour in subject.colours:
        pixels = sprite(subject, colour, 128)
        ink = pixels[..., 3] > 250
        shade = [np.array([int(tone[i : i + 2], 16) for i in (1, 3, 5)]) for tone in SHADES[colour]]
        near = [np.abs(pixels[..., :3].astype(int) - rgb).max(-1) < 6 for rgb in shade]
        assert (np.logical_or.reduce(near) & ink).sum() / ink.sum() > 0.25, colour


def test_a_subject_comes_only_in_its_own_colours() -> None:
    dog = next(s for s in SUBJECTS if s.name == "dog")
    with pytest.raises(ValueError, match="no green dog"):
        sprite(dog, "green", 128)
    assert set(COLOURS) >= {colour for subject in SUBJECTS for colour in subject.colours}


@pytest.mark.parametrize(
    ("motion", "axis", "sign"),
    [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)],
)
def test_a_subject_that_crosses_the_frame_never_stops(
    masks: Clips, motion: str, axis: int, sign: int
) -> None:
    for mask in masks[motion]:
        at = centres(mask)
        assert sign * (at[-1, axis] - at[0, axis]) > 0.25
        assert (sign * np.diff(at[:, axis]) > 0).all()
        assert np.ptp(at[:, 1 - axis]) < 0.08


def test_what_spins_shows_its_other_side_half_way(masks: Clips) -> None:
    half = (FRAMES - 1) // 2
    for mask in masks["spin"]:
        one, other = cropped(mask[0])[:, ::-1].astype(int), cropped(mask[half])
        assert np.abs(np.subtract(one.shape, other.shape)).max() <= 1
        rows, columns = min(len(one), len(other)), min(one.shape[1], other.shape[1])
        assert np.abs(one[:rows, :columns] - other[:rows, :columns]).mean() < 8
        widths = (mask > 127).any(1).sum(1)
        assert widths.min() < 0.4 * widths[0]


def test_what_comes_closer_grows_and_what_leaves_shrinks(masks: Clips) -> None:
    for motion, sign in (("closer", 1), ("away", -1)):
        for mask in masks[motion]:
            size = np.sqrt((mask / 255).sum((1, 2)))
            assert (sign * np.diff(size) > 0).all() and max(size) > 2 * min(size)


@pytest.mark.parametrize("place", PLACES, ids=PLACE_NAMES)
def test_backdrops_fill_the_frame_and_differ_by_seed(place: Place) -> None:
    one, other = (backdrop(place, 96, 96, np.random.default_rng(seed)) for seed in (1, 2))
    assert one.shape == (96, 96, 3) and one.dtype == np.uint8
    assert not (one == 0).all(-1).any(), "no hole"
    assert one.std() > 5
    assert np.abs(one.astype(int) - other).mean() > 1
    wide = backdrop(place, 160, 90, np.random.default_rng(1))
    tall = backdrop(place, 90, 160, np.random.default_rng(1))
    assert wide.shape == (90, 160, 3) and tall.shape == (160, 90, 3)
    assert not (wide == 0).all(-1).any() and not (tall == 0).all(-1).any()


def test_no_two_places_look_the_same() -> None:
    looks = [
        np.mean([backdrop(p, 24, 24, np.random.default_rng(i)).astype(int) for i in range(3)], 0)
        for p in PLACES
    ]
    for one, other in itertools.combinations(looks, 2):
        assert np.abs(one - other).mean() > 12


def test_the_same_seed_renders_the_same_clip() -> None:
    one, again, other = (render(np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert (one.caption, one.colour) == (again.caption, again.colour)
    assert np.array_equal(one.pixels, again.pixels) and np.array_equal(one.masks, again.masks)
    assert not np.array_equal(one.pixels, other.pixels)
    assert one.pixels.shape == (FRAMES, SIDE, SIDE, 3)


def test_vectors_are_drawn_at_the_size_that_is_wanted() -> None:
    """Half the size is the same picture, and the larger one holds edges that the smaller lacks."""
    large, small = (
        render(np.random.default_rng(3), width=n, height=n, frames=5).pixels for n in (256, 128)
    )
    halved = large.reshape(5, 128, 2, 128, 2, 3).mean((2, 4))
    assert np.abs(halved - small).mean() < 1.5
    blown_up = small.repeat(2, 1).repeat(2, 2)
    assert np.abs(large.astype(int) - blown_up).mean() > 1.2 * np.abs(halved - small).mean()


def said(text: str, options: tuple[str, ...]) -> bool:
    return any(re.search(rf"(?<![a-z]){re.escape(option)}(?![a-z])", text) for option in options)


def test_a_whole_caption_names_subject_and_place_and_no_wrong_colour() -> None:
    named = 0
    for seed in range(300):
        rng = np.random.default_rng((5, seed))
        subject = SUBJECTS[int(rng.integers(len(SUBJECTS)))]
        colour = subject.colours[int(rng.integers(len(subject.colours)))]
        place, motion = PLACES[seed % len(PLACES)], MOTIONS[seed % len(MOTIONS)]
        text = caption(subject, place, motion, rng, colour=colour, partial=0)
        assert said(text, subject.words) and said(text, place.words), text
        others = tuple(word for word in SHADES if word != colour)
        rest = text.replace("in a green field", "").replace("in a blue sky", "")
        assert not said(rest, others), text
        named += colour != PLAIN_COLOUR and said(rest, (colour,))
        assert set(split_words(text)) <= vocabulary(), text
    assert named > 20
