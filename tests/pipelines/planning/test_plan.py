"""Plans for machines we do not have: the machine is data, so a table of them is enough."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from pipelines.engine.placement import torch_device_for, torch_dtype_for
from pipelines.models.cards import ROOT, ModelCard, Needs
from pipelines.planning import (
    ClipShape,
    Machine,
    Plan,
    Planner,
    PlanOptions,
    plan_for,
    this_machine,
)
from pipelines.planning.plan import USABLE
from pipelines.planning.sizes import folder_parameters, model_sizes
from pipelines.planning.traits import TRAITS
from pipelines.request import Task
from settings import Settings
from tests import tiny

LAPTOP = Machine(ram_gb=15.5, free_disk_gb=100, cpu_count=8)
WORKSTATION = Machine(ram_gb=64, free_disk_gb=500, cpu_count=16)
GPUS = {
    8: replace(LAPTOP, gpu_name="NVIDIA GeForce RTX 3070", vram_gb=8.0, ram_gb=31.0),
    12: replace(WORKSTATION, gpu_name="NVIDIA GeForce RTX 3060", vram_gb=12.0),
    24: replace(WORKSTATION, gpu_name="NVIDIA GeForce RTX 4090", vram_gb=24.0),
    80: replace(WORKSTATION, gpu_name="NVIDIA H100 80GB HBM3", vram_gb=79.6, ram_gb=200),
}
EVERYTHING = frozenset({"xformers", "flash-attn", "sageattention", "torchao"})


def card(family: str = "ltx", **changes: Any) -> ModelCard:
    """A card about which the planner knows what a card says."""
    limits = tiny.CARD["limits"] | {
        "max_width": 1280,
        "max_height": 1280,
        "min_frames": 9,
        "max_frames": 257,
    }  # type: ignore[operator]
    fields = tiny.CARD | {"id": f"a-{family}", "family": family, "limits": limits, "repo": "a/b"}
    del fields["frames"], fields["size"]
    return ModelCard.model_validate(fields | changes)


def defaults(width: int, height: int, frames: int, steps: int) -> dict[str, Any]:
    shape = {"width": width, "height": height, "num_frames": frames, "fps": 16}
    return shape | {"num_inference_steps": steps, "guidance_scale": 3.0}


LTX_2B = card(
    "ltx",
    id="ltx-2b",
    name="LTX 2B",
    defaults=defaults(704, 480, 97, 8),
    shapes=[],
    needs={
        "ram_gb": 16,
        "disk_gb": 14,
        "billions": {"transformer": 1.92, "text_encoder": 4.76, "vae": 0.42},
    },
)
LTX_13B = LTX_2B.model_copy(
    update={
        "id": "ltx-13b",
        "name": "LTX 13B",
        "needs": Needs(
            ram_gb=48,
            disk_gb=38,
            billions={"transformer": 13.0, "text_encoder": 4.76, "vae": 0.62},
        ),
    }
)
CARDS = {c.id: c for c in (LTX_2B, LTX_13B)}


def planner(machine: Machine, **settings: Any) -> Planner:
    return Planner(Settings(_env_file=None, **settings), machine)  # pyright: ignore[reportCallIssue]


# -- machines ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vram_gb", "chosen", "offload", "storage"),
    [
        (80, LTX_2B, "none", None),
        (24, LTX_2B, "none", None),
        (12, LTX_2B, "model", None),
        (8, LTX_2B, "group", None),
        (80, LTX_13B, "none", None),
        (24, LTX_13B, "group", None),
        (12, LTX_13B, "group", None),
    ],
)
def test_a_gpu_gets_the_most_comfortable_plan_that_fits(
    vram_gb: int, chosen: ModelCard, offload: str, storage: str | None
) -> None:
    plan = plan_for(chosen, GPUS[vram_gb])
    assert (plan.device_name, plan.dtype_name) == ("cuda", "bfloat16")
    assert (plan.offload, plan.storage, plan.fits) == (offload, storage, True)


def test_float8_changes_the_picture_and_so_comes_last() -> None:
    for machine in GPUS.values():
        plan = plan_for(LTX_13B, machine)
        assert plan.storage is None or not plan.fits
    assert plan_for(LTX_2B, GPUS[24], PlanOptions(profile="small")).storage == "float8"


def test_a_laptop_without_a_gpu_keeps_all_in_memory() -> None:
    plan = plan_for(LTX_2B, WORKSTATION)
    assert (plan.device_name, plan.offload, plan.fits) == ("cpu", "none", True)
    assert plan.vram_gb == 0
    assert not plan_for(LTX_13B, LAPTOP).fits


def test_float32_that_does_not_fit_becomes_bfloat16_unless_it_was_asked_for() -> None:
    middling = replace(LAPTOP, ram_gb=24)
    assert plan_for(LTX_2B, middling).dtype_name == "bfloat16"
    assert plan_for(LTX_2B, middling).fits
    assert not plan_for(LTX_2B, middling, PlanOptions(dtype="float32")).fits


def test_bfloat16_on_a_cpu_only_where_it_multiplies_it() -> None:
    assert plan_for(LTX_2B, WORKSTATION).dtype_name == "float32"
    modern = replace(WORKSTATION, cpu_features=frozenset({"avx512_bf16"}))
    assert plan_for(LTX_2B, modern).dtype_name == "bfloat16"
    assert plan_for(LTX_2B, modern, PlanOptions(dtype="float32")).dtype_name == "float32"
    insists = LTX_2B.model_copy(update={"dtype": "float16"})
    assert plan_for(insists, modern, PlanOptions(dtype="float32")).dtype_name == "float16"


def test_a_longer_clip_may_need_a_thriftier_plan() -> None:
    long = ClipShape(width=1280, height=704, num_frames=257)
    short, longer = plan_for(LTX_2B, GPUS[24]), plan_for(LTX_2B, GPUS[24], PlanOptions(), long)
    assert short.offload == "none"
    assert not short.tiles
    assert longer.tiles
    assert longer.fits


sizes = st.floats(min_value=0.5, max_value=300, allow_nan=False)
machines = st.builds(
    Machine,
    ram_gb=sizes,
    free_disk_gb=sizes,
    cpu_count=st.integers(1, 128),
    gpu_name=st.just("A GPU"),
    vram_gb=st.none() | sizes,
    cpu_features=st.sampled_from([frozenset(), frozenset({"amx_bf16"})]),
    packages=st.frozensets(st.sampled_from(sorted(EVERYTHING))),
)
wishes = st.builds(
    PlanOptions,
    profile=st.sampled_from(["fast", "balanced", "small"]),
    offload=st.sampled_from(["auto", "none", "model", "group"]),
    attention=st.sampled_from(["auto", "native", "xformers", "flash", "sage"]),
    step_cache=st.sampled_from(["auto", "off", "on"]),
    compile=st.sampled_from(["auto", "off", "on"]),
)
shapes = st.builds(
    ClipShape,
    width=st.integers(2, 40).map(lambda n: 32 * n),
    height=st.integers(2, 40).map(lambda n: 32 * n),
    num_frames=st.integers(0, 40).map(lambda n: 8 * n + 1),
    steps=st.integers(1, 100),
    is_guided=st.booleans(),
)


@given(machines, wishes, shapes, st.sampled_from([LTX_2B, LTX_13B]))
def test_a_plan_promises_only_what_the_machine_has(
    machine: Machine, wishes: PlanOptions, shape: ClipShape, chosen: ModelCard
) -> None:
    plan = plan_for(chosen, machine, wishes, shape)
    traits = TRAITS[chosen.family]
    assert (plan.device_name == "cuda") == machine.has_gpu
    if plan.fits:
        assert plan.ram_gb <= machine.ram_gb * USABLE
        assert machine.vram_gb is None or plan.vram_gb <= machine.vram_gb * USABLE
    if plan.attention != "native":
        assert plan.attention in traits.attention
    assert plan.step_cache in (None, traits.step_cache)
    assert traits.compiles or not plan.compile
    if wishes.offload != "auto" and machine.has_gpu:
        assert plan.offload == wishes.offload
    if not machine.has_gpu:
        assert plan.offload == "none"
    assert plan.sentence().endswith(".")
    json.dumps(plan.as_dict())


@given(machines, shapes, st.floats(1, 4), st.sampled_from([LTX_2B, LTX_13B]))
def test_more_memory_is_never_worse(
    machine: Machine, shape: ClipShape, more: float, chosen: ModelCard
) -> None:
    vram_gb = machine.vram_gb and machine.vram_gb * more
    larger = replace(machine, ram_gb=machine.ram_gb * more, vram_gb=vram_gb)
    before, after = (plan_for(chosen, m, PlanOptions(), shape) for m in (machine, larger))
    assert after.fits or not before.fits
    order = ["none", "model", "group"]
    if before.fits:
        assert order.index(after.offload) <= order.index(before.offload)


@given(machines, shapes)
def test_a_smaller_clip_never_needs_more(machine: Machine, shape: ClipShape) -> None:
    smaller = replace(shape, width=32, height=32, num_frames=1, is_guided=False)
    full, less = (plan_for(LTX_2B, machine, PlanOptions(), s) for s in (shape, smaller))
    assert less.fits or not full.fits
    if (full.offload, full.storage) == (less.offload, less.storage) and not less.tiles:
        assert less.memory_gb <= full.memory_gb


# -- wishes --------------------------------------------------------------------------------------


def test_the_profiles_differ_where_it_counts() -> None:
    fast, balanced, small = (
        plan_for(LTX_2B, GPUS[24], PlanOptions(profile=p)) for p in ("fast", "balanced", "small")
    )
    assert (fast.compile, fast.step_cache) == (True, "first_block")
    assert (balanced.compile, balanced.step_cache) == (False, None)
    assert small.vram_gb < balanced.vram_gb / 4


@pytest.mark.parametrize(
    ("family", "backend", "used"),
    [
        ("ltx", "flash", "native"),  # refuses LTX's masks in the middle of a run
        ("ltx", "sage", "native"),
        ("wan", "flash", "flash"),
        ("wan", "sage", "sage"),
        ("wan", "xformers", "xformers"),
        ("wan", "native", "native"),
    ],
)
def test_an_attention_backend_is_used_only_where_it_takes_the_masks(
    family: str, backend: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = replace(GPUS[24], packages=EVERYTHING)
    plan = plan_for(card(family), everything, PlanOptions(attention=backend))  # type: ignore[arg-type]
    assert plan.attention == used
    assert bool(plan.notes) == (used != backend)
    bare = plan_for(card(family), GPUS[24], PlanOptions(attention=backend))  # type: ignore[arg-type]
    assert bare.attention == "native"


def test_what_cannot_be_had_is_said() -> None:
    wishes = PlanOptions(offload="group", attention="sage", compile="on", step_cache="on")
    notes = " ".join(plan_for(card("ltx"), LAPTOP, wishes).notes)
    assert "no GPU" in notes or "for GPUs" in notes
    assert "sage" in notes


def test_every_setting_reaches_the_plan() -> None:
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        profile="small",
        offload="model",
        attention_backend="native",
        step_cache="on",
        compile="on",
    )
    plan = plan_for(LTX_2B, GPUS[24], PlanOptions.of(settings))
    assert (plan.offload, plan.storage, plan.tiles) == ("model", "float8", 4)
    assert (plan.step_cache, plan.compile) == ("first_block", True)


# -- sizes ---------------------------------------------------------------------------------------


def test_parameters_are_counted_in_the_files(tiny_repo: Path) -> None:
    from diffusers import LTXPipeline

    pipe = LTXPipeline.from_pretrained(tiny_repo)
    counted = {
        name: sum(p.numel() for p in part.parameters()) + sum(b.numel() for b in part.buffers())
        for name, part in pipe.components.items()
        if hasattr(part, "parameters")
    }
    found = folder_parameters(tiny_repo)
    assert set(found) == {"transformer", "text_encoder", "vae"}
    for name, count in found.items():
        assert count == pytest.approx(counted[name], rel=0.05), name


def write(file: Path, shape: list[int]) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(struct.pack("<Q", len(header)) + header)


def test_shards_add_up_and_variants_do_not(tmp_path: Path) -> None:
    write(tmp_path / "transformer/diffusion_pytorch_model-00001-of-00002.safetensors", [10, 10])
    write(tmp_path / "transformer/diffusion_pytorch_model-00002-of-00002.safetensors", [5])
    write(tmp_path / "transformer/diffusion_pytorch_model.fp16.safetensors", [10, 10])
    write(tmp_path / "vae/diffusion_pytorch_model.fp16.safetensors", [7])
    assert folder_parameters(tmp_path) == {"transformer": 105, "vae": 7}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"123",
        struct.pack("<Q", 2**60),
        struct.pack("<Q", 4) + b"no",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 9) + b'{"a": {}}',
        struct.pack("<Q", 9) + b'{"a":"b"}',
    ],
)
def test_a_file_that_is_no_safetensors_counts_for_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    file.parent.mkdir()
    file.write_bytes(content)
    write(tmp_path / "transformer/diffusion_pytorch_model.safetensors", [3])
    assert folder_parameters(tmp_path) == {"transformer": 3}


def test_of_a_download_nobody_has_described_the_size_is_all_that_is_known() -> None:
    unknown = card(needs={"ram_gb": 1, "disk_gb": 20, "vram_gb": 18})
    assert model_sizes(unknown).is_guess
    plan = plan_for(unknown, GPUS[24])
    assert plan.is_guess
    assert plan.vram_gb >= 18


# -- verdicts ------------------------------------------------------------------------------------


def test_a_model_that_is_too_large_names_the_nearest_that_fits() -> None:
    verdict = planner(GPUS[8]).verdict(LTX_13B, CARDS)
    assert (verdict.level, verdict.nearest) == ("no", "ltx-2b")
    assert "31.0 GB" in verdict.sentence
    assert "LTX 2B" in verdict.sentence


def test_the_nearest_does_the_same_task() -> None:
    pictures_only = LTX_2B.model_copy(update={"tasks": (Task.IMAGE_TO_VIDEO,)})
    cards = CARDS | {"ltx-2b": pictures_only}
    words_only = LTX_13B.model_copy(update={"tasks": (Task.TEXT_TO_VIDEO,)})
    assert planner(GPUS[8]).verdict(words_only, cards).nearest is None


def test_a_disk_that_is_too_small_is_said_before_the_download() -> None:
    full = replace(GPUS[80], free_disk_gb=3)
    verdict = planner(full).verdict(LTX_2B, CARDS)
    assert (verdict.level, verdict.code) == ("no", ErrorCode.OUT_OF_DISK)
    assert "14 GB" in verdict.sentence


def test_what_would_take_longer_than_allowed_does_not_run() -> None:
    big = replace(LAPTOP, ram_gb=200, cpu_count=2)
    verdict = planner(big, request_timeout_s=60).verdict(LTX_13B, CARDS)
    assert verdict.level == "no"
    assert "longest" in verdict.sentence


def test_what_runs_but_slowly_says_so() -> None:
    verdict = planner(replace(WORKSTATION, cpu_count=4)).verdict(LTX_2B, CARDS)
    assert (verdict.level, verdict.fits) == ("slow", True)
    assert "slowly" in verdict.sentence


def test_the_refusal_has_a_button() -> None:
    with pytest.raises(KinoraError) as refused:
        planner(GPUS[8]).refuse_what_cannot_run(LTX_13B, CARDS)
    error = refused.value
    assert error.action == {"label": "Use LTX 2B", "set": {"model": "ltx-2b"}}
    planner(GPUS[80]).refuse_what_cannot_run(LTX_13B, CARDS)


def test_where_only_the_clip_is_too_large_the_button_makes_it_smaller() -> None:
    huge = ClipShape(width=1280, height=1280, num_frames=257)
    tight = replace(GPUS[8], vram_gb=4.0)
    planner(tight).refuse_what_cannot_run(LTX_2B, CARDS)
    with pytest.raises(KinoraError) as refused:
        planner(tight).refuse_what_cannot_run(LTX_2B, CARDS, huge)
    assert refused.value.action
    assert refused.value.action["set"]["num_frames"] == 97


def test_a_card_is_described_in_a_sentence(tiny_cards: dict[str, ModelCard]) -> None:
    settings = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
    told = Planner(settings).describe(tiny_cards["pocket"], tiny_cards)
    assert told["fits"] is True
    assert told["verdict"].startswith("Runs here")
    assert told["here"] is True
    assert told["plan"]["sentence"]


def test_a_model_larger_than_the_machine_is_told_so(tiny_cards: dict[str, ModelCard]) -> None:
    large = tiny_cards["pocket"].model_copy(update={"needs": Needs(ram_gb=100_000, disk_gb=1)})
    told = planner(LAPTOP).describe(large)
    assert told["fits"] is False
    assert "needs 100000 GB" in told["verdict"]


def test_this_machine_is_what_it_is() -> None:
    here = this_machine(Settings(_env_file=None))  # pyright: ignore[reportCallIssue]
    assert 0.5 < here.ram_gb < 10_000
    assert here.free_disk_gb > 0
    assert here.cpu_count >= 1
    lent = this_machine(Settings(_env_file=None, zero_gpu=True))  # pyright: ignore
    assert lent.vram_gb


def test_the_plan_knows_torchs_own_words() -> None:
    import torch

    plan = Plan(device_name="cpu", dtype_name="bfloat16")
    assert torch_device_for(plan) == torch.device("cpu")
    assert torch_dtype_for(plan) is torch.bfloat16


def test_the_light_half_imports_no_torch() -> None:
    code = (
        "import sys, settings, errors, pipelines.request, pipelines.models.cards,"
        " pipelines.models.fit, pipelines.planning, pipelines.engine.families;"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
