from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from errors import ErrorCode, KinoraError
from pipelines.engine import manager as manager_module
from pipelines.engine.manager import LoadProgress, PipelineManager
from pipelines.models.cards import ModelCard, load_cards
from pipelines.planning import this_machine
from pipelines.request import Task
from settings import Settings
from tests import tiny, zoo
from tests.zoo import wan


def manager_for(repo: Path, settings: Settings, **changes: object) -> PipelineManager:
    models = settings.data_dir / "cards"
    tiny.write_card(models, repo, **changes)
    return PipelineManager(load_cards(models), settings)


def failure(manager: PipelineManager) -> KinoraError:
    with pytest.raises(KinoraError) as caught:
        manager.get("pocket", Task.TEXT_TO_VIDEO)
    return caught.value


def test_text_and_image_pipelines_share_one_set_of_weights(tiny_manager: PipelineManager) -> None:
    text = tiny_manager.get("pocket", Task.TEXT_TO_VIDEO)
    image = tiny_manager.get("pocket", Task.IMAGE_TO_VIDEO)
    assert type(text.pipe).__name__ == "LTXPipeline"
    assert type(image.pipe).__name__ == "LTXImageToVideoPipeline"
    for name in ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"):
        assert getattr(text.pipe, name) is getattr(image.pipe, name)


