"""Loads the model of a job, or its card's fallback if the model is not available.

The user learns which and why: from an adjustment of the job, or from `details` of the error where
no fallback is available.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ErrorCode, KinoraError, split_sentence
from jobs.final_prompt import as_composed
from jobs.job import Job
from jobs.uploads import Uploads
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.planning import ClipShape, Planner
from pipelines.planning.allowed_models import AllowedModels
from pipelines.request import REQUEST_FIELDS, Adjustment, FittedRequest, GenerationRequest
from settings import Settings

if TYPE_CHECKING:
    from pipelines.engine.loaded import Loaded
    from pipelines.engine.manager import OnProgress, PipelineManager

log = logging.getLogger(__name__)

UNAVAILABLE = (ErrorCode.MODEL_NOT_FOUND, ErrorCode.MODEL_LOAD, ErrorCode.OUT_OF_DISK)
KEPT = tuple(name for name, field in REQUEST_FIELDS.items() if field.kept_by_fallback)
"""Fields that mean the same for every model."""


def model_for(
    job: Job,
    manager: PipelineManager,
    report: OnProgress,
    pictures: Path,
    settings: Settings,
) -> tuple[Loaded, FittedRequest]:
    """The loaded model, and the job's request fitted to it. Raises KinoraError."""
    loaded, fitted = _loaded(job, manager, report, pictures, settings)
    if fitted.upscale:
        try:
            manager.load_upsampler(loaded, report)
        except KinoraError as error:
            error.action = {"label": "Make it without upscaling", "set": {"upscale": False}}
            raise
    return loaded, fitted


def _loaded(
    job: Job,
    manager: PipelineManager,
    report: OnProgress,
    pictures: Path,
    settings: Settings,
) -> tuple[Loaded, FittedRequest]:
    fitted = job.fitted
    try:
        return manager.get(fitted.model, fitted.task, report, ClipShape.of(fitted)), fitted
    except KinoraError as error:
        if error.code not in UNAVAILABLE:
            raise
        why = error
    wanted = manager.cards.get(fitted.model)
    allowed = AllowedModels(manager.cards, settings, Planner(settings))
    others = [card for card in _fallbacks_of(wanted, manager.cards) if allowed.allows(card)]
    if wanted is None or not others:
        why.details |= {"requested": fitted.model, "fallback": None}
        raise why
    if not job.request.allow_fallback:
        raise _not_found(why, fitted.model, others[0], "") from why

    sizes = Uploads(pictures, settings).sizes
    second = why
    without_network = why.details.get("reason") in ("offline", "unreachable")
    for card in others:
        if without_network and not manager.is_downloaded(card):
            continue  # its download would fail in the same way, after a long wait
        log.warning("Model %s not available (%s); trying the fallback %s.", wanted.id, why, card.id)
        try:
            changed = _refitted(job, card, why, settings, sizes)
            return manager.get(card.id, changed.task, report, ClipShape.of(changed)), changed
        except KinoraError as error:
            if error.code is ErrorCode.CANCELLED:
                raise
            second = error
    last = others[-1]
    second_failure = f" {last.name}, which stands in for it, cannot be used either"
    second_failure += "." if second is why else f": {second.message}"
    raise _not_found(why, fitted.model, last, second_failure) from second


def _fallbacks_of(card: ModelCard | None, cards: Mapping[str, ModelCard]) -> Iterator[ModelCard]:
    """The fallback, its fallback, and so on, without repeats."""
    seen: set[str] = set()
    while card and card.fallback and card.fallback not in seen:
        seen.add(card.id)
        card = cards.get(card.fallback)
        if card:
            yield card


def _refitted(
    job: Job, card: ModelCard, why: KinoraError, settings: Settings, sizes: Callable[..., Any]
) -> FittedRequest:
    """The whole request if this model accepts it, else at the model's own size and length."""
    request = as_composed(job.request, job.fitted).model_copy(
        update={"model": card.id, "seed": job.fitted.seed}
    )
    limits = Limits.from_settings(settings)
    size, clip = sizes(request)
    instead = f"{card.name} made the clip instead."
    try:
        fitted = fit(request, card, limits, source_size=size, clip=clip)
    except KinoraError:
        kept = {
            name: getattr(request, name) for name in (*KEPT, "video", "continue_from", "strength")
        }
        bare = GenerationRequest.model_validate(kept | {"model": card.id, "seed": request.seed})
        fitted = fit(bare, card, limits, source_size=size, clip=clip)
        instead = f"{card.name} made the clip instead, at its own size and length."
        dropped = tuple(_dropped(request, bare, fitted, card))
        fitted = fitted.model_copy(update={"adjustments": (*fitted.adjustments, *dropped)})
    change = Adjustment(
        field="model",
        asked=job.fitted.model,
        used=card.id,
        sentence=f"{_first_sentence(why)} {instead}",
    )
    return fitted.model_copy(
        update={
            "adjustments": (change, *fitted.adjustments),
            "prompt_origin": job.fitted.prompt_origin,
        }
    )


def _dropped(
    request: GenerationRequest, bare: GenerationRequest, fitted: FittedRequest, card: ModelCard
) -> Iterator[Adjustment]:
    """An adjustment for each requested value that the other model did not get."""
    for name in GenerationRequest.model_fields:
        requested = getattr(request, name)
        if name == "model" or requested in (None, ()) or requested == getattr(bare, name):
            continue
        used = getattr(fitted, name)
        if used == requested:
            continue
        label = name.replace("_", " ")
        yield Adjustment(
            field=name,
            asked=", ".join(f"{each.source}:{each.weight:g}" for each in request.loras)
            if name == "loras"
            else requested,
            used="" if used in (None, ()) else used,
            sentence=f"The requested {label} was dropped: {card.name} used its own.",
        )


def _not_found(why: KinoraError, requested: str, card: ModelCard, outcome: str) -> KinoraError:
    details = why.details | {"requested": requested, "fallback": card.id}
    action = None if outcome else {"label": f"Use {card.name}", "set": {"model": card.id}}
    message = f"{_first_sentence(why)}{outcome}" if outcome else why.message
    return KinoraError(ErrorCode.MODEL_NOT_FOUND, message, details=details, action=action)


def _first_sentence(error: KinoraError) -> str:
    return split_sentence(error.message)[0]
