"""A worker process with a fake engine and slow files, for the tests that kill servers.

Everything but the engine is the real worker. KINORA_TEST_LEDGER names a file that gets one line
for each clip that was made whole; KINORA_TEST_STEP_S are the seconds of a step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from errors import Cancelled, KinoraError
from jobs.artifacts import MANIFEST
from jobs.event_types import Encoding, Loading, StepDone
from jobs.job import Job, Result
from jobs.workers.process_worker import serve
from jobs.workers.run import Emit
from media.files import atomic_write
from pipelines.control import Control

MODULE = "tests.jobs.fake_engine_worker"
LEDGER = "KINORA_TEST_LEDGER"
STEP_SECONDS = "KINORA_TEST_STEP_S"
STEP_S = 0.02
FILE_S = 0.02


class SlowHand:
    def device(self) -> None:
        """It computes nothing."""

    def prepare(self, on_progress: Callable[[Loading], None]) -> KinoraError | None:
        on_progress(Loading("pretending"))
        return None

    def warm(self) -> Sequence[str]:
        return []

    def make(self, job: Job, emit: Emit, control: Control, folder: Path) -> Result:
        total = job.fitted.num_inference_steps
        for index in range(1, total + 1):
            time.sleep(float(os.environ.get(STEP_SECONDS, STEP_S)))
            if control.cancelled():
                raise Cancelled
            emit(StepDone(index, total))
        emit(Encoding())
        clip = f"{job.id} {job.fitted.seed}".encode() * 1000
        for name in ("clip.mp4", "poster.jpg", "last.png"):
            _write(folder / name, clip)
        result = Result(
            clip="clip.mp4",
            poster="poster.jpg",
            last_frame="last.png",
            width=job.fitted.width,
            height=job.fitted.height,
            num_frames=job.fitted.num_frames,
            fps=job.fitted.fps,
            size_bytes=len(clip),
        )
        _write(folder / MANIFEST, result.model_dump_json().encode())
        with Path(os.environ[LEDGER]).open("a", encoding="utf-8") as ledger:
            ledger.write(f"{job.id}\n")
        time.sleep(FILE_S)  # whole, and not yet told
        return result


def _write(path: Path, data: bytes) -> None:
    """In two halves, as an encoder would, so that a kill may come in between."""
    with atomic_write(path) as part, part.open("wb") as file:
        for half in (data[: len(data) // 2], data[len(data) // 2 :]):
            file.write(half)
            file.flush()
            time.sleep(FILE_S / 2)


if __name__ == "__main__":
    serve(lambda _settings: SlowHand())
