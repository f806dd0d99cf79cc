"""The global random generator, for pipelines that draw from it and not from the one they get."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def seeded_globally(pipe: Any, seed: int) -> Iterator[None]:
    """Seeds the global generators of the CPU and of the pipeline's GPU, and restores them."""
    device = pipe._execution_device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
