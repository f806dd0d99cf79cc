"""A model in memory: its weights, and the pipelines built over them."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pipelines import planning
from pipelines.engine.components import build_pipeline
from pipelines.engine.families.base import Family, LatentFamily
from pipelines.engine.latent_rgb import PreviewMap, preview_map_for
from pipelines.engine.placement import torch_device_for, torch_dtype_for
from pipelines.models.cards import ModelCard
from pipelines.models.failures import Reason, failure
from pipelines.request import Task

log = logging.getLogger(__name__)


@dataclass
class Weights:
    """One model in memory, with a pipeline for each task that was used so far."""

    card: ModelCard
    family: Family
    plan: planning.Plan
    cache_dir: Path
    previews: bool
    components: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    """Settings in model_index.json that are no components, such as boundary_ratio."""
    pipes: dict[Task, Any] = field(default_factory=dict)
    busy: threading.RLock = field(default_factory=threading.RLock)
    """Held while a pipeline over these weights samples or decodes."""
    clips: int = 0
    """Clips made so far: the first is slower, so its time is no estimate for others."""
    _map: PreviewMap | None = None
    _map_tried: bool = False

    def preview_map(self) -> PreviewMap | None:
        """The VAE's map, fitted on first use; None where previews are off or the fit failed."""
        if self.previews and self.family.shows_previews and not self._map_tried:
            self._map_tried = True
            try:
                pipe = next(iter(self.pipes.values()))
                self._map = preview_map_for(self.family, pipe, self.cache_dir)
            except Exception:  # whatever an unknown VAE raises: clips need no previews
                log.exception(
                    "Fitting the preview map failed (model=%s); previews are off.",
                    self.card.id,
                )
        return self._map

    def pipe_for(self, task: Task) -> Any:
        """The pipeline for a task. All share one set of components."""
        if task not in self.pipes:
            of = pipeline_class(self.card, self.family, task)
            made = build_pipeline(of, self.components, self.config)
            made = self.family.complete_pipeline(made, self.components)
            # AnimateDiff builds a new UNet from two components: keep that, not a second copy of
            # both
            self.components |= {k: v for k, v in made.components.items() if v is not None}
            self.pipes[task] = made
        return self.pipes[task]


@dataclass(frozen=True)
class Loaded:
    """A model ready for one task. Hold `busy` while using its pipeline."""

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
        return torch_device_for(self.weights.plan)

    @property
    def dtype(self) -> torch.dtype:
        return torch_dtype_for(self.weights.plan)

    @property
    def busy(self) -> threading.RLock:
        return self.weights.busy

    @property
    def preview_map(self) -> PreviewMap | None:
        return self.weights.preview_map()


def require_latents(loaded: Loaded) -> LatentFamily:
    """The model's family, whose latents can be decoded. Raises TypeError for a `FrameFamily`."""
    if not isinstance(loaded.family, LatentFamily):
        raise TypeError(f"{type(loaded.family).__name__} has no latents to decode")
    return loaded.family


def class_name(card: ModelCard, family: Family, task: Task) -> str:
    return card.classes.get(task) or family.pipelines[task]


def pipeline_class(card: ModelCard, family: Family, task: Task) -> Any:
    import diffusers

    name = class_name(card, family, task)
    found = getattr(diffusers, name, None)
    if found is None:
        raise failure(Reason.UNKNOWN_CLASS, card.name, name)
    return found
