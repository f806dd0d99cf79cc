"""What was sampled stays on disk until the clip is whole, so that a failure after it costs little.

Knows the two files in a job's folder and what may be done with them; knows no model and no store.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from errors import Cancelled, KinoraError
from jobs.artifacts import Artifacts
from media.files import link_or_copy

log = logging.getLogger(__name__)

LATENTS = "latents.safetensors"
DECODING = "decoding"
"""There while frames are decoded: who finds it knows that the worker died of it, or with it."""

KEPT = "latents_kept"
"""In the details of an error: the clip can be decoded again without sampling."""


def is_worth_keeping(error: KinoraError) -> bool:
    """Not where the same would only happen again, and not what a person threw away."""
    return error.kind.retryable and not isinstance(error, Cancelled)


def with_note(error: KinoraError) -> KinoraError:
    details = error.details | {KEPT: True}
    return KinoraError(error.code, error.message, details=details, action=error.action)


def bring(artifacts: Artifacts, job_id: str, folder: Path) -> None:
    """To a worker's own folder, what an earlier attempt left where clips are kept."""
    kept = artifacts.fetch(job_id, LATENTS)
    if kept is not None and kept.parent != folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LATENTS).unlink(missing_ok=True)
        link_or_copy(kept, folder / LATENTS)
        if artifacts.is_remote:  # that was a copy for us
            kept.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                kept.parent.rmdir()


def save(artifacts: Artifacts, job_id: str, folder: Path, error: KinoraError) -> None:
    """From a worker's own folder to where clips are kept, for somebody to go on with."""
    if (folder / LATENTS).is_file() and is_worth_keeping(error):
        try:
            artifacts.put(job_id, folder / LATENTS)
        except KinoraError as trouble:
            log.warning("Checkpoint not readable (job=%s): %s", job_id, trouble.message)
