"""The files that are made of a whole batch: contact sheet, grid video, and a zip of its clips.

Sheets and grids are made when they are requested, one at a time, and cached in `batches/<id>/` of
the data folder. A cached file belongs to one state of its batch: another clip gives another file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.batch import BatchState, Cell
from jobs.job import Job, State
from jobs.signing import Signing
from media.files import list_or_empty, stat_or_none
from media.provenance.c2pa_package import SIDECAR
from media.zip_stream import Entry, zip_stream
from settings import Settings

if TYPE_CHECKING:
    from jobs.store import JobStore
    from media.grids import Grid, GridClip

log = logging.getLogger(__name__)

MOST_WAITING = 8
"""Requests that wait for a sheet or a grid; further ones are refused."""
MAX_CACHE_BYTES = 500_000_000
SHARE_OF_DISK = 0.05
"""Of KINORA_MAX_DISK_GB, for the cached files."""
MAX_AGE_S = 7 * 24 * 3600
BATCH_ID = re.compile(r"[0-9a-f]{32}")
SHOWN_IN_NAME = 40

WORDS: dict[State, str] = {
    State.QUEUED: "Waiting",
    State.RUNNING: "In progress",
    State.FAILED: "Failed",
    State.CANCELLED: "Discarded",
    State.SUCCEEDED: "Not kept",
}
"""What stands in a cell without a clip."""
Kind = Literal["sheet", "grid"]


class BatchFiles:
    """Thread-safe."""

    def __init__(
        self, artifacts: Artifacts, settings: Settings, signing: Signing | None = None
    ) -> None:
        self._artifacts, self._settings, self._signing = artifacts, settings, signing
        self._root = artifacts.root / "batches"
        self._one_at_a_time = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)

    def sheet(self, found: BatchState) -> Path:
        """The PNG of all middle frames. Raises KinoraError(UNAVAILABLE) while too many wait."""
        from media.grids import write_sheet

        return self._cached(found, "sheet", "png", write_sheet)

    def grid(self, found: BatchState) -> Path:
        """The MP4 in which all clips play in step. Raises KinoraError: CONFLICT while there is no
        clip, TOO_LARGE, UNAVAILABLE while too many wait."""
        from media.grids import write_grid

        if not any(_has_clip(job) for job in found.jobs):
            raise KinoraError(ErrorCode.CONFLICT, "No clip of this batch is finished yet.")
        comment = json.dumps({"batch": found.batch.id, "kind": found.batch.kind})
        limit = self._settings.max_video_file_size_bytes

        def write(grid: Grid, path: Path) -> None:
            write_grid(grid, path, max_bytes=limit, comment=comment)

        return self._cached(found, "grid", "mp4", write)

    def remove(self, batch_id: str) -> None:
        """Removes the cached files: a clip in them was deleted."""
        shutil.rmtree(self._root / batch_id, ignore_errors=True)

    def _cached(
        self, found: BatchState, kind: Kind, suffix: str, write: Callable[[Grid, Path], Any]
    ) -> Path:
        folder = self._root / found.batch.id
        path = folder / f"{kind}-{_fingerprint(found)}.{suffix}"
        if not path.is_file():
            with self._turn():
                if not path.is_file():  # another request may have made it meanwhile
                    self._make(found, path, write)
                    for older in list_or_empty(folder):
                        if older.name.startswith(f"{kind}-") and older != path:
                            older.unlink(missing_ok=True)
        return path

    def _make(self, found: BatchState, path: Path, write: Callable[[Grid, Path], Any]) -> None:
        """A file of that name is complete and signed: other requests send it at once."""
        made = path.with_name(f"unsigned-{path.name}")
        try:
            write(self._grid_of(found), made)
            if self._signing:
                self._signing.sign_copy(made, path.name)
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._waiting.acquire(blocking=False):
            raise KinoraError(
                ErrorCode.UNAVAILABLE, "Too many sheets are being made. Try again in a moment."
            )
        try:
            with self._one_at_a_time:
                yield
        finally:
            self._waiting.release()

    # -- from jobs to cells ------------------------------------------------------------------------

    def _grid_of(self, found: BatchState) -> Grid:
        from media.grids import Grid, GridCell

        by_id = {job.id: job for job in found.jobs}
        axes = found.batch.layout.axes
        cells: list[GridCell] = []
        for cell in found.batch.layout.cells:
            job = by_id.get(cell.job_id or "")
            clip = self._clip(job) if job else None
            caption = "" if axes or job is None else _caption(found, job)
            cells.append(GridCell(clip, _words(cell, job), caption))
        return Grid(
            cells=tuple(cells),
            columns=axes[0].values if axes else (),
            rows=axes[1].values if len(axes) > 1 else (),
            column_title=axes[0].label if axes else "",
            row_title=axes[1].label if len(axes) > 1 else "",
        )

    def _clip(self, job: Job) -> GridClip | None:
        from media.grids import GridClip

        if not _has_clip(job) or job.result is None:
            return None
        result = job.result
        clip = self._artifacts.fetch(job.id, result.clip)
        poster = self._artifacts.fetch(job.id, result.poster)
        if clip is None or poster is None:
            return None
        return GridClip(clip, poster, result.width, result.height, result.num_frames, result.fps)

    # -- zip ---------------------------------------------------------------------------------------

    def zip(self, found: BatchState) -> Iterator[bytes]:
        """The pieces of a zip with `batch.json`, which says what made the clips, and every finished
        clip. Raises KinoraError(CONFLICT) while there is none."""
        names = clip_names(found)
        if not names:
            raise KinoraError(ErrorCode.CONFLICT, "No clip of this batch is finished yet.")
        return zip_stream(self._entries(found, names))

    def _entries(self, found: BatchState, names: dict[str, str]) -> Iterator[Entry]:
        about = json.dumps(description(found, names), indent=1, ensure_ascii=False)
        yield "batch.json", about.encode()
        for job in found.jobs:
            path = self._artifacts.fetch(job.id, job.result.clip) if job.result else None
            if job.id in names and path is not None:  # else it was removed meanwhile
                yield names[job.id], path
                if job.result and job.result.provenance and job.result.provenance.sidecar:
                    sidecar = self._artifacts.fetch(job.id, job.result.provenance.sidecar)
                    if sidecar is not None:
                        yield f"{names[job.id]}{SIDECAR}", sidecar


def clip_names(found: BatchState) -> dict[str, str]:
    """Names for the finished clips, by the ids of their jobs."""
    return {
        job.id: _file_name(number, job)
        for number, job in enumerate(found.jobs, 1)
        if _has_clip(job)
    }


def description(found: BatchState, names: dict[str, str]) -> dict[str, Any]:
    """What `batch.json` says. `names` are the files of the clips, by the ids of their jobs."""
    batch = found.batch
    return {
        "batch_id": batch.id,
        "kind": batch.kind,
        "created_at": batch.created_at,
        "axes": [axis.model_dump() for axis in batch.layout.axes],
        "cells": [cell.model_dump() for cell in batch.layout.cells],
        "clips": [_about(job, names.get(job.id)) for job in found.jobs],
    }


def _about(job: Job, name: str | None) -> dict[str, Any]:
    return {
        "file": name,
        "job_id": job.id,
        "state": job.state.value,
        "request": job.request.model_dump(mode="json", exclude_defaults=True),
        "used": job.fitted.model_dump(mode="json", exclude={"adjustments"}),
        "adjustments": [each.sentence for each in job.fitted.adjustments],
        "error": job.error and job.error.get("message"),
        "seconds": job.result.seconds if job.result else None,
    }


def _file_name(number: int, job: Job) -> str:
    """`03-a-dog-in-the-snow-5.mp4`: in order, with the start of the prompt and the seed."""
    words = re.sub(r"[^\w]+", "-", job.fitted.prompt)[:SHOWN_IN_NAME].strip("-_").lower()
    suffix = Path(job.result.clip).suffix if job.result else ""
    parts = (f"{number:02}", words, str(job.fitted.seed))
    return "-".join(part for part in parts if part) + suffix


def _has_clip(job: Job) -> bool:
    return bool(job.state is State.SUCCEEDED and job.result and not job.result.gone)


def _words(cell: Cell, job: Job | None) -> str:
    if job is None:
        return cell.problem or "Deleted"
    return WORDS[job.state]


def _caption(found: BatchState, job: Job) -> str:
    seed = f"Seed {job.fitted.seed}"
    has_one_prompt = len({each.fitted.prompt for each in found.jobs}) == 1
    return seed if has_one_prompt else job.fitted.prompt or seed


def _fingerprint(found: BatchState) -> str:
    """Of all that is seen in a sheet or a grid."""
    jobs = [[job.id, job.state.value, _has_clip(job)] for job in found.jobs]
    content = json.dumps([found.batch.layout.model_dump(exclude={"base"}), jobs])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def prune(store: JobStore, artifacts: Artifacts, settings: Settings) -> None:
    """Removes cached files that are old or too many, and those of batches that do not exist."""
    limit = MAX_CACHE_BYTES
    if settings.max_disk_gb is not None:
        limit = min(limit, int(settings.max_disk_gb * 1e9 * SHARE_OF_DISK))
    root = artifacts.root / "batches"
    folders = [folder for folder in list_or_empty(root) if BATCH_ID.fullmatch(folder.name)]
    known = store.known_batches([folder.name for folder in folders])
    files: list[tuple[float, int, Path]] = []
    for folder in folders:
        if folder.name not in known and not artifacts.is_shared:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        stats = [(stat_or_none(path), path) for path in list_or_empty(folder)]
        files += [(stat.st_mtime, stat.st_size, path) for stat, path in stats if stat]
    used, now = 0, time.time()
    for changed_at, size, path in sorted(files, reverse=True):
        used += size
        if used > limit or now - changed_at > MAX_AGE_S:
            path.unlink(missing_ok=True)
