"""Removes a job with its events and files: now, or when the time to undo its deletion is over."""

from __future__ import annotations

import logging
import threading
import time

from errors import ErrorCode, KinoraError
from jobs import gallery_sql
from jobs.artifacts import Artifacts
from jobs.batch_files import BatchFiles
from jobs.events import EventLog
from jobs.job import Job
from jobs.store import JobStore

log = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
"""Another server, which may stop before the time is over, writes to the same database."""
RETRY_S = 5.0
AT_ONCE = 100


class ClipRemover:
    """Thread-safe."""

    def __init__(
        self, store: JobStore, events: EventLog, artifacts: Artifacts, batch_files: BatchFiles
    ) -> None:
        self._store = store
        self._events = events
        self._artifacts = artifacts
        self._batch_files = batch_files

    def remove(self, job: Job) -> bool:
        """False if the job has not ended, or is gone."""
        try:
            is_deleted = self._store.delete(job.id)
        except KinoraError as error:
            if error.code is not ErrorCode.OUT_OF_DISK or not job.state.ended:
                raise
            self._artifacts.remove(job.id)  # a full disk: the files first, to make room
            is_deleted = self._store.delete(job.id)
        if is_deleted:
            self._forget(job)
        return is_deleted

    def remove_due(self, job_id: str, now: float) -> bool:
        """Removes a clip whose time to undo is over; False if it was restored meanwhile. The row
        first, and only while it is marked: what a caller has restored keeps its files."""
        job = self._store.get(job_id)
        if job is None or not self._store.delete(job_id, due_at=now):
            return False
        self._forget(job)
        return True

    def _forget(self, job: Job) -> None:
        self._events.forget(job.id)
        self._artifacts.remove(job.id)
        if job.batch:
            self._batch_files.remove(job.batch)
        self._store.database.reserve.refill()


class DeadlineThread:
    """Removes deleted clips when their time to undo is over; those of an earlier process too."""

    def __init__(self, store: JobStore, remover: ClipRemover) -> None:
        self._store = store
        self._remover = remover
        self._wake, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="deleted clips", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def notice(self, _deadline: float) -> None:
        """There is a new deadline."""
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            self._wake.clear()
            try:
                wait_s = self._remove_due()
            except Exception:  # the disk or the database may only be away for a moment
                if not self._closed:
                    log.warning("Removing deleted clips failed, retrying in 5 s.", exc_info=True)
                wait_s = RETRY_S
            self._wake.wait(wait_s)

    def _remove_due(self) -> float:
        """Returns how long to wait for the next one."""
        now = time.time()
        with self._store.database.reading.begin() as tx:
            due, later = gallery_sql.due(tx, now, AT_ONCE)
        for job_id in due:
            if self._closed:
                return 0.0
            self._remover.remove_due(job_id, now)
        if len(due) == AT_ONCE:
            return 0.0
        return min(LOOK_EVERY_S, max(0.05, later - now)) if later else LOOK_EVERY_S
