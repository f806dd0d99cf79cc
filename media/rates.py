"""The frame rate that shows every picture of a clip, from when each of them appears.

Knows numbers only. An average is no use: one picture that is held for five seconds would make two
seconds of motion at 60 frames a second look like four.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

KEPT_FPS = 60
SLOWEST_FPS = 1
USUAL_FPS = Fraction(30)
"""For a file that does not say how fast it runs."""

INTEGERS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 18, 20, 24, 25, 30, 48, 50, 60)
RATES = tuple(
    sorted([
        *(Fraction(rate) for rate in INTEGERS),
        *(Fraction(rate * 1000, 1001) for rate in (24, 30, 48, 60)),
        Fraction(25, 2),
    ])
)  # fmt: skip
MILLISECOND = Fraction(1, 1000)
JITTER = 0.35
"""Of a frame: how far a picture may be from its place in an even rhythm."""
JITTER_S = 0.01
"""And in seconds, which is less for slow clips."""
FEW = 100
"""One in so many pictures may be out of the rhythm, as where a phone drops a frame."""


def choose_rate(
    shown: Sequence[Fraction], ends: Fraction, tick: Fraction, said: Fraction | None
) -> Fraction:
    """`shown` are the times of the pictures in order, exact to a `tick`, and the last one `ends`;
    `said` is what the file calls its rate, and counts only where there is one picture. At most
    KEPT_FPS."""
    times = list(dict.fromkeys(shown))
    if len(times) < 2:
        return _bounded(said or USUAL_FPS)
    shortest = min(after - before for before, after in itertools.pairwise(times))
    if 2 * tick < ends - times[-1] < shortest - 2 * tick:  # a longer one is only held
        times.append(ends)
    # many programs round to milliseconds, whatever the file could express
    even = _even_rate(times, tick) or _even_rate(times, max(tick, MILLISECOND))
    return _bounded(even or _rhythm(times) or Fraction(KEPT_FPS))


def _even_rate(shown: Sequence[Fraction], tick: Fraction) -> Fraction | None:
    """Where the distances differ by rounding only."""
    gaps = [after - before for before, after in itertools.pairwise(shown)]
    if max(gaps) - min(gaps) > 2 * tick:
        return None
    span = shown[-1] - shown[0]
    for rate in (*(Fraction(each) for each in (*INTEGERS, 90, 100, 120, 240)), *RATES):
        if abs(span - len(gaps) / rate) <= tick * Fraction(101, 100):
            return rate
    return (len(gaps) / span).limit_denominator(1001)


def _rhythm(shown: Sequence[Fraction]) -> Fraction | None:
    """The slowest rate in which nearly each picture has a place of its own, near its time."""
    times = np.array([float(time - shown[0]) for time in shown])
    gaps = np.diff(times)
    own = [1 / gap for gap in (np.median(gaps), gaps.mean()) if gap > 0]
    may_miss = len(times) // FEW
    others = [Fraction(each).limit_denominator(1001) for each in own]
    # 30 before 30000/1001: only a long clip can tell them apart
    for rate in sorted([*RATES, *others], key=lambda each: (round(each), each.denominator)):
        if not SLOWEST_FPS <= rate <= KEPT_FPS:
            continue
        scaled = times * float(rate)
        places = np.floor(scaled + 0.5)
        far = np.abs(scaled - places) > min(JITTER, JITTER_S * float(rate))
        if len(times) - len(np.unique(places)) <= may_miss and far.sum() <= may_miss:
            return rate
    return None


def _bounded(rate: Fraction) -> Fraction:
    """Every second, third ... picture of a fast clip; a slow one shows each several times."""
    if rate > KEPT_FPS:
        return rate / math.ceil(rate / KEPT_FPS)
    return rate * math.ceil(SLOWEST_FPS / rate) if rate < SLOWEST_FPS else rate
