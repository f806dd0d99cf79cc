"""Progress: how far a job is, folded from its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import assert_never

from jobs.event_types import (
    Decoding,
    Encoding,
    Event,
    Failed,
    Fallback,
    JobCancelled,
    Loading,
    PreviewReady,
    Queued,
    Requeued,
    Started,
    StepDone,
    Succeeded,
    UnknownEvent,
    WaitingForGpu,
)

RING = {"loading": 0.06, "denoise": 0.9, "decoding": 0.94, "encoding": 0.97}
"""How full the progress ring is at the end of each phase; sampling takes most of the time."""


@dataclass
class Progress:
    """The state that the page and the API show of one job."""

    phase: str = "queued"
    fraction: float | None = None
    step: int = 0
    total: int = 0
    eta_s: float | None = None
    preview: PreviewReady | None = None
    finishing: bool = False
    seen: int = 0
    loading: str = ""
    gpu_reason: str | None = None
    """Why ZeroGPU queues the job: `concurrency` if other jobs of this Space use the GPUs."""
    bytes_done: int | None = None
    bytes_total: int | None = None
    part: int | None = None
    """Of a long clip: the window that is being made, from 1."""
    parts: int | None = None

    def fold(self, event: Event) -> None:
        self.seen = event.n
        match event.body:
            case Queued() | Requeued():
                self.phase, self.step, self.fraction, self.eta_s = "queued", 0, None, None
            case Started():
                self.phase, self.fraction = "loading", None
            case WaitingForGpu(reason):
                self.phase, self.fraction, self.gpu_reason = event.kind, None, reason
            case Loading(phase, fraction, bytes_done, bytes_total):
                self.phase, self.loading, self.fraction = "loading", phase, fraction
                self.bytes_done, self.bytes_total = bytes_done, bytes_total
            case StepDone(index, total, eta_s, part, parts):
                self.phase, self.step, self.total, self.eta_s = "denoise", index, total, eta_s
                self.part, self.parts = part, parts
            case PreviewReady() as preview:
                self.preview = preview
            case Decoding() | Encoding():
                self.phase, self.eta_s = event.kind, None
            case Succeeded() | Failed() | JobCancelled():
                self.phase = event.kind
            case Fallback() | UnknownEvent():
                pass
            case _:
                assert_never(event.body)

    @classmethod
    def of(cls, events: Iterable[Event]) -> Progress:
        progress = cls()
        for event in events:
            progress.fold(event)
        return progress

    @property
    def ring(self) -> float:
        """How full the progress ring is, 0 to 1."""
        if self.phase == "loading":
            return RING["loading"] * (self.fraction or 0.0)
        if self.phase == "denoise" and self.total:
            start = RING["loading"]
            return start + (RING["denoise"] - start) * self.step / self.total
        if self.phase in RING:
            return RING[self.phase]
        return 1.0 if self.phase == "succeeded" else 0.0
