"""Crop: keep a rectangle of every frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, StreamInfo, Streams, Whole, refuse
from media.operations.shapes import Shape, Side, even, ratio_of, with_full_chroma

Offset = Annotated[Whole, Field(ge=0, le=8192)]


class Crop(ClipOperation):
    """Keeps a rectangle of every frame: of a size in pixels, or the largest of a shape."""

    title: ClassVar[str] = "Crop"
    by_position: ClassVar[tuple[str, ...]] = ("width", "height", "x", "y")

    op: Literal["crop"] = "crop"
    width: Side | None = Field(default=None, description="In pixels; by default all of it.")
    height: Side | None = Field(default=None, description="In pixels; by default all of it.")
    x: Offset | None = Field(
        default=None, description="Pixels left of the rectangle; by default it is in the middle."
    )
    y: Offset | None = Field(
        default=None, description="Pixels above the rectangle; by default it is in the middle."
    )
    shape: Shape | None = Field(
        default=None, description="Width by height, such as 9:16, instead of a size in pixels."
    )

    def output(self, source: StreamInfo) -> StreamInfo:
        width, height, _, _ = self._rectangle(source)
        return replace(source, width=width, height=height)

    def scaled(self, ratio: float) -> Crop:
        # rounded down, so that it stays inside
        x, y = (None if n is None else int(n * ratio) for n in (self.x, self.y))
        width, height = (n and max(2, int(n * ratio)) for n in (self.width, self.height))
        return self.model_copy(update={"width": width, "height": height, "x": x, "y": y})

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        width, height, x, y = self._rectangle(source)
        filters = with_full_chroma(f"crop={width}:{height}:{x}:{y}:exact=1", x, y)
        return replace(streams, video=graph.video(filters, streams.video))

    def _rectangle(self, source: StreamInfo) -> tuple[int, int, int, int]:
        """Width, height, x and y."""
        width, height = self._size(source)
        if width > source.width or height > source.height:
            raise refuse(
                f"The clip is {source.width} x {source.height}, so {width} x {height} cannot be "
                "cut out of it. Choose a smaller rectangle."
            )
        x = (source.width - width) // 4 * 2 if self.x is None else self.x
        y = (source.height - height) // 4 * 2 if self.y is None else self.y
        if x + width > source.width or y + height > source.height:
            raise refuse(
                f"A rectangle of {width} x {height} at {x}, {y} is not inside of the clip, which "
                f"is {source.width} x {source.height}. Move it, or choose a smaller one."
            )
        return width, height, x, y

    def _size(self, source: StreamInfo) -> tuple[int, int]:
        if self.shape is None:
            return self.width or source.width, self.height or source.height
        if self.width or self.height:
            raise refuse("Crop to a shape or to a size in pixels, not to both.")
        ratio = ratio_of(self.shape)
        if source.width > source.height * ratio:
            return min(even(source.height * ratio), source.width), source.height
        return source.width, min(even(source.width / ratio), source.height)
