"""Which models visitors of a Space may use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from jobs.job import Job, State, new_id
from jobs.workers.fallback import model_for
from pipelines.engine.manager import PipelineManager
from pipelines.models import loras
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.models.selection import preload_models
from pipelines.planning import ClipShape, Machine, Planner, allowed_models
from pipelines.planning.allowed_models import AllowedModels, download_gb
from pipelines.request import GenerationRequest, Lora, Task
from settings import ROOT, Settings

CARDS = load_cards(ROOT / "presets" / "models")
FREE_SPACE = Machine(ram_gb=16, free_disk_gb=40, cpu_count=2)
A10G = Machine(ram_gb=15, free_disk_gb=100, cpu_count=4, gpu_name="NVIDIA A10G", vram_gb=24)


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)  # pyright: ignore[reportCallIssue]


def gate(machine: Machine = FREE_SPACE, **given: Any) -> AllowedModels:
    of = settings(**{"space_id": "me/kinora"} | given)
    return AllowedModels(CARDS, of, Planner(of, machine))


@given(
    st.sampled_from(sorted(CARDS)),
    st.sampled_from([FREE_SPACE, A10G]),
    st.booleans(),
    st.sampled_from([None, True, False]),
)
def test_on_a_space_nothing_is_downloaded_or_slow_unless_the_setting_allows_it(
    name: str, machine: Machine, zero_gpu: bool, heavy: bool | None
) -> None:
    card, of = CARDS[name], settings(space_id="me/kinora", zero_gpu=zero_gpu)
    here = gate(machine, zero_gpu=zero_gpu, allow_heavy_models=heavy)
    is_first = name in {model for model, _task in preload_models(CARDS, of)}
    slow = Planner(of, machine).verdict(card).level == "slow"
    if heavy or is_first:
        assert here.allows(card)
    elif zero_gpu or download_gb(card) is not None or slow:
        assert not here.allows(card)
        with pytest.raises(KinoraError) as refused:
            here.check(card)
        error = refused.value
        assert error.code is ErrorCode.MODEL_REFUSED
        assert "KINORA_ALLOW_HEAVY_MODELS=true" in error.message
        assert error.details["setting"] == "KINORA_ALLOW_HEAVY_MODELS"
        assert error.action and here.allows(CARDS[error.action["set"]["model"]])
    assert (card.id in here.cards()) == here.allows(card)


@pytest.mark.parametrize("given_", [{}, {"allow_heavy_models": False}])
def test_ones_own_machine_takes_every_model_unless_it_is_told_not_to(
    given_: dict[str, Any],
) -> None:
    here = gate(space_id=None, **given_)
    assert (len(here.cards()) == len(CARDS)) == (not given_)


def test_behind_redis_other_machines_decide() -> None:
    assert len(gate(redis_url="redis://localhost").cards()) == len(CARDS)


def test_a_model_that_the_operator_chose_is_loaded_first_and_so_allowed() -> None:
    here = gate(A10G, zero_gpu=True, default_text_to_video_model="ltx-video")
    assert {"ltx-video"} <= set(here.cards()) <= {"ltx-video", "pocket", "ltx-video-0.9.5"}
    by_repository = gate(A10G, default_text_to_video_model=CARDS["ltx-video"].repo)
    assert by_repository.allows(CARDS["ltx-video"])


def test_what_was_preloaded_from_the_hub_is_there_and_its_parts_must_be_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached: dict[str, float] = {}
    monkeypatch.setattr(allowed_models, "_cached_gb", lambda repo: cached.get(repo, 0.0))
    card = CARDS["animatediff-v2"]
    cached[card.repo] = card.needs.disk_gb
    assert not gate(A10G).allows(card)
    cached["guoyww/animatediff-motion-adapter-v1-5-2"] = 1.8
    assert gate(A10G).allows(card)
    assert not gate(FREE_SPACE).allows(card), "it is there, and too slow"


def test_upscaling_fetches_a_second_model_and_is_refused_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = CARDS["ltx-video-0.9.8-distilled"]
    cached = {card.repo: card.needs.disk_gb}
    monkeypatch.setattr(allowed_models, "_cached_gb", lambda repo: cached.get(repo, 0.0))
    here = gate(A10G)
    here.check(card)
    with pytest.raises(KinoraError) as refused:
        here.check(card, upscale=True)
    assert refused.value.details["field"] == "upscale"
    assert refused.value.action == {"label": "Make it without upscaling", "set": {"upscale": False}}
    cached["Lightricks/ltxv-spatial-upscaler-0.9.7"] = 0.5
    here.check(card, upscale=True)


def test_loras_are_not_fetched_from_the_hub_on_a_space(tmp_path: Path) -> None:
    on_space = settings(space_id="me/kinora", data_dir=tmp_path)
    with pytest.raises(KinoraError) as refused:
        loras.check_loras([Lora(source="owner/name", weight=1.0)], on_space)
    assert refused.value.code is ErrorCode.NOT_FOUND


class Unreachable(PipelineManager):
    """Its first model cannot be had, as when the Hub has it no more."""

    asked: list[str]

    def get(
        self, model_id: str, task: Task, on_progress: Any = None, shape: ClipShape | None = None
    ) -> Any:
        self.asked.append(model_id)
        raise KinoraError(ErrorCode.MODEL_NOT_FOUND)


@pytest.mark.parametrize(("on_space", "tried"), [(True, ["first"]), (False, ["first", "far"])])
def test_a_fallback_that_would_be_downloaded_is_none_on_a_space(
    tmp_path: Path, on_space: bool, tried: list[str]
) -> None:
    far = CARDS["modelscope"].model_copy(update={"id": "far", "fallback": None})
    first = CARDS["pocket"].model_copy(update={"id": "first", "fallback": "far"})
    cards: dict[str, ModelCard] = {"first": first, "far": far}
    of = settings(space_id="me/kinora" if on_space else None, data_dir=tmp_path)
    request = GenerationRequest(prompt="a dog", model="first", seed=1)
    job = Job(
        id=new_id(), owner="visitor:me", state=State.RUNNING, request=request,
        fitted=fit(request, first, Limits()), created_at=0.0,
    )  # fmt: skip
    manager = Unreachable(cards, of)
    manager.asked = []
    with pytest.raises(KinoraError):
        model_for(job, manager, lambda _: None, tmp_path, of)
    assert manager.asked == tried
