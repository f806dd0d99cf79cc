"""Runs a chain: one decode, one encode, with progress, cancel and limits on time."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from errors import ErrorCode, KinoraError, megabytes
from media.encode import THREADS, metadata_file
from media.ffmpeg import base_command
from media.files import atomic_write
from media.operations import encoders
from media.operations.chain import Chain, ChainStep, Measured, add_chain, plan_chain
from media.operations.edit_sources import SOURCE_LIMITS, open_source
from media.operations.filter_graph import FilterGraph, Label
from media.operations.finish_files import finish_file
from media.operations.operation import Context, FrameOperation, PixelFormat, StreamInfo, Streams
from media.operations.outputs import Bitrates, OutputFile, choose_bitrates, fit_output
from media.operations.processes import Pipeline, ProcessLimits, run_pipeline
from media.operations.raw_frames import FROM_RAW, TO_RAW, raw_input
from media.operations.subtitle_tracks import add_subtitle_track, check_subtitle_track
from media.probe import MAX_ALLOC_BYTES

NO_LIMIT = ProcessLimits()
PLAIN_MP4 = OutputFile()
LOSSLESS = OutputFile("lossless")
MAX_LOSSLESS_BYTES = 64 * 2**30
SOUND_IS_QUICKER = 20
"""A pass without frames counts as so much less of the progress."""
MAX_ATTEMPTS = 4
"""To stay below a size in MB."""


@dataclass(frozen=True)
class Hooks:
    """How a running chain is connected to its job."""

    on_progress: Callable[[int, int], None] = lambda done, total: None
    """Frames that are done, and how many there are in all passes together."""
    is_cancelled: Callable[[], bool] = lambda: False
    """Called several times a second."""
    models: Mapping[str, Any] = field(default_factory=dict)
    """For FrameTools."""


@dataclass(frozen=True)
class EditedClip:
    path: Path
    info: StreamInfo
    """Of the file: some formats have no sound, or a limited frame rate."""
    size_bytes: int
    notes: tuple[str, ...] = ()
    """Sentences about what was fitted."""
    is_generated: bool = True
    """Whether a model made one of its clips."""


def run_chain(
    chain: Chain,
    target: Path,
    output: OutputFile = PLAIN_MP4,
    hooks: Hooks = Hooks(),
    limits: ProcessLimits = NO_LIMIT,
) -> EditedClip:
    """Writes the clip that comes out of a chain.

    Raises KinoraError(INVALID_INPUT | ENCODE | OUT_OF_DISK | TOO_LARGE | TIMEOUT) or Cancelled, and
    then leaves no file.
    """
    output = replace(output, is_generated=chain.is_generated)
    made, notes = fit_output(chain.info, output)
    check_subtitle_track(chain, output.kind)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, suffix=".part") as place:
        folder = Path(place).absolute()
        if encoders.needs_first_pass(chain.info, output) and chain.has_frame_operations:
            chain, hooks = _run_before(chain, folder, output, hooks, limits)
        run = _Run(chain, folder, output, hooks, limits)
        file = run.encode(run.measure())
        finish_file(file, made, output)
        size_bytes = file.stat().st_size
        with atomic_write(target) as part:
            file.replace(part)
    return EditedClip(target, made, size_bytes, (*chain.notes, *notes), output.is_generated)


def _run_before(
    chain: Chain, folder: Path, output: OutputFile, hooks: Hooks, limits: ProcessLimits
) -> tuple[Chain, Hooks]:
    """What takes long is done once, into a lossless file: returns a chain that only reads it, and
    the hooks for the passes that follow."""
    later = 2 * chain.info.num_frames
    before = replace(hooks, on_progress=lambda done, total: hooks.on_progress(done, total + later))
    run = _Run(chain, folder, LOSSLESS, before, limits)
    file = run.encode(run.measure())
    done_before = run.total_frames
    source = open_source(file, replace(SOURCE_LIMITS, max_bytes=MAX_LOSSLESS_BYTES))
    after = replace(
        hooks,
        on_progress=lambda done, total: hooks.on_progress(done_before + done, done_before + total),
    )
    kept = replace(
        plan_chain([source], []), kept_notes=chain.notes, kept_track=chain.subtitle_track
    )
    return kept, after


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
        passes = 2 if self._needs_first_pass else 1
        self._pass_frames = [
            *(
                info.num_frames // (SOUND_IS_QUICKER if step.operation.measures_sound_only else 1)
                for step, _, info in self._measuring
            ),
            *[self.chain.info.num_frames] * passes,
        ]
        self._finished_passes = 0

    @property
    def _needs_first_pass(self) -> bool:
        return encoders.needs_first_pass(self.chain.info, self.output)

    @property
    def total_frames(self) -> int:
        """Of all passes."""
        return sum(self._pass_frames)

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
        pipeline = self._pipeline_until(graph, measured, step.place)
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
        if not self._needs_first_pass:
            return self._write(measured, None)
        rates = None if output.target_mb is None else choose_bitrates(info, output)
        self._first_pass(measured, rates)
        for _ in range(MAX_ATTEMPTS):
            file = self._write(measured, rates)
            if output.target_mb is None or rates is None:
                return file
            share = output.max_bytes / file.stat().st_size
            if share >= 1:
                return file
            rates = replace(rates, video=int(rates.video * share * 0.97))
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The clip does not fit into {megabytes(output.max_bytes)} MB. Make it shorter or "
            "smaller.",
        )

    def _first_pass(self, measured: Measured, rates: Bitrates | None) -> None:
        info, graph = self.chain.info, FilterGraph(self.folder)
        pipeline = self._pipeline_until(graph, measured, None)
        video = encoders.add_final_filters(graph, pipeline.streams[0].video, info, self.output)
        video, options = encoders.first_pass(graph, video, info, self.output, rates)
        command = [*self._command(graph, video), "-map", str(video), "-threads", str(THREADS)]
        self._run(pipeline, [*command, *options])
        self._finished_passes += 1

    def _write(self, measured: Measured, rates: Bitrates | None) -> Path:
        output, info, graph = self.output, self.chain.info, FilterGraph(self.folder)
        pipeline = self._pipeline_until(graph, measured, None)
        (streams,) = pipeline.streams
        video = encoders.add_final_filters(graph, streams.video, info, output)
        if output.format == "gif":
            video = encoders.add_palette(graph, video, output, was_found=self._needs_first_pass)
        sound = streams.sound if output.kind.has_sound else None
        file = self.folder / f"clip{output.kind.suffix}"
        (self.folder / encoders.FRAMES).mkdir(exist_ok=True)
        with self._metadata_file(file) as tags:
            metadata = graph.add_input(
                *("-protocol_whitelist", "file", "-f", "ffmetadata", "-i", f"file:{tags}")
            )
            wanted = [video] if sound is None else [video, sound]
            options = encoders.output_options(video, sound, info, output, file, metadata, rates)
            track = add_subtitle_track(graph, self.chain, output.kind.suffix)
            command = [*self._command(graph, *wanted), *track, *options]
            self._run(pipeline, command, file)
        return file

    def _metadata_file(self, file: Path) -> AbstractContextManager[Path]:
        output = self.output
        return metadata_file(
            file, output.kind.tags, output.comment, is_generated=output.is_generated
        )

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
        frames = self._pass_frames[self._finished_passes]

        def on_frames(done: int) -> None:
            self.hooks.on_progress(before + min(done, frames), self.total_frames)

        links = pipeline.links
        if pipeline.pipe is not None and pipeline.pipe not in " ".join(command):
            links = ()  # such as the loudness of a clip whose frames are changed in Python
        commands = (*pipeline.commands, command) if links else (command,)
        done = Pipeline(commands, links, self.folder, file)
        log = run_pipeline(done, on_frames, self.hooks.is_cancelled, self.hooks.models, self.limits)
        return log

    def _pipeline_until(self, graph: FilterGraph, measured: Measured, until: int | None) -> _Piped:
        """Adds the chain before place `until` to the graph of the last process, and makes the
        commands of those before it: one for each FrameOperation."""
        frame_steps = [
            step for step in self.chain.steps[:until] if isinstance(step.operation, FrameOperation)
        ]
        commands: list[list[str]] = []
        piped: Label | None = None
        for number, step in enumerate(frame_steps):
            before = FilterGraph(self.folder)
            if number:
                piped = _add_pipe(before, frame_steps[number - 1])
            (streams,) = add_chain(self.chain, before, measured, until=step.place, piped=piped)
            video = before.video(TO_RAW[_pixels_of(step)], streams.video)
            commands.append(
                [
                    *base_command(),
                    *("-max_alloc", str(MAX_ALLOC_BYTES)),
                    *itertools.chain.from_iterable(before.inputs),
                    *("-filter_complex", before.text(video), "-map", str(video)),
                    *("-f", "rawvideo", "pipe:1"),
                ]
            )
        pipe = None
        if frame_steps:
            pipe = f"[{len(graph.inputs)}:v]"
            piped = _add_pipe(graph, frame_steps[-1])
        streams = add_chain(self.chain, graph, measured, until=until, piped=piped)
        return _Piped(streams, commands, tuple(frame_steps), pipe)


@dataclass(frozen=True)
class _Piped:
    streams: list[Streams]
    commands: list[list[str]]
    links: tuple[ChainStep, ...]
    pipe: str | None
    """The stream that the last command reads from the one before, if there is one."""


def _pixels_of(step: ChainStep) -> PixelFormat:
    return step.operation.pixels if isinstance(step.operation, FrameOperation) else "rgb24"


def _add_pipe(graph: FilterGraph, step: ChainStep) -> Label:
    """Frames of the operation before, raw on standard input."""
    info, pixels = step.outputs[0], _pixels_of(step)
    number = graph.add_input(*raw_input(info, pixels))
    return graph.video(
        f"{FROM_RAW[pixels]},settb={1 / info.fps},setpts=N", graph.stream("video", f"{number}:v")
    )
