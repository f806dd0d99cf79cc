"""Split: keep one of the two parts of a clip."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from media.operations.filter_graph import FilterGraph
from media.operations.operation import (
    ClipOperation,
    Context,
    Number,
    StreamInfo,
    Streams,
    refuse,
    seconds,
)
from media.operations.trim import keep_frames, nearest_frame


class Split(ClipOperation):
    """Cuts the clip in two and keeps one part. Both parts, each made by an edit of its own, have
    all frames of the clip together."""

    title: ClassVar[str] = "Split"
    by_position: ClassVar[tuple[str, ...]] = ("at_s", "keep")

    op: Literal["split"] = "split"
    at_s: Number = Field(gt=0, description="Where the clip is cut, in seconds.")
    keep: Literal["before", "after"] = Field(default="before", description="Which part is kept.")

    def output(self, source: StreamInfo) -> StreamInfo:
        start, end = self._frames(source)
        return replace(source, num_frames=end - start)

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        return keep_frames(graph, streams, source, *self._frames(source))

    def _frames(self, source: StreamInfo) -> tuple[int, int]:
        at = nearest_frame(self.at_s, source)
        if not 0 < at < source.num_frames:
            raise refuse(
                f"The clip lasts {seconds(source.duration_s)} and cannot be split at "
                f"{seconds(self.at_s)}. Choose a time between its first and its last frame."
            )
        return (0, at) if self.keep == "before" else (at, source.num_frames)
