"""What this machine is called, so that figures measured on different ones are kept apart.

Knows names only; a worker that was given one GPU of several is a machine of its own.
"""

from __future__ import annotations

import os
import platform


def machine_name() -> str:
    name = f"{platform.node()}/{platform.machine()}/{os.cpu_count()}"
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"{name}/gpu {gpu}" if gpu else name
