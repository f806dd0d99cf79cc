"""The page can be built for every card there is, and says in its schema what clients may call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest

from app import executor_for
from jobs.service import JobService
from jobs.store import JobStore
from pipelines.models.cards import ModelCard, load_cards
from settings import ROOT, Settings
from ui.page import build


@pytest.fixture
def service(tiny_settings: Settings, tiny_cards: dict[str, ModelCard]) -> Iterator[JobService]:
    store = JobStore(tiny_settings.database_url)
    idle = JobService(store, executor_for(tiny_settings), tiny_cards, tiny_settings)
    yield idle
    idle.close()


def page(service: JobService, cards: dict[str, ModelCard]) -> gr.Blocks:
    async def make() -> gr.Blocks:
        return build(service, cards, service.settings)

    return asyncio.run(make())  # without a running loop Gradio makes one and never closes it


def components(demo: gr.Blocks, kind: type) -> dict[str, Any]:
    return {str(getattr(b, "label", "")): b for b in demo.blocks.values() if isinstance(b, kind)}


def test_the_page_builds_for_the_models_that_are_shipped(service: JobService) -> None:
    page(service, load_cards(ROOT / "presets" / "models"))


def test_where_a_model_leaves_no_choice_there_is_no_slider(
    service: JobService, tiny_cards: dict[str, ModelCard]
) -> None:
    card = tiny_cards["pocket"]
    limits = card.limits.model_copy(update={"min_fps": 8, "max_fps": 8})
    demo = page(service, {"pocket": card.model_copy(update={"limits": limits})})
    sliders = components(demo, gr.Slider)
    assert sliders["Frames per second"].visible is False
    assert sliders["Steps"].visible is True


def test_a_model_for_words_only_has_no_place_in_the_image_tab(
    service: JobService, tiny_cards: dict[str, ModelCard]
) -> None:
    card = tiny_cards["pocket"]
    demo = page(service, {"pocket": card.model_copy(update={"tasks": card.tasks[:1]})})
    assert [b.label for b in demo.blocks.values() if isinstance(b, gr.Tab)] == ["Text to video"]


def test_clients_see_the_endpoints_and_which_parameters_may_be_left_out(
    service: JobService, tiny_cards: dict[str, ModelCard]
) -> None:
    described = page(service, tiny_cards).get_api_info()["named_endpoints"]
    assert set(described) == {
        "/text_to_video", "/image_to_video", "/video_to_video", "/models", "/estimate", "/health",
    }  # fmt: skip
    for name, needed in (
        ("/text_to_video", {"prompt"}),
        ("/image_to_video", {"image"}),
        ("/video_to_video", {"video", "prompt"}),
    ):
        required = {
            p["parameter_name"]
            for p in described[name]["parameters"]
            if not p.get("parameter_has_default")
        }
        assert required == needed


def test_the_stage_has_a_scene_only_where_the_operator_set_one(
    service: JobService, tiny_cards: dict[str, ModelCard]
) -> None:
    def stages() -> list[str]:
        scripts = [str(b.js_on_load) for b in components_of(page(service, tiny_cards), gr.HTML)]
        return [script for script in scripts if '.push(["stage"' in script.replace("'", '"')]

    plain = stages()
    assert plain and all('"scene": null' in script for script in plain)
    scene = "https://my.spline.design/a-scene-1a2b/"
    service.settings = service.settings.model_copy(update={"spline_scene": scene})
    assert all(f'"scene": "{scene}"' in script for script in stages())


def components_of(demo: gr.Blocks, kind: type) -> list[Any]:
    return [block for block in demo.blocks.values() if isinstance(block, kind)]
