"""Loudness of what a chain makes: measured first, then changed to LOUDNESS_LUFS with peaks under
-1 dBTP in the finished file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

LOUDNESS_LUFS = -14.0
"""What the large video sites play at, by ITU-R BS.1770."""
PEAK_DBTP = -3.0
"""Before encoding: AAC and Opus add up to 2 dB to the peaks of short, loud sounds."""
SILENCE_LUFS = -69.0
"""ffmpeg reports -70 for silence, and for less than 0.4 s of sound."""
TOLERANCE_LU = 0.15
MAX_PASSES = 5
MAX_STEP_DB = 6.0
MIN_RISE = 0.25

INTEGRATED = re.compile(r"I: +(-?[\d.]+|-?inf|nan) LUFS")
PEAK = re.compile(r"Peak: +(-?[\d.]+|-?inf|nan) dBFS")
MEASURE = "ebur128=peak=true:framelog=quiet"


@dataclass(frozen=True)
class LoudnessGain:
    """What is known after some passes."""

    gain_db: float
    limits: bool
    """Whether peaks are limited. The limiter makes the sound quieter, so that the gain has to be
    tried and corrected."""
    passes: int = 1
    is_done: bool = True
    tried: tuple[float, float] | None = None
    """The gain of the pass before and the loudness that it gave."""

    @property
    def filters(self) -> str:
        volume = f"volume={self.gain_db:.3f}dB"
        if not self.limits:
            return volume
        # peaks between the samples show at four times the rate; latency=1 keeps sound and frames
        # together, although the limiter looks ahead
        limiter = (
            f"alimiter=limit={10 ** (PEAK_DBTP / 20):.5f}:level=0:attack=5:release=80:latency=1"
        )
        return f"{volume},aresample=192000,{limiter},aresample=48000"


def read_loudness(log: str) -> tuple[float, float]:
    """LUFS and dBTP from what MEASURE printed; -inf for silence."""
    integrated, peak = INTEGRATED.findall(log), PEAK.findall(log)
    if not integrated or not peak:
        return -math.inf, -math.inf
    loudness, highest = float(integrated[-1]), float(peak[-1])
    return (loudness if loudness > SILENCE_LUFS else -math.inf), highest


def next_gain(before: LoudnessGain | None, log: str) -> LoudnessGain:
    """The gain after a pass that measured the sound with the gain `before`, or without any."""
    loudness, peak = read_loudness(log)
    if before is None:
        if not math.isfinite(loudness):
            return LoudnessGain(0.0, limits=False)
        gain = LOUDNESS_LUFS - loudness
        limits = peak + gain > PEAK_DBTP
        return LoudnessGain(gain, limits, is_done=not limits)
    passes = before.passes + 1
    missing = LOUDNESS_LUFS - loudness
    if not math.isfinite(missing) or abs(missing) <= TOLERANCE_LU:
        return replace(before, passes=passes, is_done=True)
    # by how much the loudness grew with the gain: less and less, because the limiter takes more
    rise = 1.0
    if before.tried is not None and before.gain_db != before.tried[0]:
        rise = (loudness - before.tried[1]) / (before.gain_db - before.tried[0])
    # never so much that a few clicks in silence become a wall of noise
    step = min(missing / min(max(rise, MIN_RISE), 1.0), MAX_STEP_DB)
    tried = before.gain_db, loudness
    return LoudnessGain(before.gain_db + step, True, passes, passes >= MAX_PASSES, tried)
