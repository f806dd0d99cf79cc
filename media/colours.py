"""Builds the ffmpeg filters that convert a clip's colours to SDR BT.709.

Matrix, range, primaries and transfer come from the stream's tags; missing tags are guessed as
browsers do. HDR and wide gamuts go through a 3D LUT that is computed here: every ffmpeg has
`lut3d`, while zscale is optional, and zscale's HLG applies the system gamma to each channel instead
of to the luminance, which changes hues.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from errors import ErrorCode, KinoraError
from media.ffmpeg import BT709
from media.transfer_functions import (
    HLG_OOTF_EXPONENT,
    HLG_PEAK_NITS,
    SDR_WHITE_NITS,
    hlg_to_scene,
    linear_to_srgb,
    pq_to_linear,
    srgb_to_linear,
)

UNKNOWN = frozenset({"unknown", "reserved", "unspecified"})
HD_HEIGHT = 720
"""Chromium and Firefox decode an untagged clip as BT.709 from this height on, else as BT.601."""
BT601_IF_UNTAGGED = frozenset({"vp9", "av1"})
"""Chromium decodes these as BT.601 at any size if they are untagged (measured in version 156)."""

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
KNEE = 0.95
"""Highlights above this share of SDR white are rolled off; SDR white itself stays at 253 of 255."""

# xy of red, green and blue; white is D65. Any other primaries are treated as BT.709, as browsers do
# with those of SMPTE 170M and 240M.
PRIMARIES = {
    "bt709": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "smpte431": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "bt470bg": ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
}
GAMMA = {"bt470m": 2.2, "bt470bg": 2.8, "linear": 1.0}
"""SDR transfers that differ from sRGB: the exponent of the signal."""
TABLE_SIZE = 49
CURVE_SIZE = 2049
SRGB_SIZE = 16_384
SDR_SHARE = 0.75
"""Share of the grid below SDR white; the rest is for highlights."""
LEVELS = 65535
MARGIN = 0.05
"""How far the table goes below 0. Cut off at 0, it would interpolate between colours inside and
outside BT.709 with a darkest channel up to 20 levels too bright."""

TABLE_FILE, CURVE_FILE = "to-light.csp", "to-srgb.cube"

SCALE_FLAGS = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass(frozen=True)
class Colours:
    """Fully decided: no field is left for ffmpeg to guess."""

    matrix: str
    """swscale's name; empty if the pictures are RGB."""
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
    """Decides from a stream's tags. Raises KinoraError(INVALID_VIDEO) for an unsupported matrix."""
    full_range = range_ == "pc" or pix_fmt.startswith("yuvj")
    is_rgb = pix_fmt.startswith(("gbr", "rgb", "bgr", "argb", "abgr", "pal8"))
    if primaries in UNKNOWN and (matrix.startswith("bt2020") or transfer in HDR):
        primaries = "bt2020"
    if is_rgb:
        return Colours("", primaries, transfer, full_range)
    if matrix in UNKNOWN:
        if primaries == "bt2020":
            matrix = "bt2020nc"
        elif full_range or codec in BT601_IF_UNTAGGED or height < HD_HEIGHT:
            matrix = "smpte170m"
        else:
            matrix = "bt709"
    if matrix not in SWSCALE_MATRIX:
        raise KinoraError(
            ErrorCode.INVALID_VIDEO,
            f"The colours of this clip use the {matrix} matrix, which is not supported. "
            "Export it as an ordinary H.264 MP4.",
        )
    return Colours(SWSCALE_MATRIX[matrix], primaries, transfer, full_range)


def describe_conversion(colours: Colours) -> str:
    """The filters that produce tagged BT.709 yuv420p; they read the files of `write_tables`."""
    matrix = f"in_color_matrix={colours.matrix}:" if colours.matrix else ""
    range_ = f"in_range={'pc' if colours.full_range or not matrix else 'tv'}"
    if not colours.needs_table:
        return f"scale={matrix}{range_}:{BT709.removeprefix('scale=')}"
    return (
        f"scale={matrix}{range_}:{SCALE_FLAGS},format=gbrp16le,"
        f"lut3d=file={TABLE_FILE}:interp=tetrahedral,lut1d=file={CURVE_FILE},"
        f"setparams=color_primaries=bt709:color_trc=bt709,{BT709}"
    )


def write_tables(colours: Colours, folder: Path) -> None:
    """Writes the LUTs into ffmpeg's working folder: a path in a filter would need escaping."""
    if colours.needs_table:
        (folder / TABLE_FILE).write_bytes(make_table(colours.primaries, colours.transfer))
        (folder / CURVE_FILE).write_bytes(make_srgb_curve())


