"""Estimates how blocks of pixels move between two frames, by matching them from coarse to fine.

Small and without dependencies: it serves measurements, not encoding. Vectors are (down, right) in
pixels, float32 [H, W, 2], the same for every pixel of a block.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

BLOCK = 8
AROUND = 12
"""Pixels on each side over which a region's brightness is taken."""
COARSE = 4
"""The first search is done at a quarter of the size."""
COARSE_REACH = 8
"""In half pixels of the small frames: 16 pixels in full size."""
SEARCHES = ((2, 1.0), (1, 0.5), (1, 0.25))
"""(reach in steps, step in pixels) of each search around the vectors found so far."""
STILL_BIAS = 0.02
"""Grey levels for each pixel of change: in flat areas, where anything matches, nothing moves."""


def motion(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The vectors that lead from each pixel of `before` to the same thing in `after`.

    Both are luminance, float32 [H, W].
    """
    return _search(before, after, symmetric=False)


def motion_between(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Half of the motion, seen from the moment between both: what is at `p` there is at `p - v` in
    `before` and at `p + v` in `after`."""
    return _search(before, after, symmetric=True)


def warp(frame: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The frame's values [H, W] at each pixel's place plus its vector, bilinear; beyond the border
    the border's values go on."""
    height, width = frame.shape
    y, x = _grid(height, width)
    y = np.clip(y + vectors[..., 0], 0, height - 1)
    x = np.clip(x + vectors[..., 1], 0, width - 1)
    top, left = y.astype(np.int32), x.astype(np.int32)
    fy, fx = y - top, x - left
    at = top * width + left
    right = np.where(left < width - 1, at + 1, at)
    below = np.where(top < height - 1, width, 0)
    # `take` on the flat array is several times faster than indexing by rows and columns
    flat = np.ravel(frame)
    upper = flat.take(at) * (1 - fx) + flat.take(right) * fx
    lower = flat.take(at + below) * (1 - fx) + flat.take(right + below) * fx
    return upper * (1 - fy) + lower * fy


def is_outside(vectors: np.ndarray) -> np.ndarray:
    """Whether each pixel's vector leads out of the picture, bool [H, W]."""
    height, width = vectors.shape[:2]
    y, x = _grid(height, width)
    y, x = y + vectors[..., 0], x + vectors[..., 1]
    return (y < 0) | (y > height - 1) | (x < 0) | (x > width - 1)


# -- inside --------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return rows, columns


def _search(before: np.ndarray, after: np.ndarray, *, symmetric: bool) -> np.ndarray:
    height, width = before.shape
    # without the brightness of regions, which may change while nothing moves
    before, after = (each - _local_mean(each, AROUND) for each in (before, after))
    small, small_after = _block_means(before, COARSE), _block_means(after, COARSE)
    blocks = _search_coarsely(small, small_after, BLOCK // COARSE, symmetric)
    blocks = _fit(blocks * COARSE, _blocks((height, width), BLOCK))
    for reach, step in SEARCHES:
        blocks = _refine(before, after, blocks, BLOCK, reach, step, symmetric)
    return _per_pixel(blocks, (height, width), BLOCK)


def _search_coarsely(
    before: np.ndarray, after: np.ndarray, side: int, symmetric: bool
) -> np.ndarray:
    """The best vector for each block within the reach, in steps of half a pixel."""
    height, width = before.shape
    doubled = [np.pad(_double(each), COARSE_REACH, mode="edge") for each in (before, after)]

    def shifted(frame: np.ndarray, down: int, right: int) -> np.ndarray:
        top, left = COARSE_REACH + down, COARSE_REACH + right
        return frame[top : top + 2 * height : 2, left : left + 2 * width : 2]

    best = np.full(_blocks((height, width), side), np.inf, np.float32)
    found = np.zeros((*best.shape, 2), np.float32)
    for down, right in _nearest_first(COARSE_REACH):
        source = shifted(doubled[0], -down, -right) if symmetric else before
        difference = np.abs(source - shifted(doubled[1], down, right))
        cost = _around(_block_means(difference, side))
        cost += STILL_BIAS * (abs(down) + abs(right)) / 2
        is_better = cost < best
        best[is_better] = cost[is_better]
        found[is_better] = down / 2, right / 2
    return found


def _nearest_first(reach: int) -> list[tuple[int, int]]:
    steps = range(-reach, reach + 1)
    return sorted(
        ((y, x) for y in steps for x in steps), key=lambda each: abs(each[0]) + abs(each[1])
    )


def _double(frame: np.ndarray) -> np.ndarray:
    """Twice as large, with the means of neighbours between them."""
    height, width = frame.shape
    padded = np.pad(frame, ((0, 1), (0, 1)), mode="edge")
    tall = np.empty((2 * height, width + 1), frame.dtype)
    tall[0::2], tall[1::2] = padded[:-1], (padded[:-1] + padded[1:]) / 2
    doubled = np.empty((2 * height, 2 * width), frame.dtype)
    doubled[:, 0::2], doubled[:, 1::2] = tall[:, :-1], (tall[:, :-1] + tall[:, 1:]) / 2
    return doubled


def _refine(
    before: np.ndarray,
    after: np.ndarray,
    blocks: np.ndarray,
    side: int,
    reach: int,
    step: float,
    symmetric: bool,
) -> np.ndarray:
    """The best of the vectors within `reach` steps around those of `blocks`."""
    best = np.full(blocks.shape[:2], np.inf, np.float32)
    found = blocks.copy()
    for offset in _nearest_first(reach):
        candidate = blocks + np.array(offset, np.float32) * np.float32(step)
        vectors = _per_pixel(candidate, before.shape, side)
        source = warp(before, -vectors) if symmetric else before
        difference = np.abs(source - warp(after, vectors))
        cost = _block_means(difference, side)
        cost += STILL_BIAS * np.abs(candidate).sum(axis=-1)
        is_better = cost < best
        best = np.where(is_better, cost, best)
        found = np.where(is_better[..., None], candidate, found)
    return found.astype(np.float32)


def _local_mean(frame: np.ndarray, reach: int) -> np.ndarray:
    """The mean over a square of `reach` pixels on each side, by sums of rows, then of columns."""
    for axis in (0, 1):
        spread = [(0, 0), (0, 0)]
        spread[axis] = (reach + 1, reach)
        sums = np.pad(frame, spread, mode="edge").cumsum(axis, dtype=np.float64)
        side, count = 2 * reach + 1, frame.shape[axis]
        upper = sums.take(range(side, side + count), axis)
        frame = ((upper - sums.take(range(count), axis)) / side).astype(np.float32)
    return frame


def _blocks(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    return -(-shape[0] // side), -(-shape[1] // side)


def _pad(frame: np.ndarray, side: int) -> np.ndarray:
    height, width = frame.shape
    return np.pad(frame, ((0, -height % side), (0, -width % side)), mode="edge")


def _block_means(frame: np.ndarray, side: int) -> np.ndarray:
    padded = _pad(frame, side)
    rows, columns = padded.shape[0] // side, padded.shape[1] // side
    return padded.reshape(rows, side, columns, side).mean(axis=(1, 3))


def _around(costs: np.ndarray) -> np.ndarray:
    """The mean of each block and its eight neighbours: a larger window matches more surely."""
    padded = np.pad(costs, 1, mode="edge")
    rows, columns = costs.shape
    total = np.zeros_like(costs)
    for y in range(3):
        for x in range(3):
            total += padded[y : y + rows, x : x + columns]
    return total / 9


def _fit(blocks: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rows = np.minimum(np.arange(shape[0]), blocks.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1]), blocks.shape[1] - 1)
    return blocks[rows[:, None], columns]


def _per_pixel(blocks: np.ndarray, shape: tuple[int, ...], side: int) -> np.ndarray:
    repeated = blocks.repeat(side, axis=0).repeat(side, axis=1)
    return repeated[: shape[0], : shape[1]]
