"""Batch: several jobs that were accepted together, and how their clips are arranged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.job import Job
from pipelines.request import Adjustment, GenerationRequest

BatchKind = Literal["batch", "drafts", "comparison"]


class Axis(BaseModel):
    """One setting that differs between the columns or rows of a comparison."""

    model_config = ConfigDict(frozen=True)
    field: str
    label: str = Field(description="What the setting is called: Guidance.")
    values: tuple[str, ...] = Field(description="A label for each column or row.")


class Cell(BaseModel):
    """One place in a batch: a job, or why there is none. Two cells may share one job."""

    model_config = ConfigDict(frozen=True)
    labels: tuple[str, ...] = Field(default=(), description="Its value on each axis.")
    job_id: str | None = None
    problem: str | None = Field(default=None, description="Why it cannot be made.")


class Layout(BaseModel):
    """Cells row by row. The first axis is that of the columns, the second that of the rows;
    a batch that is no comparison has none."""

    model_config = ConfigDict(frozen=True)
    axes: tuple[Axis, ...] = ()
    cells: tuple[Cell, ...] = ()
    base: dict[str, Any] | None = None
    """The request that its cells vary, as JSON; not validated, as later versions may refuse it."""

    @classmethod
    def of_jobs(cls, job_ids: Sequence[str]) -> Layout:
        """One cell for each job, in their order."""
        return cls(cells=tuple(Cell(job_id=job_id) for job_id in job_ids))

    def replace_job(self, before: str, after: str) -> Layout:
        cells = tuple(
            cell.model_copy(update={"job_id": after}) if cell.job_id == before else cell
            for cell in self.cells
        )
        return self.model_copy(update={"cells": cells})


class Batch(BaseModel):
    """A batch as it is stored. `created_at` is in Unix seconds."""

    model_config = ConfigDict(frozen=True)
    id: str
    owner: str
    created_at: float
    kind: BatchKind = "batch"
    layout: Layout = Layout()


@dataclass(frozen=True)
class BatchState:
    """A batch and its jobs, in the order of its cells."""

    batch: Batch
    jobs: tuple[Job, ...]

    @property
    def has_ended(self) -> bool:
        return all(job.state.ended for job in self.jobs)


@dataclass(frozen=True)
class PlannedJob:
    """A request before it is accepted. `notes` are added to the adjustments of its job. With
    `only_new`, the file of a continuation is without the clip that it continues."""

    request: GenerationRequest
    full_request: GenerationRequest | None = None
    parent: str | None = None
    notes: tuple[Adjustment, ...] = ()
    only_new: bool = False


@dataclass(frozen=True)
class PlannedCell:
    """`index` is that of the cell's request; None where it cannot be made."""

    labels: tuple[str, ...] = ()
    index: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class PlannedBatch:
    """A batch before it is accepted."""

    id: str
    kind: BatchKind = "batch"
    axes: tuple[Axis, ...] = ()
    cells: tuple[PlannedCell, ...] = ()
    """Empty: one for each request."""
    base: GenerationRequest | None = None
    """The request that its cells vary."""

    def accepted(self, jobs: Sequence[Job]) -> Batch:
        """With the ids of the jobs that were made for its requests."""
        layout = Layout.of_jobs([job.id for job in jobs])
        if self.cells:
            cells = tuple(
                Cell(
                    labels=cell.labels,
                    job_id=None if cell.index is None else jobs[cell.index].id,
                    problem=cell.problem,
                )
                for cell in self.cells
            )
            layout = Layout(axes=self.axes, cells=cells)
        if self.base is not None:
            base = self.base.model_dump(mode="json", exclude_defaults=True)
            layout = layout.model_copy(update={"base": base})
        first = jobs[0]
        return Batch(
            id=self.id,
            owner=first.owner,
            created_at=first.created_at,
            kind=self.kind,
            layout=layout,
        )
