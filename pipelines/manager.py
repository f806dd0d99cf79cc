"""PipelineManager: resolve, download, load, share, evict.

One load per model however many ask at once; text and image pipelines share one set of weights.
Knows cards and diffusers. Does not know jobs.

Locks: `_lock` guards the tables and is never held during work; a model's flight lock is held
during its load; `Weights.busy` is held by whoever samples or decodes with it.
"""

from __future__ import annotations

import importlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from errors import ErrorCode, KinoraError
from pipelines import placement
from pipelines.cards import ModelCard
from pipelines.failures import free_memory, loading_error
from pipelines.families import family_of
from pipelines.families.base import Family
from pipelines.preview import PreviewMap, preview_map_for
from pipelines.request import Task
from settings import Settings

log = logging.getLogger(__name__)

TRUSTED_LIBRARIES = ("diffusers", "transformers")


@dataclass(frozen=True)
class LoadProgress:
    phase: str
    fraction: float | None = None


OnProgress = Callable[[LoadProgress], None]


@dataclass
class Weights:
    """One model in memory, with a pipeline for each task that was asked for."""

    card: ModelCard
    family: Family
    plan: placement.Plan
    cache_dir: Path
    previews: bool
    pipes: dict[Task, Any] = field(default_factory=dict)
    busy: threading.RLock = field(default_factory=threading.RLock)
    _map: PreviewMap | None = None
    _map_tried: bool = False

    def preview_map(self) -> PreviewMap | None:
        """Fitted on first use; None where previews are off or the fit failed, which is logged."""
        if self.previews and not self._map_tried:
            self._map_tried = True
            try:
                pipe = next(iter(self.pipes.values()))
                self._map = preview_map_for(self.family, pipe, self.cache_dir)
            except Exception:
                log.exception("no previews for %s: the map could not be fitted", self.card.id)
        return self._map


@dataclass(frozen=True)
class Loaded:
    """A model ready for one task. Hold `busy` while its pipeline works."""

    weights: Weights
    task: Task
    pipe: Any

    @property
    def card(self) -> ModelCard:
        return self.weights.card

    @property
    def family(self) -> Family:
        return self.weights.family

    @property
    def device(self) -> torch.device:
        return self.weights.plan.device

    @property
    def dtype(self) -> torch.dtype:
        return self.weights.plan.dtype

    @property
    def busy(self) -> threading.RLock:
        return self.weights.busy

    @property
    def preview_map(self) -> PreviewMap | None:
        return self.weights.preview_map()


class PipelineManager:
    def __init__(self, cards: Mapping[str, ModelCard], settings: Settings) -> None:
        self.cards = cards
        self.settings = settings
        self._lock = threading.Lock()
        self._flights: dict[str, threading.Lock] = {}
        self._weights: OrderedDict[str, Weights] = OrderedDict()

    def get(self, model_id: str, task: Task, on_progress: OnProgress | None = None) -> Loaded:
        """The model, loaded if it is not yet; others who ask meanwhile wait for this one load."""
        card = self.cards.get(model_id)
        if card is None:
            raise KinoraError(ErrorCode.UNKNOWN_MODEL)
        if task not in card.tasks:
            raise KinoraError(ErrorCode.TASK_NOT_SUPPORTED)
        report = on_progress or (lambda _progress: None)
        with self._lock:
            flight = self._flights.setdefault(model_id, threading.Lock())
        with flight:
            with self._lock:
                weights = self._weights.get(model_id)
            if weights is None:
                self._make_room()
                try:
                    weights = self._load(card, task, report)
                except Exception as error:
                    free_memory()
                    raise loading_error(error, card) from error
                with self._lock:
                    self._weights[model_id] = weights
            with self._lock:
                self._weights.move_to_end(model_id)
            return Loaded(weights=weights, task=task, pipe=_pipe_for(weights, task))

    def loaded(self) -> list[str]:
        """The ids of the models in memory, the least recently used first."""
        with self._lock:
            return list(self._weights)

    def evict(self, model_id: str) -> None:
        """Forget a model; its memory is free as soon as nobody works with it."""
        with self._lock:
            self._weights.pop(model_id, None)
        free_memory()

    def close(self) -> None:
        for model_id in self.loaded():
            self.evict(model_id)

    def _make_room(self) -> None:
        """Keep one place free for the model about to come."""
        while len(held := self.loaded()) >= self.settings.max_loaded_models:
            self.evict(held[0])

    def _load(self, card: ModelCard, task: Task, report: OnProgress) -> Weights:
        import diffusers

        _quieten()
        family = family_of(card.family)
        plan = placement.plan(card, self.settings)
        weights = Weights(
            card, family, plan, self.settings.data_dir / "cache", self.settings.previews
        )
        pipeline_class = getattr(diffusers, class_name(card, family, task))

        # 1. A folder: the card's own, or the Hub's cache
        variant = card.variant or self.settings.model_variant
        folder = _folder_of(card, pipeline_class, variant, self.settings, report)

        # 2. Its components, one after the other, so that progress can be told
        components = _load_components(folder, plan, variant, report)

        # 3. The pipeline, from the same folder and the same call as any other model
        report(LoadProgress("pipeline", 0.9))
        pipe = pipeline_class.from_pretrained(
            str(folder),
            dtype=plan.dtype,
            use_safetensors=True,
            local_files_only=True,
            **components,
        )
        pipe.set_progress_bar_config(disable=True)
        placement.place(pipe, plan)
        weights.pipes[task] = pipe

        # 4. The previews' map; on ZeroGPU there is no GPU yet, so the first clip fits it
        if not self.settings.zero_gpu:
            report(LoadProgress("previews", 0.95))
            weights.preview_map()
        report(LoadProgress("ready", 1.0))
        return weights


