"""A clip's sound as samples, without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sound:
    samples: np.ndarray
    """float32 [channels, samples] in -1..1"""
    rate_hz: int

    def lasting(self, seconds: float) -> Sound:
        """Cut, or padded with silence. NaN becomes silence, infinities are clipped."""
        count = round(seconds * self.rate_hz)
        samples = np.nan_to_num(self.samples[:, :count], nan=0.0, posinf=1.0, neginf=-1.0)
        missing = count - samples.shape[1]
        samples = np.pad(samples.clip(-1, 1), ((0, 0), (0, missing)))
        return Sound(samples.astype(np.float32), self.rate_hz)
