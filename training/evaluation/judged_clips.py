"""The clips that were made, with what the judges say of them; and how findings are written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np

from training.current_world import PLACES, SUBJECTS, render
from training.evaluation.confidence import Mean, Share, share
from training.evaluation.generate import SMALL, shrunk
from training.evaluation.request import Row
from training.evaluation.results_store import Shelf
from training.evaluation.verdict import Verdict
from training.storybook.likeness import find
from training.world.motions import MOTIONS

Judge = Callable[[np.ndarray], Verdict]
KINDS = ("subject", "place", "motion")


@dataclass
class Seen:
    row: Row
    measures: dict[str, float]
    seconds: float
    _shelf: Shelf = field(repr=False)
    _judge: Judge = field(repr=False)

    @property
    def whole(self) -> np.ndarray:
        """As it was kept: small, or in full size."""
        return self._shelf.clip(self.row.request.key)

    @cached_property
    def clip(self) -> np.ndarray:
        """[F, SMALL, SMALL, 3] uint8."""
        clip = self.whole
        return clip if clip.shape[1] == SMALL else shrunk(clip)

    @cached_property
    def verdict(self) -> Verdict:
        return self._judge(self.clip)

    @cached_property
    def colour(self) -> str:
        """The colour in which the drawing of the subject that was asked for fits best."""
        subject = next(x for x in SUBJECTS if (x.name,) == self.row.asked.subject)
        return find(self.clip[len(self.clip) // 2], cast(Any, subject)).colour

    def right(self, kind: str) -> bool:
        found = self.colour if kind == "colour" else getattr(self.verdict, kind)
        return found in getattr(self.row.asked, kind)

    def all_right(self) -> bool:
        return all(self.right(kind) for kind in self.row.asked.parts())


def rendered(seen: Seen, count: int) -> list[np.ndarray]:
    """Renderings of what the same sentence asks for, [F, SIDE, SIDE, 3] uint8."""
    asked = seen.row.asked
    return [
        render(
            np.random.default_rng((606, seen.row.number, k)),
            subject=next(x for x in SUBJECTS if x.name == asked.subject[0]),
            place=next(x for x in PLACES if x.name == asked.place[0]),
            motion=next(x for x in MOTIONS if x.name == asked.motion[0]),
        ).pixels
        for k in range(count)
    ]


class Evidence:
    def __init__(self, rows: Sequence[Row], shelf: Shelf, judge: Judge) -> None:
        made = shelf.made
        self._seen = [
            Seen(row, made[key].measures, made[key].seconds, shelf, judge)
            for row in rows
            if (key := row.request.key) in made
        ]

    def of(self, section: str, group: str | None = None) -> list[Seen]:
        return [
            seen
            for seen in self._seen
            if seen.row.section == section and group in (None, seen.row.group)
        ]

    def groups(self, section: str) -> list[str]:
        return list(dict.fromkeys(seen.row.group for seen in self.of(section)))


def shares(seen: Sequence[Seen]) -> dict[str, Share]:
    return {kind: share([s.right(kind) for s in seen]) for kind in KINDS}


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
    """Figures for programs, tables for people, and those of them that belong on the card."""

    figures: dict[str, Share | Mean | float] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    card: list[Table] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """Verdicts in a sentence each."""
