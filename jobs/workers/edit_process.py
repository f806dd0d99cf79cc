"""A worker process for edits only: it loads no model and imports no engine, so it starts at once.

`side_by_side.SideBySideExecutor` runs it beside the worker that makes clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from errors import KinoraError
from jobs.artifacts import Artifacts
from jobs.event_types import Loading
from jobs.job import Job, Result
from jobs.workers.inputs import input_folders
from jobs.workers.process_worker import serve
from jobs.workers.run import Emit, run_job
from pipelines.control import Control

if TYPE_CHECKING:
    from settings import Settings

MODULE = "jobs.workers.edit_process"


class EditBackend:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._uploads = Artifacts(settings.data_dir, settings.artifacts_url).uploads_folder

    def device(self) -> None:
        """It computes nothing with a model."""

    def prepare(self, on_progress: Callable[[Loading], None]) -> KinoraError | None:
        return None

    def warm(self) -> Sequence[str]:
        return []

    def make(self, job: Job, emit: Emit, control: Control, folder: Path) -> Result:
        uploads, settings = input_folders(folder, self._uploads, self._settings)
        return run_job(job, None, emit, control, folder, uploads, settings)


if __name__ == "__main__":
    serve(EditBackend)
