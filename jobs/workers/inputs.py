"""What a clip is made from, brought to a worker on another machine: pictures, clips, LoRAs.

The server lends, under names that say what is in the files; the worker borrows for one clip, into
its own folder. On one machine, without ARTIFACTS_URL, both have the same folders and nothing moves.
Knows artifacts and the LoRA folder; knows no Redis and no engine.
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
Lent = Mapping[str, str]
"""LoRAs by their source: the name under which the file was lent."""


def lend(artifacts: Artifacts, job: Job, settings: Settings) -> dict[str, str]:
    """On the server. LoRAs that only the Hub has are fetched from there by the worker."""
    artifacts.share_given(job)
    lent: dict[str, str] = {}
    for lora in job.fitted.loras if artifacts.is_shared else ():
        path = loras.find_local(lora.source, settings)
        if path is not None:
            stat = path.stat()
            name = f"{_hash(path, stat.st_size, stat.st_mtime_ns)}{loras.SUFFIX}"
            artifacts.lend(path, name)
            lent[lora.source] = name
    return lent


def borrow(
    artifacts: Artifacts, job: Job, lent: Lent, folder: Path, tell: Callable[[str], None]
) -> None:
    """On the worker, into a folder of this clip."""
    artifacts.fetch_given(job, folder / PICTURES)
    for lora in job.fitted.loras:
        if lora.source not in lent:
            continue
        tell(f"fetching the LoRA {lora.source}")
        file = artifacts.borrow(lent[lora.source])
        if file is None:
            sentence = f"The LoRA “{lora.source}” did not reach the worker."
            raise KinoraError(ErrorCode.UNAVAILABLE, sentence)
        target = folder / LORAS / f"{lora.source.removesuffix(loras.SUFFIX)}{loras.SUFFIX}"
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(file, target)


def borrowed(folder: Path, pictures: Path, settings: Settings) -> tuple[Path, Settings]:
    """Where the pictures and LoRAs of a clip are: what was borrowed for it, else our own."""
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
