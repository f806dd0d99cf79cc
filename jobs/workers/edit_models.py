"""The models that an edit uses: the server's, or the built-in methods where it has none."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from errors import Cancelled, KinoraError
from media.operations.frame_models import ModelRole, UsesModel
from media.operations.operation import Operation
from pipelines.models.loading import LoadProgress
from pipelines.models.weight_files import find_or_fetch_weights, shown_name
from pipelines.request import Adjustment
from settings import Settings

log = logging.getLogger(__name__)

BUILT_IN = "built-in"
WITH_MODEL: dict[ModelRole, str] = {
    "interpolation": "The frames in between were made by the model {name}.",
    "upscaling": "The clip was enlarged by the model {name}.",
}
WITHOUT_MODEL: dict[ModelRole, str] = {
    "interpolation": "The frames in between were made by built-in motion compensation.",
    "upscaling": "The clip was enlarged by the built-in resampler.",
}


@dataclass
class EditModels:
    models: dict[str, Any] = field(default_factory=dict)
    """By role, for `use_models` and FrameTools."""
    adjustments: list[Adjustment] = field(default_factory=list)
    """Which method each operation used, and why not the server's model."""


@contextlib.contextmanager
def edit_models(
    operations: Sequence[Operation],
    settings: Settings,
    on_progress: Callable[[LoadProgress], None],
) -> Iterator[EditModels]:
    """Loads what the operations need. A model that cannot be used is no failure of the edit. What
    `on_progress` raises stops the download."""
    found = EditModels()
    try:
        for operation in operations:
            if isinstance(operation, UsesModel) and operation.may_use_model:
                _add_model(operation, settings, on_progress, found)
        yield found
    finally:
        for model in found.models.values():
            model.release()


def _add_model(
    operation: UsesModel,
    settings: Settings,
    on_progress: Callable[[LoadProgress], None],
    found: EditModels,
) -> None:
    role, op = operation.model_role, operation.name()
    if any(each.field == op for each in found.adjustments):
        return
    source = source_of(role, settings)
    name, reason = source and shown_name(source), ""
    if source is not None:
        try:
            found.models[role] = _load(role, source, settings, on_progress)
        except Cancelled:
            raise
        except KinoraError as error:
            log.warning("The model for %s cannot be used: %s", role, error.message)
            reason = f" The model is not used: {error.message}"
    used = name if role in found.models else None
    sentence = WITH_MODEL[role].format(name=used) if used else WITHOUT_MODEL[role] + reason
    found.adjustments.append(
        Adjustment(field=op, asked=name, used=used or BUILT_IN, sentence=sentence)
    )


def source_of(role: ModelRole, settings: Settings) -> str | None:
    match role:
        case "interpolation":
            return settings.interpolation_model
        case "upscaling":
            return settings.upscale_model


def _load(
    role: ModelRole, source: str, settings: Settings, on_progress: Callable[[LoadProgress], None]
) -> Any:
    def on_bytes(done: int, total: int) -> None:
        share = done / total if total else None
        on_progress(LoadProgress(f"downloading the model for {role}", share, done, total))

    path = find_or_fetch_weights(source, settings, on_bytes)
    on_progress(LoadProgress(f"loading the model for {role}"))
    # only now, because importing torch takes seconds
    from pipelines.engine.edit_networks import load_edit_network

    return load_edit_network(role, path, shown_name(source), settings)
