"""Finds the device that models run on, and why an NVIDIA GPU cannot be used.

nvidia-smi lists GPUs that the installed torch may be unable to use: the driver is too old for it,
it was built without CUDA, it has no code for that GPU. So a worker tries one
(`engine/torch_device.py`) and reports the result; a process without torch starts another process
that tries (`probe_with_torch`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

from settings import ROOT

GIB = 2**30
NONE_VISIBLE = ("", "-1", "none", "void", "NoDevFiles")
"""Values of CUDA_VISIBLE_DEVICES and NVIDIA_VISIBLE_DEVICES by which no GPU is meant to be used."""
LONGEST_REASON = 160


@dataclass(frozen=True)
class Device:
    """What torch computes on; the CPU where `gpu_name` is None. Sizes in GiB."""

    gpu_name: str | None = None
    vram_gb: float | None = None
    problem: str | None = None
    """Why an NVIDIA GPU is not used, as a sentence. None where there is none, or where it was
    hidden on purpose."""

    @property
    def kind(self) -> str:
        return "cpu" if self.gpu_name is None else "cuda"


@dataclass(frozen=True)
class GpuList:
    """The GPUs that nvidia-smi lists: (GiB, name), without those that are hidden."""

    gpus: tuple[tuple[float, str], ...] = ()
    fault: str | None = None
    """Why nvidia-smi, which is installed, does not work."""

    @property
    def largest(self) -> tuple[float, str] | None:
        return max(self.gpus, default=None)

    @property
    def is_any(self) -> bool:
        return bool(self.gpus) or self.fault is not None


def list_gpus() -> GpuList:
    """Runs nvidia-smi, which takes a moment and needs no torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    tool = shutil.which("nvidia-smi")
    if visible is not None and visible.strip() in NONE_VISIBLE:
        return GpuList()
    if os.environ.get("NVIDIA_VISIBLE_DEVICES", "all").strip() in NONE_VISIBLE:
        return GpuList()
    if tool is None:
        return GpuList()
    command = [tool, "--query-gpu=memory.total,name", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return GpuList(fault=_shorten(f"nvidia-smi does not answer ({type(error).__name__})"))
    output = done.stdout.strip() or done.stderr.strip()
    if done.returncode:
        if "No devices" in output:
            return GpuList()
        return GpuList(fault=_shorten(f"nvidia-smi: {output or f'exit status {done.returncode}'}"))
    found: list[tuple[float, str]] = []
    for line in output.splitlines():
        mib, _, name = line.partition(",")
        try:
            found.append((float(mib) / 1024, name.strip()))
        except ValueError:
            continue  # "[N/A]": memory shared with the CPU, as on Jetson and GB10
    return GpuList(tuple(_visible_gpus(found, visible)))


def _visible_gpus(found: list[tuple[float, str]], visible: str | None) -> list[tuple[float, str]]:
    """The GPUs at the indexes of CUDA_VISIBLE_DEVICES, up to the first invalid one, as CUDA does.
    Names (GPU-..., MIG-...) are not looked up: all GPUs are returned."""
    if visible is None:
        return found
    chosen: list[tuple[float, str]] = []
    for part in visible.split(","):
        if not part.strip().lstrip("-").isdigit():
            return found
        number = int(part)
        if not 0 <= number < len(found):
            break
        chosen.append(found[number])
    return chosen


def guess_device(listed: GpuList) -> Device:
    """The device as a process without torch guesses it: a listed GPU works, unless the installed
    torch is a CPU build."""
    largest = listed.largest
    version = installed_version("torch")
    if "+cpu" in version:
        return Device(problem=describe_gpu_problem(listed, _built_without_cuda(version)))
    if largest is None:
        return Device(problem=describe_gpu_problem(listed, listed.fault))
    vram_gb, name = largest
    return Device(name, vram_gb)


def probe_with_torch(timeout_s: float = 120.0) -> Device | None:
    """The device that `torch_device` finds in a process of its own; None if that process fails."""
    command = [sys.executable, "-m", "pipelines.engine.torch_device"]
    # the working directory may be another: the process must find this package
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
        )
        return Device(**json.loads(done.stdout.splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError, TypeError):
        return None


def describe_cuda_error(error: Exception) -> str:
    """Translates torch's error for a GPU that it cannot use, and says what to do about it."""
    # fragments of torch's and the driver's messages, which have no types or codes
    text = " ".join(str(error).split())
    version = installed_version("torch")
    if "not compiled with CUDA" in text:
        return _built_without_cuda(version)
    if "driver on your system is too old" in text:
        found = re.search(r"found version (\d+)", text)
        has = f" for CUDA {int(found[1]) // 1000}.{int(found[1]) % 1000 // 10}" if found else ""
        return (
            f"its driver{has} is too old for PyTorch {version}: update the driver, or install a "
            "PyTorch that was built for an older CUDA"
        )
    if "no kernel image" in text or "not compatible with the current PyTorch" in text:
        return f"PyTorch {version} has no code for this GPU: install one that has"
    if "Found no NVIDIA driver" in text or "libcuda.so" in text:
        return "its driver cannot be reached from here: in a container, give it the GPU"
    if "No CUDA GPUs are available" in text:
        return "CUDA does not show it to this process"
    if re.search(r"forward compatibility|error 80[34]", text, re.IGNORECASE):
        return "its driver and the CUDA libraries of this container do not go together"
    return f"CUDA cannot be used ({_shorten(text) or type(error).__name__})"


def describe_gpu_problem(listed: GpuList, reason: str | None) -> str | None:
    """The sentence for `Device.problem`; None where there is no GPU or nothing is wrong."""
    if reason is None or not listed.is_any:
        return None
    largest = listed.largest
    name = f" ({largest[1]})" if largest else ""
    return f"There is an NVIDIA GPU{name} that PyTorch cannot use: {reason}."


def _built_without_cuda(version: str) -> str:
    return f"PyTorch {version} is built without CUDA: install the build with it"


def _shorten(text: str) -> str:
    """The first sentence of a message, without addresses, paths and advice for programmers."""
    line = re.sub(r"\S*/\S*", "…", " ".join(text.split()))
    first = re.split(r"(?<=[a-z)])[.;] (?=[A-Z])", line, maxsplit=1)[0].rstrip(".")
    return first if len(first) <= LONGEST_REASON else first[:LONGEST_REASON].rsplit(" ", 1)[0]


def installed_version(package: str) -> str:
    """Empty where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
