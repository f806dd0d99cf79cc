"""Loads models, shares each between its tasks, and evicts the least recently used ones.

Locks, in the order in which they are taken:
1. `_load_locks[model]` is held while a model loads, so concurrent requests load it once.
2. `_loading` is held while memory is measured and filled: one model at a time.
3. `_lock` guards the dictionaries and is never held during work.
`Weights.busy` is held while a pipeline samples or decodes; it is taken without the others.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property

import torch

from errors import ErrorCode, KinoraError
from pipelines.engine import upsample
from pipelines.engine.components import ModelFiles, find_files, load_components
from pipelines.engine.families import load_family
from pipelines.engine.loaded import Loaded, Weights, class_name, pipeline_class
from pipelines.engine.memory import free_bytes, free_memory, weights_bytes
from pipelines.engine.placement import apply_plan, machine_here, move_weights
from pipelines.models.cards import ModelCard
from pipelines.models.catalog import Catalog
from pipelines.models.failures import loading_error
from pipelines.models.hub import COMMIT, Hub
from pipelines.models.loading import LoadProgress, OnProgress
from pipelines.models.packages import check_packages
from pipelines.planning import ClipShape, Machine, Plan, PlanOptions, plan_for
from pipelines.request import Task
from settings import Settings

__all__ = ["LoadProgress", "Loaded", "OnProgress", "PipelineManager", "Weights", "class_name"]

log = logging.getLogger(__name__)

HEADROOM = 1.15
"""Free memory needed for loading, relative to the weights: files are read through buffers."""


class PipelineManager:
    """The models in memory. Thread-safe."""

    def __init__(
        self,
        cards: Mapping[str, ModelCard],
        settings: Settings,
        hub: Hub | None = None,
        machine: Machine | None = None,
    ) -> None:
        """`machine` is what plans are made for, by default this one."""
        self.cards = cards if isinstance(cards, Catalog) else Catalog(cards, settings)
        self.settings = settings
        self._hub = hub or Hub(settings)
        self._given_machine = machine
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._load_locks: dict[str, threading.Lock] = {}
        self._weights: OrderedDict[str, Weights] = OrderedDict()
        self._warned: set[str] = set()

    def get(
        self,
        model_id: str,
        task: Task,
        on_progress: OnProgress | None = None,
        shape: ClipShape | None = None,
    ) -> Loaded:
        """The model, loaded if necessary. Concurrent calls for one model wait for a single load.

        The plan is made for a clip of that `shape`: a model that is kept is loaded again where the
        clip needs another precision, and its weights are moved where it needs another offload.
        Without a shape, a kept model stays as it is, and another is loaded for its card's own clip.
        Raises KinoraError: UNKNOWN_MODEL, TASK_NOT_SUPPORTED, or why it could not be loaded. What
        `on_progress` raises stops the load.
        """
        card = self.cards.find(model_id)
        if card is None:
            raise KinoraError(ErrorCode.UNKNOWN_MODEL)
        if task not in card.tasks:
            raise KinoraError(ErrorCode.TASK_NOT_SUPPORTED)
        report = on_progress or (lambda _progress: None)
        with self._lock:
            load_lock = self._load_locks.setdefault(card.id, threading.Lock())
        with load_lock:
            with self._lock:
                weights = self._weights.get(card.id)
            if weights is not None and shape is not None:
                plan = self._plan(card, shape)
                if self._can_stay(weights, plan):
                    _follow_plan(weights, plan)
                else:
                    log.info(
                        "Loading %s again: weights in %s instead of %s.",
                        card.id,
                        plan.precision,
                        weights.plan.precision,
                    )
                    weights = None
                    self.evict(card.id)
            if weights is None:
                try:
                    weights = self._load(card, task, report, self._plan(card, shape))
                except Exception as error:
                    free_memory()  # components that were loaded before the failure
                    raise loading_error(error, card) from error
                with self._lock:
                    self._weights[card.id] = weights
            with self._lock:
                if card.id in self._weights:  # another thread may have evicted it meanwhile
                    self._weights.move_to_end(card.id)
            return Loaded(weights=weights, task=task, pipe=weights.pipe_for(task))

    def load_upsampler(self, loaded: Loaded, on_progress: OnProgress | None = None) -> None:
        """Loads the model's latent upsampler, if it is not in memory yet. Raises KinoraError."""
        with self._lock:
            load_lock = self._load_locks.setdefault(loaded.card.id, threading.Lock())
        with load_lock:
            try:
                upsample.load_upsampler(loaded, self._hub, on_progress or (lambda _progress: None))
            except Exception as error:
                free_memory()
                raise loading_error(error, loaded.card) from error

    def is_downloaded(self, card: ModelCard) -> bool:
        """Whether files of the model are on this machine, possibly not all of them."""
        return card.local_path is not None or self._hub.has_files(card.repo, card.revision)

    def loaded(self) -> list[str]:
        """The ids of the models in memory, least recently used first."""
        with self._lock:
            return list(self._weights)

    def evict(self, model_id: str) -> None:
        """Drops a model. A run that still uses it keeps the memory until it ends."""
        with self._lock:
            weights = self._weights.pop(model_id, None)
        if weights is not None:
            del weights  # the last reference, unless a run uses it
            free_memory()

    def close(self) -> None:
        for model_id in self.loaded():
            self.evict(model_id)

    def _make_room(self, need_bytes: int, plan: Plan) -> None:
        """Evicts the least recently used models until there is a free place and enough memory."""
        while held := self.loaded():
            crowded = len(held) >= self.settings.max_loaded_models
            if not crowded and free_bytes(plan) >= need_bytes * HEADROOM:
                return
            self.evict(held[0])

    @cached_property
    def _machine(self) -> Machine:
        # lazily, because it tries the GPU
        return self._given_machine or machine_here(self.settings)

    def _plan(self, card: ModelCard, shape: ClipShape | None) -> Plan:
        return plan_for(card, self._machine, PlanOptions.of(self.settings), shape)

    def _can_stay(self, weights: Weights, plan: Plan) -> bool:
        """Whether weights that are loaded can be used as that plan wants them."""
        # on ZeroGPU, loading counts against the visitor's quota, and plans differ in tiles only
        return self.settings.zero_gpu or weights.plan.precision == plan.precision

    def _load(self, card: ModelCard, task: Task, report: OnProgress, plan: Plan) -> Weights:
        check_packages(card)
        _silence_library_output()
        self._warn_if_unpinned(card)
        family = load_family(card.family)

        # 1. Download and check the files, before any other model is evicted
        classes = [pipeline_class(card, family, each) for each in card.tasks]
        variant = card.variant or self.settings.model_variant
        files = find_files(card, classes, variant, self._hub, report)

        with self._loading:
            # 2. Free memory
            self._make_room(weights_bytes(files, plan, card.name), plan)

            # 3. Load the components, one after the other for the sake of progress
            components = load_components(files, plan, card, family.float32, report)
            report(LoadProgress("pipeline", 0.9))
            weights = Weights(
                card=_with_commit(card, files),
                family=family,
                plan=plan,
                cache_dir=self.settings.data_dir / "cache",
                previews=self.settings.previews,
                components=components,
                config=files.index.config,
            )
            pipe = weights.pipe_for(task)
            if plan.offload != "none":
                weights.preview_map()  # encodes clips, so before offload hooks move the VAE
            apply_plan(pipe, plan)

        # 4. Fit the preview map. ZeroGPU has no GPU outside a call, so there the first clip does it
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


def _follow_plan(weights: Weights, plan: Plan) -> None:
    """Places loaded weights as another plan of the same precision does."""
    if plan.offload != weights.plan.offload:
        with weights.busy:
            pipe, *others = weights.pipes.values()
            move_weights(pipe, plan, *others)
            weights.plan = plan
    else:
        weights.plan = plan


def _with_commit(card: ModelCard, files: ModelFiles) -> ModelCard:
    """The card with the loaded commit as its revision, which a clip's settings record."""
    return card.model_copy(update={"revision": files.commit}) if files.commit else card


def _silence_library_output() -> None:
    """Switches off progress bars, which garble the log, and a warning of xformers without a GPU."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    if not torch.cuda.is_available():
        logging.getLogger("xformers").setLevel(logging.ERROR)
