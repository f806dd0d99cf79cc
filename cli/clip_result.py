"""What a command prints of the clip that it made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import Output
from cli.terminal import only_results_on_stdout, say, stoppable
from pipelines.request import REQUEST_FIELDS

if TYPE_CHECKING:
    from jobs.job import Job


def print_made_clip(
    make: Callable[[], tuple[Job, Path]], output: Output | None, *, as_json: bool
) -> None:
    """Makes a clip, copies it to `output`, and prints its path, or all about it as one JSON object.
    Adjustments go to standard error."""
    with stoppable():
        with only_results_on_stdout():
            job, clip = make()
        path = output.write(clip) if output else str(clip)
    found = about(job, path)
    if as_json:
        print(json.dumps(found))
        return
    for sentence in found["adjustments"]:
        say(sentence)
    if job.edit is None:
        say(f"Seed {job.fitted.seed}, {found['seconds']['total']:.1f} s.")
    if not (output and output.is_stdout):
        print(path)


def about(job: Job, path: Path | str) -> dict[str, Any]:
    result, fitted = job.result, job.fitted
    if result is None:
        raise ValueError("a clip without a result")
    settings = {
        field.short or name: getattr(fitted, name)
        for name, field in REQUEST_FIELDS.items()
        if field.is_reported and not field.is_file and name in type(fitted).model_fields
    }
    return {
        "path": str(path),
        "id": job.id,
        "task": fitted.task.value,
        **settings,
        "prompt_origin": fitted.prompt_origin and fitted.prompt_origin.model_dump(),
        "loras": [lora.model_dump() for lora in fitted.loras],
        "steps": result.steps_done,
        "width": result.width,
        "height": result.height,
        "frames": result.num_frames,
        "fps": result.fps,
        "duration_s": result.duration_s,
        "size_bytes": result.size_bytes,
        "seconds": result.seconds,
        "adjustments": [a.sentence for a in (*fitted.adjustments, *result.adjustments)],
    }
