"""Finished clips for the tests of what is done with them, without a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jobs.artifacts import MANIFEST
from jobs.job import Job, Result
from jobs.service import JobService
from media.encode import encode
from media.metadata import settings_json
from media.stills import write_last_frame, write_poster
from pipelines.request import FittedRequest
from pipelines.sound import Sound


def sliding(num_frames: int, height: int, width: int) -> np.ndarray:
    """Colours that slide to the left: uint8 [F, H, W, 3]."""
    across = np.linspace(0, 255, width + num_frames, dtype=np.uint8)
    down = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    for n in range(num_frames):
        frames[n, ..., 0], frames[n, ..., 1], frames[n, ..., 2] = across[n : n + width], down, 90
    return frames


def add_clip(
    service: JobService,
    job: Job,
    *,
    num_frames: int = 24,
    fps: int = 8,
    size: tuple[int, int] = (96, 64),
    sound: Sound | None = None,
) -> Job:
    """Stores the job as succeeded, with the files that a worker leaves; returns it."""
    width, height = size
    made = {"width": width, "height": height, "num_frames": num_frames, "fps": fps}
    job = job.model_copy(update={"fitted": job.fitted.model_copy(update=made)})
    service._store.add(job, max_queue=1000, max_per_owner=1000)
    return finish_clip(service, job.id, num_frames=num_frames, fps=fps, size=size, sound=sound)


def finish_clip(
    service: JobService,
    job_id: str,
    *,
    num_frames: int = 24,
    fps: int = 8,
    size: tuple[int, int] = (96, 64),
    sound: Sound | None = None,
) -> Job:
    """Makes the clip of a queued job, as a worker does; returns the job."""
    job = running = service._store.claim({job_id})
    assert job is not None
    assert running is not None
    result = write_clip(
        service._lifecycle.folder(job.id),
        job.fitted,
        num_frames=num_frames,
        fps=fps,
        size=size,
        sound=sound,
    )
    service._lifecycle.succeed(running, result)
    return service.get(job.id)


def write_clip(
    folder: Path,
    fitted: FittedRequest,
    *,
    num_frames: int,
    fps: int,
    size: tuple[int, int],
    sound: Sound | None = None,
) -> Result:
    """Writes the files of a clip as a worker does, the manifest last."""
    width, height = size
    frames = sliding(num_frames, height, width)
    folder.mkdir(parents=True, exist_ok=True)
    clip = encode(
        frames,
        folder / f"clip.{fitted.format}",
        fps=fps,
        format=fitted.format,
        comment=settings_json(fitted, revision="abc"),
        sound=sound,
    )
    write_poster(frames, folder / "poster.jpg")
    write_last_frame(frames, folder / "last.png")
    result = Result(
        clip=clip.path.name,
        poster="poster.jpg",
        last_frame="last.png",
        width=width,
        height=height,
        num_frames=num_frames,
        fps=fps,
        size_bytes=clip.size_bytes,
    )
    (folder / MANIFEST).write_text(result.model_dump_json(), encoding="utf-8")
    return result
