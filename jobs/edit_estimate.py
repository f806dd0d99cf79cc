"""The time of an edit, learned from earlier edits on the same machines.

Edits with the same operations take the same time for each pixel of the result. Before there is one,
the time is guessed from what the operations usually cost, corrected by how far off such guesses
were for other edits here.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from sqlalchemy import RowMapping, insert, select

from jobs.database import Database, timings
from jobs.job import Job
from media.operations.edit_request import EditRequest
from pipelines.request import FittedRequest

PREFIX = "edit:"
"""Of the names of edits in the column of models."""
RECENT = 30
START_S = 0.4
"""Reading the header, writing the pictures and the manifest."""
PIXELS_PER_S = 3e7
"""Decoding, filtering and encoding as H.264 on two cores."""
COSTS = {"interpolate": 20.0, "upscale": 3.0, "stabilise": 3.0, "deflicker": 1.5, "reverse": 1.5}
"""How many times longer than that operations take that are slower."""
FORMATS = {"mp4": 1.0, "gif": 1.5, "prores": 0.7}
"""How many times longer than H.264 other formats take to encode."""
OTHER_FORMAT = 4.0
CORRECTION = (0.05, 50.0)
LEAST_PIXELS = 1e5


class EditTime(NamedTuple):
    """Seconds: the most likely value and a probable range."""

    seconds: float
    low: float
    high: float
    learned: bool


class EditEstimator:
    def __init__(self, database: Database, machines: Callable[[], Collection[str] | None]) -> None:
        self._database, self._machines = database, machines

    def learn(self, job: Job, machine: str, edit: EditRequest) -> None:
        """Stores how long a finished edit took."""
        if job.result is None or "total" not in job.result.seconds:
            return
        row = {
            "job_id": job.id,
            "at": time.time(),
            "model": kind_of(edit),
            "machine": machine,
            "width": job.result.width,
            "height": job.result.height,
            "num_frames": job.result.num_frames,
            "steps": 0,
            "guided": 0,
            "seconds": json.dumps(job.result.seconds),
            "peak_gb": job.result.peak_gb,
        }
        with self._database.light.begin() as tx:
            tx.execute(insert(timings).values(row))

    def estimate(self, edit: EditRequest, fitted: FittedRequest) -> EditTime:
        """`fitted` has the size and the length of what comes out."""
        pixels = float(fitted.width * fitted.height * fitted.num_frames)
        guess = _guess(kind_of(edit), pixels)
        alike = self._ratios(kind_of(edit))
        if alike:
            seconds = guess * statistics.median(alike)
            spread = 0.3 + 1 / len(alike)
            return EditTime(seconds, seconds / (1 + spread), seconds * (1 + spread), True)
        others = self._ratios(None)
        if others:
            guess *= min(max(statistics.median(others), CORRECTION[0]), CORRECTION[1])
        return EditTime(guess, guess / 3, guess * 4, False)

    def _ratios(self, kind: str | None) -> list[float]:
        """How many times longer than guessed edits of that kind took, or edits of any kind."""
        query, machines = select(timings), self._machines()
        if machines is not None:
            query = query.where(timings.c.machine.in_(machines))
        is_alike = timings.c.model == kind if kind else timings.c.model.startswith(PREFIX)
        newest = query.where(is_alike).order_by(timings.c.at.desc()).limit(RECENT)
        with self._database.reading.begin() as tx:
            rows: Sequence[RowMapping] = tx.execute(newest).mappings().all()
        return [
            json.loads(row["seconds"])["total"]
            / _guess(row["model"], float(row["width"] * row["height"] * row["num_frames"]))
            for row in rows
        ]


def kind_of(edit: EditRequest) -> str:
    """Edits of the same kind take the same time for each pixel."""
    operations = sorted({operation.op for operation in edit.operations})
    return f"{PREFIX}{edit.format}:{'+'.join(operations)}"


def _guess(kind: str, pixels: float) -> float:
    format, _, operations = kind.removeprefix(PREFIX).partition(":")
    cost = FORMATS.get(format, OTHER_FORMAT)
    cost += sum(COSTS.get(each, 1.0) - 1.0 for each in operations.split("+"))
    return START_S + max(pixels, LEAST_PIXELS) / PIXELS_PER_S * cost
