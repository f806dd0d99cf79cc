"""Reads the sound of a stored clip. Only for our own files, never for an upload."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from media.ffmpeg import base_command
from pipelines.sound import Sound

TIMEOUT_S = 120.0


def load_sound(path: Path, rate_hz: int, channels: int) -> Sound | None:
    """Decodes the first audio track at this rate and channel count; None if there is none."""
    command = [
        *base_command(),
        *("-protocol_whitelist", "file,pipe", "-f", "mov", "-i", f"file:{path}"),
        *("-map", "0:a:0?", "-af", "aresample=async=1:first_pts=0", "-ar", str(rate_hz)),
        *("-ac", str(channels), "-f", "f32le", "pipe:1"),
    ]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603  # our own file, no shell
    samples = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], "<f4")
    if done.returncode or samples.size < channels:
        return None
    complete = samples[: samples.size // channels * channels]
    return Sound(complete.reshape(-1, channels).T.copy(), rate_hz)
