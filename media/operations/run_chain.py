"""Runs a chain: one decode, one encode, with progress, cancel and limits on time."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from media import mp4
from media.encode import THREADS, metadata_file
from media.ffmpeg import BT709, base_command
from media.files import atomic_write
from media.operations.chain import Chain, ChainStep, Measured, add_chain
from media.operations.filter_graph import FilterGraph, Label
from media.operations.operation import (
    Context,
    FrameOperation,
    StreamInfo,
    Streams,
)
from media.operations.outputs import (
    OUTPUTS,
    OutputFormat,
    add_pixel_format,
    encoder_options,
    sound_options,
)
from media.operations.processes import Pipeline, ProcessLimits, run_pipeline
from media.operations.subtitle_tracks import subtitle_options
from media.probe import MAX_ALLOC_BYTES
from media.provenance import plain_tags
from pipelines.request import Quality

SOUND_IS_QUICKER = 20
"""A pass without frames counts as so much less of the progress."""
NO_LIMIT = ProcessLimits()
TO_RGB = "scale=in_color_matrix=bt709:in_range=tv:flags=accurate_rnd+full_chroma_int,format=rgb24"


@dataclass(frozen=True)
class OutputFile:
    """What file a chain is written to."""

    format: OutputFormat = "mp4"
    quality: Quality = "medium"
    target_mb: float | None = None
    comment: str = ""
    """What made the clip and what was done to it, as JSON. Some formats hold none."""


@dataclass(frozen=True)
class Hooks:
    """How a running chain is connected to its job."""

    on_progress: Callable[[int, int], None] = lambda done, total: None
    """Frames that are done, and how many there are in all passes together."""
    is_cancelled: Callable[[], bool] = lambda: False
    """Called several times a second."""
    models: dict[str, Any] = field(default_factory=dict)
    """For FrameTools."""


@dataclass(frozen=True)
class EditedClip:
    path: Path
    info: StreamInfo
    size_bytes: int
    notes: tuple[str, ...] = ()
    """Sentences about what was fitted."""


def run_chain(
    chain: Chain,
    target: Path,
    output: OutputFile = OutputFile(),
    hooks: Hooks = Hooks(),
    limits: ProcessLimits = NO_LIMIT,
) -> EditedClip:
    """Writes the clip that comes out of a chain.

    Raises KinoraError(ENCODE | OUT_OF_DISK | TOO_LARGE | TIMEOUT) or Cancelled, and then leaves no
    file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, suffix=".part") as place:
        run = _Run(chain, Path(place).absolute(), output, hooks, limits)
        file = run.encode(run.measure())
        size_bytes = file.stat().st_size
        with atomic_write(target) as part:
            file.replace(part)
    return EditedClip(target, chain.info, size_bytes, chain.notes)


