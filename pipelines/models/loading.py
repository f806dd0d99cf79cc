"""Progress of loading a model, as the worker reports it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class LoadProgress:
    """`fraction` runs from 0 to 1 over all phases."""

    phase: str
    fraction: float | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None


OnProgress = Callable[[LoadProgress], None]
