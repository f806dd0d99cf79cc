"""Clips beyond what a model makes at once: how they are divided, before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from media.metadata import settings_json
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.fit import Limits, SourceClip, fit
from pipelines.models.long_clips import plan_windows, window_overlap
from pipelines.models.rules import RULES, Steps
from pipelines.planning import ClipShape
from pipelines.request import FittedRequest, GenerationRequest, Task
from settings import ROOT
from tests import tiny

CARDS = load_cards(ROOT / "presets" / "models")
CLIP = "a" * 64


def card(**changes: object) -> ModelCard:
    return ModelCard.model_validate(tiny.CARD | {"repo": "nowhere"} | changes)


def fitted(of: ModelCard, **asked: Any) -> FittedRequest:
    request = GenerationRequest.model_validate({"prompt": "a dog", "seed": 1} | asked)
    return fit(request, of, Limits())


@given(
    total=st.integers(2, 4000),
    of=st.integers(1, 12),
    plus=st.sampled_from([0, 1]),
    units=st.integers(2, 40),
    fewest=st.integers(0, 40),
    lead=st.booleans(),
)
def test_windows_are_legal_and_make_exactly_the_clip(
    total: int, of: int, plus: int, units: int, fewest: int, lead: bool
) -> None:
    frames = Steps(of=of, plus=plus)
    best, shortest = of * units + plus, of * min(fewest, units) + plus
    rules = RULES["ltx"].model_copy(update={"frames": frames, "lead": lead})
    windows = plan_windows(total, rules, best, shortest)
    if windows is None:
        assert total <= best or best <= window_overlap(rules, best)
        return
    parts = windows.divide(total)
    assert sum(part.kept - part.overlap for part in parts) == total
    assert all(frames.allows(part.frames) and shortest <= part.frames <= best for part in parts)
    assert all(part.kept > part.overlap for part in parts)
    assert all(part.kept == part.frames for part in parts[1:])
    assert [part.overlap for part in parts] == [0] + [windows.overlap] * (len(parts) - 1)
    # no fewer windows would do
    assert total > best + (len(parts) - 2) * (best - windows.overlap)


@pytest.mark.parametrize(
    ("name", "overlap"),
    [("ltx-2", 9), ("ltx-video-0.9.5", 9), ("cosmos-predict-2.5-2b", 5), ("helios-base", 33),
     ("wan-2.2-ti2v-5b", 1), ("svd-xt", 1), ("pocket", 1)],
)  # fmt: skip
def test_windows_overlap_by_what_the_model_continues_from(name: str, overlap: int) -> None:
    of = CARDS[name]
    assert window_overlap(of.rules, of.defaults.num_frames) == overlap


def test_a_long_duration_is_exact_and_says_how_many_parts() -> None:
    made = fitted(CARDS["pocket"], duration_s=12)
    assert (made.num_frames, made.duration_s, made.parts) == (96, 12, 6)
    (change,) = made.adjustments
    assert (change.field, change.used) == ("windows", 6)
    assert "in 6 parts" in change.sentence and "at most 2.1 s at once" in change.sentence


def test_memory_is_planned_for_one_window() -> None:
    made = fitted(CARDS["pocket"], duration_s=12)
    assert ClipShape.of(made).num_frames == made.sampled_frames <= 17


@pytest.mark.parametrize("name", [name for name in CARDS if name != "pocket"])
def test_every_card_refuses_makes_or_divides_a_long_clip(name: str) -> None:
    of = CARDS[name]
    asked = {"duration_s": 100.0, "image": None if Task.TEXT_TO_VIDEO in of.tasks else CLIP}
    request = GenerationRequest.model_validate({"prompt": "a dog", "seed": 1} | asked)
    limits = Limits(max_duration_s=100)
    if request.task not in of.tasks:
        return
    try:
        made = fit(request, of, limits)
    except KinoraError as error:
        assert Task.IMAGE_TO_VIDEO not in of.tasks, error
        assert error.code is ErrorCode.TOO_MANY_FRAMES
        return
    if made.windows is None:
        assert made.num_frames <= of.limits.max_frames
        return
    assert made.duration_s == pytest.approx(100, abs=0.5 / made.fps)
    assert max(made.windows.lengths) <= of.limits.max_frames
    again = fit(made.as_request(), of, limits)
    assert again.model_copy(update={"adjustments": made.adjustments}) == made


def test_a_clip_that_the_model_makes_at_once_is_written_as_before() -> None:
    made = fitted(CARDS["pocket"], duration_s=2)
    assert made.windows is None
    assert "windows" not in made.model_dump(mode="json")
    assert "windows" not in settings_json(made)
    assert FittedRequest.model_validate_json(made.model_dump_json()) == made
    long = fitted(CARDS["pocket"], duration_s=5)
    assert FittedRequest.model_validate_json(long.model_dump_json()) == long


def test_beyond_the_servers_limit_the_longest_is_offered() -> None:
    with pytest.raises(KinoraError, match="30 s is the longest clip that is made here") as refused:
        fitted(CARDS["pocket"], duration_s=31)
    error = refused.value
    assert error.code is ErrorCode.TOO_MANY_FRAMES
    assert (error.details["longest_frames"], error.details["longest_s"]) == (240, 30.0)
    assert error.action
    assert fitted(CARDS["pocket"], **error.action["set"]).duration_s == 30


def test_a_model_that_starts_from_no_picture_makes_no_long_clip() -> None:
    with pytest.raises(KinoraError, match=r"33 frames \(4.1 s at 8 frames") as refused:
        fitted(card(tasks=["t2v"]), duration_s=9)
    assert "continue the clip" not in refused.value.message


def test_frames_and_a_duration_that_differ_are_refused() -> None:
    assert fitted(card(), num_frames=80, duration_s=10).parts > 1
    with pytest.raises(KinoraError, match="Leave one of the two empty"):
        fitted(card(), num_frames=80, duration_s=9)


def test_a_clip_to_continue_gets_more_than_the_model_makes_at_once() -> None:
    before = SourceClip(width=96, height=64, seconds=2, fps=8)
    request = GenerationRequest(prompt="on", continue_from=CLIP, duration_s=10, seed=1)
    made = fit(request, card(), Limits(), clip=before)
    assert (made.lead_frames, made.made_frames) == (16, 16 + 80)
    assert made.parts > 1
    again = fit(made.as_request(), card(), Limits(), clip=before)
    assert again == made.model_copy(update={"adjustments": again.adjustments})


def test_a_clip_that_is_worked_over_is_cut_as_before(tmp_path: Path) -> None:
    able = card(tasks=["t2v", "i2v", "v2v"])
    request = GenerationRequest(prompt="in oil", video=CLIP, seed=1)
    clip = SourceClip(width=96, height=64, seconds=10, fps=8)
    assert fit(request, able, Limits(), clip=clip).num_frames == 33
