"""A clip that is there already, handed out again under a new id. Knows folders and files only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from jobs.artifacts import MANIFEST
from jobs.desk import Desk
from jobs.job import Result


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
                _link(source, desk.folder(job_id) / name)
            desk.artifacts.keep(job_id)
        except OSError:  # deleted while we looked, or no room: it is made anew
            shutil.rmtree(desk.folder(job_id), ignore_errors=True)
            continue
        return result.model_copy(update={"reused": True})
    return None


def _link(source: Path, target: Path) -> None:
    """The files never change, so two clips may share them; deleting one leaves the other."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except (OSError, NotImplementedError):
        shutil.copyfile(source, target)