def class_name(card: ModelCard, family: Family, task: Task) -> str:
    return card.classes.get(task) or family.pipelines[task]


def _pipe_for(weights: Weights, task: Task) -> Any:
    """The pipeline for a task; a sibling takes over the very same components."""
    import diffusers

    pipe = weights.pipes.get(task)
    if pipe is None:
        first = next(iter(weights.pipes.values()))
        sibling_class = getattr(diffusers, class_name(weights.card, weights.family, task))
        pipe = sibling_class(**first.components)
        pipe.set_progress_bar_config(disable=True)
        weights.pipes[task] = pipe
    return pipe


def _folder_of(
    card: ModelCard,
    pipeline_class: Any,
    variant: str | None,
    settings: Settings,
    report: OnProgress,
) -> Path:
    local = card.local_path
    if local is not None:
        return local
    if card.is_local:
        raise KinoraError(
            ErrorCode.MODEL_NOT_FOUND, f"The files of {card.name} are not on this machine."
        )
    report(LoadProgress("downloading"))
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    folder = pipeline_class.download(
        card.repo, revision=card.revision, variant=variant, use_safetensors=True, token=token
    )
    return Path(folder)


def _load_components(
    folder: Path, plan: placement.Plan, variant: str | None, report: OnProgress
) -> dict[str, Any]:
    """Models, tokenizers and schedulers of the two libraries; from_pretrained sees to the rest."""
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    wanted = {
        name: entry
        for name, entry in index.items()
        if isinstance(entry, list) and len(entry) == 2 and entry[0] in TRUSTED_LIBRARIES
    }
    components: dict[str, Any] = {}
    for number, (name, (library, class_name)) in enumerate(wanted.items()):
        component_class: Any = getattr(importlib.import_module(library), class_name, None)
        if component_class is None or not (folder / name).is_dir():
            continue
        report(LoadProgress(name.replace("_", " "), 0.9 * number / len(wanted)))
        options: dict[str, Any] = {"local_files_only": True}
        if _is_model(component_class):
            options |= {"dtype": plan.dtype, "use_safetensors": True}
            if variant and any((folder / name).glob(f"*.{variant}*safetensors*")):
                options["variant"] = variant
        loaded = component_class.from_pretrained(str(folder), subfolder=name, **options)
        components[name] = loaded.eval() if isinstance(loaded, torch.nn.Module) else loaded
    return components


def _is_model(component_class: Any) -> bool:
    return issubclass(component_class, torch.nn.Module)


def _quieten() -> None:
    """Progress is ours to tell; upstream's bars would only garble the log."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    if not torch.cuda.is_available():  # it is for GPUs, and says at length that there is none
        logging.getLogger("xformers").setLevel(logging.ERROR)
