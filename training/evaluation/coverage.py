"""Balanced combinations of subject, place and motion, so that few clips cover every pair."""

from __future__ import annotations

import numpy as np

from training.current_world import PLACES, SUBJECTS
from training.world.motions import MOTIONS

Triple = tuple[int, int, int]
PAIRS = ((0, 1), (0, 2), (1, 2))


def balanced_triples(count: int, seed: int) -> list[Triple]:
    """Greedy: balances single labels first, then pairs, so that every prefix is balanced too."""
    rng = np.random.default_rng(seed)
    sizes = (len(SUBJECTS), len(PLACES), len(MOTIONS))
    everything = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1).reshape(-1, 3)
    singles = [np.zeros(n) for n in sizes]
    pairs = {(a, b): np.zeros((sizes[a], sizes[b])) for a, b in PAIRS}
    chosen: list[Triple] = []
    for _ in range(count):
        shown = [counts[everything[:, k]] for k, counts in enumerate(singles)]
        cost = 100 * sum(s - counts.min() for s, counts in zip(shown, singles, strict=True))
        cost = cost + sum(pairs[a, b][everything[:, a], everything[:, b]] for a, b in PAIRS)
        cost = cost + rng.random(len(everything)) / 2
        s, p, m = (int(v) for v in everything[int(cost.argmin())])
        for k, value in enumerate((s, p, m)):
            singles[k][value] += 1
        for a, b in PAIRS:
            pairs[a, b][(s, p, m)[a], (s, p, m)[b]] += 1
        chosen.append((s, p, m))
    return chosen
