"""Converts images whose colour space is given by ITU-T H.273 code points (nclx, cICP) to sRGB.

SDR only changes its primaries; PQ and HLG are tone-mapped to SDR.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from media.transfer_functions import (
    HLG_OOTF_EXPONENT,
    HLG_PEAK_NITS,
    SDR_WHITE_NITS,
    hlg_to_scene,
    linear_to_srgb,
    pq_to_linear,
    srgb_to_linear,
)

BT2020, P3_DCI, P3 = 9, 11, 12
LINEAR, PQ, HLG = 8, 16, 18

TO_BT709 = {  # linear light; all with a D65 white point
    P3: ((1.22494, -0.22494, 0.0), (-0.04206, 1.04206, 0.0), (-0.01964, -0.07864, 1.09827)),
    BT2020: ((1.66049, -0.58764, -0.07285), (-0.12455, 1.13290, -0.00835),
             (-0.01815, -0.10058, 1.11873)),
}  # fmt: skip

SEARCH_BYTES = 1 << 20
"""The `colr` box is looked for in the first megabyte."""


class Nclx(NamedTuple):
    primaries: int
    transfer: int


def find_nclx(data: bytes) -> Nclx | None:
    """Reads the first `colr` box of type nclx; None if there is none."""
    position = data.find(b"colrnclx", 0, SEARCH_BYTES)
    if position < 0 or position + 12 > len(data):
        return None
    return Nclx(*struct.unpack_from(">HH", data, position + 8))


def converter(nclx: Nclx) -> Callable[[Image.Image], Image.Image] | None:
    """Returns a function from an RGB image to an sRGB one, or None if nothing has to change."""
    matrix = np.array(TO_BT709.get(nclx.primaries, np.eye(3)), dtype=np.float32)
    is_hdr = nclx.transfer in (PQ, HLG)
    if nclx.primaries not in TO_BT709 and not is_hdr and nclx.transfer != LINEAR:
        return None
    codes = np.arange(256, dtype=np.float64) / 255
    to_light = {PQ: pq_to_linear, HLG: hlg_to_scene, LINEAR: lambda e: e}.get(
        nclx.transfer, srgb_to_linear
    )
    light = to_light(codes).astype(np.float32)

    def convert(band: Image.Image) -> Image.Image:
        pixels = light[np.asarray(band.convert("RGB"))]
        if nclx.transfer == HLG:  # the OOTF: scene light to display light, by luminance
            y = pixels @ np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
            pixels = pixels * np.maximum(y, 1e-6)[..., None] ** HLG_OOTF_EXPONENT
            pixels = pixels * (HLG_PEAK_NITS / SDR_WHITE_NITS)
        if is_hdr:
            pixels = _tone_map(pixels)
        srgb = linear_to_srgb(np.clip(pixels @ matrix.T, 0, 1))
        return Image.fromarray(np.rint(srgb * 255).astype(np.uint8))

    return convert


def _tone_map(light: np.ndarray) -> np.ndarray:
    """Extended Reinhard on the brightest channel, above 0.9 of SDR white only: the rest of the
    image does not change, and highlights keep their hue. light: [..., 3], 1 is SDR white."""
    knee, peak = 0.9, HLG_PEAK_NITS / SDR_WHITE_NITS
    brightest = light.max(axis=-1, keepdims=True)
    over = np.maximum(brightest - knee, 0) / (1 - knee)
    most = (peak - knee) / (1 - knee)
    compressed = knee + (1 - knee) * np.minimum(over * (1 + over / most**2) / (1 + over), 1)
    return light * np.where(brightest > knee, compressed / np.maximum(brightest, 1e-6), 1)
