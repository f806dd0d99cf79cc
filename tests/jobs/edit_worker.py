"""A worker that makes edits only: the real one without models, which starts at once.

python -m tests.jobs.edit_worker          over pipes, for ProcessExecutor
python -m tests.jobs.edit_worker redis    for a fleet
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from errors import KinoraError
from jobs.artifacts import Artifacts
from jobs.event_types import Loading
from jobs.job import Job, Result
from jobs.workers.inputs import input_folders
from jobs.workers.process_worker import serve
from jobs.workers.run import Emit, run_job
from pipelines.control import Control
from settings import Settings

MODULE = "tests.jobs.edit_worker"


class EditsOnly:
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


def main() -> None:
    if sys.argv[1:] != ["redis"]:
        serve(EditsOnly)
        return
    from jobs.fleet.worker import RedisWorker

    logging.basicConfig(level=logging.INFO, format="%(levelname)s worker: %(message)s")
    settings = Settings.load()
    RedisWorker(settings, EditsOnly(settings), ["pocket"]).run()


if __name__ == "__main__":
    main()
