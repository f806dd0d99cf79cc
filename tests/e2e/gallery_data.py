"""A data folder with thousands of clips of one visitor, as if they had been made: the same files,
other prompts, models and lengths."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import imageio_ffmpeg

from jobs.job import Job, Result, State, new_id
from jobs.store import JobStore
from pipelines.models.cards import load_cards
from pipelines.models.fit import Limits, fit
from pipelines.request import GenerationRequest
from tests.jobs.many_clips_of_one import fill
from web.identity import owner_of

FRAMES, FPS, SIDE = 24, 8, 128
RESULT = Result(
    clip="clip.mp4", poster="poster.jpg", last_frame="last.png", width=SIDE, height=SIDE,
    num_frames=FRAMES, fps=FPS, size_bytes=9000,
)  # fmt: skip
FILES = 120
"""Clips that have files of their own: more are never seen in one test."""


def prepare(data: Path, models_dir: Path, visitor: str, count: int) -> None:
    """Fills a data folder before its server starts."""
    data.mkdir(parents=True, exist_ok=True)
    store = JobStore(f"sqlite:///{data / 'kinora.db'}")
    asked = GenerationRequest(prompt="a balloon rises over the hills", seed=5)
    card = next(iter(load_cards(models_dir).values()))
    example = Job(
        id=new_id(), owner=owner_of(visitor), state=State.QUEUED, request=asked,
        fitted=fit(asked, card, Limits()), created_at=time.time() - 2 * count,
    )  # fmt: skip
    ids = fill(store, example, count, result=RESULT)
    store.close()
    source = data.parent / "gallery-clip"
    source.mkdir()
    draw(source)
    for job_id in ids[-FILES:]:
        folder = data / "jobs" / job_id
        folder.mkdir(parents=True)
        for file in source.iterdir():
            os.link(file, folder / file.name)


def draw(folder: Path) -> None:
    """A clip whose frames differ, its poster, its last frame and its manifest."""
    clip = folder / "clip.mp4"
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    pattern = f"testsrc=size={SIDE}x{SIDE}:rate={FPS}:duration={FRAMES / FPS}"
    for arguments in (
        ["-f", "lavfi", "-i", pattern, "-pix_fmt", "yuv420p", "-movflags", "+faststart", clip],
        ["-ss", "1", "-i", clip, "-frames:v", "1", folder / "poster.jpg"],
        ["-ss", "2", "-i", clip, "-frames:v", "1", folder / "last.png"],
    ):
        command = [ffmpeg, "-v", "error", "-y", *map(str, arguments)]
        subprocess.run(command, check=True, timeout=60)
    result = RESULT.model_copy(update={"size_bytes": clip.stat().st_size})
    (folder / "result.json").write_text(result.model_dump_json())
