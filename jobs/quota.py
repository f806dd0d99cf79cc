"""How long finished clips are kept, and how much room they may take: the oldest go first.

The job of a clip that went says so from then on, and why. Only clips that succeeded go, never a
running one. Knows the settings, the desk and folders on a disk; in an object
store only the age counts.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from typing import Literal

from sqlalchemy import select, update

from jobs.desk import Desk
from jobs.job import WHY as WHY  # also for those who look after room only
from jobs.job import Event, Gone, Result, State
from jobs.recovery import tidy
from jobs.tables import jobs
from settings import Settings

log = logging.getLogger(__name__)

EVERY_S = 600.0
SETTLED_S = 3600.0
"""What is younger may still be written by somebody, while the server runs."""


class Housekeeper:
    """Tidies at the start, then now and then, and looks for room after each clip."""

    def __init__(self, desk: Desk, settings: Settings) -> None:
        self.desk, self.settings = desk, settings
        self._wake, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="tidy", daemon=True)
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
                make_room(self.desk, self.settings)
            except Exception:  # a disk or database that is away comes back
                if not self._closed:
                    log.warning("Old clips could not be removed this time.", exc_info=True)
            self._wake.wait(EVERY_S)


def make_room(desk: Desk, settings: Settings) -> int:
    """Removes clips that are too old or too many; how many. The newest one always stays."""
    if settings.max_disk_gb is None and settings.keep_clips_days is None:
        return 0
    query = select(jobs.c.id, jobs.c.ended_at, jobs.c.result).where(
        jobs.c.state == State.SUCCEEDED.value
    )
    with desk.store.database.reading.begin() as tx:
        finished = [tuple(row) for row in tx.execute(query.order_by(jobs.c.ended_at.desc()))]
    quota = None if settings.max_disk_gb is None else settings.max_disk_gb * 1e9
    days = settings.keep_clips_days
    oldest = None if days is None else time.time() - days * 86400
    seen: set[tuple[int, int]] = set()
    used = gone = kept = 0
    for job_id, ended_at, told in finished:
        if told is None or Result.model_validate_json(told).gone:
            shutil.rmtree(desk.folder(job_id), ignore_errors=True)  # killed while they went
            continue
        used += _new_bytes(desk, job_id, seen)
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
    return gone


def _remove(desk: Desk, job_id: str, why: Literal["age", "space"]) -> None:
    """Written down first: nobody is shown a clip that is half removed."""
    here = jobs.c.id == job_id
    with desk.store.database.durable.begin() as tx:
        told = tx.execute(select(jobs.c.result).where(here)).scalar()
        if told is None:
            return  # deleted meanwhile
        gone = Gone(why=why, at=time.time())
        result = Result.model_validate_json(told).model_copy(update={"gone": gone})
        tx.execute(update(jobs).where(here).values(result=result.model_dump_json()))
    desk.artifacts.remove(job_id)


def _new_bytes(desk: Desk, job_id: str, seen: set[tuple[int, int]]) -> int:
    """Of files not counted yet: a clip handed out again shares them with the first."""
    total = 0
    for path in desk.folder(job_id).glob("*"):
        try:
            stat = path.stat()
        except OSError:
            continue
        if (stat.st_dev, stat.st_ino) not in seen:
            seen.add((stat.st_dev, stat.st_ino))
            total += stat.st_size
    return total
