"""What an operation on a clip is: a pydantic model that computes what comes out and adds its part
to a filter graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from errors import ErrorCode, KinoraError
from media.ffmpeg import SOUND_RATE_HZ
from media.operations.filter_graph import FilterGraph, Label
from pipelines.field_types import integer_as_typed, number_as_typed

Number = Annotated[float, BeforeValidator(number_as_typed), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(integer_as_typed)]
FileId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""The SHA-256 of an upload. Never a path or a URL."""

PixelFormat = Literal["rgb24", "yuv420p"]
"""Of frames in Python."""
FileKind = Literal["sound", "lut", "subtitles", "picture", "clip"]


@dataclass(frozen=True)
class StreamInfo:
    """A clip at one point of a chain. Its sound starts with the first frame, ends with the last,
    and has SOUND_RATE_HZ samples a second; its frames are BT.709, of the same duration each."""

    width: int
    height: int
    fps: Fraction
    num_frames: int
    channels: int = 0
    """Of the sound, 1 or 2; 0 without sound."""

    @property
    def duration_s(self) -> Fraction:
        return self.num_frames / self.fps

    @property
    def num_samples(self) -> int:
        return samples_at(self.duration_s)

    @property
    def frame_bytes(self) -> int:
        """Of one frame in memory, as yuv420p."""
        return self.width * self.height * 3 // 2


def samples_at(time_s: Fraction) -> int:
    """The number of the sound's sample at a time, rounded to the nearest."""
    return int(time_s * SOUND_RATE_HZ + Fraction(1, 2))


@dataclass(frozen=True)
class Streams:
    """Labels of a clip at one point of a filter graph."""

    video: Label
    sound: Label | None = None


@dataclass(frozen=True)
class NeededFile:
    """A file beside the clips that an operation reads, such as a soundtrack."""

    id: str
    kind: FileKind


@dataclass(frozen=True)
class Context:
    """What an operation has beside its own fields."""

    files: Mapping[str, Path]
    """By their ids: what `needed_files` of the operations name. Checked, but still untrusted."""
    measured: dict[tuple[int, int], Any] = field(default_factory=dict)
    """What `read_measurement` returned, by the operation's place and the clip's number."""
    place: int = 0
    """Of this operation in the chain."""
    clip: int = 0
    """Its number; 0 after a join."""

    @property
    def measurement(self) -> Any:
        """What this operation measured of this clip in a first pass."""
        return self.measured[self.place, self.clip]

    def file_name(self, name: str) -> str:
        """A name for `FilterGraph.add_file` that no other operation of the chain uses."""
        return f"{self.place}-{self.clip}-{name}"


@dataclass(frozen=True)
class FrameTools:
    """What a FrameOperation gets from the worker: this package imports no model library."""

    check: Callable[[], None]
    """Raises Cancelled if the job was discarded. Called several times a second."""
    models: Mapping[str, Any] = field(default_factory=dict)
    """Loaded models, by the names that the operations define."""


class Operation(BaseModel, ABC):
    """One operation with its settings. `output` is called before any work and raises
    KinoraError(INVALID_INPUT) with a sentence that says what to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: ClassVar[str]
    """A few words for people: "Change the speed"."""
    measures_sound_only: ClassVar[bool] = False
    """Whether a first pass needs no frames, which makes it quick."""
    by_position: ClassVar[tuple[str, ...]] = ()
    """Fields that the short form sets in this order: `trim=1.0:3.5`."""

    @classmethod
    def name(cls) -> str:
        """The value of the field `op`, which every operation declares as a Literal."""
        return cls.model_fields["op"].default

    def needed_files(self) -> tuple[NeededFile, ...]:
        return ()

    def check_files(self, files: Mapping[str, Path]) -> None:
        """Reads the files as far as needed to refuse them before any work. files: as in Context.

        Raises KinoraError(INVALID_INPUT).
        """

    def notes(self, sources: Sequence[StreamInfo]) -> tuple[str, ...]:
        """Sentences about what was fitted, such as another clip's size."""
        return ()

    def describe_files(
        self, sources: Sequence[StreamInfo], files: Mapping[str, Path]
    ) -> tuple[str, ...]:
        """Sentences about what of the files does not fit the clips; none about missing files."""
        return ()

    def subtitle_track(self, source: StreamInfo, files: Mapping[str, Path]) -> str | None:
        """A WebVTT file that becomes a track of its own in what comes out."""
        return None

    def scaled(self, ratio: float) -> Operation:
        """The same on a smaller copy of the clip, for previews: lengths in pixels change."""
        return self

    def cost(self, source: StreamInfo) -> float:
        """Seconds on one core for a megapixel of the source, beyond decoding and encoding."""
        return 0.002

    def buffered_bytes(self, source: StreamInfo) -> int:
        """Memory for frames that ffmpeg has to hold back at the same time."""
        return 0

    @property
    def measures(self) -> bool:
        """Whether the clip is played through once before, for `add_measurement`."""
        return False

    def add_measurement(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        """Adds the filters of the first pass. A stream that is returned unchanged is left out of
        it; what the filters print or write is for `read_measurement`."""
        return streams

    def read_measurement(self, log: str, folder: Path, context: Context) -> Any:
        """Reads what the first pass printed, or wrote into `folder`."""
        return None

    def measures_again(self, found: Any) -> bool:
        """Whether one more pass is needed after `read_measurement` returned `found`, which is in
        `context.measured` during that pass."""
        return False


class ClipOperation(Operation):
    """Changes one clip, within ffmpeg's filters."""

    @abstractmethod
    def output(self, source: StreamInfo) -> StreamInfo: ...

    @abstractmethod
    def add_to(
        self, graph: FilterGraph, streams: Streams, source: StreamInfo, context: Context
    ) -> Streams:
        """Adds filters that make `output(source)`, exactly, of both streams."""


class JoinOperation(Operation):
    """Makes one clip of several. Operations before it in a chain change each of the clips."""

    @abstractmethod
    def joined(self, sources: Sequence[StreamInfo]) -> StreamInfo: ...

    @abstractmethod
    def add_join(
        self,
        graph: FilterGraph,
        streams: Sequence[Streams],
        sources: Sequence[StreamInfo],
        context: Context,
    ) -> Streams: ...


class FrameOperation(Operation):
    """Changes frames in Python, between two ffmpeg processes. The sound is not changed, only fitted
    to the duration of what comes out."""

    pixels: ClassVar[PixelFormat] = "rgb24"
    """The form of the frames; see raw_frames.frame_shape."""

    @abstractmethod
    def output(self, source: StreamInfo) -> StreamInfo: ...

    @abstractmethod
    def change_frames(
        self, frames: Iterator[np.ndarray], source: StreamInfo, tools: FrameTools
    ) -> Iterator[np.ndarray]:
        """frames: uint8, [H, W, 3] where `pixels` is rgb24. Yields `output(source).num_frames`."""


def refuse(sentence: str) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, sentence)


def seconds(time_s: Fraction | float) -> str:
    """For sentences: "2.5 s"."""
    return f"{float(time_s):.2f}".rstrip("0").rstrip(".") + " s"
