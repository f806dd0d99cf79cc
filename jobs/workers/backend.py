"""Backend: loads models and runs jobs, in a local or a remote worker.

Imports the engine only when it is created.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.event_types import Loading
from jobs.job import Job, Result
from jobs.workers.inputs import input_folders
from jobs.workers.run import Emit, as_kinora_error, run_job
from pipelines.control import Control
from pipelines.planning import Device
from settings import Settings

if TYPE_CHECKING:
    from pipelines.engine.manager import LoadProgress

log = logging.getLogger(__name__)


class Backend(Protocol):
    def device(self) -> Device | None:
        """What it computes on, after a test computation; None for a backend without an engine."""
        ...

    def prepare(self, on_progress: Callable[[Loading], None]) -> KinoraError | None:
        """Loads the default models; returns the error if that failed."""
        ...

    def warm(self) -> Sequence[str]:
        """The loaded models."""
        ...

    def make(self, job: Job, emit: Emit, control: Control, folder: Path) -> Result:
        """Writes the files into `folder`. Raises KinoraError."""
        ...


class EngineBackend:
    def __init__(self, settings: Settings, models: Sequence[str] | None) -> None:
        from pipelines.engine.manager import PipelineManager
        from pipelines.models.cards import load_cards

        self._settings = settings
        self._pictures = Artifacts(settings.data_dir, settings.artifacts_url).uploads_folder
        self._cards = load_cards(settings.models_dir)
        self._models = models
        if unknown := sorted(set(models or ()) - set(self._cards)):
            sentence = f"There is no model called {', '.join(unknown)}; see `python app.py models`."
            raise KinoraError(ErrorCode.INVALID_INPUT, sentence)
        self._manager = PipelineManager(self._cards, settings)

    def device(self) -> Device | None:
        from pipelines.engine.torch_device import torch_device

        return torch_device()

    def prepare(self, on_progress: Callable[[Loading], None]) -> KinoraError | None:
        from pipelines.models.selection import preload_models

        def report(progress: LoadProgress) -> None:
            on_progress(Loading.of(progress))

        settings = self._settings
        if self._models is None:
            first = preload_models(self._cards, settings)
        else:
            first_models = self._models[: settings.max_loaded_models]
            first = [(name, self._cards[name].tasks[0]) for name in first_models]
        try:
            for model, task in first:
                self._manager.get(model, task, report)
        except Exception as error:
            log.exception("Loading a default model failed.")
            return error if isinstance(error, KinoraError) else as_kinora_error(error)
        return None

    def warm(self) -> Sequence[str]:
        return self._manager.loaded()

    def make(self, job: Job, emit: Emit, control: Control, folder: Path) -> Result:
        pictures, settings = input_folders(folder, self._pictures, self._settings)
        return run_job(job, self._manager, emit, control, folder, pictures, settings)
