"""When a clip in the making has taken too long: far workers and their servers each keep this clock.

The time a model takes to come here and to be loaded is not the clip's: each word of it begins the
time anew. Silence counts. Knows seconds and the kinds of news; knows no process.
"""

from __future__ import annotations

import time

NOT_THE_CLIPS = frozenset({"begun", "loading", "fallback"})


class Patience:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since = time.monotonic()

    def hear(self, kind: str) -> None:
        """News of the run: an event's kind."""
        if kind in NOT_THE_CLIPS:
            self._since = time.monotonic()

    def is_over(self) -> bool:
        return time.monotonic() - self._since > self._seconds
