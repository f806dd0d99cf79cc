"""A finished clip in a service whose worker never starts: real files, in no time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from jobs.job import Job, Result, State, new_id
from jobs.service import JobService
from media.encode import encode
from media.metadata import settings_json
from media.stills import write_last_frame, write_poster
from pipelines.request import GenerationRequest


def frames_of(width: int, height: int, count: int = 5) -> np.ndarray:
    ramp = np.linspace(0, 255, width, dtype=np.uint8)[None, None, :, None]
    shade = np.arange(count, dtype=np.uint8)[:, None, None, None] * 20
    return np.ascontiguousarray(
        np.broadcast_to(ramp // 2 + shade, (count, height, width, 3)).astype(np.uint8)
    )


def add_finished_clip(service: JobService, owner: str, **request: Any) -> Job:
    wanted = GenerationRequest.model_validate({"prompt": "a dog", "seed": 1} | request)
    fitted = service.fit(wanted, owner)
    job_id, now = new_id(), time.time()
    folder = service.settings.data_dir / "jobs" / job_id
    folder.mkdir(parents=True)
    width, height = fitted.made_size
    frames = frames_of(width, height)
    comment = settings_json(fitted, revision="1" * 40, versions={"kinora": "1"})
    clip = encode(
        frames, folder / f"clip.{fitted.format}", fps=fitted.fps, format=fitted.format,
        comment=comment,
    )  # fmt: skip
    write_poster(frames, folder / "poster.jpg")
    write_last_frame(frames, folder / "last.png")
    result = Result(
        clip=clip.path.name, poster="poster.jpg", last_frame="last.png", width=clip.width,
        height=clip.height, num_frames=clip.num_frames, fps=clip.fps, size_bytes=clip.size_bytes,
    )  # fmt: skip
    job = Job(
        id=job_id, owner=owner, state=State.SUCCEEDED, request=wanted, fitted=fitted,
        created_at=now, started_at=now, ended_at=now, result=result,
    )  # fmt: skip
    service._store.add(job, max_queue=10_000, max_per_owner=10_000)
    return job
