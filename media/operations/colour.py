"""Colour: exposure, contrast, saturation and white balance."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from media.ffmpeg import BT709
from media.operations.filter_graph import FilterGraph
from media.operations.operation import ClipOperation, Context, Number, StreamInfo, Streams

LUMA = np.array([0.2126, 0.7152, 0.0722])
"""Weights of BT.709."""
GAMMA = 2.4
"""Of BT.1886: a gain of light is a gain of the signal as well, to the power of its inverse."""
PIVOT = 0.5
"""The signal that contrast does not change."""
GREY_10_BITS = 512
"""The chroma that has no colour."""
MAX_WARMTH_STOPS = 0.5


class Colour(ClipOperation):
    """Changes exposure, contrast, white balance and saturation, in this order."""

    title: ClassVar[str] = "Adjust colours"
    by_position: ClassVar[tuple[str, ...]] = ("exposure", "contrast", "saturation", "warmth")

    op: Literal["colour"] = "colour"
    exposure: Number = Field(
        default=0, ge=-3, le=3, description="In stops: 1 is twice as much light, -1 half of it."
    )
    contrast: Number = Field(default=1, ge=0, le=3, description="1 leaves it as it is.")
    saturation: Number = Field(
        default=1, ge=0, le=2, description="1 leaves it as it is; 0 is black and white."
    )
    warmth: Number = Field(
        default=0, ge=-1, le=1, description="White balance: -1 is cold and blue, 1 warm and orange."
    )
    tint: Number = Field(
        default=0, ge=-1, le=1, description="White balance: -1 is green, 1 magenta."
    )

    def output(self, source: StreamInfo) -> StreamInfo:
        return source

    def cost(self, source: StreamInfo) -> float:
        return 0.06

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        if self == Colour():
            return streams
        curves = ":".join(
            f"{channel}=((val*{gain:.7f})-{PIVOT}*maxval)*{self.contrast:.7f}+{PIVOT}*maxval"
            for channel, gain in zip("rgb", self.gains().tolist(), strict=True)
        )
        # 10 bits: two roundings to 8 would show as bands
        filters = f"scale=in_color_matrix=bt709:in_range=tv,format=gbrp10le,lutrgb={curves}"
        if self.saturation == 1:
            filters += f",{BT709}"
        else:  # a factor for the chroma keeps luma, and takes half of the time of a matrix for RGB
            chroma = f"(val-{GREY_10_BITS})*{self.saturation:.7f}+{GREY_10_BITS}"
            deep = BT709.replace("format=yuv420p", "format=yuv420p10le")
            filters += f",{deep},lutyuv=u={chroma}:v={chroma},format=yuv420p"
        return replace(streams, video=graph.video(filters, streams.video))

    def gains(self) -> np.ndarray:
        """Of the signal in red, green and blue, [3]; grey keeps its luma in the white balance."""
        warm, tint = self.warmth * MAX_WARMTH_STOPS, self.tint * MAX_WARMTH_STOPS
        stops = np.array([warm + tint / 2, -tint / 2, tint / 2 - warm])
        balance = 2 ** (stops / GAMMA)
        return 2 ** (self.exposure / GAMMA) * balance / (balance @ LUMA)
