"""The page: a wordmark, a studio for each task, the reel.

Knows how the pieces lie. What they do is in `tab`; what clients may call is in `gradio_api`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import gradio as gr

from pipelines.models.cards import ModelCard
from pipelines.request import Task
from ui import (
    edit_endpoints,
    film_endpoints,
    gradio_api,
    mcp_tools,
    prompt_endpoints,
    share_endpoints,
)
from ui.model_picker import Models
from ui.tab import PROMPT_FIELDS, SMALL, TaskTab, js_component
from web.footer_links import footer_html

if TYPE_CHECKING:
    from jobs.service import JobService
    from settings import Settings

KEEP_COPIES_S = (3600, 24 * 3600)
"""Look every hour for copies handed to API clients, and delete those older than a day."""


def build(
    service: JobService,
    cards: Mapping[str, ModelCard],
    settings: Settings,
    identify: mcp_tools.Identify | None = None,
) -> gr.Blocks:
    """`identify` returns who calls the tools; without it there are no tools."""
    with gr.Blocks(
        title="Kinora", analytics_enabled=False, fill_width=True, delete_cache=KEEP_COPIES_S
    ) as demo:
        models = Models(service.cards, settings, service.planner)
        # first, while no other endpoint has these names
        gradio_api.Endpoints(service, identify).add()
        if identify:
            mcp_tools.Tools(service, identify).add()
            prompt_endpoints.PromptEndpoints(service, identify).add()
            share_endpoints.ShareEndpoints(service, identify).add()
            edit_endpoints.EditEndpoints(service, identify).add()
            film_endpoints.FilmEndpoints(service, identify).add()
        gr.HTML("<h1>Kinora</h1>", elem_id="k-wordmark", js_on_load=None, apply_default_css=False)
        studios: dict[Task, TaskTab] = {}
        with gr.Tabs(elem_id="k-tabs"):
            for task in PROMPT_FIELDS:
                able = (card for card in cards.values() if task in card.tasks)
                if not any(map(models.allowed.allows, able)):
                    continue
                with gr.Tab(PROMPT_FIELDS[task].tab, id=task.value):
                    studios[task] = TaskTab(task, service, cards, settings, models)
        js_component("reel", Task.TEXT_TO_VIDEO)
        links = f'<a href="verify">Verify a clip</a> {footer_html(settings)}'.strip()
        gr.HTML(links, elem_id="k-verify", js_on_load=None, apply_default_css=False)
        js_component("storyboard", Task.TEXT_TO_VIDEO)
        js_component("language", Task.TEXT_TO_VIDEO)
        js_component("gallery", Task.TEXT_TO_VIDEO)
        for studio in studios.values():
            studio.wire(studios)
            # a LoRA that was added since the page was built is offered
            demo.load(studio.handlers.facts_of, studio.model, studio.facts, **SMALL)
            demo.load(
                studio.handlers.estimate, [*studio.controls, studio.stage], studio.outlook, **SMALL
            )
    demo.queue(api_open=False, max_size=2 * settings.max_queue, default_concurrency_limit=None)
    return demo
