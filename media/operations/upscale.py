"""Upscale: two or four times as wide and high."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import BeforeValidator, Field

from media.operations.filter_graph import FilterGraph
from media.operations.frame_models import FrameUpscaler, ModelRole, UsesModel, factor_as_typed
from media.operations.operation import (
    ClipOperation,
    Context,
    FrameOperation,
    FrameTools,
    Number,
    Operation,
    StreamInfo,
    Streams,
)

ROLE: ModelRole = "upscaling"
RESAMPLER = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
REGION = 8
"""Pixels of the source along a region's side, within which a model may choose tones by itself."""
MOST_SHARPENING = 0.6
"""Of ffmpeg's `cas` at `sharpness` 1; more draws lines around edges."""


class Upscale(UsesModel, ClipOperation):
    """Makes the clip larger: with the server's model where it has one, else with a good resampler
    and mild sharpening."""

    title: ClassVar[str] = "Make larger"
    by_position: ClassVar[tuple[str, ...]] = ("times",)
    model_role: ClassVar[ModelRole] = ROLE

    op: Literal["upscale"] = "upscale"
    times: Annotated[Literal[2, 4], BeforeValidator(factor_as_typed)] = Field(
        default=2, description="How many times as wide and high: 2 or 4."
    )
    sharpness: Number = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Sharpening by the built-in method; 0 leaves it out. Models sharpen by "
        "themselves.",
    )

    def output(self, source: StreamInfo) -> StreamInfo:
        return replace(source, width=source.width * self.times, height=source.height * self.times)

    def cost(self, source: StreamInfo) -> float:
        return 0.02

    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        made = self.output(source)
        filters = f"scale={made.width}:{made.height}:{RESAMPLER}"
        if self.sharpness:
            # adapts to local contrast, so that edges get no halos and grain is not amplified
            filters += f",cas=strength={MOST_SHARPENING * self.sharpness:.3f}:planes=1"
        return replace(streams, video=graph.video(filters, streams.video))

    def with_model(self) -> Operation:
        """The same operation, done by a model."""
        return ModelUpscale(times=self.times)


class ModelUpscale(FrameOperation):
    """What `Upscale` becomes on a server with a model. It is not offered by itself."""

    title: ClassVar[str] = Upscale.title
    op: Literal["upscale_with_model"] = "upscale_with_model"
    times: Literal[2, 4]

    def output(self, source: StreamInfo) -> StreamInfo:
        return Upscale(times=self.times).output(source)

    def change_frames(
        self, frames: Iterator[np.ndarray], source: StreamInfo, tools: FrameTools
    ) -> Iterator[np.ndarray]:
        model: FrameUpscaler = tools.models[ROLE]
        made = self.output(source)
        for frame in frames:
            large = model.upscale(frame, tools.check)
            # a model for half of the factor is applied twice
            if model.scale > 1 and large.shape[1] * model.scale <= made.width:
                large = model.upscale(large, tools.check)
            yield with_tones_of(frame, resized(large, made.width, made.height))


def resized(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resampled where the size differs. frame: uint8 [H, W, 3]"""
    if frame.shape[:2] == (height, width):
        return frame
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def with_tones_of(source: np.ndarray, large: np.ndarray) -> np.ndarray:
    """`large` with the mean colour of each region as it is in `source`: models shift colours by
    some levels. Both are uint8 [H, W, 3], `large` a whole number of times as large."""
    height, width, _ = large.shape
    times = height // source.shape[0]
    difference = _region_means(source, REGION) - _region_means(large, REGION * times)
    rows, columns = (size * REGION * times for size in difference.shape[:2])
    result = np.empty_like(large)
    for channel in range(3):
        image = Image.fromarray(difference[..., channel])
        smooth = np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR))
        moved = large[..., channel] + smooth[:height, :width]
        result[..., channel] = moved.round().clip(0, 255).astype(np.uint8)
    return result


def _region_means(frame: np.ndarray, side: int) -> np.ndarray:
    height, width, _ = frame.shape
    padded = np.pad(frame, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge")
    rows, columns = padded.shape[0] // side, padded.shape[1] // side
    means = padded.reshape(rows, side, columns, side, 3).mean((1, 3), dtype=np.float32)
    return np.ascontiguousarray(means)
