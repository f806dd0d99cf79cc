"""Retention: removes the files of clips that are too old or over the disk quota, the oldest first.

The job stays and its result says why the files are gone. Unfinished jobs, the clips that they edit,
and the newest clip are never touched. In an object store the same rules hold there, and the quota
for its local copies.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from errors import ErrorCode, KinoraError
from jobs import uploads
from jobs.artifacts import FILE_SUFFIXES, Artifacts
from jobs.batch_files import prune
from jobs.disk_reserve import PROBE_NAME
from jobs.event_types import Event, Succeeded
from jobs.job import WHY as WHY  # also for tests of retention
from jobs.job import Gone
from jobs.lifecycle import JobLifecycle
from jobs.saved import SavedItems
from jobs.signing import FOLDER as SIGNING_FOLDER
from jobs.store import JobStore
from media.files import list_or_empty, remove_partial, stat_or_none
from settings import Settings

log = logging.getLogger(__name__)

EVERY_S = 600.0
LOOK_UP_ONE_BY_ONE = 20
"""The sizes of more clips than that are read from the object store in one listing."""
SETTLED_S = 3600.0
"""While the server runs, younger files are left alone: another process may be writing them."""
UNUSED_UPLOAD_S = 24 * 3600
UNFINISHED_S = 10.0
"""Certificates and the reserve of disk space are written in milliseconds."""
JOB_ID = re.compile(r"[0-9a-f]{32}")

Sizes = dict[str, int]
"""Bytes by job id."""


class Housekeeper:
    """Removes leftovers at the start and every ten minutes, and makes room after each clip."""

    def __init__(self, lifecycle: JobLifecycle, settings: Settings) -> None:
        self._lifecycle, self._settings = lifecycle, settings
        self._wake, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="tidy", daemon=True)
        self._known_sizes: Sizes = {}
        self.also: list[Callable[[], object]] = []
        """What else is removed or repaired every ten minutes."""
        lifecycle.store.subscribe(self._on_event)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _on_event(self, event: Event) -> None:
        if isinstance(event.body, Succeeded):
            self._wake.set()

    def _run(self) -> None:
        settled_s, next_sweep = 0.0, 0.0
        while not self._closed:
            self._wake.clear()
            try:
                if time.monotonic() >= next_sweep:
                    remove_leftovers(self._lifecycle, settled_s)
                    SavedItems(self._lifecycle.store.database).remove_of_past_visitors()
                    for each in self.also:
                        each()
                    settled_s, next_sweep = SETTLED_S, time.monotonic() + EVERY_S
                make_room(self._lifecycle, self._settings, self._known_sizes)
                prune(self._lifecycle.store, self._lifecycle.artifacts, self._settings)
            except Exception:  # the disk or the database may only be away for a moment
                if not self._closed:
                    log.warning("Removing old clips failed, retrying later.", exc_info=True)
            self._wake.wait(EVERY_S)


# -- finished clips --------------------------------------------------------------------------------


def make_room(lifecycle: JobLifecycle, settings: Settings, known_sizes: Sizes | None = None) -> int:
    """Removes the clips that are too old or over the quota; returns how many. The newest one stays.

    `known_sizes` caches what the object store answered: a clip's files never change."""
    store, artifacts = lifecycle.store, lifecycle.artifacts
    if settings.max_disk_gb is None and settings.keep_clips_days is None:
        store.refill_reserve()
        return 0
    finished = store.finished()
    quota = None if settings.max_disk_gb is None else settings.max_disk_gb * 1e9
    days = settings.keep_clips_days
    oldest = None if days is None else time.time() - days * 86400
    sizes: Sizes = {} if known_sizes is None else known_sizes
    if artifacts.is_remote:
        _look_up_sizes(artifacts, [job.id for job in finished], sizes)
    counted: set[tuple[int, int]] = set()
    used = removed = kept = 0
    needed = store.clips_being_edited()
    for job in finished:
        if job.result is None or job.result.gone:
            if sizes.pop(job.id, 0):  # the process was killed while it removed them
                artifacts.remove(job.id)
            shutil.rmtree(artifacts.folder(job.id), ignore_errors=True)
            continue
        used += sizes[job.id] if artifacts.is_remote else _new_bytes(artifacts, job.id, counted)
        why: Literal["age", "space"] | None = None
        if oldest is not None and job.ended_at < oldest:
            why = "age"
        elif quota is not None and used > quota and kept:
            why = "space"
        if why and job.id not in needed:
            _remove_clip(store, artifacts, job.id, why)
            removed += 1
        else:
            kept += 1
    if artifacts.is_remote and quota is not None:
        _remove_local_copies(artifacts, quota)
    store.refill_reserve()
    return removed


