"""Admission: a request is validated, fitted to its model, and refused or accepted as a job."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from errors import ErrorCode, KinoraError
from jobs.admission_sql import DuplicateRequest, recipe_of
from jobs.artifacts import MANIFEST
from jobs.batch import PlannedBatch, PlannedJob
from jobs.caller_styles import CallerStyles
from jobs.final_prompt import FinalPrompt, make_final_prompt
from jobs.job import MARK, WATERMARK, IdempotencyKey, Job, Result, State, new_id
from jobs.lifecycle import JobLifecycle
from jobs.policy.content_policy import ContentPolicy
from jobs.saved import SavedItems
from jobs.uploads import Uploads
from media import unmarked
from media.files import link_or_copy
from pipelines.models import loras
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.models.packages import check_packages
from pipelines.models.prompt_length import note_truncation
from pipelines.models.selection import default_card, pick_card
from pipelines.planning import ClipShape, Planner
from pipelines.planning.allowed_models import AllowedModels
from pipelines.planning.planner import default_video_to_video_model
from pipelines.request import FittedRequest, GenerationRequest, Task
from pipelines.wildcard_files import WildcardFiles
from settings import Settings


class Admission:
    def __init__(
        self,
        lifecycle: JobLifecycle,
        cards: Mapping[str, ModelCard],
        uploads: Uploads,
        planner: Planner,
        settings: Settings,
        policy: ContentPolicy,
        idle: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`idle` returns the ids of queued jobs that count for no limit."""
        self._idle = idle
        self._policy = policy
        self._allowed = AllowedModels(cards, settings, planner)
        self._lifecycle = lifecycle
        self._store = lifecycle.store
        self._cards = cards
        self._uploads = uploads
        self._planner = planner
        self._settings = settings
        self._limits = Limits.from_settings(settings)
        self.wildcards = WildcardFiles.of(settings)
        self.styles = CallerStyles(SavedItems(lifecycle.store.database))

    def fit(self, request: GenerationRequest, owner: str | None = None) -> FittedRequest:
        """What would be made, with an adjustment for every change; with the owner's styles. Raises
        KinoraError."""
        final, card = self.final_prompt(request, owner)
        size, clip = self._uploads.sizes(request)
        fitted = fit(final.request, card, self._limits, source_size=size, clip=clip)
        return note_truncation(final.mark(fitted), card)

    def final_prompt(
        self, request: GenerationRequest, owner: str | None = None
    ) -> tuple[FinalPrompt, ModelCard]:
        """The prompt after its wildcards and style, and the model it is for. Raises KinoraError."""
        try:
            card = pick_card(self._with_model(request), self._cards, self._settings)
        except KinoraError as error:
            if error.code is ErrorCode.UNKNOWN_MODEL and self._allowed.is_limited:
                raise self._allowed.unknown_model(request.model or "") from None
            raise
        styles = self.styles.available(owner) if request.style else {}
        return make_final_prompt(request, card, self.wildcards, styles), card

    def fit_here(self, request: GenerationRequest, owner: str | None) -> FittedRequest:
        """As `fit`, and raises KinoraError also for what this machine cannot make."""
        loras.check_loras(request.loras, self._settings)
        fitted = self.fit(request, owner)
        self.refuse_what_cannot_run(fitted)
        return fitted

    def _with_model(self, request: GenerationRequest) -> GenerationRequest:
        """For video to video without a model, names the best one that runs here. Not with Redis:
        the workers' machines are others."""
        has_none = request.model is None and request.task is Task.VIDEO_TO_VIDEO
        if not has_none or self._settings.executor_kind == "redis":
            return request
        default = default_card(self._cards, self._settings)
        model = default_video_to_video_model(self._allowed.cards(), self._planner, default)
        return request.model_copy(update={"model": model})

    def accept(
        self,
        planned: Sequence[PlannedJob],
        owner: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
        reuse: bool = False,
        batch: PlannedBatch | None = None,
        replaces: Job | None = None,
    ) -> list[Job]:
        """Accepts all of the requests or none; the jobs are durable when this returns. If the
        idempotency key was used before, returns the jobs created then. The only job takes the place
        of the job that it `replaces` in that one's batch. Raises KinoraError."""
        accepted: list[Job] = []
        recipes: dict[str, str | None] = {}
        now = time.time()
        batch_id = batch.id if batch else replaces and replaces.batch
        for n, each in enumerate(planned):
            self._uploads.check(each.request, owner)
            fitted = self.fit_here(each.request, owner)
            self._policy.check_prompt(fitted.prompt or each.request.prompt, owner)
            if each.notes:
                notes = (*fitted.adjustments, *each.notes)
                fitted = fitted.model_copy(update={"adjustments": notes})
            job = Job(
                id=new_id(),
                owner=owner,
                state=State.QUEUED,
                request=each.request,
                fitted=fitted,
                created_at=now + n * 1e-5,  # keeps a batch in its order
                batch=batch_id,
                parent=each.parent,
                full_request=each.full_request,
            )
            files = loras.file_versions(job.fitted.loras, self._settings)
            card = self._cards.get(job.fitted.model)
            recipes[job.id] = recipe = recipe_of(job.fitted, card, files)
            accepted.append(self._reuse(job, recipe) if reuse else job)
        try:
            self._store.add_all(
                accepted,
                max_queue=self._settings.max_queue,
                max_per_owner=self._settings.max_jobs_per_visitor,
                idempotency_key=idempotency_key,
                recipes=recipes,
                idle=self._idle(),
                batch=batch.accepted(accepted) if batch else None,
                replaces=replaces.id if replaces else None,
            )
        except DuplicateRequest as duplicate:
            self._remove_links(accepted)
            return self._accepted_before(duplicate.job_id, is_batch=batch is not None)
        except KinoraError:
            self._remove_links(accepted)
            raise
        return accepted

    def _accepted_before(self, job_id: str, *, is_batch: bool) -> list[Job]:
        job = self._store.get(job_id)
        if job is None:  # deleted in between, and its key with it
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
        return self._store.batch(job.batch) if is_batch and job.batch else [job]

    def _reuse(self, job: Job, recipe: str | None) -> Job:
        """The job, succeeded already if the owner has a clip of the same recipe."""
        if job.request.seed is None or recipe is None:
            return job
        earlier = self._store.made_before(job.owner, recipe)
        result = link_first_complete(
            self._lifecycle, earlier, job.id, marks=marks_of(self._settings)
        )
        if result is None:
            return job
        ended = {"state": State.SUCCEEDED, "result": result, "ended_at": job.created_at}
        return job.model_copy(update=ended | {"started_at": job.created_at})

    def _remove_links(self, accepted: Sequence[Job]) -> None:
        for job in accepted:
            if job.result:
                self._lifecycle.artifacts.remove(job.id)

    def refuse_what_cannot_run(self, fitted: FittedRequest) -> None:
        """Raises KinoraError if this machine cannot run it, or the model is not allowed here. With
        Redis only the latter: the workers' machines are others."""
        card = self._cards.get(fitted.model)
        if card is not None and self._settings.executor_kind != "redis":
            check_packages(card)
            cards = self._allowed.cards()
            self._planner.refuse_what_cannot_run(card, cards, ClipShape.of(fitted), fitted.task)
        self.check_allowed(fitted)

    def offered_cards(self) -> dict[str, ModelCard]:
        return self._allowed.cards()

    def check_allowed(self, fitted: FittedRequest) -> None:
        """Raises KinoraError for a model that may not be used on a Space."""
        card = self._cards.get(fitted.model)
        if card is not None:
            self._allowed.check(card, fitted.task, upscale=fitted.upscale)


