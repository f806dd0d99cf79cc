"""Trim: keep a part of a clip."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal

from pydantic import Field

from media.operations.cut import CutOperation
from media.operations.operation import (
    Number,
    StreamInfo,
    refuse,
    seconds,
)


class Trim(CutOperation):
    """Keeps what is between two times, which are rounded to the nearest frame."""

    title: ClassVar[str] = "Trim"
    by_position: ClassVar[tuple[str, ...]] = ("start_s", "end_s")

    op: Literal["trim"] = "trim"
    start_s: Number = Field(default=0.0, ge=0, description="Where the part begins, in seconds.")
    end_s: Number | None = Field(
        default=None, gt=0, description="Where it ends, in seconds; by default at the clip's end."
    )

    def frames(self, source: StreamInfo) -> tuple[int, int]:
        start = nearest_frame(self.start_s, source)
        if start >= source.num_frames:
            raise refuse(
                f"The clip lasts {seconds(source.duration_s)}, so nothing is left from "
                f"{seconds(self.start_s)} on. Choose an earlier start."
            )
        if self.end_s is None:
            return start, source.num_frames
        end = min(nearest_frame(self.end_s, source), source.num_frames)
        if end <= start:
            raise refuse(
                f"Nothing is left between {seconds(self.start_s)} and {seconds(self.end_s)}. "
                "Choose a later end: it must be at least one frame after the start."
            )
        return start, end


def nearest_frame(time_s: float, source: StreamInfo) -> int:
    """The frame that begins nearest to a time."""
    return int(Fraction(time_s) * source.fps + Fraction(1, 2))


def shown_frame(time_s: float, source: StreamInfo) -> int:
    """The frame that is shown at a time."""
    # a time that was computed from a frame's number is often a rounding error before the frame
    return int(Fraction(time_s) * source.fps + Fraction(1, 100))
