"""Split: keep one of the two parts of a clip."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from media.operations.cut import CutOperation
from media.operations.operation import (
    Number,
    StreamInfo,
    refuse,
    seconds,
)
from media.operations.trim import nearest_frame


class Split(CutOperation):
    """Cuts the clip in two and keeps one part. Both parts, each made by an edit of its own, have
    all frames of the clip together."""

    title: ClassVar[str] = "Split"
    by_position: ClassVar[tuple[str, ...]] = ("at_s", "keep")

    op: Literal["split"] = "split"
    at_s: Number = Field(gt=0, description="Where the clip is cut, in seconds.")
    keep: Literal["before", "after"] = Field(default="before", description="Which part is kept.")

    def frames(self, source: StreamInfo) -> tuple[int, int]:
        at = nearest_frame(self.at_s, source)
        if not 0 < at < source.num_frames:
            raise refuse(
                f"The clip lasts {seconds(source.duration_s)} and cannot be split at "
                f"{seconds(self.at_s)}. Choose a time between its first and its last frame."
            )
        return (0, at) if self.keep == "before" else (at, source.num_frames)
