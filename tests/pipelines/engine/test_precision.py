"""The plan is made for the clip that is asked for, and a reduced precision is reported.

The machines are stand-ins of any size; the weights are real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.engine.placement import move_weights
from pipelines.models.cards import ModelCard
from pipelines.planning import ClipShape, Machine, PlanOptions, plan_for
from pipelines.planning.plan import precision_adjustment
from pipelines.request import Task
from settings import Settings
from tests.pipelines.engine.test_sampling import frames_of

SMALL = ClipShape(width=64, height=64, num_frames=9)
LARGE = ClipShape(width=1280, height=736, num_frames=121)
ROOMY = Machine(ram_gb=2, free_disk_gb=100)
"""Enough for the small clip, and not for the large one."""
T2V = Task.TEXT_TO_VIDEO


@pytest.fixture
def manager_on(
    tiny_cards: dict[str, ModelCard], tiny_settings: Settings
) -> Iterator[Callable[[Machine], PipelineManager]]:
    made: list[PipelineManager] = []
    settings = tiny_settings.model_copy(update={"previews": False})

    def make(machine: Machine) -> PipelineManager:
        made.append(PipelineManager(tiny_cards, settings, machine=machine))
        return made[-1]

    yield make
    for each in made:
        each.close()


def stored_as(loaded: Loaded) -> torch.dtype:
    blocks: Any = loaded.pipe.transformer.transformer_blocks
    return blocks[0].attn1.to_q.weight.dtype


def test_a_small_clip_is_made_in_full_whatever_came_before(
    manager_on: Callable[[Machine], PipelineManager],
) -> None:
    manager = manager_on(ROOMY)
    large = manager.get("pocket", T2V, shape=LARGE)
    assert stored_as(large) == torch.float8_e4m3fn
    small = manager.get("pocket", T2V, shape=SMALL)
    assert stored_as(small) == torch.float32
    assert small.weights.plan.reduced_from is None

    fresh = manager_on(ROOMY).get("pocket", T2V, shape=SMALL)
    assert (frames_of(small) == frames_of(fresh)).all()


def test_a_kept_model_is_loaded_again_only_for_another_precision(
    manager_on: Callable[[Machine], PipelineManager],
) -> None:
    manager = manager_on(ROOMY)
    first = manager.get("pocket", T2V, shape=SMALL)
    longer = manager.get("pocket", T2V, shape=replace(SMALL, num_frames=33))
    assert longer.weights is first.weights
    assert manager.get("pocket", Task.IMAGE_TO_VIDEO).weights is first.weights
    reduced = manager.get("pocket", T2V, shape=LARGE)
    assert reduced.weights is not first.weights
    assert manager.get("pocket", T2V, shape=LARGE).weights is reduced.weights
    # without a clip it stays as it is
    assert manager.get("pocket", T2V).weights is reduced.weights


def test_tiles_follow_the_clip_without_another_load(
    manager_on: Callable[[Machine], PipelineManager], tiny_cards: dict[str, ModelCard]
) -> None:
    card = tiny_cards["pocket"]
    for ram_gb in range(2, 200):
        machine = replace(ROOMY, ram_gb=ram_gb)
        plan = plan_for(card, machine, PlanOptions(), LARGE)
        if plan.precision == "float32" and plan.tiles:
            break
    else:
        raise AssertionError("no machine needs tiles")
    manager = manager_on(machine)
    whole = manager.get("pocket", T2V, shape=SMALL)
    assert whole.weights.plan.tiles == 0
    assert manager.get("pocket", T2V, shape=LARGE).weights is whole.weights
    assert whole.weights.plan.tiles == plan.tiles


def test_on_zerogpu_nothing_is_loaded_again(
    tiny_cards: dict[str, ModelCard], tiny_settings: Settings
) -> None:
    settings = tiny_settings.model_copy(update={"previews": False, "zero_gpu": True})
    manager = PipelineManager(tiny_cards, settings, machine=ROOMY)
    kept = manager.get("pocket", T2V)
    assert manager.get("pocket", T2V, shape=LARGE).weights is kept.weights
    manager.close()


@pytest.mark.parametrize("offload", ["model", "group"])
def test_weights_come_back_from_offload_for_every_pipeline(
    manager_on: Callable[[Machine], PipelineManager], offload: Any
) -> None:
    """A small clip after a large one: no hook of either task may bring the offload back."""
    manager = manager_on(ROOMY)
    words, image = (manager.get("pocket", task) for task in (T2V, Task.IMAGE_TO_VIDEO))
    before = frames_of(words), frames_of(image)
    plan = words.weights.plan
    for pipe in (words.pipe, image.pipe):
        move_weights(pipe, replace(plan, offload=offload))
    words.weights.plan = replace(plan, offload=offload)

    again = manager.get("pocket", T2V, shape=SMALL)
    assert again.weights is words.weights
    assert again.weights.plan.offload == "none"
    for _ in range(2):  # a call's end must not install them either
        assert (frames_of(words) == before[0]).all()
        assert (frames_of(image) == before[1]).all()
        for pipe in (words.pipe, image.pipe):
            modules = [m for c in pipe.components.values() if hasattr(c, "modules")
                       for m in c.modules()]  # fmt: skip
            assert not any(hasattr(m, "_hf_hook") for m in modules)
            registries = [m._diffusers_hook for m in modules if hasattr(m, "_diffusers_hook")]
            assert not any(r._hook_order for r in registries)


# -- what a clip reports -------------------------------------------------------------------------


def test_only_a_shortage_is_reported(tiny_cards: dict[str, ModelCard]) -> None:
    card = tiny_cards["pocket"]
    plan = plan_for(card, ROOMY, PlanOptions(), LARGE)
    assert plan.precision == "float8"
    assert precision_adjustment(plan, "Tiny") is not None
    assert precision_adjustment(plan_for(card, ROOMY, PlanOptions(), SMALL), "Tiny") is None
    # the operator's choice
    saving = plan_for(card, ROOMY, PlanOptions(profile="small"), SMALL)
    assert saving.precision == "float8"
    assert precision_adjustment(saving, "Tiny") is None
    half = plan_for(card, ROOMY, PlanOptions(dtype="bfloat16"), SMALL)
    assert precision_adjustment(half, "Tiny") is None
