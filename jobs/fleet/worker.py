"""A remote worker: one process with one GPU, which keeps models loaded and gets jobs from Redis.

    python -m jobs.fleet.worker [--models a,b]

`supervisor` starts and restarts it and chooses the GPU. It needs Redis and the storage for clips,
but no database and no port. A running job continues while Redis is unreachable. After SIGTERM it
takes no more jobs; the running one gets GRACE_S to end, else another worker runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from redis.exceptions import RedisError
from rq.exceptions import StopRequested

from errors import Cancelled, ErrorCode, KinoraError
from jobs import checkpoint
from jobs.artifacts import Artifacts
from jobs.event_types import Failed, Loading, WorkerEvent
from jobs.fleet.client import connect
from jobs.fleet.link import ServerLink
from jobs.fleet.messages import Done, Outcome, Returned
from jobs.fleet.protocol import RedisProtocol, RunTicket, WorkerInfo
from jobs.fleet.rq_adapter import WarmWorker
from jobs.paused_gc import paused_gc
from jobs.workers import inputs
from jobs.workers.backend import Backend, EngineBackend
from jobs.workers.process_worker import POISONED
from media.files import list_or_empty, stat_or_none
from pipelines.planning.machine import machine_name
from settings import Settings

log = logging.getLogger(__name__)

GRACE_S = 25.0
ABANDONED_S = 24 * 3600.0
"""A folder of work that nothing was written to for so long is of a worker that was killed."""
RETRY_S = 0.3


class RedisWorker:
    def __init__(self, settings: Settings, backend: Backend, models: Sequence[str] | None) -> None:
        if not settings.redis_address:
            raise KinoraError(ErrorCode.INVALID_INPUT, "REDIS_URL must say where Redis is.")
        self._backend = backend
        self._artifacts = Artifacts(settings.data_dir, settings.artifacts_url)
        self._work = settings.data_dir / "work"
        self._redis_url = settings.redis_address
        self._fleet = RedisProtocol(connect(settings.redis_address))
        self._stopping = threading.Event()
        self._grace_is_over = False
        self._poisoned = False
        host = socket.gethostname()
        info = WorkerInfo(
            name=f"{host}-{os.getpid()}-{secrets.token_hex(4)}".replace(".", "-"),
            host=host,
            pid=os.getpid(),
            gpu=os.environ.get("CUDA_VISIBLE_DEVICES"),
            machine=machine_name(),
            models=tuple(models) if models is not None else None,
        )
        self._link = ServerLink(self._fleet, info, settings.request_timeout_s)

    def run(self) -> None:
        """Returns after SIGTERM."""
        signal.signal(signal.SIGTERM, _stop_at_once)
        remove_abandoned_work(self._work)
        with paused_gc():
            self._link.update(device=self._backend.device())
            error = self._backend.prepare(lambda progress: self._link.update(loading=progress))
        warm = tuple(self._backend.warm())
        problem = error.as_dict() if error else None
        self._link.update(state="ready", warm=warm, loading=None, error=problem)
        while not self._stopping.is_set():
            with contextlib.suppress(StopRequested):  # a signal between two iterations
                self._run_rq()
                self._stopping.wait(RETRY_S)
        for number in (
            signal.SIGTERM,
            signal.SIGINT,
        ):  # the terminal and the supervisor both send one
            signal.signal(number, signal.SIG_IGN)
        self._link.close()

    def _run_rq(self) -> None:
        """RQ's loop, until Redis is unreachable or the worker stops."""
        worker: WarmWorker | None = None
        redis = connect(self._redis_url, timeout_s=30.0)
        try:
            worker = WarmWorker(
                self._link.info.name, redis, self._make, self._link.discard, self._stop
            )
            redis.delete(worker.key)
            self._link.on_heartbeat = worker.send_heartbeat
            worker.work(logging_level="WARNING")
        except (RedisError, StopRequested):
            if self._stopping.is_set():
                return
            log.warning("Redis not reachable, retrying.")
        finally:
            if worker:
                worker.end()
            redis.close()

    def _stop(self) -> None:
        """Called from a signal handler, so a thread does the rest."""
        if not self._stopping.is_set():
            self._stopping.set()
            threading.Thread(target=self._end_after_grace, daemon=True).start()

    def _end_after_grace(self) -> None:
        self._link.update(state="stopping")
        time.sleep(GRACE_S)
        self._grace_is_over = True

    # -- one job ---------------------------------------------------------------------------------

    def cancelled(self) -> bool:
        return self._link.cancelled() or self._grace_is_over

    def finish_now(self) -> bool:
        return self._link.finish_now()

    def _make(self, job_id: str, ticket_id: str) -> None:
        ticket = self._fleet.ticket(job_id)
        if ticket is None or ticket.id != ticket_id:
            log.warning("Skipping a job that another worker has (job=%s).", job_id)
            return
        self._link.begin(ticket)
        folder = self._work / ticket.id
        try:
            outcome = self._outcome(ticket, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._link.end(outcome, warm=tuple(self._backend.warm()))
        if self._poisoned:
            log.error("CUDA context is broken; restarting the worker.")
            self._link.close()
            os._exit(POISONED)

    def _outcome(self, ticket: RunTicket, folder: Path) -> Outcome:
        try:
            inputs.fetch_inputs(
                self._artifacts, ticket.job, ticket.lent, folder, self._report_loading
            )
            checkpoint.bring(self._artifacts, ticket.job.id, folder)
            windows = checkpoint.WindowUploads(self._artifacts, ticket.job.id, folder)

            def send(event: WorkerEvent) -> None:
                windows.upload()
                self._link.send(event)

            result = self._backend.make(ticket.job, send, self, folder)
            if not self._link.may_publish(ticket):
                raise Cancelled
            self._artifacts.publish(ticket.job.id, folder)
        except KinoraError as error:
            if self._grace_is_over and isinstance(error, Cancelled) and not self._link.cancelled():
                return Returned()
            self._poisoned = "CUDA error" in str(error.__cause__)
            checkpoint.save(self._artifacts, ticket.job.id, folder, error)
            return Failed.of(error)
        except Exception:  # only this job fails; the worker and its loaded models stay
            log.exception("Job failed (job=%s).", ticket.job.id)
            return Failed.of(KinoraError(ErrorCode.INTERNAL))
        return Done(result.model_copy(update={"machine": self._link.info.machine}))

    def _report_loading(self, phase: str) -> None:
        self._link.send(Loading(phase))


def remove_abandoned_work(folder: Path) -> None:
    """Removes what killed workers left. By age: the processes of others that share the folder
    cannot be looked up here."""
    oldest = time.time() - ABANDONED_S
    for path in list_or_empty(folder):
        stat = stat_or_none(path)
        if stat and stat.st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)


def _stop_at_once(_signum: int, _frame: object) -> NoReturn:
    """While models load there is nothing to save. An exception raised in an import can get lost,
    and the interpreter would wait for the threads that read weights."""
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="redis_worker")
    parser.add_argument("--models", type=lambda text: tuple(text.split(",")), default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s worker: %(message)s")
    try:
        settings = Settings.load()
        with paused_gc():
            backend = EngineBackend(settings, arguments.models)
        worker = RedisWorker(settings, backend, arguments.models)
    except KinoraError as error:
        log.error("%s", error.message)
        sys.exit(2)
    with contextlib.suppress(KeyboardInterrupt):
        worker.run()


if __name__ == "__main__":
    main()
