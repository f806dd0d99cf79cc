"""Which model is used where none is named: what cards and settings say."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ROOT, ModelCard, load_cards
from pipelines.models.selection import (
    default_card,
    default_model,
    find_card,
    pick_card,
    preload_models,
)
from pipelines.request import GenerationRequest, Task
from settings import Settings

T2V, I2V, V2V = Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO, Task.VIDEO_TO_VIDEO
SHIPPED = load_cards(ROOT / "presets" / "models")


@pytest.fixture
def card(tiny_cards: dict[str, ModelCard]) -> ModelCard:
    return next(iter(tiny_cards.values()))


def named(card: ModelCard, name: str, *tasks: Task, **other: object) -> ModelCard:
    plain: dict[str, object] = {"id": name, "tasks": tasks, "repo": name, "usual": False}
    return card.model_copy(update=plain | other)


def by_id(*cards: ModelCard) -> Mapping[str, ModelCard]:
    return {card.id: card for card in cards}


def settings(**values: str) -> Settings:
    return Settings(_env_file=None, **values)  # pyright: ignore


def test_of_the_shipped_cards_one_is_the_usual_and_it_runs_anywhere() -> None:
    (usual,) = [card for card in SHIPPED.values() if card.usual]
    assert default_card(SHIPPED, settings()) is usual
    assert usual.local_path is not None, "it is here"
    assert usual.needs.vram_gb is None, "and needs no GPU"
    assert preload_models(SHIPPED, settings()) == [(usual.id, T2V), (usual.id, I2V)]


def test_what_the_usual_model_cannot_its_relative_does() -> None:
    usual = default_card(SHIPPED, settings())
    assert usual and V2V not in usual.tasks
    assert SHIPPED[default_model(V2V, SHIPPED, settings())].repo == usual.repo


def test_the_settings_go_before_the_cards(card: ModelCard) -> None:
    cards = by_id(named(card, "a", T2V, I2V, usual=True), named(card, "b", T2V, I2V))
    assert default_model(T2V, cards, settings()) == "a"
    told = settings(DEFAULT_TEXT_TO_VIDEO_MODEL="b")
    assert default_model(T2V, cards, told) == "b"
    assert default_model(I2V, cards, told) == "b", "one model, if it can do both"
    told = settings(DEFAULT_TEXT_TO_VIDEO_MODEL="b", DEFAULT_IMAGE_TO_VIDEO_MODEL="a")
    assert preload_models(cards, told) == [("b", T2V), ("a", I2V)]


def test_a_name_that_nobody_has_is_said_not_replaced(card: ModelCard) -> None:
    told = settings(DEFAULT_TEXT_TO_VIDEO_MODEL="gone")
    with pytest.raises(KinoraError, match="no model called “gone”") as refused:
        pick_card(GenerationRequest(prompt="x"), by_id(card), told)
    assert refused.value.code is ErrorCode.UNKNOWN_MODEL


def test_a_folder_of_ones_own_needs_no_settings(card: ModelCard) -> None:
    far = named(card, "far/away", T2V)
    here = named(card, "here", T2V, repo=card.repo)
    assert default_model(T2V, by_id(far, here), settings()) == "here", "no download"
    assert default_model(T2V, by_id(far), settings()) == "far/away"


def test_what_no_model_can_do_is_said_and_not_loaded(card: ModelCard) -> None:
    cards = by_id(named(card, "words", T2V))
    with pytest.raises(KinoraError, match="No model here can animate a picture") as refused:
        default_model(I2V, cards, settings())
    assert refused.value.code is ErrorCode.TASK_NOT_SUPPORTED
    assert preload_models(cards, settings()) == [("words", T2V)]


def test_a_repository_means_the_card_that_takes_it_as_it_is() -> None:
    (distilled,) = [card for card in SHIPPED.values() if card.usual]
    assert distilled.parts
    assert not find_card(distilled.repo, SHIPPED).parts


@pytest.mark.parametrize(
    ("plain", "others"),
    [
        ("ltx-2.3", ["ltx-2.3-in-context"]),
        ("ltx-2", ["ltx-2-in-context"]),
        ("ltx-video-0.9.8-distilled", ["ltx-video-0.9.8-long"]),
        ("animatediff-v2", ["animatediff-v3", "animatediff-lightning", "animatelcm", "pia"]),
    ],
)
def test_of_several_cards_the_plainest_has_the_repository(plain: str, others: list[str]) -> None:
    card = SHIPPED[plain]
    assert {SHIPPED[name].repo for name in others} == {card.repo}
    assert find_card(card.repo, SHIPPED) is card