@dataclass
class _Run:
    chain: Chain
    folder: Path
    output: OutputFile
    hooks: Hooks
    limits: ProcessLimits

    def __post_init__(self) -> None:
        self._measuring = [
            (step, number, info)
            for step in self.chain.steps
            if step.operation.measures
            for number, info in enumerate(step.sources)
        ]
        self._pass_frames = [
            *(
                info.num_frames // (SOUND_IS_QUICKER if step.operation.measures_sound_only else 1)
                for step, _, info in self._measuring
            ),
            self.chain.info.num_frames,
        ]
        self._finished_passes = 0

    def measure(self) -> Measured:
        """Plays a clip through once for each operation that measures something first."""
        measured: Measured = {}
        for step, number, info in self._measuring:
            while (found := self._measure_once(step, number, info, measured)) is not None:
                measured[step.place, number] = found
                if not step.operation.measures_again(found):
                    break
            self._finished_passes += 1
        return measured

    def _measure_once(
        self, step: ChainStep, number: int, info: StreamInfo, measured: Measured
    ) -> Any:
        """None if there is nothing to measure, such as the loudness of a clip without sound."""
        operation, graph = step.operation, FilterGraph(self.folder)
        context = Context(self.chain.files, measured, step.place, number)
        pipeline = self._pipeline_until(
            graph, measured, step.place, sound_only=operation.measures_sound_only
        )
        streams = pipeline.streams[number]
        made = operation.add_measurement(graph, streams, info, context)
        labels = [
            label
            for label, before in ((made.video, streams.video), (made.sound, streams.sound))
            if label is not None and label != before
        ]
        if not labels:
            return None
        command = [
            *self._command(graph, *labels, level="info"),
            *(word for label in labels for word in ("-map", str(label))),
            *("-f", "null", "pipe:2"),
        ]
        log = self._run(pipeline, command)
        return operation.read_measurement(log, self.folder, context)

    def encode(self, measured: Measured) -> Path:
        output, info = self.output, self.chain.info
        kind, graph = OUTPUTS[output.format], FilterGraph(self.folder)
        pipeline = self._pipeline_until(graph, measured, None)
        (streams,) = pipeline.streams
        video = add_pixel_format(graph, streams.video, info, output.format, output.quality)
        sound = streams.sound if kind.has_sound else None
        file = self.folder / f"clip{kind.suffix}"
        wanted = [video] if sound is None else [video, sound]
        with metadata_file(file, kind.container, output.comment) as metadata:
            tags = graph.add_input(
                *("-protocol_whitelist", "file", "-f", "ffmetadata", "-i", f"file:{metadata}")
            )
            track = subtitle_options(graph, self.chain, kind.suffix)
            command = [
                *self._command(graph, *wanted),
                *(word for label in wanted for word in ("-map", str(label))),
                *track,
                *("-map_metadata", str(tags), "-map_chapters", "-1", "-threads", str(THREADS)),
                *("-fflags", "+bitexact", "-flags:v", "+bitexact"),
                *encoder_options(info, output.format, output.quality),
                *(sound_options(output.format) if sound else ()),
                f"file:{file}",
            ]
            self._run(pipeline, command, file)
        if kind.is_even and (info.width % 2 or info.height % 2):
            mp4.declare_size(file, info.width, info.height)
        if kind.container == "mp4":
            plain_tags.tag_mp4(file)
        elif kind.container == "gif":
            plain_tags.tag_gif(file)
        return file

    def _command(self, graph: FilterGraph, *wanted: Label, level: str = "error") -> list[str]:
        """The start of a command: inputs, filters, and how progress is reported."""
        return [
            *base_command(level),
            *("-max_alloc", str(MAX_ALLOC_BYTES)),
            *itertools.chain.from_iterable(graph.inputs),
            *("-filter_complex", graph.text(*wanted)),
            *("-progress", "pipe:1", "-nostats", "-stats_period", "0.2"),
        ]

    def _run(self, pipeline: _Piped, command: list[str], file: Path | None = None) -> str:
        """Runs one pass; returns what the last process printed."""
        before = sum(self._pass_frames[: self._finished_passes])
        total = sum(self._pass_frames)

        def on_frames(done: int) -> None:
            here = min(done, self._pass_frames[self._finished_passes])
            self.hooks.on_progress(before + here, total)

        done = Pipeline((*pipeline.commands, command), pipeline.links, self.folder, file)
        log = run_pipeline(done, on_frames, self.hooks.is_cancelled, self.hooks.models, self.limits)
        return log

    def _pipeline_until(
        self,
        graph: FilterGraph,
        measured: Measured,
        until: int | None,
        *,
        sound_only: bool = False,
    ) -> _Piped:
        """Adds the chain before place `until` to the graph of the last process, and makes the
        commands of those before it: one for each FrameOperation."""
        if sound_only:  # which no FrameOperation changes
            unused = Label("video", "unused")
            return _Piped(add_chain(self.chain, graph, measured, until=until, piped=unused), [], ())
        frame_steps = [
            step for step in self.chain.steps[:until] if isinstance(step.operation, FrameOperation)
        ]
        commands: list[list[str]] = []
        piped: Label | None = None
        for number, step in enumerate(frame_steps):
            before = FilterGraph(self.folder)
            if number:
                piped = _add_pipe(before, frame_steps[number - 1].outputs[0])
            (streams,) = add_chain(self.chain, before, measured, until=step.place, piped=piped)
            video = before.video(TO_RGB, streams.video)
            commands.append(
                [
                    *base_command(),
                    *("-max_alloc", str(MAX_ALLOC_BYTES)),
                    *itertools.chain.from_iterable(before.inputs),
                    *("-filter_complex", before.text(video), "-map", str(video)),
                    *("-f", "rawvideo", "pipe:1"),
                ]
            )
        if frame_steps:
            piped = _add_pipe(graph, frame_steps[-1].outputs[0])
        streams = add_chain(self.chain, graph, measured, until=until, piped=piped)
        return _Piped(streams, commands, tuple(frame_steps))


@dataclass(frozen=True)
class _Piped:
    streams: list[Streams]
    commands: list[list[str]]
    links: tuple[ChainStep, ...]


def _add_pipe(graph: FilterGraph, info: StreamInfo) -> Label:
    """Frames of the operation before, as raw RGB on standard input."""
    number = graph.add_input(
        *("-protocol_whitelist", "pipe", "-f", "rawvideo", "-pix_fmt", "rgb24"),
        *("-video_size", f"{info.width}x{info.height}", "-framerate", str(info.fps)),
        *("-i", "pipe:0"),
    )
    return graph.video(
        f"{BT709},settb={1 / info.fps},setpts=N", graph.stream("video", f"{number}:v")
    )
