"""JobEdits: makes new clips of finished and uploaded ones.

The part of `JobService` that accepts edits: the second kind of job, which needs no model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.edit_admission import EditAdmission, MayUse, PlannedEdit
from jobs.edit_preview import EditPreviews
from jobs.estimate import Estimate, Estimator
from jobs.job import IdempotencyKey, Job
from jobs.job_controls import JobControls
from jobs.uploads import StoredFile, Uploads
from media.operations.edit_request import EditRequest
from media.operations.operation import FileKind

if TYPE_CHECKING:
    from media.videos import StoredVideo


class JobEdits(JobControls):
    """Thread-safe. The attributes are set by `JobService`.

    `may_use` says of a job whether its clip may be used by this caller; without it, those of the
    owner may."""

    _edits: EditAdmission
    _edit_previews: EditPreviews
    _estimator: Estimator
    _uploads: Uploads

    def submit_edit(
        self,
        edit: EditRequest,
        owner: str,
        *,
        may_use: MayUse | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> Job:
        """Accepts an edit; the job is durable when this returns. It counts as a clip for all
        limits. Raises KinoraError for a clip that is not there, for an edit that cannot be made,
        and when a limit is reached.

        If the idempotency key was used before, returns the job created then."""
        self._refuse_new(owner)
        job = self._edits.accept(edit, owner, may_use or _own(owner), idempotency_key)
        self._executor.notify()
        return job

    def plan_edit(
        self, edit: EditRequest, owner: str, *, may_use: MayUse | None = None
    ) -> tuple[PlannedEdit, Estimate]:
        """What would come out, and how long it would take. Raises as `submit_edit`."""
        planned = self._edits.plan(edit, owner, may_use or _own(owner))
        return planned, self._estimator.estimate(planned.fitted, edit)

    def preview_edit(
        self,
        edit: EditRequest,
        owner: str,
        *,
        may_use: MayUse | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> bytes:
        """The first seconds of what would come out, small, as an MP4. Raises as `submit_edit`,
        KinoraError(UNAVAILABLE) while too many previews are made, and Cancelled."""
        planned = self._edits.plan(edit, owner, may_use or _own(owner))
        return self._edit_previews.make(planned, is_cancelled)

    def store_clip_to_edit(self, source: Path, owner: str) -> StoredVideo:
        """Stores an uploaded clip, as `store_video`, but larger and longer ones too: an edit keeps
        their size."""
        return self._uploads.store_clip_to_edit(source, owner)

    def store_edit_file(self, source: Path, owner: str, kind: FileKind | None = None) -> StoredFile:
        """Stores a file that an operation reads, such as a soundtrack. Without `kind`, that is seen
        from the file. Unused ones are removed after a day. Raises KinoraError if it cannot be
        read."""
        return self._uploads.store_file(source, owner, kind)


def _own(owner: str) -> MayUse:
    return lambda job: job.owner == owner
