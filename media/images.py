"""Decodes untrusted pictures safely and keeps them as plain RGB PNG files.

What a picture says about itself is taken out before Pillow sees it
(`media/strip_metadata.py`). PNG, JPEG, WebP, GIF and BMP of ordinary size are decoded here,
everything else in a process of its own (`media/image_sandbox.py`).
Does not know who sent a picture or what it is for.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from errors import ErrorCode, KinoraError
from media.files import atomic_write
from media.image_kinds import picture_kind, refused_kind
from media.image_limits import PictureLimits, check_bytes, check_size, unreadable, unusable
from media.image_sandbox import damaged, decode_apart
from media.pixels import to_plain_rgb
from media.strip_metadata import bare
from pipelines.request import Focus

DECODED_HERE = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""By small or well-worn decoders, within the memory that `SMALL_PIXELS` allows. Pillow has 40 more
openers; none of them ever sees an untrusted file."""
SMALL_PIXELS, SMALL_SIDE = 25_000_000, 16_384
LIMITS = PictureLimits()
AT_ONCE = threading.BoundedSemaphore(2)
"""Pictures decoded at the same time: many givers wait for each other, not the machine for them."""

# Pillow's own warning comes at 89 megapixels; what is larger than SMALL_PIXELS is decoded apart.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class StoredPicture:
    """`id` is the SHA-256 of the stored file; `width` and `height` are the stored, upright ones."""

    id: str
    width: int
    height: int


def store_picture(
    picture: bytes | Image.Image, folder: Path, limits: PictureLimits = LIMITS
) -> StoredPicture:
    """Keeps a picture as `folder/<id>.png`, without any metadata. The same pixels, the same id."""
    if isinstance(picture, bytes):
        image = _decoded(picture, limits)
    else:
        check_size(*picture.size, limits.max_pixels, limits.max_side)
        image = to_plain_rgb(picture, None)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=3)
    data = buffer.getvalue()
    name = hashlib.sha256(data).hexdigest()
    path = folder / f"{name}.png"
    if not path.exists():
        with atomic_write(path) as part:
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


def _decoded(data: bytes, limits: PictureLimits) -> Image.Image:
    check_bytes(len(data), limits.max_bytes)
    kind = picture_kind(data)
    if kind is None:
        raise unusable(refused_kind(data))
    with AT_ONCE:
        try:
            plain = bare(data)
        except ValueError as error:
            raise damaged() from error
        image = _opened_small(plain.data, kind, limits) if kind in DECODED_HERE else None
        if image is not None:
            try:
                return to_plain_rgb(image, plain.orientation, plain.nclx)
            except Exception as error:  # decoders fed with broken files raise nearly everything
                raise damaged() from error
    return decode_apart(plain, limits.max_pixels, limits.max_side)


def _opened_small(data: bytes, kind: str, limits: PictureLimits) -> Image.Image | None:
    """Reads the header only: nothing is decoded yet. None where it is to be decoded apart."""
    try:
        image = Image.open(io.BytesIO(data), formats=(kind,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    except Exception as error:  # see _decoded
        raise unreadable(kind) from error
    check_size(*image.size, limits.max_pixels, limits.max_side)
    is_small = image.width * image.height <= SMALL_PIXELS and max(image.size) <= SMALL_SIDE
    return image if is_small else None
