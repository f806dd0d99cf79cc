"""The settings that the page offers to compare, with the values to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.models.cards import ModelCard
from pipelines.models.comparison import LORA_WEIGHT, MOST_VALUES
from pipelines.request import REQUEST_FIELDS, Task
from ui.form import limits_of
from ui.model_picker import Models

if TYPE_CHECKING:
    from jobs.service import JobService

LORA_WEIGHTS = (0.5, 0.8, 1.0)
Choices = list[tuple[str, str]]


def comparable_settings(
    service: JobService, models: Models, card: ModelCard, task: Task, owner: str
) -> list[dict[str, Any]]:
    """Each with its name and label; `kind` is choices, numbers or words. `values` are suggested,
    `choices` are pairs of value and label."""
    d, rules = card.defaults, card.rules
    listed = [row for row in models.offer(task)["models"] if row["level"] != "no"]
    named: Choices = [(row["id"], row["name"]) for row in listed]
    if card.id not in {id_ for id_, _ in named}:  # one that was pasted
        named.insert(0, (card.id, card.name))
    found = [_choices("model", named, [card.id])] if len(named) > 1 else []
    if rules.steps:
        usual = d.num_inference_steps
        found.append(_numbers("num_inference_steps", [usual / 2, usual, usual * 2], card))
    if rules.guidance:
        usual = d.guidance_scale or 1
        found.append(_numbers("guidance_scale", [usual / 2, usual, usual * 2], card))
    if rules.samplers:
        own: Choices = [("", "The model's own")]
        samplers = own + [(name, name) for name in rules.samplers]
        found.append(_choices("sampler", samplers, [""]))
    if rules.lora:
        found.append(_setting(LORA_WEIGHT, "LoRA weight", "numbers", list(LORA_WEIGHTS)))
    if rules.prompt:
        none: Choices = [("", "None")]
        styles = none + [(s.id, s.name) for s in service.styles.available(owner).values()]
        found += [_choices("style", styles, [""]), _setting("prompt", "Words", "words", [])]
    return found


def _numbers(name: str, values: list[float], card: ModelCard) -> dict[str, Any]:
    field = REQUEST_FIELDS[name]
    low, high = limits_of(field, card)
    digits = 0 if field.step == 1 else 1
    kept = dict.fromkeys(round(min(max(value, low), high), digits) for value in values)
    shown = [int(value) if value == int(value) else value for value in kept]
    return _setting(name, field.label, "numbers", shown)


def _choices(name: str, choices: Choices, values: list[str]) -> dict[str, Any]:
    return _setting(name, REQUEST_FIELDS[name].label, "choices", values) | {"choices": choices}


def _setting(name: str, label: str, kind: str, values: list[Any]) -> dict[str, Any]:
    return {"field": name, "label": label, "kind": kind, "values": values, "most": MOST_VALUES}
