"""How much memory a clip really took: the GPU's by torch, this process's by the kernel.

Knows no job. Where nothing can be measured it says None.
"""

from __future__ import annotations

from pathlib import Path

import torch

from pipelines.placement.plan import GPU_OVERHEAD_GB

GIB = 2**30
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
