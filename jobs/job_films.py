"""JobFilms: makes films of shots. The part of `JobService` that accepts and changes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from errors import ErrorCode, KinoraError
from jobs.estimate import Estimate
from jobs.film import FilmRequest, FilmState
from jobs.film_coordinator import FilmCoordinator, FilmThread, FilmTools
from jobs.film_maker import FilmChange, FilmMaker, ShotChange
from jobs.film_plans import FilmPlans, PlannedFilm
from jobs.film_rows import FilmRows
from jobs.job import IdempotencyKey, Job
from jobs.job_edits import JobEdits

if TYPE_CHECKING:
    from jobs.liveness import ServerLiveness
    from media.videos import StoredVideo


class JobFilms(JobEdits):
    """Thread-safe. `owner=None` skips the owner check, as in `JobQueries`."""

    def store_finished_clip(self, job_id: str, owner: str) -> StoredVideo:
        raise NotImplementedError

    def _connect_films(self, liveness: ServerLiveness) -> None:
        """Called once, when the other parts are there."""
        tools = FilmTools(
            store_clip=lambda job_id, owner: self.store_finished_clip(job_id, owner).id,
            cancel=self.cancel,
            refuse_new=self._refuse_new,
            notify=self._executor.notify,
        )
        self._film_rows = rows = FilmRows(self._store.database)
        self._film_plans = FilmPlans(rows, self._admission, self._estimator)
        self._film_coordinator = FilmCoordinator(rows, self._admission, self._edits, tools)
        self._films = FilmMaker(
            rows, self._film_plans, self._admission, self._film_coordinator, tools, liveness.name
        )
        self._film_thread = FilmThread(self._store, rows, self._film_coordinator, liveness)

    # -- submit ------------------------------------------------------------------------------------

    def submit_film(
        self,
        request: FilmRequest,
        owner: str,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> FilmState:
        """Accepts all shots of a film or none; it is durable when this returns. Shots that need no
        other are queued now, and those that continue one when that one is there; at the end they
        are joined. Each shot counts as a clip for all limits. Raises KinoraError.

        If the idempotency key was used before, returns the film created then."""
        return self._films.create(request, owner, idempotency_key)

    def plan_film(self, request: FilmRequest, owner: str) -> tuple[PlannedFilm, list[Estimate]]:
        """What the shots would be, and how long each and the joining would take. Raises as
        `submit_film`."""
        planned = self._film_plans.plan(request, owner)
        return planned, self._film_plans.estimate(planned)

    # -- read --------------------------------------------------------------------------------------

    def find_film(self, film_id: str, owner: str | None = None) -> FilmState:
        """Raises KinoraError(NOT_FOUND)."""
        state = self._films.read(film_id)
        if owner not in (None, state.film.owner):
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such film here.")
        return state

    def films(self, owner: str, limit: int, before: float | None = None) -> Sequence[FilmState]:
        """The owner's films, newest first, created before that time."""
        return self._film_rows.newest(owner, limit, before)

    async def afilm_changes(self, film_id: str, tick_s: float) -> AsyncGenerator[None, None]:
        """Yields whenever the film may have changed. No owner check."""
        while True:
            jobs = await asyncio.to_thread(self._film_jobs, film_id)
            async with aclosing(self._events.achanges(jobs, tick_s)) as changes:
                async for _ in changes:
                    yield
                    if await asyncio.to_thread(self._film_jobs, film_id) != jobs:
                        break
                else:
                    return

    def _film_jobs(self, film_id: str) -> tuple[str, ...]:
        state = self._film_rows.find(film_id)
        return state.film.job_ids if state else ()

    def film_of(self, job_id: str) -> str | None:
        """The film that a clip belongs to."""
        return self._film_rows.film_of(job_id)

    # -- change ------------------------------------------------------------------------------------

    def redo_shot(
        self,
        film_id: str,
        number: int,
        wanted: ShotChange,
        *,
        idempotency_key: IdempotencyKey | None = None,
    ) -> FilmState:
        """Makes one shot again, with another seed or with what `wanted` sets. All others stay, and
        the film is joined again. Raises as `submit_film`."""
        return self._films.redo(film_id, number, wanted, idempotency_key)

    def change_film(self, film_id: str, wanted: FilmChange) -> FilmState:
        """Reorders, adds, removes and changes shots. Only what is new or changed is made. Raises as
        `submit_film`."""
        return self._films.change(film_id, wanted)

    def resume_film(self, film_id: str) -> FilmState:
        """Makes what failed, was discarded or is gone. Raises as `submit_film`."""
        return self._films.resume(film_id)

    def cancel_film(self, film_id: str) -> FilmState:
        """Discards what is not finished; the finished shots stay. Idempotent."""
        return self._films.cancel(film_id)

    def delete_film(self, film_id: str) -> None:
        """Discards what is not finished and removes the film. Its clips stay."""
        self._films.delete(film_id)

    def advance_film(self, film_id: str) -> FilmState:
        """Submits what can be submitted now. A server does it by itself; a command line does not.
        Raises KinoraError(NOT_FOUND)."""
        return self._film_coordinator.advance(film_id) or self._films.read(film_id)

    def _make_again_in_film(
        self, job: Job, owner: str, idempotency_key: IdempotencyKey | None
    ) -> Job | None:
        """The new take of a shot, or the film joined again; None for other jobs."""
        film_id = self._film_rows.film_of(job.id)
        state = self._film_rows.find(film_id) if film_id else None
        if state is None or state.film.owner != owner:
            return None
        takes = [shot.job for shot in state.film.shots]
        if job.id in takes:
            number = takes.index(job.id) + 1
            again = ShotChange(seed=job.fitted.seed)
            state = self._films.redo(state.film.id, number, again, idempotency_key)
            return state.job(number - 1)
        if job.id == state.film.join_job:
            return self._films.resume(state.film.id).join
        return None
