"""Drafts: quick versions of a clip with different seeds, to choose the one that is rendered fully.

Pure: what a draft of a request is, which seeds it gets, and the request of the full clip.
"""

from __future__ import annotations

import hashlib
import math

from pydantic import TypeAdapter

from errors import ErrorCode, KinoraError
from pipelines.field_types import integer_as_typed
from pipelines.models.cards import DraftRules, ModelCard
from pipelines.request import MAX_SEED, Adjustment, FittedRequest, GenerationRequest

MIN_DRAFTS, MAX_DRAFTS = 2, 8
USUAL_DRAFTS = 4
WHOLE = TypeAdapter(int)
FIELD = "drafts"
"""The name under which every interface takes their number."""
SHARE_OF_STEPS = 3
"""A draft takes a third of the model's steps, where its card does not say."""
FEWEST_STEPS = 4
FEW_STEPS = 8
FEW_WITHOUT_GUIDANCE = 16
"""A model that needs no more steps than these is distilled, and with fewer it makes noise."""
SAME_SHAPE = math.log(1.05)
SMALLEST_SCALE = 0.5
"""Smaller named sizes are not used for drafts: too little would be left of the composition."""


def parse_count(value: object) -> int:
    """How many drafts, from a form, JSON or a command line. Raises KinoraError(INVALID_INPUT)."""
    try:
        count = WHOLE.validate_python(integer_as_typed(value))
    except ValueError:  # pydantic's is one too
        count = 0
    if not MIN_DRAFTS <= count <= MAX_DRAFTS:
        sentence = f"The number of drafts should be from {MIN_DRAFTS} to {MAX_DRAFTS}."
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": FIELD})
    return count


def draft_rules(card: ModelCard) -> DraftRules:
    """The card's rules for drafts; `steps` is set. `scale` is None where a draft has the model's
    next smaller size of the same shape, if it has one."""
    usual = card.defaults.num_inference_steps
    steps = card.drafts.steps
    if steps is None or not card.rules.steps:
        few = FEW_STEPS if card.rules.guidance else FEW_WITHOUT_GUIDANCE
        keeps = usual <= few or not card.rules.steps
        steps = usual if keeps else max(FEWEST_STEPS, round(usual / SHARE_OF_STEPS))
    return DraftRules(steps=max(steps, card.limits.min_steps), scale=card.drafts.scale)


def draft_seeds(first: int, count: int) -> tuple[int, ...]:
    """`count` different seeds: the first as it is, the others derived from it, so that the same
    drafts can be made again. More drafts begin with the same seeds as fewer."""
    seeds = [first]
    n = 0
    while len(seeds) < count:
        n += 1
        digest = hashlib.sha256(f"{first}:{n}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big") % (MAX_SEED + 1)
        if seed not in seeds:
            seeds.append(seed)
    return tuple(seeds)


def draft_size(full: FittedRequest, card: ModelCard) -> tuple[int, int]:
    """Width and height of a draft: that of the full clip, or smaller where the model allows it. A
    continuation keeps the size of its clip."""
    same = full.width, full.height
    if full.continue_from:
        return same
    scale = draft_rules(card).scale
    if scale is None:
        named = _smaller_named_size(full, card)
        return named or same
    rule, limits = card.rules.size, card.limits
    width = rule.nearest(full.width * scale, limits.min_width, limits.max_width)
    height = rule.nearest(full.height * scale, limits.min_height, limits.max_height)
    return (width, height) if width <= full.width and height <= full.height else same


def _smaller_named_size(full: FittedRequest, card: ModelCard) -> tuple[int, int] | None:
    shape = math.log(full.width / full.height)
    fits = [
        (size.width, size.height)
        for size in card.shapes
        if abs(math.log(size.width / size.height) - shape) <= SAME_SHAPE
        and SMALLEST_SCALE * full.width <= size.width < full.width
        and size.height < full.height
    ]
    return min(fits, default=None)


def draft_of(
    request: GenerationRequest, full: FittedRequest, card: ModelCard, seed: int
) -> GenerationRequest:
    """The request of one draft. `full` is what `request` would become."""
    steps = draft_rules(card).steps or full.num_inference_steps
    if full.strength is not None and card.rules.strength:
        # only this share of the steps is taken
        steps = math.ceil(steps / full.strength)
    width, height = draft_size(full, card)
    changes: dict[str, object] = {
        "model": full.model,
        "seed": seed,
        "num_inference_steps": min(steps, full.num_inference_steps),
        "upscale": False,
    }
    if (width, height) != (full.width, full.height):
        changes |= {"width": width, "height": height}
    return request.model_copy(update=changes)


def full_request(request: GenerationRequest, full: FittedRequest, seed: int) -> GenerationRequest:
    """What is rendered if the draft with this seed is picked."""
    return request.model_copy(update={"model": full.model, "seed": seed})


def composition_notes(draft: FittedRequest, full: FittedRequest) -> tuple[Adjustment, ...]:
    """Says where a full clip may show something else than its draft: noise of another shape makes
    another clip, whatever the seed."""
    if (draft.width, draft.height) == (full.width, full.height) and draft.model == full.model:
        return ()
    before, after = (
        (f"{draft.width}x{draft.height}", f"{full.width}x{full.height}")
        if draft.model == full.model
        else (draft.model, full.model)
    )
    return (
        Adjustment(
            field="width" if draft.model == full.model else "model",
            asked=before,
            used=after,
            sentence=f"The draft was made with {before}: with {after} the same seed can give "
            "another composition.",
        ),
    )
