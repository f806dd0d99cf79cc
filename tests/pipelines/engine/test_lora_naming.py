"""However a trainer names its layers, a LoRA is the same LoRA, or is refused with the true reason.

The files are written here, from random layers of tiny models; what the model's weights become is
compared with the arithmetic.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from errors import KinoraError
from pipelines.engine.lora_adapters import apply_loras
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import load_cards
from pipelines.models.loras import LoraFile
from pipelines.request import Adjustment, Task
from settings import Settings
from tests import zoo
from tests.pipelines.models.test_loras import sampled
from tests.zoo import animatediff, ltx, wan

SPECIMENS = {
    "ltx": ltx.SPECIMENS[0],
    "wan": wan.SPECIMENS[0],
    "animatediff": animatediff.SPECIMENS[0],
}
MOST = 16
"""Layers of one file: AnimateDiff's UNet has hundreds, and each takes its time."""
ADAPTED = ("to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2")


@dataclass(frozen=True)
class Layer:
    module: str
    down: torch.Tensor
    up: torch.Tensor
    alpha: float

    @property
    def scaled(self) -> torch.Tensor:
        return self.up * (self.alpha / self.down.shape[0])

    @property
    def delta(self) -> torch.Tensor:
        return self.scaled @ self.down


Layers = list[Layer]
Write = Callable[[Layers, str, Path], Path]


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineManager]:
    folder = tmp_path_factory.mktemp("naming")
    for name, specimen in SPECIMENS.items():
        torch.manual_seed(0)
        specimen.build(folder / name / "repo")  # its card may name parts beside it
        zoo.write_card(specimen, folder / name / "cards", folder / name / "repo")
    cards = {k: v for name in SPECIMENS for k, v in load_cards(folder / name / "cards").items()}
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "data",
        torch_dtype="float32",
        previews=False,
    )
    running = PipelineManager(cards, settings)
    yield running
    running.close()


def pipe_of(manager: PipelineManager, family: str) -> Any:
    return manager.get(SPECIMENS[family].name, Task.TEXT_TO_VIDEO).pipe


def main_of(pipe: Any) -> str:
    return "unet" if hasattr(pipe, "unet") else "transformer"


def make_layers(pipe: Any, component: str = "", seed: int = 0) -> Layers:
    """One for every linear layer of the attention and what follows it; ranks and alphas differ."""
    generator = torch.Generator().manual_seed(seed)
    made: Layers = []
    for name, module in getattr(pipe, component or main_of(pipe)).named_modules():
        if isinstance(module, torch.nn.Linear) and name.endswith(ADAPTED):
            rank = 2 + len(made) % 3
            made.append(
                Layer(
                    name,
                    torch.randn(rank, module.in_features, generator=generator),
                    torch.randn(module.out_features, rank, generator=generator),
                    (1.0, 2.0, 8.0)[len(made) % 3 - 1],
                )
            )
    assert made
    return made[:MOST]


# -- how they are written ------------------------------------------------------------------------


def saved(tensors: dict[str, torch.Tensor], path: Path, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: tensor.contiguous().clone() for key, tensor in tensors.items()}
    save_file(kept, path, metadata=metadata or None)
    return path


def written(prefix: str, down: str, up: str, *, alpha: bool, flat: bool = False) -> Write:
    """By a pattern. Without `alpha`, it is multiplied into the weights."""

    def write(layers: Layers, main: str, folder: Path) -> Path:
        tensors: dict[str, torch.Tensor] = {}
        for each in layers:
            module = each.module.replace(".", "_") if flat else each.module
            name = f"{prefix.format(main=main)}{module}"
            tensors[f"{name}.{down}"] = each.down
            tensors[f"{name}.{up}"] = each.up if alpha else each.scaled
            if alpha:
                tensors[f"{name}.alpha"] = torch.tensor(each.alpha)
        return saved(tensors, folder / "lora.safetensors")

    return write


def peft_config(layers: Layers) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "r": 4,
        "lora_alpha": layers[0].alpha,
        "alpha_pattern": {each.module: each.alpha for each in layers[1:]},
        "rank_pattern": {each.module: each.down.shape[0] for each in layers},
    }


def write_peft(layers: Layers, main: str, folder: Path) -> Path:
    """As peft's `save_pretrained`: the scale is in a file beside it."""
    tensors = {f"base_model.model.{each.module}.lora_A.weight": each.down for each in layers}
    tensors |= {f"base_model.model.{each.module}.lora_B.weight": each.up for each in layers}
    path = saved(tensors, folder / "adapter_model.safetensors")
    path.with_name("adapter_config.json").write_text(json.dumps(peft_config(layers)))
    return path


