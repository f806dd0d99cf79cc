"""FilmMaker: accepts films, and changes them as their owners want: shots are made again, added,
reordered, discarded. What follows by itself is in `film_coordinator`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from errors import ErrorCode, KinoraError
from jobs.admission import Admission
from jobs.admission_sql import AlsoStore
from jobs.film import MAX_SHOTS, REMADE_BY, Film, FilmRequest, FilmShot, FilmState, Shot, ShotId
from jobs.film_coordinator import ATTEMPTS, FilmCoordinator, FilmTools, Submission, next_version
from jobs.film_plans import FilmPlans
from jobs.film_rows import FilmChanged, FilmRows, write_film
from jobs.job import IdempotencyKey
from pipelines.request import MAX_SEED


class ShotChange(Shot):
    """A shot of a changed film: one that there is, by its id, with what is set changed; or a new
    one."""

    id: ShotId | None = Field(default=None, description="The id of a shot that there is.")


class FilmChange(BaseModel):
    """What a film is to be. Shots that are not named leave it; their clips stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shots: tuple[ShotChange, ...] | None = Field(
        default=None, min_length=1, max_length=MAX_SHOTS, description="All shots, in order."
    )
    crossfade_s: float | None = Field(default=None, ge=0.04, le=10, allow_inf_nan=False)