@functools.lru_cache(maxsize=4)
def make_table(primaries: str, transfer: str) -> bytes:
    """A cineSpace 3D LUT from R'G'B', with these primaries and this transfer, to linear BT.709.

    A 1D curve is applied to the signal first, so that most of the grid covers the SDR range, in
    perceptually even steps: without it dark channels of bright colours are off by 10 levels.
    """
    signal = np.linspace(0, 1, CURVE_SIZE)
    curve = _signal_curve(signal, transfer)
    # the signal at each grid point: the inverse of the curve
    axis = np.interp(np.linspace(0, 1, TABLE_SIZE), curve, signal)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red varies fastest
    grid = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    light = convert(grid, primaries, transfer)
    rows = ((light.clip(-MARGIN) + MARGIN) / (1 + MARGIN) * LEVELS).round().astype(int)
    texts = [f"{level / LEVELS:.5f}" for level in range(LEVELS + 1)]
    body = "\n".join(f"{texts[r]} {texts[g]} {texts[b]}" for r, g, b in rows.tolist())
    points = [" ".join(f"{value:.7f}" for value in values) for values in (signal, curve)]
    curve_text = f"{CURVE_SIZE}\n{points[0]}\n{points[1]}\n"
    size = f"{TABLE_SIZE} {TABLE_SIZE} {TABLE_SIZE}"
    return f"CSPLUTV100\n3D\n\n{curve_text * 3}\n{size}\n{body}\n".encode()


@functools.cache
def make_srgb_curve() -> bytes:
    """A .cube 1D LUT from the output of `make_table` to sRGB values."""
    light = np.linspace(-MARGIN, 1, SRGB_SIZE).clip(0)
    rows = "\n".join(f"{value:.6f} {value:.6f} {value:.6f}" for value in linear_to_srgb(light))
    return f"LUT_1D_SIZE {SRGB_SIZE}\n{rows}\n".encode()


def _signal_curve(signal: np.ndarray, transfer: str) -> np.ndarray:
    """Maps one channel's signal to 0..1, perceptually even up to SDR white."""
    if transfer not in HDR:
        light = _to_linear(signal[:, None], transfer, np.ones(1))[:, 0]
        return light ** (1 / 2.4)
    grey = np.repeat(signal[:, None], 3, axis=1)
    light = _to_linear(grey, transfer, luma=_rgb_to_xyz("bt2020")[1])[:, 0]
    above = np.log(np.maximum(light, 1)) / math.log(light[-1])
    return SDR_SHARE * np.minimum(light, 1) ** (1 / 2.4) + (1 - SDR_SHARE) * above


def convert(signal: np.ndarray, primaries: str, transfer: str) -> np.ndarray:
    """R'G'B' in 0..1, [N, 3], to linear light of BT.709, from -BELOW to 1."""
    wide = primaries if primaries in PRIMARIES else "bt709"
    to_xyz, from_xyz = _rgb_to_xyz(wide), np.linalg.inv(_rgb_to_xyz("bt709"))
    light = _to_linear(signal, transfer, luma=to_xyz[1])
    light = _compress_gamut(light @ (from_xyz @ to_xyz).T)
    return _roll_off_highlights(light, KNEE if transfer in HDR else 1.0)


def _to_linear(signal: np.ndarray, transfer: str, luma: np.ndarray) -> np.ndarray:
    """Linear display light; 1 is SDR white. signal: [N, C]; luma: [C], the luminance weights."""
    if transfer == "smpte2084":
        return pq_to_linear(signal)
    if transfer == "arib-std-b67":  # to scene light, then the OOTF
        scene = hlg_to_scene(signal)
        ootf = (scene @ luma)[:, None] ** HLG_OOTF_EXPONENT
        return scene * ootf * HLG_PEAK_NITS / SDR_WHITE_NITS
    if transfer in GAMMA:
        return signal ** GAMMA[transfer]
    return srgb_to_linear(signal)


def _compress_gamut(light: np.ndarray) -> np.ndarray:
    """Desaturates colours far outside BT.709, which keeps their hue."""
    luma = np.maximum(light @ _rgb_to_xyz("bt709")[1], 0)[:, None]
    lowest = light.min(axis=1, keepdims=True)
    share = np.where(lowest < -MARGIN, (luma + MARGIN) / np.maximum(luma - lowest, 1e-9), 1.0)
    return luma + (light - luma) * share


def _roll_off_highlights(light: np.ndarray, knee: float) -> np.ndarray:
    """Scales all channels by the same factor, so that nothing exceeds 1 and the hue stays."""
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
