"""Converts an opened image to plain RGB: scaled down, upright, sRGB, no transparency.

Works in bands of rows, so that a large image is not held in memory several times.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from media.nclx import Nclx, converter

MAX_STORED_SIDE = 2560
"""Larger images are scaled down to this: no model here makes more, and PNG files grow fast."""

MAX_PROFILE_BYTES = 4 * 1024 * 1024
BACKGROUND = "white"
"""Replaces transparency, as on most web pages."""

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BAND_ROWS = 256
LANCZOS_RADIUS = 3
"""Support of Pillow's Lanczos filter, in pixels of the smaller image."""

Convert = Callable[[Image.Image], Image.Image]


def to_plain_rgb(
    image: Image.Image, orientation: int | None, nclx: Nclx | None = None
) -> Image.Image:
    """`orientation` is EXIF's, 1 to 8. `nclx` is used if there is no ICC profile."""
    # 1. Decode. A JPEG can be decoded at a fraction of its size.
    if image.format == "JPEG":
        image.draft(None, (MAX_STORED_SIDE, MAX_STORED_SIDE))
    image.load()
    image = _fill_gif_canvas(image)

    # 2. In bands: flatten transparency, convert colours, resize. Each band needs a margin of rows
    #    for the filter, so that no seams appear.
    convert_band = _srgb_converter(image, nclx)
    white = _white_level(image)
    width, height = _stored_size(image)
    scale = image.height / height
    margin = 0 if height == image.height else math.ceil(LANCZOS_RADIUS * scale) + 1
    result = Image.new("RGB", (width, height))
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        first_row = max(0, math.floor(top * scale) - margin)
        last_row = min(image.height, math.ceil(bottom * scale) + margin)
        band = _to_eight_bits(image.crop((0, first_row, image.width, last_row)), white)
        band = convert_band(_flatten_alpha(band))
        if band.size != (width, bottom - top):
            box = (0, top * scale - first_row, image.width, bottom * scale - first_row)
            band = band.resize((width, bottom - top), Image.Resampling.LANCZOS, box=box)
        result.paste(band, (0, top))

    # 3. Rotate upright.
    return result.transpose(TRANSPOSE[orientation]) if orientation in TRANSPOSE else result


def _fill_gif_canvas(image: Image.Image) -> Image.Image:
    """A GIF's first frame may be smaller than its canvas; Pillow leaves the rest undefined."""
    extent = getattr(image, "dispose_extent", None)
    if image.format != "GIF" or extent in (None, (0, 0, *image.size)):
        return image
    canvas = Image.new("RGB", image.size, BACKGROUND)
    canvas.paste(_flatten_alpha(image.crop(extent)).convert("RGB"), extent[:2])
    return canvas


def _stored_size(image: Image.Image) -> tuple[int, int]:
    scale = min(1.0, MAX_STORED_SIDE / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _white_level(image: Image.Image) -> float:
    """The white level of grey images deeper than 8 bits; floats are 0 to 1 or 0 to 255."""
    if image.mode == "F":
        _, most = image.getextrema()
        return 1.0 if float(most) <= 1.0 else 255.0  # type: ignore[arg-type]
    return 65535.0


def _to_eight_bits(image: Image.Image, white: float) -> Image.Image:
    """Scales 16-bit, 32-bit and float grey to 8 bits; Pillow's convert() would clip them."""
    if image.mode == "F":
        grey = np.nan_to_num(np.asarray(image), nan=0.0) * (255.0 / white)
        return Image.fromarray(np.rint(grey.clip(0, 255)).astype(np.uint8))
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    return image


def _flatten_alpha(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        flat = Image.new("RGB", image.size, BACKGROUND)
        flat.paste(image, mask=image)
        image = flat
    return image.convert("RGB") if image.mode == "P" else image


def _srgb_converter(image: Image.Image, nclx: Nclx | None) -> Convert:
    """By ICC profile, else nclx, else unchanged. A broken or unsuitable profile is ignored."""
    profile = image.info.get("icc_profile")
    mode = _flatten_alpha(_to_eight_bits(image.crop((0, 0, 1, 1)), 255.0)).mode
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        try:
            return _icc_converter(ImageCms.ImageCmsProfile(io.BytesIO(profile)), mode)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    if mode == "LAB":  # Pillow converts LAB only with a profile
        return _icc_converter(ImageCms.createProfile("LAB"), mode)
    by_number = converter(nclx) if nclx and not profile else None
    return by_number or (lambda band: band if band.mode == "RGB" else band.convert("RGB"))


def _icc_converter(source: Any, mode: str) -> Convert:
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    return lambda band: ImageCms.applyTransform(band, transform) or band
