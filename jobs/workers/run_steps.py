"""The steps of a run that a clip and the windows of a long clip have in common."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.checkpoint import DECODING
from jobs.job import Job, Result
from jobs.lifecycle import MANIFEST

if TYPE_CHECKING:
    from PIL import Image

    from media.prefix import LeadIn
    from pipelines.engine.denoise import Sampled
    from pipelines.engine.families.base import Inputs
    from pipelines.engine.loaded import Loaded
    from pipelines.engine.manager import LoadProgress, PipelineManager
    from pipelines.models.cards import ModelCard
    from pipelines.request import FittedRequest
    from pipelines.sound import Sound
    from settings import Settings

log = logging.getLogger(__name__)


def evict_others(manager: PipelineManager, loaded: Loaded) -> bool:
    """Evicts the other models; False if there were none."""
    others = [model_id for model_id in manager.loaded() if model_id != loaded.card.id]
    for model_id in others:
        manager.evict(model_id)
    return bool(others)


def write_checkpoint(sampled: Sampled, file: Path) -> None:
    """If it fails, the clip is made without a checkpoint."""
    from media.files import atomic_write
    from pipelines.engine.latents_file import save

    try:
        with atomic_write(file) as part:
            save(sampled, part)
    except Exception:  # of any kind: the clip itself can still be made
        log.warning(
            "Writing the checkpoint failed; a failed decode cannot be retried.",
            exc_info=True,
        )


@contextmanager
def mark_decoding(folder: Path) -> Iterator[None]:
    """Marks that decoding runs: if the worker dies of it, the next attempt decodes with less
    memory."""
    marker = folder / DECODING
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


def find_lead(fitted: FittedRequest, pictures: Path) -> LeadIn | None:
    """The clip that this one continues, at its frame rate and size."""
    from media.prefix import LeadIn
    from media.unmarked import input_folder

    if fitted.continue_from is None:
        return None
    return LeadIn(
        fitted.continue_from,
        input_folder(pictures, fitted.continue_from, ".mp4"),
        fps=fitted.fps,
        count=fitted.lead_frames,
        width=fitted.width,
        height=fitted.height,
        focus=fitted.focus,
        skip=fitted.overlap,
    )


def sound_of_input(fitted: FittedRequest, pictures: Path) -> Sound | None:
    """The sound of the input video, for models without sound. `encode` cuts it."""
    from media.soundtrack import load_sound
    from media.videos import SOUND_RATE_HZ, find_video

    if fitted.video is None or not (channels := find_video(fitted.video, pictures).channels):
        return None
    return load_sound(pictures / f"{fitted.video}.mp4", SOUND_RATE_HZ, channels)


def load_inputs(
    job: Job,
    lead: LeadIn | None,
    pictures: Path,
    settings: Settings,
    on_progress: Callable[[LoadProgress], None],
) -> Inputs:
    from media.images import crop_to, load_picture
    from media.unmarked import input_folder
    from media.videos import load_frames
    from pipelines.engine.families.base import Inputs
    from pipelines.engine.manager import LoadProgress
    from pipelines.models.loras import find_or_fetch

    fitted = job.fitted

    def on_bytes(done: int, total: int) -> None:
        on_progress(LoadProgress("downloading the LoRA", done / total if total else None))

    def picture(image_id: str | None) -> Image.Image | None:
        if image_id is None:
            return None
        picture = load_picture(image_id, input_folder(pictures, image_id, ".png"))
        return crop_to(picture, fitted.width, fitted.height, fitted.focus)

    video = fitted.video and load_frames(
        fitted.video,
        input_folder(pictures, fitted.video, ".mp4"),
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
        loras=tuple(find_or_fetch(lora, settings, on_bytes) for lora in fitted.loras),
    )


def settings_used(job: Job, card: ModelCard, **more: object) -> str:
    from importlib.metadata import version

    from media.metadata import settings_json

    versions = {name: version(name) for name in ("diffusers", "torch", "transformers")}
    return settings_json(job.fitted, revision=card.revision, versions=versions, **more)


def write_manifest(folder: Path, result: Result) -> None:
    from media.files import atomic_write

    with atomic_write(folder / MANIFEST) as part:
        part.write_text(result.model_dump_json(), encoding="utf-8")
