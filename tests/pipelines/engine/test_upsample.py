"""Twice as large: a tiny LTX pipeline and a tiny upsampler, against diffusers' own pipelines."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel
from pydantic import ValidationError

from errors import Cancelled, ErrorCode, KinoraError
from jobs.checkpoint import LATENTS
from jobs.event_types import Loading, StepDone, WorkerEvent
from jobs.job import Job, Result, State, new_id
from jobs.workers.run import run_job
from pipelines.engine import latents_file as kept
from pipelines.engine.decode import decode
from pipelines.engine.denoise import SampledLatents, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.planning.demand import ClipShape
from pipelines.request import FittedRequest, GenerationRequest, Task
from settings import Settings
from tests.media.reading import read
from tests.pipelines.engine.families.case import Person, differences, picture
from tests.zoo import write_card
from tests.zoo.ltx import DECODE, UPSCALED, build_upsampler, plain

NAME = UPSCALED.name
TASKS = (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upscaled")
    UPSCALED.build(folder / "repo")
    build_upsampler(folder / "upsampler")
    write_card(UPSCALED, folder / "cards", folder / "repo")
    return folder


def settings_for(home: Path, data_dir: Path, **changes: Any) -> Settings:
    given = {"models_dir": home / "cards", "torch_dtype": "float32"} | changes
    return Settings(_env_file=None, data_dir=data_dir, **given)  # pyright: ignore[reportCallIssue]


@pytest.fixture(scope="module")
def manager(home: Path, tmp_path_factory: pytest.TempPathFactory) -> PipelineManager:
    settings = settings_for(home, tmp_path_factory.mktemp("data"))
    return PipelineManager(load_cards(settings.models_dir), settings)


def fitted_for(card: ModelCard, task: Task = Task.TEXT_TO_VIDEO, **asked: Any) -> FittedRequest:
    request: dict[str, Any] = {"prompt": "a dog in the snow", "negative_prompt": "dull", "seed": 3}
    if task is Task.IMAGE_TO_VIDEO:
        request["image"] = "0" * 64
    return fit(
        GenerationRequest.model_validate(request | {"upscale": True} | asked), card, Limits()
    )


def ready(manager: PipelineManager, task: Task = Task.TEXT_TO_VIDEO) -> Loaded:
    loaded = manager.get(NAME, task)
    manager.load_upsampler(loaded)
    return loaded


def sample(loaded: Loaded, fitted: FittedRequest) -> SampledLatents:
    inputs = Inputs(picture(64, 64) if loaded.task is Task.IMAGE_TO_VIDEO else None)
    sampled = denoise(loaded, fitted, inputs, Person(), lambda _step: None)
    assert isinstance(sampled, SampledLatents)
    return sampled


def plain_frames(home: Path, loaded: Loaded, fitted: FittedRequest, **tiling: float) -> np.ndarray:
    """Two calls, as diffusers' documentation writes them."""
    dtype = loaded.dtype
    pipe: Any = diffusers.LTXConditionPipeline.from_pretrained(home / "repo", dtype=dtype)
    upsampler = LTXLatentUpsamplerModel.from_pretrained(home / "upsampler", dtype=dtype)
    second: Any = diffusers.LTXLatentUpsamplePipeline(vae=pipe.vae, latent_upsampler=upsampler)
    for each in (pipe, second):
        each.set_progress_bar_config(disable=True)
    if tiling:
        pipe.vae.enable_tiling(**tiling)
    inputs = Inputs(picture(64, 64) if loaded.task is Task.IMAGE_TO_VIDEO else None)
    generator = torch.Generator().manual_seed(fitted.seed)
    arguments = plain(pipe, fitted, inputs) | {"width": fitted.width, "height": fitted.height}
    sampled = pipe(**arguments, generator=generator, output_type="latent").frames
    made: Any = second(
        latents=sampled,
        width=2 * fitted.width,
        height=2 * fitted.height,
        generator=generator,
        output_type="np",
        **DECODE,
    )
    return (made.frames[0] * 255).round().astype(np.uint8)


