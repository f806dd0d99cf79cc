"""What a server does first: takes up the work of servers that are gone, and tidies after them.

Waiting jobs are adopted; running ones are kept if their clip is whole, else done again, once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from errors import ErrorCode, KinoraError
from jobs.checkpoint import with_note
from jobs.event_types import Failed
from jobs.job import Asked, Job, State
from jobs.lifecycle import JobLifecycle
from jobs.liveness import ServerLiveness, is_command

log = logging.getLogger(__name__)


def recover(
    desk: JobLifecycle, presence: ServerLiveness, resume: Callable[[Job], bool] = lambda _job: False
) -> int:
    """How many unfinished jobs were taken over. Safe when two servers do it at once.

    `resume` says True for a clip whose worker may still be at it: then it is left to the executor.
    """
    store, taken = desk.store, 0
    with presence.alone():
        for server in store.servers():
            if presence.is_alive(server):
                continue
            if is_command(server):
                end_command(desk, server)
                continue
            for job in store.unfinished(server, State.RUNNING):
                store.take(job.id)
                if not resume(job):
                    desk.lost(job)
                taken += 1
            taken += store.adopt(server)
        for name in presence.the_dead():
            presence.bury(name)
    if taken:
        log.info("Took over %d unfinished jobs of a stopped server.", taken)
    return taken


def end_commands(desk: JobLifecycle, presence: ServerLiveness) -> None:
    """Ends what command lines that were killed left; takes up nothing else."""
    with presence.alone():
        for server in desk.store.servers():
            if is_command(server) and not presence.is_alive(server):
                end_command(desk, server)


def end_command(desk: JobLifecycle, server: str) -> None:
    """The clips of a command line end with it: nobody waits for them any more. A clip that is
    whole is kept, and so is what was sampled of one."""
    error = KinoraError(ErrorCode.WORKER_LOST, "The command that made this clip was stopped.")
    for job in desk.store.unfinished(server, State.RUNNING):
        result = desk.finished_result(job.id)
        if result and desk.asked(job.id) != "discard":
            desk.succeed(job, result)
        else:
            desk.fail(job, error)
    for job in desk.store.unfinished(server, State.QUEUED):
        is_sampled = desk.is_sampled(job.id)
        kept = with_note(error) if is_sampled else error
        moved = desk.store.move(job.id, State.QUEUED, State.FAILED, Failed.of(kept))
        if moved and not is_sampled:
            desk.artifacts.remove(job.id)


def pass_on_asked(desk: JobLifecycle, ask: Callable[[str, Asked], None]) -> None:
    """What was asked of this server's running clips through another process, which knows the
    database and not our worker. Asked again, nothing changes."""
    for job in desk.store.running():
        if job.asked:
            with contextlib.suppress(OSError):  # the worker is gone; its supervisor sees to that
                ask(job.id, job.asked)
