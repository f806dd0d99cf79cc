"""What this machine has, as data, so that a plan can be made for machines we do not have.

Asks nvidia-smi, psutil, the CPU's own list of features and the installed packages. Never torch.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from pipelines.planning.device import GIB, Device, installed_version, list_gpus, without_torch
from settings import Settings

PACKAGES = ("xformers", "flash-attn", "sageattention", "torchao")
"""Those that a plan may use where they are installed."""

ZERO_GPU = ("ZeroGPU", 48.0, 96.0)
"""There no GPU is seen outside a call. The sizes `large`, half a GPU, and `xlarge`, a whole one."""

FEATURES = frozenset({"avx512_bf16", "amx_bf16", "asimdbf16", "bf16"})


@dataclass(frozen=True)
class Machine:
    """Sizes in GiB. `vram_gb` is the largest GPU's, None where there is none that torch can use."""

    ram_gb: float
    free_disk_gb: float
    cpu_count: int = 1
    gpu_name: str | None = None
    vram_gb: float | None = None
    xlarge_vram_gb: float | None = None
    """ZeroGPU: what may be had instead, for twice the quota."""
    cpu_features: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    gpu_problem: str | None = None
    """Why an NVIDIA GPU that is there is not used."""

    @property
    def has_gpu(self) -> bool:
        return self.vram_gb is not None

    @property
    def cpu_multiplies_bfloat16(self) -> bool:
        """Sampling was 1.65 times faster in bfloat16 where the CPU has it, slower elsewhere."""
        return bool(self.cpu_features & {"avx512_bf16", "amx_bf16"})

    def without_gpu(self) -> Machine:
        return replace(self, gpu_name=None, vram_gb=None, xlarge_vram_gb=None)

    def computing_on(self, device: Device) -> Machine:
        """The same machine with the GPU that torch itself reports, or with none."""
        return replace(
            self,
            gpu_name=device.gpu_name,
            vram_gb=device.vram_gb,
            gpu_problem=device.problem,
        )


def this_machine(settings: Settings) -> Machine:
    """As it is without torch: nvidia-smi's GPU, which torch may be unable to use."""
    gpu_name, vram_gb, xlarge_gb = ZERO_GPU
    device = Device(gpu_name, vram_gb) if settings.zero_gpu else without_torch(list_gpus())
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
    """The machine's, or the container's where it is allowed less."""
    total = psutil.virtual_memory().total
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return total / GIB


def _free_disk_gb(data_dir: Path) -> float:
    """Where models are downloaded to: the Hub's cache, which need not exist yet."""
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
    name = f"{platform.node()}/{platform.machine()}/{os.cpu_count()}"
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"{name}/gpu {gpu}" if gpu else name
