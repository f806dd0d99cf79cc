"""The cartoon world does what its words say."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from training.captions_held_out import FRAMES as HELD_OUT_FRAMES
from training.captions_held_out import sentence
from training.world.captions import GENERIC_PARTICIPLES, PARTICIPLES, caption, finite
from training.world.motions import MOTION_NAMES, MOTIONS, Motion, Path, path
from training.world.ood_clips import STILL, emoji_clip, single_object_clip
from training.world.places import PLACE_NAMES, PLACES, Place, backdrop
from training.world.render import EDGE, FRAMES, SIDE, RenderedClip, draw_clip, render
from training.world.subjects import SUBJECT_NAMES, SUBJECTS, Subject, other_emoji, sprite

Films = dict[str, list[RenderedClip]]


def centres(clip: RenderedClip) -> np.ndarray:
    """[F, 2]: x and y of the subject's centre of mass, as fractions of the frame."""
    grid = (np.arange(SIDE) + 0.5) / SIDE
    mass = clip.masks.astype(np.float64)
    total = mass.sum((1, 2))
    return np.stack([(mass.sum(1) @ grid) / total, (mass.sum(2) @ grid) / total], 1)


def sizes(clip: RenderedClip) -> np.ndarray:
    return np.sqrt((clip.masks / 255).sum((1, 2))) / SIDE


def phrases(motion: Motion) -> set[str]:
    verbs = {*GENERIC_PARTICIPLES, *itertools.chain.from_iterable(PARTICIPLES.values())}
    doing = {words.format(go=go) for words in motion.words for go in verbs}
    return doing | {finite(words) for words in doing}


def test_the_world_holds_enough_to_play_with() -> None:
    assert len(set(SUBJECT_NAMES)) >= 24
    assert len(set(PLACE_NAMES)) >= 10
    assert len(set(MOTION_NAMES)) >= 10


@pytest.mark.parametrize("of", ["subjects", "places", "motions"])
def test_no_words_mean_two_things(of: str) -> None:
    meanings = {
        "subjects": [set(subject.words) for subject in SUBJECTS],
        "places": [set(place.words) for place in PLACES],
        "motions": [phrases(motion) for motion in MOTIONS],
    }[of]
    for one, other in itertools.combinations(meanings, 2):
        assert not one & other


