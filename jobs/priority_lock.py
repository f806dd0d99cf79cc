"""Turnstile: one writer at a time, and new requests let everybody else go first.

When fifty ask at once, the news of clips in the making must not stand behind them all. Knows
threads; does not know what is written.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class PriorityLock:
    """`with turnstile:` goes before whoever waits `with turnstile.patiently():`."""

    def __init__(self) -> None:
        lock = threading.Lock()
        self._first, self._patient = threading.Condition(lock), threading.Condition(lock)
        self._hurried = 0
        self._taken = False

    def __enter__(self) -> None:
        with self._first:
            self._hurried += 1
            try:
                self._first.wait_for(lambda: not self._taken)
                self._taken = True
            finally:
                self._hurried -= 1

    def __exit__(self, *how: object) -> None:
        self._leave()

    @contextmanager
    def patiently(self) -> Iterator[None]:
        with self._patient:
            self._patient.wait_for(lambda: not self._taken and not self._hurried)
            self._taken = True
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._first:
            self._taken = False
            (self._first if self._hurried else self._patient).notify()
