"""Estimator: the time and memory of a clip, learned from clips made on the same machines.

Sampling is estimated per step, decoding and encoding per clip, each by the number of pixels. For
another size, time is extrapolated by how it grew with size so far. A clip that was finished early
is weighted by its steps; the first one after a model was loaded counts only while it is the only
one.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict
from sqlalchemy import RowMapping, select

from jobs.database import timings
from jobs.edit_estimate import EditEstimator
from jobs.job import Job
from jobs.store import JobStore
from jobs.timing_rows import store_timing
from media.operations.edit_request import EditRequest
from pipelines.models.cards import ModelCard
from pipelines.planning import ClipShape, Planner
from pipelines.planning.machine import machine_name
from pipelines.request import FittedRequest
from settings import Settings

RECENT = 30
KEPT_S = 2.0  # other processes learn too
KEPT = 1000
ALIKE = math.log(1.1)  # sizes within 10 % of each other are the same size
GROWTH = (0.6, 2.0)  # time as size to this power: from mostly overhead to mostly attention
TRUST = (0.1, 10.0)  # how far other models' clips may move a guess
SECONDS_PER_UNIT = 1.5e-7  # per pixel, frame and step, of a model about which nothing is known


class Estimate(BaseModel):
    """Wall seconds from the start of the run: the most likely value and a probable range."""

    model_config = ConfigDict(frozen=True)
    seconds: float
    low: float
    high: float
    learned: bool
    tail_s: float = 0.0
    """The part after the last step: decoding and encoding; of a long clip, for each window."""
    parts: int = 1
    """How many windows a long clip is made in."""
    memory_gb: float | None = None
    """Peak memory."""
    memory_of: Literal["gpu", "ram"] = "ram"
    memory_learned: bool = False
    """Measured here, not derived from the number of parameters."""

    def times(self, parts: int) -> Estimate:
        """Of so many windows that are alike."""
        if parts == 1:
            return self
        seconds = {name: getattr(self, name) * parts for name in ("seconds", "low", "high")}
        return self.model_copy(update=seconds | {"parts": parts})

    @classmethod
    def total(cls, estimates: Sequence[Estimate]) -> Estimate:
        """Of clips that one worker makes one after the other."""
        return cls(
            seconds=sum(each.seconds for each in estimates),
            low=sum(each.low for each in estimates),
            high=sum(each.high for each in estimates),
            learned=all(each.learned for each in estimates),
            tail_s=sum(each.tail_s for each in estimates),
        )


class Point(NamedTuple):
    size: float
    seconds: float
    weight: float = 1.0


class Recent(NamedTuple):
    """The timings of the last clips of a model."""

    steps: list[Point]
    """Seconds per step, by pixels times passes."""
    prompt: list[float]
    """Seconds before the first step."""
    tail: list[Point]
    """Seconds after the last step, by pixels."""


class Estimator:
    def __init__(
        self,
        store: JobStore,
        cards: Mapping[str, ModelCard],
        machine: str | None = None,
        planner: Planner | None = None,
    ) -> None:
        self._database = store.database
        self._cards = cards
        here = machine or machine_name()
        self.machines: Callable[[], Collection[str] | None] = lambda: [here]
        """The machines that make clips: behind Redis, the workers'. None: not known yet."""
        self._loaded_planner = planner
        self._kept: dict[tuple[str, ClipShape, int], tuple[float, Estimate]] = {}
        self._edits = EditEstimator(store.database, lambda: self.machines())

    def learn(self, job: Job) -> None:
        """Stores the timings of a finished clip."""
        if job.result is None:
            return
        fitted, result = job.fitted, job.result
        machines = self.machines() or ()
        machine = result.machine or (next(iter(machines)) if len(machines) == 1 else None)
        if machine is not None and job.edit:
            self._edits.learn(job, machine, job.edit)
        # the decoding of a doubled clip is not comparable with that of others
        if machine is None or job.edit or fitted.upscale or "denoise" not in result.seconds:
            return
        # a long clip counts as one of its windows
        parts = result.parts or 1
        seconds = {phase: s / parts for phase, s in result.seconds.items()}
        if result.step_s is not None:
            seconds["step"] = result.step_s
        row = {
            "job_id": job.id,
            "at": time.time(),
            "model": fitted.model,
            "machine": machine,
            "width": fitted.width,
            "height": fitted.height,
            "num_frames": fitted.sampled_frames,
            "steps": (result.steps_done or fitted.num_inference_steps * parts) // parts,
            "guided": int(fitted.guidance_scale > 1),
            "seconds": json.dumps(seconds | {"cold": float(result.cold)}),
            "peak_gb": result.peak_gb,
        }
        store_timing(self._database, row)
        self._kept.clear()

    def estimate(self, fitted: FittedRequest, edit: EditRequest | None = None) -> Estimate:
        """Cached for a moment per model and shape: a thousand queued clips may be alike."""
        if edit is not None:
            return Estimate(**self._edits.estimate(edit, fitted)._asdict())
        shape, now = (fitted.model, ClipShape.of(fitted), fitted.parts), time.monotonic()
        made_at, kept = self._kept.get(shape, (now, None))
        if kept is not None and now - made_at < KEPT_S:
            return kept
        if len(self._kept) > KEPT:
            self._kept.clear()
        estimate = self._estimate(fitted).times(fitted.parts)
        self._kept[shape] = (now, estimate)
        return estimate

    def _estimate(self, fitted: FittedRequest) -> Estimate:
        """Of one window, for a long clip."""
        rows = self._rows(fitted.model)
        work = _pixels(fitted.width, fitted.height, fitted.sampled_frames)
        per_step = work * (2 if fitted.guidance_scale > 1 else 1)
        if not rows:
            return self._with_memory(self._guess(fitted, per_step), fitted, rows)
        recent = _recent(rows)
        begin = statistics.median(recent.prompt)
        end = _seconds_at(ClipShape.of(fitted).pixels, recent.tail)
        seconds = begin + _seconds_at(per_step, recent.steps) * fitted.num_inference_steps + end
        spread = _uncertainty(per_step, recent.steps)
        learned = Estimate(
            seconds=seconds,
            low=seconds / (1 + spread),
            high=seconds * (1 + spread),
            learned=True,
            tail_s=end,
        )
        return self._with_memory(learned, fitted, rows)

    @property
    def _planner(self) -> Planner:
        if self._loaded_planner is None:
            self._loaded_planner = Planner(Settings.load())
        return self._loaded_planner

    def _rows(self, model: str | None) -> Sequence[RowMapping]:
        """The timings of the last clips, of that model or of all; cold ones only if all are."""
        query, machines = select(timings), self.machines()
        if machines is not None:
            query = query.where(timings.c.machine.in_(machines))
        if model is not None:
            query = query.where(timings.c.model == model)
        else:
            query = query.where(timings.c.steps > 0)  # no edits
        with self._database.reading.begin() as tx:
            newest = query.order_by(timings.c.at.desc()).limit(RECENT)
            rows = tx.execute(newest).mappings().all()
        return [row for row in rows if not json.loads(row["seconds"]).get("cold")] or rows

    def _guess(self, fitted: FittedRequest, per_step: float) -> Estimate:
        """From the number of parameters, corrected by how far off such guesses were here so far."""
        card = self._cards.get(fitted.model)
        if card is None:
            end = 0.5 + SECONDS_PER_UNIT * 3 * per_step
            seconds = 0.2 + SECONDS_PER_UNIT * per_step * fitted.num_inference_steps + end
        else:
            pace = self._planner.speed(card, ClipShape.of(fitted))
            off = self._correction()
            end = pace.end * off
            seconds = pace.begin * off + pace.step * off * fitted.num_inference_steps + end
        return Estimate(
            seconds=seconds, low=seconds / 3, high=seconds * 4, learned=False, tail_s=end
        )

    def _correction(self) -> float:
        """How many times longer than guessed the steps of other models took on this machine."""
        ratios: list[float] = []
        for row in self._rows(None):
            card = self._cards.get(row["model"])
            if card is not None:
                guessed = self._planner.speed(card, _shape(row)).step
                ratios.append(_step_s(row) / guessed)
        return min(max(statistics.median(ratios), TRUST[0]), TRUST[1]) if ratios else 1.0

    def _with_memory(
        self, estimate: Estimate, fitted: FittedRequest, rows: Sequence[RowMapping]
    ) -> Estimate:
        """Adds the plan's figure, corrected by how far it was off so far."""
        card = self._cards.get(fitted.model)
        if card is None:
            return estimate
        plan = self._planner.plan(card, ClipShape.of(fitted))
        measured = [row for row in rows if row["peak_gb"]]
        planned = [self._planner.plan(card, _shape(row)).memory_gb for row in measured]
        ratios = [row["peak_gb"] / gb for row, gb in zip(measured, planned, strict=True) if gb > 0]
        off = statistics.median_high(ratios) if ratios else 1.0
        return estimate.model_copy(
            update={
                "memory_gb": round(plan.memory_gb * off, 2),
                "memory_of": "gpu" if plan.device_name == "cuda" else "ram",
                "memory_learned": bool(ratios),
            }
        )


