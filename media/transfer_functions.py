"""Transfer functions between signal values and linear light, for images and clips."""

from __future__ import annotations

import numpy as np

SDR_WHITE_NITS = 203.0
"""SDR white in HDR, by ITU-R BT.2408: 75 % of the HLG signal, 58 % of the PQ signal."""
HLG_PEAK_NITS = 1000.0
HLG_OOTF_EXPONENT = 0.2
"""The system gamma of a display with HLG_PEAK_NITS, 1.2, less 1."""


def srgb_to_linear(signal: np.ndarray) -> np.ndarray:
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def pq_to_linear(signal: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, its constants as printed there. Display light; 1 is SDR white."""
    power = signal ** (1 / 78.84375)
    base = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
    return base ** (1 / 0.1593017578125) * 10_000 / SDR_WHITE_NITS


def hlg_to_scene(signal: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, HLG. Scene light, 0 to 1, before the system gamma."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
