"""Stabilise: take the shake out of a hand-held camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from media.ffmpeg import has_filter
from media.operations.exact_length import exact_frames
from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, Number, StreamInfo, Streams, refuse
from media.operations.shapes import with_full_chroma

MAX_SMOOTHING_S = 1.0
MIN_SIDE = 64
"""Motion cannot be measured in smaller clips."""
MIN_FRAMES = 3


class Stabilise(ClipOperation):
    """Takes the shake out of a hand-held camera. The motion is measured first; the frames are then
    moved against it and enlarged as far as needed, so that no border is seen."""

    title: ClassVar[str] = "Stabilise"
    by_position: ClassVar[tuple[str, ...]] = ("strength",)

    op: Literal["stabilise"] = "stabilise"
    strength: Number = Field(
        default=0.5, gt=0, le=1, description="0 to 1: how slow a motion is still evened out."
    )

    def output(self, source: StreamInfo) -> StreamInfo:
        if not has_filter("vidstabdetect"):
            raise refuse("Clips cannot be stabilised here: this server's ffmpeg lacks vid.stab.")
        return source

    def cost(self, source: StreamInfo) -> float:
        return 0.04

    @property
    def measures(self) -> bool:
        return True

    def add_measurement(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        if min(source.width, source.height) < MIN_SIDE or source.num_frames < MIN_FRAMES:
            return streams
        # the file is written into ffmpeg's working folder
        filters = f"vidstabdetect=shakiness=6:accuracy=12:result={context.file_name('motion.trf')}"
        return Streams(graph.video(filters, streams.video), streams.sound)

    def read_measurement(self, log: str, folder: Path, context: Context) -> str | None:
        name = context.file_name("motion.trf")
        return name if (folder / name).is_file() else None

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        motion = context.measured.get((context.place, context.clip))
        if motion is None:
            return streams
        smoothing = max(1, round(self.strength * MAX_SMOOTHING_S * float(source.fps)))
        filters = (
            f"vidstabtransform=input={motion}:smoothing={smoothing}:optzoom=1:interpol=bicubic,"
            f"{exact_frames(source)}"
        )
        filters = with_full_chroma(filters, source.width, source.height)
        return replace(streams, video=graph.video(filters, streams.video))