@pytest.mark.parametrize("task", TASKS)
def test_frames_equal_two_plain_calls_bit_for_bit(
    home: Path, manager: PipelineManager, task: Task
) -> None:
    loaded = ready(manager, task)
    fitted = fitted_for(loaded.card, task)
    sampled = sample(loaded, fitted)
    frames = decode(loaded, sampled, fitted)
    assert frames.shape == (9, 128, 128, 3)
    assert frames.std() > 0
    assert differences(frames, plain_frames(home, loaded, fitted)) == 0


def test_in_half_precision_too(home: Path, tmp_path: Path) -> None:
    settings = settings_for(home, tmp_path, torch_dtype="bfloat16", previews=False)
    manager = PipelineManager(load_cards(settings.models_dir), settings)
    loaded = ready(manager)
    fitted = fitted_for(loaded.card)
    sampled = sample(loaded, fitted)
    frames = decode(loaded, sampled, fitted)
    assert differences(frames, plain_frames(home, loaded, fitted)) == 0


def test_tiles_are_cut_from_the_larger_frame(home: Path, manager: PipelineManager) -> None:
    loaded = ready(manager)
    fitted = fitted_for(loaded.card, width=128, height=64)
    sampled = sample(loaded, fitted)
    tiled = decode(loaded, sampled, fitted, tiles=2)
    plain = plain_frames(
        home,
        loaded,
        fitted,
        tile_sample_min_width=128,
        tile_sample_stride_width=96,
        tile_sample_min_height=64,
        tile_sample_stride_height=48,
    )
    assert tiled.shape == (9, 128, 256, 3)
    assert differences(tiled, plain) == 0
    assert differences(tiled, plain_frames(home, loaded, fitted)) > 0
    small = fitted.model_copy(update={"upscale": False})
    assert decode(loaded, replace(sampled, noise=None), small).shape == (9, 64, 128, 3)


# -- as a job --------------------------------------------------------------------------------------


def job_of(fitted: FittedRequest) -> Job:
    return Job(
        id=new_id(),
        owner="visitor",
        state=State.RUNNING,
        request=fitted.as_request(),
        fitted=fitted,
        created_at=0.0,
    )


def run(
    manager: PipelineManager, fitted: FittedRequest, folder: Path, person: Person | None = None
) -> tuple[Result, list[WorkerEvent]]:
    events: list[WorkerEvent] = []
    who = person or Person()

    def emit(event: WorkerEvent) -> None:
        events.append(event)
        who.steps += isinstance(event, StepDone)

    folder.mkdir(parents=True, exist_ok=True)
    job, settings = job_of(fitted), manager.settings
    return run_job(job, manager, emit, who, folder, folder, settings), events


def test_the_upsampler_comes_with_the_first_clip_that_wants_it(home: Path, tmp_path: Path) -> None:
    settings = settings_for(home, tmp_path / "data", previews=False)
    manager = PipelineManager(load_cards(settings.models_dir), settings)
    card = manager.cards[NAME]

    result, events = run(manager, fitted_for(card, upscale=False), tmp_path / "plain")
    assert (result.width, result.height) == (64, 64)
    phases = [each.phase for each in events if isinstance(each, Loading)]
    assert "transformer" in phases
    assert "latent upsampler" not in phases
    weights = manager.get(NAME, Task.TEXT_TO_VIDEO).weights
    assert "latent_upsampler" not in weights.components

    result, events = run(manager, fitted_for(card), tmp_path / "large")
    assert [each.phase for each in events if isinstance(each, Loading)] == ["latent upsampler"]
    assert (result.width, result.height, result.num_frames) == (128, 128, 9)
    assert read(tmp_path / "large" / result.clip).frames.shape == (9, 128, 128, 3)
    assert manager.get(NAME, Task.TEXT_TO_VIDEO).weights is weights
    assert "latent_upsampler" in weights.components

    _, events = run(manager, fitted_for(card), tmp_path / "again")
    assert not [each for each in events if isinstance(each, Loading)], "loaded twice"


def test_finish_now_and_discard_keep_working(manager: PipelineManager, tmp_path: Path) -> None:
    fitted = fitted_for(manager.cards[NAME])
    result, _ = run(manager, fitted, tmp_path / "early", Person(finish_at=1))
    assert result.finished_early
    assert (result.steps_done or 99) < fitted.num_inference_steps
    assert read(tmp_path / "early" / result.clip).frames.shape == (9, 128, 128, 3)
    with pytest.raises(Cancelled):
        run(manager, fitted, tmp_path / "gone", Person(discard_at=1))
    assert not (tmp_path / "gone" / LATENTS).exists()


