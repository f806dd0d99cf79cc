"""Upscale: two or four times as wide and high."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import BeforeValidator, Field

from media.operations.filter_graph import FilterGraph
from media.operations.frame_models import FrameUpscaler, ModelRole, UsesModel
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
from pipelines.field_types import integer_as_typed

ROLE: ModelRole = "upscaling"
RESAMPLER = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"
MOST_SHARPENING = 0.6
"""Of ffmpeg's `cas` at `sharpness` 1; more draws lines around edges."""


class Upscale(UsesModel, ClipOperation):
    """Makes the clip larger: with the server's model where it has one, else with a good resampler
    and mild sharpening."""

    title: ClassVar[str] = "Make larger"
    by_position: ClassVar[tuple[str, ...]] = ("times",)
    model_role: ClassVar[ModelRole] = ROLE

    op: Literal["upscale"] = "upscale"
    times: Annotated[Literal[2, 4], BeforeValidator(integer_as_typed)] = Field(
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
            yield resized(large, made.width, made.height)


def resized(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resampled where the size differs. frame: uint8 [H, W, 3]"""
    if frame.shape[:2] == (height, width):
        return frame
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)
