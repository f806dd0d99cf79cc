"""The prompt that a model gets: wildcards chosen, then the style applied."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from errors import ErrorCode, KinoraError
from pipelines.field_types import MAX_PROMPT, MAX_SEED
from pipelines.models.cards import ModelCard
from pipelines.request import Adjustment, FittedRequest, GenerationRequest, PromptOrigin, Task
from pipelines.styles import Style, apply_template, find_style, join_negative
from pipelines.wildcards import Lists, WildcardError, expand

TEXTS = ("prompt", "negative_prompt")
APPLIED: dict[str, Any] = {"style": None, "wildcards": False, "wildcard_seed": None}
"""Of a request whose prompt is final."""


class FinalPrompt(NamedTuple):
    """A request with its final prompt, and without a style and wildcards: to be fitted. Its seed is
    set where the wildcards' seed is the clip's."""

    request: GenerationRequest
    origin: PromptOrigin | None = None
    """None where nothing was changed."""
    adjustments: tuple[Adjustment, ...] = ()

    def mark(self, fitted: FittedRequest) -> FittedRequest:
        """The request as it was fitted, with the origin of its prompt."""
        if self.origin is None:
            return fitted
        adjustments = (*self.adjustments, *fitted.adjustments)
        return fitted.model_copy(update={"prompt_origin": self.origin, "adjustments": adjustments})


def make_final_prompt(
    request: GenerationRequest, card: ModelCard, lists: Lists, styles: Mapping[str, Style]
) -> FinalPrompt:
    """Chooses the wildcards, then applies the style.

    Raises KinoraError(INVALID_INPUT) for wildcards that cannot be read, an unknown style, and a
    final prompt that is too long."""
    if not request.wildcards and request.style is None:
        return FinalPrompt(request)
    values: dict[str, Any] = {name: getattr(request, name) for name in TEXTS}
    adjustments: tuple[Adjustment, ...] = ()
    changed = APPLIED
    chosen_with = None
    if request.wildcards:
        chosen_with = with_wildcard_seed(request).wildcard_seed or 0
        if request.wildcard_seed is None:
            changed = changed | {"seed": chosen_with}
        values = {
            name: text and _expanded(name, text, lists, chosen_with)
            for name, text in values.items()
        }
    style = find_style(request.style, styles) if request.style else None
    if style and not card.rules.prompt:
        sentence = f"{card.name} takes no words: the style is not used."
        adjustments = (Adjustment(field="style", asked=style.id, used="", sentence=sentence),)
    elif style:
        values = _styled(values, request, card, style)
    for name, text in values.items():
        if len(text or "") > MAX_PROMPT:
            raise _refused(
                name,
                f"With its style and wildcards, the {name.replace('_', ' ')} has {len(text)} "
                f"characters; at most {MAX_PROMPT} are accepted.",
            )
    origin = PromptOrigin(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        style=style.id if style else None,
        wildcard_seed=chosen_with,
    )
    return FinalPrompt(request.model_copy(update=changed | values), origin, adjustments)


def as_composed(request: GenerationRequest, fitted: FittedRequest) -> GenerationRequest:
    """A request as it was given, with the final prompt that it was fitted with: for another model,
    which may not make other choices."""
    final: dict[str, Any] = {}
    if fitted.prompt_origin is not None:
        final = {
            "prompt": fitted.prompt or request.prompt,
            "negative_prompt": fitted.negative_prompt or request.negative_prompt,
        }
    return request.model_copy(update=APPLIED | final)


def as_written(fitted: FittedRequest) -> GenerationRequest:
    """The request that makes this clip again, with its prompt as it was written and its style and
    wildcards beside it: for another prompt in the same style."""
    request, origin = fitted.as_request(), fitted.prompt_origin
    if origin is None:
        return request
    return request.model_copy(
        update={
            "prompt": origin.prompt,
            "negative_prompt": origin.negative_prompt,
            "style": origin.style,
            "wildcards": origin.wildcard_seed is not None,
            "wildcard_seed": origin.wildcard_seed,
        }
    )


def with_wildcard_seed(request: GenerationRequest) -> GenerationRequest:
    """With a wildcard seed where it has wildcards: its own, else the clip's, else a new one. Copies
    with other seeds for the clip have the same prompt then."""
    if not request.wildcards or request.wildcard_seed is not None:
        return request
    seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
    return request.model_copy(update={"wildcard_seed": seed})


def spread_wildcard_seeds(requests: Iterable[GenerationRequest]) -> list[GenerationRequest]:
    """Of a batch: requests with the same texts and the same wildcard seed get that seed, the next,
    and so on, so that their prompts differ and the batch can be made again."""
    seen: Counter[tuple[str, str | None, int]] = Counter()
    found: list[GenerationRequest] = []
    for request in requests:
        if request.wildcards and request.wildcard_seed is not None:
            texts = request.prompt, request.negative_prompt, request.wildcard_seed
            seed = (request.wildcard_seed + seen[texts]) % (MAX_SEED + 1)
            seen[texts] += 1
            request = request.model_copy(update={"wildcard_seed": seed})
        found.append(request)
    return found


def _styled(
    values: dict[str, Any], request: GenerationRequest, card: ModelCard, style: Style
) -> dict[str, Any]:
    template = style.template(card.family)
    prompt, negative = values["prompt"], values["negative_prompt"]
    # a clip cannot be made from a style alone: then the empty prompt is refused, as without one
    if prompt.strip() or request.task is Task.IMAGE_TO_VIDEO:
        prompt = apply_template(template.prompt, prompt)
    if _uses_negative_prompt(request, card):
        own = card.defaults.negative_prompt if negative is None else negative
        negative = join_negative(own, template.negative_prompt)
    return {"prompt": prompt, "negative_prompt": negative}


def _uses_negative_prompt(request: GenerationRequest, card: ModelCard) -> bool:
    """False where a style's negative prompt would only be dropped again, with an adjustment."""
    rules = card.rules
    if not rules.negative_prompt:
        return False
    guidance = request.guidance_scale if rules.guidance else None
    guidance = card.defaults.guidance_scale if guidance is None else guidance
    return guidance > 1 or not rules.negative_by_guidance


def _expanded(name: str, text: str, lists: Lists, seed: int) -> str:
    try:
        return expand(text, lists, seed)
    except WildcardError as error:
        raise _refused(name, error.sentence, column=error.column) from None


def _refused(field: str, sentence: str, **details: Any) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": field, **details})
