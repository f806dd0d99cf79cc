"""Milliseconds that signing adds to a clip of 10 MB."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from bench.common import Figure, figure
from media.encode import encode
from media.provenance.certificates import self_made_credentials
from media.provenance.claims import Making
from media.provenance.signer import ClipSigner
from settings import VERSION

MEGABYTES = 10
AT_MOST_MS = 50.0


def measure(folder: Path, rounds: int) -> list[Figure]:
    """Wall time, and processor time, which other work on the machine does not change."""
    clip, size = folder / "clip.mp4", 0
    folder.mkdir(parents=True, exist_ok=True)
    frames = np.random.default_rng(0).integers(0, 255, (36, 512, 768, 3), dtype=np.uint8)
    size = encode(frames, clip, fps=8).size_bytes
    signer = ClipSigner(self_made_credentials(folder / "signing"))
    making = Making("clip.mp4", VERSION, datetime.now(timezone.utc), "pocket")
    wall_ms: list[float] = []
    processor_ms: list[float] = []
    for _ in range(rounds + 1):
        wall, processor = time.perf_counter(), time.thread_time()
        signer.sign(clip, folder / "signed.mp4", making)
        wall_ms.append((time.perf_counter() - wall) * 1000)
        processor_ms.append((time.thread_time() - processor) * 1000)
    label = f"signing a clip of {size / 1e6:.1f} MB"
    return [
        figure(label, wall_ms[1:], AT_MOST_MS, "ms"),
        figure(f"{label}, processor", processor_ms[1:], AT_MOST_MS, "ms"),
    ]
