"""Keeps the colours of a long clip from drifting: each window is matched to the first one.

By mean and covariance, with the linear map between two such statistics that changes colours least
(Pitié and Kokaram, "The linear Monge-Kantorovitch linear colour mapping for example-based colour
transfer", 2007). In the values that a decoder makes, where its drift is linear; in linear light the
same correction takes maps twice as strong and leaves a part of it (docs/LOG.md). The map grows in
from the first new frame, so that a window begins with the colours that the one before it ended
with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

SAMPLES = 1 << 19
"""Pixels from which the statistics of a window are taken."""
NOISE = 1e-5
"""Variance that is added to both sides, so that a flat window is no reason for a steep map."""
MOST_GAIN, MOST_SHIFT = 1.3, 0.1
"""The strongest map: contrast by this factor either way, brightness by this share of white."""
GROWS_IN = 1 / 3
"""Share of a window in which the map reaches its strength. A steady drift is then corrected without
overshooting: what is left at the end of a window is a fifth of what was there at its beginning."""
ROUNDS = 6
UNCHANGED = 5e-4
"""A map that changes less, in shares of white, changes no 8-bit value to speak of."""
CUT_DIFFERENCE, CUT_FACTOR = 0.1, 5.0
"""A cut changes more than this share of white on average, and so many times more than usual."""
CUT_SIDE = 32


@dataclass(frozen=True)
class ColourStats:
    """Of values from 0 to 1."""

    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, values: np.ndarray) -> ColourStats:
        """`values`: [..., 3]."""
        pixels = values.reshape(-1, 3).astype(np.float64)
        mean = pixels.mean(axis=0)
        centred = pixels - mean
        covariance = centred.T @ centred / len(pixels)
        return cls(tuple(mean.tolist()), tuple(map(tuple, covariance.tolist())))

    @classmethod
    def of_frames(cls, frames: np.ndarray) -> ColourStats:
        """`frames`: uint8 [F, H, W, 3]."""
        return cls.of(_sample(frames))


@dataclass(frozen=True)
class ColourMap:
    """value -> matrix @ value + shift."""

    matrix: np.ndarray
    shift: np.ndarray

    @classmethod
    def identity(cls) -> ColourMap:
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def between(cls, source: ColourStats, target: ColourStats) -> ColourMap:
        """The map that gives `source` the mean and covariance of `target`."""
        noise = NOISE * np.eye(3)
        root = _root(np.array(source.covariance) + noise)
        inverse = np.linalg.inv(root)
        middle = _root(root @ (np.array(target.covariance) + noise) @ root)
        matrix = inverse @ middle @ inverse
        return cls(matrix, np.array(target.mean) - matrix @ np.array(source.mean))

    def after(self, first: ColourMap) -> ColourMap:
        """Both, `first` first."""
        return ColourMap(self.matrix @ first.matrix, self.matrix @ first.shift + self.shift)

    def scaled(self, share: float) -> ColourMap:
        """That share of its change: 0 changes nothing."""
        return ColourMap(np.eye(3) + share * (self.matrix - np.eye(3)), share * self.shift)

    def limited(self, around: ColourStats) -> ColourMap:
        """No stronger than allowed. The shift is how far the mean of `around` is moved."""
        values, vectors = np.linalg.eigh((self.matrix + self.matrix.T) / 2)
        matrix = (vectors * values.clip(1 / MOST_GAIN, MOST_GAIN)) @ vectors.T
        centre = np.array(around.mean)
        moved = (self.matrix @ centre + self.shift - centre).clip(-MOST_SHIFT, MOST_SHIFT)
        return ColourMap(matrix, centre + moved - matrix @ centre)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """`values`: float32 [..., 3]; the result is within 0 to 1."""
        mapped = values @ self.matrix.T.astype(np.float32) + self.shift.astype(np.float32)
        return mapped.clip(0, 1)

    def is_identity(self) -> bool:
        change = abs(self.matrix - np.eye(3)).sum(axis=1) + abs(self.shift)
        return bool(change.max() < UNCHANGED)


@dataclass(frozen=True)
class WindowMatch:
    """How the frames of one window are changed."""

    join: ColourMap
    """From the first frames to what they repeat: of all frames."""
    drift: ColourMap
    """From there to the first window: growing in."""
    overlap: int
    count: int

    @classmethod
    def plan(cls, frames: np.ndarray, before: np.ndarray, anchor: ColourStats) -> WindowMatch:
        """`frames`: uint8 [F, H, W, 3], of which the first ones repeat `before`, [overlap, H, W,
        3]. `anchor`: of the first window."""
        overlap, count = len(before), len(frames)
        repeated = ColourStats.of_frames(frames[:overlap])
        join = ColourMap.between(repeated, ColourStats.of_frames(before)).limited(repeated)
        match = cls(join, ColourMap.identity(), overlap, count)
        shares = [match.share(n) for n in range(overlap, count)]
        values = join.apply(_sample(frames[overlap:]))
        drift = _growing_map(values, shares, anchor).limited(ColourStats.of(values))
        return cls(join, drift, overlap, count)

    def share(self, index: int) -> float:
        """How much of `drift` the frame at `index` gets."""
        new = index - self.overlap + 1
        return min(1.0, max(0.0, new / max(1.0, (self.count - self.overlap) * GROWS_IN)))

    def apply(self, frames: np.ndarray) -> Iterator[np.ndarray]:
        """The frames, one at a time."""
        for index, frame in enumerate(frames):
            whole = self.drift.scaled(self.share(index)).after(self.join)
            if whole.is_identity():
                yield frame
            else:
                changed = whole.apply(frame.astype(np.float32) / 255)
                yield (changed * 255 + 0.5).astype(np.uint8)


def _growing_map(values: np.ndarray, shares: Sequence[float], target: ColourStats) -> ColourMap:
    """The map that gives all frames together the statistics of `target`, where each frame gets its
    share of it. `values`: float32 [F, N, 3]."""
    found, mean_share = ColourMap.identity(), float(np.mean(shares))
    for _ in range(ROUNDS):
        now = ColourStats.of(_apply_growing(found, values, shares))
        found = ColourMap.between(now, target).scaled(1 / mean_share).after(found)
    return found


def _apply_growing(change: ColourMap, values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    pairs = zip(shares, values, strict=True)
    return np.stack([change.scaled(share).apply(frame) for share, frame in pairs])


def find_cut(frames: np.ndarray) -> int | None:
    """The index of the first frame after the last hard cut; None where there is none. uint8
    [F, H, W, 3]."""
    if len(frames) < 3:
        return None
    _, height, width, _ = frames.shape
    small = frames[:, :: max(1, height // CUT_SIDE), :: max(1, width // CUT_SIDE)].astype(
        np.float32
    )
    changes = abs(np.diff(small, axis=0)).mean(axis=(1, 2, 3)) / 255
    cuts = (changes > CUT_DIFFERENCE) & (changes > CUT_FACTOR * np.median(changes))
    return int(np.flatnonzero(cuts)[-1]) + 1 if cuts.any() else None


def blend(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Fades from one list of frames, uint8 [H, W, 3], to another one of the same length."""
    for n, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        share = np.float32(n / (len(before) + 1))
        mixed = old + share * (new.astype(np.float32) - old)
        yield (mixed + 0.5).astype(np.uint8)


def _sample(frames: np.ndarray) -> np.ndarray:
    """Pixels spread evenly over all frames, float32 [F, N, 3]."""
    count, height, width, _ = frames.shape
    step = max(1, int(np.sqrt(count * height * width / SAMPLES)))
    return frames[:, ::step, ::step].reshape(count, -1, 3).astype(np.float32) / 255


def _root(matrix: np.ndarray) -> np.ndarray:
    """The square root of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T
