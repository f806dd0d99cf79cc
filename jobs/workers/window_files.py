"""The finished windows of a long clip, in files of its job until the clip is written.

Each has its frames, its sound and a record, which is written last: with it the window is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.checkpoint import FINISH, REDONE, window_file
from media.colour_match import ColourStats, blend
from media.files import atomic_write
from media.frame_files import FrameFile, write_frames
from pipelines.request import Adjustment, FittedRequest
from pipelines.sound import Sound

log = logging.getLogger(__name__)


class WindowRecord(BaseModel):
    model_config = ConfigDict(frozen=True)
    of: str
    """What the clip is: windows of other settings are not used."""
    count: int
    """Frames in the file, those that repeat the window before it included."""
    overlap: int
    height: int
    width: int
    sound_hz: int | None
    anchor: ColourStats
    """What the next window is matched to."""
    steps_done: int
    seconds: dict[str, float]
    changes: tuple[Adjustment, ...]


@dataclass(frozen=True)
class StoredWindow:
    record: WindowRecord
    frames: FrameFile
    sound: Sound | None


def fingerprint(fitted: FittedRequest) -> str:
    text = json.dumps(fitted.model_dump(mode="json", exclude={"adjustments"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def store_window(
    folder: Path,
    number: int,
    frames: Iterator[np.ndarray],
    sound: Sound | None,
    record: WindowRecord,
) -> StoredWindow:
    """`frames`: uint8 [H, W, 3], `record.count` of them. Raises KinoraError."""
    file = write_frames(frames, folder / window_file(number, "frames"))
    if sound is not None:
        with atomic_write(folder / window_file(number, "sound")) as part, part.open("wb") as target:
            np.save(target, sound.samples.astype(np.float32), allow_pickle=False)
    with atomic_write(folder / window_file(number, "record")) as part:
        part.write_text(record.model_dump_json(), encoding="utf-8")
    return StoredWindow(record, file, sound)


def load_windows(folder: Path, of: str) -> list[StoredWindow]:
    """The finished windows of an earlier attempt, from the first on, without a gap."""
    found: list[StoredWindow] = []
    while True:
        number = len(found) + 1
        try:
            text = (folder / window_file(number, "record")).read_text(encoding="utf-8")
            record = WindowRecord.model_validate_json(text)
            sound = None
            if record.sound_hz is not None:
                samples = np.load(folder / window_file(number, "sound"), allow_pickle=False)
                sound = Sound(samples, record.sound_hz)
        except (OSError, ValidationError, ValueError) as error:
            if not isinstance(error, FileNotFoundError):
                log.warning("Part %d cannot be read: %s.", number, type(error).__name__)
            return found
        file = folder / window_file(number, "frames")
        if record.of != of or not file.is_file():
            return found
        frames = FrameFile(file, record.count, record.height, record.width)
        found.append(StoredWindow(record, frames, sound))


def remove_windows(folder: Path, count: int) -> None:
    for mark in (FINISH, REDONE):
        with contextlib.suppress(OSError):
            (folder / mark).unlink(missing_ok=True)
    for number in range(count, 0, -1):
        for kind in ("record", "sound", "frames"):
            with contextlib.suppress(OSError):
                (folder / window_file(number, kind)).unlink(missing_ok=True)


class JoinedFrames:
    """The frames of a long clip, blended where windows overlap. Each pass reads the files again and
    holds no more than one overlap."""

    def __init__(self, windows: Sequence[StoredWindow], skip: int = 0) -> None:
        """`skip` leaves out the first frames."""
        self._windows = windows
        self._skip = skip
        records = [window.record for window in windows]
        self.count = sum(each.count - each.overlap for each in records) - skip
        self.height, self.width = records[0].height, records[0].width

    def __iter__(self) -> Iterator[np.ndarray]:
        overlaps = [window.record.overlap for window in self._windows]
        held: list[np.ndarray] = []
        position = 0
        for window, overlap, next_overlap in zip(
            self._windows, overlaps, [*overlaps[1:], 0], strict=True
        ):
            frames = window.frames.frames()
            repeated = [next(frames) for _ in range(overlap)]
            blended, held = blend(held, repeated), []
            for index, frame in enumerate(itertools.chain(blended, frames)):
                if index >= window.record.count - next_overlap:
                    held.append(frame)
                    continue
                if position >= self._skip:
                    yield frame
                position += 1


def join_sounds(windows: Sequence[StoredWindow], fps: int) -> Sound | None:
    """The sounds one after another, cross-faded over the overlap with constant power; silence where
    a window has none. None if none has any."""
    with_sound = [window.sound for window in windows if window.sound is not None]
    if not with_sound:
        return None
    rate, channels = with_sound[0].rate_hz, with_sound[0].samples.shape[0]
    records = [window.record for window in windows]
    total = sum(each.count - each.overlap for each in records)
    joined = np.zeros((channels, round(total / fps * rate)), np.float32)
    start = 0
    for window, following in zip(windows, [*windows[1:], None], strict=True):
        start -= window.record.overlap
        begins, ends = (round(n / fps * rate) for n in (start, start + window.record.count))
        if window.sound is not None and window.sound.rate_hz == rate:
            samples = window.sound.lasting(window.record.count / fps).samples[:, : ends - begins]
            samples = samples.copy()
            if window.record.overlap:
                fade = _fade(round(window.record.overlap / fps * rate))
                samples[:, : len(fade)] *= fade
            if following is not None and following.record.overlap:
                fade = _fade(round(following.record.overlap / fps * rate))[::-1]
                samples[:, samples.shape[1] - len(fade) :] *= fade
            joined[:, begins : begins + samples.shape[1]] += samples[:, : joined.shape[1] - begins]
        start += window.record.count
    return Sound(joined, rate)


def _fade(count: int) -> np.ndarray:
    """In, with constant power."""
    return np.sin((np.arange(count) + 0.5) / max(count, 1) * np.pi / 2).astype(np.float32)
