"""A worker of the fleet: one process, one GPU, models that stay warm, work from Redis.

    python -m jobs.fleet.worker [--models a,b]

started and restarted by `pool`, which has chosen the GPU. Needs Redis and the place where clips
are kept; no database and no port. Redis may go away and come back; the clip in the making goes on.
SIGTERM: nothing new; the clip gets GRACE_S to end, else another worker makes it.
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
from jobs.event_types import Failed, Loading
from jobs.fleet.client import connect
from jobs.fleet.link import ServerLink
from jobs.fleet.messages import Done, Outcome, Returned
from jobs.fleet.protocol import RedisProtocol, RunTicket, WorkerInfo
from jobs.fleet.rq_adapter import WarmWorker
from jobs.workers import inputs
from jobs.workers.backend import Backend, EngineMaker
from jobs.workers.process_worker import POISONED
from pipelines.planning.machine import machine_name
from settings import Settings

log = logging.getLogger(__name__)

GRACE_S = 25.0
AGAIN_S = 0.3


class RedisWorker:
    def __init__(self, settings: Settings, maker: Backend, models: Sequence[str] | None) -> None:
        if not settings.redis_address:
            raise KinoraError(ErrorCode.INVALID_INPUT, "REDIS_URL must say where Redis is.")
        self._maker = maker
        self._artifacts = Artifacts(settings.data_dir, settings.artifacts_url)
        self._work = settings.data_dir / "work"
        self._redis_url = settings.redis_address
        self._fleet = RedisProtocol(connect(settings.redis_address))
        self._stopping = threading.Event()
        self._grace_is_over = False
        self._poisoned = False
        host = socket.gethostname()
        card = WorkerInfo(
            name=f"{host}-{os.getpid()}-{secrets.token_hex(4)}".replace(".", "-"),
            host=host,
            pid=os.getpid(),
            gpu=os.environ.get("CUDA_VISIBLE_DEVICES"),
            machine=machine_name(),
            models=tuple(models) if models is not None else None,
        )
        self._line = ServerLink(self._fleet, card, settings.request_timeout_s)

    def run(self) -> None:
        """Returns when it is told to stop."""
        signal.signal(signal.SIGTERM, _stop_at_once)
        self._line.say(device=self._maker.device())
        error = self._maker.prepare(lambda progress: self._line.say(loading=progress))
        warm = tuple(self._maker.warm())
        problem = error.as_dict() if error else None
        self._line.say(state="ready", warm=warm, loading=None, error=problem)
        while not self._stopping.is_set():
            with contextlib.suppress(StopRequested):  # a signal between two rounds
                self._listen()
                self._stopping.wait(AGAIN_S)
        for number in (signal.SIGTERM, signal.SIGINT):  # the terminal and the pool both tell us
            signal.signal(number, signal.SIG_IGN)
        self._line.close()

    def _listen(self) -> None:
        """RQ's loop. It ends when Redis does not answer, and is then begun again."""
        worker: WarmWorker | None = None
        redis = connect(self._redis_url, timeout_s=30.0)
        try:
            worker = WarmWorker(
                self._line.card.name, redis, self._make, self._line.discard, self._stop
            )
            redis.delete(worker.key)
            self._line.on_beat = worker.show_life
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
        """Called from a signal handler: the rest is left to a thread."""
        if not self._stopping.is_set():
            self._stopping.set()
            threading.Thread(target=self._wait_out_the_grace, daemon=True).start()

    def _wait_out_the_grace(self) -> None:
        self._line.say(state="stopping")
        time.sleep(GRACE_S)
        self._grace_is_over = True

    # -- one clip --------------------------------------------------------------------------------

    def cancelled(self) -> bool:
        return self._line.cancelled() or self._grace_is_over

    def finish_now(self) -> bool:
        return self._line.finish_now()

    def _make(self, job_id: str, ticket_id: str) -> None:
        ticket = self._fleet.ticket(job_id)
        if ticket is None or ticket.id != ticket_id:
            log.warning("Job %s was given to another worker meanwhile.", job_id)
            return
        self._line.begin(ticket)
        folder = self._work / ticket.id
        try:
            outcome = self._outcome(ticket, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._line.end(outcome, warm=tuple(self._maker.warm()))
        if self._poisoned:
            log.error("CUDA context is broken; restarting the worker.")
            self._line.close()
            os._exit(POISONED)

    def _outcome(self, ticket: RunTicket, folder: Path) -> Outcome:
        try:
            inputs.borrow(self._artifacts, ticket.job, ticket.lent, folder, self._say_loading)
            checkpoint.bring(self._artifacts, ticket.job.id, folder)
            result = self._maker.make(ticket.job, self._line.tell, self, folder)
            if not self._line.may_publish(ticket):
                raise Cancelled
            self._artifacts.publish(ticket.job.id, folder)
        except KinoraError as error:
            if self._grace_is_over and isinstance(error, Cancelled) and not self._line.cancelled():
                return Returned()
            self._poisoned = "CUDA error" in str(error.__cause__)
            checkpoint.save(self._artifacts, ticket.job.id, folder, error)
            return Failed.of(error)
        except Exception:  # one clip fails, told and logged; the warm worker goes on
            log.exception("Job %s failed.", ticket.job.id)
            return Failed.of(KinoraError(ErrorCode.INTERNAL))
        return Done(result.model_copy(update={"machine": self._line.card.machine}))

    def _say_loading(self, phase: str) -> None:
        self._line.tell(Loading(phase))


def _stop_at_once(_signum: int, _frame: object) -> NoReturn:
    """While models load there is nothing to lose; what is raised in an import can get lost, and
    threads that read weights are waited for."""
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="redis_worker")
    parser.add_argument("--models", type=lambda text: tuple(text.split(",")), default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s worker: %(message)s")
    try:
        settings = Settings.load()
        worker = RedisWorker(settings, EngineMaker(settings, arguments.models), arguments.models)
    except KinoraError as error:
        log.error("%s", error.message)
        sys.exit(2)
    with contextlib.suppress(KeyboardInterrupt):
        worker.run()


if __name__ == "__main__":
    main()
