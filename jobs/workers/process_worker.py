"""The worker process: loads the models and runs one job at a time.

`process.ProcessExecutor` spawns it and talks to it over standard input and output. It opens no
store and no port, and ends with its parent.

    in    ("setup", settings) ("job", job, folder) ("stop", job_id, what)
    out   ("device", device) ("loading", progress) ("setup_failed", error) ("ready",)
          ("event", job_id, event) ("done", job_id, result) ("failed", job_id, error)
"""

from __future__ import annotations

import ctypes
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from errors import KinoraError
from jobs.event_types import WorkerEvent
from jobs.job import Job, StopRequest
from jobs.paused_gc import paused_gc
from jobs.workers.backend import Backend, EngineBackend
from jobs.workers.pipe import MessagePipe

if TYPE_CHECKING:
    from settings import Settings

log = logging.getLogger(__name__)

POISONED = 3
"""Exit status of a worker whose GPU context is broken: only a new process can use the GPU."""


class StopRequests:
    """Stop requests by job: one thread receives them, another one reads them."""

    def __init__(self) -> None:
        self._by_job: dict[str, StopRequest] = {}

    def add(self, job_id: str, what: StopRequest) -> None:
        if self._by_job.get(job_id) != "discard":
            self._by_job[job_id] = what

    def control(self, job_id: str) -> StopControl:
        return StopControl(self._by_job, job_id)

    def forget(self, job_id: str) -> None:
        self._by_job.pop(job_id, None)


class StopControl:
    def __init__(self, by_job: dict[str, StopRequest], job_id: str) -> None:
        self._by_job = by_job
        self._job_id = job_id

    def cancelled(self) -> bool:
        return self._by_job.get(self._job_id) == "discard"

    def finish_now(self) -> bool:
        return self._by_job.get(self._job_id) == "finish"


def main() -> None:
    serve(lambda settings: EngineBackend(settings, None))


def serve(backend_for: Callable[[Settings], Backend]) -> None:
    """Runs jobs until the parent is gone."""
    # 1. Nothing else may write to the pipes: file descriptor 1 becomes the log.
    pipe = MessagePipe(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s worker: %(message)s")
    # Ctrl-C, and the SIGTERM that systemd sends to every process, are handled by the parent, which
    # then ends this process
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, signal.SIG_IGN)
    _die_with_parent()

    try:
        _, settings = pipe.receive()
    except EOFError:  # the parent is gone
        return
    requests = StopRequests()
    work: queue.SimpleQueue[tuple[Job, Path]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, requests, work), daemon=True).start()

    # 2. The default models.
    with paused_gc():
        backend = backend_for(settings)
        pipe.send("device", backend.device())
        error = backend.prepare(lambda progress: pipe.send("loading", progress))
    if error:
        pipe.send("setup_failed", error.as_dict())
    pipe.send("ready")

    # 3. One job after the other.
    while True:
        _work(pipe, backend, requests, *work.get())


def _listen(
    pipe: MessagePipe, requests: StopRequests, work: queue.SimpleQueue[tuple[Job, Path]]
) -> None:
    try:
        while True:
            match pipe.receive():
                case ("job", job, folder):
                    work.put((job, folder))
                case ("stop", job_id, what):
                    requests.add(job_id, what)
    finally:
        os._exit(0)  # the parent is gone, or its message cannot be read


def _work(
    pipe: MessagePipe, backend: Backend, requests: StopRequests, job: Job, folder: Path
) -> None:
    def emit(event: WorkerEvent) -> None:
        pipe.send("event", job.id, event)

    poisoned = False
    try:
        result = backend.make(job, emit, requests.control(job.id), folder)
        pipe.send("done", job.id, result)
    except KinoraError as error:
        poisoned = "CUDA error" in str(error.__cause__)
        pipe.send("failed", job.id, error)
    finally:
        requests.forget(job.id)
    if poisoned:
        log.error("CUDA context is broken; restarting the worker.")
        os._exit(POISONED)


def _die_with_parent() -> None:
    """The kernel kills this process with the thread that spawned it, even while Python is stuck in
    a call."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    main()
