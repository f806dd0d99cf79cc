"""The bench for GPUs: its planning half, and what it says where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench import gpu_profiles, peak_memory
from bench.gpu_profiles import RANDOM_MODELS, planned
from pipelines.models.cards import ModelCard
from pipelines.planning import ClipShape, Machine
from pipelines.planning.demand import memory_demand
from pipelines.planning.sizes import model_sizes
from settings import Settings

H100 = Machine(
    ram_gb=128, free_disk_gb=60, cpu_count=16, gpu_name="NVIDIA H100 80GB HBM3", vram_gb=79.6
)
GIB = 2**30
Count = Callable[[int, int, int], int]


def card_of(name: str) -> ModelCard:
    return next(ModelCard.model_validate(s.card) for s in RANDOM_MODELS if s.card["family"] == name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_profiles.main([]) == 0
    said = capsys.readouterr().out.strip()
    assert said.count("\n") == 0
    assert said.endswith(".") and "CUDA" in said


@pytest.mark.parametrize("family", ["ltx", "wan"])
def test_every_profile_has_its_own_plan(family: str) -> None:
    plans = planned(card_of(family), H100, Settings(_env_file=None))  # pyright: ignore
    assert set(plans) == {"fast", "balanced", "small"}
    assert all(plan.fits and plan.device_name == "cuda" for plan in plans.values())
    assert plans["balanced"].offload == "none"
    assert plans["fast"].compile and plans["fast"].step_cache == "first_block"
    assert plans["small"].vram_gb < plans["balanced"].vram_gb / 2


@pytest.mark.parametrize(
    ("family", "step", "decoding"),
    [
        ("ltx", peak_memory.ltx_step, peak_memory.ltx_decoder),
        ("wan", peak_memory.wan_step, peak_memory.wan_decoder),
    ],
)
def test_the_demand_is_what_models_of_real_size_hold(
    family: str, step: Count, decoding: Count
) -> None:
    """Counted on tensors that only pretend to be there, at another size than the one the figures
    were taken from."""
    card, shape = card_of(family), ClipShape(512, 320, 49)
    demand = memory_demand(card, model_sizes(card), shape, "bfloat16")
    size = (shape.width, shape.height, shape.num_frames)
    assert demand.sampling == pytest.approx(step(*size) / GIB, rel=0.2)
    assert demand.decoded(0) == pytest.approx(decoding(*size) / GIB, rel=0.2)


def test_the_pipelines_are_not_built_where_they_are_already(tmp_path: Path) -> None:
    for model in RANDOM_MODELS:
        card = ModelCard.model_validate(model.card).model_copy(update={"folder": tmp_path})
        assert card.local_path is None
        (tmp_path / card.id).mkdir()
        (tmp_path / card.id / "model_index.json").write_text("{}")
        assert card.local_path == (tmp_path / card.id).resolve()
