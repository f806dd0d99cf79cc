"""A job as the page shows it: JSON with the sentences that people read."""

from __future__ import annotations

from typing import Any

from errors import ErrorCode, KinoraError, split_sentence
from jobs.edit_comment import settings_of
from jobs.event_types import to_json
from jobs.job import Job, State
from jobs.progress import Progress
from pipelines.request import Adjustment
from web.setting_labels import REPORTED, is_set, labelled_settings

LATENTS_KEPT = "latents_kept"
"""In an error's details: only decoding failed, and it can be retried."""

REMEDIES = {
    ErrorCode.MODEL_NOT_FOUND: "Check the connection, or choose another model.",
    ErrorCode.MODEL_LOAD: "Try again, or choose another model.",
    ErrorCode.ENCODE: "Try again, or choose another format.",
    ErrorCode.GONE: "Its settings are still here: make it again.",
}
"""What to do, where the error's message does not say it."""


def view(
    job: Job, progress: Progress, *, position: int | None = None, wait_s: float | None = None
) -> dict[str, Any]:
    """The JSON object from which the page shows a job."""
    fitted, result, preview = job.fitted, job.result, progress.preview
    shown = result or fitted
    width, height = (result.width, result.height) if result else fitted.made_size
    body: dict[str, Any] = {
        "id": job.id,
        "task": fitted.task.value,
        "state": job.state.value,
        "created_at": job.created_at,
        "prompt": fitted.prompt,
        "width": width,
        "height": height,
        "duration_s": round(shown.duration_s, 3),
        "format": job.edit.format if job.edit else fitted.format,
        "phase": progress.phase,
        "line": line(job, progress, position, wait_s),
        "ring": round(progress.ring, 4),
        "preview": to_json(preview) if preview and not job.state.ended else None,
        "adjustments": [a.sentence for a in changes(job)],
        "surprises": surprises(job),
        "used": used(job),
        "batch": job.batch,
        "is_draft": job.full_request is not None,
    }
    if job.edit:
        body["is_edit"] = True
    if job.state is State.RUNNING and progress.parts:
        body["parts"] = progress.parts
    if fitted.prompt_origin is not None:
        body["prompt_origin"] = fitted.prompt_origin.model_dump(exclude_none=True)
    if result is not None:
        made = settings_of(job)
        body["settings"] = labelled_settings(made) if made else []
        body["finished_early"] = result.finished_early
        body["size_bytes"] = result.size_bytes
    if job.error is not None and job.state is State.FAILED:
        body["error"] = error_view(job.error)
    if result is not None and result.gone:  # a state of the page only: the clip cannot be played
        body |= {"state": "gone", "phase": "gone"}
        body["error"] = error_view(KinoraError(ErrorCode.GONE, result.gone.sentence).as_dict())
    return body


def changes(job: Job) -> tuple[Adjustment, ...]:
    """All adjustments: those that fit the model, then those that fit the memory."""
    return job.fitted.adjustments + (job.result.adjustments if job.result else ())


def surprises(job: Job) -> list[str]:
    """Adjustments that were not known at the start: a fallback model, or too little memory."""
    instead = [a.sentence for a in job.fitted.adjustments if a.field == "model"]
    return instead + [a.sentence for a in (job.result.adjustments if job.result else ())]


def error_view(error: dict[str, Any]) -> dict[str, Any]:
    """What happened, what to do, and the action of the button that does it."""
    code = str(error.get("error", ErrorCode.INTERNAL.value))
    known = ErrorCode(code) if code in {c.value for c in ErrorCode} else ErrorCode.INTERNAL
    details = error.get("details") or {}
    happened, advice = split_sentence(str(error.get("message") or KinoraError(known).message))
    return {
        "code": code,
        "message": happened if happened.endswith((".", "?", "!")) else f"{happened}.",
        "remedy": advice or REMEDIES.get(known, ""),
        "action": error.get("action"),
        "develop": bool(details.get(LATENTS_KEPT)),
        "parts_kept": (details.get("part") or 1) - 1 if details.get(LATENTS_KEPT) else 0,
    }


def line(job: Job, progress: Progress, position: int | None, wait_s: float | None) -> str:
    """One sentence: what is happening now."""
    if job.state is State.QUEUED and (position or progress.phase != "loading"):
        return waiting_line(position, wait_s)
    if job.state is State.SUCCEEDED:
        return done_line(job)
    if job.state is State.FAILED:
        return "This clip could not be made"
    if job.state is State.CANCELLED:
        return "Discarded"
    if progress.phase == "waiting_for_gpu":
        if progress.gpu_reason == "concurrency":
            return "Waiting for a GPU: all that this Space may use are in use"
        return "Waiting for a GPU"
    if progress.phase in ("loading", "queued"):
        if job.edit and not progress.bytes_total:
            return "Reading the clips"
        if progress.bytes_total:
            done, total = (progress.bytes_done or 0) / 1e9, progress.bytes_total / 1e9
            return f"Downloading the model, {done:.1f} of {total:.1f} GB"
        if progress.fraction:
            return f"Loading the model, {round(100 * progress.fraction)} %"
        return "Loading the model"
    if progress.phase == "denoise" and job.edit:
        share = round(100 * progress.step / max(1, progress.total))
        if progress.eta_s:
            return f"Editing, {share} %, {seconds(progress.eta_s)} left"
        return f"Editing, {share} %"
    if progress.phase == "denoise" and progress.parts:
        part = f"Part {progress.part} of {progress.parts}, step {progress.step} of {progress.total}"
        return f"{part}, {seconds(progress.eta_s)} left" if progress.eta_s else part
    if progress.phase == "denoise":
        if progress.eta_s:
            return f"Step {progress.step} of {progress.total}, {seconds(progress.eta_s)} left"
        return f"Step {progress.step} of {progress.total}"
    if progress.phase == "decoding":
        return "Decoding frames"
    return "Writing the file"


def waiting_line(position: int | None, wait_s: float | None) -> str:
    """Whole sentences, which can be translated."""
    about = seconds(wait_s) if wait_s and wait_s >= 1 else ""
    if position and about:
        return f"Waiting, {position} before you, about {about}"
    if position:
        return f"Waiting, {position} before you"
    return f"Waiting, about {about}" if about else "Waiting for its turn"


def done_line(job: Job) -> str:
    if job.result is None:
        return "Ready"
    if job.result.gone:
        return "This clip is gone"
    total, length_s = job.result.seconds.get("total"), job.result.duration_s
    made = f"{length_s:.1f} s, made in {seconds(total)}" if total else f"{length_s:.1f} s"
    return f"Finished early. {made}" if job.result.finished_early else made


def seconds(value: float) -> str:
    """A rounded duration: 0.4 -> "1 s", 75 -> "1 min 15 s", 5000 -> "1 h 23 min"."""
    whole = max(1, round(value))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def used(job: Job) -> dict[str, Any]:
    """The settings that made the clip, by the request's names: they can be sent again. Of an edit,
    those of its first clip."""
    made = settings_of(job)
    if made is None:
        return {}
    fitted = made.model_dump(mode="json")
    settings = {field.name: fitted[field.name] for field in REPORTED if is_set(field, made)}
    if made.image or made.video:
        settings["focus"] = fitted["focus"]
    return settings
