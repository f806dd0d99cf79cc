"""Metrics of a clip, [F, H, W, 3] uint8, without a trained model. In levels of 255 unless named."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np

FLICKER_BOUND = 2.55
"""The noise of a picture with 40 dB PSNR, the usual bound of visually clean."""
BEND_OF_NOISE = 6**0.5 * (2 / np.pi) ** 0.5
"""Mean |a - 2b + c| of independent noise, in units of its standard deviation."""
SHARPNESS_BOUNDS = (0.5, 1.5)
"""A blur of one pixel leaves half of the sharpness; half as much again is added grain."""


def _luma(frames: np.ndarray) -> np.ndarray:
    return frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def sharpness(frame: np.ndarray) -> float:
    """Mean absolute Laplacian of a frame's luma."""
    luma = frame if frame.ndim == 2 else _luma(frame)
    return float(np.abs(cv2.Laplacian(luma.astype(np.float32), cv2.CV_32F)).mean())


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB of images or clips in 0..255."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-4)))


def measure(clip: np.ndarray) -> dict[str, float]:
    luma = _luma(clip)
    bends = np.abs(luma[2:] - 2 * luma[1:-1] + luma[:-2]).mean(0)
    sharp = [sharpness(frame) for frame in luma]
    colours = clip.astype(np.float32)
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std(axis=(1, 2)).mean()),
        "colour": float((colours.max(-1) - colours.min(-1)).mean()),
        "change": float(np.abs(np.diff(luma, axis=0)).mean()),
        # the median pixel: motion affects few pixels, flicker affects all of them
        "flicker": float(np.median(bends)) / BEND_OF_NOISE,
        "unrest": float(bends.mean()),
        "sharpness": float(np.mean(sharp)),
        "sharpness_kept": float(np.mean(sharp[-4:]) / max(sharp[0], 1e-6)),
    }


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float32) - b.astype(np.float32)).mean())


def pairwise_distance(clips: list[np.ndarray]) -> list[float]:
    """Mean absolute difference of every pair of clips."""
    return [distance(a, b) for a, b in combinations(clips, 2)]
