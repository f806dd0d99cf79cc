"""What is drawn on frames before they are encoded: one mark, or several in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class FrameMark(Protocol):
    def draw_on(self, frames: np.ndarray, /) -> np.ndarray:
        """A copy of the frames with the mark: uint8 [F, H, W, 3]."""
        ...

    def draw_on_each(self, frames: Iterable[np.ndarray], /) -> Iterator[np.ndarray]:
        """As `draw_on`, one frame at a time."""
        ...


@dataclass(frozen=True)
class MarksInOrder:
    marks: tuple[FrameMark, ...]

    def draw_on(self, frames: np.ndarray) -> np.ndarray:
        for mark in self.marks:
            frames = mark.draw_on(frames)
        return frames

    def draw_on_each(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for mark in self.marks:
            frames = mark.draw_on_each(frames)
        yield from frames
