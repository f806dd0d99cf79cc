"""The web requests of queued jobs on ZeroGPU.

ZeroGPU grants a GPU to the web request of a caller, by a token in it that is valid for about 170 s.
So a job uses its newest request, its page sends another one before the token expires, and a job
without a request fails after a while.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from jobs.queue import Waiting

REFRESH_S = 100.0
"""After so long a page should send a new request."""
TOKEN_S = 170.0
"""After so long ZeroGPU does not accept the token any more."""
IDLE_S = 300.0
"""A queued job without a request for so long fails."""
GRACE_S = 5.0
"""From accepting a job until its request is added."""
MOST_EXPIRED = 5
"""After so many expired tokens in a row the job fails: new ones would expire too."""


@dataclass
class CallerRequest:
    """A caller's web request: the context in which `spaces` finds it."""

    context: contextvars.Context
    at: float
    seen_at: float
    """When the caller was last known to be connected."""


class Drivers:
    """Thread-safe."""

    def __init__(self, idle_s: float | None = None) -> None:
        self.idle_s = IDLE_S if idle_s is None else idle_s
        self._lock = threading.Lock()
        self._requests: dict[str, CallerRequest] = {}
        self._idle_since: dict[str, float] = {}
        self._expired: dict[str, int] = {}

    def add(self, job_id: str) -> None:
        """The job uses the current web request from now on."""
        now = time.monotonic()
        with self._lock:
            self._requests[job_id] = CallerRequest(contextvars.copy_context(), now, now)
            self._idle_since.pop(job_id, None)

    def touch(self, job_id: str) -> None:
        """The caller is still connected, though without a new token."""
        with self._lock:
            request = self._requests.get(job_id)
            if request is not None:
                request.seen_at = time.monotonic()

    def newest(self, job_id: str) -> CallerRequest | None:
        with self._lock:
            return self._requests.get(job_id)

    def drop(self, job_id: str, used: CallerRequest | None) -> None:
        """Removes a request that cannot be used any more, but not a newer one."""
        with self._lock:
            if self._requests.get(job_id) is used:
                self._requests.pop(job_id, None)
                self._idle_since[job_id] = time.monotonic()

    def count_expired(self, job_id: str) -> int:
        with self._lock:
            self._expired[job_id] = self._expired.get(job_id, 0) + 1
            return self._expired[job_id]

    def known(self) -> set[str]:
        with self._lock:
            return self._requests.keys() | self._idle_since.keys() | self._expired.keys()

    def forget(self, ended: Iterable[str]) -> None:
        with self._lock:
            for job_id in ended:
                for table in (self._requests, self._idle_since, self._expired):
                    table.pop(job_id, None)

    def drivable(self) -> set[str]:
        with self._lock:
            return set(self._requests)

    def wants_request(self, job_id: str) -> bool:
        """True if a page that shows the clip should send a new request."""
        request = self.newest(job_id)
        return request is None or time.monotonic() - request.at > REFRESH_S

    def idle(self, waiting: Iterable[Waiting]) -> set[str]:
        """The queued jobs without a request: they delay no other job and count for no limit."""
        with self._lock:
            return {job.id for job in waiting if self._is_idle(job)}

    def idle_too_long(self, waiting: Iterable[Waiting]) -> set[str]:
        """The queued jobs that were without a request for too long."""
        now, found = time.monotonic(), set[str]()
        with self._lock:
            for job in waiting:
                request = self._requests.get(job.id)
                if request is not None:
                    since = request.seen_at
                elif self._is_idle(job):  # after a restart the time begins now
                    since = self._idle_since.setdefault(job.id, now)
                else:
                    continue
                if now - since > self.idle_s:
                    found.add(job.id)
        return found

    def _is_idle(self, job: Waiting) -> bool:
        if job.is_edit:  # which needs no GPU
            return False
        request = self._requests.get(job.id)
        if request is not None:
            return time.monotonic() - request.seen_at > min(TOKEN_S, self.idle_s)
        return job.id in self._idle_since or time.time() - job.created_at > GRACE_S
