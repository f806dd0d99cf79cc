"""Pictures from strangers: decoded with care, turned upright, kept as plain RGB PNG files.

What a picture says about itself is taken out before Pillow sees it (`media/bare.py`), and its
pixels are worked over in bands, so that a large one does not need its size several times.
Knows formats and limits. Does not know who sent a picture or what it is for.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from errors import ErrorCode, KinoraError
from media.bare import bare
from media.files import whole
from pipelines.request import Focus

FORMATS = ("PNG", "JPEG", "WEBP")
"""Pillow has 40 more openers; none of them ever sees a stranger's bytes."""

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
AT_ONCE = threading.BoundedSemaphore(2)
"""Pictures decoded at the same time: many givers wait for each other, not the machine for them."""

KNOWN_BUT_REFUSED = {
    "a GIF": re.compile(rb"GIF8"),
    "an HEIC picture": re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.DOTALL),
    "an AVIF picture": re.compile(rb"....ftypavi", re.DOTALL),
    "a video": re.compile(rb"....ftyp|\x1aE\xdf\xa3", re.DOTALL),
    "a TIFF": re.compile(rb"II\*\0|MM\0\*"),
    "a BMP": re.compile(rb"BM"),
    "a PDF": re.compile(rb"%PDF"),
    "an SVG drawing": re.compile(rb"\s*<(\?xml|svg|!DOCTYPE svg)"),
}


@dataclass(frozen=True)
class PictureLimits:
    """What is refused before anything is decoded."""

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 25_000_000
    max_side: int = 8192


@dataclass(frozen=True)
class StoredPicture:
    """`id` is the SHA-256 of the stored file; `width` and `height` are the stored, upright ones."""

    id: str
    width: int
    height: int


def store_picture(
    picture: bytes | Image.Image, folder: Path, limits: PictureLimits = PictureLimits()
) -> StoredPicture:
    """Keeps a picture as `folder/<id>.png`, without any metadata. The same pixels, the same id."""
    with AT_ONCE:
        if isinstance(picture, bytes):
            image, orientation = _opened(picture, limits)
        else:
            image, orientation = picture, None
        _check_size(image, limits)
        try:
            image = _plain(image, orientation)
        except Exception as error:  # decoders fed with broken files raise nearly everything
            raise KinoraError(ErrorCode.INVALID_IMAGE, "This picture is damaged.") from error
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=3)
    data = buffer.getvalue()
    name = hashlib.sha256(data).hexdigest()
    path = folder / f"{name}.png"
    if not path.exists():
        with whole(path) as part:
            part.write_bytes(data)
    return StoredPicture(name, image.width, image.height)


def load_picture(picture_id: str, folder: Path) -> Image.Image:
    """A picture that was stored here."""
    path = folder / f"{picture_id}.png"
    if not re.fullmatch(r"[0-9a-f]{64}", picture_id) or not path.is_file():
        raise KinoraError(ErrorCode.NOT_FOUND, "That picture is not here any more. Add it again.")
    with Image.open(path, formats=("PNG",)) as image:
        return image.convert("RGB")


def crop_to(image: Image.Image, width: int, height: int, focus: Focus) -> Image.Image:
    """The largest part of the clip's shape, where `focus` puts it, at the clip's size."""
    scale = max(width / image.width, height / image.height)
    crop_w, crop_h = min(width / scale, image.width), min(height / scale, image.height)
    left, top = (image.width - crop_w) * focus.x, (image.height - crop_h) * focus.y
    box = (left, top, min(left + crop_w, image.width), min(top + crop_h, image.height))
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _opened(data: bytes, limits: PictureLimits) -> tuple[Image.Image, int | None]:
    """Reads the header only: nothing is decoded yet. The second is the EXIF orientation."""
    if len(data) > limits.max_bytes:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The picture is {len(data) / 2**20:.1f} MB; "
            f"at most {limits.max_bytes / 2**20:.0f} MB are accepted.",
        )
    try:
        plain = bare(data)
        return Image.open(io.BytesIO(plain.data), formats=FORMATS), plain.orientation
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise KinoraError(ErrorCode.TOO_LARGE, "The picture has far too many pixels.") from error
    except Exception as error:  # see store_picture
        what = next((name for name, magic in KNOWN_BUT_REFUSED.items() if magic.match(data)), None)
        sentence = f"This is {what}. Use a PNG, JPEG or WebP." if what else None
        raise KinoraError(ErrorCode.INVALID_IMAGE, sentence) from error


def _check_size(image: Image.Image, limits: PictureLimits) -> None:
    width, height = image.size
    if max(width, height) > limits.max_side or width * height > limits.max_pixels:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The picture is {width} x {height}; at most {limits.max_pixels / 1e6:.0f} megapixels "
            f"and {limits.max_side} pixels a side are accepted.",
        )


def _plain(image: Image.Image, orientation: int | None) -> Image.Image:
    """Decoded, reduced, upright, in sRGB, without transparency, without metadata."""
    # 1. The pixels. A JPEG can be decoded at a fraction of its size.
    if image.format == "JPEG":
        image.draft(None, (KEPT_SIDE, KEPT_SIDE))
    image.load()

    # 2. In bands: the colours, white where it is transparent, and the size.
    in_srgb = _colours(image)
    width, height = _kept_size(image)
    scale = image.height / height
    reach = 0 if height == image.height else math.ceil(LANCZOS_REACH * scale) + 1
    kept = Image.new("RGB", (width, height))
    for top in range(0, height, BAND):
        bottom = min(top + BAND, height)
        first = max(0, math.floor(top * scale) - reach)
        last = min(image.height, math.ceil(bottom * scale) + reach)
        band = in_srgb(_opaque(image.crop((0, first, image.width, last))))
        if band.size != (width, bottom - top):
            box = (0, top * scale - first, image.width, bottom * scale - first)
            band = band.resize((width, bottom - top), Image.Resampling.LANCZOS, box=box)
        kept.paste(band, (0, top))

    # 3. The shape.
    return kept.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else kept


def _kept_size(image: Image.Image) -> tuple[int, int]:
    shrink = min(1.0, KEPT_SIDE / max(image.size))
    return max(1, round(image.width * shrink)), max(1, round(image.height * shrink))


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip to white
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        flat = Image.new("RGB", image.size, BACKGROUND)
        flat.paste(image, mask=image)
        image = flat
    return image.convert("RGB") if image.mode == "P" else image


def _colours(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """As their profile means them; a profile that is broken or does not fit is ignored."""
    profile = image.info.get("icc_profile")
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = _opaque(image.crop((0, 0, 1, 1))).mode
            target = ImageCms.createProfile("sRGB")
            transform = ImageCms.buildTransform(source, target, mode, "RGB")
            return lambda band: ImageCms.applyTransform(band, transform) or band
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return lambda band: band if band.mode == "RGB" else band.convert("RGB")
