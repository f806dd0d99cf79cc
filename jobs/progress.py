"""How far a job is, as a ring and a line of text show it: a fold over its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jobs.job import Event

RING = {"loading": 0.06, "denoise": 0.9, "decoding": 0.94, "encoding": 0.97}
"""How much of the ring each phase has filled when it ends; sampling is nearly all of the wait."""


@dataclass
class Progress:
    """What the events of one job add up to."""

    phase: str = "queued"
    fraction: float | None = None
    step: int = 0
    total: int = 0
    eta_s: float | None = None
    preview: dict[str, Any] | None = None
    finishing: bool = False
    seen: int = 0
    loading: str = ""
    gpu_reason: str | None = None
    """Why ZeroGPU queues: `concurrency` where it is for other clips of this Space."""
    bytes_done: int | None = None
    bytes_total: int | None = None
    extras: dict[str, Any] = field(default_factory=dict)

    def fold(self, event: Event) -> None:
        self.seen = event.n
        data = event.data
        if event.kind == "queued" or event.kind == "requeued":
            self.phase, self.step, self.fraction, self.eta_s = "queued", 0, None, None
        elif event.kind == "started":
            self.phase, self.fraction = "loading", None
        elif event.kind == "waiting_for_gpu":
            self.phase, self.fraction, self.gpu_reason = event.kind, None, data.get("reason")
        elif event.kind == "loading":
            self.phase, self.fraction = "loading", data.get("fraction")
            self.loading = str(data.get("phase") or "")
            self.bytes_done, self.bytes_total = data.get("bytes_done"), data.get("bytes_total")
        elif event.kind == "step":
            self.phase = "denoise"
            self.step, self.total = int(data.get("index", 0)), int(data.get("total", 0))
            self.eta_s = data.get("eta_s")
        elif event.kind == "preview":
            self.preview = data
        elif event.kind in ("decoding", "encoding"):
            self.phase, self.eta_s = event.kind, None
        elif event.kind in ("succeeded", "failed", "cancelled"):
            self.phase = event.kind
        else:
            self.extras[event.kind] = data

    @classmethod
    def of(cls, events: Iterable[Event]) -> Progress:
        progress = cls()
        for event in events:
            progress.fold(event)
        return progress

    @property
    def ring(self) -> float:
        """0 to 1 for the ring around the stage."""
        if self.phase == "loading":
            return RING["loading"] * (self.fraction or 0.0)
        if self.phase == "denoise" and self.total:
            start = RING["loading"]
            return start + (RING["denoise"] - start) * self.step / self.total
        if self.phase in RING:
            return RING[self.phase]
        return 1.0 if self.phase == "succeeded" else 0.0
