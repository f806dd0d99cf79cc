"""How much memory a model will take, and how much is free, both measured.

Reads safetensors headers, and notices files that are shorter than their header says.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from errors import ErrorCode, KinoraError
from pipelines.engine.placement import device_of, dtype_of
from pipelines.models.failures import Reason, failure, is_out_of_memory
from pipelines.models.safetensors_header import read_header
from pipelines.planning.device import GIB
from pipelines.planning.plan import GPU_OVERHEAD_GB

if TYPE_CHECKING:
    from pipelines.engine.components import Files
    from pipelines.planning import Plan

CGROUP = Path("/sys/fs/cgroup")


def bytes_of(files: Files, plan: Plan, name: str) -> int:
    """What the weights take in the plan's precision. KinoraError where a file is not whole."""
    numbers = 0
    for component in files.components:
        for path in component.weights if component.is_model else ():
            try:
                numbers += numbers_in(path)
            except (OSError, ValueError) as error:
                what = component.name.replace("_", " ")
                raise failure(Reason.DAMAGED_FILE, name, what) from error
    return numbers * dtype_of(plan).itemsize


def numbers_in(path: Path) -> int:
    """How many numbers a safetensors file holds; ValueError where it is cut short."""
    header = read_header(path)
    if path.stat().st_size != header.end_bytes:
        raise ValueError("cut short")
    return header.parameters


def free_bytes(plan: Plan) -> int:
    """Where the weights will lie: on the GPU, or in memory, of which a container may have less."""
    if device_of(plan).type == "cuda" and plan.offload == "none":
        return torch.cuda.mem_get_info(device_of(plan))[0]
    free = psutil.virtual_memory().available
    try:
        limit = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        reclaimable = _inactive_file_bytes()
    except (OSError, ValueError):
        return free
    return min(free, max(0, limit - used + reclaimable))


def _inactive_file_bytes() -> int:
    """Cached files, which the kernel gives up when memory is wanted."""
    for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(" ")
        if key == "inactive_file":
            return int(value)
    return 0


def free_memory() -> None:
    """Give back what a failed attempt or a model that has left held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":  # freed pages stay with the allocator unless it is told
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def memory_sentences() -> Iterator[None]:
    """Out of memory becomes a KinoraError; everything else passes."""
    try:
        yield
    except Exception as error:
        if isinstance(error, KinoraError) or not is_out_of_memory(error):
            raise
        free_memory()
        raise KinoraError(ErrorCode.OUT_OF_MEMORY) from error


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """The most memory since it was made."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            self._is_reset = _forget_peak()

    def gb(self) -> float | None:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved(self._device) / GIB + GPU_OVERHEAD_GB
        return _peak_of_process() if self._is_reset else None


def _forget_peak() -> bool:
    try:
        CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak_of_process() -> float | None:
    try:
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(kib) / 2**20
