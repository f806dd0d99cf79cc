"""A computer with NVIDIA GPUs, for a machine without: an nvidia-smi that says what it is told."""

from __future__ import annotations

import os
from pathlib import Path

A10G = "23028, NVIDIA A10G"


def nvidia_smi(folder: Path, says: str = A10G, status: int = 0) -> str:
    """Puts the program into `folder`; returns the PATH with which it is found first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "said").write_text(f"{says}\n" if says else "")
    tool = folder / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\ncat "{folder}/said"\nexit {status}\n')
    tool.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def as_a_cuda_build(folder: Path) -> str:
    """A PYTHONPATH with which every process takes the installed torch for one that was built for
    CUDA, until it tries."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata\n"
        "real = metadata.version\n"
        "metadata.version = lambda name: '2.13.0' if name == 'torch' else real(name)\n"
    )
    return str(folder)
