"""Pad: put the frames on a larger canvas."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from media.operations.filter_graph import FilterGraph, Label
from media.operations.operation import ClipOperation, Context, StreamInfo, Streams, refuse
from media.operations.shapes import (
    HexColour,
    Shape,
    Side,
    even,
    ratio_of,
    with_full_chroma,
)

BLUR_SHARE = 0.04
"""Of the longer side: the radius of a blurred background."""
BLUR_STEP = 4


class Pad(ClipOperation):
    """Puts every frame in the middle of a larger one: of a size in pixels, or the smallest of a
    shape. The border has one colour, or shows the clip itself, enlarged and blurred."""

    title: ClassVar[str] = "Add a border"
    by_position: ClassVar[tuple[str, ...]] = ("width", "height", "colour")

    op: Literal["pad"] = "pad"
    width: Side | None = Field(default=None, description="In pixels; by default as it is.")
    height: Side | None = Field(default=None, description="In pixels; by default as it is.")
    shape: Shape | None = Field(
        default=None, description="Width by height, such as 9:16, instead of a size in pixels."
    )
    colour: Annotated[HexColour, Field(description="Of the border, as #rrggbb.")] = "#000000"
    background: Literal["colour", "blur"] = Field(
        default="colour", description="What the border shows: a colour, or the clip, blurred."
    )

    def output(self, source: StreamInfo) -> StreamInfo:
        width, height = self._size(source)
        if width < source.width or height < source.height:
            raise refuse(
                f"The clip is {source.width} x {source.height}, larger than {width} x {height}. "
                "Choose a larger size, or crop it instead."
            )
        return replace(source, width=width, height=height)

    def scaled(self, ratio: float) -> Pad:
        # rounded up, so that the clip stays inside
        width, height = (n and math.ceil(n * ratio) for n in (self.width, self.height))
        return self.model_copy(update={"width": width, "height": height})

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        made = self.output(source)
        if (made.width, made.height) == (source.width, source.height):
            return streams
        x, y = (made.width - source.width) // 4 * 2, (made.height - source.height) // 4 * 2
        if self.background == "blur":
            video = _over_blur(graph, streams.video, source, made, x, y)
        else:
            colour = f"0x{self.colour.removeprefix('#')}"
            filters = f"pad={made.width}:{made.height}:{x}:{y}:color={colour}"
            sizes = (source.width, source.height, made.width, made.height)
            video = graph.video(with_full_chroma(filters, *sizes), streams.video)
        return replace(streams, video=video)

    def _size(self, source: StreamInfo) -> tuple[int, int]:
        if self.shape is None:
            return self.width or source.width, self.height or source.height
        if self.width or self.height:
            raise refuse("Pad to a shape or to a size in pixels, not to both.")
        ratio = ratio_of(self.shape)
        if source.width > source.height * ratio:
            return source.width, max(even(source.width / ratio), source.height)
        return max(even(source.height * ratio), source.width), source.height


def _over_blur(
    graph: FilterGraph, video: Label, source: StreamInfo, made: StreamInfo, x: int, y: int
) -> Label:
    front, back = graph.split(video)
    sigma = max(2, round(max(made.width, made.height) * BLUR_SHARE))
    # blurred in a small size: nothing that is left of it needs more pixels
    small = [max(2, round(side / BLUR_STEP)) for side in (made.width, made.height)]
    back = graph.video(
        f"scale={small[0]}:{small[1]}:force_original_aspect_ratio=increase:flags=bilinear,"
        f"crop={small[0]}:{small[1]},gblur=sigma={sigma / BLUR_STEP:.3f}:steps=2,"
        f"scale={made.width}:{made.height}:flags=bicubic,setsar=1",
        back,
    )
    # format=auto keeps the chroma where a size is odd, and takes 40 % longer
    is_even = all(side % 2 == 0 for side in (source.width, source.height, made.width, made.height))
    kind = "yuv420" if is_even else "auto"
    return graph.video(f"overlay={x}:{y}:format={kind}:shortest=1", back, front)
