"""One tab: stage, prompt, chips, folds, and what happens when they are used.

What a press does is in `handlers`. The tabs are the same class; their own texts are in
`PROMPT_FIELDS`, and what a model does not take is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from pipelines.models.cards import ModelCard
from pipelines.request import MAX_SEED, Task
from pipelines.request_fields import RequestField
from ui import controls
from ui import form as slate
from ui.explore_handlers import ExploreHandlers
from ui.handlers import about, knowledge_line
from ui.model_picker import Models
from ui.prompt_handlers import MIRRORED, READ_WORDS, PromptHandlers, words_at_first
from ui.restore_handlers import RestoreHandlers

if TYPE_CHECKING:
    from jobs.service import JobService
    from settings import Settings

STAGE_EVENTS = (
    "picked",
    "again",
    "another",
    "onward",
    "restore",
    "repair",
    "develop",
    "drive",
    "refill",
)
EXPLORE_EVENTS = ("changed", "full", "remake", "planned", "many")
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Not drawn by Gradio (the stage shows progress itself) and not part of the API."""
SMALL: dict[str, Any] = QUIET | {"queue": False}
"""For handlers that return at once. Presses that start a clip go through Gradio's queue, because
that is where a Space passes on whose GPU quota the clip uses."""
STARTS: dict[str, Any] = QUIET | {"concurrency_limit": None}
LASTS: dict[str, Any] = STARTS | {"trigger_mode": "multiple"}
"""On ZeroGPU such an event lasts as long as its clip, and must hold up no other one."""


@dataclass(frozen=True)
class PromptFields:
    tab: str
    placeholder: str


PROMPT_FIELDS = {
    Task.TEXT_TO_VIDEO: PromptFields(
        tab="Text to video",
        placeholder="What should happen?",
    ),
    Task.IMAGE_TO_VIDEO: PromptFields(
        tab="Image to video",
        placeholder="How should it move?",
    ),
    Task.VIDEO_TO_VIDEO: PromptFields(
        tab="Video to video",
        placeholder="What should it become?",
    ),
}


def js_component(name: str, task: Task, value: Any = None, **options: Any) -> gr.HTML:
    """A piece of the page drawn by our own script; it gets data, never HTML."""
    elem_classes = ["k-part", f"k-part-{name}"]
    data = json.dumps({"task": task.value, **options})
    # main.js mounts what waits in this list when it has loaded, and from then on what is pushed
    script = f"(window.kinora ??= []).push([{name!r}, element, {{trigger, props, watch}}, {data}])"
    return gr.HTML(
        value,
        html_template="",
        js_on_load=script,
        apply_default_css=False,
        elem_classes=elem_classes,
    )


def dispatch(task: str, action: str) -> str:
    """JavaScript that passes a press of one of Gradio's buttons on to our own script."""
    event = json.dumps({"detail": {"task": task, "action": action}})
    return f"document.dispatchEvent(new CustomEvent('kinora:action', {event}))"


