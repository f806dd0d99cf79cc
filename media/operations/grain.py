"""Grain: noise as on film."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, Number, StreamInfo, Streams

MAX_LEVELS = 40
SEED = 1
"""Fixed: the same edit makes the same file."""


class Grain(ClipOperation):
    """Adds noise that is different in every frame, as on film."""

    title: ClassVar[str] = "Add grain"
    by_position: ClassVar[tuple[str, ...]] = ("strength",)

    op: Literal["grain"] = "grain"
    strength: Number = Field(default=0.3, gt=0, le=1, description="0 to 1.")
    coloured: bool = Field(default=False, description="Whether the noise has colours.")

    def output(self, source: StreamInfo) -> StreamInfo:
        return source

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        planes = "all" if self.coloured else "c0"
        levels = max(1, round(self.strength * MAX_LEVELS))
        flags = f"{planes}_strength={levels}:{planes}_flags=t:{planes}_seed={SEED}"
        return replace(streams, video=graph.video(f"noise={flags}", streams.video))
