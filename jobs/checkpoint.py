"""The checkpoint of a job: its latents are stored until the clip is finished, and of a long clip
the finished windows.

So a failure after sampling costs only the decoding, and one in a window only that window.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Literal

from errors import Cancelled, KinoraError
from jobs.artifacts import Artifacts
from media.files import atomic_write, link_or_copy

log = logging.getLogger(__name__)

WindowFile = Literal["frames", "sound", "record"]

LATENTS = "latents.safetensors"
DECODING = "decoding"
"""An empty file that exists while frames are decoded: if it is still there at the next attempt, the
worker died while decoding."""

KEPT = "latents_kept"
"""A key in the details of an error: the clip can be decoded again without sampling, or a long one
continued from its finished windows."""

WINDOWS = "window-"
"""How the names of the files of finished windows begin."""
FINISH = f"{WINDOWS}finish"
"""An empty file: no further window is made, the clip ends with the finished ones."""
REDONE = f"{WINDOWS}redone"
"""The numbers of the windows that were discarded while they were made, a line each. Those that are
made afterwards have other seeds."""
WINDOW_SUFFIXES = {"frames": ".mkv", "sound": ".npy", "record": ".json"}


def window_file(number: int, kind: WindowFile) -> str:
    """The name of a file of a window, counted from 1. A window is complete with its record."""
    return f"{WINDOWS}{number:03}{WINDOW_SUFFIXES[kind]}"


def redone_windows(folder: Path) -> list[int]:
    """Which windows were discarded while they were made, in order."""
    try:
        return [int(line) for line in (folder / REDONE).read_text(encoding="utf-8").split()]
    except (OSError, ValueError):
        return []


def note_redone(artifacts: Artifacts, job_id: str) -> None:
    """Stores that the window after the finished ones is to be made with another seed."""
    number = 1
    while artifacts.size(job_id, window_file(number, "record")):
        number += 1
    kept = artifacts.fetch(job_id, REDONE)
    before = redone_windows(kept.parent) if kept else []
    file = artifacts.folder(job_id) / REDONE
    with atomic_write(file) as part:
        part.write_text("\n".join(map(str, [*before, number])), encoding="utf-8")
    artifacts.put(job_id, file)


def is_worth_keeping(error: KinoraError) -> bool:
    """False for errors that would only happen again, and for discarded clips."""
    return error.kind.retryable and not isinstance(error, Cancelled)


def with_note(error: KinoraError) -> KinoraError:
    details = error.details | {KEPT: True}
    return KinoraError(error.code, error.message, details=details, action=error.action)


def bring(artifacts: Artifacts, job_id: str, folder: Path) -> None:
    """Copies what an earlier attempt kept into a worker's own folder, if there is anything."""
    _bring_file(artifacts, job_id, folder, LATENTS)
    _bring_file(artifacts, job_id, folder, FINISH)
    _bring_file(artifacts, job_id, folder, REDONE)
    number = 1
    while _bring_file(artifacts, job_id, folder, window_file(number, "record")):
        _bring_file(artifacts, job_id, folder, window_file(number, "frames"))
        _bring_file(artifacts, job_id, folder, window_file(number, "sound"))
        number += 1
    if artifacts.is_remote:  # `fetch` made a folder of its own
        with contextlib.suppress(OSError):
            artifacts.folder(job_id).rmdir()


def save(artifacts: Artifacts, job_id: str, folder: Path, error: KinoraError) -> None:
    """Copies the latents from a worker's own folder to the artifacts, for the next attempt."""
    if (folder / LATENTS).is_file() and is_worth_keeping(error):
        _put(artifacts, job_id, folder / LATENTS)


class WindowUploads:
    """Copies finished windows from a worker's own folder to the artifacts: a worker that dies has
    no time for it."""

    def __init__(self, artifacts: Artifacts, job_id: str, folder: Path) -> None:
        self._artifacts = artifacts
        self._job_id = job_id
        self._folder = folder
        self._next = 1

    def upload(self) -> None:
        """Copies the windows that were finished since the last call."""
        while (self._folder / window_file(self._next, "record")).is_file():
            for kind in ("frames", "sound", "record"):  # the record last
                file = self._folder / window_file(self._next, kind)
                if file.is_file():
                    _put(self._artifacts, self._job_id, file)
            self._next += 1


def drop_windows(artifacts: Artifacts, job_id: str, count: int) -> None:
    """Removes the windows of a clip that is finished, the last one first."""
    for mark in (FINISH, REDONE):
        artifacts.drop(job_id, mark)
    for number in range(count, 0, -1):
        for kind in ("record", "sound", "frames"):
            artifacts.drop(job_id, window_file(number, kind))


def _bring_file(artifacts: Artifacts, job_id: str, folder: Path, name: str) -> bool:
    kept = artifacts.fetch(job_id, name)
    if kept is None:
        return False
    if kept.parent != folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        link_or_copy(kept, folder / name)
        if artifacts.is_remote:  # `fetch` made a local copy
            kept.unlink(missing_ok=True)
    return True


def _put(artifacts: Artifacts, job_id: str, file: Path) -> None:
    try:
        artifacts.put(job_id, file)
    except KinoraError as failure:
        log.warning("Checkpoint not stored (job=%s): %s", job_id, failure.message)