def _remove_clip(
    store: JobStore, artifacts: Artifacts, job_id: str, why: Literal["age", "space"]
) -> None:
    """The database first, so that no clip is offered whose files are half removed; the files first
    where the disk is too full to write that."""
    gone = Gone(why=why, at=time.time())
    try:
        is_marked = store.mark_gone(job_id, gone)
    except KinoraError as error:
        if error.code is not ErrorCode.OUT_OF_DISK:
            raise
        artifacts.remove(job_id)
        is_marked = store.mark_gone(job_id, gone)
    if is_marked:
        artifacts.remove(job_id)


def _look_up_sizes(artifacts: Artifacts, job_ids: list[str], sizes: Sizes) -> None:
    """Adds the sizes of those clips that are not in `sizes` yet; 0 where nothing is stored."""
    unknown = [job_id for job_id in job_ids if job_id not in sizes]
    if unknown:
        few = unknown if len(unknown) <= LOOK_UP_ONE_BY_ONE else ()
        sizes |= dict.fromkeys(unknown, 0) | artifacts.stored_bytes(*few)


def _remove_local_copies(artifacts: Artifacts, quota: float) -> None:
    """Copies of what is in the object store: they are fetched again when they are needed."""
    used, now = 0, time.time()
    copies = [(stat_or_none(folder), folder) for folder in list_or_empty(artifacts.jobs)]
    changed = [(stat.st_mtime, folder) for stat, folder in copies if stat and folder.is_dir()]
    for changed_at, folder in sorted(changed, reverse=True):
        used += sum(stat.st_size for stat in map(stat_or_none, list_or_empty(folder)) if stat)
        if used > quota and now - changed_at > SETTLED_S:
            shutil.rmtree(folder, ignore_errors=True)


def _new_bytes(artifacts: Artifacts, job_id: str, counted: set[tuple[int, int]]) -> int:
    """The size of files not counted yet: a reused clip shares its files with the first one."""
    total = 0
    for stat in filter(None, map(stat_or_none, list_or_empty(artifacts.folder(job_id)))):
        if (stat.st_dev, stat.st_ino) not in counted:
            counted.add((stat.st_dev, stat.st_ino))
            total += stat.st_size
    return total


# -- leftovers -------------------------------------------------------------------------------------


def remove_leftovers(lifecycle: JobLifecycle, settled_s: float = 0.0) -> None:
    """Removes what killed processes left: partial files, folders without a job, unused uploads.

    Folders that changed within the last `settled_s` seconds stay: another process may be writing.
    """
    store, artifacts = lifecycle.store, lifecycle.artifacts
    folders = [f for f in list_or_empty(artifacts.jobs) if JOB_ID.fullmatch(f.name)]
    settled = [f for f in folders if not settled_s or _age_s(f) > settled_s]
    states = store.states_of([f.name for f in settled])
    for folder in settled:
        state = states.get(folder.name)
        if state is None:
            # a shared folder may be known to another database, and this one may have been lost
            if store.knows_all and not artifacts.is_shared:
                shutil.rmtree(folder, ignore_errors=True)
        elif state.ended:
            remove_partial(folder)
    if store.knows_all:
        _remove_unused_uploads(store, artifacts)
    data = filter(None, (artifacts.root, store.database.folder))
    for folder in {each for root in data for each in (root, root / SIGNING_FOLDER)}:
        _remove_unfinished(folder)


def _remove_unfinished(folder: Path) -> None:
    """Probes, and other partial files directly in the folder that nobody has written for long."""
    for part in folder.glob("*.part"):
        if PROBE_NAME.fullmatch(part.name) or _age_s(part) > UNFINISHED_S:
            with suppress(OSError):
                part.unlink()


def _remove_unused_uploads(store: JobStore, artifacts: Artifacts) -> None:
    folder = artifacts.uploads_folder
    files = [path for suffix in FILE_SUFFIXES.values() for path in folder.glob(f"*{suffix}")]
    for path in _unused_for_a_day(files):
        if not store.uses_upload(path.stem):
            uploads.remove(folder, path.stem)
    if artifacts.is_remote:
        for name in artifacts.stored_uploads(UNUSED_UPLOAD_S):
            if not store.uses_upload(name):
                artifacts.remove_upload(name)
    for part in _unused_for_a_day(folder.glob("*.part")):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _unused_for_a_day(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if _age_s(path) > UNUSED_UPLOAD_S]


def _age_s(path: Path) -> float:
    stat = stat_or_none(path)
    return time.time() - stat.st_mtime if stat else 0.0
