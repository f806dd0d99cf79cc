"""From an opened picture to plain RGB: reduced, upright, in sRGB, without transparency.

Works in bands, so that a large picture does not need its size several times. Knows Pillow's modes;
knows no file and no limit.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from media.nclx import Nclx, converter

KEPT_SIDE = 2560
"""Larger pictures are reduced to this: no model here draws more, and PNG files grow fast."""

MAX_PROFILE_BYTES = 4 * 1024 * 1024
BACKGROUND = "white"
"""Shows through where a picture is transparent, as it does on most pages."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BAND = 256
"""Rows that are worked over at a time."""
LANCZOS_REACH = 3
"""How many of the smaller picture's pixels a pixel is made of, to each side."""

Convert = Callable[[Image.Image], Image.Image]


def to_plain_rgb(
    image: Image.Image, orientation: int | None, nclx: Nclx | None = None
) -> Image.Image:
    """`orientation` is EXIF's, 1 to 8. `nclx` is used where there is no ICC profile."""
    # 1. The pixels. A JPEG can be decoded at a fraction of its size.
    if image.format == "JPEG":
        image.draft(None, (KEPT_SIDE, KEPT_SIDE))
    image.load()
    image = _on_its_canvas(image)

    # 2. In bands: the colours, white where it is transparent, and the size.
    in_srgb = _colours(image, nclx)
    brightest = _float_range(image)
    width, height = _kept_size(image)
    scale = image.height / height
    reach = 0 if height == image.height else math.ceil(LANCZOS_REACH * scale) + 1
    kept = Image.new("RGB", (width, height))
    for top in range(0, height, BAND):
        bottom = min(top + BAND, height)
        first = max(0, math.floor(top * scale) - reach)
        last = min(image.height, math.ceil(bottom * scale) + reach)
        band = _eight_bits(image.crop((0, first, image.width, last)), brightest)
        band = in_srgb(_opaque(band))
        if band.size != (width, bottom - top):
            box = (0, top * scale - first, image.width, bottom * scale - first)
            band = band.resize((width, bottom - top), Image.Resampling.LANCZOS, box=box)
        kept.paste(band, (0, top))

    # 3. The shape.
    return kept.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else kept


def _on_its_canvas(image: Image.Image) -> Image.Image:
    """A GIF's first picture may be smaller than the GIF; Pillow fills the rest with any colour."""
    extent = getattr(image, "dispose_extent", None)
    if image.format != "GIF" or extent in (None, (0, 0, *image.size)):
        return image
    canvas = Image.new("RGB", image.size, BACKGROUND)
    canvas.paste(_opaque(image.crop(extent)).convert("RGB"), extent[:2])
    return canvas


def _kept_size(image: Image.Image) -> tuple[int, int]:
    shrink = min(1.0, KEPT_SIDE / max(image.size))
    return max(1, round(image.width * shrink)), max(1, round(image.height * shrink))


def _float_range(image: Image.Image) -> float:
    """What is white in grey of other depths than 8 bits: floats are 0 to 1 or 0 to 255."""
    if image.mode == "F":
        _, most = image.getextrema()
        return 1.0 if float(most) <= 1.0 else 255.0  # type: ignore[arg-type]
    return 65535.0


def _eight_bits(image: Image.Image, white: float) -> Image.Image:
    """Grey of 16 bits, 32 bits or floats, which convert() would clip."""
    if image.mode == "F":
        grey = np.nan_to_num(np.asarray(image), nan=0.0) * (255.0 / white)
        return Image.fromarray(np.rint(grey.clip(0, 255)).astype(np.uint8))
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    return image


def _opaque(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        flat = Image.new("RGB", image.size, BACKGROUND)
        flat.paste(image, mask=image)
        image = flat
    return image.convert("RGB") if image.mode == "P" else image


def _colours(image: Image.Image, nclx: Nclx | None) -> Convert:
    """As their profile means them; a profile that is broken or does not fit is ignored."""
    profile = image.info.get("icc_profile")
    mode = _opaque(_eight_bits(image.crop((0, 0, 1, 1)), 255.0)).mode
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        try:
            return _by_profile(ImageCms.ImageCmsProfile(io.BytesIO(profile)), mode)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    if mode == "LAB":  # Pillow converts it only by a profile
        return _by_profile(ImageCms.createProfile("LAB"), mode)
    by_number = converter(nclx) if nclx and not profile else None
    return by_number or (lambda band: band if band.mode == "RGB" else band.convert("RGB"))


def _by_profile(source: Any, mode: str) -> Convert:
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    return lambda band: ImageCms.applyTransform(band, transform) or band
