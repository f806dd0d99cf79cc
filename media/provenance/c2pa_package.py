"""The C2PA library, which is not installable everywhere, and its settings."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

NOT_INSTALLED = (
    "Content Credentials cannot be signed or read here: the package c2pa-python is not installed, "
    "or does not run on this system."
)
TYPES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".m4v": "video/mp4",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".tif": "image/tiff",
    ".webm": "video/webm",
}
SIDECAR_ONLY = (".webm",)
"""Containers without a place for Content Credentials: they are a file beside it."""
SIDECAR = ".c2pa"
"""Added to the whole name: `clip.webm.c2pa`."""


CERTIFICATE_USES = (
    "1.3.6.1.4.1.62558.2.1",  # C2PA claim signing, which the library does not accept by default
    "1.3.6.1.5.5.7.3.4",  # e-mail protection
    "1.3.6.1.5.5.7.3.36",  # document signing
    "1.3.6.1.5.5.7.3.8",  # time stamps
    "1.3.6.1.5.5.7.3.9",  # OCSP
)
"""What certificates may be for, by the extension Extended Key Usage."""


class UnavailableError(RuntimeError):
    """The library is not installed or cannot be loaded."""


@cache
def load() -> ModuleType:
    """Raises UnavailableError. Takes a tenth of a second the first time."""
    try:
        import c2pa
    except Exception as error:  # of a native library: not installed, wrong system, wrong version
        raise UnavailableError(NOT_INSTALLED) from error
    return c2pa


def settings(**trust: str) -> dict[str, Any]:
    """Never fetches anything: no remote manifests, no OCSP. Files are not read again after they are
    signed, and get no thumbnails. `trust` are PEM certificates, by the library's names."""
    verify = {
        "verify_after_sign": False,
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
    }
    return {
        "verify": verify,
        "builder": {"thumbnail": {"enabled": False}},
        "trust": {"trust_config": "\n".join(CERTIFICATE_USES) + "\n", **trust},
    }
