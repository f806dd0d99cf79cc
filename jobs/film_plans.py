"""Plans films before anything is accepted: what each shot will be, and how long all will take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from errors import ErrorCode, KinoraError
from jobs.admission import Admission
from jobs.estimate import Estimate, Estimator
from jobs.film import Film, FilmRequest, FilmShot
from jobs.film_rows import FilmRows
from jobs.job import new_id
from pipelines.models.duration import SourceClip
from pipelines.models.selection import NONE_CAN
from pipelines.request import FittedRequest

PLACEHOLDER = "0" * 64
"""Stands for the clip that a shot continues and that is not there yet."""


class PlannedFilm(NamedTuple):
    """A film before it is accepted, and what its shots will be."""

    film: Film
    fitted: tuple[FittedRequest, ...]


class FilmPlans:
    """Thread-safe."""

    def __init__(self, rows: FilmRows, admission: Admission, estimator: Estimator) -> None:
        self._rows, self._admission, self._estimator = rows, admission, estimator

    def plan(self, request: FilmRequest, owner: str) -> PlannedFilm:
        """Raises KinoraError for a shot that cannot be made, with its number."""
        shots = tuple(FilmShot.of(shot) for shot in request.shots)
        film = Film(
            id=new_id(),
            owner=owner,
            created_at=time.time(),
            shots=shots,
            settings=request.settings,
            crossfade_s=request.crossfade_s,
        )
        fitted = self.fit(film, range(len(shots)))
        return PlannedFilm(*self._in_one_size(film, fitted))

    def estimate(self, planned: PlannedFilm) -> list[Estimate]:
        """Of each shot, and of joining them."""
        shots = [self._estimator.estimate(each) for each in planned.fitted]
        names = [new_id() for _ in planned.film.shots]
        pairs = zip(planned.film.shots, names, strict=True)
        named = tuple(shot.model_copy(update={"job": name}) for shot, name in pairs)
        edit = planned.film.model_copy(update={"shots": named}).join_request()
        whole = planned.fitted[0].model_copy(
            update={
                "num_frames": sum(each.made_frames for each in planned.fitted),
                "lead_frames": 0,
                "overlap": 0,
            }
        )
        return [*shots, self._estimator.estimate(whole, edit)]

    def fit(self, film: Film, indices: Sequence[int]) -> tuple[FittedRequest, ...]:
        """What those shots will be, in order. Each that continues another comes after that one, or
        that one has a job."""
        fitted: dict[int, FittedRequest] = {}
        for index in indices:
            with naming_shot(index):
                fitted[index] = self._fit_shot(film, index, fitted.get(index - 1))
        return tuple(fitted[index] for index in indices)

    def check_prompts(
        self, indices: Sequence[int], fitted: Sequence[FittedRequest], owner: str
    ) -> None:
        """Raises KinoraError for a prompt that is refused here, also of a shot that comes later."""
        for index, each in zip(indices, fitted, strict=True):
            with naming_shot(index):
                self._admission.check_prompt(each, owner)

    def _fit_shot(self, film: Film, index: int, before: FittedRequest | None) -> FittedRequest:
        request, clip = film.request_of(index), None
        if film.is_continued[index]:
            if request.image:
                raise KinoraError(
                    ErrorCode.INVALID_INPUT,
                    "It continues the shot before it, so it has no picture of its own. Leave the "
                    "picture out, or cut to this shot.",
                    details={"field": "image"},
                )
            request = film.request_of(index, PLACEHOLDER)
            before = before or self._fitted_before(film, index)
            width, height = before.made_size
            clip = SourceClip(width, height, before.duration_s, float(before.fps))
        try:
            fitted = self._admission.fit_shot(request, film.owner, clip)
        except KinoraError as error:
            if film.is_continued[index] and error.code is ErrorCode.TASK_NOT_SUPPORTED:
                raise _cannot_continue(error) from None
            raise
        return fitted.model_copy(update={"lead_frames": 0})

    def _fitted_before(self, film: Film, index: int) -> FittedRequest:
        state = self._rows.find(film.id)
        job = state and state.jobs.get(film.shots[index - 1].job or "")
        return job.fitted if job else self._fit_shot(film, index - 1, None)

    def _in_one_size(
        self, film: Film, fitted: tuple[FittedRequest, ...]
    ) -> tuple[Film, tuple[FittedRequest, ...]]:
        """In the size of the first shot, where the request has no size and all can have it."""
        settings, first = film.settings, fitted[0]
        if settings.width or settings.height or len({each.made_size for each in fitted}) == 1:
            return film, fitted
        size = {"width": first.width, "height": first.height}
        sized = film.model_copy(update={"settings": settings.model_copy(update=size)})
        try:
            return sized, self.fit(sized, range(len(film.shots)))
        except KinoraError:  # a model that does not make that size: joining fits its shots
            return film, fitted


def _cannot_continue(error: KinoraError) -> KinoraError:
    """The error of a model that cannot, with what to do about it in a film."""
    sentence = f"{error.message} Cut to this shot, or choose another model."
    if error.message in NONE_CAN.values():
        sentence = "No model here can continue a clip. Cut to this shot."
    return KinoraError(error.code, sentence, details=error.details | {"field": "cut"})


@contextlib.contextmanager
def naming_shot(index: int) -> Iterator[None]:
    """An error says which shot it is about."""
    try:
        yield
    except KinoraError as error:
        error.message = f"Shot {index + 1}: {error.message}"
        error.details = error.details | {"shot": index + 1}
        raise
