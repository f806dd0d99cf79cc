"""The worker: a fresh process that loads the models and makes one clip at a time.

Spawned by `process.ProcessExecutor`, spoken to over its standard input and output. It holds no
store and no port, and ends as soon as its parent does.

    in    ("setup", settings) ("job", job, folder, pictures) ("ask", job_id, what)
    out   ("loading", progress) ("setup_failed", error) ("ready",)
          ("event", job_id, kind, data) ("done", job_id, result) ("failed", job_id, error)
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from errors import KinoraError
from jobs.executors.wire import Wire
from jobs.job import Asked, Job
from jobs.run import as_kinora_error, run_job

if TYPE_CHECKING:
    from pipelines.manager import LoadProgress, PipelineManager
    from settings import Settings

log = logging.getLogger(__name__)

POISONED = 3
"""Exit status of a worker whose GPU context is broken: only a new process can go on."""


class Asks:
    """What people asked of jobs: heard on one thread, looked up on another."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}

    def put(self, job_id: str, what: Asked) -> None:
        if self._asked.get(job_id) != "discard":
            self._asked[job_id] = what

    def of(self, job_id: str) -> AskedControl:
        return AskedControl(self._asked, job_id)

    def forget(self, job_id: str) -> None:
        self._asked.pop(job_id, None)


class AskedControl:
    def __init__(self, asked: dict[str, Asked], job_id: str) -> None:
        self._asked = asked
        self._job_id = job_id

    def cancelled(self) -> bool:
        return self._asked.get(self._job_id) == "discard"

    def finish_now(self) -> bool:
        return self._asked.get(self._job_id) == "finish"


def main() -> None:
    # 1. The pipes are ours alone: whatever prints, prints to the log.
    wire = Wire(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s worker: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    _die_with_parent()

    _, settings = wire.receive()
    asks: Asks = Asks()
    work: queue.SimpleQueue[tuple[Job, Path, Path]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(wire, asks, work), daemon=True).start()

    # 2. The models that will be asked for first.
    manager = _manager(settings)
    _preload(wire, manager, settings)
    wire.send("ready")

    # 3. One clip after the other.
    while True:
        _work(wire, manager, asks, settings, *work.get())


def _listen(wire: Wire, asks: Asks, work: queue.SimpleQueue[tuple[Job, Path, Path]]) -> None:
    try:
        while True:
            match wire.receive():
                case ("job", job, folder, pictures):
                    work.put((job, folder, pictures))
                case ("ask", job_id, what):
                    asks.put(job_id, what)
    finally:
        os._exit(0)  # the parent is gone, or we no longer understand it


def _manager(settings: Settings) -> PipelineManager:
    from pipelines.cards import load_cards
    from pipelines.manager import PipelineManager

    return PipelineManager(load_cards(settings.models_dir), settings)


def _preload(wire: Wire, manager: PipelineManager, settings: Settings) -> None:
    from pipelines.request import Task

    def on_progress(progress: LoadProgress) -> None:
        wire.send("loading", progress.as_event())

    try:
        for model, task in (
            (settings.default_text_to_video_model, Task.TEXT_TO_VIDEO),
            (settings.default_image_to_video_model, Task.IMAGE_TO_VIDEO),
        ):
            manager.get(model, task, on_progress)
    except Exception as error:
        log.exception("The default model could not be loaded.")
        known = error if isinstance(error, KinoraError) else as_kinora_error(error)
        wire.send("setup_failed", known.as_dict())


def _work(
    wire: Wire,
    manager: PipelineManager,
    asks: Asks,
    settings: Settings,
    job: Job,
    folder: Path,
    pictures: Path,
) -> None:
    def emit(kind: str, data: dict[str, object]) -> None:
        wire.send("event", job.id, kind, data)

    poisoned = False
    try:
        result = run_job(job, manager, emit, asks.of(job.id), folder, pictures, settings)
        wire.send("done", job.id, result)
    except KinoraError as error:
        poisoned = "CUDA error" in str(error.__cause__)
        wire.send("failed", job.id, error)
    finally:
        asks.forget(job.id)
    if poisoned:
        log.error("The GPU context is broken; a new worker takes over.")
        os._exit(POISONED)


def _die_with_parent() -> None:
    """The kernel ends us with the thread that spawned us, even while Python is stuck in a call."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    main()
