"""Clips that carry their truth in a corner, and a judge that reads it there: no model is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.evaluation.clip_request import PlannedClip
from training.evaluation.evaluation_plan import PlanSize, SamplingOptions, plan
from training.evaluation.pixel_metrics import measure
from training.evaluation.results_store import ClipResult, ResultsStore
from training.evaluation.verdict import Verdict
from training.world.motions import MOTION_NAMES
from training.world.places import PLACE_NAMES
from training.world.subjects import SUBJECT_NAMES

NAMES = {"subject": SUBJECT_NAMES, "place": PLACE_NAMES, "motion": MOTION_NAMES}


def clip(truth: dict[str, str], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tiles = rng.integers(60, 200, (1, 4, 4, 3), np.uint8)
    pixels = tiles.repeat(17, 0).repeat(16, 1).repeat(16, 2)
    for k, (kind, names) in enumerate(NAMES.items()):
        pixels[:, 0, k] = names.index(truth[kind])
    return pixels


def judge(pixels: np.ndarray) -> Verdict:
    if pixels.shape[1] != 64:  # a rendering, of which it knows nothing
        return Verdict("dog", "snow", "left")
    said = [names[pixels[0, 0, k, 0]] for k, names in enumerate(NAMES.values())]
    return Verdict(said[0], said[1], said[2], {said[0]: 1.0})


def shelf(
    folder: Path, wrong: dict[str, float], size: PlanSize, only: str
) -> tuple[list[PlannedClip], ResultsStore]:
    """Clips that show what was asked, but for a share of wrong ones of each kind."""
    rng = np.random.default_rng(4)
    rows, filled = plan(size, SamplingOptions(), tuple(only.split(","))), ResultsStore(folder)
    for row in rows:
        truth = {}
        for kind, names in NAMES.items():
            expected = getattr(row.expected, kind) or names
            others = [name for name in names if name not in expected] or names
            pool = others if rng.random() < wrong.get(kind, 0) else expected
            truth[kind] = str(rng.choice(pool))
        pixels = clip(truth, int(rng.integers(1 << 30)))
        filled.save_clip(row.request.key, pixels)
        facts = measure(pixels) | {
            "first_frame_db": 27.0,
            "first_frame_at_best_db": 27.5,
            "clip_db": 29.0,
            "edges_kept": 0.8,
        }
        filled.append_result(ClipResult(row.request.key, vars(row.request), facts, 2.5))
    return rows, filled
