"""Shares and means say how far they may be trusted."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.confidence import Proportion, mcnemar_p_value, mean, proportion


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    # from tables: Newcombe 1998, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_intervals_are_those_of_the_tables(right: int, count: int, low: float, high: float) -> None:
    assert Proportion(right, count).interval == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("true", [0.5, 0.9, 0.97])
def test_the_true_share_lies_inside_about_95_times_in_100(true: float) -> None:
    rng = np.random.default_rng(1)
    found = [Proportion(int(rng.binomial(200, true)), 200).interval for _ in range(2000)]
    inside = np.mean([low <= true <= high for low, high in found])
    assert 0.93 < inside < 0.98


def test_a_share_among_many_has_a_wider_interval() -> None:
    one, many = Proportion(18, 20).interval, Proportion(18, 20, comparisons=34).interval
    assert many[0] < one[0] < one[1] < many[1]


def test_nothing_tried_nothing_known() -> None:
    assert proportion([]).interval == (0, 1)
    assert str(proportion([])) == "-"
    assert mean([]).text() == "-"


def test_a_mean_says_its_spread() -> None:
    assert mean([1.0, 2.0, 3.0]).text(2, "dB") == "2.00 ± 1.13 dB"
    assert mean([5.0]).text(1) == "5.0"


def test_signs() -> None:
    assert mcnemar_p_value(0, 0) == 1
    assert mcnemar_p_value(5, 5) == 1
    assert mcnemar_p_value(10, 0) == pytest.approx(2 / 1024)
    assert mcnemar_p_value(0, 10) == mcnemar_p_value(10, 0)
