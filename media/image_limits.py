"""What is refused of pictures, and the sentences for it."""

from __future__ import annotations

from dataclasses import dataclass

from errors import ErrorCode, KinoraError
from media.image_kinds import READABLE

MAX_PIXELS = 200_000_000
MAX_SIDE = 65_535


@dataclass(frozen=True)
class PictureLimits:
    """Refused before anything is decoded. What is within them is reduced, not refused."""

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
            f"and {max_side} pixels a side are accepted.",
        )


def check_bytes(count: int, most: int) -> None:
    if count > most:
        raise too_many_bytes(most)


def too_many_bytes(most: int) -> KinoraError:
    sentence = f"The picture is larger than {most / 1e6:g} MB. Use a smaller one."
    return KinoraError(ErrorCode.TOO_LARGE, sentence)


def unusable(what: str | None) -> KinoraError:
    """`what` is "a PDF", or None where it is not known."""
    sentence = f"This is {what}, not a picture that can be used. " if what else None
    return KinoraError(
        ErrorCode.INVALID_IMAGE,
        f"{sentence or 'This picture cannot be read. '}Use a {READABLE}.",
    )


def unreadable(kind: str) -> KinoraError:
    """`kind` as Pillow calls it. A damaged head and a rare variant look the same to it."""
    name = "HEIC" if kind == "HEIF" else kind
    return KinoraError(
        ErrorCode.INVALID_IMAGE,
        f"This {name} picture cannot be read: it is damaged, or of a kind that is not supported. "
        "Save it as PNG or JPEG.",
    )


def raw_file() -> KinoraError:
    return unusable("a camera's raw file")
