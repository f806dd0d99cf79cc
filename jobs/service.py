"""JobService: what the page, the HTTP API and the command line may do with jobs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ErrorCode, KinoraError
from jobs.admission import Admission
from jobs.artifacts import Artifacts
from jobs.batch import PlannedBatch, PlannedJob
from jobs.batch_files import BatchFiles
from jobs.batch_plans import BatchPlan, BatchPlans
from jobs.caller_styles import CallerStyles
from jobs.clip_removal import ClipRemover, DeadlineThread
from jobs.edit_admission import EditAdmission
from jobs.edit_preview import EditPreviews
from jobs.estimate import Estimate, Estimator
from jobs.evaluation import Evaluator
from jobs.event_types import Event
from jobs.events import EventLog
from jobs.executor import Executor
from jobs.final_prompt import FinalPrompt, spread_wildcard_seeds
from jobs.gallery import Gallery
from jobs.job import IdempotencyKey, Job, State, new_id
from jobs.job_films import JobFilms
from jobs.lifecycle import JobLifecycle
from jobs.liveness import liveness_for
from jobs.looks import Looks
from jobs.marks_check import check_marks
from jobs.moderation import connect_moderation
from jobs.policy.content_policy import ContentPolicy
from jobs.queries import Jobs
from jobs.queue_eta import queue_eta_of
from jobs.recovery import end_commands, forward_stop_requests, recover
from jobs.retention import Housekeeper
from jobs.saved import SavedItems
from jobs.share_rows import ShareRows
from jobs.shares import Shares
from jobs.signing import Signing
from jobs.store import JobStore
from jobs.style_thumbnails import StyleThumbnails
from jobs.uploads import Uploads
from pipelines.models.cards import ModelCard
from pipelines.models.catalog import Catalog
from pipelines.planning import Planner
from pipelines.request import FittedRequest, GenerationRequest
from pipelines.wildcard_files import WildcardFiles
from settings import Settings

if TYPE_CHECKING:
    from media.images import StoredPicture
    from media.videos import StoredVideo

log = logging.getLogger(__name__)


class JobService(JobFilms):
    """Thread-safe. `owner=None` skips the owner check, as in `JobQueries`.

    Subjects that change no job are public parts: `plans`, `batch_files`, `styles`, `thumbnails`,
    `looks`, `wildcards`, `policy`, `shares`, `moderation` and `gallery`."""

    def __init__(
        self,
        store: JobStore,
        executor: Executor,
        cards: Mapping[str, ModelCard],
        settings: Settings,
    ) -> None:
        check_marks(settings)
        self.settings = settings
        self.cards = cards if isinstance(cards, Catalog) else Catalog(cards, settings)
        self.planner = Planner(settings, device=lambda: executor.health().device)
        artifacts = Artifacts(settings.data_dir, settings.artifacts_url)
        self._uploads = Uploads(artifacts.uploads_folder, settings)
        self.policy = policy = ContentPolicy(settings, artifacts)
        self._liveness = liveness_for(
            store.database, settings.data_dir, command=executor.in_foreground
        )
        store.server = self._liveness.name
        events = EventLog(store)
        self._estimator = Estimator(store, self.cards, planner=self.planner)
        self._lifecycle = JobLifecycle(store, events, self._estimator, settings.data_dir, artifacts)
        self._lifecycle.check_queued = self._fail_queued_that_cannot_run
        signing = Signing(artifacts, settings, self.cards)
        self._lifecycle.sign = signing.sign
        self._lifecycle.on_refusal = policy.note_refusal
        self._housekeeper = Housekeeper(self._lifecycle, settings)
        self.looks = Looks(SavedItems(store.database))
        queue_eta = queue_eta_of(executor, store, events, self._estimator)
        super().__init__(
            store, events, artifacts, executor, queue_eta, Evaluator(settings), signing
        )
        self.batch_files = BatchFiles(artifacts, settings, signing)
        self._remover = ClipRemover(store, events, artifacts, self.batch_files)
        self._deadlines = DeadlineThread(store, self._remover)
        self.gallery = Gallery(store.database, artifacts, settings, self._deadlines.notice)
        self._admission = Admission(
            self._lifecycle, self.cards, self._uploads, self.planner, settings, policy, self.idle
        )
        self._edits = EditAdmission(self._lifecycle, self._uploads, settings, policy, self.idle)
        self._edit_previews = EditPreviews(settings)
        self.shares = Shares(ShareRows(store.database), self, artifacts, signing, settings)
        self.moderation = connect_moderation(
            store, artifacts, self.shares, self._uploads, self.batch_files
        )
        policy.subscribe(self.moderation.note_refusal)
        self._connect_films(self._liveness)
        self._housekeeper.also += [
            self.gallery.tidy,
            self.moderation.tidy,
            self._film_rows.remove_of_past_visitors,
        ]
        self.plans = BatchPlans(self._admission, self.cards, settings.max_batch)
        self.thumbnails = StyleThumbnails(artifacts, self._admission)
        self._paused = self._closed = False

    # -- start and stop ----------------------------------------------------------------------------

    def start(self) -> None:
        """Takes over the jobs of stopped servers, then starts the executor."""
        self._recover()
        self._liveness.watch(self._check_other_processes)
        self._housekeeper.start()
        self._signing.prepare()
        self._deadlines.start()
        self._executor.start(self._lifecycle)
        self._film_thread.start()
        self._executor.notify()

    def start_command(self) -> None:
        """For a command line, instead of `start`: ends the jobs of killed commands and takes over
        nothing else."""
        self._executor.start(self._lifecycle)
        end_commands(self._lifecycle, self._liveness)

    def pause(self) -> None:
        """Accepts and starts nothing from now on; running jobs continue."""
        self._paused = True
        self._lifecycle.pause()

    def close(self, grace_s: float = 10.0) -> None:
        """A running job gets `grace_s` seconds to end, else it is queued for the next start."""
        if self._closed:
            return
        self._closed = True
        self.pause()
        self._film_thread.close()
        self._executor.close(grace_s)
        self._housekeeper.close()
        self._deadlines.close()
        self._events.close()
        self._liveness.close()
        self._store.close()

    def __enter__(self) -> JobService:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self) -> None:
        if recover(self._lifecycle, self._liveness, self._executor.resume):
            self._executor.notify()

    def _check_other_processes(self) -> None:
        """Called every few seconds: other processes may use the same database, or have died."""
        if self._closed:
            return
        if not self._store.has_others and self._liveness.has_others():
            self._store.has_others = True
            self._events.wake_all()  # from now on watchers must read the database as well
        self._recover()
        forward_stop_requests(self._lifecycle, self._executor.request_stop)

    def _fail_queued_that_cannot_run(self) -> None:
        """Called once the worker's device is known: jobs that were accepted for a GPU which it does
        not have, or before a restart with another one, fail instead of occupying the CPU for hours.
        """
        for job in self._store.unfinished(self._store.server, State.QUEUED):
            if job.edit:
                continue
            try:
                self._admission.refuse_what_cannot_run(job.fitted)
            except KinoraError as error:
                self._lifecycle.fail_queued(job.id, error, remove_files=False)

    # -- submitting --------------------------------------------------------------------------------

    def submit(
        self,
        request: GenerationRequest,
        owner: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
        reuse: bool = False,
        parent: str | None = None,
    ) -> Job:
        """Accepts a request; the job is durable when this returns. Raises KinoraError on bad input
        and when a limit is reached.

        If the idempotency key was used before, returns the job created then. `reuse` returns a
        finished clip of the owner that was made with the same settings; it needs a seed."""
        planned = PlannedJob(request, parent=parent)
        return self._accept([planned], owner, idempotency_key=idempotency_key, reuse=reuse)[0]

    def submit_batch(
        self,
        requests: Sequence[GenerationRequest],
        owner: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
        reuse: bool = False,
    ) -> Jobs:
        """Accepts all of the requests or none; their jobs share `job.batch`. Raises as `submit`."""
        requests = spread_wildcard_seeds(requests)
        if not 1 <= len(requests) <= self.settings.max_batch:
            raise KinoraError(
                ErrorCode.INVALID_INPUT,
                f"A batch has 1 to {self.settings.max_batch} clips; this one has {len(requests)}.",
            )
        return self._accept(
            [PlannedJob(request) for request in requests],
            owner,
            idempotency_key=idempotency_key,
            reuse=reuse,
            batch=PlannedBatch(new_id()),
        )

    def submit_plan(
        self,
        plan: BatchPlan,
        owner: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
        reuse: bool = False,
    ) -> Jobs:
        """Accepts all clips of one of the `plans` or none. Raises as `submit`."""
        return self._accept(
            plan.jobs, owner, idempotency_key=idempotency_key, reuse=reuse, batch=plan.batch
        )

    def render(
        self,
        job_id: str,
        owner: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
        reuse: bool = False,
    ) -> Job:
        """Submits the full clip of a draft, in whatever state that is: with its seed, and with the
        steps and the size of the request that was sent. Raises as `submit`, and
        KinoraError(CONFLICT) if the job is no draft."""
        planned = self.plans.render(self.get(job_id))
        return self._accept([planned], owner, idempotency_key=idempotency_key, reuse=reuse)[0]

    def make_again(
        self, job_id: str, owner: str, *, idempotency_key: IdempotencyKey | None = None
    ) -> Job:
        """Submits a job again that failed, was discarded or whose files are gone, with the same
        seed. In a batch, the new job takes the place of the old one. Raises as `submit`, and
        KinoraError(CONFLICT) if the job is unfinished or its clip is there."""
        job = self.get(job_id)
        if not job.state.ended:
            raise KinoraError(
                ErrorCode.CONFLICT, "This clip is not finished yet: discard it first."
            )
        if job.state is State.SUCCEEDED and not (job.result and job.result.gone):
            raise KinoraError(
                ErrorCode.CONFLICT, "This clip is there already. Use another seed for a new one."
            )
        if again := self._make_again_in_film(job, owner, idempotency_key):
            return again
        if job.edit:
            return self.submit_edit(
                job.edit,
                owner,
                may_use=lambda source: source.owner in (owner, job.owner),
                idempotency_key=idempotency_key,
            )
        request = job.request.model_copy(update={"seed": job.fitted.seed})
        only_new = job.fitted.continue_from is not None and not job.fitted.lead_frames
        planned = PlannedJob(
            request, full_request=job.full_request, parent=job.id, only_new=only_new
        )
        again = self._accept([planned], owner, idempotency_key=idempotency_key, replaces=job)[0]
        self._events.wake(job.id)
        return again

    def _accept(self, planned: Sequence[PlannedJob], owner: str, **options: Any) -> Jobs:
        self._refuse_new(owner)
        accepted = self._admission.accept(planned, owner, **options)
        self._executor.notify()
        return accepted

    def fit(self, request: GenerationRequest, owner: str | None = None) -> FittedRequest:
        """What would be made, with an adjustment for every change; with the owner's styles. Raises
        KinoraError."""
        return self._admission.fit(request, owner)

    def final_prompt(
        self, request: GenerationRequest, owner: str | None = None
    ) -> tuple[FinalPrompt, ModelCard]:
        """The prompt after its wildcards and style, and the model it is for. Raises KinoraError."""
        return self._admission.final_prompt(request, owner)

    @property
    def wildcards(self) -> WildcardFiles:
        return self._admission.wildcards

    @property
    def styles(self) -> CallerStyles:
        return self._admission.styles

    def offered_cards(self) -> dict[str, ModelCard]:
        """The installed cards that may be used here: on a Space, not all of them."""
        return self._admission.offered_cards()

    def estimate(
        self, request: GenerationRequest, owner: str | None = None
    ) -> tuple[FittedRequest, Estimate]:
        fitted = self.fit(request, owner)
        return fitted, self.estimate_fitted(fitted)

    def estimate_plan(self, plan: BatchPlan) -> Estimate:
        """Of all clips of a plan, one after the other."""
        return Estimate.total([self.estimate_fitted(fitted) for fitted in plan.fitted])

    def estimate_fitted(self, fitted: FittedRequest) -> Estimate:
        return self._estimator.estimate(fitted)

    # -- uploads -----------------------------------------------------------------------------------

    def store_picture(self, data: bytes, owner: str) -> StoredPicture:
        """Stores an uploaded picture; requests refer to it by its id. Unused ones are removed after
        a day. Raises KinoraError if it cannot be read."""
        return self._uploads.store_picture(data, owner)

    def store_video(self, source: Path, owner: str) -> StoredVideo:
        """Stores an uploaded clip, as `store_picture`."""
        return self._uploads.store_video(source, owner)

    def store_finished_clip(self, job_id: str, owner: str) -> StoredVideo:
        """Stores a finished clip as an upload, with its sound, to edit or to continue."""
        stored = self._uploads.store_video(self.clip_path(job_id), owner, made_here=True)
        self._uploads.keep_unmarked(stored.id, ".mp4", job_id, self._artifacts)
        self.gallery.remember_input(owner, stored.id, job_id)
        return stored

    def store_last_frame(self, job_id: str, owner: str) -> StoredPicture:
        """Stores the last frame of a finished clip as an upload, to continue from it."""
        stored = self.store_frame(job_id, owner, self.last_frame_path(job_id, owner).read_bytes())
        self._uploads.keep_unmarked(stored.id, ".png", job_id, self._artifacts)
        return stored

    def store_frame(self, job_id: str, owner: str, data: bytes) -> StoredPicture:
        """Stores a picture that was taken from a clip. Raises KinoraError(NOT_FOUND) for another
        owner's clip, and as `store_picture`."""
        self.get(job_id, owner)
        stored = self.store_picture(data, owner)
        self.gallery.remember_input(owner, stored.id, job_id)
        return stored

    def upload_path(self, name: str, owner: str | None) -> Path:
        """The file of an upload. Raises KinoraError(NOT_FOUND) for other owners."""
        return self._uploads.path(name, owner)

    # -- web requests that bring GPU quota (ZeroGPU) -----------------------------------------------

    def drive(
        self, job_id: str, owner: str | None = None, after: int = 0, tick_s: float = 0.5
    ) -> Iterator[Event | None]:
        """As `watch`, from within a web request, which the clip uses for its GPU where it needs
        one. Yields None as a heartbeat. Closing the iterator stops only the watching."""
        job = self.get(job_id, owner)
        if not job.state.ended:
            self._executor.drive(job_id)
        return self._events.follow(job_id, after, tick_s)

    def use_quota(self, job: Job, quota: str | None) -> None:
        """The clip is made with this caller's quota token from now on, where it needs one: the
        newest token is valid the longest, also for a second attempt."""
        if quota and self._executor.needs_request and not job.state.ended:
            self._executor.drive(job.id, quota)

    def keep_request_alive(self, job_id: str) -> None:
        """The caller whose web request the clip uses is still connected."""
        if self._executor.drivers is not None:
            self._executor.drivers.touch(job_id)
