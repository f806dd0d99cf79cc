"""LTX-Video in two windows; one window is in test_families.py."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch

from pipelines.engine.denoise import SampledFrames, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import load_cards
from pipelines.models.fit import Limits, fit
from pipelines.request import FittedRequest, GenerationRequest, Task
from settings import Settings
from tests.pipelines.engine.families.case import Person
from tests.zoo import write_card
from tests.zoo.ltx_long import IN_TWO_WINDOWS as SPECIMEN


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("long")
    SPECIMEN.build(folder / "repo")
    write_card(SPECIMEN, folder / "cards", folder / "repo")
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "data",
        models_dir=folder / "cards",
        torch_dtype="float32",
        previews=False,
    )
    manager = PipelineManager(load_cards(settings.models_dir), settings)
    return manager.get(SPECIMEN.name, Task.TEXT_TO_VIDEO)


def asked(loaded: Loaded, prompt: str) -> FittedRequest:
    request = {"prompt": prompt, "negative_prompt": "dull", "seed": 3}
    return fit(GenerationRequest.model_validate(request), loaded.card, Limits())


def sampled(loaded: Loaded, fitted: FittedRequest, finish_at: int = 99) -> SampledFrames:
    person = Person(finish_at=finish_at)

    def on_step(_step: object) -> None:
        person.steps += 1

    result = denoise(loaded, fitted, Inputs(), person, on_step)
    assert isinstance(result, SampledFrames)
    return result


def test_each_window_has_its_part_of_the_prompt(loaded: Loaded) -> None:
    one = sampled(loaded, asked(loaded, "a dog in the snow")).frames.astype(int)
    two = sampled(loaded, asked(loaded, "a dog in the snow | a cat on a wall")).frames
    first, *_, last = np.abs(one - two).mean(axis=(1, 2, 3))
    assert last > 2 * first


def test_frames_of_two_windows_equal_a_plain_call(loaded: Loaded) -> None:
    fitted = asked(loaded, "a dog in the snow | a cat on a wall")
    frames = sampled(loaded, fitted).frames
    path = loaded.card.local_path
    assert path is not None
    pipe = SPECIMEN.load(diffusers.LTXI2VLongMultiPromptPipeline, path, torch.float32)
    pipe.set_progress_bar_config(disable=True)
    arguments = SPECIMEN.plain(pipe, fitted, Inputs())
    generator = torch.Generator().manual_seed(fitted.seed)
    plain = pipe(**arguments, generator=generator, output_type="np").frames[0]
    assert frames.shape == (13, 64, 64, 3)
    assert np.array_equal(frames, (plain * 255).round().astype(np.uint8))


def test_finished_in_the_first_window_it_is_as_long(loaded: Loaded) -> None:
    """What is missing stands still."""
    result = sampled(loaded, asked(loaded, "a dog in the snow"), finish_at=1)
    assert result.finished_early
    assert result.frames.shape == (13, 64, 64, 3)
