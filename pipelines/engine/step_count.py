"""Counts the steps of a run and how many there will be, whichever way its pipeline samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.engine.x0 import StepState


@dataclass(frozen=True)
class Step:
    index: int
    """From 1 to `total`."""
    total: int
    seconds: float


@dataclass
class _Bar:
    """A progress bar of the pipeline that is not closed yet."""

    total: int
    began: int
    """Steps before it was opened."""
    is_loop: bool
    """It iterates over the timesteps itself."""
    spans_rounds: bool = False
    """The timesteps were set after it was opened, so its total is that of several rounds."""


@dataclass
class StepCount:
    """`index` of `total` inference steps.

    A round begins where the timesteps are set. Most pipelines have one; those that make a clip in
    chunks, tiles or sizes have several. Schedulers of order 2 (Heun) are called twice for one
    inference step: such calls count as one step, as in `num_inference_steps`.
    """

    rounds: int = 1
    """How many rounds (or bars that span rounds) are expected."""
    index: int = 0
    total: int = 0
    _earlier: int = 0
    """Steps before this round."""
    _first: int | None = None
    """Where in the schedule this round began: video-to-video skips the beginning by `strength`."""
    _position: int = -1
    _calls: int = 0
    """Calls of `step` that this round needs."""
    _bar: _Bar | None = None
    _units: int = 0
    """Rounds, or bars that span rounds, that have begun."""

    @property
    def by_scheduler(self) -> bool:
        """The pipeline steps its own scheduler, and not only copies of it."""
        return self._first is not None or self._position >= 0

    @property
    def round_is_over(self) -> bool:
        """The schedule has no further calls of `step` in this round."""
        return self._first is not None and self._position - self._first + 1 >= self._calls

    def begin_round(self) -> None:
        is_new = self._units == 0 or self.index > self._earlier  # may be set twice before a loop
        if self._bar is not None:
            is_new, self._bar.spans_rounds = not self._bar.spans_rounds, True
        self._units += is_new
        self._earlier, self._first = self.index, None

    def open_bar(self, total: int | None, is_loop: bool) -> None:
        self._bar = None if total is None else _Bar(total, self.index, is_loop)
        if not self.by_scheduler and self.index > 0:  # counted by bars alone
            self._units += 1

    def close_bar(self) -> None:
        self._bar = None

    def before_step(self, state: StepState) -> None:
        if self._first is None:
            self._first = self._position = _schedule_position(state)
        else:
            self._position = state.index if state.index is not None else self._position + 1

    def count_call(self, scheduler: Any, declared: int | None = None) -> bool:
        """Whether an inference step is complete with this call of `step`; updates the counts.

        `declared`: the steps of the whole run, where the pipeline says it (`num_timesteps`).
        """
        first, order = self._first or 0, getattr(scheduler, "order", 1)
        self._calls = len(scheduler.timesteps) - first
        if self._bar is not None and self._bar.is_loop and not self._bar.spans_rounds:
            self._calls = min(self._calls, self._bar.total)
        done = self._position - first + 1
        # rounded up: the last step of a second-order scheduler is a single call
        complete = -(-self._calls // order) if done >= self._calls else done // order
        if self._earlier + complete <= self.index:
            return False
        self.index = self._earlier + complete
        if declared is not None and declared > len(scheduler.timesteps):
            self.total = max(-(-declared // order), self.index)
        else:
            self._expect(self._earlier, self._earlier - (-self._calls // order))
        return True

    def skip_call(self, scheduler: Any) -> None:
        """A call of `step` whose result is not used: its place in the schedule is no step."""
        if getattr(scheduler, "order", 1) == 1:
            self._earlier -= 1

    def count_bar(self) -> None:
        """Of a pipeline that does not step its own scheduler: its progress bar advances."""
        self.index += 1
        if self._bar is not None:
            self._expect(self._bar.began, self._bar.began + self._bar.total)
        self.total = max(self.total, self.index)

    def _expect(self, began: int, end: int) -> None:
        """The total, from where this round began and will end; later ones are as long."""
        if self._bar is not None and self._bar.spans_rounds:
            began, end = self._bar.began, self._bar.began + self._bar.total
        later = max(0, self.rounds - max(1, self._units))
        self.total = max(end + later * (end - began), self.index)


def _schedule_position(state: StepState) -> int:
    """The index into the scheduler's timesteps."""
    if state.index is not None:
        return state.index
    places = (state.scheduler.timesteps == state.timestep).nonzero()
    return int(places[0]) if len(places) else 0
