"""Interpolate: more frames a second, made between those that are there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from media.operations.frame_models import FrameInterpolator, ModelRole, UsesModel, factor_as_typed
from media.operations.motion_compensation import compensated_frames
from media.operations.operation import (
    FrameOperation,
    FrameTools,
    Number,
    Operation,
    PixelFormat,
    StreamInfo,
    refuse,
)
from media.operations.raw_frames import luminance
from media.operations.scenes import ScenePlace, split_scenes
from media.rates import RATES

ROLE: ModelRole = "interpolation"
NTSC_TOLERANCE = Fraction(1, 100)
"""29.97 means 30000/1001."""


class Interpolate(UsesModel, FrameOperation):
    """Makes motion smoother: frames are made between those of the clip, which stay as they are.
    Nothing is mixed across a cut."""

    title: ClassVar[str] = "Make motion smoother"
    by_position: ClassVar[tuple[str, ...]] = ("times",)
    model_role: ClassVar[ModelRole] = ROLE

    pixels: ClassVar[PixelFormat] = "yuv420p"  # of the clip itself: nothing is converted

    op: Literal["interpolate"] = "interpolate"
    times: Annotated[Literal[2, 4] | None, BeforeValidator(factor_as_typed)] = Field(
        default=None, description="How many times as many frames: 2 or 4; by default 2."
    )
    fps: Number | None = Field(
        default=None, ge=1, le=240, description="Frames per second, instead of a multiple."
    )

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.times is not None and self.fps is not None:
            raise ValueError("should have either “times” or “fps”")
        return self

    def output(self, source: StreamInfo) -> StreamInfo:
        fps = self._rate(source.fps)
        if fps < source.fps:
            raise refuse(
                f"The clip already has {float(source.fps):g} frames a second. Choose more, or "
                "change its speed instead."
            )
        # rounded up, so that the last frame of the clip is there
        num_frames = math.ceil(source.num_frames * fps / source.fps)
        return replace(source, fps=fps, num_frames=num_frames)

    def cost(self, source: StreamInfo) -> float:
        return 0.4

    def change_frames(
        self, frames: Iterator[np.ndarray], source: StreamInfo, tools: FrameTools
    ) -> Iterator[np.ndarray]:
        scenes = split_scenes(frames, tools.check, lambda frame: luminance(frame, source))
        smooth = partial(compensated_frames, check=tools.check)
        return smooth_scenes(scenes, source, self.output(source), smooth)

    def with_model(self) -> Operation:
        return ModelInterpolate(times=self.times, fps=self.fps)

    def _rate(self, source: Fraction) -> Fraction:
        if self.fps is None:
            return source * (self.times or 2)
        wanted = Fraction(self.fps).limit_denominator(1000)
        known = min(RATES, key=lambda rate: abs(rate - wanted))
        return known if abs(known - wanted) < NTSC_TOLERANCE else wanted


class ModelInterpolate(FrameOperation):
    """What `Interpolate` becomes on a server with a model. It is not offered by itself."""

    title: ClassVar[str] = Interpolate.title
    op: Literal["interpolate_with_model"] = "interpolate_with_model"
    times: Literal[2, 4] | None
    fps: float | None

    def output(self, source: StreamInfo) -> StreamInfo:
        return Interpolate(times=self.times, fps=self.fps).output(source)

    def change_frames(
        self, frames: Iterator[np.ndarray], source: StreamInfo, tools: FrameTools
    ) -> Iterator[np.ndarray]:
        model: FrameInterpolator = tools.models[ROLE]
        smooth = partial(_model_frames, model=model, check=tools.check)
        scenes = split_scenes(frames, tools.check)
        return smooth_scenes(scenes, source, self.output(source), smooth)


def smooth_scenes(
    scenes: Iterator[Iterator[np.ndarray]],
    source: StreamInfo,
    made: StreamInfo,
    smooth: Callable[[Iterator[np.ndarray], ScenePlace], Iterator[np.ndarray]],
) -> Iterator[np.ndarray]:
    """Yields `made.num_frames` frames. `smooth` makes those of one scene."""
    start, count, last = 0, 0, None
    for scene in scenes:
        counted = _Counted(scene)
        place = ScenePlace(source, made.fps, start)
        for last in itertools.islice(smooth(counted, place), made.num_frames - count):
            yield last
            count += 1
        start += counted.count
    if last is not None:  # a clip may have fewer frames than its header says
        yield from itertools.repeat(last, made.num_frames - count)


def _model_frames(
    scene: Iterator[np.ndarray],
    place: ScenePlace,
    model: FrameInterpolator,
    check: Callable[[], None],
) -> Iterator[np.ndarray]:
    number, before = place.start, None
    for frame in scene:
        if before is not None:
            shares = [share for _, share in place.outputs_from(number)]
            if shares[:1] == [0]:
                yield before
            moments = [float(share) for share in shares if share]
            yield from model.between(before, frame, moments, check)
            number += 1
        before = frame
    if before is not None:  # the last frame is shown until the cut, as in the clip
        yield from itertools.repeat(before, sum(1 for _ in place.outputs_from(number)))


class _Counted(Iterator[np.ndarray]):
    def __init__(self, frames: Iterator[np.ndarray]) -> None:
        self._frames = frames
        self.count = 0

    def __next__(self) -> np.ndarray:
        frame = next(self._frames)
        self.count += 1
        return frame
