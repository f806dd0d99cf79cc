"""Previews of edits: made in the server, because a visitor waits for them."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from errors import ErrorCode, KinoraError
from jobs.edit_admission import PlannedEdit
from settings import Settings

AT_ONCE = 2
WAIT_S = 10.0
"""For a place; then the server is too busy."""
TIMEOUT_S = 30.0


class EditPreviews:
    """Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def make(self, planned: PlannedEdit) -> bytes:
        """The first seconds as an MP4. Raises KinoraError(UNAVAILABLE) while too many are made, and
        as the operations do."""
        from media.operations.preview_chain import PREVIEW_FILE, plan_preview
        from media.operations.processes import ProcessLimits
        from media.operations.run_chain import Hooks, run_chain

        if not self._places.acquire(timeout=WAIT_S):
            sentence = "Too many previews are made right now. Try again in a moment."
            raise KinoraError(ErrorCode.UNAVAILABLE, sentence)
        try:
            with tempfile.TemporaryDirectory(prefix="kinora-") as folder:
                file = Path(folder) / "preview.mp4"
                chain = plan_preview(planned.chain)
                run_chain(chain, file, PREVIEW_FILE, Hooks(), ProcessLimits(timeout_s=TIMEOUT_S))
                return file.read_bytes()
        finally:
            self._places.release()
