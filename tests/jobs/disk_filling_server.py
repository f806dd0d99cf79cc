"""A server that does nothing but fill the disk: real clips, one after the other, until killed.

Run as a program with a data folder, a folder of cards and a quota in bytes. It starts as a server
does (takes up what the last one left, tidies, keeps house), and writes clips as a worker does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from app import executor_for
from jobs.artifacts import MANIFEST
from jobs.job import Job, Result
from jobs.retention import make_room, remove_leftovers
from jobs.service import JobService
from jobs.store import JobStore
from media.encode import encode
from media.files import atomic_write
from media.stills import write_last_frame, write_poster
from pipelines.models.cards import load_cards
from pipelines.request import GenerationRequest
from settings import Settings

OWNER = "visitor:filling"


def service_in(data: Path, models: Path, quota_bytes: int) -> JobService:
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=data,
        models_dir=models,
        max_disk_gb=quota_bytes / 1e9,
        max_jobs_per_visitor=100,
        keep_clips_days=None,
    )
    cards = load_cards(models)
    return JobService(JobStore(settings.database_url), executor_for(settings), cards, settings)


def make_clip(service: JobService, job: Job) -> None:
    """What a worker leaves: the files, then the manifest, then the report to the lifecycle."""
    folder, chance = service._lifecycle.folder(job.id), np.random.default_rng(job.fitted.seed)
    frames = chance.integers(0, 256, (5, 96, 96, 3), np.uint8)
    clip = encode(frames, folder / "clip.mp4", fps=8, quality="high")
    write_poster(frames, folder / "poster.jpg")
    write_last_frame(frames, folder / "last.png")
    result = Result(
        clip="clip.mp4",
        poster="poster.jpg",
        last_frame="last.png",
        width=96,
        height=96,
        num_frames=5,
        fps=8,
        size_bytes=clip.size_bytes,
    )
    with atomic_write(folder / MANIFEST) as part:
        part.write_text(result.model_dump_json(), encoding="utf-8")
    service._lifecycle.succeed(job, result)


def main(data: Path, models: Path, quota_bytes: int) -> None:
    service = service_in(data, models, quota_bytes)
    service._recover()
    remove_leftovers(service._lifecycle)
    print("ready", flush=True)
    while True:
        if not service._store.queued_ids():
            service.submit(GenerationRequest(prompt="noise"), OWNER)
        job = service._store.claim()
        if job is not None:
            make_clip(service, job)
        make_room(service._lifecycle, service.settings)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
