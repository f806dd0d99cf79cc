"""The API's views of a film: its shots with their jobs, and the addresses of its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from api import schemas
from jobs.estimate import Estimate
from jobs.film import Cut, FilmProgress, FilmState, ShotProgress
from jobs.film_plans import PlannedFilm
from web.addresses import address

if TYPE_CHECKING:
    from jobs.service import JobService


class ShotView(BaseModel):
    """One shot, and the clip that is its present take."""

    number: int = Field(description="Its place in the film, from 1.")
    id: str = Field(description="Stays with the shot when the film is reordered.")
    prompt: str
    duration_s: float | None = None
    image: str | None = None
    cut: Cut
    seed: int | None = None
    state: ShotProgress = Field(
        description="That of its job; `waiting` before it has one, `gone` once its clip is deleted."
    )
    note: str | None = Field(default=None, description="What is to be said of it, as a sentence.")
    error: dict[str, Any] | None = None
    job: schemas.JobView | None = Field(description="The clip: it can be played once it is there.")


class FilmView(BaseModel):
    """A film. `state` is `working` as long as something of it is made or will be by itself."""

    film_id: str
    state: FilmProgress
    progress: float = Field(description="Of all shots and the joining, from 0 to 1.")
    created_at: float
    crossfade_s: float
    settings: dict[str, Any] = Field(description="What holds for all shots.")
    shots: list[ShotView]
    file: schemas.JobView | None = Field(
        description="The film as it was joined last. While shots are made again, that is older."
    )
    join: schemas.JobView | None = Field(description="The edit that joins the present shots.")
    error: dict[str, Any] | None = Field(default=None, description="Why they were not joined.")
    urls: dict[str, str]


class FilmSummary(BaseModel):
    """One film of a list."""

    film_id: str
    state: FilmProgress
    created_at: float
    shots: int
    prompt: str = Field(description="That of the first shot.")
    urls: dict[str, str]


class FilmList(BaseModel):
    """Newest first; `next` is the `before` of the next page."""

    films: list[FilmSummary]
    next: float | None = None


class ShotEstimate(BaseModel):
    """What one shot would take, and what it would be."""

    seconds: float
    low: float
    high: float
    width: int
    height: int
    num_frames: int
    fps: int
    duration_s: float
    model: str
    adjustments: list[str]


class FilmEstimate(BaseModel):
    """What a film would take: its shots one after the other, and joining them."""

    seconds: float
    low: float
    high: float
    learned: bool = Field(description="From earlier clips here; else guessed.")
    join_seconds: float
    duration_s: float = Field(description="Of the shots together, before cross-fades.")
    shots: list[ShotEstimate]


def view(service: JobService, state: FilmState) -> FilmView:
    film = state.film
    shots = [_shot(service, state, index) for index in range(len(film.shots))]
    join = schemas.job_view(service, state.join) if state.join else None
    file = schemas.job_view(service, state.file) if state.file else None
    done = [shot.job.progress if shot.job else 0.0 for shot in shots]
    return FilmView(
        film_id=film.id,
        state=state.state,
        progress=round((sum(done) + (join.progress if join else 0)) / (len(shots) + 1), 4),
        created_at=film.created_at,
        crossfade_s=film.crossfade_s,
        settings=film.settings.model_dump(mode="json", exclude_defaults=True),
        shots=shots,
        file=file,
        join=join,
        error=film.problem,
        urls=urls(state),
    )


def _shot(service: JobService, state: FilmState, index: int) -> ShotView:
    shot, job = state.film.shots[index], state.job(index)
    return ShotView(
        number=index + 1,
        id=shot.id,
        prompt=shot.prompt,
        duration_s=shot.duration_s,
        image=shot.image,
        cut=shot.cut,
        seed=shot.seed,
        state=state.shot_state(index),
        note=state.note(index),
        error=shot.problem,
        job=schemas.job_view(service, job) if job else None,
    )


def urls(state: FilmState) -> dict[str, str]:
    here = address(f"/api/films/{state.film.id}")
    found = {"self": here, "events": f"{here}/events"}
    if state.state == "working":
        found["cancel"] = f"{here}/cancel"
    elif state.state != "succeeded":
        found["resume"] = f"{here}/resume"
    if state.file:
        found["result"] = address(f"/api/result/{state.file.id}")
        found["poster"] = address(f"/api/jobs/{state.file.id}/poster")
    return found


def summary(state: FilmState) -> FilmSummary:
    return FilmSummary(
        film_id=state.film.id,
        state=state.state,
        created_at=state.film.created_at,
        shots=len(state.film.shots),
        prompt=state.film.shots[0].prompt,
        urls=urls(state),
    )


def estimate_view(planned: PlannedFilm, estimates: Sequence[Estimate]) -> FilmEstimate:
    total, join = Estimate.total(estimates), estimates[-1]
    shots = [
        ShotEstimate(
            seconds=each.seconds,
            low=each.low,
            high=each.high,
            width=fitted.made_size[0],
            height=fitted.made_size[1],
            num_frames=fitted.made_frames,
            fps=fitted.fps,
            duration_s=fitted.duration_s,
            model=fitted.model,
            adjustments=[change.sentence for change in fitted.adjustments],
        )
        for fitted, each in zip(planned.fitted, estimates, strict=False)
    ]
    return FilmEstimate(
        seconds=total.seconds,
        low=total.low,
        high=total.high,
        learned=total.learned,
        join_seconds=join.seconds,
        duration_s=sum(each.duration_s for each in shots),
        shots=shots,
    )
