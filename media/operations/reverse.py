"""Reverse: play a clip backwards."""

from __future__ import annotations

from typing import ClassVar, Literal

from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, StreamInfo, Streams


class Reverse(ClipOperation):
    """Plays the clip backwards, with its sound."""

    title: ClassVar[str] = "Reverse"

    op: Literal["reverse"] = "reverse"

    def output(self, source: StreamInfo) -> StreamInfo:
        return source

    def buffered_bytes(self, source: StreamInfo) -> int:
        return source.num_frames * source.frame_bytes

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        return reverse(graph, streams)


def reverse(graph: FilterGraph, streams: Streams) -> Streams:
    # yuv420p has half of the bytes of yuv444p, and all frames are in memory
    video = graph.video("format=yuv420p,reverse,setpts=PTS-STARTPTS", streams.video)
    if streams.sound is None:
        return Streams(video)
    return Streams(video, graph.sound("areverse,asetpts=PTS-STARTPTS", streams.sound))
