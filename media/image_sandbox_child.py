"""The process that decodes one picture: file on stdin, then a line of JSON and pixels on stdout.

Started by `media/image_sandbox.py`. It limits itself before it reads anything.
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
from media.image_limits import check_size, raw_file, unreadable
from media.nclx import Nclx, find_nclx
from media.pixels import to_plain_rgb
from media.strip_tiff import DNG_VERSION, NEW_SUBFILE_TYPE, SUB_IFDS

CPU_S = 30
BASE_BYTES = 1 << 30
"""Address space for the interpreter, its libraries and the file."""
BYTES_PER_PIXEL = 16
"""HEIC is the worst: 3 bytes as YCbCr 4:4:4 twice, 3 as RGB twice, 4 in Pillow."""
ORIENTATION = 0x0112


def main(how: dict[str, Any]) -> None:
    _limit(BASE_BYTES + BYTES_PER_PIXEL * how["max_pixels"])
    Image.MAX_IMAGE_PIXELS = None  # checked here, with a sentence
    warnings.simplefilter("ignore")
    data = sys.stdin.buffer.read()
    try:
        image = _decoded(data, how)
    except KinoraError as error:
        _answer({"code": error.code.value, "message": error.message})
        return
    except MemoryError:
        sentence = "This picture takes too much memory to decode. Save it smaller, or as JPEG."
        _answer({"code": ErrorCode.TOO_LARGE.value, "message": sentence})
        return
    except Exception as error:  # decoders fed with broken files raise nearly everything
        sys.stderr.write(repr(error))
        _answer({"code": ErrorCode.INVALID_IMAGE.value, "message": "This picture is damaged."})
        return
    _answer({"size": image.size}, image.tobytes())


def _decoded(data: bytes, how: dict[str, Any]) -> Image.Image:
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
        raise unreadable(kind) from None
    check_size(*image.size, how["max_pixels"], how["max_side"])
    orientation = how["orientation"]
    nclx = Nclx(*how["nclx"]) if how["nclx"] else None
    if kind == "TIFF":
        _refuse_raw_files(image)
    elif kind == "AVIF":
        # Pillow reports the turn that the container asks for here, also where EXIF says otherwise
        orientation = image.getexif().get(ORIENTATION)
    if kind in ("AVIF", "HEIF"):
        nclx = find_nclx(data)
    return to_plain_rgb(image, orientation, nclx)


def _refuse_raw_files(image: Image.Image) -> None:
    """DNG, NEF and others are TIFF files whose first picture is a thumbnail."""
    tags: Any = getattr(image, "tag_v2", {})
    is_thumbnail = bool(tags.get(NEW_SUBFILE_TYPE, 0) & 1) and SUB_IFDS in tags
    if DNG_VERSION in tags or is_thumbnail:
        raise raw_file()


def _limit(address_space: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the time limit of the parent is left
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere it is not enforced, or counts shared libraries
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


def _answer(head: dict[str, Any], pixels: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    sys.stdout.buffer.write(pixels)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
