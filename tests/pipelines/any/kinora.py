"""All that these checks use of Kinora: where a name changes there, one line changes here.

The way of a user's model: a folder under KINORA_LOCAL_MODELS_DIR, its card, the fitted request,
and the job, in this process.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from errors import Cancelled, ErrorCode, KinoraError
from jobs.event_types import WorkerEvent, to_json
from jobs.job import Job, Result, State, new_id
from jobs.workers.run import run_job
from media.encode import encode
from media.images import store_picture
from media.videos import store_video
from pipelines.engine.manager import PipelineManager
from pipelines.models.call_signatures import call_signature
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.catalog import Catalog
from pipelines.models.class_sources import _files, find_class
from pipelines.models.fit import Limits, SourceClip, fit
from pipelines.models.float32 import _examples
from pipelines.planning.demand import ClipShape
from pipelines.planning.machine import Machine
from pipelines.planning.plan import PlanOptions, plan_for
from pipelines.preview import Preview
from pipelines.request import FittedRequest, GenerationRequest, Task
from settings import Settings

__all__ = ["Cancelled", "FittedRequest", "Kinora", "KinoraError", "ModelCard", "Result", "Task"]

LOGGERS = ("jobs", "pipelines", "media", "diffusers", "transformers")

SMALL_MACHINE = Machine(ram_gb=16, free_disk_gb=1000)
"""For the plan: what this very machine has must not change what a test finds."""


def forget_classes() -> None:
    """Classes were added to diffusers, or taken away."""
    for cached in (call_signature, find_class, _files, _examples):
        cached.cache_clear()


def is_internal(error: KinoraError) -> bool:
    """A defect of ours, as it is said to people."""
    return error.code is ErrorCode.INTERNAL


class Kinora:
    def __init__(self, models: Path, data: Path, dtype: str = "float32") -> None:
        self.settings = Settings(
            _env_file=None,  # pyright: ignore[reportCallIssue]
            data_dir=data,
            local_models_dir=models,
            torch_dtype=dtype,  # pyright: ignore[reportArgumentType]
        )
        self.data = data
        self.pictures = data / "pictures"
        catalog = Catalog(load_cards(self.settings.models_dir), self.settings)
        self.manager = PipelineManager(catalog, self.settings, machine=SMALL_MACHINE)

    def card(self, name: str) -> ModelCard:
        """KinoraError where the folder cannot be used, with the sentence for people."""
        card = self.manager.cards.find(f"local/{name}")
        if card is None:
            raise LookupError(name)
        return card

    def picture(self, image: Image.Image) -> str:
        return store_picture(image, self.pictures).id

    def clip(self, frames: Sequence[Image.Image], fps: int) -> tuple[str, SourceClip]:
        self.pictures.mkdir(parents=True, exist_ok=True)
        path = self.data / "given.mp4"
        stacked = np.stack([np.asarray(frame) for frame in frames])
        encoded = encode(stacked, path, fps=fps, format="mp4", quality="high")
        stored = store_video(encoded.path, self.pictures)
        seconds = stored.num_frames / stored.fps
        return stored.id, SourceClip(stored.width, stored.height, seconds, stored.fps)

    def fitted(
        self, request: dict[str, Any], card: ModelCard, clip: SourceClip | None
    ) -> FittedRequest:
        return fit(GenerationRequest.model_validate(request), card, Limits(), clip=clip)

    def run(
        self, fitted: FittedRequest, events: list[tuple[str, dict[str, Any]]], person: Any
    ) -> tuple[Result, Path]:
        """The job, as a worker does it. Its events go into `events` as they come."""

        def emit(event: WorkerEvent) -> None:
            kind = "preview" if isinstance(event, Preview) else event.kind
            data = {} if isinstance(event, Preview) else to_json(event)
            events.append((kind, data))
            person.heard(kind, data)

        job = Job(
            id=new_id(),
            owner="visitor",
            state=State.RUNNING,
            request=fitted.as_request(),
            fitted=fitted,
            created_at=0.0,
        )
        folder = self.data / job.id
        folder.mkdir(parents=True)
        result = run_job(job, self.manager, emit, person, folder, self.pictures, self.settings)
        return result, folder

    def storage_needed(self, fitted: FittedRequest, card: ModelCard) -> str | None:
        """How a small machine keeps its weights for this clip alone."""
        options = PlanOptions.of(self.settings)
        return plan_for(card, SMALL_MACHINE, options, ClipShape.of(fitted)).storage

    def storage_here(self, card: ModelCard, task: Task) -> str | None:
        return self.manager.get(card.id, task).weights.plan.storage

    def forget(self, card: ModelCard) -> None:
        self.manager.evict(card.id)


@contextlib.contextmanager
def without_logs() -> Iterator[None]:
    """Failures are expected: their tracebacks would hide the table."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
