"""Thousands of finished clips of one owner, straight into the tables: accepting them takes long."""

from __future__ import annotations

import random
from typing import Any

from sqlalchemy import insert

from jobs import gallery_rows
from jobs.database import jobs
from jobs.gallery_tables import clips
from jobs.job import Job, Result, State, new_id
from jobs.job_rows import row_of
from jobs.store import JobStore

WORDS = [
    *("dog", "cat", "bird", "snow", "rain", "night", "meadow"),
    *("balloon", "running", "jumping", "slowly", "film", "noir"),
]
RESULT = Result(
    clip="clip.mp4", poster="poster.jpg", last_frame="last.png", width=64, height=64, num_frames=9,
    fps=8, size_bytes=1000,
)  # fmt: skip
MODELS = ("alpha/one", "beta/two", "gamma/three")


def fill(
    store: JobStore, example: Job, count: int, *, seed: int = 1, result: Result = RESULT
) -> list[str]:
    """Clips like the example, with other prompts, models, lengths and times; their ids, oldest
    first."""
    chance = random.Random(seed)
    prompt, model = "words of the prompt", "model/of-it"
    fitted = example.fitted.model_copy(update={"prompt": prompt, "model": model})
    with store.database.reading.begin() as tx:
        like_clip = gallery_rows._row(tx, example) | gallery_rows._result(result)
    like_job = row_of(example, store.server, None) | {"state": State.SUCCEEDED.value}
    text, stored = gallery_rows.search_text(None, fitted), fitted.model_dump_json()
    stored_result = result.model_dump_json()
    of_jobs: list[dict[str, Any]] = []
    of_clips: list[dict[str, Any]] = []
    for n in range(count):
        words, which = " ".join(chance.choices(WORDS, k=12)), chance.choice(MODELS)
        id_, at = new_id(), example.created_at + n
        of_jobs.append(
            like_job
            | {"id": id_, "created_at": at, "started_at": at, "ended_at": at + 1, "model": which}
            | {
                "fitted": stored.replace(prompt, words).replace(model, which),
                "result": stored_result,
            }
        )
        of_clips.append(
            like_clip
            | {"job_id": id_, "created_at": at, "model": which, "seconds": chance.random() * 10}
            | {"text": text.replace(prompt, words).replace(model, which)}
        )
    with store.database.light.begin() as tx:
        tx.execute(insert(jobs), of_jobs)
        tx.execute(insert(clips), of_clips)
    return [row["id"] for row in of_jobs]