def write_header(layers: Layers, main: str, folder: Path) -> Path:
    """As diffusers' `save_lora_weights`: the scale is in the header."""
    tensors = {f"{main}.{each.module}.lora_A.weight": each.down for each in layers}
    tensors |= {f"{main}.{each.module}.lora_B.weight": each.up for each in layers}
    config = {f"{main}.{key}": value for key, value in peft_config(layers).items()}
    return saved(tensors, folder / "lora.safetensors", lora_adapter_metadata=json.dumps(config))


def write_processors(layers: Layers, main: str, folder: Path) -> Path:
    """As diffusers once did, for attention alone."""
    tensors: dict[str, torch.Tensor] = {}
    for each in layers:
        block, _dot, projection = each.module.removesuffix(".0").rpartition(".")
        if projection.startswith("to_"):
            name = f"{main}.{block}.processor.{projection}_lora"
        else:
            name = f"{main}.{each.module}.lora"
        tensors[f"{name}.down.weight"], tensors[f"{name}.up.weight"] = each.down, each.scaled
    return saved(tensors, folder / "pytorch_lora_weights.safetensors")


def write_pixels(layers: Layers, main: str, folder: Path) -> Path:
    """Linear layers as convolutions of one pixel."""
    tensors: dict[str, torch.Tensor] = {}
    for each in layers:
        name = f"lora_unet_{each.module.replace('.', '_')}"
        tensors[f"{name}.lora_down.weight"] = each.down[:, :, None, None]
        tensors[f"{name}.lora_up.weight"] = each.up[:, :, None, None]
        tensors[f"{name}.alpha"] = torch.tensor([each.alpha])
    return saved(tensors, folder / "lora.safetensors")


AB, DOWN_UP = ("lora_A.weight", "lora_B.weight"), ("lora_down.weight", "lora_up.weight")
NAMINGS: dict[str, Write] = {
    "diffusers": written("{main}.", *AB, alpha=False),
    "diffusers-header": write_header,
    "diffusers-old": written("{main}.", "lora.down.weight", "lora.up.weight", alpha=False),
    "diffusers-processors": write_processors,
    "peft": write_peft,
    "peft-named": written(
        "base_model.model.", "lora_A.default.weight", "lora_B.default.weight", alpha=False
    ),
    "comfy": written("diffusion_model.", *AB, alpha=False),
    "comfy-alpha": written("diffusion_model.", *AB, alpha=True),
    "comfy-down-up": written("model.diffusion_model.", *DOWN_UP, alpha=True),
    "bare": written("", *AB, alpha=False),
    "bare-alpha": written("", *DOWN_UP, alpha=True),
    "kohya": written("lora_unet_", *DOWN_UP, alpha=True, flat=True),
    "kohya-transformer": written("lora_transformer_", *DOWN_UP, alpha=True, flat=True),
    "lycoris": written("lycoris_", *DOWN_UP, alpha=True, flat=True),
    "pixels": write_pixels,
}


def deltas(pipe: Any, component: str) -> dict[str, torch.Tensor]:
    """What the adapters that are on add to each weight."""
    found: dict[str, torch.Tensor] = {}
    for name, module in getattr(pipe, component).named_modules():
        for adapter in getattr(module, "lora_A", {}):
            down, up = module.lora_A[adapter].weight, module.lora_B[adapter].weight
            delta = module.scaling[adapter] * (up.flatten(1) @ down.flatten(1))
            found[name] = found.get(name, 0) + delta.detach()
    return found


def same(found: dict[str, torch.Tensor], layers: Layers, weight: float = 1.0) -> None:
    assert set(found) == {each.module for each in layers}
    for each in layers:
        assert torch.allclose(found[each.module], weight * each.delta, atol=1e-4), each.module


@pytest.mark.parametrize("family", SPECIMENS)
@pytest.mark.parametrize("naming", NAMINGS)
def test_however_the_layers_are_named_the_weights_become_the_same(
    manager: PipelineManager, tmp_path: Path, family: str, naming: str
) -> None:
    pipe = pipe_of(manager, family)
    layers = make_layers(pipe)
    path = NAMINGS[naming](layers, main_of(pipe), tmp_path)
    told: list[Adjustment] = []
    with apply_loras(pipe, [LoraFile(path, 0.5, "it")], told.append):
        same(deltas(pipe, main_of(pipe)), layers, 0.5)
    assert not told
    assert not deltas(pipe, main_of(pipe))


ORIGINAL = {
    "attn1.to_q": "self_attn.q", "attn1.to_k": "self_attn.k", "attn1.to_v": "self_attn.v",
    "attn1.to_out.0": "self_attn.o", "attn2.to_q": "cross_attn.q", "attn2.to_k": "cross_attn.k",
    "attn2.to_v": "cross_attn.v", "attn2.to_out.0": "cross_attn.o", "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
}  # fmt: skip


