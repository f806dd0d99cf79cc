"""The judges' verdict on one clip."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    subject: str
    place: str
    motion: str
    likely: dict[str, float] = field(default_factory=dict, repr=False, compare=False)
    """Probability of each subject."""
