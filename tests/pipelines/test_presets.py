"""Every card that comes with Kinora, held against the pipelines it names: nothing is downloaded."""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
import pytest
from PIL import Image

from pipelines.engine.families import load_family
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import class_name
from pipelines.models.cards import ROOT, ModelCard, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest, Task
from tests.zoo import specimens

CARDS = load_cards(ROOT / "presets" / "models")
CASES = [
    pytest.param(card, task, id=f"{card.id}-{task.value}")
    for card in CARDS.values()
    for task in card.tasks
]
NOBODY = "0" * 64


def stand_ins() -> set[tuple[str, Task, str]]:
    """(family, task, class) of the tiny pipelines that test_families.py runs."""
    found = set()
    for specimen in specimens():
        data: dict[str, Any] = specimen.card | {"id": specimen.name, "repo": "nobody/nothing"}
        card = ModelCard.model_validate(data)
        family = load_family(card.family)
        found |= {(card.family, task, class_name(card, family, task)) for task in card.tasks}
    return found


STAND_INS = stand_ins()


def call(card: ModelCard, task: Task) -> dict[str, Any]:
    """What the pipeline of this card would be called with."""
    asked: dict[str, Any] = {"prompt": "a dog", "seed": 1}
    if not card.rules.prompt:
        del asked["prompt"]
    picture = Image.new("RGB", (card.defaults.width, card.defaults.height))
    inputs = Inputs()
    if task is Task.IMAGE_TO_VIDEO:
        asked["image"] = NOBODY
        inputs = Inputs(image=picture)
        if card.rules.last_image:
            asked["last_image"] = NOBODY
            inputs = Inputs(image=picture, last_image=picture)
    elif task is Task.VIDEO_TO_VIDEO:
        asked["video"] = NOBODY
        inputs = Inputs(video=(picture,) * card.defaults.num_frames)
    fitted = fit(GenerationRequest.model_validate(asked), card, Limits())
    assert not fitted.adjustments, "a card's own defaults need no adjusting"
    return load_family(card.family).call_arguments(card, fitted, inputs)


@pytest.mark.parametrize(("card", "task"), CASES)
def test_its_call_is_one_that_the_pipeline_takes(card: ModelCard, task: Task) -> None:
    pipeline = getattr(diffusers, class_name(card, load_family(card.family), task))
    takes = inspect.signature(pipeline.__call__).parameters
    assert set(call(card, task)) <= set(takes)


@pytest.mark.parametrize(("card", "task"), CASES)
def test_a_tiny_pipeline_stands_in_for_it(card: ModelCard, task: Task) -> None:
    name = class_name(card, load_family(card.family), task)
    assert (card.family, task, name) in STAND_INS


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_what_replaces_it_is_there(card: ModelCard) -> None:
    seen = {card.id}
    while card.fallback is not None:
        other = CARDS[card.fallback]
        assert other.id not in seen, "a circle"
        assert set(card.tasks) & set(other.tasks)
        seen.add(other.id)
        card = other


@pytest.mark.parametrize("card", CARDS.values(), ids=list(CARDS))
def test_what_it_needs_is_plausible(card: ModelCard) -> None:
    if card.needs.billions and card.needs.vram_gb:
        # no less than its parameters at a byte each
        assert card.needs.vram_gb >= sum(card.needs.billions.values())
        assert card.needs.disk_gb >= sum(card.needs.billions.values())