class FilmMaker:
    """Thread-safe."""

    def __init__(
        self,
        rows: FilmRows,
        plans: FilmPlans,
        admission: Admission,
        coordinator: FilmCoordinator,
        tools: FilmTools,
        server: str,
    ) -> None:
        self._rows, self._plans, self._admission = rows, plans, admission
        self._coordinator, self._tools, self._server = coordinator, tools, server

    def create(
        self, request: FilmRequest, owner: str, idempotency_key: IdempotencyKey | None = None
    ) -> FilmState:
        """Accepts all shots or none; the film is durable when this returns. Raises KinoraError for
        a shot that cannot be made, and when a limit is reached.

        If the idempotency key was used before, returns the film created then."""
        self._tools.refuse_new(owner)
        film, fitted = self._plans.plan(request, owner)
        self._plans.check_prompts(range(len(fitted)), fitted, owner)
        state = FilmState(film.model_copy(update={"server": self._server}), {})
        return self._accept(state, is_new=True, idempotency_key=idempotency_key)

    def redo(
        self,
        film_id: str,
        number: int,
        wanted: ShotChange,
        idempotency_key: IdempotencyKey | None = None,
    ) -> FilmState:
        """Makes one shot again, with another seed or with what `wanted` sets. The others stay, and
        the film is joined again. Raises as `create`."""
        changes = {name: getattr(wanted, name) for name in wanted.model_fields_set - {"id"}}
        if changes.get("seed") is None:
            changes["seed"] = secrets.randbelow(MAX_SEED + 1)

        def change(film: Film) -> Film:
            shot = film.find(number).without_take(**changes)
            return film.replace_shot(number - 1, shot)

        return self._change(film_id, change, idempotency_key)

    def change(self, film_id: str, wanted: FilmChange) -> FilmState:
        """Reorders, adds, removes and changes shots. Only new shots are made, and those whose
        prompt, picture, length or seed has changed; then the film is joined again. Raises as
        `create`."""

        def change(film: Film) -> Film:
            values: dict[str, Any] = {}
            if wanted.crossfade_s is not None:
                values["crossfade_s"] = wanted.crossfade_s
            if wanted.shots is not None:
                values["shots"] = tuple(_changed(film, each) for each in wanted.shots)
                named = [shot.id for shot in values["shots"]]
                if len(set(named)) < len(named):
                    sentence = "A shot is named twice. Leave out one, or add it without its id."
                    raise KinoraError(ErrorCode.INVALID_INPUT, sentence)
            return film.model_copy(update=values)

        return self._change(film_id, change)

    def resume(self, film_id: str) -> FilmState:
        """Makes what failed, was discarded or is gone. Raises as `create`."""

        def change(film: Film) -> Film:
            state = self.read(film_id)
            if film != state.film:
                raise FilmChanged(film_id)
            if state.state == "succeeded":
                return film
            is_missing = [
                state.shot_state(index) in ("failed", "cancelled", "gone")
                for index in range(len(film.shots))
            ]
            shots = tuple(
                shot.without_take() if missing else shot
                for shot, missing in zip(film.shots, is_missing, strict=True)
            )
            values: dict[str, Any] = {"shots": shots, "problem": None}
            if state.state != "working":
                values["joined"] = None
            return film.model_copy(update=values)

        return self._change(film_id, change)

    def cancel(self, film_id: str) -> FilmState:
        """Discards what is not finished. The finished shots stay. Idempotent."""
        state = self.read(film_id)
        for _ in range(ATTEMPTS):
            shots = tuple(
                shot.model_copy(update={"is_stopped": True}) if shot.job is None else shot
                for shot in state.film.shots
            )
            values: dict[str, Any] = {"shots": shots}
            if state.needs_join:
                values |= {"joined": state.film.join_key(), "join_job": None}
            try:
                if state.film.model_copy(update=values) != state.film:
                    self._rows.save(next_version(state, **values))
                break
            except FilmChanged:
                state = self.read(film_id)
        for job in state.unfinished():  # those first that wait, or they would begin in between
            self._tools.cancel(job.id)
        return self._coordinator.advance(film_id) or self.read(film_id)

    def delete(self, film_id: str) -> None:
        """Discards what is not finished and removes the film. Its clips stay."""
        self.cancel(film_id)
        self._rows.delete(film_id)

    def _change(
        self,
        film_id: str,
        change: Callable[[Film], Film],
        idempotency_key: IdempotencyKey | None = None,
    ) -> FilmState:
        for _ in range(ATTEMPTS):
            before = self.read(film_id)
            try:
                film = change(before.film)
            except FilmChanged:
                continue
            new = [
                index
                for index, shot in enumerate(film.shots)
                if shot.job is None and not shot.is_stopped and shot not in before.film.shots
            ]
            if new:
                self._tools.refuse_new(film.owner)
                self._plans.check_prompts(new, self._plans.fit(film, new), film.owner)
            state = next_version(before, **dict(film) | {"server": self._server})
            try:
                if state.ready() or new:
                    state = self._accept(state, before, idempotency_key=idempotency_key)
                else:
                    self._rows.save(state)
            except FilmChanged:
                continue
            for job in before.unfinished():
                if job.id not in state.film.job_ids:
                    self._tools.cancel(job.id)
            return self._coordinator.advance(film_id) or state
        raise KinoraError(ErrorCode.UNAVAILABLE)

    def _accept(
        self,
        state: FilmState,
        before: FilmState | None = None,
        *,
        is_new: bool = False,
        idempotency_key: IdempotencyKey | None = None,
    ) -> FilmState:
        """Stores a film and submits the shots that can be, counting all that are new. Raises
        KinoraError, FilmChanged."""
        ready = state.ready()
        made = Submission(state, ready)
        more = max(0, state.pending - len(ready) - (before.pending if before else 0))
        if not ready:
            self._rows.save(state)
            return state
        also = AlsoStore(write_film(made.with_jobs, is_new=is_new), more_clips=more)
        jobs = self._admission.accept(
            [self._coordinator.planned(state, index) for index in ready],
            state.film.owner,
            idempotency_key=idempotency_key,
            also=also,
        )
        self._tools.notify()
        if made.state is None:  # the key was used before
            return self.read(self._rows.film_of(jobs[0].id) or "")
        return made.state

    def read(self, film_id: str) -> FilmState:
        state = self._rows.find(film_id)
        if state is None:
            raise KinoraError(ErrorCode.NOT_FOUND, "There is no such film here.")
        return state


def _changed(film: Film, wanted: ShotChange) -> FilmShot:
    """Raises KinoraError(NOT_FOUND) for the id of no shot of the film."""
    if wanted.id is None:
        return FilmShot.of(wanted)
    known = next((shot for shot in film.shots if shot.id == wanted.id), None)
    if known is None:
        raise KinoraError(ErrorCode.NOT_FOUND, "This film has no such shot.")
    sent = {name: getattr(wanted, name) for name in wanted.model_fields_set - {"id"}}
    changes = {name: value for name, value in sent.items() if value != getattr(known, name)}
    is_remade = bool(REMADE_BY & changes.keys())
    if "cut" in changes and "continue" in (changes["cut"], known.cut):
        is_remade = True
    return known.without_take(**changes) if is_remade else known.model_copy(update=changes)
