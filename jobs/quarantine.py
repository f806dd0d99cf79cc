"""Keeps the files of removed clips out of reach of every public address, until they are restored or
their time is over."""

from __future__ import annotations

import shutil
from pathlib import Path

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.job import Job, Result
from media import files

FOLDER = "removed"


class Quarantine:
    """With an object store, the files are on the disk of the server that removed the clip."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._root = artifacts.root / FOLDER

    def folder(self, job_id: str) -> Path:
        return self._root / job_id

    def copy(self, job: Job) -> bool:
        """Adds the clip's files to the quarantine and leaves them where they are, so that nothing
        is lost if the process ends in between. On a disk they are hard links. False if the clip has
        no files any more."""
        result = job.result
        if result is None or self._artifacts.fetch(job.id, result.clip) is None:
            return False
        for name in _names(result)[1:]:
            self._artifacts.fetch(job.id, name)
        made = [p for p in files.list_or_empty(self._artifacts.folder(job.id)) if p.is_file()]
        files.publish(made, self.folder(job.id))
        return True

    def put_back(self, job: Job) -> None:
        """Copies the files to where the clip's addresses find them. Raises KinoraError(GONE) where
        they are not here."""
        if self.path(job, "clip") is None:
            sentence = "The files of this clip were deleted, so it cannot be restored."
            raise KinoraError(ErrorCode.GONE, sentence)
        self._artifacts.publish(job.id, self.folder(job.id))

    def path(self, job: Job, field: str) -> Path | None:
        """The clip or its poster; None if it is not here."""
        if job.result is None:
            return None
        path = self.folder(job.id) / getattr(job.result, field)
        return path if path.is_file() else None

    def remove(self, job_id: str) -> None:
        shutil.rmtree(self.folder(job_id), ignore_errors=True)


def _names(result: Result) -> list[str]:
    sidecar = result.provenance and result.provenance.sidecar
    return [result.clip, result.poster, result.last_frame, *([sidecar] if sidecar else [])]
