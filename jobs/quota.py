"""How long finished clips are kept, and how much room they may take: the oldest go first.

A clip that went leaves a word in its folder, so that whoever asks for it hears why. Only clips that
succeeded go, never a running one. Knows the settings, the desk and folders on a disk; in an object
store only the age counts.
"""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy import select

from jobs.artifacts import Artifacts
from jobs.desk import Desk
from jobs.job import Event, State
from jobs.recovery import tidy
from jobs.tables import jobs
from settings import Settings

log = logging.getLogger(__name__)

GONE = "gone"
"""The file that says why the others are not there any more."""
WHY = {
    "age": "This clip is gone: clips are kept here for a limited time only.",
    "space": "This clip is gone: it made room for newer ones.",
}
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
    query = select(jobs.c.id, jobs.c.ended_at).where(jobs.c.state == State.SUCCEEDED.value)
    with desk.store.database.reading.begin() as tx:
        finished = [tuple(row) for row in tx.execute(query.order_by(jobs.c.ended_at.desc()))]
    quota = None if settings.max_disk_gb is None else settings.max_disk_gb * 1e9
    days = settings.keep_clips_days
    oldest = None if days is None else time.time() - days * 86400
    seen: set[tuple[int, int]] = set()
    used = gone = kept = 0
    for job_id, ended_at in finished:
        if (desk.folder(job_id) / GONE).is_file():
            continue
        used += _new_bytes(desk, job_id, seen)
        why = None
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


def why_gone(artifacts: Artifacts, job_id: str) -> str | None:
    """The sentence for a clip that was removed by age or for room."""
    try:
        return WHY.get((artifacts.folder(job_id) / GONE).read_text(encoding="utf-8"))
    except OSError:
        return None


def _remove(desk: Desk, job_id: str, why: str) -> None:
    folder = desk.folder(job_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GONE).write_text(why, encoding="utf-8")
    # the manifest first, so that what is half removed is no clip
    (folder / "result.json").unlink(missing_ok=True)
    desk.artifacts.strip(job_id, frozenset({GONE}))


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
