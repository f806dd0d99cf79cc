"""Decodes an image in a separate process with limits on memory and time.

The decoders of HEIC, AVIF and TIFF are large C libraries: a hostile file that exploits one must not
reach the server. Large images are decoded here too, one at a time, so that their memory is bounded
and returned to the system.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from PIL import Image

from errors import ErrorCode, KinoraError
from media.strip_metadata import StrippedImage

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 120.0
"""Wall time, for a very busy machine; the child limits its own CPU time to less."""
DECODE_SLOT = threading.BoundedSemaphore(1)
QUEUE_SLOTS = threading.BoundedSemaphore(8)
"""Each waiting request holds a server thread, so only a few may wait; others are rejected."""
INHERITED_ENV = (
    "PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SYSTEMROOT", "TEMP",
    "TMP", "TMPDIR", "LANG", "LC_ALL", "HOME",
)  # fmt: skip
"""Everything else is withheld: the environment holds secrets that a decoder does not need."""


def decode_in_sandbox(stripped: StrippedImage, max_pixels: int, max_side: int) -> Image.Image:
    """Returns an upright RGB image, scaled down to MAX_STORED_SIDE.

    Raises KinoraError(TOO_LARGE | INVALID_IMAGE), or UNAVAILABLE if too many requests wait.
    """
    if not QUEUE_SLOTS.acquire(blocking=False):
        sentence = "Too many pictures are being processed. Try again in a moment."
        raise KinoraError(ErrorCode.UNAVAILABLE, sentence)
    try:
        return _decode_in_child(stripped, max_pixels, max_side)
    finally:
        QUEUE_SLOTS.release()


def _decode_in_child(stripped: StrippedImage, max_pixels: int, max_side: int) -> Image.Image:
    options = {"orientation": stripped.orientation, "nclx": stripped.nclx}
    options |= {"max_pixels": max_pixels, "max_side": max_side}
    env = {name: os.environ[name] for name in INHERITED_ENV if name in os.environ}
    env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with DECODE_SLOT:
        try:
            done = subprocess.run(  # noqa: S603 - this interpreter and our own module
                [sys.executable, "-m", "media.image_sandbox_child", json.dumps(options)],
                input=stripped.data,
                capture_output=True,
                cwd=ROOT,
                env=env,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise damaged_error("This picture took too long to decode.") from None
    head, _, pixels = done.stdout.partition(b"\n")
    try:
        reply = json.loads(head)
    except ValueError:
        # killed by its limits, or crashed: in both cases because of the file
        log.warning("Decoding an image failed (exit status %d).", done.returncode)
        log.debug("%s", done.stderr.decode(errors="replace")[-2000:])
        raise damaged_error() from None
    if "size" in reply:
        return Image.frombytes("RGB", tuple(reply["size"]), pixels)
    raise KinoraError(ErrorCode(reply["code"]), reply["message"])


def damaged_error(sentence: str = "This picture is damaged.") -> KinoraError:
    return KinoraError(ErrorCode.INVALID_IMAGE, sentence)