def marks_of(settings: Settings) -> set[str]:
    """The fields of the adjustments that a clip of this server has for its marks."""
    found = {MARK} if settings.draws_mark else set[str]()
    return found | ({WATERMARK} if settings.watermark else set[str]())


def link_first_complete(
    lifecycle: JobLifecycle, earlier: list[str], job_id: str, *, marks: set[str]
) -> Result | None:
    """Links the files of the first complete one of the earlier clips into the new job's folder.
    Only of one with the marks of this server, or without, as `marks` says."""
    for each in earlier:
        result = lifecycle.finished_result(each)
        if result is None or result.finished_early:
            continue
        if marks != {change.field for change in result.adjustments} & {MARK, WATERMARK}:
            continue
        sidecar = result.provenance and result.provenance.sidecar
        names = (result.clip, *filter(None, [sidecar]), result.poster, result.last_frame, MANIFEST)
        try:
            for name in names:
                source = lifecycle.artifacts.fetch(each, name)
                if source is None:
                    raise FileNotFoundError(name)
                target = lifecycle.folder(job_id) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(source, target)  # files never change, so two clips may share them
            for name in (unmarked.CLIP, unmarked.FRAME):
                if source := lifecycle.artifacts.fetch(each, name):
                    link_or_copy(source, lifecycle.folder(job_id) / name)
            lifecycle.artifacts.keep(job_id)
        except OSError:  # deleted meanwhile, or the disk is full: the clip is made again
            shutil.rmtree(lifecycle.folder(job_id), ignore_errors=True)
            continue
        return result.model_copy(update={"reused": True})
    return None
