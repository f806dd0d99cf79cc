"""The sandbox process of `media/image_sandbox.py`: limits itself, then decodes one image.

Reads the file from stdin; writes a line of JSON, then raw RGB pixels, to stdout.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from typing import Any

from PIL import Image, UnidentifiedImageError

from errors import ErrorCode, KinoraError
from media.image_kinds import picture_kind
from media.image_limits import check_size, raw_file_error, unreadable_error
from media.nclx import Nclx, find_nclx
from media.pixels import to_plain_rgb
from media.strip_tiff import DNG_VERSION, NEW_SUBFILE_TYPE, SUB_IFDS

CPU_S = 30
BASE_BYTES = 1 << 30
"""Address space for the interpreter, its libraries and the file."""
BYTES_PER_PIXEL = 16
"""HEIC needs most: YCbCr 4:4:4 twice (6), RGB twice (6), Pillow's own copy (4)."""
ORIENTATION = 0x0112


def main(options: dict[str, Any]) -> None:
    _limit_resources(BASE_BYTES + BYTES_PER_PIXEL * options["max_pixels"])
    Image.MAX_IMAGE_PIXELS = None  # `check_size` raises a readable error instead
    warnings.simplefilter("ignore")
    data = sys.stdin.buffer.read()
    try:
        image = _decode(data, options)
    except KinoraError as error:
        _reply({"code": error.code.value, "message": error.message})
        return
    except MemoryError:
        sentence = "This picture needs too much memory to decode. Save it smaller, or as JPEG."
        _reply({"code": ErrorCode.TOO_LARGE.value, "message": sentence})
        return
    except Exception as error:  # on broken files, decoders raise almost anything
        sys.stderr.write(repr(error))
        _reply({"code": ErrorCode.INVALID_IMAGE.value, "message": "This picture is damaged."})
        return
    _reply({"size": image.size}, image.tobytes())


def _decode(data: bytes, options: dict[str, Any]) -> Image.Image:
    kind = picture_kind(data)
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener(
            thumbnails=False, depth_images=False, aux_images=False, decode_threads=1
        )
    if kind is None:
        raise KinoraError(ErrorCode.INVALID_IMAGE)
    try:
        image = Image.open(io.BytesIO(data), formats=(kind,))
    except UnidentifiedImageError:
        raise unreadable_error(kind) from None
    check_size(*image.size, options["max_pixels"], options["max_side"])
    orientation = options["orientation"]
    nclx = Nclx(*options["nclx"]) if options["nclx"] else None
    if kind == "TIFF":
        _reject_raw_files(image)
    elif kind == "AVIF":
        # Pillow puts the container's rotation here, even if the file's EXIF says otherwise
        orientation = image.getexif().get(ORIENTATION)
    if kind in ("AVIF", "HEIF"):
        nclx = find_nclx(data)
    return to_plain_rgb(image, orientation, nclx)


def _reject_raw_files(image: Image.Image) -> None:
    """Rejects DNG, NEF and others: TIFF files whose first image is a thumbnail."""
    tags: Any = getattr(image, "tag_v2", {})
    is_thumbnail = bool(tags.get(NEW_SUBFILE_TYPE, 0) & 1) and SUB_IFDS in tags
    if DNG_VERSION in tags or is_thumbnail:
        raise raw_file_error()


def _limit_resources(address_space: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: only the parent's time limit applies
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere it is not enforced, or counts shared libraries
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


def _reply(head: dict[str, Any], pixels: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    sys.stdout.buffer.write(pixels)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
