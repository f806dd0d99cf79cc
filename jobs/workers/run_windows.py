"""Makes a long clip in windows, each from the end of the one before it, as one job.

A finished window is stored without loss, so that a worker that dies loses the present one only,
and the memory does not grow with the length of the clip.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ErrorCode, KinoraError
from jobs.checkpoint import DECODING, FINISH, LATENTS, is_worth_keeping, redone_windows
from jobs.event_types import Decoding, Encoding, StepDone
from jobs.job import Job, Result
from jobs.workers.frame_checks import check_result
from jobs.workers.promise import made_otherwise, note_differences
from jobs.workers.run_steps import (
    evict_others,
    mark_decoding,
    settings_used,
    write_checkpoint,
    write_manifest,
)
from jobs.workers.timing import PhaseTimer, StepTimer, TimedControl
from jobs.workers.window_files import (
    JoinedFrames,
    StoredWindow,
    WindowRecord,
    fingerprint,
    join_sounds,
    load_windows,
    remove_windows,
    store_window,
)
from pipelines.request import MAX_SEED, Adjustment, FittedRequest, Focus, Task
from pipelines.windows import ClipWindow

if TYPE_CHECKING:
    import numpy as np

    from jobs.workers.run import Emit
    from media.colour_match import ColourStats
    from media.prefix import LeadIn
    from pipelines.engine.denoise import Sampled, Step
    from pipelines.engine.families.base import Inputs
    from pipelines.engine.loaded import Loaded
    from pipelines.engine.manager import PipelineManager
    from pipelines.engine.memory import PeakMemory
    from settings import Settings


REDO_SEEDS = 1000
"""The seeds of windows are one apart: so far are those of a window that is made again."""


@dataclass
class LongRun:
    """What one run has to work with, and what it collects."""

    job: Job
    manager: PipelineManager
    emit: Emit
    control: TimedControl
    folder: Path
    pictures: Path
    settings: Settings
    steps: StepTimer = field(default_factory=StepTimer)
    steps_before: int = 0
    """Of the windows that are finished."""

    @property
    def fitted(self) -> FittedRequest:
        return self.job.fitted


class _WindowControl:
    """The control of one window: "finish now" ends the clip after it, not within it."""

    def __init__(self, control: TimedControl) -> None:
        self._control = control

    def cancelled(self) -> bool:
        return self._control.cancelled()

    def finish_now(self) -> bool:
        return False


def run_windows(
    run: LongRun,
    loaded: Loaded,
    inputs: Inputs,
    lead: LeadIn | None,
    timer: PhaseTimer,
    peak: PeakMemory,
    *,
    is_cold: bool,
) -> Result:
    """Makes what is missing of the clip and writes it. `inputs` are those of the first window.
    Raises KinoraError; the finished windows stay then."""
    fitted = run.fitted
    windows = fitted.divide()

    # 1. The windows that an earlier attempt finished, then the others
    of = fingerprint(fitted)
    stored = load_windows(run.folder, of)[: len(windows)]
    run.steps_before = sum(each.record.steps_done for each in stored)
    for window in windows[len(stored) :]:
        if stored and (run.control.finish_now() or (run.folder / FINISH).exists()):
            break
        run.control.check()
        with _named(window, len(windows)):
            made = _make_window(run, loaded, inputs, window, stored, of)
        stored.append(made)
        run.steps_before += made.record.steps_done
        with contextlib.suppress(OSError):  # it belongs to this window
            (run.folder / LATENTS).unlink(missing_ok=True)
    timer.skip()

    # 2. What came out otherwise than promised
    finished_early = len(stored) < len(windows)
    frames, sound = JoinedFrames(stored), join_sounds(stored, fitted.fps)
    changes: list[Adjustment] = []
    for each in stored:
        changes += [change for change in each.record.changes if change not in changes]
    promised = fitted
    if finished_early:
        promised = fitted.model_copy(update={"num_frames": frames.count})
        changes.append(_early(fitted, len(stored), frames.count))
    shape = _shape_only(frames)
    note_differences(promised, loaded.card, shape, sound, changes)

    # 3. Write the files, the manifest last
    run.emit(Encoding())
    comment = settings_used(
        run.job,
        loaded.card,
        steps_done=run.steps_before,
        **made_otherwise(fitted, shape),
    )
    from jobs.workers.marking import adjustments_of, write_long_files

    if lead is not None:
        lead = replace(lead, height=frames.height, width=frames.width)
    clip = write_long_files(
        JoinedFrames(stored, skip=fitted.overlap),
        run.folder,
        fitted,
        run.settings,
        comment=comment,
        sound=sound,
        lead=lead,
    )
    changes += adjustments_of(run.settings, clip.width, clip.height)
    timer.lap("encode")
    for each in stored:
        for phase, seconds in each.record.seconds.items():
            timer.seconds[phase] = timer.seconds.get(phase, 0.0) + seconds
    result = Result(
        clip=clip.path.name,
        poster="poster.jpg",
        last_frame="last.png",
        width=clip.width,
        height=clip.height,
        num_frames=clip.num_frames,
        fps=clip.fps,
        size_bytes=clip.size_bytes,
        finished_early=finished_early,
        steps_done=run.steps_before,
        seconds=timer.total(),
        step_s=run.steps.step_s(),
        cold=is_cold,
        peak_gb=peak.gb(),
        adjustments=tuple(changes),
        parts=len(stored),
    )
    write_manifest(run.folder, result)
    remove_windows(run.folder, len(windows))
    return result


def _make_window(
    run: LongRun,
    loaded: Loaded,
    inputs: Inputs,
    window: ClipWindow,
    stored: list[StoredWindow],
    of: str,
) -> StoredWindow:
    from pipelines.engine.decode import check_between_layers, decode
    from pipelines.engine.sampling import sample
    from pipelines.planning import ClipShape
    from pipelines.planning.plan import precision_adjustment

    # 1. What this window is: a clip of its own that starts from the end of the one before it
    redone = redone_windows(run.folder)
    fitted = _fitted(run.fitted, window, len(redone))
    before: list[np.ndarray] = []
    if stored:
        before = list(deque(stored[-1].frames.frames(), maxlen=window.overlap))
        inputs = _continued(inputs, before, fitted, window)
        # by its task: the weights are shared
        loaded = run.manager.get(fitted.model, fitted.task, shape=ClipShape.of(run.fitted))
    elif not window.is_last:
        inputs = replace(inputs, last_image=None)
    changes: list[Adjustment] = []
    if window.number in redone:
        changes.append(_redone(window, run.fitted, fitted.seed))

    def on_change(change: Adjustment) -> None:
        if change not in changes:
            changes.append(change)

    def on_step(step: Step) -> None:
        parts = run.fitted.parts
        total = run.steps_before + step.total * (parts - window.index)
        eta_s = run.steps.eta_s(step.seconds, total - run.steps_before - step.index)
        run.emit(
            StepDone(run.steps_before + step.index, total, eta_s, part=window.number, parts=parts)
        )

    # 2. Sample, unless a checkpoint has the latents of this window
    sampled = _load_sampled(run.folder, window, loaded)
    died = (run.folder / DECODING).exists()
    if sampled is None:
        if change := precision_adjustment(loaded.weights.plan, loaded.card.name):
            on_change(change)
        sampled = sample(
            loaded,
            fitted,
            inputs,
            _WindowControl(run.control),
            on_step,
            run.emit if run.settings.previews else None,
            make_room=lambda: evict_others(run.manager, loaded),
            on_change=on_change,
        )
        dumped = tuple(change.model_dump() for change in changes)
        sampled = replace(sampled, changes=dumped, window=window.index)
        write_checkpoint(sampled, run.folder / LATENTS)
    else:
        changes += [Adjustment.model_validate(each) for each in sampled.changes or ()]
    run.control.check()

    # 3. Decode, check and store, in the colours of the first window
    if window.is_last:
        run.emit(Decoding())
    began = time.perf_counter()
    tiles = max(loaded.weights.plan.tiles, 2 if died else 0)
    with mark_decoding(run.folder), check_between_layers(loaded, run.control.check):
        frames = decode(loaded, sampled, fitted, tiles=tiles, on_change=on_change)
    frames = frames[: window.kept]
    if len(frames) <= window.overlap:
        raise KinoraError(ErrorCode.DECODE, "The model made too few frames to continue the clip.")
    check_result(frames, run.settings)
    anchor, matched = _match(frames, before, stored)
    run.control.check()
    sound = sampled.sound
    record = WindowRecord(
        of=of,
        count=len(frames),
        overlap=window.overlap,
        height=frames.shape[1],
        width=frames.shape[2],
        sound_hz=sound.rate_hz if sound else None,
        anchor=anchor,
        steps_done=sampled.steps_done,
        seconds=sampled.seconds | {"decode": time.perf_counter() - began},
        changes=tuple(changes),
    )
    if sound is not None:
        sound = sound.lasting(len(frames) / fitted.fps)
    return store_window(run.folder, window.number, matched, sound, record)


def _fitted(fitted: FittedRequest, window: ClipWindow, redone: int) -> FittedRequest:
    """The request of one window. Each has its own seed, or the same motion would come again.
    `redone`: how often a window was made again."""
    seed = fitted.seed + window.index + redone * REDO_SEEDS
    changes: dict[str, object] = {
        "windows": None,
        "num_frames": window.frames,
        "seed": seed % (MAX_SEED + 1),
    }
    if window.index:
        changes |= {"task": Task.IMAGE_TO_VIDEO, "image": None, "continue_from": None}
        changes |= {"lead_frames": 0, "overlap": 0}
    if not window.is_last:
        changes["last_image"] = None
    return fitted.model_copy(update=changes)


def _continued(
    inputs: Inputs, before: list[np.ndarray], fitted: FittedRequest, window: ClipWindow
) -> Inputs:
    """The inputs of a window after the first: the frames that it repeats."""
    from PIL import Image

    from media.images import crop_to

    size = fitted.width, fitted.height
    images = [crop_to(Image.fromarray(each), *size, Focus()) for each in before]
    if fitted.last_image:
        # models take a last picture with a first one, not with several frames
        return replace(inputs, image=images[0], lead=())
    return replace(
        inputs,
        image=images[-1],
        last_image=None,
        lead=tuple(images) if len(images) > 1 else (),
    )


def _match(
    frames: np.ndarray, before: list[np.ndarray], stored: list[StoredWindow]
) -> tuple[ColourStats, Iterator[np.ndarray]]:
    """What the next window is matched to, and the frames matched to what this one is. After a hard
    cut the colours are meant to be others: the next window is matched to what follows the cut."""
    import numpy as np

    from media.colour_match import ColourStats, WindowMatch, find_cut

    first_new = len(before)
    cut = find_cut(frames[max(0, first_new - 1) :])
    if cut is not None:
        return ColourStats.of_frames(frames[max(0, first_new - 1) + cut :]), iter(frames)
    if not stored:
        return ColourStats.of_frames(frames), iter(frames)
    anchor = stored[-1].record.anchor
    return anchor, WindowMatch.plan(frames, np.stack(before), anchor).apply(frames)


def _early(fitted: FittedRequest, parts: int, frames: int) -> Adjustment:
    seconds, wanted = frames / fitted.fps, fitted.num_frames / fitted.fps
    return Adjustment(
        field="num_frames",
        asked=fitted.num_frames,
        used=frames,
        sentence=f"The clip was finished after part {parts} of {fitted.parts}: it lasts "
        f"{seconds:.1f} s instead of {wanted:.1f} s.",
    )


def _redone(window: ClipWindow, fitted: FittedRequest, seed: int) -> Adjustment:
    sentence = f"Part {window.number} was discarded and made again with another seed."
    return Adjustment(field="seed", asked=fitted.seed, used=seed, sentence=sentence)


def _shape_only(frames: JoinedFrames) -> np.ndarray:
    """Stands for all frames where only their shape is of interest; takes one byte."""
    import numpy as np

    return np.broadcast_to(np.uint8(0), (frames.count, frames.height, frames.width, 3))


@contextlib.contextmanager
def _named(window: ClipWindow, count: int) -> Iterator[None]:
    """An error says in which part it happened, and that those before it are kept."""
    try:
        yield
    except KinoraError as error:
        error.details |= {"part": window.number, "parts": count}
        if window.index and is_worth_keeping(error):
            which = f"This was part {window.number} of {count}; what came before it is kept."
            error.message = f"{error.message} {which}"
        raise


def _load_sampled(folder: Path, window: ClipWindow, loaded: Loaded) -> Sampled | None:
    from pipelines.engine import latents_file

    sampled = latents_file.load(folder / LATENTS, loaded.device)
    return sampled if sampled is not None and sampled.window == window.index else None
