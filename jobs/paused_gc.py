"""paused_gc: no garbage collection while a process imports its libraries and loads its models."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_gc() -> Iterator[None]:
    """Importing creates millions of objects that live forever, and the collector scans them again
    and again: a quarter of the processor time of a worker's start. What one thread pauses, it
    alone resumes, so blocks may nest and overlap."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
