"""Adds an adjustment for each field of a request that has no effect on this model or task."""

from __future__ import annotations

from pipelines.models.cards import ModelCard
from pipelines.request import Adjustment, Focus, GenerationRequest


def note_unused_fields(
    request: GenerationRequest, card: ModelCard, guidance: float, changes: list[Adjustment]
) -> None:
    """`guidance` is the fitted value, which decides whether a negative prompt has an effect."""
    rules = card.rules

    def note(field: str, requested: float | str, used: float | str, why: str) -> None:
        changes.append(Adjustment(field=field, asked=requested, used=used, sentence=why))

    if request.prompt.strip() and not rules.prompt:
        note("prompt", request.prompt, "", f"{card.name} takes no words: the prompt is not used.")
    if request.negative_prompt and not rules.negative_prompt:
        note(
            "negative_prompt",
            request.negative_prompt,
            "",
            f"{card.name} takes no negative prompt: it is not used.",
        )
    elif (
        request.negative_prompt
        and request.negative_prompt != card.defaults.negative_prompt
        and rules.negative_by_guidance
        and guidance <= 1
    ):
        note(
            "negative_prompt",
            request.negative_prompt,
            "",
            "A negative prompt works by guidance above 1 alone: it is not used.",
        )
    requested = request.guidance_scale
    if requested is not None and not rules.guidance and requested != guidance:
        note(
            "guidance_scale",
            requested,
            guidance,
            f"{card.name} works without guidance: the {requested:g} you asked for is not used.",
        )
    if request.strength is not None and not request.video:
        note(
            "strength",
            request.strength,
            "",
            "Strength belongs to a clip that is worked over: without one it is not used.",
        )
    elif request.strength is not None and not rules.strength:
        note(
            "strength",
            request.strength,
            "",
            f"{card.name} has no strength setting: it is not used.",
        )
    steps, own = request.num_inference_steps, card.defaults.num_inference_steps
    if steps is not None and not rules.steps and steps != own:
        note(
            "num_inference_steps",
            steps,
            own,
            f"{card.name} has its own number of steps: the {steps} you asked for are not used.",
        )
    if request.motion_bucket_id is not None and not rules.motion:
        note(
            "motion_bucket_id",
            request.motion_bucket_id,
            "",
            f"{card.name} has no motion setting: it is not used.",
        )
    if request.focus != Focus() and not (request.image or request.video or request.continue_from):
        note(
            "focus",
            f"{request.focus.x:g}, {request.focus.y:g}",
            "",
            "The focus belongs to a picture or clip: without one it is not used.",
        )
