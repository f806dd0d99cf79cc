"""How long a clip will take, learned from the clips that were made on this machine.

Sampling is paced per step, decoding and encoding per clip, each by the number of pixels. A guess
for another size follows how time grew with size so far. Knows the `timings` table; knows no torch.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete, insert, select

from jobs.job import Job
from jobs.store import JobStore
from jobs.tables import timings
from pipelines.cards import ModelCard
from pipelines.request import FittedRequest

RECENT = 30
ALIKE = math.log(1.1)  # sizes within 10 % of each other are the same size
GROWTH = (0.6, 2.0)  # time as size to this power: from mostly overhead to mostly attention

# What nothing was learned yet: seconds per pixel, frame and step of a 10 M-parameter model on two
# CPU cores, and what a large model on a GPU makes of it.
SECONDS_PER_UNIT = 1.5e-7
GPU_SPEEDUP = 1000
CPU_GB_AT_THAT_PACE = 0.125


class Estimate(BaseModel):
    """Wall seconds once the work has begun: most likely, and the span it probably lies in."""

    model_config = ConfigDict(frozen=True)
    seconds: float
    low: float
    high: float
    learned: bool
    tail_s: float = 0.0
    """The part that comes after the last step: decoding and writing the file."""


class Point(NamedTuple):
    size: float
    seconds: float


class Estimator:
    def __init__(
        self,
        store: JobStore,
        cards: Mapping[str, ModelCard],
        machine: str | None = None,
    ) -> None:
        self._database = store.database
        self._cards = cards
        self._machine = machine or this_machine()

    def learn(self, job: Job) -> None:
        """Takes the timings of a clip that was made."""
        if job.result is None or "denoise" not in job.result.seconds:
            return
        fitted, result = job.fitted, job.result
        row = {
            "job_id": job.id,
            "at": time.time(),
            "model": fitted.model,
            "machine": self._machine,
            "width": fitted.width,
            "height": fitted.height,
            "num_frames": fitted.num_frames,
            "steps": result.steps_done or fitted.num_inference_steps,
            "guided": int(fitted.guidance_scale > 1),
            "seconds": json.dumps(result.seconds),
        }
        with self._database.light.begin() as tx:
            tx.execute(delete(timings).where(timings.c.job_id == job.id))
            tx.execute(insert(timings).values(row))

    def estimate(self, fitted: FittedRequest) -> Estimate:
        steps, prompt, tail = self._recent(fitted.model)
        work = _pixels(fitted.width, fitted.height, fitted.num_frames)
        per_step = work * (2 if fitted.guidance_scale > 1 else 1)
        if not steps:
            return self._guess(fitted, per_step)
        begin = statistics.median(prompt)
        end = _at(work, tail)
        seconds = begin + _at(per_step, steps) * fitted.num_inference_steps + end
        doubt = _doubt(per_step, steps)
        return Estimate(
            seconds=seconds,
            low=seconds / (1 + doubt),
            high=seconds * (1 + doubt),
            learned=True,
            tail_s=end,
        )

    def _recent(self, model: str) -> tuple[list[Point], list[float], list[Point]]:
        """(seconds of a step by work, seconds before the first, seconds after the last by size)"""
        query = (
            select(timings)
            .where(timings.c.model == model, timings.c.machine == self._machine)
            .order_by(timings.c.at.desc())
            .limit(RECENT)
        )
        steps: list[Point] = []
        prompt: list[float] = []
        tail: list[Point] = []
        with self._database.reading.begin() as tx:
            for row in tx.execute(query):
                seconds = json.loads(row.seconds)
                size = _pixels(row.width, row.height, row.num_frames)
                work = size * (1 + row.guided)
                steps.append(Point(work, max(seconds["denoise"], 1e-6) / max(row.steps, 1)))
                prompt.append(seconds.get("encode_prompt", 0.0))
                end = seconds.get("decode", 0.0) + seconds.get("encode", 0.0)
                tail.append(Point(size, max(end, 1e-6)))
        return steps, prompt, tail

    def _guess(self, fitted: FittedRequest, per_step: float) -> Estimate:
        card = self._cards.get(fitted.model)
        gb = (card.needs.vram_gb if card else None) or CPU_GB_AT_THAT_PACE
        pace = SECONDS_PER_UNIT * max(1.0, gb / CPU_GB_AT_THAT_PACE)
        if shutil.which("nvidia-smi"):
            pace /= GPU_SPEEDUP
        sampling = pace * per_step * fitted.num_inference_steps
        end = 0.5 + pace * 3 * _pixels(fitted.width, fitted.height, fitted.num_frames)
        seconds = 0.2 + sampling + end
        return Estimate(
            seconds=seconds, low=seconds / 3, high=seconds * 4, learned=False, tail_s=end
        )


def this_machine() -> str:
    return f"{platform.node()}/{platform.machine()}/{os.cpu_count()}"


def _pixels(width: int, height: int, frames: int) -> float:
    return float(width * height * frames)


def _at(size: float, points: Sequence[Point]) -> float:
    """The median of the nearest sizes' seconds, carried over to this size."""
    grows = _growth(points)
    nearest = min(abs(math.log(size / p.size)) for p in points)
    near = [p for p in points if abs(math.log(size / p.size)) <= nearest + ALIKE]
    return statistics.median(p.seconds * (size / p.size) ** grows for p in near)


def _growth(points: Sequence[Point]) -> float:
    """Theil-Sen on logarithms: the median slope over all pairs of different sizes, or 1."""
    slopes = [
        math.log(b.seconds / a.seconds) / math.log(b.size / a.size)
        for i, a in enumerate(points)
        for b in points[i + 1 :]
        if abs(math.log(b.size / a.size)) > ALIKE
    ]
    if not slopes:
        return 1.0
    return min(max(statistics.median(slopes), GROWTH[0]), GROWTH[1])


def _doubt(size: float, points: Sequence[Point]) -> float:
    """A fraction: how far apart the points are, how few, and how far away."""
    grows = _growth(points)
    logs = [math.log(p.seconds) - grows * math.log(p.size) for p in points]
    middle = statistics.median(logs)
    spread = statistics.median(abs(x - middle) for x in logs)
    distance = min(abs(math.log(size / p.size)) for p in points)
    return min(0.1 + 2 * spread + 0.4 / len(points) + 0.25 * distance, 3.0)
