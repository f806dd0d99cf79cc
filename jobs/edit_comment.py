"""The settings in an edited file: what made its first clip, and what was done to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobs.job import Job
from media.metadata import MAX_BYTES, SCHEMA, read_comment, settings_json
from media.operations.edit_request import EditRequest
from pipelines.request import FittedRequest

OF_THE_FILE = ("width", "height", "num_frames", "fps", "format", "quality", "upscale")


def edit_comment(job: Job, edit: EditRequest, first: Path) -> str:
    """`first`: the file of the first clip. What was done to that is kept under `before`."""
    found = read_comment(first) if first.suffix == ".mp4" else None
    made = found if found and found.get("made_by") == "Kinora" else _made(job)
    done: dict[str, Any] = {
        "clips": len(edit.clips),
        "operations": [_as_json(each) for each in edit.operations],
    }
    before = made.get("edit")
    comment = _dump(made | {"edit": done | ({"before": before} if before else {})})
    if len(comment.encode("utf-8", "replace")) > MAX_BYTES // 2:  # of many edits, the last
        return _dump(made | {"edit": done})
    return comment


def settings_of(job: Job) -> FittedRequest | None:
    """What made a clip, or the first clip of an edit; None for an edit of an uploaded one.

    `job.fitted` of an edit has the size and the length of what comes out; those of its first clip
    are in `job.request`."""
    if job.edit is None:
        return job.fitted
    if not job.fitted.model:
        return None
    own = {name: getattr(job.request, name) for name in OF_THE_FILE}
    return job.fitted.model_copy(
        update={name: value for name, value in own.items() if value is not None}
    )


def _made(job: Job) -> dict[str, Any]:
    """Where the file itself does not say it: a WebM, a GIF, a copy without a mark, an upload."""
    settings = settings_of(job)
    if settings is not None:
        return json.loads(settings_json(settings))
    return {"made_by": "Kinora", "schema": SCHEMA, "settings": {}}


def _as_json(operation: Any) -> dict[str, Any]:
    return {"op": operation.op} | operation.model_dump(mode="json", exclude_defaults=True)


def _dump(comment: dict[str, Any]) -> str:
    return json.dumps(comment, ensure_ascii=False, separators=(",", ":"))
