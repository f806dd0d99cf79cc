"""The plan for a card on this machine: device, dtype, and what to tell people about it.

`describe` is light (no torch); `plan` and `place` are for the worker.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from pipelines.cards import ModelCard
from settings import Settings

if TYPE_CHECKING:
    import torch

GIB = 2**30


@dataclass(frozen=True)
class Plan:
    device: torch.device
    dtype: torch.dtype


def plan(card: ModelCard, settings: Settings) -> Plan:
    """The card's dtype first (it insists), then the operator's, then what the device likes."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = card.dtype or settings.torch_dtype
    if chosen == "auto":
        quick = device.type == "cuda" or _cpu_multiplies_bfloat16()
        chosen = "bfloat16" if quick else "float32"
    return Plan(device=device, dtype=getattr(torch, chosen))


def place(pipe: Any, to: Plan) -> None:
    """Move a loaded pipeline to where it runs."""
    pipe.to(to.device)


def describe(card: ModelCard) -> dict[str, Any]:
    """Memory, GPU and a verdict in a sentence, without loading anything."""
    memory = psutil.virtual_memory()
    ram_gb, free_gb = memory.total / GIB, memory.available / GIB
    vram_gb = _gpu_memory_gb()
    needs = card.needs
    if vram_gb is not None and needs.vram_gb is not None and vram_gb >= needs.vram_gb:
        verdict, fits = f"Runs on the GPU ({vram_gb:.0f} GB).", True
    elif ram_gb < needs.ram_gb:
        verdict = f"Needs {needs.ram_gb:g} GB of memory; this machine has {ram_gb:.1f} GB."
        fits = False
    elif needs.vram_gb is None:
        verdict, fits = "Runs here: on the GPU." if vram_gb else "Runs here: on the CPU.", True
    elif vram_gb is not None:
        verdict = f"Wants {needs.vram_gb:g} GB on the GPU; this one has {vram_gb:.0f} GB."
        fits = False
    else:
        verdict, fits = f"Wants a GPU with {needs.vram_gb:g} GB; there is none here.", False
    return {
        "model": card.id,
        "fits": fits,
        "verdict": verdict,
        "ram_gb": round(ram_gb, 1),
        "free_ram_gb": round(free_gb, 1),
        "vram_gb": None if vram_gb is None else round(vram_gb, 1),
        "cpu_count": os.cpu_count() or 1,
        "here": card.local_path is not None,
    }


def _cpu_multiplies_bfloat16() -> bool:
    """Sampling was 1.65 times faster in bfloat16 where the CPU has it, and slower elsewhere."""
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def _gpu_memory_gb() -> float | None:
    """The largest GPU's memory by nvidia-smi; None where there is no such GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        return max(float(line) for line in done.stdout.split()) / 1024
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
