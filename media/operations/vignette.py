"""Vignette: darker corners."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, Number, StreamInfo, Streams
from media.operations.shapes import with_full_chroma

MAX_ANGLE = 0.4 * math.pi
"""Of the lens that ffmpeg imitates, at strength 1."""


class Vignette(ClipOperation):
    """Darkens the corners of every frame."""

    title: ClassVar[str] = "Vignette"
    by_position: ClassVar[tuple[str, ...]] = ("strength",)

    op: Literal["vignette"] = "vignette"
    strength: Number = Field(default=0.5, gt=0, le=1, description="0 to 1.")

    def output(self, source: StreamInfo) -> StreamInfo:
        return source

    def cost(self, source: StreamInfo) -> float:
        return 0.03

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        filters = f"vignette=angle={self.strength * MAX_ANGLE:.6f}"
        filters = with_full_chroma(filters, source.width, source.height)
        return replace(streams, video=graph.video(filters, streams.video))
