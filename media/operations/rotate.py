"""Rotate: turn or mirror every frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, StreamInfo, Streams
from media.operations.shapes import with_full_chroma
from pipelines.field_types import integer_as_typed


def _as_number(value: object) -> object:
    """Literals compare without converting: "90" is none of 90, 180 and 270."""
    value = integer_as_typed(value)
    return int(float(value)) if isinstance(value, str) else value


Angle = Annotated[Literal[0, 90, 180, 270], BeforeValidator(_as_number)]
TURNS = {0: "", 90: "transpose=clock", 180: "hflip,vflip", 270: "transpose=cclock"}
FLIPS = {"none": "", "horizontal": "hflip", "vertical": "vflip"}


class Rotate(ClipOperation):
    """Turns every frame clockwise, then mirrors it."""

    title: ClassVar[str] = "Rotate or mirror"
    by_position: ClassVar[tuple[str, ...]] = ("degrees", "mirror")

    op: Literal["rotate"] = "rotate"
    degrees: Angle = Field(default=90, description="Clockwise: 0, 90, 180 or 270.")
    mirror: Literal["none", "horizontal", "vertical"] = Field(
        default="none", description="Whether left and right, or top and bottom, change places."
    )

    def output(self, source: StreamInfo) -> StreamInfo:
        if self.degrees % 180:
            return replace(source, width=source.height, height=source.width)
        return source

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        filters = ",".join(filter(None, (TURNS[self.degrees], FLIPS[self.mirror])))
        if not filters:
            return streams
        filters = with_full_chroma(filters, source.width, source.height)
        return replace(streams, video=graph.video(filters, streams.video))
