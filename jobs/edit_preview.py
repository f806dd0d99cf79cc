"""Previews of edits: made in the server, because a visitor waits for them."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from errors import Cancelled, ErrorCode, KinoraError
from jobs.edit_admission import PlannedEdit
from settings import Settings

AT_ONCE = 2
WAIT_S = 10.0
"""For a place; then the server is too busy."""
POLL_S = 0.2
TIMEOUT_S = 30.0


class EditPreviews:
    """Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def make(self, planned: PlannedEdit, is_cancelled: Callable[[], bool] = lambda: False) -> bytes:
        """The first seconds as an MP4. Raises KinoraError(UNAVAILABLE) while too many are made,
        Cancelled, and as the operations do."""
        from media.operations.preview_chain import PREVIEW_FILE, plan_preview
        from media.operations.processes import ProcessLimits
        from media.operations.run_chain import Hooks, run_chain

        self._wait_for_place(is_cancelled)
        try:
            with tempfile.TemporaryDirectory(prefix="kinora-") as folder:
                file = Path(folder) / "preview.mp4"
                chain = plan_preview(planned.chain)
                hooks = Hooks(is_cancelled=is_cancelled)
                run_chain(chain, file, PREVIEW_FILE, hooks, ProcessLimits(timeout_s=TIMEOUT_S))
                return file.read_bytes()
        finally:
            self._places.release()

    def _wait_for_place(self, is_cancelled: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not self._places.acquire(timeout=POLL_S):
            if is_cancelled():
                raise Cancelled
            if time.monotonic() > deadline:
                sentence = "Too many previews are made right now. Try again in a moment."
                raise KinoraError(ErrorCode.UNAVAILABLE, sentence)
