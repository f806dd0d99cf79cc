"""A subject of the storybook is found as it was drawn: its size, place, colour and side."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from training.storybook.drawing_match import find_drawing, likeness
from training.storybook.places import PLACES
from training.storybook.render import draw_clip, render
from training.storybook.subjects import SUBJECTS, Subject
from training.world.motions import MOTIONS, Path

SOME = ("dog", "car", "balloon", "rocket", "star")
"""From the side, in colours, facing right, and of a single colour."""
NAMED = {subject.name: subject for subject in SUBJECTS}
MOTION = {motion.name: motion for motion in MOTIONS}


@pytest.mark.parametrize("name", SOME)
def test_it_is_found_as_it_was_drawn(name: str) -> None:
    subject = NAMED[name]
    colour = subject.colours[-1]
    back = np.full((256, 256, 3), (214, 236, 240), np.uint8)
    one = np.ones(1)
    curve = Path(x=0.41 * one, y=0.57 * one, size=0.43 * one, turn=0 * one)
    frame = draw_clip(subject, colour, "right", curve, back)[0][0]
    found = find_drawing(frame, subject)
    assert found.value > 0.95
    assert found.colour == colour
    assert found.size == pytest.approx(0.43, rel=0.05)
    assert found.x + found.size / 2 == pytest.approx(0.41, abs=0.02)
    assert found.y + found.size / 2 == pytest.approx(0.57, abs=0.02)
    assert found.mirrored == subject.mirrored("right")


@pytest.mark.parametrize("subject", SUBJECTS[::6], ids=lambda s: s.name)
def test_a_smear_and_another_subject_are_less_like_it(subject: Subject) -> None:
    rng = np.random.default_rng(5)
    place = PLACES[SUBJECTS.index(subject) % len(PLACES)]
    clip = render(rng, subject=subject, place=place, motion=MOTION["up"], frames=3)
    frame = clip.pixels[1]
    smeared = cv2.GaussianBlur(frame, (0, 0), 8)
    other = SUBJECTS[(SUBJECTS.index(subject) + 7) % len(SUBJECTS)]
    own = likeness(frame, subject)
    assert own > 0.6
    assert likeness(smeared, subject) < own - 0.04
    assert likeness(frame, other) < own - 0.15


@pytest.mark.parametrize(
    ("subject", "colour"),
    [(s, colour) for s in SUBJECTS if len(s.colours) > 1 for colour in s.colours[:2]],
    ids=lambda v: getattr(v, "name", v),
)
def test_its_colour_is_found_in_clips_as_small_as_they_are_kept(
    subject: Subject, colour: str
) -> None:
    clip = render(
        np.random.default_rng(2), subject=subject, colour=colour, motion=MOTION["left"], frames=3
    )
    small = cv2.resize(clip.pixels[1], (64, 64), interpolation=cv2.INTER_AREA)
    assert find_drawing(small, subject).colour == colour


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_frame_is_like_nothing(level: int) -> None:
    assert likeness(np.full((256, 256, 3), level, np.uint8), NAMED["dog"]) < 0.3