class TaskTab:
    """Builds the tab's components, then wires them. One instance per tab."""

    def __init__(
        self,
        task: Task,
        service: JobService,
        cards: Mapping[str, ModelCard],
        settings: Settings,
        models: Models,
    ) -> None:
        self.task = task
        self.cards = {id_: card for id_, card in cards.items() if task in card.tasks}
        self.handlers = ExploreHandlers(task, service, self.cards, settings, models)
        self.prompts = PromptHandlers(self.handlers)
        self.restoring = RestoreHandlers(self.handlers)
        self.card = self.handlers.card
        self.facts_at_first = models.facts(self.card, task)
        self.offer = slate.offer(self.card, task, settings)
        self.plain: dict[str, Any] = {}
        """The controls that are built from a field's declaration alone."""
        self._build()

    # ---- what is seen

    def _build(self) -> None:
        d, words = self.card.defaults, PROMPT_FIELDS[self.task]
        with gr.Column(elem_id=f"k-{self.task.value}", elem_classes="k-studio"):
            self.stage = js_component(
                "stage",
                self.task,
                aspect=[d.width, d.height],
                line=knowledge_line(self.card),
                events=STAGE_EVENTS,
                scene=self.handlers.settings.spline_scene,
            )
            self.post = js_component("post", self.task)
            self.mirror = js_component("mirror", self.task, words_at_first(self.offer.form))
            with gr.Column(elem_classes="k-dock"):
                self._build_slate(words)
                self.words = js_component(
                    "words", self.task, None, events=["drawn", "switched", "filled", "board"]
                )
                self._build_chips()
                self.style_strip = js_component("strip", self.task)
                self._build_beside_the_prompt()
                self.outlook = js_component("outlook", self.task)
            self.examples = js_component(
                "examples", self.task, self.handlers.examples(self.card), events=["chosen"]
            )
            with gr.Column(elem_classes="k-folds"):
                self._build_advanced()
                with gr.Accordion("What to write", open=False, elem_classes="k-fold"):
                    self.knows = js_component("knows", self.task, about(self.card))

    def _build_slate(self, words: PromptFields) -> None:
        with gr.Row(elem_classes="k-slate"):
            self.facts = js_component("facts", self.task, self.facts_at_first)
            self.prompt = gr.Textbox(
                label="Prompt",
                show_label=False,
                container=False,
                placeholder=words.placeholder,
                lines=1,
                max_lines=3,
                scale=1,
                elem_classes="k-prompt",
                html_attributes=gr.InputHTMLAttributes(autocomplete="off", enterkeyhint="go"),
            )
            can_improve = self.handlers.settings.enhancer_url is not None
            self.improve = js_component("improve", self.task, None, offered=can_improve)
            self.finish = gr.Button("Finish now", elem_classes="k-stop k-finish", min_width=0)
            self.discard = gr.Button("Discard", elem_classes="k-stop k-discard", min_width=0)
            self.explore = js_component("explore", self.task, None, events=EXPLORE_EVENTS)
            self.generate = gr.Button(
                "Generate", variant="primary", elem_classes="k-generate", min_width=0
            )

    def _build_chips(self) -> None:
        form = self.offer.form
        with gr.Row(elem_classes="k-chips"):
            self.model = js_component(
                "picker", self.task, self.card.id, title=self.card.name, events=["chosen"]
            )
            self.shape = gr.Dropdown(
                self.offer.shapes,
                value=form.shape,
                label="Shape",
                elem_classes="k-chip",
                min_width=0,
            )
            self.frames = gr.Dropdown(
                self.offer.lengths,
                value=form.num_frames,
                label="Length",
                elem_classes="k-chip k-chip-short",
                min_width=0,
            )
            with gr.Row(elem_classes="k-chip-seed"):
                self.seed = gr.Textbox(
                    label="Seed",
                    placeholder="random",
                    max_lines=1,
                    elem_classes="k-chip k-chip-number",
                    min_width=0,
                    html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
                )
                self.dice = gr.Button("Roll a seed", elem_classes="k-dice", min_width=0)
            self.last_image = js_component("ending", self.task, None, events=["picked"])
            self.style = js_component("style", self.task, None, events=["chosen"])
            self.looks = js_component("looks", self.task, None, events=["saved", "applied"])

    def _build_beside_the_prompt(self) -> None:
        with gr.Row(elem_classes="k-own"):
            for field in controls.fields_beside_the_prompt():
                self._build_control(field)

    def _build_advanced(self) -> None:
        fields = controls.advanced_fields()
        below = [f for f in fields if controls.component_class(f) is gr.Checkbox]
        with gr.Accordion("Advanced", open=False, elem_classes="k-fold k-advanced"):
            with gr.Row(elem_classes="k-grid"):
                for field in fields:
                    if field.name == "negative_prompt":
                        self._build_negative_prompt(field)
                    elif field not in below:
                        self._build_control(field)
            for field in below:
                self._build_control(field)
            self.loras = js_component("loras", self.task, [])
            self.reset = gr.Button("Reset all", size="sm", elem_classes="k-reset", min_width=0)

    def _build_negative_prompt(self, field: RequestField) -> None:
        with gr.Column(min_width=0, elem_classes="k-negative"):
            self._build_control(field)
            self.negative = js_component("negative", self.task, None, events=["filled"])

    def _build_control(self, field: RequestField) -> None:
        self.plain[field.name] = controls.component(field, self.card, self.task, self.offer.form)

    @property
    def controls(self) -> list[Any]:
        """In the order of the form."""
        special = {
            "prompt": self.prompt,
            "model": self.model,
            "shape": self.shape,
            "num_frames": self.frames,
            "seed": self.seed,
            "loras": self.loras,
            "last_image": self.last_image,
            "style": self.style,
            "wildcard_seed": self.words,
        }
        return [(special | self.plain)[name] for name in slate.NAMES]

    # ---- what happens

    def wire(self, others: Mapping[Task, TaskTab]) -> None:
        task = self.task.value
        inputs = [*self.controls, self.stage, self.explore]
        estimate = {
            "fn": self.handlers.outlook,
            "inputs": inputs,
            "outputs": self.outlook,
            **SMALL,
        }

        starts = LASTS if self.handlers.service.needs_request else STARTS
        start = f"(...args) => {{ {dispatch(task, 'start')}; return args; }}"
        lost = {"fn": None, "js": f"() => {dispatch(task, 'no answer')}", **QUIET}
        self.generate.click(self.handlers.press, inputs, self.post, js=start, **starts).failure(
            **lost
        )
        self.finish.click(None, js=f"() => {dispatch(task, 'finish')}", **QUIET)
        self.discard.click(None, js=f"() => {dispatch(task, 'discard')}", **QUIET)
        for event, handler in (("again", self.handlers.repeat), ("another", self.handlers.vary)):
            getattr(self.stage, event)(handler, None, self.post, **starts).failure(**lost)
        explore = (("full", self.handlers.render), ("remake", self.handlers.make_again))
        for event, handler in explore:
            getattr(self.explore, event)(handler, None, self.post, **starts).failure(**lost)
        self.explore.changed(**estimate)
        self.explore.planned(
            self.handlers.plan, inputs, self.post, trigger_mode="always_last", **SMALL
        )
        self.explore.many(self.handlers.start_plan, inputs, self.post, **starts).failure(**lost)

        facts = {"fn": self.handlers.facts_of, "inputs": self.model, "outputs": self.facts, **SMALL}
        self.stage.restore(self.handlers.restore, None, self.controls, **SMALL).then(
            **estimate
        ).then(**facts)
        self.stage.refill(
            self.restoring.refill, self.controls, [*self.controls, self.post], **SMALL
        ).then(**estimate).then(**facts)
        self.stage.repair(
            self.handlers.repair, self.controls, [*self.controls, self.post], **SMALL
        ).then(**estimate).then(**facts)
        self.stage.develop(self.handlers.retry_decode, None, self.post, **starts).failure(**lost)
        self.stage.drive(self.handlers.drive, None, self.post, **LASTS)
        self.stage.picked(**estimate)
        image = others.get(Task.IMAGE_TO_VIDEO)
        if image is not None:
            self.stage.onward(
                self.handlers.use_last_frame, None, [image.prompt, self.post], **SMALL
            )

        self._wire_words(estimate, facts)
        board = [*self.controls, self.stage]
        self.words.board(self.prompts.begin_storyboard, board, self.post, **SMALL)
        self.dice.click(
            None,
            None,
            self.seed,
            js=f"() => String(Math.floor(Math.random() * {MAX_SEED + 1}))",
            **QUIET,
        )
        self.reset.click(
            self.handlers.reset, [self.prompt, self.model], self.controls, **SMALL
        ).then(**estimate)
        self.model.chosen(
            self.handlers.change_model,
            self.controls,
            [*self.controls, self.knows, self.examples, self.facts, self.post],
            **SMALL,
        ).then(**estimate)
        self.last_image.picked(**estimate)
        fps = self.plain["fps"]
        fps.release(self.handlers.change_fps, [self.model, fps, self.frames], self.frames, **SMALL)
        self.examples.chosen(
            self.handlers.choose_example, [self.model], [self.prompt, self.seed, self.post], **SMALL
        )
        gr.on(
            [
                *map(controls.change_event, [self.prompt, self.shape, self.frames]),
                *map(controls.change_event, self.plain.values()),
            ],
            trigger_mode="always_last",
            **estimate,
        )

    def _wire_words(self, estimate: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Styles, wildcards, looks, and what the page shows of the prompt as it is typed."""
        by_name = dict(zip(slate.NAMES, self.controls, strict=True))
        mirrored = [by_name[name] for name in MIRRORED]
        gr.on(
            [each.change for each in mirrored],
            None,
            mirrored,
            self.mirror,
            js=READ_WORDS,
            trigger_mode="always_last",
            **SMALL,
        )
        wildcards, negative = by_name["wildcards"], by_name["negative_prompt"]
        self.words.switched(None, None, wildcards, js="() => true", **SMALL)
        for source in (self.words, self.negative):
            source.filled(self.prompts.fill_negative_prompt, None, negative, **SMALL)
        self.style.chosen(**estimate)
        self.looks.saved(self.prompts.save_look, self.controls, self.looks, **SMALL)
        self.looks.applied(
            self.prompts.apply_look, self.controls, [*self.controls, self.looks], **SMALL
        ).then(**estimate).then(**facts)
