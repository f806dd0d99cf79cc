"""Finds the files that an edit reads: its clips, and files such as a soundtrack."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from jobs.artifacts import FILE_SUFFIXES, Artifacts
from jobs.job import Result, is_job_id
from media import unmarked
from media.operations.edit_request import EditRequest
from media.operations.operation import FileKind
from settings import Settings

CLIP_IS_GONE = "A clip of this edit is not here any more. Leave it out, or make it again."
FILE_IS_GONE = "A file of this edit is not here any more. Add it again."


class EditInputs:
    """Reads from the storage for clips and uploads, or from a worker's folder for one job."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    @classmethod
    def of_worker(cls, uploads: Path, settings: Settings) -> EditInputs:
        """`uploads` is in a folder of the job's own if its inputs were fetched for it."""
        stored = Artifacts(settings.data_dir, settings.artifacts_url)
        return cls(stored if stored.uploads_folder == uploads else Artifacts(uploads.parent))

    def clips(self, edit: EditRequest) -> list[Path]:
        """In the order of the edit. Raises KinoraError(GONE)."""
        return [self.clip(name) for name in edit.clips]

    def clip(self, name: str) -> Path:
        """A copy without the visible mark, where there is one: what is made of it has its own."""
        if is_job_id(name):
            path = find_clip(self._artifacts, name, without_mark=True)
        else:
            path = self._upload(name, "clip")
        if path is None:
            raise KinoraError(ErrorCode.GONE, CLIP_IS_GONE)
        return path

    def files(self, edit: EditRequest) -> dict[str, Path]:
        """By their ids. Raises KinoraError(GONE)."""
        found: dict[str, Path] = {}
        for operation in edit.operations:
            for needed in operation.needed_files():
                path = self._upload(needed.id, needed.kind)
                if path is None:
                    raise KinoraError(ErrorCode.GONE, FILE_IS_GONE)
                found[needed.id] = path
        return found

    def _upload(self, name: str, kind: FileKind) -> Path | None:
        file = f"{name}{FILE_SUFFIXES[kind]}"
        folder = unmarked.input_folder(self._artifacts.uploads_folder, name, FILE_SUFFIXES[kind])
        if (folder / file).is_file():
            return folder / file
        return self._artifacts.fetch_upload(file)


def find_clip(artifacts: Artifacts, job_id: str, *, without_mark: bool = False) -> Path | None:
    """The local path of a finished clip, downloaded if necessary; None if it is not there."""
    try:
        result = Result.model_validate_json(artifacts.manifest(job_id) or b"")
    except ValidationError:
        return None
    copy = artifacts.fetch(job_id, unmarked.CLIP) if without_mark else None
    return copy or artifacts.fetch(job_id, result.clip)
