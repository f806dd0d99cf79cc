"""Interpolate: more frames a second, made between those that are there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from media.operations.frame_models import FrameInterpolator, ModelRole, UsesModel
from media.operations.motion_compensation import compensated_frames
from media.operations.operation import FrameOperation, FrameTools, Number, StreamInfo, refuse
from media.operations.scenes import ScenePlace, split_scenes
from media.rates import RATES
from pipelines.field_types import integer_as_typed

ROLE: ModelRole = "interpolation"
NTSC_TOLERANCE = Fraction(1, 100)
"""29.97 means 30000/1001."""


class Interpolate(UsesModel, FrameOperation):
    """Makes motion smoother: frames are made between those of the clip, which stay as they are.
    Nothing is mixed across a cut."""

    title: ClassVar[str] = "Make motion smoother"
    by_position: ClassVar[tuple[str, ...]] = ("times",)
    model_role: ClassVar[ModelRole] = ROLE

    op: Literal["interpolate"] = "interpolate"
    times: Annotated[Literal[2, 4] | None, BeforeValidator(integer_as_typed)] = Field(
        default=None, description="How many times as many frames: 2 or 4. Default: 2."
    )
    fps: Number | None = Field(
        default=None, ge=1, le=240, description="Frames per second, instead of `times`."
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
        num_frames = max(1, math.floor(source.num_frames * fps / source.fps + Fraction(1, 2)))
        return replace(source, fps=fps, num_frames=num_frames)

    def change_frames(
        self, frames: Iterator[np.ndarray], source: StreamInfo, tools: FrameTools
    ) -> Iterator[np.ndarray]:
        made = self.output(source)
        if made.fps == source.fps:
            yield from frames
            return
        model: FrameInterpolator | None = tools.models.get(ROLE) if self.may_use_model else None
        start, count, last = 0, 0, None
        for scene in split_scenes(frames, tools.check):
            counted = _Counted(scene)
            place = ScenePlace(source, made.fps, start)
            if model is None:
                smooth = compensated_frames(counted, place, tools.check)
            else:
                smooth = _model_frames(counted, place, model, tools.check)
            for last in itertools.islice(smooth, made.num_frames - count):
                yield last
                count += 1
            start += counted.count
        if last is not None:  # rounding may leave one place after the last scene
            yield from itertools.repeat(last, made.num_frames - count)

    def _rate(self, source: Fraction) -> Fraction:
        if self.fps is None:
            return source * (self.times or 2)
        wanted = Fraction(self.fps).limit_denominator(1000)
        known = min(RATES, key=lambda rate: abs(rate - wanted))
        return known if abs(known - wanted) < NTSC_TOLERANCE else wanted


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
