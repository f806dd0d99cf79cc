"""What the colours of a clip mean, and how they become SDR BT.709.

Decides matrix, range, primaries and transfer from what the file says, guesses as browsers do where
it says nothing, and describes the conversion as ffmpeg filters. HDR and wide gamuts go through a
3D table that is computed here: every ffmpeg has `lut3d`, while zscale is optional, and zscale's HLG
applies the system gamma to each channel instead of to the luminance, which changes hues.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from errors import ErrorCode, KinoraError
from media.ffmpeg import BT709

UNKNOWN = frozenset({"unknown", "reserved", "unspecified"})
HD_HEIGHT = 720
"""Chromium and Firefox read an untagged clip as BT.709 from this height on, else as BT.601."""
ALWAYS_601 = frozenset({"vp9", "av1"})
"""Chromium reads these as BT.601 at any size where they are untagged (measured in version 156)."""

SWSCALE_MATRIX = {
    "bt709": "bt709",
    "bt470bg": "bt601",
    "smpte170m": "bt601",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
HDR = {"arib-std-b67": "HLG", "smpte2084": "PQ"}
WHITE_NITS = 203.0
"""SDR white in HDR, by ITU-R BT.2408: 75 % of the HLG signal, 58 % of the PQ signal."""
HLG_PEAK_NITS = 1000.0
KNEE = 0.95
"""Highlights above this share of SDR white are rolled off; SDR white itself stays at 253 of 255."""

# xy of red, green and blue; white is D65. Primaries that are not here are taken for BT.709, as
# browsers do with those of SMPTE 170M and 240M.
PRIMARIES = {
    "bt709": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "smpte431": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "bt470bg": ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
}
GAMMA = {"bt470m": 2.2, "bt470bg": 2.8, "linear": 1.0}
"""SDR transfers that are not shown like sRGB numbers."""
TABLE_SIZE = 49
CURVE_SIZE = 2049
SRGB_SIZE = 16_384
SDR_SHARE = 0.75
"""Of the grid; the rest is for highlights."""
LEVELS = 65535
BELOW = 0.05
"""How far the table goes below 0: if it were cut off there, what lies between an allowed colour and
one that BT.709 does not have would be too bright in its darkest channel, by up to 20 levels."""

TABLE, CURVE = "to-light.csp", "to-srgb.cube"

PRECISE = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass(frozen=True)
class Colours:
    """Every field is decided: nothing is left to a later guess."""

    matrix: str
    """As swscale names it; empty where the pictures are RGB."""
    primaries: str
    transfer: str
    full_range: bool

    @property
    def hdr(self) -> str | None:
        """HLG or PQ."""
        return HDR.get(self.transfer)

    @property
    def needs_table(self) -> bool:
        special = self.hdr is not None or self.transfer in GAMMA
        return special or (self.primaries in PRIMARIES and self.primaries != "bt709")


def decide_colours(
    pix_fmt: str,
    matrix: str,
    primaries: str,
    transfer: str,
    range_: str,
    *,
    codec: str,
    height: int,
) -> Colours:
    """From a stream's tags. Raises KinoraError(INVALID_VIDEO) for a matrix that cannot be read."""
    full_range = range_ == "pc" or pix_fmt.startswith("yuvj")
    is_rgb = pix_fmt.startswith(("gbr", "rgb", "bgr", "argb", "abgr", "pal8"))
    if primaries in UNKNOWN and (matrix.startswith("bt2020") or transfer in HDR):
        primaries = "bt2020"
    if is_rgb:
        return Colours("", primaries, transfer, full_range)
    if matrix in UNKNOWN:
        if primaries == "bt2020":
            matrix = "bt2020nc"
        elif full_range or codec in ALWAYS_601 or height < HD_HEIGHT:
            matrix = "smpte170m"
        else:
            matrix = "bt709"
    if matrix not in SWSCALE_MATRIX:
        raise KinoraError(
            ErrorCode.INVALID_VIDEO,
            f"The colours of this clip are coded as {matrix}, which cannot be read here. "
            "Export it as an ordinary H.264 MP4.",
        )
    return Colours(SWSCALE_MATRIX[matrix], primaries, transfer, full_range)


def describe_conversion(colours: Colours) -> str:
    """The filters that end in tagged BT.709 yuv420p; they read the files of `write_tables`."""
    matrix = f"in_color_matrix={colours.matrix}:" if colours.matrix else ""
    range_ = f"in_range={'pc' if colours.full_range or not matrix else 'tv'}"
    if not colours.needs_table:
        return f"scale={matrix}{range_}:{BT709.removeprefix('scale=')}"
    return (
        f"scale={matrix}{range_}:{PRECISE},format=gbrp16le,"
        f"lut3d=file={TABLE}:interp=tetrahedral,lut1d=file={CURVE},"
        f"setparams=color_primaries=bt709:color_trc=bt709,{BT709}"
    )


def write_tables(colours: Colours, folder: Path) -> None:
    """Into ffmpeg's working folder: a path in a filter would have to be escaped."""
    if colours.needs_table:
        (folder / TABLE).write_bytes(make_table(colours.primaries, colours.transfer))
        (folder / CURVE).write_bytes(make_curve())


