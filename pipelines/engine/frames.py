"""Finished frames: the array that decoding returns, and the conversion from a decoder's floats."""

from __future__ import annotations

from typing import Any

import numpy as np

from errors import ErrorCode, KinoraError
from pipelines.models.call_signatures import RESULTS

Frames = np.ndarray
"""uint8 [F, H, W, 3], sRGB."""


def clip_of(output: Any) -> Any:
    """What a pipeline returns as its clip, which most call `frames`."""
    names = (*RESULTS, "images")
    return next(value for name in names if (value := getattr(output, name, None)) is not None)


def to_uint8(pixels: np.ndarray) -> Frames:
    """Rounds as diffusers' `numpy_to_pil` does. `pixels`: floats [F, H, W, 3] in 0..1.

    Raises KinoraError(DECODE) for NaN and infinity, which a cast would turn into black frames.
    """
    if not np.isfinite(pixels).all():
        raise KinoraError(
            ErrorCode.DECODE,
            "The model produced invalid pixel values. Try another seed or fewer frames.",
        )
    return (pixels * 255).round().astype(np.uint8)
