"""Plans drafts, comparisons and batches: which requests they have and what each would become."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from errors import ErrorCode, KinoraError
from jobs.admission import Admission
from jobs.batch import Axis, PlannedBatch, PlannedCell, PlannedJob
from jobs.final_prompt import spread_wildcard_seeds, with_wildcard_seed
from jobs.job import Job, new_id
from pipelines.models.cards import ModelCard
from pipelines.models.comparison import ComparedSetting, compare
from pipelines.models.drafts import (
    composition_notes,
    draft_of,
    draft_seeds,
    full_request,
    parse_count,
)
from pipelines.request import MAX_SEED, FittedRequest, GenerationRequest


@dataclass(frozen=True)
class BatchPlan:
    """A batch before it is accepted. `fitted` are its jobs as they would be made, in their order;
    `full` is the clip that its drafts are drafts of."""

    batch: PlannedBatch
    jobs: tuple[PlannedJob, ...]
    fitted: tuple[FittedRequest, ...]
    full: FittedRequest | None = None


class BatchPlans:
    def __init__(
        self, admission: Admission, cards: Mapping[str, ModelCard], max_batch: int
    ) -> None:
        self._admission, self._cards, self._max_batch = admission, cards, max_batch

    def batch(
        self,
        requests: Sequence[GenerationRequest],
        owner: str | None = None,
        base: GenerationRequest | None = None,
    ) -> BatchPlan:
        """With the owner's styles. `base` has what the requests share. Raises KinoraError, also for
        any request that cannot be made."""
        self._check_size(len(requests))
        requests = spread_wildcard_seeds(requests)
        fitted = tuple(self._admission.fit_here(request, owner) for request in requests)
        jobs = tuple(PlannedJob(request) for request in requests)
        return BatchPlan(PlannedBatch(new_id(), base=base), jobs, fitted)

    def drafts(self, request: GenerationRequest, count: int, owner: str | None = None) -> BatchPlan:
        """Drafts with different seeds, the first with that of the request. Raises KinoraError."""
        parse_count(count)
        self._check_size(count)
        request = with_wildcard_seed(request)
        full = self._admission.fit_here(request, owner)
        card = self._card(full)
        jobs = tuple(
            PlannedJob(
                draft_of(request, full, card, seed), full_request=full_request(request, full, seed)
            )
            for seed in draft_seeds(full.seed, count)
        )
        fitted = tuple(self._admission.fit_here(job.request, owner) for job in jobs)
        return BatchPlan(PlannedBatch(new_id(), kind="drafts"), jobs, fitted, full)

    def render(self, draft: Job) -> PlannedJob:
        """The full clip of a draft, with its seed. Raises KinoraError(CONFLICT) if it is none."""
        if draft.full_request is None:
            raise KinoraError(
                ErrorCode.CONFLICT, "Only a draft can be rendered: this clip is a full one."
            )
        full = self._admission.fit_here(draft.full_request, draft.owner)
        notes = composition_notes(draft.fitted, full)
        return PlannedJob(draft.full_request, parent=draft.id, notes=notes)

    def comparison(
        self,
        request: GenerationRequest,
        settings: Sequence[ComparedSetting],
        owner: str | None = None,
    ) -> BatchPlan:
        """One clip for each pair of values; equal clips are made once. A cell that cannot be made
        says why. Raises KinoraError if none can be made."""
        base, request = request, with_wildcard_seed(request)
        compared = compare(request, settings, seed=secrets.randbelow(MAX_SEED + 1))
        jobs: list[PlannedJob] = []
        fitted: list[FittedRequest] = []
        cells: list[PlannedCell] = []
        indexes: dict[str, int] = {}
        refusal: KinoraError | None = None
        for each in compared:
            try:
                made = self._admission.fit_here(each.request, owner)
            except KinoraError as error:
                refusal = refusal or error
                cells.append(PlannedCell(each.labels, problem=error.message))
                continue
            key = made.model_dump_json(exclude={"adjustments"})
            index = indexes.setdefault(key, len(jobs))
            if index == len(jobs):
                jobs.append(PlannedJob(each.request))
                fitted.append(made)
            cells.append(PlannedCell(each.labels, index=index))
        if not jobs and refusal is not None:
            raise refusal
        self._check_size(len(jobs))
        batch = PlannedBatch(new_id(), "comparison", _axes(settings, cells), tuple(cells), base)
        return BatchPlan(batch, tuple(jobs), tuple(fitted))

    def _card(self, fitted: FittedRequest) -> ModelCard:
        card = self._cards.get(fitted.model)
        if card is None:
            raise KinoraError(ErrorCode.UNKNOWN_MODEL)
        return card

    def _check_size(self, count: int) -> None:
        if not 1 <= count <= self._max_batch:
            raise KinoraError(
                ErrorCode.INVALID_INPUT,
                f"A batch has 1 to {self._max_batch} clips; this one has {count}.",
            )


def _axes(settings: Sequence[ComparedSetting], cells: Sequence[PlannedCell]) -> tuple[Axis, ...]:
    """The labels of the columns are those of the first row, and the other way round."""
    columns = len(settings[0].values)
    firsts = (cells[:columns], cells[::columns])
    return tuple(
        Axis(
            field=setting.name,
            label=setting.label,
            values=tuple(cell.labels[n] for cell in firsts[n]),
        )
        for n, setting in enumerate(settings)
    )
