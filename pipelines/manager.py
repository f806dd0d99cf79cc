"""PipelineManager: models in memory, loaded once, shared by their tasks, evicted for others.

One load per model however many ask at once; text and image pipelines share one set of weights.
Knows cards and diffusers. Does not know jobs.

Locks: `_lock` guards the tables and is never held during work; a model's flight lock is held
during its load; `_loading` lets one model at a time take memory; `Weights.busy` is held by whoever
samples or decodes with it.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from errors import ErrorCode, KinoraError
from pipelines import placement, upsample
from pipelines.cards import ModelCard
from pipelines.catalog import Catalog
from pipelines.components import Files, LoadProgress, OnProgress, find, load, pipeline
from pipelines.failures import Reason, failure, free_memory, loading_error
from pipelines.families import family_of
from pipelines.families.base import Family
from pipelines.hub import COMMIT, Hub
from pipelines.memory import bytes_of, free_bytes
from pipelines.preview import PreviewMap, preview_map_for
from pipelines.request import Task
from settings import Settings

__all__ = ["LoadProgress", "Loaded", "OnProgress", "PipelineManager", "Weights", "class_name"]

log = logging.getLogger(__name__)

HEADROOM = 1.15
"""Free memory a model needs to come in, over its bare weights: buffers while they are read."""


@dataclass
class Weights:
    """One model in memory, with a pipeline for each task that was asked for."""

    card: ModelCard
    family: Family
    plan: placement.Plan
    cache_dir: Path
    previews: bool
    components: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    """The settings in model_index.json that are no components, such as boundary_ratio."""
    pipes: dict[Task, Any] = field(default_factory=dict)
    busy: threading.RLock = field(default_factory=threading.RLock)
    clips: int = 0
    """Made with them so far: the first is slower, and no example for the others."""
    _map: PreviewMap | None = None
    _map_tried: bool = False

    def preview_map(self) -> PreviewMap | None:
        """Fitted on first use; None where previews are off or the fit failed, which is logged."""
        if self.previews and not self._map_tried:
            self._map_tried = True
            try:
                pipe = next(iter(self.pipes.values()))
                self._map = preview_map_for(self.family, pipe, self.cache_dir)
            except Exception:  # any model's decoder: without a map the clip is still made
                log.exception("no previews for %s: the map could not be fitted", self.card.id)
        return self._map

    @property
    def size_bytes(self) -> int:
        """What its weights take in memory."""
        models = (c for c in self.components.values() if isinstance(c, torch.nn.Module))
        tensors = (t for model in models for t in (*model.parameters(), *model.buffers()))
        return sum(t.numel() * t.element_size() for t in tensors)

    def pipe_for(self, task: Task) -> Any:
        """The pipeline for a task; all of them work with the very same components."""
        if task not in self.pipes:
            pipeline_class = _pipeline_class(self.card, self.family, task)
            made = pipeline(pipeline_class, self.components, self.config)
            # AnimateDiff builds a UNet of its own from two parts: keep no second copy of them
            self.components |= {k: v for k, v in made.components.items() if v is not None}
            self.pipes[task] = made
        return self.pipes[task]


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
    def __init__(
        self, cards: Mapping[str, ModelCard], settings: Settings, hub: Hub | None = None
    ) -> None:
        self.cards = cards if isinstance(cards, Catalog) else Catalog(cards, settings)
        self.settings = settings
        self._hub = hub or Hub(settings)
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._flights: dict[str, threading.Lock] = {}
        self._weights: OrderedDict[str, Weights] = OrderedDict()
        self._warned: set[str] = set()

    def get(self, model_id: str, task: Task, on_progress: OnProgress | None = None) -> Loaded:
        """The model, loaded if it is not yet; others who ask meanwhile wait for this one load."""
        card = self.cards.find(model_id)
        if card is None:
            raise KinoraError(ErrorCode.UNKNOWN_MODEL)
        if task not in card.tasks:
            raise KinoraError(ErrorCode.TASK_NOT_SUPPORTED)
        report = on_progress or (lambda _progress: None)
        with self._lock:
            flight = self._flights.setdefault(card.id, threading.Lock())
        with flight:
            with self._lock:
                weights = self._weights.get(card.id)
            if weights is None:
                try:
                    weights = self._load(card, task, report)
                except Exception as error:
                    free_memory()
                    raise loading_error(error, card) from error
                with self._lock:
                    self._weights[card.id] = weights
            with self._lock:
                if card.id in self._weights:
                    self._weights.move_to_end(card.id)
            return Loaded(weights=weights, task=task, pipe=weights.pipe_for(task))

    def bring_upsampler(self, loaded: Loaded, on_progress: OnProgress | None = None) -> None:
        """What makes this model's clips larger, if it is not in memory yet."""
        with self._lock:
            flight = self._flights.setdefault(loaded.card.id, threading.Lock())
        with flight:
            try:
                upsample.bring(loaded, self._hub, on_progress or (lambda _progress: None))
            except Exception as error:
                free_memory()
                raise loading_error(error, loaded.card) from error

    def is_here(self, card: ModelCard) -> bool:
        """Whether its files are on this machine, or were at least begun to be fetched."""
        return card.local_path is not None or self._hub.has(card.repo, card.revision)

    def loaded(self) -> list[str]:
        """The ids of the models in memory, the least recently used first."""
        with self._lock:
            return list(self._weights)

    def evict(self, model_id: str) -> None:
        """Forget a model; its memory is free as soon as nobody works with it."""
        with self._lock:
            weights = self._weights.pop(model_id, None)
        if weights is not None:
            del weights
            free_memory()

    def close(self) -> None:
        for model_id in self.loaded():
            self.evict(model_id)

    def _make_room(self, need_bytes: int, plan: placement.Plan) -> None:
        """The least recently used models go until there is a place and memory for the next."""
        while held := self.loaded():
            crowded = len(held) >= self.settings.max_loaded_models
            if not crowded and free_bytes(plan) >= need_bytes * HEADROOM:
                return
            self.evict(held[0])

    def _load(self, card: ModelCard, task: Task, report: OnProgress) -> Weights:
        _quieten()
        self._warn_if_unpinned(card)
        family = family_of(card.family)
        plan = placement.plan(card, self.settings)

        # 1. Its files are here, whole and harmless; what is loaded stays until then
        classes = [_pipeline_class(card, family, each) for each in card.tasks]
        variant = card.variant or self.settings.model_variant
        files = find(card, classes, variant, self._hub, report)

        with self._loading:
            # 2. Memory, before any is taken
            self._make_room(bytes_of(files, plan, card.name), plan)

            # 3. Its components, one after the other, so that progress can be told
            components = load(files, plan, card, family.float32, report)
            report(LoadProgress("pipeline", 0.9))
            weights = Weights(
                card=_at_commit(card, files),
                family=family,
                plan=plan,
                cache_dir=self.settings.data_dir / "cache",
                previews=self.settings.previews,
                components=components,
                config=files.index.config,
            )
            pipe = weights.pipe_for(task)
            if plan.offload != "none":
                weights.preview_map()  # before its parts are moved about
            placement.place(pipe, plan)

        # 4. The previews' map; on ZeroGPU there is no GPU yet, so the first clip fits it
        if not self.settings.zero_gpu:
            report(LoadProgress("previews", 0.95))
            weights.preview_map()
        report(LoadProgress("ready", 1.0))
        return weights

    def _warn_if_unpinned(self, card: ModelCard) -> None:
        from_hub = [] if card.is_local else [card.revision or ""]
        from_hub += [part.partition("@")[2] for part in card.parts.values() if part[0] not in "./"]
        if card.id in self._warned or all(COMMIT.fullmatch(each) for each in from_hub):
            return
        self._warned.add(card.id)
        log.warning("%s is not pinned to a commit: what it makes may change.", card.id)


def class_name(card: ModelCard, family: Family, task: Task) -> str:
    return card.classes.get(task) or family.pipelines[task]


def _pipeline_class(card: ModelCard, family: Family, task: Task) -> Any:
    import diffusers

    name = class_name(card, family, task)
    found = getattr(diffusers, name, None)
    if found is None:
        raise failure(Reason.UNKNOWN_CLASS, card.name, name)
    return found


def _at_commit(card: ModelCard, files: Files) -> ModelCard:
    """The card says which commit was loaded, for whoever wants the same clip again."""
    return card.model_copy(update={"revision": files.commit}) if files.commit else card


def _quieten() -> None:
    """Progress is ours to tell; upstream's bars would only garble the log."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    if not torch.cuda.is_available():  # it is for GPUs, and says at length that there is none
        logging.getLogger("xformers").setLevel(logging.ERROR)