@functools.lru_cache(maxsize=4)
def make_table(primaries: str, transfer: str) -> bytes:
    """A cineSpace file from R'G'B', with these primaries and this transfer, to light of BT.709.

    A curve spreads the signal first, so that most of the 3D grid is for what SDR can show and is
    even there as the eye sees it: without it dark channels of bright colours are off by 10 levels.
    """
    signal = np.linspace(0, 1, CURVE_SIZE)
    curve = _spread(signal, transfer)
    # the grid's places in the signal: the curve read backwards
    axis = np.interp(np.linspace(0, 1, TABLE_SIZE), curve, signal)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red changes first
    grid = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    light = convert(grid, primaries, transfer)
    rows = ((light.clip(-BELOW) + BELOW) / (1 + BELOW) * LEVELS).round().astype(int)
    words = [f"{level / LEVELS:.5f}" for level in range(LEVELS + 1)]
    body = "\n".join(f"{words[r]} {words[g]} {words[b]}" for r, g, b in rows.tolist())
    points = [" ".join(f"{value:.7f}" for value in values) for values in (signal, curve)]
    one = f"{CURVE_SIZE}\n{points[0]}\n{points[1]}\n"
    size = f"{TABLE_SIZE} {TABLE_SIZE} {TABLE_SIZE}"
    return f"CSPLUTV100\n3D\n\n{one * 3}\n{size}\n{body}\n".encode()


@functools.cache
def make_curve() -> bytes:
    """A .cube file from what the table gives to sRGB numbers."""
    light = np.linspace(-BELOW, 1, SRGB_SIZE).clip(0)
    rows = "\n".join(f"{value:.6f} {value:.6f} {value:.6f}" for value in encode_srgb(light))
    return f"LUT_1D_SIZE {SRGB_SIZE}\n{rows}\n".encode()


def _spread(signal: np.ndarray, transfer: str) -> np.ndarray:
    """From the signal of one channel to 0..1, evenly for the eye up to SDR white."""
    if transfer not in HDR:
        light = _to_light(signal[:, None], transfer, np.ones(1))[:, 0]
        return light ** (1 / 2.4)
    grey = np.repeat(signal[:, None], 3, axis=1)
    light = _to_light(grey, transfer, luma=_rgb_to_xyz("bt2020")[1])[:, 0]
    above = np.log(np.maximum(light, 1)) / math.log(light[-1])
    return SDR_SHARE * np.minimum(light, 1) ** (1 / 2.4) + (1 - SDR_SHARE) * above


def convert(signal: np.ndarray, primaries: str, transfer: str) -> np.ndarray:
    """R'G'B' in 0..1, [N, 3], to linear light of BT.709, from -BELOW to 1."""
    wide = primaries if primaries in PRIMARIES else "bt709"
    to_xyz, from_xyz = _rgb_to_xyz(wide), np.linalg.inv(_rgb_to_xyz("bt709"))
    light = _to_light(signal, transfer, luma=to_xyz[1])
    light = _into_gamut(light @ (from_xyz @ to_xyz).T)
    return _roll_off(light, KNEE if transfer in HDR else 1.0)


def encode_srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _to_light(signal: np.ndarray, transfer: str, luma: np.ndarray) -> np.ndarray:
    """Linear light of the display, 1 is SDR white."""
    if transfer == "smpte2084":  # SMPTE ST 2084, its constants as printed there
        power = signal ** (1 / 78.84375)
        base = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
        return base ** (1 / 0.1593017578125) * 10_000 / WHITE_NITS
    if transfer == "arib-std-b67":  # ITU-R BT.2100, HLG: to light of the scene, then the OOTF
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        return scene * (scene @ luma)[:, None] ** 0.2 * HLG_PEAK_NITS / WHITE_NITS
    if transfer in GAMMA:
        return signal ** GAMMA[transfer]
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _into_gamut(light: np.ndarray) -> np.ndarray:
    """Colours far outside of BT.709 lose saturation rather than their hue."""
    luma = np.maximum(light @ _rgb_to_xyz("bt709")[1], 0)[:, None]
    lowest = light.min(axis=1, keepdims=True)
    share = np.where(lowest < -BELOW, (luma + BELOW) / np.maximum(luma - lowest, 1e-9), 1.0)
    return luma + (light - luma) * share


def _roll_off(light: np.ndarray, knee: float) -> np.ndarray:
    """All channels by the same factor, so that the hue stays: nothing is brighter than 1."""
    most = light.max(axis=1, keepdims=True)
    room = max(1 - knee, 1e-9)
    mapped = np.where(
        most > knee, knee + room * (-np.expm1(-np.maximum(most - knee, 0) / room)), most
    )
    if knee >= 1:
        mapped = np.minimum(most, 1)
    return light * mapped / np.maximum(most, 1e-9)


@functools.cache
def _rgb_to_xyz(name: str) -> np.ndarray:
    xyz = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in PRIMARIES[name]]).T
    white = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])
    return xyz * np.linalg.solve(xyz, white)
