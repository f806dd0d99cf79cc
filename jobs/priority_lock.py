"""PriorityLock: a lock that low-priority threads get only while no other thread waits for it.

When fifty requests are submitted at once, the progress of running jobs must not wait for them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class PriorityLock:
    """`with lock:` comes before every thread that waits in `with lock.low_priority():`."""

    def __init__(self) -> None:
        lock = threading.Lock()
        self._normal, self._low = threading.Condition(lock), threading.Condition(lock)
        self._waiting = 0
        self._is_held = False

    def __enter__(self) -> None:
        with self._normal:
            self._waiting += 1
            try:
                self._normal.wait_for(lambda: not self._is_held)
                self._is_held = True
            finally:
                self._waiting -= 1

    def __exit__(self, *how: object) -> None:
        self._release()

    @contextmanager
    def low_priority(self) -> Iterator[None]:
        with self._low:
            self._low.wait_for(lambda: not self._is_held and not self._waiting)
            self._is_held = True
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        with self._normal:
            self._is_held = False
            (self._normal if self._waiting else self._low).notify()
