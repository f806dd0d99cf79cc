"""Progress of loading a model, as the worker reports it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LoadProgress:
    """`fraction` runs from 0 to 1 over all phases."""

    phase: str
    fraction: float | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None

    def as_event(self) -> dict[str, Any]:
        event: dict[str, Any] = {"phase": self.phase, "fraction": self.fraction}
        if self.bytes_total is not None:
            event |= {"bytes_done": self.bytes_done, "bytes_total": self.bytes_total}
        return event


OnProgress = Callable[[LoadProgress], None]
