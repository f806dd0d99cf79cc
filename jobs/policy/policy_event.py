"""What happened under the content policy, for metrics and for a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["prompt", "input", "result"]
"""What was refused: a prompt, an uploaded picture or clip, or what was made."""


@dataclass(frozen=True)
class PolicyEvent:
    """A refusal. `owner` and `prompt` are as they are: a log hashes the one and leaves the other
    out unless the operator wants it."""

    stage: Stage
    category: str
    """A category of the rules, `frames` for the classifier, `own` for the operator's filter."""
    rule: str
    """The rule within the category, such as a group of words or a label of the classifier."""
    at: float
    """Seconds since 1970."""
    owner: str
    job_id: str | None = None
    """None for a prompt: nothing was queued."""
    prompt: str | None = None


PolicyListener = Callable[[PolicyEvent], None]