def test_eight_callers_at_once_cause_one_load(
    tiny_cards: dict[str, ModelCard],
    tiny_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager = PipelineManager(tiny_cards, tiny_settings)
    loads: list[str] = []
    load = manager_module.load_components
    monkeypatch.setattr(
        manager_module, "load_components", lambda *a: loads.append("load") or load(*a)
    )
    start = threading.Barrier(8)
    tasks = [Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO] * 4

    def get(task: Task) -> object:
        start.wait()
        return manager.get("pocket", task).pipe.transformer

    with ThreadPoolExecutor(8) as pool:
        transformers = list(pool.map(get, tasks))
    assert loads == ["load"]
    assert len({id(t) for t in transformers}) == 1


def test_loading_is_told_component_by_component(
    tiny_cards: dict[str, ModelCard], tiny_settings: Settings
) -> None:
    told: list[LoadProgress] = []
    manager = PipelineManager(tiny_cards, tiny_settings)
    manager.get("pocket", Task.TEXT_TO_VIDEO, told.append)
    assert {"transformer", "vae", "text encoder"} <= {p.phase for p in told}
    fractions = [p.fraction for p in told if p.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0

    told.clear()
    manager.get("pocket", Task.TEXT_TO_VIDEO, told.append)
    assert told == []


def test_the_number_type_is_the_machines_choice_unless_told(
    tiny_cards: dict[str, ModelCard], tiny_settings: Settings
) -> None:
    def dtypes(settings: Settings) -> set[torch.dtype]:
        loaded = PipelineManager(tiny_cards, settings).get("pocket", Task.TEXT_TO_VIDEO)
        parts = (loaded.pipe.transformer, loaded.pipe.vae, loaded.pipe.text_encoder)
        return {part.dtype for part in parts} | {loaded.dtype}

    quick = torch.cuda.is_available() or this_machine(tiny_settings).has_fast_bfloat16
    assert dtypes(tiny_settings) == {torch.bfloat16 if quick else torch.float32}
    for name, dtype in {"bfloat16": torch.bfloat16, "float32": torch.float32}.items():
        assert dtypes(tiny_settings.model_copy(update={"torch_dtype": name})) == {dtype}


def test_previews_that_are_not_wanted_cost_nothing(
    tiny_cards: dict[str, ModelCard], tiny_settings: Settings
) -> None:
    silent = tiny_settings.model_copy(update={"previews": False})
    loaded = PipelineManager(tiny_cards, silent).get("pocket", Task.TEXT_TO_VIDEO)
    assert loaded.preview_map is None
    assert not (silent.data_dir / "cache").exists()


def test_the_least_recently_used_model_goes_first(tiny_repo: Path, tiny_settings: Settings) -> None:
    models = tiny_settings.data_dir / "cards"
    for model_id in ("one", "two", "three"):
        tiny.write_card(models, tiny_repo, id=model_id)
    manager = PipelineManager(load_cards(models), tiny_settings)
    for model_id in ("one", "two", "one", "three"):
        manager.get(model_id, Task.TEXT_TO_VIDEO)
    assert manager.loaded() == ["one", "three"]
    manager.evict("one")
    assert manager.loaded() == ["three"]


def test_models_go_when_memory_runs_short_even_where_more_are_allowed(
    tiny_repo: Path, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's free memory is what is faked here: a first model leaves none for the next."""
    models = tiny_settings.data_dir / "cards"
    for model_id in ("one", "two", "three"):
        tiny.write_card(models, tiny_repo, id=model_id)
    manager = PipelineManager(
        load_cards(models), tiny_settings.model_copy(update={"max_loaded_models": 3})
    )
    free = [10**9]
    monkeypatch.setattr(manager_module, "free_bytes", lambda _plan: free.pop(0) if free else 0)
    manager.get("one", Task.TEXT_TO_VIDEO)
    free[:] = [10**9]
    manager.get("two", Task.TEXT_TO_VIDEO)
    assert manager.loaded() == ["one", "two"]
    free[:] = [1000, 10**9]
    manager.get("three", Task.TEXT_TO_VIDEO)
    assert manager.loaded() == ["two", "three"]


def test_a_sibling_pipeline_keeps_what_the_index_says(
    tiny_settings: Settings, tmp_path: Path
) -> None:
    """Wan 5B spreads its timesteps; diffusers forgets that when components change hands."""
    specimen = next(s for s in wan.SPECIMENS if s.name == "wan-2.2-ti2v-5b")
    specimen.build(tmp_path / "repo")
    zoo.write_card(specimen, tmp_path / "cards", tmp_path / "repo")
    half = tiny_settings.model_copy(update={"torch_dtype": "bfloat16", "previews": False})
    manager = PipelineManager(load_cards(tmp_path / "cards"), half)
    text = manager.get(specimen.name, Task.TEXT_TO_VIDEO).pipe
    image = manager.get(specimen.name, Task.IMAGE_TO_VIDEO).pipe
    assert type(image).__name__ == "WanImageToVideoPipeline"
    assert text.config.expand_timesteps is image.config.expand_timesteps is True
    assert image.transformer is text.transformer
    assert image.transformer.dtype is torch.bfloat16
    assert image.vae.dtype is torch.float32, "its decoder loses too much in less"


def test_a_model_that_may_change_is_told_once(
    tiny_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    unpinned = manager_for(Path("somebody/some-video-model"), tiny_settings)
    for _ in range(2):
        failure(unpinned)
    assert sum("not pinned" in message for message in caplog.messages) == 1
    caplog.clear()
    failure(manager_for(Path("somebody/pinned"), tiny_settings, revision="a" * 40))
    assert not any("not pinned" in message for message in caplog.messages)


def test_unknown_models_and_tasks_are_told_apart(
    tiny_repo: Path, tiny_manager: PipelineManager, tiny_settings: Settings
) -> None:
    with pytest.raises(KinoraError) as caught:
        tiny_manager.get("nobody", Task.TEXT_TO_VIDEO)
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL
    manager = manager_for(tiny_repo, tiny_settings, tasks=["i2v"])
    assert failure(manager).code is ErrorCode.TASK_NOT_SUPPORTED


def test_a_folder_that_is_not_there_is_told_without_its_path(tiny_settings: Settings) -> None:
    error = failure(manager_for(tiny_settings.data_dir / "nothing", tiny_settings))
    assert error.code is ErrorCode.MODEL_NOT_FOUND
    assert str(tiny_settings.data_dir) not in error.message


def test_a_hub_model_without_network_is_told_as_that(tiny_settings: Settings) -> None:
    error = failure(manager_for(Path("somebody/some-video-model"), tiny_settings))
    assert error.code is ErrorCode.MODEL_NOT_FOUND
    assert "no network" in error.message


@pytest.mark.parametrize("name", ["transformer", "vae", "text_encoder"])
def test_damaged_weights_are_told_and_a_later_try_works(
    tiny_repo: Path, tiny_settings: Settings, tmp_path: Path, name: str
) -> None:
    repo = tmp_path / "damaged"
    shutil.copytree(tiny_repo, repo)
    weights = next((repo / name).glob("*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    manager = manager_for(repo, tiny_settings)
    error = failure(manager)
    assert error.code is ErrorCode.MODEL_LOAD
    assert str(tmp_path) not in error.message
    weights.write_bytes(whole)
    manager.get("pocket", Task.TEXT_TO_VIDEO)


def test_pickled_weights_are_never_loaded(
    tiny_repo: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    repo = tmp_path / "pickled"
    shutil.copytree(tiny_repo, repo)
    next((repo / "vae").glob("*.safetensors")).rename(repo / "vae" / "diffusion_pytorch_model.bin")
    error = failure(manager_for(repo, tiny_settings))
    assert error.code is ErrorCode.MODEL_REFUSED
    assert "vae only as a pickle" in error.message


def test_code_that_comes_with_a_model_is_never_run(
    tiny_repo: Path, tiny_settings: Settings, tmp_path: Path
) -> None:
    repo = tmp_path / "coded"
    shutil.copytree(tiny_repo, repo)
    proof = tmp_path / "proof"
    (repo / "vae" / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass VAE: pass\n")
    index = json.loads((repo / "model_index.json").read_text())
    index["vae"] = ["evil", "VAE"]
    (repo / "model_index.json").write_text(json.dumps(index))
    error = failure(manager_for(repo, tiny_settings))
    assert error.code is ErrorCode.MODEL_REFUSED
    assert "code of its own for its vae" in error.message
    assert not proof.exists()
