"""How far a share or a mean may be trusted, from how often it was tried. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist

import numpy as np

Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Share:
    """`right` of `count`, and where the true share lies 95 times in 100 (Wilson)."""

    right: int
    count: int
    families: int = 1
    """Of how many shares looked at together it is one: each interval is widened for all (Sidak)."""

    @property
    def value(self) -> float:
        return self.right / self.count if self.count else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        if not self.count:
            return 0.0, 1.0
        z = NormalDist().inv_cdf(0.5 + 0.5 * 0.95 ** (1 / self.families))
        n, p = self.count, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        reach = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - reach), min(1.0, middle + reach)

    def __str__(self) -> str:
        if not self.count:
            return "-"
        low, high = self.interval
        return f"{100 * self.value:.1f} % ({100 * low:.0f}-{100 * high:.0f})"


def share(right: Sequence[bool] | np.ndarray, families: int = 1) -> Share:
    return Share(int(np.sum(right)), len(right), families)


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval (normal), and the least and the most."""

    values: tuple[float, ...]

    @property
    def value(self) -> float:
        return float(np.mean(self.values)) if self.values else float("nan")

    @property
    def reach(self) -> float:
        n = len(self.values)
        return Z95 * float(np.std(self.values, ddof=1)) / sqrt(n) if n > 1 else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return self.value - self.reach, self.value + self.reach

    def text(self, digits: int = 1, unit: str = "") -> str:
        if not self.values:
            return "-"
        spread = f" ± {self.reach:.{digits}f}" if len(self.values) > 1 else ""
        return f"{self.value:.{digits}f}{spread}{unit and ' ' + unit}"


def mean(values: Sequence[float] | np.ndarray) -> Mean:
    return Mean(tuple(float(v) for v in values))


def signs(lost: int, gained: int) -> float:
    """How likely chance alone changes at least so one-sidedly (exact McNemar, two-sided)."""
    n, few = lost + gained, min(lost, gained)
    return min(1.0, 2 * sum(comb(n, k) for k in range(few + 1)) / 2**n) if n else 1.0
