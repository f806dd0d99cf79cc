"""Measures memory: what a model's weights need, what is free, and the peak of a run."""

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
from pipelines.engine.placement import torch_device_for, torch_dtype_for
from pipelines.models.failures import Reason, failure, is_out_of_memory
from pipelines.models.safetensors_header import read_header
from pipelines.planning.device import GIB
from pipelines.planning.plan import GPU_OVERHEAD_GB

if TYPE_CHECKING:
    from pipelines.engine.components import ModelFiles
    from pipelines.planning import Plan

CGROUP = Path("/sys/fs/cgroup")


def weights_bytes(files: ModelFiles, plan: Plan, name: str) -> int:
    """Bytes of the weights in the plan's dtype. Raises KinoraError(MODEL_LOAD) for a damaged
    file."""
    numbers = 0
    for component in files.components:
        for path in component.weights if component.is_model else ():
            try:
                numbers += count_parameters(path)
            except (OSError, ValueError) as error:
                what = component.name.replace("_", " ")
                raise failure(Reason.DAMAGED_FILE, name, what) from error
    return numbers * torch_dtype_for(plan).itemsize


def count_parameters(path: Path) -> int:
    """Parameters in a safetensors file. Raises ValueError where the file is truncated."""
    header = read_header(path)
    if path.stat().st_size != header.end_bytes:
        raise ValueError("cut short")
    return header.parameters


def free_bytes(plan: Plan) -> int:
    """Free bytes where the plan keeps the weights: on the GPU, or in main memory, within the limit
    of a cgroup."""
    if torch_device_for(plan).type == "cuda" and plan.offload == "none":
        return torch.cuda.mem_get_info(torch_device_for(plan))[0]
    free = psutil.virtual_memory().available
    try:
        limit = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        reclaimable = _inactive_file_bytes()  # mostly weights that were read before
    except (OSError, ValueError):
        return free
    return min(free, max(0, limit - used + reclaimable))


def _inactive_file_bytes() -> int:
    """Page cache that the kernel reclaims under pressure, but counts as used memory."""
    for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(" ")
        if key == "inactive_file":
            return int(value)
    return 0


def free_memory() -> None:
    """Returns the memory of dropped models and failed attempts to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":  # glibc keeps freed pages until it is trimmed
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def out_of_memory_as_kinora_error() -> Iterator[None]:
    """Raises KinoraError(OUT_OF_MEMORY) for out of memory in the block; other errors pass."""
    try:
        yield
    except Exception as error:
        if isinstance(error, KinoraError) or not is_out_of_memory(error):
            raise
        free_memory()
        raise KinoraError(ErrorCode.OUT_OF_MEMORY) from error


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """The peak memory since this object was created."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            self._is_reset = _reset_process_peak()

    def gb(self) -> float | None:
        if self._device.type == "cuda":
            # reserved, not allocated: what torch's allocator caches is not free for others
            return torch.cuda.max_memory_reserved(self._device) / GIB + GPU_OVERHEAD_GB
        return _process_peak_gb() if self._is_reset else None


def _reset_process_peak() -> bool:
    """Resets VmHWM; False where the kernel does not allow it (man 5 proc, clear_refs)."""
    try:
        CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _process_peak_gb() -> float | None:
    try:
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(kib) / 2**20
