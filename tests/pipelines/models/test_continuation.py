"""Going on from a clip, before anything is made: its size, its pace, and how long both are."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, SourceClip, fit
from pipelines.request import FittedRequest, GenerationRequest, Task
from tests import tiny

CLIP = "a" * 64
BEFORE = SourceClip(width=96, height=64, seconds=17 / 8, fps=8)


def card(**changes: object) -> ModelCard:
    return ModelCard.model_validate(tiny.CARD | {"repo": "nowhere"} | changes)


MOVES = {"takes": {"lead": True}}


def fitted(card: ModelCard, before: SourceClip = BEFORE, **asked: Any) -> FittedRequest:
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
    short = SourceClip(width=96, height=64, seconds=2 / 8, fps=8)
    assert fitted(card(**MOVES), short, duration_s=1).overlap == 1
    assert fitted(card(**MOVES), duration_s=1, image="b" * 64).overlap == 1
    assert fitted(card(**MOVES), num_frames=5).made_frames == 17 + 2


def test_a_size_or_pace_the_model_does_not_make_is_changed_and_said() -> None:
    large = SourceClip(width=1280, height=720, seconds=2, fps=59.94)
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
        ({"duration_s": 90}, "30 s is the longest clip"),
    ],
)
def test_what_does_not_go_together_is_refused(asked: dict[str, Any], says: str) -> None:
    able = card(tasks=["t2v", "i2v", "v2v"])
    with pytest.raises(KinoraError, match=says):
        fitted(able, **asked)


def test_a_model_that_cannot_start_from_a_picture_says_so() -> None:
    with pytest.raises(KinoraError, match="cannot continue a clip") as refused:
        fitted(card(tasks=["t2v"]))
    assert refused.value.code is ErrorCode.TASK_NOT_SUPPORTED


@pytest.mark.parametrize(
    ("was", "used", "says"),
    [
        ({"fps": 60.0, "sent_fps": 60.0}, 24, "at 24 frames per second instead of 60: Tiny makes"),
        ({"fps": 60.0, "sent_fps": 120.0}, 24, "instead of 120: Tiny makes at most 24."),
        ({"fps": 30_000 / 1001, "sent_fps": 30_000 / 1001}, 24, "instead of 29.97: Tiny"),
        ({"fps": 24_000 / 1001, "sent_fps": 24_000 / 1001}, 24, "instead of 23.98. Motion and"),
        ({"fps": 2.0}, 4, "instead of 2: Tiny makes at least 4."),
        ({"sent_hdr": "HLG"}, 8, "The source clip is HDR (HLG); its colours are converted to SDR."),
        ({"sent_channels": 6}, 8, "has 6 channels; they are mixed down to stereo."),
        ({"lost_sound": "wmav2"}, 8, "is left out: it is coded as wmav2, which cannot be read"),
        ({"sent_size": (192, 128)}, 8, "is 96x64 instead of 192x128"),
        ({"sent_channels": 2, "sent_size": (96, 64), "sent_fps": 8.0}, 8, ""),
    ],
)
def test_what_is_not_kept_of_the_first_clip_is_an_adjustment(
    was: dict[str, Any], used: int, says: str
) -> None:
    before = replace(BEFORE, **was)
    made = fitted(card(), before, duration_s=1)
    assert made.fps == used
    assert made.lead_frames == math.floor(before.seconds * used + 0.5)
    sentences = [change.sentence for change in made.adjustments]
    assert len(sentences) == bool(says)
    assert says in "".join(sentences)
    again = fit(made.as_request(), card(), Limits(), clip=before)
    assert again == made.model_copy(update={"adjustments": again.adjustments})
    assert [change.sentence for change in again.adjustments if change.field != "duration_s"] == [
        change.sentence for change in made.adjustments if change.field != "duration_s"
    ]


def test_a_gif_of_a_clip_with_sound_says_that_it_is_silent() -> None:
    heard = replace(BEFORE, sent_channels=2)
    (change,) = fitted(card(), heard, duration_s=1, format="gif").adjustments
    assert "A GIF has no sound" in change.sentence
    assert not fitted(card(), BEFORE, duration_s=1, format="gif").adjustments


def test_a_clip_that_is_worked_over_says_what_is_converted_too() -> None:
    able = card(tasks=["t2v", "i2v", "v2v"])
    request = GenerationRequest.model_validate({"prompt": "in oil", "video": CLIP})
    told = fit(request, able, Limits(), clip=replace(BEFORE, sent_hdr="PQ")).adjustments
    assert [(change.field, change.asked, change.used) for change in told] == [
        ("video", "PQ", "SDR")
    ]
