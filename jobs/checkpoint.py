"""The checkpoint of a job: its latents are stored until the clip is finished.

So a failure after sampling costs only the decoding.
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
"""An empty file that exists while frames are decoded: if it is still there at the next attempt, the
worker died while decoding."""

KEPT = "latents_kept"
"""A key in the details of an error: the clip can be decoded again without sampling."""


def is_worth_keeping(error: KinoraError) -> bool:
    """False for errors that would only happen again, and for discarded clips."""
    return error.kind.retryable and not isinstance(error, Cancelled)


def with_note(error: KinoraError) -> KinoraError:
    details = error.details | {KEPT: True}
    return KinoraError(error.code, error.message, details=details, action=error.action)


def bring(artifacts: Artifacts, job_id: str, folder: Path) -> None:
    """Copies the latents of an earlier attempt into a worker's own folder, if there are any."""
    kept = artifacts.fetch(job_id, LATENTS)
    if kept is not None and kept.parent != folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LATENTS).unlink(missing_ok=True)
        link_or_copy(kept, folder / LATENTS)
        if artifacts.is_remote:  # `fetch` made a local copy
            kept.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                kept.parent.rmdir()


def save(artifacts: Artifacts, job_id: str, folder: Path, error: KinoraError) -> None:
    """Copies the latents from a worker's own folder to the artifacts, for the next attempt."""
    if (folder / LATENTS).is_file() and is_worth_keeping(error):
        try:
            artifacts.put(job_id, folder / LATENTS)
        except KinoraError as failure:
            log.warning("Checkpoint not stored (job=%s): %s", job_id, failure.message)
