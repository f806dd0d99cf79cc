"""A card for any pipeline class: what it can do is read from its signature and configurations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.models.call_roles import control_argument, last_picture_argument
from pipelines.models.call_signatures import call_signature
from pipelines.models.cards import ModelCard, Needs
from pipelines.models.class_defaults import ClassDefaults
from pipelines.models.class_facts import Facts
from pipelines.models.class_table import TAKES, call_of, takes_last_image
from pipelines.models.class_tasks import tasks_of
from pipelines.models.failures import Reason, failure
from pipelines.models.rules import FAMILY_OF_CLASS, RULES
from pipelines.request import Task

if TYPE_CHECKING:
    from pipelines.models.repository import Index


def generic_card(
    name: str,
    index: Index,
    configs: Mapping[str, Mapping[str, Any]],
    cards: Iterable[ModelCard] = (),
) -> ModelCard:
    """A card from model_index.json and the components' configurations (component -> config.json).

    Of `cards`, one of the same family fills in defaults that the class leaves open, and what the
    machine must have. Raises KinoraError(MODEL_REFUSED) for a pipeline that makes no videos, or
    that needs an input or a package that is not there."""
    call = call_signature(index.class_name)
    if call is None:
        raise failure(Reason.UNKNOWN_CLASS, name, index.class_name)
    facts = Facts(index, configs, call)
    classes = tasks_of(facts, name)
    family = FAMILY_OF_CLASS.get(index.class_name, "generic")
    rules = RULES[family] if family != "generic" else None
    size = facts.size_rule(rules and rules.size)
    frames = facts.frame_rule(rules and rules.frames)
    like = similar_card(family, classes, facts, cards)
    made = ClassDefaults(facts, like, frames, size)
    defaults = made.defaults()
    return ModelCard(
        id="generic",
        name=name,
        family=family,
        repo=name,
        tasks=tuple(classes),
        license="see the model's page",
        about=_about(facts, classes),
        classes=classes,
        takes=_takes(facts, classes, family),
        call=call_of(facts, family),
        defaults=defaults,
        limits=made.limits(defaults),
        shapes=made.shapes(defaults),
        needs=Needs(ram_gb=1, disk_gb=0.01),
        size=size,
        frames=frames,
    )


def similar_card(
    family: str, classes: Mapping[Task, str], facts: Facts, cards: Iterable[ModelCard]
) -> ModelCard | None:
    """The card of the family for the same tasks and the most similar configurations."""
    # the included models are tiny, so their figures do not fit others of the family
    alike = [c for c in cards if c.family == family and family != "generic" and not c.is_local]
    target = facts.denoiser.get("target_size")

    def likeness(card: ModelCard) -> tuple[bool, bool, bool, float]:
        side = (card.defaults.width * card.defaults.height) ** 0.5
        return (
            set(card.tasks) == set(classes),
            card.rules.size == facts.size_rule(RULES[family].size),
            card.rules.frames == facts.frame_rule(RULES[family].frames),
            -abs(side - target) if isinstance(target, int) else 0.0,
        )

    return max(alike, key=likeness, default=None)


def _takes(facts: Facts, classes: Mapping[Task, str], family: str) -> dict[Any, bool]:
    """Which inputs have an effect: as the class says, not as the family's other classes do."""
    call = facts.call
    takes: dict[Any, bool] = {
        "prompt": call.takes("prompt"),
        "negative_prompt": call.takes_negative_prompt,
        "guidance": call.takes_guidance and not facts.ignores_guidance,
        "steps": call.takes("num_inference_steps"),
    }
    if last_picture_argument(call) or family == "generic":
        takes["last_image"] = takes_last_image(facts)
    if (worker := classes.get(Task.VIDEO_TO_VIDEO)) is not None:
        takes["strength"] = _takes_strength(worker)
    return takes | dict(TAKES.get(facts.class_name, {}))


def _takes_strength(class_name: str) -> bool:
    """By an argument of its own, or as part of the conditions that a family makes."""
    call = call_signature(class_name)
    return call is not None and (call.takes("strength") or call.takes("conditions"))


def _about(facts: Facts, classes: Mapping[Task, str]) -> str:
    sentences = [f"A {facts.class_name}, pasted by its name."]
    if Task.VIDEO_TO_VIDEO in classes and control_argument(facts.call):
        sentences.append("The clip that it works over is its control, such as depth or edges.")
    if facts.call.takes("num_inference_steps"):
        sentences.append(
            "Steps and guidance are those of its class: a distilled model needs fewer steps, and "
            "usually a guidance of 1."
        )
    return " ".join(sentences)
