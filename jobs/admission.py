"""What becomes of a request before it is a job: looked at, fitted, refused or accepted.

Everything that is wrong with it is said here, before any work. Knows requests, cards, the store's
limits and the clips that are there already. Knows no executor and no event.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from errors import ErrorCode, KinoraError
from jobs.admission_sql import DuplicateRequest, recipe_of
from jobs.artifacts import MANIFEST
from jobs.job import IdempotencyKey, Job, Result, State, new_id
from jobs.lifecycle import JobLifecycle
from jobs.uploads import Uploads
from media.files import link_or_copy
from pipelines.models import loras
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, fit
from pipelines.models.prompt_length import note_truncation
from pipelines.models.selection import default_card, pick_card
from pipelines.planning import ClipShape, Planner
from pipelines.planning.allowed_models import AllowedModels
from pipelines.planning.planner import default_video_to_video_model
from pipelines.request import FittedRequest, GenerationRequest, Task
from settings import Settings


class Admission:
    def __init__(
        self,
        desk: JobLifecycle,
        cards: Mapping[str, ModelCard],
        given: Uploads,
        planner: Planner,
        settings: Settings,
        idle: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """`idle` names the waiting clips that count for no limit."""
        self._idle = idle
        self._allowed = AllowedModels(cards, settings, planner)
        self._desk = desk
        self._store = desk.store
        self._cards = cards
        self._given = given
        self._planner = planner
        self._settings = settings
        self._limits = Limits.from_settings(settings)

    def fit(self, request: GenerationRequest) -> FittedRequest:
        """What would be made, with every change explained."""
        try:
            card = pick_card(self._with_a_model(request), self._cards, self._settings)
        except KinoraError as error:
            if error.code is ErrorCode.UNKNOWN_MODEL and self._allowed.is_limited:
                raise self._allowed.unknown_model(request.model or "") from None
            raise
        size, clip = self._given.sizes(request)
        fitted = fit(request, card, self._limits, source_size=size, clip=clip)
        return note_truncation(fitted, card)

    def _with_a_model(self, request: GenerationRequest) -> GenerationRequest:
        """Behind Redis other machines work, of which this one knows nothing."""
        unnamed = request.model is None and request.task is Task.VIDEO_TO_VIDEO
        if not unnamed or self._settings.executor_kind == "redis":
            return request
        usual = default_card(self._cards, self._settings)
        model = default_video_to_video_model(self._allowed.cards(), self._planner, usual)
        return request.model_copy(update={"model": model})

    def accept(
        self,
        requests: Sequence[GenerationRequest],
        owner: str,
        *,
        once: IdempotencyKey | None = None,
        reuse: bool = False,
        batch: str | None = None,
        parent: str | None = None,
    ) -> list[Job]:
        """All of them or none, in the database when this returns. Under a key that was used before,
        the jobs of that time."""
        accepted: list[Job] = []
        recipes: dict[str, str | None] = {}
        now = time.time()
        for n, request in enumerate(requests):
            self._given.check(request, owner)
            loras.check_loras(request.loras, self._settings)
            job = Job(
                id=new_id(),
                owner=owner,
                state=State.QUEUED,
                request=request,
                fitted=self.fit(request),
                created_at=now + n * 1e-5,  # keeps a batch in its order
                batch=batch,
                parent=parent,
            )
            self.refuse_what_cannot_run(job.fitted)
            files = loras.file_versions(job.fitted.loras, self._settings)
            card = self._cards.get(job.fitted.model)
            recipes[job.id] = recipe = recipe_of(job.fitted, card, files)
            accepted.append(self._made_before(job, recipe) if reuse else job)
        try:
            self._store.add_all(
                accepted,
                max_queue=self._settings.max_queue,
                max_per_owner=self._settings.max_jobs_per_visitor,
                once=once,
                recipes=recipes,
                idle=self._idle(),
            )
        except DuplicateRequest as before:
            self._forget_links(accepted)
            return self._of_that_time(before.job_id, batch)
        except KinoraError:
            self._forget_links(accepted)
            raise
        return accepted

    def _of_that_time(self, job_id: str, batch: str | None) -> list[Job]:
        job = self._store.get(job_id)
        if job is None:  # deleted since: the key went with it, and may be used again
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
        return self._store.batch(job.batch) if batch and job.batch else [job]

    def _made_before(self, job: Job, recipe: str | None) -> Job:
        """The job, ended already if the owner has that very clip."""
        if job.request.seed is None or recipe is None:
            return job
        result = reused(self._desk, self._store.made_before(job.owner, recipe), job.id)
        if result is None:
            return job
        ended = {"state": State.SUCCEEDED, "result": result, "ended_at": job.created_at}
        return job.model_copy(update=ended | {"started_at": job.created_at})

    def _forget_links(self, accepted: Sequence[Job]) -> None:
        for job in accepted:
            if job.result:
                self._desk.artifacts.remove(job.id)

    def refuse_what_cannot_run(self, fitted: FittedRequest) -> None:
        """Behind Redis other machines work, of which this one knows nothing."""
        card = self._cards.get(fitted.model)
        if card is not None and self._settings.executor_kind != "redis":
            offered = self._allowed.cards()
            self._planner.refuse_what_cannot_run(card, offered, ClipShape.of(fitted), fitted.task)
        self.check_allowed(fitted)

    def offered(self) -> dict[str, ModelCard]:
        return self._allowed.cards()

    def check_allowed(self, fitted: FittedRequest) -> None:
        """On a Space not every model may be used."""
        card = self._cards.get(fitted.model)
        if card is not None:
            self._allowed.check(card, fitted.task, upscale=fitted.upscale)


def reused(desk: JobLifecycle, earlier: list[str], job_id: str) -> Result | None:
    """The first of the earlier clips that is whole, linked into the new job's folder."""
    for each in earlier:
        result = desk.finished_result(each)
        if result is None or result.finished_early:
            continue
        names = (result.clip, result.poster, result.last_frame, MANIFEST)
        try:
            for name in names:
                source = desk.artifacts.fetch(each, name)
                if source is None:
                    raise FileNotFoundError(name)
                target = desk.folder(job_id) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(source, target)  # two clips may share files that never change
            desk.artifacts.keep(job_id)
        except OSError:  # deleted while we looked, or no room: it is made anew
            shutil.rmtree(desk.folder(job_id), ignore_errors=True)
            continue
        return result.model_copy(update={"reused": True})
    return None
