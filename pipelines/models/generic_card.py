"""A card for any pipeline class: what it can do is read from its signature and configurations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from errors import ErrorCode, KinoraError
from pipelines.models.call_signatures import REQUIRED, CallSignature, call_signature
from pipelines.models.cards import ModelCard, Needs
from pipelines.models.class_defaults import ClassDefaults
from pipelines.models.class_facts import Facts
from pipelines.models.class_table import SIBLINGS, TAKES, call_of, takes_last_image
from pipelines.models.failures import Reason, failure
from pipelines.models.rules import FAMILY_OF_CLASS, RULES
from pipelines.request import Task

if TYPE_CHECKING:
    from pipelines.models.repository import Index

KNOWN_ARGUMENTS = (
    "prompt",
    "image",
    "video",
    "height",
    "width",
    "num_inference_steps",
    "guidance_scale",
)
"""Required arguments that a request or a card always has."""


def generic_card(
    name: str,
    index: Index,
    configs: Mapping[str, Mapping[str, Any]],
    cards: Iterable[ModelCard] = (),
) -> ModelCard:
    """A card from model_index.json and the components' configurations (component -> config.json).

    Of `cards`, one of the same family fills in defaults that the class leaves open, and what the
    machine must have. Raises KinoraError(MODEL_REFUSED) for a pipeline that makes no videos or
    requires an argument that no request has."""
    call = call_signature(index.class_name)
    if call is None:
        raise failure(Reason.UNKNOWN_CLASS, name, index.class_name)
    if not call.returns_frames or "scheduler" not in index.components:
        raise failure(Reason.NOT_VIDEO, name, index.class_name)
    missing = [
        each
        for each, default in call.parameters.items()
        if default is REQUIRED and each not in KNOWN_ARGUMENTS
    ]
    if missing:
        raise KinoraError(
            ErrorCode.MODEL_REFUSED,
            f"{name} needs {missing[0].replace('_', ' ')}, which Kinora cannot give it. "
            "Choose another model.",
            details={"reason": "not_video", "model": name},
        )
    facts = Facts(index, configs, call)
    classes = _classes(facts)
    if not classes:
        raise failure(Reason.NOT_VIDEO, name, index.class_name)
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
        about=_about(facts),
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

    def likeness(card: ModelCard) -> tuple[bool, bool, float]:
        side = (card.defaults.width * card.defaults.height) ** 0.5
        return (
            set(card.tasks) == set(classes),
            card.rules.size.of == facts.size_rule(RULES[family].size).of,
            -abs(side - target) if isinstance(target, int) else 0.0,
        )

    return max(alike, key=likeness, default=None)


def _classes(facts: Facts) -> dict[Task, str]:
    """Task -> class: what its own arguments allow, and what its siblings add."""
    found = dict.fromkeys(_tasks(facts.call), facts.class_name)
    for sibling in SIBLINGS.get(facts.class_name, ()):
        if sibling.holds(facts):
            found[sibling.task] = sibling.class_name
    return {task: found[task] for task in Task if task in found}


def _tasks(call: CallSignature) -> tuple[Task, ...]:
    """The tasks that its arguments allow; an optional image or video adds one."""
    tasks: list[Task] = []
    works_over = call.requires("video") or (call.takes("video") and call.takes("strength"))
    if call.takes("prompt") and not call.requires("image") and not call.requires("video"):
        tasks.append(Task.TEXT_TO_VIDEO)
    if call.takes("image"):
        tasks.append(Task.IMAGE_TO_VIDEO)
    if works_over and not call.requires("image"):
        tasks.append(Task.VIDEO_TO_VIDEO)
    # without a number of frames only a given clip can set the length
    if not call.frames_name and tasks != [Task.VIDEO_TO_VIDEO]:
        tasks = [task for task in tasks if task is Task.VIDEO_TO_VIDEO]
    return tuple(tasks)


def _takes(facts: Facts, classes: Mapping[Task, str], family: str) -> dict[Any, bool]:
    """Which inputs have an effect: as the class says, not as the family's other classes do."""
    call = facts.call
    takes: dict[Any, bool] = {
        "prompt": call.takes("prompt"),
        "negative_prompt": call.takes_negative_prompt,
        "guidance": call.takes_guidance and not facts.ignores_guidance,
        "steps": call.takes("num_inference_steps"),
    }
    last = takes_last_image(facts)
    if last is not None or family == "generic":
        takes["last_image"] = bool(last)
    if (worker := classes.get(Task.VIDEO_TO_VIDEO)) is not None:
        takes["strength"] = _takes_strength(worker)
    return takes | dict(TAKES.get(facts.class_name, {}))


def _takes_strength(class_name: str) -> bool:
    """By an argument of its own, or as part of the conditions that a family makes."""
    call = call_signature(class_name)
    return call is not None and (call.takes("strength") or call.takes("conditions"))


def _about(facts: Facts) -> str:
    return f"A {facts.class_name}."
