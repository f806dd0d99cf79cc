"""Going on from a clip, before anything is made: its size, its pace, and how long both are."""

from __future__ import annotations

from typing import Any

import pytest

from errors import ErrorCode, KinoraError
from pipelines.cards import ModelCard
from pipelines.fit import GivenClip, Limits, fit
from pipelines.request import FittedRequest, GenerationRequest, Task
from tests import tiny

CLIP = "a" * 64
BEFORE = GivenClip(width=96, height=64, seconds=17 / 8, fps=8)


def card(**changes: object) -> ModelCard:
    return ModelCard.model_validate(tiny.CARD | {"repo": "nowhere"} | changes)


MOVES = {"takes": {"lead": True}}


def fitted(card: ModelCard, before: GivenClip = BEFORE, **asked: Any) -> FittedRequest:
    request = GenerationRequest.model_validate({"prompt": "on", "continue_from": CLIP} | asked)
    return fit(request, card, Limits(), clip=before)


def test_it_has_the_clips_size_and_pace_and_adds_the_seconds_asked_for() -> None:
    made = fitted(card(), duration_s=1)
    assert made.task is Task.IMAGE_TO_VIDEO
    assert (made.width, made.height, made.fps) == (96, 64, 8)
    assert (made.num_frames, made.overlap, made.lead_frames) == (9, 1, 17)
    assert made.made_frames == 17 + 8
    assert made.duration_s == 25 / 8
    assert made.adjustments == ()


def test_a_model_that_starts_from_several_frames_is_given_several() -> None:
    made = fitted(card(**MOVES), duration_s=1)
    assert (made.overlap, made.num_frames, made.made_frames) == (3, 11, 25)
    short = GivenClip(width=96, height=64, seconds=2 / 8, fps=8)
    assert fitted(card(**MOVES), short, duration_s=1).overlap == 1
    assert fitted(card(**MOVES), duration_s=1, image="b" * 64).overlap == 1
    assert fitted(card(**MOVES), num_frames=5).made_frames == 17 + 2


def test_a_size_or_pace_the_model_does_not_make_is_changed_and_said() -> None:
    large = GivenClip(width=1280, height=720, seconds=2, fps=59.94)
    made = fitted(card(), large)
    assert (made.width, made.height) == (128, 64)
    assert made.fps == 24
    assert made.lead_frames == 48
    assert "instead of 1280x720" in made.adjustments[0].sentence
    few = card(limits=tiny.CARD["limits"] | {"max_pixels": 96 * 64})  # type: ignore[operator]
    assert (lambda f: f.width * f.height)(fitted(few, large)) <= 96 * 64


def test_fitting_it_again_changes_nothing() -> None:
    for which in (card(), card(**MOVES)):
        first = fitted(which, duration_s=1)
        again = fit(first.as_request(), which, Limits(), clip=BEFORE)
        assert again == first


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"video": CLIP}, "not both"),
        ({"upscale": True}, "Leave upscale off|cannot make its clips"),
        ({"duration_s": 9}, "frames"),
    ],
)
def test_what_does_not_go_together_is_refused(asked: dict[str, Any], says: str) -> None:
    able = card(tasks=["t2v", "i2v", "v2v"])
    with pytest.raises(KinoraError, match=says):
        fitted(able, **asked)


def test_a_model_that_cannot_start_from_a_picture_says_so() -> None:
    with pytest.raises(KinoraError, match="cannot go on from a clip") as refused:
        fitted(card(tasks=["t2v"]))
    assert refused.value.code is ErrorCode.TASK_NOT_SUPPORTED
