"""Makes frames between those of a scene with ffmpeg's `minterpolate`, in a process of its own."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import IO

import numpy as np

from errors import ErrorCode, KinoraError
from media.ffmpeg import base_command
from media.operations.operation import PixelFormat
from media.operations.raw_frames import frame_shape, raw_input
from media.operations.scenes import ScenePlace

PIXELS: PixelFormat = "yuv420p"
SMALLEST_SIDE = 32
"""minterpolate fails where a side is smaller than two of its blocks."""
TRAILING = 3
"""Copies of the last frame that minterpolate needs to make the frames before it."""
POLL_S = 0.1
FILTER = (
    "minterpolate=fps={fps}:mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1:"
    "scd=none"  # media.scene_cuts finds the cuts
)


def compensated_frames(
    scene: Iterator[np.ndarray], place: ScenePlace, check: Callable[[], None]
) -> Iterator[np.ndarray]:
    """The frames to make of a scene without cuts, all in YUV 4:2:0 (raw_frames.frame_shape). Those
    at the time of a frame of the scene are that frame, unchanged; those after its last one repeat
    it.

    Raises KinoraError(ENCODE). What `check` raises stops it.
    """
    first = next(scene, None)
    if first is None:
        return
    second = next(scene, None)
    if second is None or min(place.source.width, place.source.height) < SMALLEST_SIDE:
        yield from _repeated(first, second, scene, place)
        return
    with _Process(place) as process:
        process.feed(_chain(first, second, scene))
        for output, made in process.outputs(check):
            frame, share = place.position(output)
            if process.last is not None and frame > process.last:
                break
            if frame < place.start:
                continue
            kept = process.frame(frame)
            yield made if share and frame != process.last else kept


def _repeated(
    first: np.ndarray,
    second: np.ndarray | None,
    scene: Iterator[np.ndarray],
    place: ScenePlace,
) -> Iterator[np.ndarray]:
    frames = [first] if second is None else _chain(first, second, scene)
    for number, frame in enumerate(frames, place.start):
        for _ in place.outputs_from(number):
            yield frame


def _chain(
    first: np.ndarray, second: np.ndarray, rest: Iterator[np.ndarray]
) -> Iterator[np.ndarray]:
    yield first
    yield second
    yield from rest


class _Process:
    """One run of minterpolate. A thread feeds it, because it holds frames back: writing and
    reading in turn would block."""

    def __init__(self, place: ScenePlace) -> None:
        self._place = place
        self._shape = frame_shape(place.source, PIXELS)
        self._kept: deque[tuple[int, np.ndarray]] = deque()
        self._error: BaseException | None = None
        self.last: int | None = None
        """The number of the scene's last frame, once it was read."""
        source = place.source
        command = [
            *base_command(),
            *raw_input(source, PIXELS),
            # times are those in the clip, so that the outputs are at its times too
            *("-vf", f"settb={1 / source.fps},setpts=N+{place.start},"
              f"tpad=stop={TRAILING}:stop_mode=clone,{FILTER.format(fps=place.fps)}"),
            *("-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"),
        ]  # fmt: skip
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._ffmpeg = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )
        self._thread: threading.Thread | None = None

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._ffmpeg.kill()
        if self._thread is not None:
            self._thread.join()
        for pipe in (self._ffmpeg.stdin, self._ffmpeg.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        self._ffmpeg.wait()
        self._log.close()

    def feed(self, frames: Iterator[np.ndarray]) -> None:
        self._thread = threading.Thread(target=self._feed, args=(frames,), name="interpolate")
        self._thread.start()

    def frame(self, number: int) -> np.ndarray:
        """A frame of the scene; those before it are dropped."""
        while self._kept[0][0] < number:
            self._kept.popleft()
        return self._kept[0][1]

    def outputs(self, check: Callable[[], None]) -> Iterator[tuple[int, np.ndarray]]:
        """The made frames and their numbers in the clip that is made."""
        place, pipe = self._place, self._ffmpeg.stdout
        assert pipe is not None  # noqa: S101 - it was opened as a pipe
        output = _nearest(place.start * place.fps / place.source.fps)
        while (data := self._read(pipe, check)) is not None:
            yield output, np.frombuffer(data, np.uint8).reshape(self._shape)
            output += 1
        if self._error is not None:
            raise self._error
        if self._ffmpeg.wait() != 0:
            self._log.seek(0)
            text = self._log.read()[-2000:].decode("utf-8", "replace")
            raise KinoraError(ErrorCode.ENCODE) from RuntimeError(f"ffmpeg: {text}")

    def _read(self, pipe: IO[bytes], check: Callable[[], None]) -> bytearray | None:
        """One frame; None at the end."""
        size = int(np.prod(self._shape))
        data = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while len(data) < size:
                check()
                if not selector.select(POLL_S):
                    continue
                part = os.read(pipe.fileno(), size - len(data))
                if not part:
                    return None
                data += part
        return data

    def _feed(self, frames: Iterator[np.ndarray]) -> None:
        pipe = self._ffmpeg.stdin
        assert pipe is not None  # noqa: S101 - it was opened as a pipe
        number = self._place.start
        try:
            with pipe:
                for number, frame in enumerate(frames, self._place.start):
                    self._kept.append((number, frame))
                    pipe.write(np.ascontiguousarray(frame).data)
                # before the pipe is closed: what comes after the last frame is made after that
                self.last = number
        except BrokenPipeError:
            pass  # the process has ended; its exit status says why
        except BaseException as error:  # raised again where the outputs are read
            self._error = error
            self._ffmpeg.kill()


def _nearest(value: Fraction) -> int:
    """As ffmpeg rounds the first time: halves up."""
    return int(value + Fraction(1, 2))
