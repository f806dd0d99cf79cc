"""A worker for films: clips are drawn without a model, slowly; edits are the real ones.

python -m tests.jobs.film_worker          over pipes, for ProcessExecutor
python -m tests.jobs.film_worker redis    for a fleet

KINORA_TEST_LEDGER names a file that gets one line for each job that was made whole.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from errors import Cancelled
from jobs.event_types import StepDone
from jobs.job import Job, Result
from jobs.workers.edit_process import EditBackend
from jobs.workers.process_worker import serve
from jobs.workers.run import Emit
from pipelines.control import Control
from settings import Settings
from tests.jobs.fake_engine_worker import LEDGER
from tests.jobs.finished_clips import write_clip

MODULE = "tests.jobs.film_worker"
STEP_S = 0.05


class SlowPainter(EditBackend):
    def make(self, job: Job, emit: Emit, control: Control, folder: Path) -> Result:
        if job.edit:
            emit(StepDone(0, 1))  # so that a test finds it running
            result = super().make(job, emit, control, folder)
        else:
            result = self._paint(job, emit, control, folder)
        with Path(os.environ[LEDGER]).open("a", encoding="utf-8") as ledger:
            ledger.write(f"{job.id}\n")
        return result

    def _paint(self, job: Job, emit: Emit, control: Control, folder: Path) -> Result:
        fitted, total = job.fitted, job.fitted.num_inference_steps
        for index in range(1, total + 1):
            time.sleep(STEP_S)
            if control.cancelled():
                raise Cancelled
            emit(StepDone(index, total))
        count = fitted.num_frames - fitted.overlap
        size = fitted.width, fitted.height
        return write_clip(folder, fitted, num_frames=count, fps=fitted.fps, size=size)


def main() -> None:
    if sys.argv[1:] != ["redis"]:
        serve(SlowPainter)
        return
    from jobs.fleet.worker import RedisWorker

    settings = Settings.load()
    RedisWorker(settings, SlowPainter(settings), ["pocket"]).run()


if __name__ == "__main__":
    main()
