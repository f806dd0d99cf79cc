"""Decodes a picture in a process of its own, with a limit on memory and time.

The decoders of HEIC, AVIF and TIFF are large and written in C: what a hostile file does to them
must not reach the server. Large pictures go the same way, one at a time, so that the memory they
take is bounded and given back.
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
from media.strip_metadata import Bare

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
WALL_S = 120.0
"""The child's own limit, on CPU time, is shorter; this one is for a machine that is very busy."""
ONE_AT_A_TIME = threading.BoundedSemaphore(1)
WAITING = threading.BoundedSemaphore(8)
"""Each holds a thread of the server's, so only some may wait; the others are refused at once."""
PASSED_ON = (
    "PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SYSTEMROOT", "TEMP",
    "TMP", "TMPDIR", "LANG", "LC_ALL", "HOME",
)  # fmt: skip
"""The environment holds secrets, and a decoder needs none of them."""


def decode_apart(plain: Bare, max_pixels: int, max_side: int) -> Image.Image:
    """Plain RGB, reduced and upright. Raises KinoraError(TOO_LARGE | INVALID_IMAGE), or UNAVAILABLE
    where many wait already."""
    if not WAITING.acquire(blocking=False):
        sentence = "Too many pictures are being read right now. Try again in a moment."
        raise KinoraError(ErrorCode.UNAVAILABLE, sentence)
    try:
        return _decode_in_child(plain, max_pixels, max_side)
    finally:
        WAITING.release()


def _decode_in_child(plain: Bare, max_pixels: int, max_side: int) -> Image.Image:
    how = {"orientation": plain.orientation, "nclx": plain.nclx}
    how |= {"max_pixels": max_pixels, "max_side": max_side}
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with ONE_AT_A_TIME:
        try:
            done = subprocess.run(  # noqa: S603  # this interpreter and our own module
                [sys.executable, "-m", "media.image_sandbox_child", json.dumps(how)],
                input=plain.data,
                capture_output=True,
                cwd=ROOT,
                env=env,
                timeout=WALL_S,
            )
        except subprocess.TimeoutExpired:
            raise damaged("This picture took too long to decode.") from None
    head, _, pixels = done.stdout.partition(b"\n")
    try:
        answer = json.loads(head)
    except ValueError:
        # killed by its own limits, or crashed: both are the file's doing
        log.warning("Decoding an image failed (exit status %d).", done.returncode)
        log.debug("%s", done.stderr.decode(errors="replace")[-2000:])
        raise damaged() from None
    if "size" in answer:
        return Image.frombytes("RGB", tuple(answer["size"]), pixels)
    raise KinoraError(ErrorCode(answer["code"]), answer["message"])


def damaged(sentence: str = "This picture is damaged.") -> KinoraError:
    return KinoraError(ErrorCode.INVALID_IMAGE, sentence)
