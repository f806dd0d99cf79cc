"""The web requests of queued jobs on ZeroGPU, and which jobs have none.

On ZeroGPU a GPU is granted to a caller's web request, by a token in it that is valid for about
170 s. So the newest request of a job is used, pages send a new one before the token expires, and a
job without one is given up after a while.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.queue import Waiting

REFRESH_S = 100.0
"""The age at which a request should be replaced."""
TOKEN_S = 170.0
"""The age at which a token is refused."""
IDLE_S = 300.0
"""A job that had no request for so long is given up."""
GRACE_S = 5.0
"""From accepting a job until its first request is attached."""
MOST_EXPIRED = 5
"""After so many expired tokens in a row, new ones would expire too."""


@dataclass
class Lent:
    """A caller's web request, as the context in which `spaces` finds it."""

    context: contextvars.Context
    at: float
    seen_at: float
    """When the caller was last known to be connected."""


class Drivers:
    """Thread-safe. Knows neither the store nor `spaces`."""

    def __init__(self, idle_s: float | None = None) -> None:
        self.idle_s = IDLE_S if idle_s is None else idle_s
        self._lock = threading.Lock()
        self._lent: dict[str, Lent] = {}
        self._idle_since: dict[str, float] = {}
        self._expired: dict[str, int] = {}

    def lend(self, job_id: str) -> None:
        """The job uses the current web request from now on."""
        now = time.monotonic()
        with self._lock:
            self._lent[job_id] = Lent(contextvars.copy_context(), now, now)
            self._idle_since.pop(job_id, None)

    def touch(self, job_id: str) -> None:
        """The caller is still connected; the age of its token does not change."""
        with self._lock:
            lent = self._lent.get(job_id)
            if lent is not None:
                lent.seen_at = time.monotonic()

    def newest(self, job_id: str) -> Lent | None:
        with self._lock:
            return self._lent.get(job_id)

    def drop(self, job_id: str, used: Lent | None) -> None:
        """Removes a used request; a newer one stays."""
        with self._lock:
            if self._lent.get(job_id) is used:
                self._lent.pop(job_id, None)
                self._idle_since[job_id] = time.monotonic()

    def count_expired(self, job_id: str) -> int:
        with self._lock:
            self._expired[job_id] = self._expired.get(job_id, 0) + 1
            return self._expired[job_id]

    def known(self) -> set[str]:
        with self._lock:
            return self._lent.keys() | self._idle_since.keys() | self._expired.keys()

    def forget(self, ended: Iterable[str]) -> None:
        with self._lock:
            for job_id in ended:
                for table in (self._lent, self._idle_since, self._expired):
                    table.pop(job_id, None)

    def drivable(self) -> set[str]:
        with self._lock:
            return set(self._lent)

    def wants_request(self, job_id: str) -> bool:
        """True if a page that shows the clip should send a new request for it."""
        lent = self.newest(job_id)
        return lent is None or time.monotonic() - lent.at > REFRESH_S

    def idle(self, waiting: Iterable[Waiting]) -> set[str]:
        """The jobs without a request: they delay no others and count for no limit."""
        with self._lock:
            return {job.id for job in waiting if self._is_idle(job)}

    def given_up(self, waiting: Iterable[Waiting]) -> set[str]:
        """The jobs that had no request for too long."""
        now, found = time.monotonic(), set[str]()
        with self._lock:
            for job in waiting:
                lent = self._lent.get(job.id)
                if lent is not None:
                    since = lent.seen_at
                elif self._is_idle(job):  # after a restart the time starts when it is first seen
                    since = self._idle_since.setdefault(job.id, now)
                else:
                    continue
                if now - since > self.idle_s:
                    found.add(job.id)
        return found

    def _is_idle(self, job: Waiting) -> bool:
        lent = self._lent.get(job.id)
        if lent is not None:
            return time.monotonic() - lent.seen_at > min(TOKEN_S, self.idle_s)
        return job.id in self._idle_since or time.time() - job.created_at > GRACE_S