def test_the_same_seed_renders_the_same_clip() -> None:
    one, again, other = (render(np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert one.caption == again.caption
    assert np.array_equal(one.pixels, again.pixels)
    assert np.array_equal(one.masks, again.masks)
    assert not np.array_equal(one.pixels, other.pixels)


def test_a_clip_is_seventeen_square_frames_with_a_mask_each(films: Films) -> None:
    for clip in itertools.chain.from_iterable(films.values()):
        assert clip.pixels.shape == (FRAMES, SIDE, SIDE, 3)
        assert clip.masks.shape == (FRAMES, SIDE, SIDE)
        assert clip.pixels.dtype == clip.masks.dtype == np.uint8
        assert (clip.masks > 127).sum((1, 2)).min() > 60, "the subject never leaves the frame"


@pytest.mark.parametrize(
    ("motion", "axis", "sign"),
    [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)],
)
def test_a_subject_told_to_cross_the_frame_crosses_it(
    films: Films, motion: str, axis: int, sign: int
) -> None:
    for clip in films[motion]:
        at = centres(clip)
        assert sign * (at[-1, axis] - at[0, axis]) > 0.25
        assert (sign * np.diff(at[:, axis]) > 0).all()
        assert np.ptp(at[:, 1 - axis]) < 0.08


def test_bouncing_goes_up_and_comes_down_twice(films: Films) -> None:
    for clip in films["bounce"]:
        x, y = centres(clip).T
        assert np.ptp(y) > 0.2
        assert np.ptp(x) < 0.05
        turns = np.diff(np.sign(np.diff(y))) != 0
        assert turns.sum() == 3, "up, down, up, down"


def test_spinning_turns_once_round_and_stays_where_it_is(films: Films) -> None:
    rng = np.random.default_rng(0)
    curve = path("spin", FRAMES, rng)
    assert abs(curve.turn[-1] - curve.turn[0]) == pytest.approx(2 * np.pi)
    for clip in films["spin"]:
        assert np.ptp(centres(clip), 0).max() < 0.12
        whole = np.abs(clip.masks[-1].astype(int) - clip.masks[0]).mean()
        assert whole < 1
        widths = (clip.masks > 127).any(1).sum(1)
        heights = (clip.masks > 127).any(2).sum(1)
        assert np.ptp(heights) <= 3, "it turns about its upright axis"
        edges = widths[[4, 12]] / widths[0]
        assert (np.abs(edges - EDGE) < 0.1).all(), edges
        assert abs(int(widths[8]) - int(widths[0])) <= 1


@pytest.mark.parametrize("subject", SUBJECTS, ids=SUBJECT_NAMES)
def test_half_way_round_it_is_seen_from_its_other_side(subject: Subject) -> None:
    middle, one = 0.5 - 0.5 / SIDE, np.ones(FRAMES)
    turn = path("spin", FRAMES, np.random.default_rng(0)).turn
    curve = Path(x=one * middle, y=one * middle, size=one * 0.4, turn=turn)
    pixels, _ = draw_clip(subject, "spin", curve, np.zeros((SIDE, SIDE, 3), np.float32))
    assert np.abs(pixels[8].astype(int) - pixels[0, :, ::-1]).max() <= 1


@pytest.mark.parametrize(("motion", "sign"), [("closer", 1), ("away", -1)])
def test_what_comes_closer_grows_and_what_leaves_shrinks(
    films: Films, motion: str, sign: int
) -> None:
    for clip in films[motion]:
        size = sizes(clip)
        assert (sign * np.diff(size) > 0).all()
        assert max(size) > 2 * min(size)


def test_a_circle_goes_all_the_way_round(films: Films) -> None:
    for clip in films["circle"]:
        x, y = (centres(clip) - centres(clip)[:-1].mean(0)).T
        swept = np.unwrap(np.arctan2(y, x))
        assert abs(swept[-1] - swept[0]) == pytest.approx(2 * np.pi, abs=0.4)


def test_standing_still_is_one_picture(films: Films) -> None:
    for clip in films["still"]:
        assert (clip.pixels == clip.pixels[:1]).all()


def test_only_what_moves_changes(films: Films) -> None:
    clip = films["left"][0]
    untouched = (clip.masks == 0).all(0)
    assert untouched.any()
    change = np.abs(clip.pixels[:, untouched].astype(int) - clip.pixels[:1, untouched])
    assert change.max() <= 2, "the soft rim of a sprite rounds to no mask"


@pytest.mark.parametrize("subject", SUBJECTS, ids=SUBJECT_NAMES)
def test_the_font_draws_every_subject(subject: Subject) -> None:
    ink = sprite(subject.emoji)
    assert ink is not None
    assert 0.1 < ink[..., 3].mean() < 1
    assert np.ptp(ink[..., :3]) > 0.3, "in colour, not as an empty box"


def test_no_two_subjects_look_the_same() -> None:
    sprites = [sprite(subject.emoji) for subject in SUBJECTS]
    for one, other in itertools.combinations(sprites, 2):
        assert one is not None and other is not None
        assert np.abs(one - other).mean() > 0.02


@pytest.mark.parametrize("subject", SUBJECTS, ids=SUBJECT_NAMES)
def test_what_is_seen_from_the_side_turns_round_to_go_right(subject: Subject) -> None:
    middle, one = 0.5 - 0.5 / SIDE, np.ones(1)
    curve = Path(x=one * middle, y=one * middle, size=one * 0.4, turn=one * 0)
    back = np.zeros((SIDE, SIDE, 3), np.float32)
    left, _ = draw_clip(subject, "left", curve, back)
    right, _ = draw_clip(subject, "right", curve, back)
    expected = left[:, :, ::-1] if subject.profile else left
    assert np.abs(right.astype(int) - expected).max() <= 1
    asymmetric = np.abs(left.astype(int) - left[:, :, ::-1]).mean() > 0.5
    assert asymmetric or not subject.profile


@pytest.mark.parametrize("place", PLACES, ids=PLACE_NAMES)
def test_backdrops_fill_the_frame_and_differ_by_seed(place: Place) -> None:
    one, other = (backdrop(place, SIDE, np.random.default_rng(seed)) for seed in (1, 2))
    assert one.shape == (SIDE, SIDE, 3)
    assert one.min() >= 0 and one.max() <= 255
    assert one.std() > 5
    assert np.abs(one - other).mean() > 1


def test_strangers_are_not_of_the_world() -> None:
    known = {subject.emoji[0] for subject in SUBJECTS}
    assert not known & set(other_emoji())
    assert len(other_emoji()) > 300
    assert emoji_clip(np.random.default_rng(0)).shape == (FRAMES, SIDE, SIDE, 3)


def test_of_calm_strangers_half_stand_still_and_the_others_move_as_said() -> None:
    shown = [single_object_clip(np.random.default_rng(seed)) for seed in range(60)]
    still = [pixels for pixels, _, motion in shown if motion is STILL]
    assert 24 < len(still) < 42
    assert {motion.name for _, _, motion in shown} > {"left", "up", "spin"}
    for pixels, mask, motion in shown:
        assert pixels.shape == (FRAMES, SIDE, SIDE, 3) and pixels.dtype == np.uint8
        changed = np.abs(np.diff(pixels.astype(int), axis=0)).max(-1) > 2
        assert not changed[mask[1:] + mask[:-1].astype(int) == 0].any(), "only the thing moves"
        assert motion is not STILL or changed.mean() < 0.05


def drawn(rng: np.random.Generator) -> tuple[Subject, Place, Motion]:
    return (
        SUBJECTS[rng.integers(len(SUBJECTS))],
        PLACES[rng.integers(len(PLACES))],
        MOTIONS[rng.integers(len(MOTIONS))],
    )


def said(text: str, options: set[str]) -> bool:
    return any(re.search(rf"(?<![a-z]){re.escape(option)}(?![a-z])", text) for option in options)


def test_a_whole_caption_says_who_where_and_how() -> None:
    for seed in range(400):
        rng = np.random.default_rng((5, seed))
        subject, place, motion = drawn(rng)
        text = caption(subject, place, motion, rng, partial=0)
        assert said(text, set(subject.words)), text
        assert said(text, set(place.words)), text
        assert said(text, phrases(motion)), text


def test_a_partial_caption_says_no_falsehood_and_is_never_empty() -> None:
    dog, snow, left = SUBJECTS[0], PLACES[6], MOTIONS[0]
    texts = {caption(dog, snow, left, np.random.default_rng(i), partial=1) for i in range(400)}
    assert all(texts)
    kinds = {
        (said(t, set(dog.words)), said(t, set(snow.words)), said(t, phrases(left))) for t in texts
    }
    assert kinds == {
        (True, False, False),
        (True, True, False),
        (True, False, True),
        (False, True, False),
    }
    for other in (*SUBJECTS[1:], *PLACES[:6], *PLACES[7:]):
        assert not any(said(text, set(other.words)) for text in texts)


def test_articles_fit_their_nouns() -> None:
    for seed in range(600):
        rng = np.random.default_rng((6, seed))
        text = caption(*drawn(rng), rng)
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text


def frame_of(text: str, subject: Subject, place: Place, motion: Motion) -> str:
    """The sentence with its blanks: "look at N D W"."""
    blanks = [("W", set(place.words)), ("D", phrases(motion)), ("N", set(subject.words))]
    for blank, options in blanks:
        for option in sorted(options, key=len, reverse=True):
            text, count = re.subn(rf"(?<![a-z]){re.escape(option)}(?![a-z])", blank, text)
            if count:
                break
    return re.sub(r"\b(the|an?) N", "N", text)


def test_the_evaluation_speaks_in_frames_that_training_never_used() -> None:
    dog, sky, spin = SUBJECTS[0], PLACES[0], MOTIONS[5]
    trained = {
        frame_of(caption(dog, sky, spin, np.random.default_rng(i)), dog, sky, spin)
        for i in range(3000)
    }
    asked = {
        frame_of(sentence(dog, sky, spin, np.random.default_rng(i)), dog, sky, spin)
        for i in range(200)
    }
    assert "N D W" in trained, "the frames of the training are recognised"
    assert "look at N D W" in asked
    assert len(asked) >= len(HELD_OUT_FRAMES)
    assert not asked & trained


def test_the_evaluation_says_everything_in_every_sentence() -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        subject, place, motion = drawn(rng)
        text = sentence(subject, place, motion, rng)
        assert said(text, set(subject.words)), text
        assert said(text, set(place.words)), text
        assert said(text, phrases(motion)), text
