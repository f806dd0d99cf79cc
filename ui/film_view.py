"""A film as the page and its endpoints show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.event_types import to_json
from jobs.film import FilmState
from jobs.job import Job
from jobs.progress import Progress
from ui import job_view

if TYPE_CHECKING:
    from jobs.service import JobService

WAITING = "Waiting for the shot before it"


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


def view(service: JobService, state: FilmState) -> dict[str, Any]:
    """The JSON object from which the page shows a storyboard."""
    film = state.film
    return {
        "id": film.id,
        "state": state.state,
        "line": _line(service, state),
        "crossfade_s": film.crossfade_s,
        "settings": film.settings.model_dump(mode="json", exclude_defaults=True),
        "shots": [_shot(service, state, index) for index in range(len(film.shots))],
        "file": _job(service, state.file),
        "is_current": state.file is not None and state.file == state.join,
        "error": job_view.error_view(film.problem) if film.problem else _join_error(state),
    }


def _shot(service: JobService, state: FilmState, index: int) -> dict[str, Any]:
    shot = state.film.shots[index]
    job = _job(service, state.job(index))
    return {
        "id": shot.id,
        "prompt": shot.prompt,
        "duration_s": shot.duration_s,
        "image": shot.image,
        "cut": shot.cut,
        "state": state.shot_state(index),
        "line": job["line"] if job else (WAITING if state.will_come(index) else ""),
        "note": state.note(index),
        "error": job_view.error_view(shot.problem) if shot.problem else (job or {}).get("error"),
        "job": job,
    }


def _job(service: JobService, job: Job | None) -> dict[str, Any] | None:
    if job is None:
        return None
    waits, progress = service.queue_estimate(job), Progress.of(service.events(job.id))
    shown = job_view.view(job, progress, position=waits.before, wait_s=waits.seconds)
    keep = ("id", "state", "line", "ring", "width", "height", "duration_s", "error", "preview")
    found = {name: shown[name] for name in keep if name in shown}
    if progress.preview and not job.state.ended:
        found["preview"] = to_json(progress.preview)
    return found


def _join_error(state: FilmState) -> dict[str, Any] | None:
    join = state.join
    return job_view.error_view(join.error) if join and join.error else None


def _line(service: JobService, state: FilmState) -> str:
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
            return f"Shot {done + 1} of {count}" if done else f"Making {count} shots"
        case "failed":
            return "A shot could not be made. The others are kept."
        case "cancelled":
            return "Discarded. The finished shots are kept."
        case "gone":
            return "A clip of this film is gone. Make it again."
