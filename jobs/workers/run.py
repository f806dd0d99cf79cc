"""run_job: the function that makes a clip, in every kind of worker.

Its only connections to the outside are `emit`, `control` and the files in `folder`. It imports the
engine and the media tools when it is called.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ErrorCode, KinoraError
from jobs.checkpoint import DECODING, LATENTS, is_worth_keeping
from jobs.event_types import Decoding, Encoding, Fallback, Loading, StepDone, WorkerEvent
from jobs.job import Job, Result
from jobs.workers.fallback import model_for
from jobs.workers.frame_checks import check_inputs, check_result
from jobs.workers.promise import made_otherwise, note_differences
from jobs.workers.run_edit import run_edit
from jobs.workers.run_steps import (
    evict_others,
    find_lead,
    load_inputs,
    mark_decoding,
    settings_used,
    sound_of_input,
    write_checkpoint,
    write_manifest,
)
from jobs.workers.timing import LoadingThrottle, PhaseTimer, StepTimer, TimedControl
from pipelines.control import Control

if TYPE_CHECKING:
    from pipelines.engine.denoise import Step
    from pipelines.engine.manager import LoadProgress, PipelineManager
    from pipelines.request import Adjustment
    from settings import Settings

log = logging.getLogger(__name__)

Emit = Callable[[WorkerEvent], None]


def run_job(
    job: Job,
    manager: PipelineManager | None,
    emit: Emit,
    control: Control,
    folder: Path,
    pictures: Path,
    settings: Settings,
) -> Result:
    """Makes the clip; an edit without `manager`. Raises KinoraError; Cancelled if the job was
    discarded."""
    try:
        timeout_s = settings.request_timeout_s * job.fitted.parts
        with _as_kinora_errors(job.id), TimedControl(control, timeout_s) as timed:
            if job.edit:
                result = run_edit(job, job.edit, emit, timed, folder, pictures, settings)
                write_manifest(folder, result)
                return result
            if manager is None:
                raise ValueError("only an edit is made without models")
            return _run(job, manager, emit, timed, folder, pictures, settings)
    except KinoraError as error:
        if not is_worth_keeping(error):
            (folder / LATENTS).unlink(missing_ok=True)
        raise


def _run(
    job: Job,
    manager: PipelineManager,
    emit: Emit,
    control: TimedControl,
    folder: Path,
    pictures: Path,
    settings: Settings,
) -> Result:
    from jobs.workers.marking import adjustments_of, write_files
    from pipelines.engine import latents_file
    from pipelines.engine.decode import check_between_layers, decode
    from pipelines.engine.memory import PeakMemory
    from pipelines.engine.sampling import sample
    from pipelines.planning.plan import precision_adjustment
    from pipelines.request import Adjustment

    timer, throttle = PhaseTimer(), LoadingThrottle()

    # 1. Load the model, or its fallback.
    def on_progress(progress: LoadProgress) -> None:
        control.check()
        if throttle.has_more_bytes(progress):
            control.deadline.renew()
        if throttle.is_due(progress):
            emit(Loading.of(progress))

    loaded, fitted = model_for(job, manager, on_progress, pictures, settings)
    plan = loaded.weights.plan
    if fitted is not job.fitted:
        sentence = fitted.adjustments[0].sentence
        emit(Fallback(sentence, fitted))
        job = job.model_copy(update={"fitted": fitted})
    timer.lap("load")
    control.check()
    peak, is_cold = PeakMemory(loaded.device), loaded.weights.clips == 0
    loaded.weights.clips += 1

    # 2. Read the inputs, cropped to the size of the clip, and check what they show.
    lead = find_lead(fitted, pictures)
    inputs = load_inputs(job, lead, pictures, settings, on_progress)
    check_inputs(inputs, lead, fitted, settings)
    if fitted.windows is not None:
        from jobs.workers.run_windows import LongRun, run_windows

        run = LongRun(job, manager, emit, control, folder, pictures, settings)
        return run_windows(run, loaded, inputs, lead, timer, peak, is_cold=is_cold)

    # 3. Sample, unless a checkpoint has the latents.
    step_timer = StepTimer()

    def on_step(step: Step) -> None:
        eta_s = step_timer.eta_s(step.seconds, step.total - step.index)
        emit(StepDone(step.index, step.total, eta_s))

    changes: list[Adjustment] = []

    def on_change(change: Adjustment) -> None:
        if change not in changes:  # sampling that was restarted reports the same changes
            changes.append(change)

    checkpoint, died = folder / LATENTS, (folder / DECODING).exists()
    sampled = latents_file.load(checkpoint, loaded.device)
    if sampled is None:
        if change := precision_adjustment(plan, loaded.card.name):
            on_change(change)
        sampled = sample(
            loaded,
            fitted,
            inputs,
            control,
            on_step,
            emit if settings.previews else None,
            make_room=lambda: evict_others(manager, loaded),
            on_change=on_change,
        )
        dumped = tuple(change.model_dump() for change in changes)
        write_checkpoint(replace(sampled, changes=dumped), checkpoint)
    else:
        changes += [Adjustment.model_validate(each) for each in sampled.changes or ()]
    timer.seconds.update(sampled.seconds)
    timer.skip()
    control.check()

    # 4. Decode. From here on, a failed job can be retried without sampling.
    emit(Decoding())
    tiles = max(plan.tiles, 2 if died else 0)
    with mark_decoding(folder), check_between_layers(loaded, control.check):
        frames = decode(loaded, sampled, fitted, tiles=tiles, on_change=on_change)
    timer.lap("decode")
    control.check()

    check_result(frames, settings)

    # 5. What came out otherwise than promised is an adjustment too.
    note_differences(fitted, loaded.card, frames, sampled.sound, changes)
    if lead is not None:
        lead = replace(lead, height=frames.shape[1], width=frames.shape[2])
    comment = settings_used(
        job, loaded.card, steps_done=sampled.steps_done, **made_otherwise(fitted, frames)
    )

    # 6. Write the files, the manifest last: if it exists, all files are complete.
    emit(Encoding())
    frames = frames[fitted.overlap :]
    clip = write_files(
        frames,
        folder,
        fitted,
        settings,
        comment=comment,
        sound=sampled.sound or sound_of_input(fitted, pictures),
        lead=lead,
    )
    changes += adjustments_of(settings, clip.width, clip.height)
    timer.lap("encode")
    result = Result(
        clip=clip.path.name,
        poster="poster.jpg",
        last_frame="last.png",
        width=clip.width,
        height=clip.height,
        num_frames=clip.num_frames,
        fps=clip.fps,
        size_bytes=clip.size_bytes,
        finished_early=sampled.finished_early,
        steps_done=sampled.steps_done,
        seconds=timer.total(),
        step_s=step_timer.step_s(),
        cold=is_cold,
        peak_gb=peak.gb(),
        adjustments=tuple(changes),
    )
    write_manifest(folder, result)
    with contextlib.suppress(OSError):
        checkpoint.unlink()
    return result


@contextmanager
def _as_kinora_errors(job_id: str) -> Iterator[None]:
    """Turns every exception into a KinoraError and logs its traceback."""
    try:
        yield
    except KinoraError as error:
        if error.__cause__ is not None:
            log.warning("Job failed: %s (job=%s).", error, job_id, exc_info=error)
        raise
    except Exception as error:
        log.exception("Job failed (job=%s).", job_id)
        raise as_kinora_error(error) from error


def as_kinora_error(error: Exception) -> KinoraError:
    from pipelines.models.failures import is_out_of_memory

    if is_out_of_memory(error):
        return KinoraError(ErrorCode.OUT_OF_MEMORY)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return KinoraError(ErrorCode.OUT_OF_DISK)
    return KinoraError(ErrorCode.INTERNAL)
