"""Continues films as their jobs end: submits the shots that continue others, and joins them.

A film is a document with a version. A change is stored only if the version is still the one
that was read, in the transaction that accepts the jobs of that change: so no shot is made twice,
and none is lost, with any number of processes.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from errors import KinoraError
from jobs.admission import Admission
from jobs.admission_sql import AlsoStore
from jobs.batch import PlannedJob
from jobs.edit_admission import EditAdmission
from jobs.event_types import Event, Failed, JobCancelled, Requeued, Succeeded
from jobs.film import FilmState
from jobs.film_rows import FilmChanged, FilmRows, write_film
from jobs.job import Job
from jobs.liveness import ServerLiveness, is_command
from jobs.store import JobStore

log = logging.getLogger(__name__)

ATTEMPTS = 20
"""How often a change is tried again because the film has changed meanwhile."""
SWEEP_S = 5.0
"""How often films are looked at whose jobs another process runs, or that had to wait."""


@dataclass(frozen=True)
class FilmTools:
    """What the service does for its films."""

    store_clip: Callable[[str, str], str]
    """Stores the clip of a job as an upload of that owner, and returns its id."""
    cancel: Callable[[str], object]
    refuse_new: Callable[[str], None]
    """Raises KinoraError where nothing can be accepted of an owner now."""
    notify: Callable[[], None]
    """Called when jobs were accepted."""


class FilmCoordinator:
    """Thread-safe."""

    def __init__(
        self, rows: FilmRows, admission: Admission, edits: EditAdmission, tools: FilmTools
    ) -> None:
        self._rows, self._admission, self._edits, self._tools = rows, admission, edits, tools

    def advance(self, film_id: str) -> FilmState | None:
        """Submits what can be submitted now: shots that continue a finished one, and the edit that
        joins all. None if there is no such film. Raises nothing that concerns one shot only: the
        film has it then."""
        for _ in range(ATTEMPTS):
            state = self._rows.find(film_id)
            if state is None:
                return None
            try:
                if not self._step(state):
                    self._rows.refresh(state)
                    return state
            except FilmChanged:
                continue
        return self._rows.find(film_id)

    def _step(self, state: FilmState) -> bool:
        """Does one thing; False if there is nothing to do now. Raises FilmChanged."""
        if ready := state.ready():
            return self._submit_shot(state, ready[0])
        edit = state.jobs.get(state.film.join_job or "")
        if edit and not edit.state.ended and state.film.joined != state.film.join_key():
            self._tools.cancel(edit.id)
        if state.needs_join:
            return self._submit_join(state)
        return False

    def _submit_shot(self, state: FilmState, index: int) -> bool:
        made = Submission(next_version(state), [index])
        try:
            self._tools.refuse_new(state.film.owner)
            planned = self.planned(state, index)
            also = AlsoStore(write_film(made.with_jobs), is_counted=False)
            self._admission.accept([planned], state.film.owner, also=also)
        except KinoraError as error:
            if error.kind.retryable:
                return self._retry_later(state, error)
            log.info("A shot was refused: %s (film=%s).", error.message, state.film.id)
            shot = state.film.shots[index].model_copy(update={"problem": error.as_dict()})
            self._rows.save(next_version(state, **dict(state.film.replace_shot(index, shot))))
        self._tools.notify()
        return True

    def _submit_join(self, state: FilmState) -> bool:
        film, key = state.film, state.film.join_key()
        made: list[FilmState] = []

        def with_job(accepted: Sequence[Job]) -> FilmState:
            joined = next_version(state, join_job=accepted[0].id, joined=key, problem=None)
            jobs = {**state.jobs, accepted[0].id: accepted[0]}
            made.append(replace(joined, jobs=jobs))
            return made[-1]

        try:
            self._tools.refuse_new(film.owner)
            also = AlsoStore(write_film(with_job), is_counted=False)
            self._edits.accept(film.join_request(), film.owner, _own(film.owner), also=also)
        except KinoraError as error:
            if error.kind.retryable:
                return self._retry_later(state, error)
            log.info("Shots were not joined: %s (film=%s).", error.message, film.id)
            self._rows.save(next_version(state, joined=key, join_job=None, problem=error.as_dict()))
        self._tools.notify()
        return True

    def _retry_later(self, state: FilmState, error: KinoraError) -> bool:
        log.info("A film waits, retrying later: %s (film=%s).", error.message, state.film.id)
        return False

    def planned(self, state: FilmState, index: int) -> PlannedJob:
        """The job of a shot that can be submitted now. Raises KinoraError."""
        film, shot = state.film, state.film.shots[index]
        taken = shot.take_before if shot.take_before in state.jobs else None
        if not film.is_continued[index]:
            return PlannedJob(film.request_of(index), parent=taken)
        before = film.shots[index - 1].job or ""
        stored = self._tools.store_clip(before, film.owner)
        return PlannedJob(film.request_of(index, stored), parent=taken, only_new=True)


class FilmThread:
    """Continues films when their jobs end, and after a restart."""

    def __init__(
        self,
        store: JobStore,
        rows: FilmRows,
        coordinator: FilmCoordinator,
        liveness: ServerLiveness,
    ) -> None:
        self._store, self._rows, self._coordinator = store, rows, coordinator
        self._liveness, self._closed = liveness, False
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="films", daemon=True)

    def start(self) -> None:
        self._store.subscribe(self._on_event)
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._ended.put("")
        if self._thread.is_alive():
            self._thread.join(5)

    def _on_event(self, event: Event) -> None:
        if isinstance(event.body, Succeeded | Failed | JobCancelled | Requeued):
            self._ended.put(event.job_id)

    def _run(self) -> None:
        while not self._closed:
            try:
                self._sweep()
                self._follow(SWEEP_S)
            except Exception:  # the disk or the database may only be away for a moment
                if not self._closed:
                    log.warning("Continuing films failed, retrying in 5 s.", exc_info=True)
                    self._wait(SWEEP_S)

    def _follow(self, seconds: float) -> None:
        """Advances the films of jobs that end, until the time for a sweep has come."""
        ends = time.monotonic() + seconds
        while not self._closed and (left := ends - time.monotonic()) > 0:
            job_id = self._wait(left)
            film_id = self._rows.film_of(job_id) if job_id else None
            if film_id:
                self._coordinator.advance(film_id)

    def _wait(self, seconds: float) -> str | None:
        try:
            return self._ended.get(timeout=seconds)
        except queue.Empty:
            return None

    def _sweep(self) -> None:
        here = self._liveness.name
        for film_id, server in self._rows.open():
            if self._closed:
                return
            is_lost = not is_command(server) and not self._liveness.is_alive(server)
            if server != here and is_lost:
                self._rows.take_over(film_id, here)
            if server == here or is_lost:
                self._coordinator.advance(film_id)


class Submission:
    """The film with the jobs of the shots that are submitted."""

    def __init__(self, state: FilmState, indices: Sequence[int]) -> None:
        self._before, self._indices = state, indices
        self.state: FilmState | None = None

    def with_jobs(self, accepted: Sequence[Job]) -> FilmState:
        film = self._before.film
        for index, job in zip(self._indices, accepted, strict=True):
            after = film.shots[index - 1].job if film.is_continued[index] else None
            shot = film.shots[index].model_copy(update={"job": job.id, "after": after})
            film = film.replace_shot(index, shot)
        jobs = {**self._before.jobs, **{job.id: job for job in accepted}}
        self.state = FilmState(film, jobs)
        return self.state


def next_version(state: FilmState, **changes: Any) -> FilmState:
    """The film with changes, as its next version; before it gets another edit, it remembers the one
    whose file is there."""
    if "join_job" in changes and changes["join_job"] != state.film.join_job and state.file:
        changes["file_job"] = state.file.id
    film = state.film.model_copy(update=changes | {"version": state.film.version + 1})
    return replace(state, film=film)


def _own(owner: str) -> Callable[[Job], bool]:
    return lambda job: job.owner == owner
