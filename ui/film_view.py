"""A film as the page and its endpoints show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from errors import split_sentence
from jobs.film import MAX_SHOTS, NOT_OF_FILMS, FilmState
from jobs.job import Job
from pipelines.models.cards import ModelCard
from pipelines.request import GenerationRequest, Task
from ui import job_view

ViewJob = Callable[[Job], dict[str, Any]]


def brief(state: FilmState, root: str) -> dict[str, Any]:
    """For programs: `root` is the public address of the API."""
    film, file = state.film, state.file
    shots = []
    for index, shot in enumerate(film.shots):
        has_clip = state.has_clip(index)
        shots.append(
            {
                "number": index + 1,
                "prompt": shot.prompt,
                "cut": shot.cut,
                "state": state.shot_state(index),
                "job_id": shot.job,
                "url": f"{root}/result/{shot.job}" if has_clip else None,
                "note": state.note(index),
            }
        )
    return {
        "film_id": film.id,
        "state": state.state,
        "progress": round(state.progress, 4),
        "shots": shots,
        "job_id": file.id if file else None,
        "url": f"{root}/result/{file.id}" if file else None,
    }


def view(state: FilmState, of_job: ViewJob, cards: Mapping[str, ModelCard]) -> dict[str, Any]:
    """The JSON object from which the page shows a storyboard. `of_job` is the page's view of a
    job."""
    film, join = state.film, state.join
    return {
        "id": film.id,
        "state": state.state,
        "line": line(state),
        "crossfade_s": film.crossfade_s,
        "settings": film.settings.model_dump(mode="json", exclude_defaults=True),
        "takes_image": takes_image(film.settings.model, cards),
        "shots": [_shot(state, index, of_job) for index in range(len(film.shots))],
        "file": of_job(state.file) if state.file else None,
        "is_current": state.file is not None and state.file == join,
        "error": _problem(state),
    }


def _shot(state: FilmState, index: int, of_job: ViewJob) -> dict[str, Any]:
    shot, job = state.film.shots[index], state.job(index)
    shown = of_job(job) if job else None
    return {
        "id": shot.id,
        "prompt": shot.prompt,
        "duration_s": shot.duration_s,
        "image": shot.image,
        "cut": shot.cut,
        "state": state.shot_state(index),
        "line": shown["line"] if shown else waiting_line(state, index),
        "note": state.note(index),
        "error": job_view.error_view(shot.problem) if shot.problem else (shown or {}).get("error"),
        "job": shown,
    }


def waiting_line(state: FilmState, index: int) -> str:
    """Of a shot that has no clip yet."""
    return "Waiting for the shot before it" if state.will_come(index) else ""


def _problem(state: FilmState) -> dict[str, Any] | None:
    """Why the shots were not joined."""
    error = state.film.problem or (state.join and state.join.error)
    return job_view.error_view(error) if error else None


def line(state: FilmState) -> str:
    """One sentence: how far the film is."""
    count = len(state.film.shots)
    done = sum(state.has_clip(index) for index in range(count))
    match state.state:
        case "succeeded":
            join = state.join
            length_s = join.result.duration_s if join and join.result else 0.0
            return f"The film is ready: {length_s:.1f} s"
        case "working" if done == count:
            return "Joining the shots"
        case "working":
            return f"{done} of {count} shots are ready"
        case "failed":
            return "Something could not be made. The finished shots are kept."
        case "cancelled":
            return "Discarded. The finished shots are kept."
        case "gone":
            return "A clip of this film is gone. Make it again."


def takes_image(model: str | None, cards: Mapping[str, ModelCard]) -> bool:
    """Whether a shot can start from a picture, and so from the end of the one before it. True for a
    model that is not known yet: a shot that it cannot make is refused."""
    if model and model not in cards:
        return True
    able = [cards[model]] if model else cards.values()
    return any(Task.IMAGE_TO_VIDEO in card.tasks for card in able)


def board_of(request: GenerationRequest, cards: Mapping[str, ModelCard]) -> dict[str, Any]:
    """A storyboard to begin with: a shot for each sentence of a prompt, and the other settings."""
    sentences = split_sentences(request.prompt)[:MAX_SHOTS] or [""]
    shots: list[dict[str, Any]] = [{"prompt": each, "cut": "hard"} for each in sentences]
    if request.image:
        shots[0]["image"] = request.image
    left_out = {"prompt", "image", *NOT_OF_FILMS, "motion_bucket_id"}
    settings = request.model_dump(mode="json", exclude_defaults=True, exclude=left_out)
    length = {name: settings.pop(name) for name in ("duration_s", "num_frames") if name in settings}
    can = takes_image(request.model, cards)
    return {"shots": shots, "settings": settings | length, "takes_image": can}


def split_sentences(text: str) -> list[str]:
    found: list[str] = []
    rest = text.strip()
    while rest:
        first, rest = split_sentence(rest)
        found.append(first.strip())
    return found
