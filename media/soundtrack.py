"""The sound of a clip that was stored here, as plain numbers.

Knows the stored files only: what a stranger sent was decoded and checked before.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from pipelines.sound import Sound

TIMEOUT_S = 120.0


def load_sound(path: Path, rate_hz: int, channels: int) -> Sound | None:
    """None where there is no track."""
    command = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin"),
        *("-protocol_whitelist", "file,pipe", "-f", "mov", "-i", f"file:{path}"),
        *("-map", "0:a:0?", "-af", "aresample=async=1:first_pts=0", "-ar", str(rate_hz)),
        *("-ac", str(channels), "-f", "f32le", "pipe:1"),
    ]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603  # our own file, no shell
    samples = np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], "<f4")
    if done.returncode or samples.size < channels:
        return None
    whole = samples[: samples.size // channels * channels]
    return Sound(whole.reshape(-1, channels).T.copy(), rate_hz)
