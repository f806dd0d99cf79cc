"""Deflicker: even out the brightness of frames that follow each other."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from media.operations.exact_length import concat, exact_frames
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
        return 2 * self.frames * source.frame_bytes

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        if source.num_frames < 2:
            return streams
        size = min(self.frames, source.num_frames)
        # the filter looks ahead: at the end it gets the last frames again, mirrored, because it
        # would take the brightness of the very last one for that of all
        frames, copy = graph.split(streams.video)
        end = f"trim=start_frame={source.num_frames - size},setpts=PTS-STARTPTS,reverse"
        longer = concat(graph, frames, graph.video(end, copy))
        filters = f"deflicker=size={size}:mode=pm,{exact_frames(source)}"
        return replace(streams, video=graph.video(filters, longer))
