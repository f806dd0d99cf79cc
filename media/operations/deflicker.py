"""Deflicker: even out the brightness of frames that follow each other."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from media.operations.exact_length import exact_frames
from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, StreamInfo, Streams, Whole


class Deflicker(ClipOperation):
    """Evens out the brightness of frames that follow each other."""

    title: ClassVar[str] = "Remove flicker"
    by_position: ClassVar[tuple[str, ...]] = ("frames",)

    op: Literal["deflicker"] = "deflicker"
    frames: Whole = Field(
        default=9, ge=2, le=65, description="Over how many frames; more is smoother."
    )

    def output(self, source: StreamInfo) -> StreamInfo:
        return source

    def buffered_bytes(self, source: StreamInfo) -> int:
        return self.frames * source.frame_bytes

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        if source.num_frames < 2:
            return streams
        size = min(self.frames, source.num_frames)
        filters = f"deflicker=size={size}:mode=pm,{exact_frames(source)}"
        return replace(streams, video=graph.video(filters, streams.video))
