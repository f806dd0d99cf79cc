"""The judges' own accuracy, on renderings with known labels."""

from __future__ import annotations

import numpy as np

from training.current_world import render
from training.evaluation.confidence import Proportion, proportion
from training.evaluation.judged_clips import KINDS, Judge


def measure_judge_accuracy(judge: Judge, count: int, seed: int = 4242) -> dict[str, Proportion]:
    """Share of new renderings that the judges label correctly, per kind of label."""
    right: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for i in range(count):
        clip = render(np.random.default_rng((seed, i)))
        verdict = judge(clip.pixels)
        for kind in KINDS:
            right[kind].append(getattr(verdict, kind) == getattr(clip, kind).name)
    return {kind: proportion(values) for kind, values in right.items()}
