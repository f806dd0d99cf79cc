"""A clip that is there already, handed out again under a new id. Knows folders and files only."""

from __future__ import annotations

import shutil

from jobs.artifacts import MANIFEST
from jobs.desk import Desk
from jobs.job import Result
from media.files import link_or_copy


def reused(desk: Desk, earlier: list[str], job_id: str) -> Result | None:
    """The first of the earlier clips that is whole, linked into the new job's folder."""
    for each in earlier:
        result = desk.finished_result(each)
        if result is None or result.finished_early:
            continue
        names = (result.clip, result.poster, result.last_frame, MANIFEST)
        try:
            for name in names:
                source = desk.artifacts.fetch(each, name)
                if source is None:
                    raise FileNotFoundError(name)
                target = desk.folder(job_id) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(source, target)  # two clips may share files that never change
            desk.artifacts.keep(job_id)
        except OSError:  # deleted while we looked, or no room: it is made anew
            shutil.rmtree(desk.folder(job_id), ignore_errors=True)
            continue
        return result.model_copy(update={"reused": True})
    return None