def wans_own(layer: Layer) -> Layer:
    _, block, rest = layer.module.split(".", 2)
    return Layer(f"blocks.{block}.{ORIGINAL[rest]}", layer.down, layer.up, layer.alpha)


@pytest.mark.parametrize("naming", ["comfy-alpha", "comfy-down-up", "bare-alpha", "kohya"])
def test_wans_own_names_mean_the_same_layers(
    manager: PipelineManager, tmp_path: Path, naming: str
) -> None:
    """Most LoRAs for Wan are trained with its own code, or with musubi's."""
    pipe = pipe_of(manager, "wan")
    layers = make_layers(pipe)
    path = NAMINGS[naming]([wans_own(each) for each in layers], "transformer", tmp_path)
    with apply_loras(pipe, [LoraFile(path, 1.0, "it")]):
        same(deltas(pipe, "transformer"), layers)


@pytest.mark.parametrize("naming", ["comfy-alpha", "comfy-down-up", "bare-alpha", "kohya"])
@pytest.mark.parametrize("trained", ["self_attn", "cross_attn.q", "ffn"])
def test_a_lora_for_wan_may_have_some_of_the_layers(
    manager: PipelineManager, tmp_path: Path, naming: str, trained: str
) -> None:
    """Trainers can leave layers out; diffusers' converter of musubi's names requires them all."""
    pipe = pipe_of(manager, "wan")
    layers = [each for each in make_layers(pipe) if trained in wans_own(each).module]
    path = NAMINGS[naming]([wans_own(each) for each in layers], "transformer", tmp_path)
    with apply_loras(pipe, [LoraFile(path, 1.0, "it")]):
        same(deltas(pipe, "transformer"), layers)


@pytest.mark.parametrize("prefix", ["lora_te_text_model_", "lora_te1_text_model_", "text_encoder."])
def test_layers_of_the_text_encoder_are_applied_where_the_model_has_one(
    manager: PipelineManager, tmp_path: Path, prefix: str
) -> None:
    pipe = pipe_of(manager, "animatediff")
    words = [
        Layer(name, torch.randn(2, module.in_features), torch.randn(module.out_features, 2), 2.0)
        for name, module in pipe.text_encoder.named_modules()
        if isinstance(module, torch.nn.Linear) and name.endswith(("q_proj", "fc1"))
    ]
    unet = make_layers(pipe)
    flat = prefix.endswith("_")
    one = written("lora_unet_", *DOWN_UP, alpha=True, flat=True)(unet, "", tmp_path / "1")
    bare = [Layer(w.module.removeprefix("text_model."), w.down, w.up, w.alpha) for w in words]
    other = written(prefix, *DOWN_UP, alpha=True, flat=flat)(bare, "", tmp_path / "2")
    from safetensors.torch import load_file

    path = saved(load_file(one) | load_file(other), tmp_path / "both.safetensors")
    told: list[Adjustment] = []
    with apply_loras(pipe, [LoraFile(path, 1.0, "it")], told.append):
        same(deltas(pipe, "unet"), unet)
        same(deltas(pipe, "text_encoder"), words)
    assert not told
    assert not deltas(pipe, "text_encoder")


def test_layers_of_a_text_encoder_that_takes_none_are_left_out_and_said(
    manager: PipelineManager, tmp_path: Path
) -> None:
    pipe = pipe_of(manager, "ltx")
    layers = make_layers(pipe)
    extra = [Layer(f"encoder.{n}", layers[0].down, layers[0].up, 1.0) for n in range(3)]
    tensors: dict[str, torch.Tensor] = {}
    for prefix, some in (("transformer.", layers), ("text_encoder.", extra)):
        for each in some:
            tensors[f"{prefix}{each.module}.lora_A.weight"] = each.down
            tensors[f"{prefix}{each.module}.lora_B.weight"] = each.scaled
    told: list[Adjustment] = []
    path = saved(tensors, tmp_path / "it.safetensors")
    with apply_loras(pipe, [LoraFile(path, 1.0, "it")], told.append):
        same(deltas(pipe, "transformer"), layers)
    (change,) = told
    whole = len(layers) + 3
    assert change.field == "loras"
    assert f"{len(layers)} of {whole} layers fit this model; the other 3" in change.sentence


