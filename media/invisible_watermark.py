"""An invisible watermark in the frames, by the optional package `invisible-watermark`.

Each frame carries the same few bytes in the singular values of the DCT of its wavelet bands
("dwtDctSvd" of the package), once in every 8 x 8 pixels and in a fixed order. A reader takes the
majority over blocks and frames. Re-encoding leaves it readable, cutting and resizing do not:
`python -m bench watermark` prints how much of it each attack leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from errors import ErrorCode, KinoraError

PACKAGE, MODULE = "invisible-watermark", "imwatermark"
METHOD = "dwtDctSvd"
MIN_PIXELS = 256 * 256
"""Smaller frames have too few blocks; the package refuses them."""


@dataclass(frozen=True)
class InvisibleWatermark:
    """`text`: what is hidden, as UTF-8."""

    text: str

    def draw_on(self, frames: np.ndarray) -> np.ndarray:
        """A copy of the frames with the watermark: uint8 [F, H, W, 3], at least 256 x 256 pixels
        each."""
        return np.stack(list(self.draw_on_each(frames)))

    def draw_on_each(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """As `draw_on`, one frame at a time."""
        from imwatermark import WatermarkEncoder

        encoder = WatermarkEncoder()
        encoder.set_by_bytes(self.text.encode())
        for frame in frames:
            yield encoder.encode(frame[..., ::-1].copy(), METHOD)[..., ::-1]

    def matching_bits(self, frames: np.ndarray) -> float:
        """The part of its bits that are found in the frames: about 0.5 where it is not, 1 where it
        is unharmed. `frames`: uint8 [F, H, W, 3]."""
        from imwatermark import WatermarkDecoder

        expected = np.unpackbits(np.frombuffer(self.text.encode(), np.uint8))
        decoder = WatermarkDecoder("bits", len(expected))
        votes = [
            np.asarray(decoder.decode(frame[..., ::-1].copy(), METHOD), float) for frame in frames
        ]
        return float(((np.mean(votes, axis=0) > 0.5) == expected).mean())


def has_room(width: int, height: int) -> bool:
    return width * height >= MIN_PIXELS


def check_package() -> None:
    """Raises KinoraError(INVALID_INPUT) if the optional package is not installed."""
    if not find_spec(MODULE):
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            f"KINORA_WATERMARK needs a package that is not installed: pip install {PACKAGE}. "
            "Without the setting, clips are made without a watermark.",
        )
