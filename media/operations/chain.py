"""A chain of operations on one or several clips: what comes out, and one filter graph for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from errors import KinoraError
from media.operations.cut import CutOperation, keep_frames
from media.operations.edit_sources import EditSource
from media.operations.exact_length import exact_sound
from media.operations.filter_graph import FilterGraph, Label
from media.operations.operation import (
    ClipOperation,
    Context,
    FrameOperation,
    JoinOperation,
    Operation,
    StreamInfo,
    Streams,
    refuse,
    seconds,
)
from media.provenance.generated_mark import is_marked_as_generated

Measured = dict[tuple[int, int], Any]
"""See Context.measured."""


@dataclass(frozen=True)
class ChainLimits:
    """Checked before any work, for every step of a chain."""

    max_seconds: float = 900.0
    max_pixels: int = 3840 * 2160
    max_fps: int = 240
    max_buffered_bytes: int = 1500 * 2**20
    """Frames that ffmpeg holds in memory, as to play them backwards."""


@dataclass(frozen=True)
class ChainStep:
    """One operation, and the clips before and after it: several before a join."""

    place: int
    operation: Operation
    sources: tuple[StreamInfo, ...]
    outputs: tuple[StreamInfo, ...]


@dataclass(frozen=True)
class Chain:
    sources: tuple[EditSource, ...]
    steps: tuple[ChainStep, ...]
    files: Mapping[str, Path] = field(default_factory=dict)
    kept_notes: tuple[str, ...] = ()
    """Of a chain that was run before this one."""
    kept_track: str | None = None
    """Its subtitles."""

    @property
    def info(self) -> StreamInfo:
        """What comes out."""
        return self.steps[-1].outputs[0] if self.steps else self.sources[0].info

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was fitted."""
        own = (
            note
            for step in self.steps
            for note in (
                *step.operation.notes(step.sources),
                *step.operation.describe_files(step.sources, self.files),
            )
        )
        return (*self.kept_notes, *own)

    @property
    def subtitle_track(self) -> str | None:
        """A WebVTT file for a track of its own."""
        tracks = [step.operation.subtitle_track(step.sources[0], self.files) for step in self.steps]
        return next((track for track in reversed(tracks) if track is not None), self.kept_track)

    def with_frames_changed(self, operation: FrameOperation) -> Chain:
        """The same with one more step at its end, which changes the pixels only."""
        made = (operation.output(self.info),)
        step = ChainStep(len(self.steps), operation, (self.info,), made)
        return replace(self, steps=(*self.steps, step))

    @property
    def is_generated(self) -> bool:
        """Whether one of the clips says that a model made it. Reads the files."""
        return any(is_marked_as_generated(source.inspected.path) for source in self.sources)

    @property
    def has_frame_operations(self) -> bool:
        return any(isinstance(step.operation, FrameOperation) for step in self.steps)


def plan_chain(
    sources: Sequence[EditSource],
    operations: Sequence[Operation],
    *,
    join: JoinOperation | None = None,
    files: Mapping[str, Path] | None = None,
    limits: ChainLimits = ChainLimits(),
) -> Chain:
    """Computes what comes out of every step. `join` comes first if there are several clips and no
    join among the operations. `files` are those that the operations need, by id; None if they are
    not at hand yet.

    Raises KinoraError(INVALID_INPUT) before any work.
    """
    joins = [each for each in operations if isinstance(each, JoinOperation)]
    if len(joins) > 1:
        raise refuse("Clips can be joined only once. Remove one of the joins.")
    if joins and len(sources) < 2:
        raise refuse("Joining needs at least two clips. Add another clip.")
    if len(sources) > 1 and not joins:
        if join is None:
            raise refuse("Several clips need to be joined. Add the operation “join”.")
        operations = (join, *operations)
    for operation in operations if files is not None else ():
        operation.check_files(files or {})
    here = tuple(source.info for source in sources)
    steps: list[ChainStep] = []
    buffered = 0
    for place, operation in enumerate(operations):
        match operation:
            case JoinOperation():
                after = (operation.joined(here),)
            case FrameOperation() if len(here) > 1:
                raise refuse(f"“{operation.title}” works on one clip. Move it after the join.")
            case ClipOperation() | FrameOperation():
                after = tuple(operation.output(each) for each in here)
            case _:
                raise TypeError(f"{type(operation).__name__} is of no known kind")
        for source, made in zip(here, after, strict=False):
            _check_limits(operation, source, made, limits)
            buffered += operation.buffered_bytes(source)
            if buffered > limits.max_buffered_bytes:
                raise _needs_memory(operation, source, limits.max_buffered_bytes / buffered)
        steps.append(ChainStep(place, operation, here, after))
        here = after
    return Chain(tuple(sources), tuple(steps), dict(files or {}))


