"""What the workers load before anybody can begin, told to the clip that will be first.

It still waits; its log says what for. Knows the store; knows no worker.
"""

from __future__ import annotations

import logging

from errors import KinoraError
from jobs.event_types import Loading
from jobs.job import State
from jobs.store import JobStore

log = logging.getLogger(__name__)

NEWS = 0.01  # of the whole: less is not worth an event


class LoadingReporter:
    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._told = ("", "", 0.0)

    def tell(self, loading: Loading) -> None:
        """As often as one likes: only what is new is written down."""
        try:
            first = next(iter(self._store.queued_ids()), None)
            phase, fraction = loading.phase, loading.fraction or 0.0
            *before, told = self._told
            if first is None or (before == [first, phase] and abs(fraction - told) < NEWS):
                return
            self._store.append(first, loading, while_=State.QUEUED)
            self._told = (first, phase, fraction)
        except KinoraError as error:
            log.warning("Publishing loading progress failed: %s", error.message)
