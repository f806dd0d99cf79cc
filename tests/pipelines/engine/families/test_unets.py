"""What is particular to the families with a UNet: SVD, ModelScope and Zeroscope, AnimateDiff."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from errors import Cancelled, KinoraError
from pipelines.engine.denoise import SampledLatents, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest, Task
from settings import ROOT, Settings
from tests.zoo import Specimen, animatediff, modelscope, svd, write_card

FAMILIES = ("svd", "modelscope", "animatediff")
SHIPPED = {
    id_: card
    for id_, card in load_cards(ROOT / "presets" / "models").items()
    if card.family in FAMILIES
}


class Person:
    def __init__(self, discard_at: int = 99) -> None:
        self.discard_at, self.steps = discard_at, 0

    def cancelled(self) -> bool:
        return self.steps >= self.discard_at

    def finish_now(self) -> bool:
        return False


def manager_of(specimen: Specimen, folder: Path) -> PipelineManager:
    specimen.build(folder / "repo")
    write_card(specimen, folder / "cards", folder / "repo")
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "data",
        models_dir=folder / "cards",
        torch_dtype="float32",
        previews=False,
    )
    return PipelineManager(load_cards(folder / "cards"), settings)


def run(loaded: Loaded, person: Person | None = None, **fields: Any) -> SampledLatents:
    given = loaded.task is Task.IMAGE_TO_VIDEO
    asked = {"prompt": "a dog", "seed": 3, "image": "0" * 64 if given else None, **fields}
    request = fit(GenerationRequest.model_validate(asked), loaded.card, Limits())
    picture = Image.linear_gradient("L").convert("RGB").resize((request.width, request.height))
    someone = person or Person()

    def on_step(_step: object) -> None:
        someone.steps += 1

    inputs = Inputs(image=picture if given else None)
    sampled = denoise(loaded, request, inputs, someone, on_step)
    assert isinstance(sampled, SampledLatents)
    return sampled


# -- SVD -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    manager = manager_of(svd.SPECIMENS[0], tmp_path_factory.mktemp("svd"))
    return manager.get("svd", Task.IMAGE_TO_VIDEO)


def test_more_motion_is_another_clip(moving: Loaded) -> None:
    calm, lively, again = (run(moving, motion_bucket_id=m).latents for m in (10, 200, 10))
    assert not torch.equal(calm, lively)
    assert torch.equal(calm, again)


def test_words_change_nothing_where_there_are_none(moving: Loaded) -> None:
    assert torch.equal(run(moving, prompt="a dog").latents, run(moving, prompt="a cat").latents)


def test_the_least_guidance_is_a_clip_too(moving: Loaded) -> None:
    assert run(moving, guidance_scale=1.0).steps_done == 3


# -- ModelScope ----------------------------------------------------------------------------------


def test_nobody_is_told_that_the_class_is_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    manager = manager_of(modelscope.SPECIMENS[0], tmp_path)
    capfd.readouterr()
    caplog.clear()
    for task in (Task.TEXT_TO_VIDEO, Task.VIDEO_TO_VIDEO):
        manager.get("modelscope", task)
    assert "deprecated" not in caplog.text
    assert "deprecated" not in capfd.readouterr().err


def test_a_cards_scheduler_keeps_what_the_repositorys_scheduler_left_to_its_defaults(
    tmp_path: Path,
) -> None:
    """CogVideoXDDIMScheduler begins at a beta of 0.00085 by default, DDIMScheduler at 0.0001."""
    manager = manager_of(modelscope.SPECIMENS[0], tmp_path)
    stored = tmp_path / "repo" / "scheduler" / "scheduler_config.json"
    stored.write_text('{"_class_name": "CogVideoXDDIMScheduler"}')
    index = tmp_path / "repo" / "model_index.json"
    parts = json.loads(index.read_text())
    index.write_text(json.dumps(parts | {"scheduler": ["diffusers", "CogVideoXDDIMScheduler"]}))
    card = manager.cards["modelscope"].model_copy(update={"scheduler": {"class": "DDIMScheduler"}})
    loaded = PipelineManager({"modelscope": card}, manager.settings).get(
        "modelscope", Task.TEXT_TO_VIDEO
    )
    scheduler = loaded.pipe.scheduler
    assert type(scheduler).__name__ == "DDIMScheduler"
    assert (scheduler.config.beta_start, scheduler.config.beta_end) == (0.00085, 0.012)


def test_a_card_with_an_unknown_scheduler_is_refused_with_its_name(tmp_path: Path) -> None:
    manager = manager_of(modelscope.SPECIMENS[0], tmp_path)
    card = manager.cards["modelscope"].model_copy(update={"scheduler": {"class": "NoSuch"}})
    with pytest.raises(KinoraError, match="unknown scheduler: NoSuch"):
        PipelineManager({"modelscope": card}, manager.settings).get(
            "modelscope", Task.TEXT_TO_VIDEO
        )


def test_other_warnings_of_that_logger_still_come_through() -> None:
    from pipelines.engine.families.modelscope import ModelScope

    assert ModelScope.pipelines
    logger = logging.getLogger("diffusers.pipelines.pipeline_utils")
    record = logger.makeRecord(logger.name, logging.WARNING, "x", 1, "The disk is full.", (), None)
    assert logger.filter(record)


# -- AnimateDiff ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def animated(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    manager = manager_of(animatediff.SPECIMENS[0], tmp_path_factory.mktemp("animatediff"))
    return manager.get("animatediff", Task.TEXT_TO_VIDEO)


def test_a_long_clip_leaves_nothing_behind(animated: Loaded) -> None:
    before = run(animated, num_frames=8).latents
    long = run(animated, num_frames=40).latents
    assert long.shape[2] == 40
    assert not animated.pipe.free_noise_enabled
    assert torch.equal(run(animated, num_frames=8).latents, before)


def test_a_long_clip_that_was_discarded_leaves_nothing_behind(animated: Loaded) -> None:
    before = run(animated, num_frames=8).latents
    with pytest.raises(Cancelled):
        run(animated, Person(discard_at=1), num_frames=40)
    assert not animated.pipe.free_noise_enabled
    assert torch.equal(run(animated, num_frames=8).latents, before)


def test_as_long_as_it_was_trained_for_needs_no_windows(animated: Loaded) -> None:
    seen: list[bool] = []
    unet = animated.pipe.unet
    handle = unet.register_forward_pre_hook(
        lambda *_: seen.append(animated.pipe.free_noise_enabled)
    )
    try:
        run(animated, num_frames=32)
        run(animated, num_frames=33)
    finally:
        handle.remove()
    half = len(seen) // 2
    assert set(seen[:half]) == {False}
    assert set(seen[half:]) == {True}


def test_its_schedule_is_the_adapters_and_not_the_picture_models(animated: Loaded) -> None:
    scheduler = animated.pipe.scheduler
    assert type(scheduler).__name__ == "DDIMScheduler"
    assert scheduler.config.beta_schedule == "linear"
    assert not scheduler.config.clip_sample


def test_the_picture_models_unet_is_in_memory_once(animated: Loaded) -> None:
    assert animated.weights.components["unet"] is animated.pipe.unet


def test_without_its_adapter_it_says_so(tmp_path: Path) -> None:
    specimen = animatediff.SPECIMENS[0]
    about = specimen.card | {"parts": {"motion_adapter": "../repo/nowhere"}}
    lost = Specimen(specimen.name, about, specimen.build, specimen.plain, specimen.load)
    with pytest.raises(KinoraError, match="motion adapter"):
        manager_of(lost, tmp_path).get("animatediff", Task.TEXT_TO_VIDEO)


# -- the cards that come with Kinora -------------------------------------------------------------


@pytest.mark.parametrize("card", SHIPPED.values(), ids=SHIPPED.keys())
def test_a_shipped_card_makes_a_clip_of_its_defaults(card: ModelCard) -> None:
    asked: dict[str, Any] = {"prompt": "a dog"} if card.rules.prompt else {}
    if card.tasks == (Task.IMAGE_TO_VIDEO,):
        asked["image"] = "0" * 64
    if card.tasks == (Task.VIDEO_TO_VIDEO,):
        asked["video"] = "0" * 64
    made = fit(GenerationRequest.model_validate(asked), card, Limits())
    assert not made.adjustments
    assert (made.motion_bucket_id is not None) == (card.family == "svd")
    assert (made.strength is not None) == (card.tasks == (Task.VIDEO_TO_VIDEO,))
    assert card.needs.billions
    assert card.fallback is None or card.fallback in SHIPPED


UNPINNED = {"zeroscope-v2-xl": ["refs/pr/34"], "animatediff-lightning": [""], "pia": [""]}
"""Where the repository has the weights on a branch alone, or its commits could not be learned."""


@pytest.mark.parametrize("card", SHIPPED.values(), ids=SHIPPED.keys())
def test_a_shipped_card_is_pinned(card: ModelCard) -> None:
    pins = [card.revision, *(part.partition("@")[2] for part in card.parts.values())]
    unpinned = [pin for pin in pins if not re.fullmatch(r"[0-9a-f]{40}", pin or "")]
    assert unpinned == UNPINNED.get(card.id, [])
