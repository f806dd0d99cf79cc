"""A preview of a running job, as the engine draws it and the browser shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preview:
    """One JPEG strip: `frames` pictures of `width` x `height` side by side, drawn after step
    `index`. `number` counts the previews of a job from 1; the event log sets it."""

    index: int
    jpeg: bytes
    frames: int
    width: int
    height: int
    fps: float
    number: int = 0
