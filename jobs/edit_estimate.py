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
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy import RowMapping, select

from jobs.database import Database, timings
from jobs.job import Job
from jobs.timing_rows import store_timing
from media.operations.edit_request import EditRequest
from media.operations.operation import StreamInfo
from media.operations.preview_chain import DECODE_S, ENCODE_S
from pipelines.request import FittedRequest

PREFIX = "edit:"
"""Of the names of edits in the column of models."""
GUESSED = "guessed"
"""Beside the seconds that an edit took: what was guessed."""
RECENT = 30
START_S = 0.4
"""Reading the header, writing the pictures and the manifest."""
CORRECTION = (0.05, 50.0)


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
            "seconds": json.dumps(job.result.seconds | {GUESSED: _guess(edit, job.fitted)}),
            "peak_gb": job.result.peak_gb,
        }
        store_timing(self._database, row)

    def estimate(self, edit: EditRequest, fitted: FittedRequest) -> EditTime:
        """`fitted` has the size and the length of what comes out."""
        guess = _guess(edit, fitted)
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
        found = [json.loads(row["seconds"]) for row in rows]
        return [seconds["total"] / seconds[GUESSED] for seconds in found if seconds.get(GUESSED)]


def kind_of(edit: EditRequest) -> str:
    """Edits of the same kind differ from what is guessed by the same factor."""
    operations = sorted({operation.op for operation in edit.operations})
    return f"{PREFIX}{edit.format}:{'+'.join(operations)}"


def _guess(edit: EditRequest, fitted: FittedRequest) -> float:
    """Each operation is taken to work on frames of the size that comes out."""
    made = StreamInfo(fitted.width, fitted.height, Fraction(fitted.fps), fitted.num_frames)
    passes = 2 if edit.target_mb is not None else 1
    each_s = passes * (DECODE_S + ENCODE_S[edit.format])
    each_s += sum(operation.cost(made) for operation in edit.operations)
    return START_S + fitted.width * fitted.height * fitted.num_frames / 1e6 * each_s
