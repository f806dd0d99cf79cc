"""The model a job asks for, or the one its card names for when it cannot be had.

Whoever asked is told which and why: as an adjustment of the job, or in `details` where nothing
could stand in. Knows the manager and `fit`. Knows no store and no worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ErrorCode, KinoraError, split_sentence
from jobs.job import Job
from jobs.uploads import Uploads
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.planning import Planner
from pipelines.planning.allowed_models import Allowed
from pipelines.request import REQUEST_FIELDS, Adjustment, FittedRequest, GenerationRequest
from settings import Settings

if TYPE_CHECKING:
    from pipelines.engine.loaded import Loaded
    from pipelines.engine.manager import OnProgress, PipelineManager

log = logging.getLogger(__name__)

NOT_TO_BE_HAD = (ErrorCode.MODEL_NOT_FOUND, ErrorCode.MODEL_LOAD, ErrorCode.OUT_OF_DISK)
KEPT = tuple(name for name, field in REQUEST_FIELDS.items() if field.kept_by_fallback)
"""What a person asked for that means the same to every model."""


def model_for(
    job: Job,
    manager: PipelineManager,
    report: OnProgress,
    pictures: Path,
    settings: Settings,
) -> tuple[Loaded, FittedRequest]:
    """The loaded model and the job's settings as that model takes them."""
    loaded, fitted = _loaded(job, manager, report, pictures, settings)
    if fitted.upscale:
        try:
            manager.bring_upsampler(loaded, report)
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
        return manager.get(fitted.model, fitted.task, report), fitted
    except KinoraError as error:
        if error.code not in NOT_TO_BE_HAD:
            raise
        why = error
    wanted = manager.cards.get(fitted.model)
    allowed = Allowed(manager.cards, settings, Planner(settings))
    others = [card for card in _instead_of(wanted, manager.cards) if allowed.allows(card)]
    if wanted is None or not others:
        why.details |= {"requested": fitted.model, "fallback": None}
        raise why
    if not job.request.allow_fallback:
        raise _not_found(why, fitted.model, others[0], "") from why

    sizes = Uploads(pictures, settings).sizes
    second = why
    without_network = why.details.get("reason") in ("offline", "unreachable")
    for card in others:
        if without_network and not manager.is_here(card):
            continue  # it would fail in the same way, and only after a long wait
        log.warning("Model %s not available (%s); trying the fallback %s.", wanted.id, why, card.id)
        try:
            changed = _refitted(job, card, why, settings, sizes)
            return manager.get(card.id, changed.task, report), changed
        except KinoraError as error:
            if error.code is ErrorCode.CANCELLED:
                raise
            second = error
    last = others[-1]
    told = f" {last.name}, which stands in for it, cannot be used either"
    told += "." if second is why else f": {second.message}"
    raise _not_found(why, fitted.model, last, told) from second


def _instead_of(card: ModelCard | None, cards: Mapping[str, ModelCard]) -> Iterator[ModelCard]:
    """The fallback, its fallback, and so on; none twice."""
    seen: set[str] = set()
    while card and card.fallback and card.fallback not in seen:
        seen.add(card.id)
        card = cards.get(card.fallback)
        if card:
            yield card


def _refitted(
    job: Job, card: ModelCard, why: KinoraError, settings: Settings, sizes: Callable[..., Any]
) -> FittedRequest:
    """With everything that was asked for if this model takes it, else in its own size and time."""
    request = job.request.model_copy(update={"model": card.id, "seed": job.fitted.seed})
    limits = Limits.from_settings(settings)
    size, clip = sizes(request)
    own = ""
    try:
        fitted = fit(request, card, limits, source_size=size, clip=clip)
    except KinoraError:
        given = {
            name: getattr(request, name) for name in (*KEPT, "video", "continue_from", "strength")
        }
        bare = GenerationRequest.model_validate(given | {"model": card.id, "seed": request.seed})
        fitted = fit(bare, card, limits, source_size=size, clip=clip)
        own = ", at its own size and length"
        dropped = tuple(_dropped(request, bare, fitted, card))
        fitted = fitted.model_copy(update={"adjustments": (*fitted.adjustments, *dropped)})
    change = Adjustment(
        field="model",
        asked=job.fitted.model,
        used=card.id,
        sentence=f"{_first_sentence(why)} {card.name} made the clip instead{own}.",
    )
    return fitted.model_copy(update={"adjustments": (change, *fitted.adjustments)})


def _dropped(
    request: GenerationRequest, bare: GenerationRequest, fitted: FittedRequest, card: ModelCard
) -> Iterator[Adjustment]:
    """What was asked for and the other model was not asked for, because it does not take all."""
    for name in GenerationRequest.model_fields:
        asked = getattr(request, name)
        if name == "model" or asked in (None, ()) or asked == getattr(bare, name):
            continue
        used = getattr(fitted, name)
        if used == asked:
            continue
        said = name.replace("_", " ")
        yield Adjustment(
            field=name,
            asked=", ".join(f"{each.source}:{each.weight:g}" for each in request.loras)
            if name == "loras"
            else asked,
            used="" if used in (None, ()) else used,
            sentence=f"The {said} that you asked for went with the other model: {card.name} "
            "used its own.",
        )


def _not_found(why: KinoraError, requested: str, card: ModelCard, told: str) -> KinoraError:
    details = why.details | {"requested": requested, "fallback": card.id}
    action = None if told else {"label": f"Use {card.name}", "set": {"model": card.id}}
    message = f"{_first_sentence(why)}{told}" if told else why.message
    return KinoraError(ErrorCode.MODEL_NOT_FOUND, message, details=details, action=action)


def _first_sentence(error: KinoraError) -> str:
    return split_sentence(error.message)[0]
