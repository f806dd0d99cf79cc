"""Pictures in every format that is taken, made here, beside what they should look like."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, ImageCms

from tests.media.malformed import saved

pillow_heif.register_heif_opener()

MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("1", "L", "P"),
    "BMP": ("1", "L", "P", "RGB"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F"),
    "AVIF": ("L", "RGB", "RGBA"),
    "HEIF": ("L", "RGB", "RGBA", "I;16"),
}
TURNED = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF")
"""Formats that say which side is up."""
BEST: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4", "speed": 8},
    "HEIF": {"quality": -1, "chroma": 444},
}
LOSSY = frozenset({"JPEG", "AVIF", "HEIF"})
AS_SHOT = {  # how the camera holds what is upright after that orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Sample:
    data: bytes
    shown: np.ndarray
    """What a person should see, as RGB."""
    within: int
    """Levels by which it may differ, at most."""


def smooth(width: int, height: int) -> Image.Image:
    """Every corner has a colour of its own, and nothing is sharp."""
    y, x = (
        np.mgrid[:height, :width] / np.array([max(height - 1, 1), max(width - 1, 1)])[:, None, None]
    )
    pixels = np.stack([40 + 180 * x, 40 + 180 * y, 220 - 90 * x - 90 * y], axis=-1)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def sample(
    format: str, mode: str, orientation: int = 1, size: tuple[int, int] = (48, 32)
) -> Sample:
    """`size` is that of the upright picture."""
    upright = smooth(*size)
    image, shown, within = _in_mode(upright, mode)
    options: dict[str, Any] = dict(BEST.get(format, {}))
    if format == "HEIF" and mode in ("L", "I;16"):
        options.pop("chroma")
    if mode == "YCbCr":  # Pillow writes it rightly only so
        options |= {"compression": "jpeg", "quality": 98}
    if orientation != 1:
        image = image.transpose(AS_SHOT[orientation])
        if format == "TIFF":
            options["tiffinfo"] = {274: orientation}
        else:
            exif = Image.Exif()
            exif[0x0112] = orientation
            options["exif"] = exif.tobytes()
    data = saved(image, format, **options)
    return Sample(data, shown, within + (6 if format in LOSSY else 0))


def _in_mode(image: Image.Image, mode: str) -> tuple[Image.Image, np.ndarray, int]:
    grey = np.asarray(image.convert("L"))
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257), _rgb(grey), 1
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255), _rgb(grey), 1
    if mode == "LA":
        clear = np.full_like(grey, 128)
        made = Image.merge("LA", (Image.fromarray(grey), Image.fromarray(clear)))
        return made, _rgb(_on_white(grey, 128)), 2
    if mode == "RGBA":
        made = image.convert("RGBA")
        made.putalpha(128)
        return made, _on_white(np.asarray(image), 128), 3
    if mode == "P":
        made = image.quantize(64)
        return made, np.asarray(made.convert("RGB")).astype(int), 0
    if mode == "LAB":
        lab = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        assert lab is not None
        return lab, np.asarray(image).astype(int), 24  # eight bits of it are coarse
    made = image.convert(mode)
    within = {"CMYK": 1, "YCbCr": 8}.get(mode, 0)
    return made, np.asarray(made.convert("RGB")).astype(int), within


def _rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None].astype(int), 3, axis=-1)


def _on_white(pixels: np.ndarray, alpha: int) -> np.ndarray:
    return np.rint((pixels.astype(float) * alpha + 255 * (255 - alpha)) / 255).astype(int)


# ---- colours outside sRGB, by the definitions

P3_TO_SRGB = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])


def to_light(codes: np.ndarray) -> np.ndarray:
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def to_codes(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def as_display_p3(image: Image.Image) -> Image.Image:
    """The same colours, written in Display P3."""
    light = to_light(np.asarray(image) / 255.0) @ np.linalg.inv(P3_TO_SRGB).T
    return Image.fromarray(np.rint(to_codes(light.clip(0, 1)) * 255).astype(np.uint8))


def display_p3() -> bytes:
    """An ICC profile: that of sRGB with other primaries (adapted to D50)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for name, xyz in primaries.items():
        (place,) = struct.unpack_from(">I", profile, profile.index(name) + 4)
        struct.pack_into(">3i", profile, place + 8, *(round(v * 65536) for v in xyz))
    return bytes(profile)
