"""Recovery after a crash: takes over the unfinished jobs of servers and commands that are gone."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from errors import ErrorCode, KinoraError
from jobs.checkpoint import with_note
from jobs.job import Job, State, WorkerStop, for_worker
from jobs.lifecycle import JobLifecycle
from jobs.liveness import ServerLiveness, is_command

log = logging.getLogger(__name__)


def recover(
    lifecycle: JobLifecycle,
    liveness: ServerLiveness,
    resume: Callable[[Job], bool] = lambda _job: False,
) -> int:
    """Returns how many unfinished jobs were taken over. Two servers may call this at once.

    `resume` returns True for a job whose worker may still be running: then it is left to the
    executor."""
    store, count = lifecycle.store, 0
    with liveness.exclusive():
        for server in store.servers():
            if liveness.is_alive(server):
                continue
            if is_command(server):
                end_command(lifecycle, server)
                continue
            for job in store.unfinished(server, State.RUNNING):
                store.take_over(job.id)
                if not resume(job):
                    lifecycle.worker_lost(job)
                count += 1
            count += store.take_over_queued(server)
        for name in liveness.expired():
            liveness.remove(name)
    if count:
        log.info("Took over %d unfinished jobs of a stopped server.", count)
    return count


def end_commands(lifecycle: JobLifecycle, liveness: ServerLiveness) -> None:
    """Ends the jobs of killed command lines; takes over nothing else."""
    with liveness.exclusive():
        for server in lifecycle.store.servers():
            if is_command(server) and not liveness.is_alive(server):
                end_command(lifecycle, server)


def end_command(lifecycle: JobLifecycle, server: str) -> None:
    """Ends the running and queued jobs of a command that has ended. A complete clip and stored
    latents are kept."""
    error = KinoraError(ErrorCode.WORKER_LOST, "The command that made this clip was stopped.")
    for job in lifecycle.store.unfinished(server, State.RUNNING):
        result = lifecycle.finished_result(job.id)
        if result and lifecycle.stop_request(job.id) != "discard":
            lifecycle.succeed(job, result)
        else:
            lifecycle.fail(job, error)
    for job in lifecycle.store.unfinished(server, State.QUEUED):
        if lifecycle.has_checkpoint(job.id):
            lifecycle.fail_queued(job.id, with_note(error), remove_files=False)
        else:
            lifecycle.fail_queued(job.id, error)


def forward_stop_requests(
    lifecycle: JobLifecycle, request_stop: Callable[[str, WorkerStop], None]
) -> None:
    """Passes on stop requests for this server's running jobs that another process has stored: it
    knows the database but not our worker. Repeating one changes nothing."""
    for job in lifecycle.store.running():
        if job.asked:
            with contextlib.suppress(OSError):  # the worker is gone, which its supervisor handles
                request_stop(job.id, for_worker(job.asked))
