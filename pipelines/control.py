"""How a running job is stopped from outside, for the engine and its workers."""

from __future__ import annotations

from typing import Protocol


class Control(Protocol):
    """Called at every step and between the decoder's layers, so both methods must be quick."""

    def cancelled(self) -> bool:
        """The job is discarded."""
        ...

    def finish_now(self) -> bool:
        """The clip is made from the latents so far."""
        ...