def test_frames_are_the_same_to_the_bit_whatever_the_naming(
    manager: PipelineManager, tmp_path: Path
) -> None:
    loaded = manager.get(SPECIMENS["ltx"].name, Task.TEXT_TO_VIDEO)
    layers = [
        Layer(e.module, e.down, e.up, float(e.down.shape[0])) for e in make_layers(loaded.pipe)
    ]
    made = [
        sampled(loaded, LoraFile(NAMINGS[n](layers, "transformer", tmp_path / n), 1.0, "it"))
        for n in ("diffusers", "kohya", "bare-alpha")
    ]
    assert not torch.equal(made[0], sampled(loaded))
    assert all(torch.equal(made[0], each) for each in made[1:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_layers_may_be_kept_in_fewer_bits(
    manager: PipelineManager, tmp_path: Path, dtype: torch.dtype
) -> None:
    pipe = pipe_of(manager, "ltx")
    exact = make_layers(pipe)
    layers = [
        Layer(e.module, e.down.to(dtype).float(), e.up.to(dtype).float(), e.alpha) for e in exact
    ]
    tensors = {f"{e.module}.lora_A.weight": e.down.to(dtype) for e in exact}
    tensors |= {f"{e.module}.lora_B.weight": e.up.to(dtype) for e in exact}
    tensors |= {f"{e.module}.alpha": torch.tensor(e.alpha) for e in exact}
    with apply_loras(pipe, [LoraFile(saved(tensors, tmp_path / "it.safetensors"), 1.0, "it")]):
        same(deltas(pipe, "transformer"), layers)


def test_a_bias_that_only_some_layers_have_is_applied(
    manager: PipelineManager, tmp_path: Path
) -> None:
    pipe = pipe_of(manager, "wan")
    layers = make_layers(pipe)
    tensors = {f"{e.module}.lora_A.weight": e.down for e in layers}
    tensors |= {f"{e.module}.lora_B.weight": e.scaled for e in layers}
    tensors[f"{layers[0].module}.diff_b"] = torch.full((layers[0].up.shape[0],), 3.0)
    tensors["blocks.0.norm2.diff"] = torch.zeros(24)
    told: list[Adjustment] = []
    path = saved(tensors, tmp_path / "it.safetensors")
    with apply_loras(pipe, [LoraFile(path, 1.0, "it")], told.append):
        module = pipe.transformer.get_submodule(layers[0].module)
        assert float(module.lora_B["kinora_0"].bias[0].detach()) == 3.0
        other = pipe.transformer.get_submodule(layers[1].module)
        assert float(other.lora_B["kinora_0"].bias.detach().abs().max()) == 0.0
    assert not told, "a difference of zero is none"


@pytest.mark.parametrize("fitting", range(0, 13, 3))
def test_a_file_of_which_few_layers_fit_is_refused_with_the_numbers(
    manager: PipelineManager, tmp_path: Path, fitting: int
) -> None:
    loaded = manager.get(SPECIMENS["ltx"].name, Task.TEXT_TO_VIDEO)
    layers = make_layers(loaded.pipe)
    few, others = layers[:fitting], layers[: 16 - fitting]
    elsewhere = [
        Layer(f"transformer_blocks.{n + 40}.attn1.to_q", e.down, e.up, e.alpha)
        for n, e in enumerate(others)
    ]
    path = NAMINGS["kohya"](few + elsewhere, "transformer", tmp_path)
    told: list[Adjustment] = []
    if fitting >= 8:
        with apply_loras(loaded.pipe, [LoraFile(path, 1.0, "it")], told.append):
            same(deltas(loaded.pipe, "transformer"), few)
        assert f"{fitting} of 16 layers fit" in told[0].sentence
    else:
        count = f"only {fitting}" if fitting else "none"
        with pytest.raises(KinoraError, match=f"{count} of 16 layers fit this one") as refused:
            sampled(loaded, LoraFile(path, 1.0, "it"))
        assert refused.value.details["field"] == "loras"
        assert not deltas(loaded.pipe, "transformer")


def test_layers_of_another_size_do_not_fit(manager: PipelineManager, tmp_path: Path) -> None:
    loaded = manager.get(SPECIMENS["ltx"].name, Task.TEXT_TO_VIDEO)
    layers = [
        Layer(e.module, torch.ones(2, e.down.shape[1] + 2), torch.ones(e.up.shape[0] + 2, 2), 2.0)
        for e in make_layers(loaded.pipe)
    ]
    path = NAMINGS["diffusers"](layers, "transformer", tmp_path)
    with pytest.raises(KinoraError, match=f"none of {len(layers)} layers fit"):
        sampled(loaded, LoraFile(path, 1.0, "it"))


def test_one_file_under_two_names_is_applied_once_or_not_at_all(
    manager: PipelineManager, tmp_path: Path
) -> None:
    pipe = pipe_of(manager, "ltx")
    path = NAMINGS["diffusers"](make_layers(pipe), "transformer", tmp_path)
    link = tmp_path / "link.safetensors"
    link.symlink_to(path)
    with (
        pytest.raises(KinoraError, match="are the same LoRA"),
        apply_loras(pipe, [LoraFile(path, 1.0, "it"), LoraFile(link, 0.5, "again")]),
    ):
        pass
