"""LoRAs change a clip for one run and leave nothing behind; wrong ones are told apart in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from errors import ErrorCode, KinoraError
from pipelines.engine.denoise import SampledLatents, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.models.cards import load_cards
from pipelines.models.fit import Limits, fit
from pipelines.models.loras import LoraFile, check_loras, find_or_fetch, list_names
from pipelines.request import GenerationRequest, Lora, Task
from settings import Settings
from tests import zoo
from tests.zoo import ltx, wan

SPECIMENS = {
    "ltx": ltx.SPECIMENS[0],
    "wan": next(s for s in wan.SPECIMENS if s.name.startswith("wan-2.2-t2v-a14b")),
}


class NobodyAsks:
    def cancelled(self) -> bool:
        return False

    def finish_now(self) -> bool:
        return False


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineManager]:
    folder = tmp_path_factory.mktemp("loras")
    for name, specimen in SPECIMENS.items():
        specimen.build(folder / name)
        zoo.write_card(specimen, folder / "cards", folder / name)
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "data",
        models_dir=folder / "cards",
        torch_dtype="float32",
        previews=False,
    )
    running = PipelineManager(load_cards(folder / "cards"), settings)
    yield running
    running.close()


@pytest.fixture(scope="module", params=list(SPECIMENS))
def loaded(request: pytest.FixtureRequest, manager: PipelineManager) -> Loaded:
    return manager.get(SPECIMENS[request.param].name, Task.TEXT_TO_VIDEO)


def make_lora(pipe: Any, path: Path, seed: int, module: str = "transformer") -> Path:
    """As a trainer writes it: peft's layers, saved by diffusers."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    model = getattr(pipe, module)
    torch.manual_seed(seed)
    model.add_adapter(
        LoraConfig(r=4, target_modules=["to_q", "to_k"], init_lora_weights=False), "trained"
    )
    layers = get_peft_model_state_dict(model, adapter_name="trained")
    model.unload_lora()
    type(pipe).save_lora_weights(
        path.parent, transformer_lora_layers=layers, weight_name=path.name, safe_serialization=True
    )
    return path


def sampled(loaded: Loaded, *loras: LoraFile) -> torch.Tensor:
    request = GenerationRequest(prompt="a dog", seed=3, num_inference_steps=2)
    fitted = fit(request, loaded.card, Limits())
    inputs = Inputs(loras=loras)
    sampled = denoise(loaded, fitted, inputs, NobodyAsks(), lambda _step: None)
    assert isinstance(sampled, SampledLatents)
    return sampled.latents


def modules_of(pipe: Any) -> list[str]:
    return [f"{n}: {type(m).__name__}" for n, m in pipe.transformer.named_modules()]


def test_a_lora_changes_the_clip_and_is_gone_afterwards_to_the_bit(
    loaded: Loaded, tmp_path: Path
) -> None:
    plain, before = sampled(loaded), modules_of(loaded.pipe)
    path = make_lora(loaded.pipe, tmp_path / "oil.safetensors", 1)
    with_it = sampled(loaded, LoraFile(path, 1.0, "oil"))
    assert not torch.equal(with_it, plain)
    assert torch.equal(sampled(loaded), plain)
    assert modules_of(loaded.pipe) == before, "the model is as it was loaded"
    assert torch.equal(sampled(loaded, LoraFile(path, 1.0, "oil")), with_it), "and it comes again"
    assert torch.equal(sampled(loaded, LoraFile(path, 0.0, "oil")), plain), "weight 0 is nothing"


def test_several_are_applied_together_each_by_its_weight(loaded: Loaded, tmp_path: Path) -> None:
    oil, rain = (
        make_lora(loaded.pipe, tmp_path / f"{name}.safetensors", seed)
        for seed, name in enumerate(("oil", "rain"))
    )
    together = sampled(loaded, LoraFile(oil, 0.7, "oil"), LoraFile(rain, -0.5, "rain"))
    alone = sampled(loaded, LoraFile(oil, 0.7, "oil"))
    silent = sampled(loaded, LoraFile(oil, 0.7, "oil"), LoraFile(rain, 0.0, "rain"))
    assert not torch.equal(together, alone)
    assert torch.allclose(silent, alone, atol=1e-5)


