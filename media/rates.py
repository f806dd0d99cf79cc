"""Chooses a constant frame rate that shows every frame of a clip, from its timestamps.

The average is no use: if one frame is held for five seconds, two seconds of motion at 60 frames a
second would look like four.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

MAX_FPS = 60
MIN_FPS = 1
DEFAULT_FPS = Fraction(30)
"""For a file without timestamps or a declared rate."""

INTEGER_RATES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 18, 20, 24, 25, 30, 48, 50, 60)
RATES = tuple(
    sorted([
        *(Fraction(rate) for rate in INTEGER_RATES),
        *(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60)),
        Fraction(25, 2),
    ])
)  # fmt: skip
MILLISECOND = Fraction(1, 1000)
JITTER = 0.35
"""How far a frame may be from its place at a constant rate, in frames."""
JITTER_S = 0.01
"""The same in seconds; the smaller of the two holds."""
FRAMES_PER_OUTLIER = 100
"""One frame in this many may be off the rate, as when a phone drops a frame."""


def choose_rate(
    timestamps: Sequence[Fraction],
    end: Fraction,
    tick: Fraction,
    declared: Fraction | None,
    max_fps: int = MAX_FPS,
) -> Fraction:
    """Returns a rate between MIN_FPS and `max_fps`. Rates above MAX_FPS are found only if the
    frames are evenly spaced.

    timestamps: in seconds, in order, exact to one `tick`; the last frame lasts until `end`.
    declared: the container's rate, used only for a clip of one frame.
    """
    times = list(dict.fromkeys(timestamps))
    if len(times) < 2:
        return _limit_rate(declared or DEFAULT_FPS, max_fps)
    shortest = min(after - before for before, after in itertools.pairwise(times))
    if 2 * tick < end - times[-1] < shortest - 2 * tick:  # a longer last frame is a held one
        times.append(end)
    # many programs round to milliseconds, even in files with finer ticks
    even = _even_rate(times, tick) or _even_rate(times, max(tick, MILLISECOND))
    return _limit_rate(even or _slowest_fitting_rate(times) or Fraction(MAX_FPS), max_fps)


def _even_rate(timestamps: Sequence[Fraction], tick: Fraction) -> Fraction | None:
    """The rate if the gaps differ by rounding only, else None."""
    gaps = [after - before for before, after in itertools.pairwise(timestamps)]
    if max(gaps) - min(gaps) > 2 * tick:
        return None
    span = timestamps[-1] - timestamps[0]
    for rate in (*(Fraction(each) for each in (*INTEGER_RATES, 90, 100, 120, 240)), *RATES):
        if abs(span - len(gaps) / rate) <= tick * Fraction(101, 100):
            return rate
    return (len(gaps) / span).limit_denominator(1001)


def _slowest_fitting_rate(timestamps: Sequence[Fraction]) -> Fraction | None:
    """The slowest rate at which nearly every frame has a slot of its own near its timestamp."""
    times = np.array([float(time - timestamps[0]) for time in timestamps])
    gaps = np.diff(times)
    guesses = [1 / gap for gap in (np.median(gaps), gaps.mean()) if gap > 0]
    max_outliers = len(times) // FRAMES_PER_OUTLIER
    measured_rates = [Fraction(each).limit_denominator(1001) for each in guesses]
    # 30 before 30000/1001: only a long clip can distinguish them
    for rate in sorted([*RATES, *measured_rates], key=lambda each: (round(each), each.denominator)):
        if not MIN_FPS <= rate <= MAX_FPS:
            continue
        scaled = times * float(rate)
        frame_numbers = np.floor(scaled + 0.5)
        outliers = np.abs(scaled - frame_numbers) > min(JITTER, JITTER_S * float(rate))
        if (
            len(times) - len(np.unique(frame_numbers)) <= max_outliers
            and outliers.sum() <= max_outliers
        ):
            return rate
    return None


def _limit_rate(rate: Fraction, max_fps: int) -> Fraction:
    """Drops frames of a fast clip and repeats those of a slow one, by a whole factor."""
    if rate > max_fps:
        return rate / math.ceil(rate / max_fps)
    return rate * math.ceil(MIN_FPS / rate) if rate < MIN_FPS else rate
