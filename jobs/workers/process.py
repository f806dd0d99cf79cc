"""ProcessExecutor: one spawned worker process, supervised by one thread of this process.

If the worker dies, its pipe closes at once: its job is queued again or fails as `worker_lost`, and
a new worker starts. This process imports no torch.

One thread does everything (`_supervise`), fed through one inbox; only `request_stop` writes to the
worker from other threads. Locks: `_lock` guards the fields that `health` and `request_stop` read,
and is held while a job is sent, so that a stop request always arrives after its job.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from errors import ErrorCode, KinoraError
from jobs.event_types import Loading
from jobs.executor import ExecutorHealth, WorkerState
from jobs.job import Job, WorkerStop
from jobs.lifecycle import JobLifecycle
from jobs.queue import Lane
from jobs.workers.loading_events import LoadingReporter
from jobs.workers.pipe import MessagePipe
from jobs.zerogpu_requests import Drivers
from pipelines.planning import Device
from settings import Settings

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
MODULE = "jobs.workers.process_worker"
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
DEFUNCT_AFTER = 4  # workers in a row that died before they were ready
RETRY_S = 1.0  # between attempts while the database is unavailable
OVERDUE_S = 30.0  # past the request timeout, which the worker normally keeps itself


class Child:
    """A running worker and the thread that reads from it."""

    def __init__(
        self, settings: Settings, inbox: queue.SimpleQueue[tuple[Any, ...]], module: str
    ) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(  # noqa: S603 - fixed arguments
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the worker process has no pipes")
        self.pipe = MessagePipe(stdout, stdin)  # type: ignore[arg-type]
        self._inbox = inbox
        self._reader = threading.Thread(target=self._read, name="worker-reader", daemon=True)
        self._reader.start()
        self.send("setup", settings)

    def send(self, *message: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # gone: the reader reports it
            self.pipe.send(*message)

    def end(self, grace_s: float = 1.0) -> None:
        """Closes the pipes; kills the process if it still runs after the grace time."""
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.close()  # type: ignore[union-attr]
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        self.process.stdout.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put((self, *self.pipe.receive()))
        except (EOFError, OSError, ValueError):
            self._inbox.put((self, "gone"))


class ProcessExecutor:
    needs_request = False
    in_foreground = False
    has_lanes = False
    drivers: Drivers | None = None

    def __init__(self, settings: Settings, module: str = MODULE, lane: Lane = "all") -> None:
        """`module` is the worker's main module: tests and benchmarks use one without an engine. A
        worker for edits alone starts when there is one."""
        self._settings = settings
        self._lane: Lane = lane
        self._module = module
        self._inbox: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._state: WorkerState = "starting"
        self._child: Child | None = None
        self._job: Job | None = None
        self._loading: Loading | None = None
        self._error: dict[str, Any] | None = None
        self._device: Device | None = None
        self._restarts = 0
        self._failures = 0
        self._loaded_at = 0.0
        self._in_doubt = False
        """A change in the database may have been made or not: its reply was lost."""
        self._closing_by: float | None = None
        self._thread: threading.Thread | None = None

    # -- for the service -------------------------------------------------------------------------

    def start(self, lifecycle: JobLifecycle) -> None:
        # The thread must live as long as the worker: the kernel kills the worker with the thread
        # that spawned it.
        self._thread = threading.Thread(
            target=self._supervise, args=(lifecycle,), name="worker-supervisor", daemon=True
        )
        self._thread.start()

    def notify(self) -> None:
        self._inbox.put((None, "work"))

    def request_stop(self, job_id: str, what: WorkerStop) -> None:
        with self._lock:
            if self._child and self._job and self._job.id == job_id:
                self._child.send("stop", job_id, what)

    def drive(self, job_id: str, quota: str | None = None) -> None:
        """Nothing to do: the worker needs no web request."""

    def resume(self, job: Job) -> bool:
        return False  # the worker ended with its server

    def health(self) -> ExecutorHealth:
        with self._lock:
            return ExecutorHealth(
                state="busy" if self._job else self._state,
                worker_pid=self._child.process.pid if self._child else None,
                job_id=self._job.id if self._job else None,
                loading=self._loading if self._state == "starting" else None,
                error=self._error,
                restarts=self._restarts,
                device=self._device,
            )

    def close(self, grace_s: float) -> None:
        if self._thread is None:
            return
        self._inbox.put((None, "close", grace_s))
        self._thread.join()

    # -- the supervisor --------------------------------------------------------------------------

    def _supervise(self, lifecycle: JobLifecycle) -> None:
        while self._closing_by is None:
            if self._lane == "edits" and not self._wait_for_job(lifecycle):
                return
            child = Child(self._settings, self._inbox, self._module)
            with self._lock:
                self._child, self._loading = child, None
                if self._state != "defunct":
                    self._state = "starting"
            try:
                self._serve(lifecycle, child)
            except Exception:  # the thread must survive and check the running jobs
                log.exception("Supervisor loop failed; restarting the worker.")
                self._in_doubt = True
            child.end()
            try:
                self._after(lifecycle, child)
            except Exception:  # the next iteration checks the running jobs
                log.exception("Handling the end of a worker failed; checking the running jobs.")
                self._in_doubt = True

    def _wait_for_job(self, lifecycle: JobLifecycle) -> bool:
        """False if the executor is closed before there is one."""
        while not self._in_doubt:
            try:
                if lifecycle.has_queued(self._lane):
                    break
                timeout_s = None
            except KinoraError as error:
                log.warning("Reading the queue failed, retrying: %s", error)
                timeout_s = RETRY_S
            with contextlib.suppress(queue.Empty):
                _, kind, *rest = self._inbox.get(timeout=timeout_s)
                if kind == "close":
                    self._closing_by = time.monotonic() + rest[0]
                    return False
        return True

    def _serve(self, lifecycle: JobLifecycle, child: Child) -> None:
        """Sends jobs and handles messages until the worker is gone or the executor closes."""
        reporter = LoadingReporter(lifecycle.store)
        while True:
            # 1. Send a job, if the worker is idle.
            if self._state in ("ready", "setup_failed") and self._job is None:
                if self._closing_by is not None:
                    return
                self._send_next_job(lifecycle, child)

            # 2. Handle a message, or a timeout.
            if self._state == "starting" and self._loading:
                reporter.report(self._loading)
            try:
                sender, kind, *rest = self._inbox.get(timeout=self._timeout_s())
            except queue.Empty:
                if self._waits_for_database():
                    continue
                return
            if kind == "close":
                self._closing_by = time.monotonic() + rest[0]
            if kind == "close" and self._job is None:
                return
            try:
                if sender is child and not self._handle(lifecycle, kind, rest):
                    return
            except KinoraError as error:
                log.warning("Storing a worker event failed: %s", error)
                self._in_doubt = True

    def _send_next_job(self, lifecycle: JobLifecycle, child: Child) -> None:
        try:
            if self._in_doubt:
                lifecycle.recover_running(self._lane)
                self._in_doubt = False
            job = lifecycle.claim(lane=self._lane)
        except KinoraError as error:
            log.warning("Claiming a job failed, retrying: %s", error)
            self._in_doubt = True
            return
        if job is None:
            return
        with self._lock:
            self._job = job
            child.send("job", job, lifecycle.folder(job.id))
        what = lifecycle.stop_request(job.id)  # since the claim it could not reach the worker
        if what:
            self.request_stop(job.id, what)

    def _waits_for_database(self) -> bool:
        return self._in_doubt and self._job is None and self._closing_by is None

    def _handle(self, lifecycle: JobLifecycle, kind: str, rest: list[Any]) -> bool:
        """Handles one message of the worker; False if the worker is gone."""
        job = self._job
        match kind, *rest:
            case ("gone",):
                return False
            case "device", device:
                with self._lock:
                    self._device = device
                lifecycle.check_queued()
            case "loading", progress:
                self._set(loading=progress)
            case "setup_failed", error:
                self._set(error=error)
            case ("ready",):
                self._failures = 0
                self._set(state="setup_failed" if self._error else "ready")
            case "event", job_id, event if job and job.id == job_id:
                if isinstance(event, Loading):
                    self._loaded_at = time.time()  # the deadline begins after it
                lifecycle.progress(job, event)
            case "done", job_id, result if job and job.id == job_id:
                self._free()
                lifecycle.succeed(job, result)
            case "failed", job_id, error if job and job.id == job_id:
                self._free()
                lifecycle.fail(job, error)
        return True

    def _after(self, lifecycle: JobLifecycle, child: Child) -> None:
        """The worker is gone: decides about its job, and waits before the next worker starts."""
        job, self._job = self._job, None
        was_up = self._state in ("ready", "setup_failed")
        overdue = job is not None and self._closing_by is None and self._is_overdue(job)
        with self._lock:
            self._child = None
            self._error = None
            if self._state != "defunct":
                self._state = "starting"
        if job and self._closing_by is not None:
            lifecycle.requeue(
                job, "Kinora was stopped; the clip is made again.", refund_attempt=True
            )
        elif job and overdue:
            lifecycle.fail(job, KinoraError(ErrorCode.TIMEOUT))
        elif job:
            log.error("Worker exited with status %s (job=%s).", child.process.returncode, job.id)
            lifecycle.worker_lost(job)
        if self._closing_by is not None:
            return

        # a worker that died before it was ready: wait longer each time, then fail the queued jobs
        self._restarts += 1
        self._failures = 0 if was_up else self._failures + 1
        if self._failures >= DEFUNCT_AFTER:
            self._set(state="defunct")
            while waiting := lifecycle.claim(lane=self._lane):
                sentence = "The worker does not start; the log says why."
                lifecycle.fail(waiting, KinoraError(ErrorCode.UNAVAILABLE, sentence))
        self._pause(BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)])

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self._closing_by is None:
            with contextlib.suppress(queue.Empty):
                _, kind, *rest = self._inbox.get(timeout=left)
                if kind == "close":
                    self._closing_by = time.monotonic() + rest[0]

    def _timeout_s(self) -> float | None:
        """How long to wait for a message: until the end of the grace time or the job's deadline."""
        if self._closing_by is not None:
            return max(0.0, self._closing_by - time.monotonic())
        if self._job and self._job.started_at:
            return max(0.0, self._deadline(self._job) - time.time())
        return RETRY_S if self._waits_for_database() else None

    def _is_overdue(self, job: Job) -> bool:
        return time.time() >= self._deadline(job)

    def _deadline(self, job: Job) -> float:
        began = max(job.started_at or 0.0, self._loaded_at)
        return began + self._settings.request_timeout_s * job.fitted.parts + OVERDUE_S

    def _free(self) -> None:
        with self._lock:
            self._job = None

    def _set(
        self,
        state: WorkerState | None = None,
        loading: Loading | None = None,
        error: dict[str, Any] | None = None,
    ) -> None:
        with self._lock:
            self._state = state or self._state
            self._loading = loading or self._loading
            self._error = error or self._error
