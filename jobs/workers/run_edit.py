"""run_edit: the function that makes an edit, in every kind of worker. It loads no model, unless an
operation needs one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.edit_comment import edit_comment
from jobs.edit_inputs import EditInputs
from jobs.event_types import Encoding, Loading, StepDone, WorkerEvent
from jobs.job import Job, Result
from jobs.workers.timing import LoadingThrottle, PhaseTimer, TimedControl

if TYPE_CHECKING:
    from media.operations.edit_request import EditRequest
    from pipelines.models.loading import LoadProgress
    from settings import Settings

Emit = Callable[[WorkerEvent], None]

REPORT_EVERY_S = 0.5


def run_edit(
    job: Job,
    edit: EditRequest,
    emit: Emit,
    control: TimedControl,
    folder: Path,
    pictures: Path,
    settings: Settings,
) -> Result:
    """Writes the files and returns the result; the manifest is the caller's. Raises KinoraError;
    Cancelled if the job was discarded."""
    from jobs.workers.edit_files import write_edit, write_stills
    from jobs.workers.edit_models import edit_models
    from media.operations.frame_models import use_models
    from media.operations.plan_edit import plan_edit
    from media.operations.run_chain import Hooks

    timer, throttle = PhaseTimer(), LoadingThrottle()

    def on_progress(progress: LoadProgress) -> None:
        control.check()
        if throttle.has_more_bytes(progress):
            control.deadline.renew()
        if throttle.is_due(progress):
            emit(Loading.of(progress))

    # 1. Load the models that the operations use.
    with edit_models(edit.operations, settings, on_progress) as learned:
        timer.lap("load")

        # 2. Read the headers of the clips.
        inputs = EditInputs.of_worker(pictures, settings)
        clips = inputs.clips(edit)
        operations = use_models(edit.operations, learned.models)
        chain = plan_edit(
            edit.model_copy(update={"operations": operations}), clips, inputs.files(edit)
        )
        comment = edit_comment(job, edit, clips[0])
        timer.lap("read")
        control.check()

        # 3. Run the operations.
        report = ProgressReporter(emit).report
        hooks = Hooks(report, control.cancelled, learned.models)
        made = write_edit(chain, edit, folder, settings, hooks, comment)
        timer.lap("edit")

    # 4. Check what came out, and write the pictures.
    emit(Encoding())
    write_stills(made, folder, settings)
    timer.lap("encode")
    info = made.clip.info
    return Result(
        clip=made.clip.path.name,
        poster="poster.jpg",
        last_frame="last.png",
        width=info.width,
        height=info.height,
        num_frames=info.num_frames,
        fps=max(1, round(info.fps)),
        rate=None if info.fps.denominator == 1 else str(info.fps),
        size_bytes=made.clip.size_bytes,
        generated=made.clip.is_generated,
        seconds=timer.total(),
        adjustments=(*learned.adjustments, *made.adjustments),
    )


class ProgressReporter:
    """Frames as steps of the job, a few times a second, with the time that is left."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._began = self._reported = time.monotonic()

    def report(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not done or (now - self._reported < REPORT_EVERY_S and done < total):
            return
        self._reported = now
        left_s = (now - self._began) / done * max(0, total - done)
        self._emit(StepDone(done, total, round(left_s, 2)))
