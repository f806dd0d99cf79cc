"""Time in a run: seconds by phase, the ETA of sampling, throttled loading events, the deadline."""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import TYPE_CHECKING

from errors import Cancelled, ErrorCode, KinoraError
from pipelines.control import Control

if TYPE_CHECKING:
    from pipelines.engine.manager import LoadProgress


class PhaseTimer:
    """Wall seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = self._lap = time.perf_counter()

    def lap(self, phase: str) -> None:
        self.seconds[phase] = time.perf_counter() - self._lap
        self.skip()

    def skip(self) -> None:
        self._lap = time.perf_counter()

    def total(self) -> dict[str, float]:
        total = time.perf_counter() - self._began
        return {phase: round(s, 4) for phase, s in (self.seconds | {"total": total}).items()}


class LoadingThrottle:
    """Limits loading events: a download reports every half percent, not every chunk."""

    def __init__(self) -> None:
        self._phase = ""
        self._fraction = -1.0
        self._bytes = 0

    def is_due(self, progress: LoadProgress) -> bool:
        fraction = progress.fraction or 0.0
        if progress.phase == self._phase and fraction - self._fraction < 0.005:
            return False
        self._phase, self._fraction = progress.phase, fraction
        return True

    def has_more_bytes(self, progress: LoadProgress) -> bool:
        """True while a download makes progress."""
        before, self._bytes = self._bytes, max(self._bytes, progress.bytes_done or 0)
        return self._bytes > before


class StepTimer:
    """Seconds still to sample, from the median of the last steps: the first one is often slow."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=7)
        self._all: list[float] = []

    def eta_s(self, step_s: float, remaining: int) -> float:
        self._steps.append(step_s)
        self._all.append(step_s)
        return round(statistics.median(self._steps) * remaining, 2)

    def step_s(self) -> float | None:
        """The median of the whole run; None where nothing was sampled."""
        steps = self._all[1:] or self._all
        return round(statistics.median(steps), 5) if steps else None


class Deadline:
    """Seconds that a run may take. Thread-safe."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Restarts it: loading or downloading a model does not count as the clip's time."""
        self._ends = time.monotonic() + self.seconds

    def is_over(self) -> bool:
        return time.monotonic() > self._ends


class TimedControl:
    """A control that also cancels at a deadline. As a context manager it turns that into
    KinoraError(TIMEOUT); a user's discard stays `Cancelled`."""

    def __init__(self, control: Control, seconds: float) -> None:
        self._control = control
        self.deadline = Deadline(seconds)

    def cancelled(self) -> bool:
        return self._control.cancelled() or self.deadline.is_over()

    def finish_now(self) -> bool:
        return self._control.finish_now()

    def check(self) -> None:
        """Raises Cancelled."""
        if self.cancelled():
            raise Cancelled

    def __enter__(self) -> TimedControl:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Cancelled) and not self._control.cancelled():
            raise KinoraError(
                ErrorCode.TIMEOUT,
                f"The clip took longer than the {self.deadline.seconds:g} s allowed here. "
                "Make it shorter or smaller.",
            ) from error
