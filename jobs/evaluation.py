"""Evaluates finished clips: measurements of their pixels and, where a model is set, a CLIP score.

Evaluations are kept in memory only: they take seconds, and a clip never changes. The CLIP score is
computed by the command line in a process of its own, because this one must not load torch.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path

from pydantic import BaseModel

from errors import ErrorCode, KinoraError
from settings import ROOT, Settings

log = logging.getLogger(__name__)

KEPT = 512
TIMEOUT_S = 300.0
"""With room for the download of a CLIP model."""


class Evaluation(BaseModel):
    """Definitions are in docs/evaluation.md. None: too few frames, or no CLIP model is set."""

    frames: int
    motion_smoothness: float | None
    temporal_consistency: float | None
    flicker: float | None
    clip_score: float | None = None
    clip_model: str | None = None


class Evaluator:
    """Thread-safe. One clip at a time; the others wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: OrderedDict[str, Evaluation] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def evaluate(self, job_id: str, clip: Path, prompt: str) -> Evaluation:
        """Raises KinoraError where the clip cannot be read or the CLIP model cannot be used."""
        with self._one_at_a_time:
            if job_id not in self._kept:
                with_clip = self._settings.clip_model is not None and bool(prompt.strip())
                self._kept[job_id] = (
                    self._in_a_process(clip, prompt) if with_clip else evaluate_pixels(clip)
                )
            self._kept.move_to_end(job_id)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[job_id]

    def _in_a_process(self, clip: Path, prompt: str) -> Evaluation:
        command = [sys.executable, str(ROOT / "app.py"), "evaluate", str(clip), "--json"]
        try:
            done = subprocess.run(  # noqa: S603  # our own program, no shell
                [*command, f"--prompt={prompt}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KinoraError(
                ErrorCode.TIMEOUT, "Evaluating this clip takes too long. Try again later."
            ) from error
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip()
            log.warning("A clip could not be evaluated: %s", words[-2000:])
            last = words.splitlines()[-1] if words else ""
            raise KinoraError(ErrorCode.MODEL_LOAD, last or None)
        return Evaluation.model_validate(json.loads(done.stdout)[0])


def evaluate_pixels(clip: Path) -> Evaluation:
    from media.clip_metrics import MOST_FRAMES, SIDE, measure
    from media.small_frames import read_small_frames

    found = measure(read_small_frames(clip, SIDE, MOST_FRAMES))
    return Evaluation(
        frames=found.frames,
        motion_smoothness=found.motion_smoothness,
        temporal_consistency=found.temporal_consistency,
        flicker=found.flicker,
    )
