"""The Gradio component of each field of the form, made from the field's declaration.

The prompt, the model, the shape, the length, the seed, the last picture, the LoRAs, the style and
the wildcards' seed have components of their own in `tab`; any other field gets the component of its
kind.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipelines.models.cards import ModelCard
from pipelines.request import Task
from pipelines.request_fields import Group, Kind, RequestField
from settings import Settings
from ui.form import (
    NAMES,
    PAGE_FIELDS,
    Form,
    choices_of,
    is_offered,
    limits_of,
    offer,
)

SPECIAL = (
    "prompt", "model", "shape", "num_frames", "seed", "last_image", "loras", "style",
    "wildcard_seed",
)  # fmt: skip
BESIDE_THE_PROMPT = (Group.FROM_CLIP, Group.FROM_PICTURE)
"""What matters most to some models and others do not have: beside the prompt, not folded."""
ORDER = (gr.Slider, gr.Textbox, gr.Dropdown, gr.Radio, gr.Checkbox)


def fields_beside_the_prompt() -> list[RequestField]:
    return [field for field in _plain_fields() if field.group in BESIDE_THE_PROMPT]


def advanced_fields() -> list[RequestField]:
    """Sliders first, check boxes last."""
    fields = [field for field in _plain_fields() if field.group not in BESIDE_THE_PROMPT]
    return sorted(fields, key=lambda field: ORDER.index(component_class(field)))


def _plain_fields() -> list[RequestField]:
    return [field for name, field in PAGE_FIELDS.items() if name not in SPECIAL]


def component_class(field: RequestField) -> type[Any]:
    if field.choices_of:
        return gr.Dropdown
    match field.kind:
        case Kind.INTEGER | Kind.NUMBER:
            return gr.Slider
        case Kind.CHOICE:
            return gr.Radio
        case Kind.BOOLEAN:
            return gr.Checkbox
        case _:
            return gr.Textbox


def component(field: RequestField, card: ModelCard, task: Task, form: Form) -> Any:
    kind = component_class(field)
    more: dict[str, Any] = {}
    if kind is gr.Slider:
        more = {"step": field.step, "buttons": [], **_slider_ends(field, card)}
    elif kind is gr.Textbox:
        more = {"max_lines": 3}
    elif kind in (gr.Dropdown, gr.Radio):
        more = {"choices": choices_of(field, card)}
    return kind(
        value=getattr(form, field.name),
        label=field.label,
        info=field.hint or field.help,
        visible=_is_visible(field, card, task),
        **more,
    )


def updates(form: Form, card: ModelCard, task: Task, settings: Settings) -> list[Any]:
    """A value or an update for each control, in the form's order."""
    offered = offer(card, task, settings, form)
    special: dict[str, Any] = {
        "prompt": form.prompt,
        "model": card.id,
        "shape": gr.update(choices=offered.shapes, value=form.shape),
        "num_frames": gr.update(choices=offered.lengths, value=form.num_frames),
        "seed": form.seed,
        "last_image": form.last_image,
        "loras": list(form.loras or ()),
        "style": form.style,
        "wildcard_seed": form.wildcard_seed,
    }
    return [
        special[name] if name in special else _update(PAGE_FIELDS[name], card, task, form)
        for name in NAMES
    ]


def _update(field: RequestField, card: ModelCard, task: Task, form: Form) -> Any:
    kind = component_class(field)
    more: dict[str, Any] = {}
    if kind is gr.Slider:
        more = _slider_ends(field, card)
    elif kind is gr.Dropdown:
        more = {"choices": choices_of(field, card)}
    value = getattr(form, field.name)
    return gr.update(value=value, visible=_is_visible(field, card, task), **more)


def _slider_ends(field: RequestField, card: ModelCard) -> dict[str, float]:
    low, high = limits_of(field, card)
    if field.low_is_excluded and not field.limits:
        low += field.step
    return {"minimum": low, "maximum": max(high, low + field.step)}


def _is_visible(field: RequestField, card: ModelCard, task: Task) -> bool:
    """Where the model leaves no choice there is no slider to see."""
    low, high = limits_of(field, card)
    return is_offered(field, card, task) and (not field.is_number or low < high)


def change_event(component: Any) -> Any:
    """The event after which the estimate is made again: not at each letter or pixel."""
    if isinstance(component, gr.Slider):
        return component.release
    return component.blur if isinstance(component, gr.Textbox) else component.input
