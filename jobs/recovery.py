"""What a server does first: takes up the work of servers that are gone, and tidies after them.

Waiting jobs are adopted; running ones are kept if their clip is whole, else done again, once.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from errors import ErrorCode, KinoraError
from jobs import given
from jobs.desk import Desk
from jobs.insurance import with_note
from jobs.job import Asked, Job, State
from jobs.presence import Alive, is_command
from media.files import inside, stat_of, sweep

log = logging.getLogger(__name__)

JOB_ID = re.compile(r"[0-9a-f]{32}")
UNUSED_PICTURE_S = 24 * 3600


def recover(desk: Desk, presence: Alive, resume: Callable[[Job], bool] = lambda _job: False) -> int:
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
        log.info("Took up %d unfinished clips of a server that is gone.", taken)
    return taken


def end_commands(desk: Desk, presence: Alive) -> None:
    """Ends what command lines that were killed left; takes up nothing else."""
    with presence.alone():
        for server in desk.store.servers():
            if is_command(server) and not presence.is_alive(server):
                end_command(desk, server)


def end_command(desk: Desk, server: str) -> None:
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
        told = kept.as_dict()
        moved = desk.store.move(job.id, State.QUEUED, State.FAILED, "failed", told, error=kept)
        if moved and not is_sampled:
            desk.artifacts.remove(job.id)


def pass_on_asked(desk: Desk, ask: Callable[[str, Asked], None]) -> None:
    """What was asked of this server's running clips through another process, which knows the
    database and not our worker. Asked again, nothing changes."""
    for job in desk.store.running():
        if job.asked:
            with contextlib.suppress(OSError):  # the worker is gone; its supervisor sees to that
                ask(job.id, job.asked)


def tidy(desk: Desk, settled_s: float = 0.0) -> None:
    """Removes what killed processes left: half files, folders without a job, unused pictures.

    Folders that changed within the last `settled_s` are left alone: somebody may be writing."""
    named = [f for f in inside(desk.artifacts.jobs) if JOB_ID.fullmatch(f.name)]
    folders = [f for f in named if not settled_s or _age_s(f) > settled_s]
    states = desk.store.among([f.name for f in folders])
    for folder in folders:
        state = states.get(folder.name)
        if state is None and (desk.artifacts.is_shared or not desk.store.knows_all):
            continue  # another database may know it
        if state is None:
            shutil.rmtree(folder, ignore_errors=True)
        elif state.ended:
            sweep(folder)

    if not desk.store.knows_all:
        return
    for gift in [*desk.pictures.glob("*.png"), *desk.pictures.glob("*.mp4")]:
        if _age_s(gift) > UNUSED_PICTURE_S and not desk.store.uses_picture(gift.stem):
            given.forget(desk.pictures, gift.stem)
    if desk.artifacts.is_remote:
        for name in desk.artifacts.stored_given(UNUSED_PICTURE_S):
            if not desk.store.uses_picture(name):
                desk.artifacts.forget_given(name)
    for part in desk.pictures.glob("*.part"):
        if _age_s(part) > UNUSED_PICTURE_S:
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def _age_s(path: Path) -> float:
    stat = stat_of(path)
    return time.time() - stat.st_mtime if stat else 0.0
