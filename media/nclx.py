"""Colours of AVIF and HEIC pictures that name their colour space by numbers instead of a profile.

The numbers are those of ITU-T H.273. Standard dynamic range is only moved from its primaries to
sRGB's; PQ and HLG are brought down to what a screen without HDR shows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

BT2020, P3_DCI, P3 = 9, 11, 12
LINEAR, PQ, HLG = 8, 16, 18

TO_SRGB = {  # linear light, both with the white of D65
    P3: ((1.22494, -0.22494, 0.0), (-0.04206, 1.04206, 0.0), (-0.01964, -0.07864, 1.09827)),
    BT2020: ((1.66049, -0.58764, -0.07285), (-0.12455, 1.13290, -0.00835),
             (-0.01815, -0.10058, 1.11873)),
}  # fmt: skip

WHITE_NITS, PEAK_NITS = 203.0, 1000.0
"""BT.2408: where white is in HDR, and how bright HLG's brightest is."""
SEARCHED = 1 << 20


class Nclx(NamedTuple):
    primaries: int
    transfer: int


def find_nclx(data: bytes) -> Nclx | None:
    """Of the file's first `colr` box with numbers, if it has one."""
    place = data.find(b"colrnclx", 0, SEARCHED)
    if place < 0 or place + 12 > len(data):
        return None
    return Nclx(*struct.unpack_from(">HH", data, place + 8))


def converter(nclx: Nclx) -> Callable[[Image.Image], Image.Image] | None:
    """From a band of RGB to one in sRGB; None where nothing is to be done."""
    matrix = np.array(TO_SRGB.get(nclx.primaries, np.eye(3)), dtype=np.float32)
    is_hdr = nclx.transfer in (PQ, HLG)
    if nclx.primaries not in TO_SRGB and not is_hdr and nclx.transfer != LINEAR:
        return None
    codes = np.arange(256, dtype=np.float64) / 255
    to_light = {PQ: _pq, HLG: _hlg, LINEAR: lambda e: e}.get(nclx.transfer, _srgb_to_light)
    light = to_light(codes).astype(np.float32)

    def convert(band: Image.Image) -> Image.Image:
        pixels = light[np.asarray(band.convert("RGB"))]
        if nclx.transfer == HLG:  # the system's gamma, on the scene's luminance
            y = pixels @ np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
            pixels = pixels * np.maximum(y, 1e-6)[..., None] ** 0.2 * (PEAK_NITS / WHITE_NITS)
        if is_hdr:
            pixels = _mapped(pixels)
        return Image.fromarray(_light_to_srgb(pixels @ matrix.T))

    return convert


def _mapped(light: np.ndarray) -> np.ndarray:
    """Extended Reinhard on the strongest channel, only above what a screen can nearly show: most
    of a picture stays as it is, and highlights keep their colour."""
    knee, peak = 0.9, PEAK_NITS / WHITE_NITS
    strongest = light.max(axis=-1, keepdims=True)
    over = np.maximum(strongest - knee, 0) / (1 - knee)
    most = (peak - knee) / (1 - knee)
    squeezed = knee + (1 - knee) * np.minimum(over * (1 + over / most**2) / (1 + over), 1)
    return light * np.where(strongest > knee, squeezed / np.maximum(strongest, 1e-6), 1)


def _srgb_to_light(e: np.ndarray) -> np.ndarray:
    return np.where(e <= 0.04045, e / 12.92, ((e + 0.055) / 1.055) ** 2.4)


def _light_to_srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    e = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(e * 255).astype(np.uint8)


def _pq(e: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, relative to white."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    root = e ** (1 / m2)
    nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return nits / WHITE_NITS


def _hlg(e: np.ndarray) -> np.ndarray:
    """ARIB STD-B67: the scene's light, 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(e <= 0.5, e**2 / 3, (np.exp((e - c) / a) + b) / 12)
