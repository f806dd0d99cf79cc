"""Whether pairs of labels are as accurate as single ones, as far as the counts allow.

A pair (subject and place) is as good as its parts if both are right together nearly as often as
the weaker one alone. With two or three clips per cell, single cells say nothing, so the test is by
row and column, and by whether failures cluster in cells more than by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.evaluation.confidence import Proportion, proportion
from training.evaluation.coverage import PAIRS
from training.evaluation.judged_clips import KINDS, Findings, JudgedClip, JudgedClips, Table

WITHIN = 0.05
ROUNDS = 1000


def gap_to_weaker(a: np.ndarray, b: np.ndarray) -> Proportion:
    """How often only the weaker of two labels is right."""
    weaker, other = (a, b) if a.mean() <= b.mean() else (b, a)
    return proportion(weaker & ~other)


def bound_status(value: Proportion, bound: float = WITHIN) -> str:
    """ "holds" if the interval is below the bound, "fails" if above, else "open"."""
    low, high = value.interval
    return "holds" if high <= bound else "fails" if low > bound else "open"


def clustering_p_value(
    first: np.ndarray, second: np.ndarray, wrong: np.ndarray, seed: int = 5
) -> float:
    """p-value of the clustering of failures in cells, given the rates of rows and columns."""
    n, m = first.max() + 1, second.max() + 1
    overall = wrong.mean()
    if overall == 0:
        return 1.0

    def rates(index: np.ndarray, size: int) -> np.ndarray:
        # half a pseudo-clip at the overall rate, so that no row has rate 0 or 1
        counts = np.bincount(index, minlength=size)
        return (np.bincount(index, wrong, size) + 0.5 * overall) / (counts + 0.5)

    expected = (rates(first, n)[first] * rates(second, m)[second] / overall).clip(0, 1)
    cells = first * m + second

    def crowded(failed: np.ndarray) -> float:
        counts = np.bincount(cells, failed, n * m)
        return float((counts * (counts - 1)).sum())

    rng = np.random.default_rng(seed)
    simulated = [crowded(rng.random(len(wrong)) < expected) for _ in range(ROUNDS)]
    return float((1 + np.sum(np.array(simulated) >= crowded(wrong))) / (1 + ROUNDS))


def _groups(
    names: Sequence[str], both: np.ndarray, comparisons: int
) -> list[tuple[str, Proportion]]:
    labels = np.array(names)
    return [(name, proportion(both[labels == name], comparisons)) for name in dict.fromkeys(names)]


def evaluate_pairs(clips: JudgedClips) -> Findings:
    findings = Findings()
    seen = clips.of("text")
    if not seen:
        return findings
    overview, worst = [], []
    for i, j in PAIRS:
        one, other = KINDS[i], KINDS[j]
        name = f"{one} and {other}"
        a, b = (np.array([s.right(kind) for s in seen]) for kind in (one, other))
        both, lost = a & b, gap_to_weaker(a, b)
        single = min(a.mean(), b.mean())
        labels = {kind: [_expected_label(s, kind) for s in seen] for kind in (one, other)}
        rows = [
            (f"{kind} {label}", value)
            for kind in (one, other)
            for label, value in _groups(labels[kind], both, len({*labels[one], *labels[other]}))
        ]
        below = [row for row in rows if row[1].interval[1] < single - WITHIN]
        fine = [row for row in rows if row[1].interval[0] >= single - WITHIN]
        first, second = _numbered(labels[one]), _numbered(labels[other])
        chance = clustering_p_value(first, second, ~both)
        verdict = bound_status(lost)
        if below or chance < 0.05 / len(PAIRS):
            verdict = "fails"
        elif len(fine) < len(rows) and verdict == "holds":
            verdict = "open"
        findings.figures |= {
            f"pair_{one}_{other}_both": proportion(both),
            f"pair_{one}_{other}_gap": lost,
            f"pair_{one}_{other}_gathering_p": chance,
            f"pair_{one}_{other}_rows_below": float(len(below)),
            f"pair_{one}_{other}_rows_shown_fine": float(len(fine)),
        }
        cells = np.unique(np.stack([first, second]), axis=1)
        overview.append((name, str(proportion(both)), f"{100 * single:.1f} %", str(lost),
                         f"{len(below)} / {len(rows) - len(below) - len(fine)} / {len(fine)}",
                         f"{cells.shape[1]} x {len(seen) / cells.shape[1]:.1f}",
                         f"{chance:.2f}", verdict))  # fmt: skip
        rows.sort(key=lambda row: row[1].value)
        worst += [(name, label, f"{v.right} of {v.count}", str(v)) for label, v in rows[:4]]
    heads = ("pair", "both right", "weaker alone", "gap", "rows below / open / fine",
             "cells x clips", "p-value of clustering", "within 5 points")  # fmt: skip
    note = (
        "gap: the weaker alone less both, at most 5 %. Rows: each name with all its partners, "
        "its interval widened for their number; below: surely more than 5 points under the weaker "
        "alone, fine: surely not, open: too few clips to decide. Clustering: whether failures fall "
        "into the same cells beyond what rows and columns explain. 'open' as a verdict: nothing "
        "speaks against it, and the counts are too small to show it"
    )
    findings.tables.append(Table("Accuracy of pairs of labels", heads, overview, note))
    findings.card.append(findings.tables[-1])
    heads = ("pair", "row", "both right", "share, widened")
    findings.tables.append(Table("Lowest rows of each pair", heads, worst))
    return findings


def _expected_label(seen: JudgedClip, kind: str) -> str:
    return getattr(seen.row.expected, kind)[0]


def _numbered(labels: Sequence[str]) -> np.ndarray:
    return np.unique(np.array(labels), return_inverse=True)[1]
