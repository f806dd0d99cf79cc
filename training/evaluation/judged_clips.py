"""Generated clips with the judges' verdicts, and the tables that hold the findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np

from training.current_world import PLACES, SUBJECTS, render
from training.evaluation.clip_generator import JUDGED_SIDE, downscale
from training.evaluation.clip_request import PlannedClip
from training.evaluation.confidence import Mean, Proportion, proportion
from training.evaluation.results_store import ResultsStore
from training.evaluation.verdict import Verdict
from training.storybook.drawing_match import find_drawing
from training.world.motions import MOTIONS

Judge = Callable[[np.ndarray], Verdict]
KINDS = ("subject", "place", "motion")


@dataclass
class JudgedClip:
    row: PlannedClip
    measures: dict[str, float]
    seconds: float
    _results: ResultsStore = field(repr=False)
    _judge: Judge = field(repr=False)

    @property
    def stored_clip(self) -> np.ndarray:
        """As stored: small or at full size."""
        return self._results.clip(self.row.request.key)

    @cached_property
    def clip(self) -> np.ndarray:
        """[F, JUDGED_SIDE, JUDGED_SIDE, 3] uint8."""
        clip = self.stored_clip
        return clip if clip.shape[1] == JUDGED_SIDE else downscale(clip)

    @cached_property
    def verdict(self) -> Verdict:
        return self._judge(self.clip)

    @cached_property
    def colour(self) -> str:
        """The colour in which the expected subject's drawing matches best."""
        subject = next(x for x in SUBJECTS if (x.name,) == self.row.expected.subject)
        return find_drawing(self.clip[len(self.clip) // 2], cast(Any, subject)).colour

    def right(self, kind: str) -> bool:
        found = self.colour if kind == "colour" else getattr(self.verdict, kind)
        return found in getattr(self.row.expected, kind)

    def is_all_right(self) -> bool:
        return all(self.right(kind) for kind in self.row.expected.parts())


def render_expected(seen: JudgedClip, count: int) -> list[np.ndarray]:
    """Renderings of the same subject, place and motion, [F, SIDE, SIDE, 3] uint8 each."""
    expected = seen.row.expected
    return [
        render(
            np.random.default_rng((606, seen.row.number, k)),
            subject=next(x for x in SUBJECTS if x.name == expected.subject[0]),
            place=next(x for x in PLACES if x.name == expected.place[0]),
            motion=next(x for x in MOTIONS if x.name == expected.motion[0]),
        ).pixels
        for k in range(count)
    ]


class JudgedClips:
    def __init__(self, rows: Sequence[PlannedClip], results: ResultsStore, judge: Judge) -> None:
        finished = results.results
        self._seen = [
            JudgedClip(row, finished[key].measures, finished[key].seconds, results, judge)
            for row in rows
            if (key := row.request.key) in finished
        ]

    def of(self, section: str, group: str | None = None) -> list[JudgedClip]:
        return [
            seen
            for seen in self._seen
            if seen.row.section == section and group in (None, seen.row.group)
        ]

    def groups(self, section: str) -> list[str]:
        return list(dict.fromkeys(seen.row.group for seen in self.of(section)))


def proportions_right(seen: Sequence[JudgedClip]) -> dict[str, Proportion]:
    return {kind: proportion([s.right(kind) for s in seen]) for kind in KINDS}


@dataclass(frozen=True)
class Table:
    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    note: str = ""

    def markdown(self) -> str:
        lines = [self.heads, tuple("---" for _ in self.heads), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass
class Findings:
    """Figures for programs, tables for people; `card` holds the tables of the model card."""

    figures: dict[str, Proportion | Mean | float] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    card: list[Table] = field(default_factory=list)
    conclusions: list[str] = field(default_factory=list)
    """Conclusions, one sentence each."""
