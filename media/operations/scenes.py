"""Splits frames into scenes, and says which frames are made of each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from media.operations.operation import StreamInfo
from media.scene_cuts import CutDetector


def split_scenes(
    frames: Iterator[np.ndarray],
    check: Callable[[], None],
    seen: Callable[[np.ndarray], np.ndarray] = lambda frame: frame,
) -> Iterator[Iterator[np.ndarray]]:
    """The frames of each scene; one is read to its end before the next. `seen` makes of a frame
    what is compared: RGB or luminance."""
    detector, scene = CutDetector(), 0

    def scene_of(frame: np.ndarray) -> int:
        nonlocal scene
        check()
        scene += detector.is_cut(seen(frame))
        return scene

    for _, of_scene in itertools.groupby(frames, key=scene_of):
        yield of_scene


@dataclass(frozen=True)
class ScenePlace:
    """Where a scene is in its clip, and the times of the frames to make of it."""

    source: StreamInfo
    fps: Fraction
    """Of what is made."""
    start: int
    """The number of the scene's first frame in the clip."""

    @property
    def first_output(self) -> int:
        return math.ceil(self.start * self.fps / self.source.fps)

    def position(self, output: int) -> tuple[int, Fraction]:
        """The frame of the clip that an output comes at or after, and how far after it (0..1)."""
        at = output * self.source.fps / self.fps
        frame = math.floor(at)
        return frame, at - frame

    def outputs_from(self, frame: int) -> Iterator[tuple[int, Fraction]]:
        """The outputs from a frame of the clip to the one after it, and how far after it each
        is."""
        for output in itertools.count(math.ceil(frame * self.fps / self.source.fps)):
            there, share = self.position(output)
            if there != frame:
                return
            yield output, share
