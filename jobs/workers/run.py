"""run_job: the one function that makes a clip, in every kind of worker.

It talks to the outside only through `emit` and `control`, and leaves its files in `folder`.
Knows the engine and the media tools, which it imports when it is called; knows no store.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import ErrorCode, KinoraError
from jobs.checkpoint import DECODING, LATENTS, is_worth_keeping
from jobs.job import Job, Result
from jobs.lifecycle import MANIFEST
from jobs.workers.fallback import model_for
from jobs.workers.timing import Control, Deadline, LoadingThrottle, PhaseTimer, StepTimer

if TYPE_CHECKING:
    from PIL import Image

    from media.prefix import LeadIn
    from pipelines.engine.denoise import Preview, Sampled, Step
    from pipelines.engine.families.base import Inputs
    from pipelines.engine.loaded import Loaded
    from pipelines.engine.manager import LoadProgress, PipelineManager
    from pipelines.models.cards import ModelCard
    from pipelines.request import Adjustment, FittedRequest
    from pipelines.sound import Sound
    from settings import Settings

log = logging.getLogger(__name__)

Emit = Callable[[str, dict[str, Any]], None]


def run_job(
    job: Job,
    manager: PipelineManager,
    emit: Emit,
    control: Control,
    folder: Path,
    pictures: Path,
    settings: Settings,
) -> Result:
    """Makes the clip, or raises a KinoraError (Cancelled if the person discarded it)."""
    try:
        with _as_kinora_errors(job.id), Deadline(control, settings.request_timeout_s) as deadline:
            return _run(job, manager, emit, deadline, folder, pictures, settings)
    except KinoraError as error:
        if not is_worth_keeping(error):
            (folder / LATENTS).unlink(missing_ok=True)
        raise


def _run(
    job: Job,
    manager: PipelineManager,
    emit: Emit,
    control: Deadline,
    folder: Path,
    pictures: Path,
    settings: Settings,
) -> Result:
    from media.encode import encode
    from media.stills import write_last_frame, write_poster
    from pipelines.engine import latents_file
    from pipelines.engine.decode import check_between_layers, decode
    from pipelines.engine.memory import Peak
    from pipelines.engine.placement import plan_here
    from pipelines.engine.sampling import sample
    from pipelines.planning.demand import ClipShape
    from pipelines.request import Adjustment

    clock, told = PhaseTimer(), LoadingThrottle()

    # 1. The model, or the one that stands in for it.
    def on_progress(progress: LoadProgress) -> None:
        control.check()
        if told.has_more_bytes(progress):
            control.renew()
        if told.is_news(progress):
            emit("loading", progress.as_event())

    loaded, fitted = model_for(job, manager, on_progress, pictures, settings)
    if fitted is not job.fitted:
        sentence = fitted.adjustments[0].sentence
        emit("fallback", {"sentence": sentence, "fitted": fitted.model_dump(mode="json")})
        job = job.model_copy(update={"fitted": fitted})
    clock.lap("load")
    control.check()
    peak, is_cold = Peak(loaded.device), loaded.weights.clips == 0
    loaded.weights.clips += 1

    # 2. What was given, cut to the clip's shape.
    lead = _lead(fitted, pictures)
    inputs = _inputs(job, lead, pictures, settings, on_progress)

    # 3. Sampling.
    pace = StepTimer()

    def on_step(step: Step) -> None:
        eta_s = pace.eta_s(step.seconds, step.total - step.index)
        emit("step", {"index": step.index, "total": step.total, "eta_s": eta_s})

    def on_preview(preview: Preview) -> None:
        emit(
            "preview",
            {
                "jpeg": preview.jpeg,
                "step": preview.index,
                "frames": preview.frames,
                "width": preview.width,
                "height": preview.height,
                "fps": preview.fps,
            },
        )

    changes: list[Adjustment] = []

    def on_change(change: Adjustment) -> None:
        if change not in changes:  # sampling that begins again reports the same again
            changes.append(change)

    kept, died = folder / LATENTS, (folder / DECODING).exists()
    sampled = latents_file.load(kept, loaded.device)
    if sampled is None:
        sampled = sample(
            loaded,
            fitted,
            inputs,
            control,
            on_step,
            on_preview if settings.previews else None,
            make_room=lambda: _only(manager, loaded),
            on_change=on_change,
        )
        said = tuple(change.model_dump() for change in changes)
        _keep(replace(sampled, changes=said), kept)
    else:
        changes += [Adjustment.model_validate(each) for each in sampled.changes or ()]
    clock.seconds.update(sampled.seconds)
    clock.skip()
    control.check()

    # 4. Frames. From here on a failure does not cost the sampling.
    emit("decoding", {})
    tiles = max(plan_here(loaded.card, settings, ClipShape.of(fitted)).tiles, 2 if died else 0)
    with _decoding(folder), check_between_layers(loaded, control.check):
        frames = decode(
            loaded, sampled.latents, fitted, sampled.noise, tiles=tiles, on_change=on_change
        )
    clock.lap("decode")
    control.check()

    # 5. Files, the manifest last: where it is, everything is.
    emit("encoding", {})
    frames = frames[fitted.overlap :]
    clip = encode(
        frames,
        folder / f"clip.{fitted.format}",
        fps=fitted.fps,
        format=fitted.format,
        quality=fitted.quality,
        comment=_settings_used(job, loaded.card, sampled.steps_done),
        max_bytes=settings.max_video_file_size_bytes,
        sound=sampled.sound or _sound_of_given(fitted, pictures),
        lead=lead,
    )
    write_poster(frames, folder / "poster.jpg")
    write_last_frame(frames, folder / "last.png")
    clock.lap("encode")
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
        seconds=clock.total(),
        step_s=pace.step_s(),
        cold=is_cold,
        peak_gb=peak.gb(),
        adjustments=tuple(changes),
    )
    _write_manifest(folder, result)
    with contextlib.suppress(OSError):
        kept.unlink()
    return result


def _only(manager: PipelineManager, loaded: Loaded) -> bool:
    """Puts the other models away; False if there were none."""
    others = [model_id for model_id in manager.loaded() if model_id != loaded.card.id]
    for model_id in others:
        manager.evict(model_id)
    return bool(others)


def _keep(sampled: Sampled, file: Path) -> None:
    """An insurance only: where it cannot be had, the clip is made all the same."""
    from media.files import atomic_write
    from pipelines.engine.latents_file import save

    try:
        with atomic_write(file) as part:
            save(sampled, part)
    except Exception:  # of any kind: the clip itself is not in danger
        log.warning(
            "Writing the checkpoint failed; a failed decode cannot be retried.",
            exc_info=True,
        )


@contextmanager
def _decoding(folder: Path) -> Iterator[None]:
    """Leaves a sign while it lasts: if the worker dies of it, the next one goes about it with less
    memory."""
    sign = folder / DECODING
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        sign.touch()
    try:
        yield
    finally:
        sign.unlink(missing_ok=True)


def _lead(fitted: FittedRequest, pictures: Path) -> LeadIn | None:
    """The clip that comes first in the file, cut to this one's pace and shape."""
    from media.prefix import LeadIn

    if fitted.continue_from is None:
        return None
    return LeadIn(
        fitted.continue_from,
        pictures,
        fps=fitted.fps,
        count=fitted.lead_frames,
        width=fitted.width,
        height=fitted.height,
        focus=fitted.focus,
        skip=fitted.overlap,
    )


