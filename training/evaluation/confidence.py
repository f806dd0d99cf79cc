"""Confidence intervals of proportions and means, and a paired test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist

import numpy as np

Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Proportion:
    """`right` of `count`, with a 95 % Wilson interval."""

    right: int
    count: int
    comparisons: int = 1
    """Number of proportions compared at once; widens the interval (Sidak correction)."""

    @property
    def value(self) -> float:
        return self.right / self.count if self.count else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        if not self.count:
            return 0.0, 1.0
        z = NormalDist().inv_cdf(0.5 + 0.5 * 0.95 ** (1 / self.comparisons))
        n, p = self.count, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half_width = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - half_width), min(1.0, middle + half_width)

    def __str__(self) -> str:
        if not self.count:
            return "-"
        low, high = self.interval
        return f"{100 * self.value:.1f} % ({100 * low:.0f}-{100 * high:.0f})"


def proportion(right: Sequence[bool] | np.ndarray, comparisons: int = 1) -> Proportion:
    return Proportion(int(np.sum(right)), len(right), comparisons)


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval (normal approximation)."""

    values: tuple[float, ...]

    @property
    def value(self) -> float:
        return float(np.mean(self.values)) if self.values else float("nan")

    @property
    def half_width(self) -> float:
        n = len(self.values)
        return Z95 * float(np.std(self.values, ddof=1)) / sqrt(n) if n > 1 else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return self.value - self.half_width, self.value + self.half_width

    def text(self, digits: int = 1, unit: str = "") -> str:
        if not self.values:
            return "-"
        spread = f" ± {self.half_width:.{digits}f}" if len(self.values) > 1 else ""
        return f"{self.value:.{digits}f}{spread}{unit and ' ' + unit}"


def mean(values: Sequence[float] | np.ndarray) -> Mean:
    return Mean(tuple(float(v) for v in values))


def mcnemar_p_value(lost: int, gained: int) -> float:
    """Exact McNemar test, two-sided, of paired yes/no outcomes that changed."""
    n, few = lost + gained, min(lost, gained)
    return min(1.0, 2 * sum(comb(n, k) for k in range(few + 1)) / 2**n) if n else 1.0
