"""Decodes untrusted images safely and stores them as plain RGB PNG files.

Metadata is removed before Pillow sees a file (`media/strip_metadata.py`). PNG, JPEG, WebP, GIF and
BMP of ordinary size are decoded in this process, everything else in `media/image_sandbox.py`.
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
from media.image_limits import (
    PictureLimits,
    check_bytes,
    check_size,
    unreadable_error,
    unsupported_error,
)
from media.image_sandbox import damaged_error, decode_in_sandbox
from media.pixels import to_plain_rgb
from media.strip_metadata import strip_metadata
from pipelines.request import Focus

IN_PROCESS_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""Formats with small or well-tested decoders. Pillow has 40 more; none of them ever sees an
untrusted file in this process."""
IN_PROCESS_MAX_PIXELS, IN_PROCESS_MAX_SIDE = 25_000_000, 16_384
LIMITS = PictureLimits()
DECODE_SLOTS = threading.BoundedSemaphore(2)
"""Images decoded at the same time; further uploads wait, so that they cannot occupy all cores."""

# Pillow warns at 89 megapixels; images above IN_PROCESS_MAX_PIXELS go to the sandbox anyway.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class StoredPicture:
    """`id` is the SHA-256 of the stored file, `width` and `height` its size."""

    id: str
    width: int
    height: int


def store_picture(
    picture: bytes | Image.Image, folder: Path, limits: PictureLimits = LIMITS
) -> StoredPicture:
    """Stores an image as `folder/<id>.png` without metadata. Equal pixels get equal ids.

    Raises KinoraError(INVALID_IMAGE | TOO_LARGE | UNAVAILABLE | OUT_OF_DISK).
    """
    if isinstance(picture, bytes):
        image = _decode(picture, limits)
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
    """Loads a stored image. Raises KinoraError(NOT_FOUND)."""
    path = folder / f"{picture_id}.png"
    if not re.fullmatch(r"[0-9a-f]{64}", picture_id) or not path.is_file():
        raise KinoraError(ErrorCode.NOT_FOUND, "This picture is no longer available. Add it again.")
    with Image.open(path, formats=("PNG",)) as image:
        return image.convert("RGB")


def crop_to(image: Image.Image, width: int, height: int, focus: Focus) -> Image.Image:
    """Crops to the largest area of the target shape, placed by `focus`, and resizes it."""
    scale = max(width / image.width, height / image.height)
    crop_w, crop_h = min(width / scale, image.width), min(height / scale, image.height)
    left, top = (image.width - crop_w) * focus.x, (image.height - crop_h) * focus.y
    box = (left, top, min(left + crop_w, image.width), min(top + crop_h, image.height))
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def _decode(data: bytes, limits: PictureLimits) -> Image.Image:
    check_bytes(len(data), limits.max_bytes)
    kind = picture_kind(data)
    if kind is None:
        raise unsupported_error(refused_kind(data))
    with DECODE_SLOTS:
        try:
            stripped = strip_metadata(data)
        except ValueError as error:
            raise damaged_error() from error
        image = _open_if_small(stripped.data, kind, limits) if kind in IN_PROCESS_FORMATS else None
        if image is not None:
            try:
                return to_plain_rgb(image, stripped.orientation, stripped.nclx)
            except Exception as error:  # on broken files, decoders raise almost anything
                raise damaged_error() from error
    return decode_in_sandbox(stripped, limits.max_pixels, limits.max_side)


def _open_if_small(data: bytes, kind: str, limits: PictureLimits) -> Image.Image | None:
    """Reads the header, decodes nothing yet. None if the image must be decoded in the sandbox."""
    try:
        image = Image.open(io.BytesIO(data), formats=(kind,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    except Exception as error:  # see _decoded
        raise unreadable_error(kind) from error
    check_size(*image.size, limits.max_pixels, limits.max_side)
    is_small = (
        image.width * image.height <= IN_PROCESS_MAX_PIXELS
        and max(image.size) <= IN_PROCESS_MAX_SIDE
    )
    return image if is_small else None