def _check_limits(
    operation: Operation, source: StreamInfo, made: StreamInfo, limits: ChainLimits
) -> None:
    if made.duration_s > limits.max_seconds:
        raise refuse(
            f"The clip would last {seconds(made.duration_s)} after “{operation.title}”; at most "
            f"{seconds(limits.max_seconds)} are possible. Shorten it first."
        )
    if made.width * made.height > limits.max_pixels:
        raise refuse(
            f"The clip would be {made.width} x {made.height} after “{operation.title}”; at most "
            f"{limits.max_pixels / 1e6:.1f} megapixels are possible. Choose a smaller size."
        )
    if made.fps > limits.max_fps:
        raise refuse(
            f"The clip would have {float(made.fps):g} frames a second after “{operation.title}”; "
            f"at most {limits.max_fps} are possible."
        )


def _needs_memory(operation: Operation, source: StreamInfo, share: float) -> KinoraError:
    return refuse(
        f"“{operation.title}” holds all frames in memory, and there are too many: about "
        f"{seconds(share * float(source.duration_s))} of {source.width} x {source.height} are "
        "possible. Trim the clip first, or make it smaller."
    )


def add_chain(
    chain: Chain,
    graph: FilterGraph,
    measured: Measured,
    *,
    until: int | None = None,
    piped: Label | None = None,
) -> list[Streams]:
    """Adds the sources and the operations before place `until` to a graph; returns the streams:
    several before a join.

    A FrameOperation works on frames outside of the graph: what follows the last one before `until`
    reads `piped` instead, and the sound as it was.
    """
    steps = chain.steps[:until]
    if steps and isinstance(steps[0].operation, CutOperation):
        cut, steps = steps[0].operation, steps[1:]
        streams = [_add_part(source, graph, cut) for source in chain.sources]
    else:
        streams = [source.add_to(graph) for source in chain.sources]
    for step in steps:
        context = Context(chain.files, measured, step.place)
        match step.operation:
            case JoinOperation() as join:
                streams = [join.add_join(graph, streams, step.sources, context)]
            case ClipOperation() as operation:
                streams = [
                    operation.add_to(graph, each, info, replace(context, clip=number))
                    for number, (each, info) in enumerate(zip(streams, step.sources, strict=True))
                ]
            case FrameOperation() if piped is not None:
                (source,), (made,), sound = step.sources, step.outputs, streams[0].sound
                if sound is not None and made.num_samples != source.num_samples:
                    sound = graph.sound(exact_sound(made), sound)
                streams = [Streams(piped, sound)]
            case _:
                raise TypeError(f"{type(step.operation).__name__} needs frames through a pipe")
    return streams


def _add_part(source: EditSource, graph: FilterGraph, cut: CutOperation) -> Streams:
    """A part of a file: of what is before it, only as much is decoded as is needed."""
    start, end = cut.frames(source.info)
    skipped = source.skippable(start)
    streams = source.add_to(graph, skipped)
    info = replace(source.info, num_frames=source.info.num_frames - skipped)
    return keep_frames(graph, streams, info, start - skipped, end - skipped)
