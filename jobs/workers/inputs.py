"""Brings the inputs of a job to a remote worker: images, clips, LoRAs.

The server shares them as artifacts named by their hash; the worker fetches them into a folder for
one job. Without ARTIFACTS_URL both use the same folders and nothing is copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.job import Job
from media.files import link_or_copy
from pipelines.models import loras
from settings import Settings

PICTURES, LORAS = "pictures", "loras"
SharedLoras = Mapping[str, str]
"""LoRAs by their source: the name of the shared file."""


def share_inputs(artifacts: Artifacts, job: Job, settings: Settings) -> dict[str, str]:
    """On the server: shares the inputs; returns the shared LoRAs. The worker downloads LoRAs that
    only the Hub has."""
    artifacts.share_uploads(job)
    shared: dict[str, str] = {}
    for lora in job.fitted.loras if artifacts.is_shared else ():
        path = loras.find_local(lora.source, settings)
        if path is not None:
            stat = path.stat()
            name = f"{_hash(path, stat.st_size, stat.st_mtime_ns)}{loras.SUFFIX}"
            artifacts.store_shared(path, name)
            shared[lora.source] = name
    return shared


def fetch_inputs(
    artifacts: Artifacts, job: Job, shared: SharedLoras, folder: Path, report: Callable[[str], None]
) -> None:
    """On the worker: fetches the inputs into a folder of this job. Raises KinoraError."""
    artifacts.fetch_uploads(job, folder / PICTURES)
    if job.edit and artifacts.is_remote:
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)  # even if nothing was uploaded
        for name in job.edit_clips:
            artifacts.fetch_clip(name, folder)
    for lora in job.fitted.loras:
        if lora.source not in shared:
            continue
        report(f"fetching the LoRA {lora.source}")
        file = artifacts.fetch_shared(shared[lora.source])
        if file is None:
            sentence = f"The LoRA “{lora.source}” did not reach the worker."
            raise KinoraError(ErrorCode.UNAVAILABLE, sentence)
        target = folder / LORAS / f"{lora.source.removesuffix(loras.SUFFIX)}{loras.SUFFIX}"
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(file, target)


def input_folders(folder: Path, pictures: Path, settings: Settings) -> tuple[Path, Settings]:
    """The image folder and settings for a job: with its fetched inputs, else unchanged."""
    if (folder / PICTURES).is_dir():
        pictures = folder / PICTURES
    if (folder / LORAS).is_dir():
        settings = settings.model_copy(update={"loras_dir": folder / LORAS})
    return pictures, settings


@lru_cache(maxsize=256)
def _hash(path: Path, _size: int, _changed_ns: int) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            hashed.update(part)
    return hashed.hexdigest()