def _sound_of_given(fitted: FittedRequest, pictures: Path) -> Sound | None:
    """A clip that is worked over keeps its sound, unless the model makes one. `encode` cuts it."""
    from media.soundtrack import load_sound
    from media.videos import SOUND_RATE_HZ, find_video

    if fitted.video is None or not (channels := find_video(fitted.video, pictures).channels):
        return None
    return load_sound(pictures / f"{fitted.video}.mp4", SOUND_RATE_HZ, channels)


def _inputs(
    job: Job,
    lead: LeadIn | None,
    pictures: Path,
    settings: Settings,
    on_progress: Callable[[LoadProgress], None],
) -> Inputs:
    from media.images import crop_to, load_picture
    from media.videos import load_frames
    from pipelines.engine.families.base import Inputs
    from pipelines.engine.manager import LoadProgress
    from pipelines.models.loras import find

    fitted = job.fitted

    def fetching(done: int, total: int) -> None:
        on_progress(LoadProgress("downloading the LoRA", done / total if total else None))

    def picture(image_id: str | None) -> Image.Image | None:
        if image_id is None:
            return None
        picture = load_picture(image_id, pictures)
        return crop_to(picture, fitted.width, fitted.height, fitted.focus)

    video = fitted.video and load_frames(
        fitted.video,
        pictures,
        fps=fitted.fps,
        num_frames=fitted.num_frames,
        width=fitted.width,
        height=fitted.height,
        focus=fitted.focus,
    )
    ending = lead.last_images(fitted.overlap) if lead else ()
    return Inputs(
        image=picture(fitted.image) or (ending[-1] if ending else None),
        last_image=picture(fitted.last_image),
        video=video or (),
        lead=ending if len(ending) > 1 else (),
        loras=tuple(find(lora, settings, fetching) for lora in fitted.loras),
    )


def _settings_used(job: Job, card: ModelCard, steps_done: int) -> str:
    from importlib.metadata import version

    from media.metadata import settings_json

    versions = {name: version(name) for name in ("diffusers", "torch", "transformers")}
    return settings_json(
        job.fitted, revision=card.revision, versions=versions, steps_done=steps_done
    )


def _write_manifest(folder: Path, result: Result) -> None:
    from media.files import atomic_write

    with atomic_write(folder / MANIFEST) as part:
        part.write_text(result.model_dump_json(), encoding="utf-8")


@contextmanager
def _as_kinora_errors(job_id: str) -> Iterator[None]:
    """Whatever goes wrong leaves as one of our codes; the log keeps the rest."""
    try:
        yield
    except KinoraError as error:
        if error.__cause__ is not None:
            log.warning("Job %s: %s", job_id, error, exc_info=error)
        raise
    except Exception as error:
        log.exception("Job %s failed.", job_id)
        raise as_kinora_error(error) from error


def as_kinora_error(error: Exception) -> KinoraError:
    from pipelines.models.failures import is_out_of_memory

    if is_out_of_memory(error):
        return KinoraError(ErrorCode.OUT_OF_MEMORY)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return KinoraError(ErrorCode.OUT_OF_DISK)
    return KinoraError(ErrorCode.INTERNAL)
