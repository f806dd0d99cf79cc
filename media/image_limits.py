"""Limits on untrusted images, and the errors for images that are rejected."""

from __future__ import annotations

from dataclasses import dataclass

from errors import ErrorCode, KinoraError, megabytes
from media.image_kinds import USE_READABLE

MAX_PIXELS = 200_000_000
MAX_SIDE = 65_535


@dataclass(frozen=True)
class PictureLimits:
    """Checked before anything is decoded. Images within the limits are scaled down."""

    max_bytes: int = 64_000_000
    max_pixels: int = MAX_PIXELS
    max_side: int = MAX_SIDE


def check_size(width: int, height: int, max_pixels: int, max_side: int) -> None:
    if width < 1 or height < 1:
        raise KinoraError(ErrorCode.INVALID_IMAGE, "This picture is damaged.")
    if max(width, height) > max_side or width * height > max_pixels:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            f"The picture is {width} x {height}; at most {max_pixels / 1e6:g} megapixels "
            f"and {max_side} pixels per side are accepted.",
        )


def check_bytes(count: int, most: int) -> None:
    if count > most:
        raise too_large_error(most)


def too_large_error(most: int) -> KinoraError:
    sentence = f"The picture is larger than {megabytes(most)} MB. Use a smaller one."
    return KinoraError(ErrorCode.TOO_LARGE, sentence)


def unsupported_error(what: str | None) -> KinoraError:
    """`what` is a kind with its article, as "a PDF", or None if unknown."""
    sentence = (
        f"This is {what}, which is not supported." if what else "This picture cannot be read."
    )
    return KinoraError(
        ErrorCode.INVALID_IMAGE,
        f"{sentence} {USE_READABLE}",
    )


def unreadable_error(kind: str) -> KinoraError:
    """`kind` is Pillow's name, which cannot tell a damaged header from an unsupported variant."""
    name = "HEIC" if kind == "HEIF" else kind
    return KinoraError(
        ErrorCode.INVALID_IMAGE,
        f"This {name} picture is damaged, or a variant that is not supported. "
        "Save it as PNG or JPEG.",
    )


def raw_file_error() -> KinoraError:
    return unsupported_error("a camera raw file")
