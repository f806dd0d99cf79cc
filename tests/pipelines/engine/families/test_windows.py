"""Clips that are made in windows, one after another: continued, finished early, cut up evenly."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from pipelines.engine.decode import decode
from pipelines.engine.denoise import denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.families.skyreels_df import _equal_windows
from pipelines.models.continuation import plan_join
from pipelines.models.duration import SourceClip
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest, Task
from tests.pipelines.engine.families.case import Case, Home, Person, home_of, picture

NOBODY = "0" * 64


@pytest.fixture(scope="module")
def helios(tmp_path_factory: pytest.TempPathFactory) -> Case:
    homes: dict[str, Home] = {}
    home = home_of("helios-base", homes, tmp_path_factory)
    return Case(home, Task.TEXT_TO_VIDEO, False, tmp_path_factory.mktemp("windows"))


@pytest.fixture(scope="module")
def helios_with_picture(tmp_path_factory: pytest.TempPathFactory) -> Case:
    homes: dict[str, Home] = {}
    home = home_of("helios-base-one-window", homes, tmp_path_factory)
    return Case(home, Task.IMAGE_TO_VIDEO, False, tmp_path_factory.mktemp("continued"))


def made(case: Case, fitted: Any, inputs: Inputs, person: Person | None = None) -> np.ndarray:
    loaded = case.home.manager.get(case.home.specimen.name, fitted.task)
    person = person or Person()

    def count(_step: object) -> None:
        person.steps += 1

    sampled = denoise(loaded, fitted, inputs, person, count)
    return decode(loaded, sampled, fitted)


@pytest.mark.slow
def test_a_continuation_goes_on_from_the_last_window(helios_with_picture: Case) -> None:
    """What comes after the frames that are repeated is what the pipeline puts after a video."""
    helios = helios_with_picture
    card = helios.loaded.card
    lead = tuple(picture(64, 64, n / 8) for n in range(33))
    before = SourceClip(64, 64, seconds=5.0, fps=8)
    asked = {"prompt": "a dog", "negative_prompt": "dull", "seed": 3, "continue_from": NOBODY}
    request = GenerationRequest.model_validate(asked | {"num_frames": 65})
    fitted = fit(request, card, Limits(), clip=before)
    assert (fitted.overlap, fitted.num_frames) == (33, 65)
    assert plan_join(request, card, before, 8).overlap == len(lead)
    frames = made(helios, fitted, Inputs(lead=lead))
    assert frames.shape == (65, 64, 64, 3)

    pipe: Any = diffusers.HeliosPipeline
    pipe = pipe.from_pretrained(helios.home.repo, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    plain = pipe(
        prompt="a dog",
        negative_prompt="dull",
        video=list(lead),
        width=64,
        height=64,
        num_frames=33,
        num_inference_steps=fitted.num_inference_steps,
        guidance_scale=fitted.guidance_scale,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).frames[0]
    assert np.array_equal(frames[33:], (plain * 255).round().astype(np.uint8)[:32])


@pytest.mark.slow
def test_finish_now_keeps_the_windows_that_are_complete(helios: Case) -> None:
    """The window that is cut short follows; those that were not begun are missing."""
    steps = helios.fitted.num_inference_steps
    early = made(helios, helios.fitted, helios.inputs, Person(finish_at=steps + 1))
    assert len(early) == len(helios.frames) == 65
    # the complete one goes to the decoder's scale and back
    assert np.abs(early[:33].astype(int) - helios.frames[:33]).max() <= 1
    assert not np.array_equal(early[33:], helios.frames[33:])


@pytest.mark.slow
def test_a_preview_of_some_windows_plays_as_fast_as_the_clip(helios: Case) -> None:
    assert helios.sampled
    one, two = (each.frames / each.fps for each in (helios.previews[0], helios.previews[-1]))
    assert two == pytest.approx(2 * one)
    assert two == pytest.approx(helios.fitted.num_frames / helios.fitted.fps, rel=0.1)


@pytest.mark.parametrize(("base", "overlap"), [(97, 17), (121, 17), (97, 37), (9, 1), (9, 5)])
def test_windows_of_one_length_make_the_clip_and_no_more(base: int, overlap: int) -> None:
    for frames in range(5, 738, 4):
        length, shared = _equal_windows(frames, base, overlap)
        if frames <= base:
            assert (length, shared) == (base, overlap)
            continue
        assert length <= base
        assert shared >= overlap
        assert (frames - length) % (length - shared) == 0
