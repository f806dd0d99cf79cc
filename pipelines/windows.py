"""Windows: a clip that is longer than its model makes at once is made in parts that overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field


class ClipWindows(BaseModel):
    """How a long clip is divided. The first `overlap` frames of a window repeat the end of the one
    before it."""

    model_config = ConfigDict(frozen=True)
    lengths: tuple[int, ...] = Field(min_length=2)
    """Frames that are sampled for each window."""
    overlap: int = Field(ge=1)

    @property
    def count(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        return max(self.lengths)

    def divide(self, total: int) -> tuple[ClipWindow, ...]:
        """The windows of a clip of `total` frames. Where the lengths that the model makes come to
        more frames, the first window is cut: the last one may have to end on a given picture."""
        surplus = sum(self.lengths) - self.overlap * (self.count - 1) - total
        return tuple(self._divide(surplus))

    def _divide(self, surplus: int) -> Iterator[ClipWindow]:
        for index, length in enumerate(self.lengths):
            yield ClipWindow(
                index=index,
                frames=length,
                kept=length if index else length - surplus,
                overlap=self.overlap if index else 0,
                is_last=index == self.count - 1,
            )


@dataclass(frozen=True)
class ClipWindow:
    index: int
    frames: int
    """Sampled."""
    kept: int
    """The first of them, which are used."""
    overlap: int
    """The first of those, which repeat the window before it."""
    is_last: bool

    @property
    def number(self) -> int:
        """As people count: from 1."""
        return self.index + 1
