"""The worker: a fresh process that loads the models and makes one clip at a time.

Spawned by `process.ProcessExecutor`, spoken to over its standard input and output. It holds no
store and no port, and ends as soon as its parent does.

    in    ("setup", settings) ("job", job, folder) ("ask", job_id, what)
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
from jobs.job import Asked, Job
from jobs.workers.backend import Backend, EngineMaker
from jobs.workers.pipe import MessagePipe

if TYPE_CHECKING:
    from settings import Settings

log = logging.getLogger(__name__)

POISONED = 3
"""Exit status of a worker whose GPU context is broken: only a new process can go on."""


class StopRequests:
    """What people asked of jobs: heard on one thread, looked up on another."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}

    def put(self, job_id: str, what: Asked) -> None:
        if self._asked.get(job_id) != "discard":
            self._asked[job_id] = what

    def of(self, job_id: str) -> StopControl:
        return StopControl(self._asked, job_id)

    def forget(self, job_id: str) -> None:
        self._asked.pop(job_id, None)


class StopControl:
    def __init__(self, asked: dict[str, Asked], job_id: str) -> None:
        self._asked = asked
        self._job_id = job_id

    def cancelled(self) -> bool:
        return self._asked.get(self._job_id) == "discard"

    def finish_now(self) -> bool:
        return self._asked.get(self._job_id) == "finish"


def main() -> None:
    serve(lambda settings: EngineMaker(settings, None))


def serve(maker_for: Callable[[Settings], Backend]) -> None:
    """Makes clips until the parent is gone."""
    # 1. The pipes are ours alone: whatever prints, prints to the log.
    wire = MessagePipe(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s worker: %(message)s")
    # Ctrl-C, and the SIGTERM that systemd sends to every process, are for the parent, which ends us
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, signal.SIG_IGN)
    _die_with_parent()

    try:
        _, settings = wire.receive()
    except EOFError:  # the parent is gone already
        return
    asks: StopRequests = StopRequests()
    work: queue.SimpleQueue[tuple[Job, Path]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(wire, asks, work), daemon=True).start()

    # 2. The models that will be asked for first.
    maker = maker_for(settings)
    wire.send("device", maker.device())
    error = maker.prepare(lambda progress: wire.send("loading", progress))
    if error:
        wire.send("setup_failed", error.as_dict())
    wire.send("ready")

    # 3. One clip after the other.
    while True:
        _work(wire, maker, asks, *work.get())


def _listen(
    wire: MessagePipe, asks: StopRequests, work: queue.SimpleQueue[tuple[Job, Path]]
) -> None:
    try:
        while True:
            match wire.receive():
                case ("job", job, folder):
                    work.put((job, folder))
                case ("ask", job_id, what):
                    asks.put(job_id, what)
    finally:
        os._exit(0)  # the parent is gone, or we no longer understand it


def _work(wire: MessagePipe, maker: Backend, asks: StopRequests, job: Job, folder: Path) -> None:
    def emit(event: WorkerEvent) -> None:
        wire.send("event", job.id, event)

    poisoned = False
    try:
        result = maker.make(job, emit, asks.of(job.id), folder)
        wire.send("done", job.id, result)
    except KinoraError as error:
        poisoned = "CUDA error" in str(error.__cause__)
        wire.send("failed", job.id, error)
    finally:
        asks.forget(job.id)
    if poisoned:
        log.error("CUDA context is broken; restarting the worker.")
        os._exit(POISONED)


def _die_with_parent() -> None:
    """The kernel ends us with the thread that spawned us, even while Python is stuck in a call."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    main()
