"""Describes this machine as data, so that plans can be tested for machines we do not have.

Read from nvidia-smi, psutil, /proc/cpuinfo and the installed packages, never through torch.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from pipelines.planning.device import GIB, Device, guess_device, installed_version, list_gpus
from settings import Settings

PACKAGES = ("xformers", "flash-attn", "sageattention", "torchao")
"""Optional packages that a plan uses where they are installed."""

ZERO_GPU = ("ZeroGPU", 48.0, 96.0)
"""Name and GiB of the sizes `large` (half a GPU) and `xlarge` (a whole one). No GPU is visible
outside a call there, so these numbers replace nvidia-smi."""

FEATURES = frozenset({"avx512_bf16", "amx_bf16", "asimdbf16", "bf16"})


@dataclass(frozen=True)
class Machine:
    """Sizes in GiB. `vram_gb` is of the largest GPU, None where torch can use none."""

    ram_gb: float
    free_disk_gb: float
    cpu_count: int = 1
    gpu_name: str | None = None
    vram_gb: float | None = None
    xlarge_vram_gb: float | None = None
    """ZeroGPU: the larger size, which costs twice the quota."""
    cpu_features: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    gpu_problem: str | None = None
    """Why an NVIDIA GPU is not used, as a sentence."""

    @property
    def has_gpu(self) -> bool:
        return self.vram_gb is not None

    @property
    def has_fast_bfloat16(self) -> bool:
        """Measured: sampling in bfloat16 was 1.65 times faster with these CPU instructions, and
        slower than float32 without them."""
        return bool(self.cpu_features & {"avx512_bf16", "amx_bf16"})

    def without_gpu(self) -> Machine:
        return replace(self, gpu_name=None, vram_gb=None, xlarge_vram_gb=None)

    def with_device(self, device: Device) -> Machine:
        """The same machine with the GPU that torch reports, or with none."""
        return replace(
            self,
            gpu_name=device.gpu_name,
            vram_gb=device.vram_gb,
            gpu_problem=device.problem,
        )


def this_machine(settings: Settings) -> Machine:
    """This machine as seen without torch, which may be unable to use the GPU that is listed."""
    gpu_name, vram_gb, xlarge_gb = ZERO_GPU
    device = Device(gpu_name, vram_gb) if settings.zero_gpu else guess_device(list_gpus())
    return Machine(
        ram_gb=_ram_gb(),
        free_disk_gb=_free_disk_gb(settings.data_dir),
        cpu_count=os.cpu_count() or 1,
        gpu_name=device.gpu_name,
        vram_gb=device.vram_gb,
        gpu_problem=device.problem,
        xlarge_vram_gb=xlarge_gb if settings.zero_gpu else None,
        cpu_features=_cpu_features(),
        packages=frozenset(p for p in PACKAGES if installed_version(p)),
    )


def _ram_gb() -> float:
    """GiB of the machine, or of its cgroup (v2, then v1) where that is limited to less."""
    total = psutil.virtual_memory().total
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return total / GIB


def _free_disk_gb(data_dir: Path) -> float:
    """GiB free where the Hub's cache is, which need not exist yet."""
    # as huggingface_hub finds it, without importing that
    home = os.environ.get("HF_HOME") or os.environ.get("XDG_CACHE_HOME")
    folder = Path(home) if home else Path.home() / ".cache"
    for each in (folder, *folder.parents, data_dir):
        if each.is_dir():
            return shutil.disk_usage(each).free / GIB
    return 0.0


def _cpu_features() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.lower().startswith(("flags", "features")):
            return FEATURES & frozenset(line.split(":", 1)[-1].split())
    return frozenset()


def machine_name() -> str:
    """Identifies hardware for measured speeds: host, architecture, CPU count and chosen GPU."""
    name = f"{platform.node()}/{platform.machine()}/{os.cpu_count()}"
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"{name}/gpu {gpu}" if gpu else name
