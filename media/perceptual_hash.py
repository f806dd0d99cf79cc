"""Perceptual hashes of clips and pictures: near copies have nearly the same bits.

A hash is the sign of the low frequencies of a small grey picture (pHash, 10 x 10 coefficients).
`python -m bench near-copies` measures which changes it survives; docs/LOG.md has the figures.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from media.small_frames import read_small_frames
from media.videos import VideoLimits

SIDE = 64
"""Of the grey picture that is transformed."""
BITS_SIDE = 10
"""Fewer coefficients cannot distinguish scenes, more are noise in soft pictures: docs/LOG.md."""
BITS = BITS_SIDE * BITS_SIDE
BYTES = (BITS + 7) // 8
READ_SIDE = 160
"""The longer side of the frames that are read, so that crops of them are sharp enough."""
FRAMES = 8
MOST_FRAMES = 1_800
CROPS = (1.0, 0.94, 0.88, 0.82, 0.76)
"""Parts of width and height around the middle, hashed for a blocked file: a cropped copy is near to
one of them."""
FLAT = 1.5
"""Grey levels (root mean square of what the coefficients draw) below which a frame is left out: the
signs are noise then, and empty frames would be copies of each other."""
MOST_BITS = 16
"""Differing bits of 100 up to which two frames are near. Half of the frames of a copy differ in up
to 12, rarely 18; of another clip in 22 and more, also with the same background."""
ENOUGH = 0.5
"""The part of a file's frames that must be near to one of the other's."""

Hashes = np.ndarray
"""uint8 [N, 13]: the packed bits of N frames."""


def clip_frames(clip: Path, limits: VideoLimits | None = None) -> np.ndarray:
    """uint8 [N, H, W, 3]: up to eight frames of an MP4, WebM or GIF, evenly spaced. Raises
    KinoraError(INVALID_VIDEO)."""
    frames = read_small_frames(clip, READ_SIDE, MOST_FRAMES, limits)
    count = min(FRAMES, len(frames))
    chosen = ((np.arange(count) + 0.5) * len(frames) / count).astype(int)
    return frames[chosen]


def picture_frames(picture: Path) -> np.ndarray:
    """uint8 [1, H, W, 3]: a picture of ours, small."""
    with Image.open(picture) as opened:
        small = opened.convert("RGB")
    small.thumbnail((READ_SIDE, READ_SIDE), Image.Resampling.BOX)
    return np.asarray(small)[None]


def hash_frames(frames: np.ndarray, crops: tuple[float, ...] = (1.0,)) -> Hashes:
    """The hashes of each frame and crop that is not flat. frames: uint8 [N, H, W, 3]."""
    found = [
        bits
        for frame in frames
        for part in crops
        if (bits := _hash(_centre(frame, part))) is not None
    ]
    return np.stack(found) if found else np.empty((0, BYTES), np.uint8)


def blocked_hashes(frames: np.ndarray) -> Hashes:
    """The hashes that copies are compared with: of crops, and of the mirrored frames."""
    return np.concatenate([hash_frames(frames, CROPS), hash_frames(frames[:, :, ::-1], CROPS)])


def near_part(found: Hashes, blocked: Hashes) -> float:
    """The part of the frames in `found` that are near to one of `blocked`, 0 to 1."""
    if not len(found) or not len(blocked):
        return 0.0
    return float((distances(found, blocked).min(axis=1) <= MOST_BITS).mean())


def is_near_copy(found: Hashes, blocked: Hashes) -> bool:
    return near_part(found, blocked) >= ENOUGH


def distances(found: Hashes, blocked: Hashes) -> np.ndarray:
    """int [len(found), len(blocked)]: the number of differing bits."""
    differing = np.bitwise_xor(found[:, None, :], blocked[None, :, :])
    return POPCOUNT[differing].sum(axis=2, dtype=np.int32)


def to_text(hashes: Hashes) -> str:
    return hashes.tobytes().hex()


def from_text(text: str) -> Hashes:
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, BYTES)


POPCOUNT = np.array([value.bit_count() for value in range(256)], np.uint8)


def _centre(frame: np.ndarray, part: float) -> np.ndarray:
    height, width = frame.shape[:2]
    top, left = round(height * (1 - part) / 2), round(width * (1 - part) / 2)
    return frame[top : height - top, left : width - left]


def _hash(frame: np.ndarray) -> np.ndarray | None:
    """None for a flat frame."""
    if frame.shape[0] < 1 or frame.shape[1] < 1:
        return None
    grey = Image.fromarray(frame).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, np.float64)
    cosines = _cosines()
    low = cosines @ values @ cosines.T
    if np.sqrt((low**2).sum()) / SIDE < FLAT:
        return None
    return np.packbits((low > np.median(low)).ravel())


@functools.cache
def _cosines() -> np.ndarray:
    """[10, 64]: the rows 1 to 10 of the discrete cosine transform; row 0 is the brightness."""
    rows = np.arange(1, BITS_SIDE + 1)[:, None]
    columns = np.arange(SIDE)[None, :]
    return np.cos(np.pi * rows * (2 * columns + 1) / (2 * SIDE)) * np.sqrt(2 / SIDE)
