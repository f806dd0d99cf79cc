"""How long finished clips are kept, and how much room they may take: the oldest go first.

The job of a clip that went says so from then on, and why. Only clips that succeeded go, never a
running one. In an object store the same holds, and for the copies of its clips that are kept here.
Knows the settings, the desk and how much the artifacts take.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Literal

from sqlalchemy import select, update

from errors import ErrorCode, KinoraError
from jobs import uploads
from jobs.database import jobs
from jobs.job import WHY as WHY  # also for those who look after room only
from jobs.job import Event, Gone, Result, State
from jobs.lifecycle import JobLifecycle
from media.files import list_or_empty, remove_partial, stat_or_none
from settings import Settings

log = logging.getLogger(__name__)

EVERY_S = 600.0
ONE_BY_ONE = 20
"""More clips than that are asked for together."""
SETTLED_S = 3600.0
"""What is younger may still be written by somebody, while the server runs."""

Sizes = dict[str, int]
"""Bytes by job."""


class Housekeeper:
    """Tidies at the start, then now and then, and looks for room after each clip."""

    def __init__(self, desk: JobLifecycle, settings: Settings) -> None:
        self.desk, self.settings = desk, settings
        self._wake, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="tidy", daemon=True)
        self._known: Sizes = {}
        desk.store.listeners.append(self._heard)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _heard(self, event: Event) -> None:
        if event.kind == "succeeded":
            self._wake.set()

    def _run(self) -> None:
        settled_s, next_tidy = 0.0, 0.0
        while not self._closed:
            self._wake.clear()
            try:
                if time.monotonic() >= next_tidy:
                    tidy(self.desk, settled_s)
                    settled_s, next_tidy = SETTLED_S, time.monotonic() + EVERY_S
                make_room(self.desk, self.settings, self._known)
            except Exception:  # a disk or database that is away comes back
                if not self._closed:
                    log.warning("Removing old clips failed, retrying later.", exc_info=True)
            self._wake.wait(EVERY_S)


def make_room(desk: JobLifecycle, settings: Settings, known: Sizes | None = None) -> int:
    """Removes clips that are too old or too many; how many. The newest one always stays.

    `known` is what an object store was asked before: a clip's files never change."""
    if settings.max_disk_gb is None and settings.keep_clips_days is None:
        desk.store.database.reserve.refill()
        return 0
    query = select(jobs.c.id, jobs.c.ended_at, jobs.c.result).where(
        jobs.c.state == State.SUCCEEDED.value
    )
    with desk.store.database.reading.begin() as tx:
        finished = [tuple(row) for row in tx.execute(query.order_by(jobs.c.ended_at.desc()))]
    quota = None if settings.max_disk_gb is None else settings.max_disk_gb * 1e9
    days = settings.keep_clips_days
    oldest = None if days is None else time.time() - days * 86400
    is_remote, known = desk.artifacts.is_remote, {} if known is None else known
    if is_remote:
        _look_up(desk, [row[0] for row in finished], known)
    seen: set[tuple[int, int]] = set()
    used = gone = kept = 0
    for job_id, ended_at, told in finished:
        if told is None or Result.model_validate_json(told).gone:
            if known.pop(job_id, 0):  # killed while they went
                desk.artifacts.remove(job_id)
            shutil.rmtree(desk.folder(job_id), ignore_errors=True)
            continue
        used += known[job_id] if is_remote else _new_bytes(desk, job_id, seen)
        why: Literal["age", "space"] | None = None
        if oldest is not None and ended_at < oldest:
            why = "age"
        elif quota is not None and used > quota and kept:
            why = "space"
        if why:
            _remove(desk, job_id, why)
            gone += 1
        else:
            kept += 1
    if is_remote and quota is not None:
        _drop_copies(desk, quota)
    desk.store.database.reserve.refill()
    return gone


def _remove(desk: JobLifecycle, job_id: str, why: Literal["age", "space"]) -> None:
    """Written down first, so that no clip is shown that is half removed; unless the disk is too
    full even for that."""

    def note() -> bool:
        here = jobs.c.id == job_id
        with desk.store.database.durable.begin() as tx:
            told = tx.execute(select(jobs.c.result).where(here)).scalar()
            if told is None:
                return False  # deleted meanwhile
            gone = Gone(why=why, at=time.time())
            result = Result.model_validate_json(told).model_copy(update={"gone": gone})
            tx.execute(update(jobs).where(here).values(result=result.model_dump_json()))
        return True

    try:
        is_noted = desk.store.database.reserve.use_for(note)
    except KinoraError as error:
        if error.code is not ErrorCode.OUT_OF_DISK:
            raise
        desk.artifacts.remove(job_id)
        is_noted = note()
    if is_noted:
        desk.artifacts.remove(job_id)


def _look_up(desk: JobLifecycle, job_ids: list[str], known: Sizes) -> None:
    unknown = [job_id for job_id in job_ids if job_id not in known]
    if unknown:
        few = unknown if len(unknown) <= ONE_BY_ONE else ()
        known |= dict.fromkeys(unknown, 0) | desk.artifacts.stored_bytes(*few)


def _drop_copies(desk: JobLifecycle, quota: float) -> None:
    """Of what is in the object store: fetched again when somebody wants to see it."""
    used, now = 0, time.time()
    copies = [(stat_or_none(folder), folder) for folder in list_or_empty(desk.artifacts.jobs)]
    changed = [(stat.st_mtime, folder) for stat, folder in copies if stat and folder.is_dir()]
    for changed_at, folder in sorted(changed, reverse=True):
        used += sum(stat.st_size for stat in map(stat_or_none, list_or_empty(folder)) if stat)
        if used > quota and now - changed_at > SETTLED_S:
            shutil.rmtree(folder, ignore_errors=True)


def _new_bytes(desk: JobLifecycle, job_id: str, seen: set[tuple[int, int]]) -> int:
    """Of files not counted yet: a clip handed out again shares them with the first."""
    total = 0
    for stat in filter(None, map(stat_or_none, list_or_empty(desk.folder(job_id)))):
        if (stat.st_dev, stat.st_ino) not in seen:
            seen.add((stat.st_dev, stat.st_ino))
            total += stat.st_size
    return total


JOB_ID = re.compile(r"[0-9a-f]{32}")

UNUSED_PICTURE_S = 24 * 3600


def tidy(desk: JobLifecycle, settled_s: float = 0.0) -> None:
    """Removes what killed processes left: half files, folders without a job, unused pictures.

    Folders that changed within the last `settled_s` are left alone: somebody may be writing."""
    named = [f for f in list_or_empty(desk.artifacts.jobs) if JOB_ID.fullmatch(f.name)]
    folders = [f for f in named if not settled_s or _age_s(f) > settled_s]
    states = desk.store.among([f.name for f in folders])
    for folder in folders:
        state = states.get(folder.name)
        if state is None and (desk.artifacts.is_shared or not desk.store.knows_all):
            continue  # another database may know it
        if state is None:
            shutil.rmtree(folder, ignore_errors=True)
        elif state.ended:
            remove_partial(folder)

    if not desk.store.knows_all:
        return
    for gift in [*desk.pictures.glob("*.png"), *desk.pictures.glob("*.mp4")]:
        if _age_s(gift) > UNUSED_PICTURE_S and not desk.store.uses_picture(gift.stem):
            uploads.forget(desk.pictures, gift.stem)
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
    stat = stat_or_none(path)
    return time.time() - stat.st_mtime if stat else 0.0
