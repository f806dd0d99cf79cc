"""Loading events of a job that is still queued, because every worker is loading models."""

from __future__ import annotations

import logging

from errors import KinoraError
from jobs.event_types import Loading
from jobs.job import State
from jobs.store import JobStore

log = logging.getLogger(__name__)

MIN_CHANGE = 0.01  # a fraction: less is not worth an event


class LoadingReporter:
    """Appends loading events to the log of the first job in the queue."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._reported = ("", "", 0.0)

    def report(self, loading: Loading) -> None:
        """May be called often: only changes are stored."""
        try:
            first = next(iter(self._store.queued_ids()), None)
            phase, fraction = loading.phase, loading.fraction or 0.0
            *before, reported = self._reported
            if first is None or (
                before == [first, phase] and abs(fraction - reported) < MIN_CHANGE
            ):
                return
            self._store.append(first, loading, while_=State.QUEUED)
            self._reported = (first, phase, fraction)
        except KinoraError as error:
            log.warning("Publishing loading progress failed: %s", error.message)
