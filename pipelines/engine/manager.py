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

import torch

from errors import ErrorCode, KinoraError
from pipelines.engine import upsample
from pipelines.engine.components import Files, find, load
from pipelines.engine.families import family_of
from pipelines.engine.loaded import Loaded, Weights, class_name, pipeline_class
from pipelines.engine.memory import bytes_of, free_bytes, free_memory
from pipelines.engine.placement import place, plan_here
from pipelines.models.cards import ModelCard
from pipelines.models.catalog import Catalog
from pipelines.models.failures import loading_error
from pipelines.models.hub import COMMIT, Hub
from pipelines.models.loading import LoadProgress, OnProgress
from pipelines.planning import Plan
from pipelines.request import Task
from settings import Settings

__all__ = ["LoadProgress", "Loaded", "OnProgress", "PipelineManager", "Weights", "class_name"]

log = logging.getLogger(__name__)

HEADROOM = 1.15
"""Free memory a model needs to come in, over its bare weights: buffers while they are read."""


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

    def _make_room(self, need_bytes: int, plan: Plan) -> None:
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
        plan = plan_here(card, self.settings)

        # 1. Its files are here, whole and harmless; what is loaded stays until then
        classes = [pipeline_class(card, family, each) for each in card.tasks]
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
            place(pipe, plan)

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
        log.warning("%s is not pinned to a commit: its output may change.", card.id)


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