def test_what_was_kept_of_it_is_developed_again_without_sampling(
    manager: PipelineManager, tmp_path: Path
) -> None:
    fitted = fitted_for(manager.cards[NAME])
    first, _ = run(manager, fitted, tmp_path / "first")
    (tmp_path / "second").mkdir()
    kept.save(sample(ready(manager), fitted), tmp_path / "second" / LATENTS)
    second, events = run(manager, fitted, tmp_path / "second")
    assert not [each for each in events if isinstance(each, StepDone)]
    clips = [tmp_path / name / r.clip for name, r in (("first", first), ("second", second))]
    assert differences(*(read(clip).frames for clip in clips)) == 0


# -- what it is asked with -------------------------------------------------------------------------


def test_what_is_sampled_and_what_is_made(manager: PipelineManager) -> None:
    card = manager.cards[NAME]
    fitted = fitted_for(card, width=96, height=64)
    small = fitted_for(card, width=96, height=64, upscale=False)
    assert (fitted.width, fitted.height, fitted.made_size) == (96, 64, (192, 128))
    assert small.made_size == (96, 64)
    assert ClipShape.of(fitted).pixels == 4 * ClipShape.of(small).pixels
    assert fit(fitted.as_request(), card, Limits()) == fitted


def test_models_without_one_refuse(tiny_cards: dict[str, ModelCard]) -> None:
    card = tiny_cards["pocket"]
    assert not card.rules.upscale
    with pytest.raises(KinoraError) as refused:
        fitted_for(card)
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert "twice as large" in refused.value.message
    assert refused.value.details["field"] == "upscale"
    assert refused.value.action is not None
    assert refused.value.action["set"] == {"upscale": False}
    assert not fitted_for(card, upscale=False).upscale


def test_only_the_families_that_can_name_one(manager: PipelineManager) -> None:
    card = manager.cards[NAME]
    assert card.rules.upscale
    given = card.model_dump(mode="json", exclude={"classes", "takes"})
    with pytest.raises(ValidationError, match="latent_upsampler"):
        ModelCard.model_validate(given | {"family": "wan", "tasks": ["t2v"]})


def test_the_cards_of_ltx_from_0_9_7_on_take_it() -> None:
    cards = load_cards(Settings.model_fields["models_dir"].get_default())
    with_one = {card.id for card in cards.values() if card.rules.upscale}
    assert with_one == {
        "ltx-video-0.9.7-dev",
        "ltx-video-0.9.7-distilled",
        "ltx-video-0.9.8-distilled",
    }


# -- what can be wrong with it ---------------------------------------------------------------------


def test_one_that_is_missing_or_of_another_kind_is_a_sentence(home: Path, tmp_path: Path) -> None:
    here = tmp_path / "home"
    shutil.copytree(home, here)
    settings = settings_for(here, tmp_path / "data", previews=False)
    write_card(UPSCALED, here / "cards", here / "repo")
    manager = PipelineManager(load_cards(settings.models_dir), settings)
    fitted = fitted_for(manager.cards[NAME])

    def trouble() -> KinoraError:
        with pytest.raises(KinoraError) as caught:
            run(manager, fitted, tmp_path / "out")
        assert caught.value.action is not None
        assert caught.value.action["set"] == {"upscale": False}
        assert str(tmp_path) not in caught.value.message
        return caught.value

    upsampler = here / "upsampler"
    shutil.rmtree(upsampler)
    assert trouble().details["reason"] == "missing_component"
    for wrong in ({"in_channels": 8}, {"spatial_upsample": False, "temporal_upsample": True}):
        build_upsampler(upsampler, **wrong)
        assert trouble().details["reason"] == "wrong_kind"
        shutil.rmtree(upsampler)
    shutil.copytree(here / "repo" / "vae", upsampler)
    assert trouble().details["reason"] == "wrong_kind"
    shutil.rmtree(upsampler)
    build_upsampler(upsampler)
    weights = next(upsampler.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-100])
    assert trouble().code is ErrorCode.MODEL_LOAD
    shutil.rmtree(upsampler)

    build_upsampler(upsampler)
    result, _ = run(manager, fitted, tmp_path / "out")
    assert result.width == 128
