"""How often the judges themselves are right, on real renderings."""

from __future__ import annotations

import numpy as np

from training.current_world import render
from training.evaluation.confidence import Share, share
from training.evaluation.judged_clips import KINDS, Judge


def judges(judge: Judge, count: int, seed: int = 4242) -> dict[str, Share]:
    """How often the judges are right about fresh real renderings."""
    right: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for i in range(count):
        clip = render(np.random.default_rng((seed, i)))
        verdict = judge(clip.pixels)
        for kind in KINDS:
            right[kind].append(getattr(verdict, kind) == getattr(clip, kind).name)
    return {kind: share(values) for kind, values in right.items()}
