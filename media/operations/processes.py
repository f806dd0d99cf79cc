"""Runs ffmpeg processes that pass frames to each other through Python, with one place that watches
for cancel, time, size and failures."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from errors import Cancelled, ErrorCode, KinoraError, megabytes
from media.ffmpeg import DISK_FULL
from media.operations.chain import ChainStep
from media.operations.operation import FrameOperation, FrameTools
from media.operations.raw_frames import frame_shape, read_raw_frames

POLL_S = 0.1
MAX_LOG_BYTES = 200_000
UNREADABLE = "Decode error rate"
"""ffmpeg's words when it gives up on the frames of a file; it gets over a few damaged ones."""
FRAMES_DONE = re.compile(rb"^frame=\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class ProcessLimits:
    timeout_s: float = 1800.0
    max_bytes: int | None = None
    """Of the file."""


@dataclass(frozen=True)
class Pipeline:
    commands: tuple[list[str], ...]
    """The last one prints its progress on standard output; those before it, raw frames."""
    links: tuple[ChainStep, ...]
    """What changes the frames between two commands: one fewer than commands."""
    folder: Path
    file: Path | None = None
    """What the last command writes; None if it only measures."""


def run_pipeline(
    pipeline: Pipeline,
    on_frames: Callable[[int], None],
    is_cancelled: Callable[[], bool],
    models: Mapping[str, Any],
    limits: ProcessLimits,
) -> str:
    """Returns the end of what the last process printed. All processes have ended when this returns
    or raises.

    Raises KinoraError(ENCODE | OUT_OF_DISK | TOO_LARGE | TIMEOUT) or Cancelled.
    """
    deadline = time.monotonic() + limits.timeout_s

    def check() -> None:
        if is_cancelled():
            raise Cancelled
        if time.monotonic() > deadline:
            raise KinoraError(ErrorCode.TIMEOUT)
        if limits.max_bytes is not None and pipeline.file is not None:
            check_size(pipeline.file, limits.max_bytes)

    check()
    with _started(pipeline) as (processes, logs):
        tools = FrameTools(check, models)
        links = [
            _Link(step, before, after, tools)
            for step, before, after in zip(pipeline.links, processes, processes[1:], strict=False)
        ]
        for link in links:
            link.start()
        try:
            _watch(processes[-1], on_frames, check, links)
            for link in links:
                link.join(timeout=1)
                link.raise_error()
        finally:
            for process in processes:
                process.kill()
            for link in links:
                link.join(timeout=1)
        log = _read_end(logs[-1])
        if processes[-1].returncode:
            raise _failure(log)
    if pipeline.file is not None and limits.max_bytes is not None:
        check_size(pipeline.file, limits.max_bytes)
    return log


def check_size(file: Path, max_bytes: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        if file.stat().st_size > max_bytes:
            raise KinoraError(
                ErrorCode.TOO_LARGE,
                f"The file would be larger than {megabytes(max_bytes)} MB, the limit of this "
                "server. Make it shorter or smaller, or choose a lower quality.",
            )


@contextlib.contextmanager
def _started(pipeline: Pipeline) -> Iterator[tuple[list[subprocess.Popen[bytes]], list[IO[bytes]]]]:
    with contextlib.ExitStack() as stack:
        processes: list[subprocess.Popen[bytes]] = []
        logs: list[IO[bytes]] = []
        for number, command in enumerate(pipeline.commands):
            logs.append(stack.enter_context(tempfile.TemporaryFile(dir=pipeline.folder)))
            process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                command,
                stdin=subprocess.PIPE if number else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=logs[-1],
                cwd=pipeline.folder,
            )
            stack.callback(_end, process)
            processes.append(process)
        yield processes, logs


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # data that nobody will read
                pipe.close()
    process.wait()


def _watch(
    process: subprocess.Popen[bytes],
    on_frames: Callable[[int], None],
    check: Callable[[], None],
    links: Sequence[_Link],
) -> None:
    """Reads the progress of the last process until it ends."""
    assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            check()
            for link in links:
                link.raise_error()
            if not selector.select(POLL_S):
                continue
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                process.wait()
                return
            if counts := FRAMES_DONE.findall(data):
                on_frames(int(counts[-1]))


class _Link(threading.Thread):
    """Reads the frames of one process, changes them, and writes them to the next."""

    def __init__(
        self,
        step: ChainStep,
        before: subprocess.Popen[bytes],
        after: subprocess.Popen[bytes],
        tools: FrameTools,
    ) -> None:
        super().__init__(name="edit-frames", daemon=True)
        self._step, self._before, self._after, self._tools = step, before, after, tools
        self._error: BaseException | None = None

    def run(self) -> None:
        operation = self._step.operation
        assert isinstance(operation, FrameOperation)  # noqa: S101 - the chain was split at these
        (source,), (made,) = self._step.sources, self._step.outputs
        assert self._before.stdout is not None and self._after.stdin is not None  # noqa: S101
        try:
            pixels, check = operation.pixels, self._tools.check
            frames = read_raw_frames(self._before.stdout, source, pixels, check)
            with self._after.stdin as pipe:
                for frame in operation.change_frames(frames, source, self._tools):
                    if frame.shape != frame_shape(made, pixels):
                        raise ValueError(f"frame of {frame.shape}, expected {made}")
                    pipe.write(np.ascontiguousarray(frame).data)
            if self._before.wait() != 0:
                raise KinoraError(ErrorCode.DECODE, "A frame of this clip could not be read.")
        except BrokenPipeError:
            pass  # the next process has ended; its exit status says why
        except BaseException as error:  # raised again by the main thread
            self._error = error

    def raise_error(self) -> None:
        if self._error is not None:
            raise self._error


def _read_end(log: IO[bytes]) -> str:
    log.seek(0, 2)
    log.seek(max(0, log.tell() - MAX_LOG_BYTES))
    return log.read().decode("utf-8", "replace")


def _failure(log: str) -> KinoraError:
    if DISK_FULL.search(log):
        error = KinoraError(ErrorCode.OUT_OF_DISK)
    elif UNREADABLE in log:
        sentence = "This clip is damaged: its frames cannot be read. Use another copy of it."
        error = KinoraError(ErrorCode.INVALID_VIDEO, sentence)
    else:
        error = KinoraError(ErrorCode.ENCODE)
    error.__cause__ = RuntimeError(f"ffmpeg: {log[-2000:]}")
    return error
