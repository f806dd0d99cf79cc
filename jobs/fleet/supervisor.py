"""`python app.py worker`: one worker process per GPU, restarted with a backoff when it dies."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
MODULE = "jobs.fleet.worker"
BAD_SETTINGS = 2
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
UP_S = 60.0  # after so long a restart counts as the first one
LAST_S = 35.0  # a worker requeues its clip after 25 s and then ends; `docker stop` waits 40 s


class WorkerProcess:
    def __init__(self, gpu: str | None, arguments: Sequence[str], module: str) -> None:
        self._gpu = gpu
        self._command = [sys.executable, "-m", module, *arguments]
        self._failures = 0
        self._start()

    def _start(self) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        env = os.environ | {"PYTHONPATH": path}
        if self._gpu is not None:
            env["CUDA_VISIBLE_DEVICES"] = self._gpu
        self._due: float | None = None
        self._began = time.monotonic()
        # Ctrl-C in a terminal reaches every process there; only `run` signals the worker
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process = subprocess.Popen(self._command, env=env)  # noqa: S603 - fixed arguments
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def check(self) -> int | None:
        """Restarts a dead worker. Returns the exit status of one that a restart would not help."""
        if self._due is not None:
            if time.monotonic() >= self._due:
                self._start()
            return None
        status = self.process.poll()
        if status is None or status in (0, BAD_SETTINGS):
            return status
        was_up = time.monotonic() - self._began > UP_S
        self._failures = 0 if was_up else self._failures + 1
        pause_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
        log.error("Worker exited (%s); restarting in %g s.", status, pause_s)
        self._due = time.monotonic() + pause_s
        return None

    def end_by(self, ends: float) -> None:
        """Waits for a worker that was signalled to stop; one that hangs is killed, and its clip is
        made by another worker."""
        try:
            self.process.wait(max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.error("Worker does not stop; killing it.")
            self.process.kill()
            self.process.wait()


def run(
    gpus: Sequence[str | None],
    arguments: Sequence[str],
    module: str = MODULE,
    last_s: float = LAST_S,
) -> int:
    """Returns the exit status after SIGTERM or SIGINT, or once no worker can be restarted."""
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stop.append(received))
    workers = [WorkerProcess(gpu, arguments, module) for gpu in gpus]
    ended: dict[int, int] = {}
    while not stop and len(ended) < len(workers):
        for number, worker in enumerate(workers):
            status = None if number in ended else worker.check()
            if status is not None:
                ended[number] = status
        time.sleep(0.1)
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    ends = time.monotonic() + last_s
    for worker in workers:
        worker.end_by(ends)
    return max(ended.values(), default=0)
