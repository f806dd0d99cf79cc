"""Accepts edits: checks that the clips are there and what would come out of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from errors import ErrorCode, KinoraError
from jobs.admission_sql import AlsoStore, DuplicateRequest
from jobs.edit_inputs import EditInputs
from jobs.job import IdempotencyKey, Job, State, is_job_id, new_id
from jobs.lifecycle import JobLifecycle
from jobs.policy.content_policy import ContentPolicy
from jobs.uploads import Uploads
from media.operations.chain import Chain
from media.operations.edit_request import EditRequest
from media.operations.operation import StreamInfo
from media.operations.outputs import fit_output
from media.operations.plan_edit import plan_edit
from media.operations.preview_chain import estimate_chain
from media.operations.subtitle_tracks import check_subtitle_track
from pipelines.request import (
    Adjustment,
    FittedRequest,
    Focus,
    Format,
    GenerationRequest,
    Task,
)
from settings import Settings

MayUse = Callable[[Job], bool]
"""Whether a caller may use the clip of a job."""


@dataclass(frozen=True)
class PlannedEdit:
    """An edit that can be made, and what is known of it before."""

    edit: EditRequest
    chain: Chain
    info: StreamInfo
    """What is in the file."""
    notes: tuple[str, ...]
    """What is fitted, as sentences."""
    megabytes: float
    """About so large will the file be."""
    request: GenerationRequest
    """What made the first clip."""
    fitted: FittedRequest
    """The same, with the size, the length and the rate of what comes out."""
    parent: str | None
    """The job of the first clip."""


class EditAdmission:
    def __init__(
        self,
        lifecycle: JobLifecycle,
        uploads: Uploads,
        settings: Settings,
        policy: ContentPolicy,
        idle: Callable[[], Collection[str]],
    ) -> None:
        """`idle` returns the ids of queued jobs that count for no limit."""
        self._lifecycle, self._uploads = lifecycle, uploads
        self._settings, self._policy, self._idle = settings, policy, idle
        self._inputs = EditInputs(lifecycle.artifacts)

    def plan(self, edit: EditRequest, owner: str, may_use: MayUse) -> PlannedEdit:
        """Reads the headers of the clips. Raises KinoraError for a clip or a file that is not the
        caller's or not there, and for an edit that cannot be made."""
        jobs = {name: self._source(name, owner, may_use) for name in dict.fromkeys(edit.clips)}
        for operation in edit.operations:
            for needed in operation.needed_files():
                self._uploads.path(needed.id, owner)
        files = self._inputs.files(edit)
        for text in texts_of(edit, files):
            self._policy.check_prompt(text, owner)
        chain = plan_edit(edit, self._inputs.clips(edit), files)
        output = edit.output_file()
        check_subtitle_track(chain, output.kind)
        info, notes = fit_output(chain.info, output)
        first = jobs[edit.clips[0]]
        request, fitted = _made_by(first) if first else _uploaded(edit.clips[0])
        notes = (*chain.notes, *notes)
        return PlannedEdit(
            edit=edit,
            chain=chain,
            info=info,
            notes=notes,
            megabytes=estimate_chain(chain, output).megabytes,
            request=request,
            fitted=_as_edited(fitted, edit, info, notes),
            parent=first.id if first else None,
        )

    def accept(
        self,
        edit: EditRequest,
        owner: str,
        may_use: MayUse,
        idempotency_key: IdempotencyKey | None = None,
        also: AlsoStore | None = None,
    ) -> Job:
        """The job is durable when this returns; `also` stores more with it. Raises as `plan`, and
        KinoraError when a limit is reached."""
        planned = self.plan(edit, owner, may_use)
        job = Job(
            id=new_id(),
            owner=owner,
            state=State.QUEUED,
            request=planned.request,
            fitted=planned.fitted,
            created_at=time.time(),
            parent=planned.parent,
            edit=edit,
        )
        store = self._lifecycle.store
        try:
            store.add_all(
                [job],
                max_queue=self._settings.max_queue,
                max_per_owner=self._settings.max_jobs_per_visitor,
                idempotency_key=idempotency_key,
                idle=self._idle(),
                also=also,
            )
        except DuplicateRequest as duplicate:
            earlier = store.get(duplicate.job_id)
            if earlier is None:  # deleted in between, and its key with it
                raise _not_here() from None
            return earlier
        return job

    def _source(self, name: str, owner: str, may_use: MayUse) -> Job | None:
        """The job of a clip; None for an uploaded one. Raises KinoraError."""
        if not is_job_id(name):
            self._uploads.path(name, owner)
            return None
        job = self._lifecycle.store.get(name)
        if job is None or not may_use(job):
            raise _not_here()
        if job.result is None:
            sentence = f"That clip has no file to edit: it is {job.state.value}."
            raise KinoraError(ErrorCode.CONFLICT, sentence)
        if job.result.gone:
            raise KinoraError(ErrorCode.GONE, job.result.gone.sentence)
        return job


def texts_of(edit: EditRequest, files: Mapping[str, Path]) -> Iterator[str]:
    """What operations write on the frames, as the content policy reads it."""
    for operation in edit.operations:
        if text := getattr(operation, "text", None):
            yield str(text)
        for needed in operation.needed_files():
            if needed.kind == "subtitles":
                yield files[needed.id].read_text(encoding="utf-8", errors="replace")


def _made_by(job: Job) -> tuple[GenerationRequest, FittedRequest]:
    if job.edit:
        return job.request, job.fitted
    try:
        return job.fitted.as_request(), job.fitted
    except ValidationError:  # of an earlier version, with wider bounds
        return job.request, job.fitted


def _uploaded(name: str) -> tuple[GenerationRequest, FittedRequest]:
    """Nothing is known of how it was made."""
    fitted = FittedRequest(
        task=Task.VIDEO_TO_VIDEO,
        model="",
        prompt="",
        negative_prompt="",
        image=None,
        focus=Focus(),
        video=name,
        seed=0,
        num_inference_steps=1,
        guidance_scale=0,
        width=16,
        height=16,
        num_frames=1,
        fps=1,
        format="mp4",
        quality="medium",
    )
    return GenerationRequest(video=name), fitted


def _as_edited(
    fitted: FittedRequest, edit: EditRequest, info: StreamInfo, notes: Sequence[str]
) -> FittedRequest:
    made = {
        "width": info.width,
        "height": info.height,
        "num_frames": info.num_frames,
        "fps": max(1, round(info.fps)),
        "quality": edit.quality,
        "adjustments": tuple(
            Adjustment(field="edit", asked=None, used="", sentence=note) for note in notes
        ),
    }
    if edit.format in get_args(Format):
        made["format"] = edit.format
    as_one_file = {"lead_frames": 0, "overlap": 0, "upscale": False}
    return fitted.model_copy(update=made | as_one_file)


def _not_here() -> KinoraError:
    return KinoraError(ErrorCode.NOT_FOUND, "There is no such clip here.")