def _pixels(width: int, height: int, frames: int) -> float:
    return float(width * height * frames)


def _shape(row: RowMapping) -> ClipShape:
    return ClipShape(
        width=row["width"],
        height=row["height"],
        num_frames=row["num_frames"],
        steps=row["steps"],
        is_guided=bool(row["guided"]),
    )


def _step_s(row: RowMapping) -> float:
    seconds = json.loads(row["seconds"])
    mean = seconds["denoise"] / max(row["steps"], 1)
    return max(seconds.get("step", mean), 1e-6)


def _recent(rows: Sequence[RowMapping]) -> Recent:
    recent = Recent([], [], [])
    for row in rows:
        seconds = json.loads(row["seconds"])
        size = _pixels(row["width"], row["height"], row["num_frames"])
        work = size * (1 + row["guided"])
        recent.steps.append(Point(work, _step_s(row), row["steps"]))
        recent.prompt.append(seconds.get("encode_prompt", 0.0))
        end = seconds.get("decode", 0.0) + seconds.get("encode", 0.0)
        recent.tail.append(Point(size, max(end, 1e-6)))
    return recent


def _seconds_at(size: float, points: Sequence[Point]) -> float:
    """The median of the seconds of the nearest sizes, scaled to this size."""
    exponent = _growth(points)
    nearest = min(abs(math.log(size / p.size)) for p in points)
    near = [p for p in points if abs(math.log(size / p.size)) <= nearest + ALIKE]
    return _weighted_median([(p.seconds * (size / p.size) ** exponent, p.weight) for p in near])


def _weighted_median(values: Sequence[tuple[float, float]]) -> float:
    """The value with half of the weight on either side; between two such values, their mean."""
    ordered = sorted(values)
    half, below = sum(weight for _, weight in ordered) / 2, 0.0
    for (value, weight), (above, _) in zip(ordered, [*ordered[1:], ordered[-1]], strict=True):
        below += weight
        if below > half:
            return value
        if below == half:
            return (value + above) / 2
    return ordered[-1][0]


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


def _uncertainty(size: float, points: Sequence[Point]) -> float:
    """The relative uncertainty: larger the more the points scatter, the fewer and the farther away
    they are."""
    exponent = _growth(points)
    logs = [math.log(p.seconds) - exponent * math.log(p.size) for p in points]
    middle = statistics.median(logs)
    spread = statistics.median(abs(x - middle) for x in logs)
    distance = min(abs(math.log(size / p.size)) for p in points)
    return min(0.1 + 2 * spread + 0.4 / len(points) + 0.25 * distance, 3.0)
