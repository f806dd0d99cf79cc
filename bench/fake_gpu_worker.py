"""A worker whose GPU is simulated by a clock: it waits as long as a clip takes, writes small files.

    FAKE_GPU='{"steps": 10, "step_s": 0.1}' python -m bench.fake_gpu_worker [--models a,b]

Without `steps`, each clip takes the requested number of steps. Everything but the engine is the
real worker: Redis, RQ, heartbeats, stop requests, files. For benchmarks and reliability tests: it
needs no torch and starts at once. The prompts HANGS and FAILS cause these faults.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from errors import Cancelled, ErrorCode, KinoraError
from jobs.artifacts import MANIFEST
from jobs.event_types import Loading, StepDone
from jobs.fleet.worker import RedisWorker
from jobs.job import Job, Result
from jobs.workers.run import Emit
from pipelines.control import Control
from pipelines.preview import Preview
from settings import Settings

HANGS = "hangs"
FAILS = "fails"


class FakeBackend:
    def __init__(
        self,
        steps: int | None = None,
        step_s: float = 0.05,
        load_s: float = 0.0,
        prepare_s: float = 0.0,
    ) -> None:
        self.steps = steps
        self.step_s = step_s
        self.load_s = load_s
        self.prepare_s = prepare_s
        self.model: str | None = None

    def device(self) -> None:
        """There is no device to check."""

    def prepare(self, on_progress: Callable[[Loading], None]) -> KinoraError | None:
        for part in range(10):
            on_progress(Loading("pretending", part / 10))
            time.sleep(self.prepare_s / 10)
        return None

    def warm(self) -> Sequence[str]:
        return [self.model] if self.model else []

    def make(self, job: Job, emit: Emit, control: Control, folder: Path) -> Result:
        started = time.monotonic()
        if job.fitted.model != self.model:
            self._load(emit)
            self.model = job.fitted.model
            started = time.monotonic()
        while job.request.prompt == HANGS:
            time.sleep(1)
        if job.request.prompt == FAILS:
            raise KinoraError(ErrorCode.OUT_OF_MEMORY)
        total = self.steps or job.fitted.num_inference_steps
        for index in range(1, total + 1):
            due = started + index * self.step_s  # fixed times, whatever the CPU load
            time.sleep(max(0.0, due - time.monotonic()))
            if control.cancelled():
                raise Cancelled
            now = {"emitted_at": time.time()}  # for measuring delivery latency
            emit(StepDone(index, total, unknown=now))
            emit(Preview(index, b"\xff\xd8 pretended", frames=1, width=8, height=8, fps=8))
            if control.finish_now():
                break
        return self._write(job, folder, time.monotonic() - started)

    def _load(self, emit: Emit) -> None:
        parts = 10 if self.load_s else 1
        for part in range(parts):
            emit(Loading("loading", part / parts))
            time.sleep(self.load_s / parts)

    def _write(self, job: Job, folder: Path, seconds: float) -> Result:
        folder.mkdir(parents=True, exist_ok=True)
        clip = f"pretended {job.id} {job.attempts}".encode()
        for name in ("clip.mp4", "poster.jpg", "last.png"):
            (folder / name).write_bytes(clip)
        result = Result(
            clip="clip.mp4",
            poster="poster.jpg",
            last_frame="last.png",
            width=job.fitted.width,
            height=job.fitted.height,
            num_frames=job.fitted.num_frames,
            fps=job.fitted.fps,
            size_bytes=len(clip),
            seconds={"denoise": seconds, "total": seconds},
        )
        (folder / MANIFEST).write_text(result.model_dump_json(), encoding="utf-8")
        return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="fake_gpu_worker")
    parser.add_argument("--models", type=lambda text: tuple(text.split(",")), default=None)
    models = parser.parse_args().models
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s fake_gpu_worker: %(message)s")
    backend = FakeBackend(**json.loads(os.environ.get("FAKE_GPU") or "{}"))
    RedisWorker(Settings.load(), backend, models).run()


if __name__ == "__main__":
    main()
