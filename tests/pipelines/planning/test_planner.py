"""Which model works over a clip where none is named."""

from __future__ import annotations

import pytest

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ROOT, ModelCard, load_cards
from pipelines.models.selection import default_card
from pipelines.planning import Machine, Planner
from pipelines.planning.planner import default_video_to_video_model
from pipelines.request import Task
from settings import Settings

CARDS = load_cards(ROOT / "presets" / "models")
LAPTOP = Machine(ram_gb=8, free_disk_gb=100, cpu_count=4)
SERVER = Machine(
    ram_gb=200, free_disk_gb=500, cpu_count=16, gpu_name="NVIDIA H100 80GB HBM3", vram_gb=79.6
)


def without(*ids: str) -> dict[str, ModelCard]:
    return {name: card for name, card in CARDS.items() if name not in ids}


@pytest.fixture
def settings() -> Settings:
    return Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


def test_the_usual_model_if_it_can_and_runs(settings: Settings) -> None:
    wan = CARDS["wan-2.1-vace-1.3b"]
    assert default_video_to_video_model(CARDS, Planner(settings, SERVER), wan) == wan.id


def test_else_a_relative_of_it_that_runs(settings: Settings) -> None:
    """The usual model is quick and cannot; what it was made of can."""
    usual = default_card(CARDS, settings)
    assert usual and Task.VIDEO_TO_VIDEO not in usual.tasks
    for machine in (LAPTOP, SERVER):
        chosen = CARDS[default_video_to_video_model(CARDS, Planner(settings, machine), usual)]
        assert chosen.repo == usual.repo


def test_else_one_that_runs_here(settings: Settings) -> None:
    chosen = default_video_to_video_model(
        CARDS, Planner(settings, LAPTOP), CARDS["wan-2.1-vace-14b"]
    )
    assert CARDS[chosen].local_path is not None
    for usual in (None, CARDS["svd"]):
        chosen = default_video_to_video_model(without("pocket"), Planner(settings, SERVER), usual)
        assert Task.VIDEO_TO_VIDEO in CARDS[chosen].tasks
        assert Planner(settings, SERVER).verdict(CARDS[chosen]).level == "runs"


def test_where_none_runs_those_that_could_are_named(settings: Settings) -> None:
    with pytest.raises(KinoraError, match="These can: ") as refused:
        default_video_to_video_model(without("pocket"), Planner(settings, LAPTOP), None)
    assert refused.value.code is ErrorCode.TASK_NOT_SUPPORTED
    assert "ltx-2" in refused.value.details["models"]
    words = {name: card for name, card in CARDS.items() if Task.VIDEO_TO_VIDEO not in card.tasks}
    with pytest.raises(KinoraError, match="No model here can work over"):
        default_video_to_video_model(words, Planner(settings, SERVER), None)
