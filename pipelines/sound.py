"""A clip's decoded sound track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sound:
    samples: np.ndarray
    """float32 [channels, samples] in -1..1, as a model or a decoder made it; may hold NaN."""
    rate_hz: int

    def lasting(self, seconds: float) -> Sound:
        """Cut or padded with silence to that length; NaN becomes silence, values are clipped."""
        count = round(seconds * self.rate_hz)
        samples = np.nan_to_num(self.samples[:, :count], nan=0.0, posinf=1.0, neginf=-1.0)
        missing = count - samples.shape[1]
        samples = np.pad(samples.clip(-1, 1), ((0, 0), (0, missing)))
        return Sound(samples.astype(np.float32), self.rate_hz)