def test_of_two_experts_each_gets_its_own(manager: PipelineManager, tmp_path: Path) -> None:
    loaded = manager.get(SPECIMENS["wan"].name, Task.TEXT_TO_VIDEO)
    plain = sampled(loaded)
    high = make_lora(loaded.pipe, tmp_path / "oil_high_noise.safetensors", 1)
    low = make_lora(loaded.pipe, tmp_path / "oil_low_noise.safetensors", 1)
    both = make_lora(loaded.pipe, tmp_path / "oil.safetensors", 1)
    one, other, all_ = (sampled(loaded, LoraFile(p, 1.0, p.stem)) for p in (high, low, both))
    pair = sampled(loaded, LoraFile(high, 1.0, "high"), LoraFile(low, 1.0, "low"))
    assert not torch.equal(one, other)
    assert torch.equal(pair, all_)
    assert torch.equal(sampled(loaded), plain)


def test_a_lora_of_another_model_is_refused_and_leaves_no_trace(
    manager: PipelineManager, tmp_path: Path
) -> None:
    mine, other = (manager.get(s.name, Task.TEXT_TO_VIDEO) for s in SPECIMENS.values())
    plain = sampled(mine)
    foreign = make_lora(other.pipe, tmp_path / "foreign.safetensors", 1)
    nowhere = tmp_path / "nowhere.safetensors"
    save_file({"unet.none.lora_A.weight": torch.ones(4, 8)}, nowhere)
    text = tmp_path / "text.safetensors"
    save_file({"text_model.lora_down.weight": torch.ones(4, 8)}, text)
    for path in (foreign, nowhere, text):
        with pytest.raises(KinoraError, match="made for another model") as refused:
            sampled(mine, LoraFile(path, 1.0, path.stem))
        assert path.stem in refused.value.message
        assert str(tmp_path) not in refused.value.message
        assert torch.equal(sampled(mine), plain)


# -- finding -------------------------------------------------------------------------------------


LAYER = {"x.lora_A.weight": torch.ones(4, 8), "x.lora_B.weight": torch.ones(8, 4)}


@pytest.fixture
def shelf(tiny_settings: Settings) -> Settings:
    """A folder with one good LoRA in it, and a few things that are none."""
    folder = tiny_settings.loras_folder
    (folder / "styles").mkdir(parents=True)
    save_file(LAYER, folder / "oil.safetensors")
    save_file(LAYER, folder / "styles/ink.safetensors")
    save_file({"transformer.x.weight": torch.ones(4, 8)}, folder / "model.safetensors")
    (folder / "broken.safetensors").write_bytes(b"\xff" * 100)
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "old.bin").write_bytes(b"\x80\x04.")
    outside = folder.parent / "outside.safetensors"
    save_file(LAYER, outside)
    (folder / "link.safetensors").symlink_to(outside)
    return tiny_settings.model_copy(update={"lora_hub": False})


def test_files_in_the_folder_are_offered_and_found_by_name(shelf: Settings) -> None:
    assert {"oil", "styles/ink"} <= set(list_names(shelf))
    for name in ("oil", "oil.safetensors", "styles/ink"):
        found = find_or_fetch(Lora(source=name, weight=0.4), shelf)
        assert found.path.is_file()
        assert found.weight == 0.4


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("watercolour", ErrorCode.NOT_FOUND, "no LoRA called “watercolour” here. There are: "),
        ("someone/oil", ErrorCode.NOT_FOUND, "not fetched from the Hub here"),
        ("old.bin", ErrorCode.INVALID_INPUT, "is a pickle, which can run code"),
        ("model", ErrorCode.INVALID_INPUT, "but no LoRA"),
        ("broken", ErrorCode.INVALID_INPUT, "is damaged"),
        ("empty", ErrorCode.INVALID_INPUT, "is an empty file"),
        ("link", ErrorCode.NOT_FOUND, "no LoRA called “link” here"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(
    shelf: Settings, name: str, code: ErrorCode, says: str
) -> None:
    with pytest.raises(KinoraError) as refused:
        find_or_fetch(Lora(source=name), shelf)
    assert refused.value.code is code
    assert says in refused.value.message
    assert str(shelf.data_dir) not in refused.value.message


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/passwd", "a/../../b", ".hidden", "a//b", "https://x.test/a", "a/ /b"],
)
def test_a_name_is_never_a_path_or_an_address(name: str) -> None:
    with pytest.raises(ValueError, match="source"):
        Lora(source=name)


def test_the_same_one_twice_is_refused_before_any_work(shelf: Settings) -> None:
    with pytest.raises(KinoraError, match="there twice"):
        check_loras([Lora(source="oil"), Lora(source="oil", weight=0.2)], shelf)
    check_loras([Lora(source="oil"), Lora(source="styles/ink")], shelf)
